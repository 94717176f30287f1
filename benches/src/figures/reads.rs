//! SQLite reads by id.
//!
//! Both sides: whole settled processes of 4 modules, random ids. `process_status` makes a report of the process and `get`
//! answers the process; the hand-written code answers the process. Many at once: `get_many` beside reads in one
//! transaction, 100 ids a call, by one thread and by two at once.

use std::time::Instant;

use milepost::{Clock, RequestId, SystemClock};
use uuid::Uuid;

use crate::rounds::{Compared, Outcome, in_turns, rate};
use crate::run::{Level, Pair, Run};
use crate::table::Target;

const AT_ONCE: usize = 100;

pub(super) fn measure(run: &mut Run) -> Outcome<()> {
    for size in [run.scale.readable, run.scale.large] {
        for call in ["process_status", "get"] {
            one_by_one(run, size, call)?;
        }
    }
    many(run)
}

fn one_by_one(run: &mut Run, size: usize, call: &str) -> Outcome<()> {
    let figure = format!("SQLite {call} by id, of {size}: reads/s");
    if !run.wants(&figure) {
        return Ok(());
    }
    let pair = run.pair(size, Level::Normal)?;
    let tracker = &pair.ours.tracker;
    let (mut ours, mut theirs) = (Ids::of(&pair.our_ids), Ids::of(&pair.their_ids));
    let compared = in_turns(
        run.scale.rounds,
        || {
            rate(run.scale.turn, 16, || {
                let id = RequestId::from(ours.next());
                match call {
                    "get" => drop(tracker.get(id)?),
                    _ => drop(tracker.process_status(id)?),
                }
                Ok(())
            })
        },
        || {
            rate(run.scale.turn, 16, || {
                let found = pair.theirs.store.status(theirs.next())?;
                found.map(drop).ok_or_else(|| "it is not there".into())
            })
        },
    )?;
    run.compared(&figure, compared, Target::AtLeast(0.85));
    Ok(())
}

fn many(run: &mut Run) -> Outcome<()> {
    let figure = format!("SQLite get_many of {AT_ONCE}, of {}", run.scale.large);
    if !run.wants(&figure) {
        return Ok(());
    }
    let pair = run.pair(run.scale.large, Level::Normal)?;
    let by = |threads| {
        in_turns(
            run.scale.rounds,
            || reads_a_second(run, &pair, threads, ours),
            || reads_a_second(run, &pair, threads, theirs),
        )
    };
    let (one, two) = (by(1)?, by(2)?);
    run.compared(&format!("{figure}, 1 thread: reads/s"), one, Target::Shown);
    run.compared(&format!("{figure}, 2 threads: reads/s"), two, Target::Shown);
    let scaling = Compared {
        ours: two.ours,
        theirs: one.ours,
        ratio: two.ours / one.ours,
    };
    let figure = format!("{figure}, 2 threads beside 1: reads/s");
    run.compared(&figure, scaling, Target::AtLeast(1.5));
    Ok(())
}

fn ours(pair: &Pair) -> Outcome<()> {
    let mut ids = Ids::of(&pair.our_ids);
    let ids = (0..AT_ONCE).map(|_| ids.next().into()).collect::<Vec<_>>();
    all_there(&pair.ours.tracker.get_many(&ids)?)
}

fn theirs(pair: &Pair) -> Outcome<()> {
    let mut ids = Ids::of(&pair.their_ids);
    let ids = (0..AT_ONCE).map(|_| ids.next()).collect::<Vec<_>>();
    all_there(&pair.theirs.store.statuses(&ids)?)
}

fn all_there<T>(found: &[Option<T>]) -> Outcome<()> {
    if found.iter().all(Option::is_some) {
        return Ok(());
    }
    Err("one of them is not there".into())
}

fn reads_a_second(
    run: &Run,
    pair: &Pair,
    threads: usize,
    read: fn(&Pair) -> Outcome<()>,
) -> Outcome<f64> {
    let began = Instant::now();
    let turn = run.scale.turn;
    let (calls, took) = std::thread::scope(|scope| {
        let threads = (0..threads)
            .map(|_| {
                scope.spawn(|| -> Outcome<f64> {
                    let mut calls = 0.0;
                    while began.elapsed() < turn {
                        read(pair)?;
                        calls += 1.0;
                    }
                    Ok(calls)
                })
            })
            .collect::<Vec<_>>();
        let mut calls = 0.0;
        for thread in threads {
            calls += thread.join().map_err(|_| "a thread panicked")??;
        }
        Outcome::Ok((calls, began.elapsed()))
    })?;
    #[expect(clippy::cast_precision_loss, reason = "it is 100")]
    let reads = calls * AT_ONCE as f64;
    Ok(reads / took.as_secs_f64())
}

/// Random ones of these.
pub(super) struct Ids<'a> {
    ids: &'a [Uuid],
    state: u64,
}

impl<'a> Ids<'a> {
    pub(super) fn of(ids: &'a [Uuid]) -> Self {
        let seed = u64::try_from(SystemClock.random() >> 64).unwrap_or(0);
        Ids {
            ids,
            state: seed | 1,
        }
    }

    /// By xorshift: cheap beside a read, and of any order but the file's.
    pub(super) fn next(&mut self) -> Uuid {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        let index = usize::try_from(self.state >> 16).unwrap_or(0) % self.ids.len();
        self.ids[index]
    }
}
