//! Cancelling what a worker holds: it is asked, cleans up, and agrees.

use std::error::Error;
use std::thread;
use std::time::Duration;

use milepost::{Lease, MemoryStore, NewProcess, Pipeline, Progress, TrackError, Tracker};

fn main() -> Result<(), Box<dyn Error>> {
    let tracker = Tracker::new(MemoryStore::new());
    let pipeline = Pipeline::new("render", ["frames"])?;

    let id = tracker.begin(NewProcess::new(&pipeline))?.request_id();
    let lease = tracker.claim(id, "worker 1", Duration::from_mins(1))?;
    let worker = thread::spawn(move || render(&lease));
    thread::sleep(Duration::from_millis(50));
    let asked = tracker.request_cancel(id, "the customer has left")?;
    println!("asked; it is {}", asked.status);

    worker.join().map_err(|_| "the worker panicked")??;
    let process = tracker.get(id)?;
    let why = process.blame().map_or("", |blame| blame.message);
    println!("it is {}: {why}", process.status());

    // What nobody holds has nobody to ask, and is cancelled at once.
    let id = tracker.begin(NewProcess::new(&pipeline))?.request_id();
    let asked = tracker.request_cancel(id, "never mind")?;
    println!("one that nobody held is {}", asked.status);
    Ok(())
}

fn render(lease: &Lease) -> Result<(), TrackError> {
    let frames = lease.module(1)?;
    for frame in 1..=1_000 {
        // Costs nothing: the answers to this worker's own calls say it, and the tracker's poller.
        if lease.cancel_requested() {
            // .. remove what was rendered ..
            lease.cancel("stopped after a request")?;
            return Ok(());
        }
        frames.progress(Progress::of(frame, 1_000).unit("frames"))?;
        thread::sleep(Duration::from_millis(5));
    }
    frames.complete()?;
    Ok(())
}
