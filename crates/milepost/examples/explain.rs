//! Why does it stand still? What an operator asks, in four states of one process.

use std::error::Error;
use std::time::Duration;

use milepost::{
    Failure, ManualClock, MemoryStore, NewProcess, Pipeline, Progress, ReapPolicy, Tracker,
};

fn main() -> Result<(), Box<dyn Error>> {
    // A clock that is set by hand, so that nobody has to wait. Hosts leave it out.
    let clock = ManualClock::new("2026-05-18T09:30:00Z".parse()?);
    let tracker = Tracker::with_clock(MemoryStore::new(), clock.clone());
    let pipeline = Pipeline::new("invoice-ocr", ["ocr", "parser", "keyword-db"])?;
    let id = tracker.begin(NewProcess::new(&pipeline))?.request_id();
    println!("{}\n", tracker.explain(id)?);

    let lease = tracker.claim(id, "worker 7", Duration::from_mins(1))?;
    let ocr = lease.module(1)?;
    ocr.start()?;
    clock.advance(Duration::from_secs(12));
    ocr.retry(Failure::new("Unreachable", "no route to the scanner"))?;
    ocr.start()?;
    ocr.progress(Progress::of(3, 10).unit("pages"))?;
    println!("{}\n", tracker.explain(id)?);

    clock.advance(Duration::from_mins(5));
    println!("{}\n", tracker.explain(id)?);

    tracker.reap(ReapPolicy::fail())?;
    println!("{}", tracker.explain(id)?);
    Ok(())
}
