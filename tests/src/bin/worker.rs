//! Works, with several threads, on processes that other OS processes work on too: `worker <file> <seed>`.
//!
//! For each change that was acknowledged it prints the process and the revision that the change made.

use std::error::Error;
use std::io::Write;

use milepost::{Failure, Progress, Query, RequestId, SqliteStore, TrackError, Tracker};

const THREADS: usize = 4;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let file = arguments.next().ok_or("give a file")?;
    let seed = arguments.next().ok_or("give a seed")?.parse::<usize>()?;
    let tracker = Tracker::new(SqliteStore::open(file)?);
    std::thread::scope(|scope| {
        let threads = (0..THREADS)
            .map(|thread| {
                scope.spawn({
                    let tracker = &tracker;
                    move || work(tracker, seed * THREADS + thread)
                })
            })
            .collect::<Vec<_>>();
        threads
            .into_iter()
            .try_for_each(|thread| thread.join().expect("no thread panics"))
    })?;
    Ok(())
}

/// Goes through all processes and modules, beginning at a place of its own, until all are settled.
fn work(tracker: &Tracker, seed: usize) -> Result<(), TrackError> {
    let processes = tracker.list(&Query::new().oldest_first())?.items;
    for round in 0..processes.len() {
        let process = &processes[(seed + round) % processes.len()];
        let handle = tracker.process(process.request_id())?;
        for step in 0..process.modules().len() {
            let position = (seed + step) % process.modules().len() + 1;
            let module = handle.module(position)?;
            let done = u64::try_from(seed).expect("a small number");
            acknowledge(
                process.request_id(),
                module.progress(Progress::unbounded(done)),
            )?;
            // One try in a while is given up, so that attempts and stale handles come up too.
            if (seed + round + step).is_multiple_of(7) {
                acknowledge(
                    process.request_id(),
                    module.retry(Failure::new("Again", "for the test")),
                )?;
            }
            acknowledge(process.request_id(), module.complete())?;
        }
    }
    Ok(())
}

/// Prints a change that was acknowledged. To be rejected is what happens to all but one.
fn acknowledge(
    id: RequestId,
    applied: Result<milepost::Applied, TrackError>,
) -> Result<(), TrackError> {
    match applied {
        Ok(applied) if applied.changed => {
            let line = format!("{id} {}\n", applied.revision);
            // One write a line, so that lines of several threads do not mix.
            std::io::stdout()
                .write_all(line.as_bytes())
                .expect("the pipe is read");
            Ok(())
        }
        Ok(_) | Err(TrackError::Rejected(_)) => Ok(()),
        Err(error) => Err(error),
    }
}
