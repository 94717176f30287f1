//! Workers that die leave processes standing still. They are found and given to others, three times at most.

use std::error::Error;
use std::thread;
use std::time::Duration;

use milepost::{MemoryStore, NewProcess, Pipeline, Query, ReapPolicy, Tracker};

const LEASE: Duration = Duration::from_millis(50);

fn main() -> Result<(), Box<dyn Error>> {
    let tracker = Tracker::new(MemoryStore::new());
    let pipeline = Pipeline::new("thumbnails", ["scale"])?;
    let id = tracker.begin(NewProcess::new(&pipeline))?.request_id();

    for attempt in 1..=3 {
        // A worker that takes it up, and dies.
        let lease = tracker.claim(id, &format!("worker {attempt}"), LEASE)?;
        lease.module(1)?.start()?;
        drop(lease);
        thread::sleep(LEASE);

        let counts = tracker.count(&Query::new())?;
        println!(
            "{} ongoing, {} of them stalled",
            counts.ongoing, counts.stalled
        );
        for process in tracker.list(&Query::new().stalled())?.items {
            let worker = process.claim().map_or("nobody", |claim| claim.worker());
            println!("{} was let go by {worker}", process.request_id());
        }

        // Any number of OS processes may do this at once. `tend` does it too.
        let reaped = tracker.reap(ReapPolicy::retry(3))?;
        println!("{} freed, {} failed", reaped.freed, reaped.failed);
    }

    let process = tracker.get(id)?;
    let blame = process.blame().ok_or("it has failed")?;
    println!("{}: {} ({})", process.status(), blame.message, blame.reason);
    assert_eq!(blame.reason, ReapPolicy::LEASE_EXPIRED);
    Ok(())
}
