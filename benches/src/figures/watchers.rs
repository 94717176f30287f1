//! Watchers that wait for changes by others, over a SQLite file that nobody writes to; each in a child of its own.
//!
//! Idle: one watcher blocked on its next state; counted is how often any thread but the tracker's poller wakes up, and
//! the poller's own wake-ups are shown beside it. Many: watchers on as many processes through one tracker; counted is the
//! processor time of the whole child, after it has settled down. The poll interval is the default, 100 ms.

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use milepost::RequestId;

use crate::child::{self, figure};
use crate::proc;
use crate::rounds::Outcome;
use crate::run::{Level, Run};
use crate::table::Target;
use crate::workload::{Ids, Subject};

const POLLER: &str = "milepost-poller";

pub(super) fn measure(run: &mut Run) -> Outcome<()> {
    let idle = "an idle watcher, threads other than the poller: wake-ups/s";
    let many = format!(
        "{} watchers on one tracker: % of a core",
        run.scale.watchers
    );
    let millis = run.scale.look.as_millis().to_string();
    let path = |name| run.directory.join(name).to_str().map(str::to_owned);
    if run.wants(idle) {
        let path = path("idle.db").ok_or("the path is no text")?;
        let figures = child::ask(&["watch", "1", &path, &millis])?;
        run.alone(idle, figure(&figures, 0)?, Target::Within(0.0));
        let poller = "an idle watcher, the poller: wake-ups/s";
        run.alone(poller, figure(&figures, 1)?, Target::Shown);
    }
    let path = |name| run.directory.join(name).to_str().map(str::to_owned);
    if run.wants(&many) {
        let path = path("many.db").ok_or("the path is no text")?;
        let watchers = run.scale.watchers.to_string();
        let figures = child::ask(&["watch", &watchers, &path, &millis])?;
        run.alone(&many, figure(&figures, 2)?, Target::Within(5.0));
    }
    Ok(())
}

pub(super) fn serve(task: &[&str]) -> Outcome<()> {
    let [watchers, path, millis] = task else {
        return Err("a watching child needs a number, a file and a time".into());
    };
    let watchers = watchers.parse::<usize>()?;
    let look = Duration::from_millis(millis.parse()?);
    let ours = Level::Normal.ours(Path::new(path))?;
    let mut ids = Vec::<RequestId>::new();
    for _ in 0..watchers {
        let live = ours.begin(Ids::Own)?;
        ids.push(live.id());
    }
    // All have seen their first state, and wait for the next.
    let mut waits = ids
        .iter()
        .map(|id| Ok(ours.tracker.watch(*id)?))
        .collect::<Outcome<Vec<_>>>()?;
    for watch in &mut waits {
        watch.next().ok_or("a watch ended at once")??;
    }
    let waiting = waits.pop().ok_or("there are no watchers")?;
    thread::scope(|scope| {
        // It blocks in the one call that wakes it; its process settles when all is measured.
        let waiter = scope.spawn(|| waiting.last());
        thread::sleep(look / 5);
        let figures = look_at(look);
        ours.tracker
            .cancel(*ids.last().ok_or("there are no watchers")?, "measured")?;
        waiter.join().map_err(|_| "the watcher panicked")?;
        child::answer(&figures?);
        Ok(())
    })
}

/// Wake-ups a second of other threads than the poller and of the poller, and processor time in percent.
fn look_at(look: Duration) -> Outcome<[f64; 3]> {
    let threads = proc::other_threads()?;
    let count = |of_poller: bool| {
        let those = threads
            .iter()
            .filter(|(name, _)| (name == POLLER) == of_poller);
        those
            .map(|(_, path)| proc::wake_ups(path))
            .sum::<Outcome<f64>>()
    };
    let before = (count(false)?, count(true)?, proc::processor_time()?);
    let began = Instant::now();
    thread::sleep(look);
    let seconds = began.elapsed().as_secs_f64();
    let after = (count(false)?, count(true)?, proc::processor_time()?);
    Ok([
        (after.0 - before.0) / seconds,
        (after.1 - before.1) / seconds,
        (after.2 - before.2) / seconds * 100.0,
    ])
}
