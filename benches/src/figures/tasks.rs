//! Ten thousand tasks on one SQLite store, FULL, beside 32 threads on the same: lifecycle work at 1 op a call.
//!
//! Milepost on both sides. Each task has a process of its own, and takes its next step as soon as the last is answered; all
//! of them run on a runtime with one thread for each core. Timed are the polls of tasks in which the runtime's thread gave
//! its core up of its own accord, to wait for something: how long each took.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use milepost::{AsyncModuleHandle, AsyncTracker};
use nix::sys::resource::{UsageWho, getrusage};
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinSet;

use crate::ours::Milepost;
use crate::rounds::{Outcome, in_turns};
use crate::run::{Level, Run};
use crate::table::Target;
use crate::waits::Waits;
use crate::workload::{Ids, STEPS, crews, side_by_side};

const THREADS: usize = 32;

pub(super) fn measure(run: &mut Run) -> Outcome<()> {
    let figure = format!(
        "SQLite lifecycle, {} tasks beside {THREADS} threads, FULL",
        run.scale.watchers
    );
    if !run.wants(&figure) {
        return Ok(());
    }
    let pair = run.pair(run.scale.small, Level::Full)?;
    let runtime = Builder::new_multi_thread().enable_time().build()?;
    let mut tasks = Tasks::start(&runtime, &pair.ours, run.scale.watchers)?;
    let mut threads = crews(&pair.ours, THREADS)?;
    let turn = run.scale.turn;
    let (mut waits, mut polls) = (Waits::default(), Waits::default());
    let compared = in_turns(
        run.scale.rounds,
        || {
            let turn = tasks.turn(&runtime, turn)?;
            waits.join(&turn.waits);
            polls.join(&turn.polls);
            Ok(turn.rate)
        },
        || side_by_side(&pair.ours, &mut threads, turn).map(|(rate, _)| rate),
    )?;
    run.compared(&format!("{figure}: ops/s"), compared, Target::AtLeast(1.0));
    let shown = [
        ("a call, p50 ms", waits.percentile(50.0), Target::Shown),
        ("a call, p99 ms", waits.percentile(99.0), Target::Shown),
        (
            "a poll that waits, p99 ms",
            polls.percentile(99.0),
            Target::Shown,
        ),
        (
            "a poll that waits, worst ms",
            polls.worst(),
            Target::Within(1.0),
        ),
    ];
    for (what, millis, target) in shown {
        run.alone(&format!("{figure}: {what}"), millis, target);
    }
    Ok(())
}

/// The tasks, between two turns.
struct Tasks {
    ours: Arc<Milepost>,
    tracker: AsyncTracker,
    lives: Vec<Life>,
}

/// A task's process.
struct Life {
    modules: Vec<AsyncModuleHandle>,
    step: usize,
}

/// What a turn came to.
#[derive(Default)]
struct Turn {
    rate: f64,
    waits: Waits,
    polls: Waits,
}

impl Tasks {
    fn start(runtime: &Runtime, ours: &Milepost, tasks: usize) -> Outcome<Self> {
        let tracker = AsyncTracker::from(ours.tracker.clone());
        let ours = Arc::new(ours.clone());
        let mut starting = JoinSet::new();
        for _ in 0..tasks {
            let (ours, tracker) = (Arc::clone(&ours), tracker.clone());
            starting.spawn_on(
                async move { Life::begin(&ours, &tracker).await },
                runtime.handle(),
            );
        }
        let lives = runtime.block_on(starting.join_all());
        let lives = lives.into_iter().collect::<Outcome<_>>()?;
        Ok(Tasks {
            ours,
            tracker,
            lives,
        })
    }

    fn turn(&mut self, runtime: &Runtime, lasting: Duration) -> Outcome<Turn> {
        let began = Instant::now();
        let mut working = JoinSet::new();
        for mut life in self.lives.drain(..) {
            let (ours, tracker) = (Arc::clone(&self.ours), self.tracker.clone());
            let work = async move {
                let mut waits = Vec::new();
                while began.elapsed() < lasting {
                    let asked = Instant::now();
                    life.step(&ours, &tracker).await?;
                    waits.push(asked.elapsed());
                }
                Outcome::Ok((life, waits))
            };
            working.spawn_on(timed(work), runtime.handle());
        }
        let worked = runtime.block_on(working.join_all());
        let took = began.elapsed();
        let mut turn = Turn::default();
        let mut ops = 0;
        for (done, polls) in worked {
            let (life, waits) = done?;
            self.lives.push(life);
            ops += u32::try_from(waits.len())?;
            for wait in waits {
                turn.waits.add(wait);
            }
            for poll in polls {
                turn.polls.add(poll);
            }
        }
        turn.rate = f64::from(ops) / took.as_secs_f64();
        Ok(turn)
    }
}

impl Life {
    async fn begin(ours: &Milepost, tracker: &AsyncTracker) -> Outcome<Self> {
        let process = tracker.begin(ours.new_process(Ids::Own)).await?;
        Ok(Life {
            modules: process.modules().collect(),
            step: 0,
        })
    }

    async fn step(&mut self, ours: &Milepost, tracker: &AsyncTracker) -> Outcome<()> {
        if self.step == STEPS {
            *self = Life::begin(ours, tracker).await?;
            return Ok(());
        }
        let module = &self.modules[self.step / 2];
        if self.step.is_multiple_of(2) {
            module.start().await?;
        } else {
            module.complete().await?;
        }
        self.step += 1;
        Ok(())
    }
}

/// What a future comes to, and how long those of its polls took in which the thread waited.
async fn timed<T>(future: impl Future<Output = T>) -> (T, Vec<Duration>) {
    let (mut future, mut polls) = (pin!(future), Vec::new());
    let done = poll_fn(|context| {
        let (before, began) = (waits(), Instant::now());
        let polled = future.as_mut().poll(context);
        let took = began.elapsed();
        if waits() != before {
            polls.push(took);
        }
        polled
    });
    (done.await, polls)
}

/// How often this thread has waited.
fn waits() -> Option<i64> {
    let usage = getrusage(UsageWho::RUSAGE_THREAD).ok()?;
    Some(usage.voluntary_context_switches())
}
