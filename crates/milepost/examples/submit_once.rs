//! A client that got no answer submits again, perhaps to another machine: the same key, the same process.

use std::error::Error;

use milepost::{NewProcess, Pipeline, ProcessHandle, RequestId, SqliteStore, TrackError, Tracker};

fn main() -> Result<(), Box<dyn Error>> {
    let directory = tempfile::tempdir()?;
    let file = directory.path().join("status.db");
    let pipeline = Pipeline::new("invoice-ocr", ["ocr", "parser"])?;

    // Two trackers, as two OS processes would have.
    let one = Tracker::new(SqliteStore::open(&file)?);
    let other = Tracker::new(SqliteStore::open(&file)?);
    let first = submit(&one, &pipeline, "order 4711, invoice 2")?;
    let again = submit(&other, &pipeline, "order 4711, invoice 2")?;
    println!("{}: new is {}", first.request_id(), first.is_new());
    println!("{}: new is {}", again.request_id(), again.is_new());
    assert_eq!(first.request_id(), again.request_id());

    // Whoever knows the key can work out the id, and ask.
    let id = RequestId::of_key(&pipeline, "order 4711, invoice 2")?;
    println!("{}", one.get(id)?.status());
    Ok(())
}

fn submit(tracker: &Tracker, pipeline: &Pipeline, key: &str) -> Result<ProcessHandle, TrackError> {
    let process = tracker.begin(NewProcess::new(pipeline).idempotency_key(key))?;
    // Whoever began it may have died before anybody worked on it, so new or not says too little.
    if !tracker.get(process.request_id())?.is_settled() {
        // Set the work going here; that it may be set going twice does no harm where workers claim.
    }
    Ok(process)
}
