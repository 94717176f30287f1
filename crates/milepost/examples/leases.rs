//! A worker takes a process for itself, dies in the middle of it, and another takes over.
//!
//! What the first one still writes when it wakes up late is refused: it cannot spoil what its successor does.

use std::error::Error;
use std::thread;
use std::time::Duration;

use milepost::{
    Failure, MemoryStore, ModuleStateKind, NewProcess, OverallStatus, Pipeline, Progress, Query,
    Rejection, TrackError, Tracker,
};

/// Short, so that the example is. A minute and a renewal every 20 seconds is a good start.
const LEASE: Duration = Duration::from_millis(200);

fn main() -> Result<(), Box<dyn Error>> {
    let tracker = Tracker::new(MemoryStore::new());
    let pipeline = Pipeline::new("transcode", ["decode", "encode"])?;
    tracker.begin(NewProcess::new(&pipeline))?;

    // How a worker finds work: it tries what is ongoing and nobody's. Of several that try, one wins.
    let ongoing = tracker.list(&Query::new().status(OverallStatus::Ongoing).oldest_first())?;
    let mut free = ongoing
        .items
        .iter()
        .filter(|process| process.leased_until().is_none());
    let id = free.next().ok_or("there is no work")?.request_id();
    let first = tracker.claim(id, "worker 1", LEASE)?;
    let decode = first.module(1)?;
    decode.start()?;
    first.renew()?; // from time to time, while it works
    decode.progress(Progress::of(3, 10).unit("frames"))?;

    // As long as that lasts, nobody else can have it.
    match tracker.claim(id, "worker 2", LEASE) {
        Err(TrackError::Rejected(held @ Rejection::Held { .. })) => println!("{held}"),
        other => return Err(format!("claimed twice: {other:?}").into()),
    }

    // Worker 1 hangs: it renews no more.
    thread::sleep(LEASE);
    let second = tracker.claim(id, "worker 2", LEASE)?;
    println!(
        "{} holds it, with token {}",
        second.worker(),
        second.token()
    );

    // Worker 1 wakes up, and does not know.
    match decode.complete() {
        Err(TrackError::Rejected(fenced @ Rejection::Fenced { .. })) => println!("{fenced}"),
        other => return Err(format!("not fenced: {other:?}").into()),
    }

    // Worker 2 takes up what is left. What its predecessor left running it counts anew.
    for module in second.unfinished() {
        if module.state_seen() == ModuleStateKind::Running {
            module.retry(Failure::new("TakenOver", "worker 1 is gone"))?;
        }
        module.start()?;
        module.complete()?;
    }
    println!("{}", tracker.get(id)?.status());
    Ok(())
}
