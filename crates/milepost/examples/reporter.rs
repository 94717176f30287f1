//! A worker that reports far more often than anybody looks: the reports cost the store only what the rate
//! allows, and the last one is never lost.

use std::error::Error;
use std::time::{Duration, Instant};

use milepost::{NewProcess, Pipeline, Progress, SqliteStore, Tracker};

const ROWS: u64 = 1_000_000;

fn main() -> Result<(), Box<dyn Error>> {
    let directory = tempfile::tempdir()?;
    let store = SqliteStore::open(directory.path().join("status.db"))?;
    // Four a second and process, unless told otherwise.
    let tracker = Tracker::new(store).report_interval(Duration::from_millis(50));
    let pipeline = Pipeline::new("import", ["rows"])?;
    let process = tracker.begin(NewProcess::new(&pipeline))?;

    let rows = process.module(1)?;
    rows.start()?;
    let reporter = rows.reporter();
    let began = Instant::now();
    for row in 1..=ROWS {
        // Never waits, and answers nothing.
        reporter.set(Progress::of(row, ROWS).unit("rows"));
    }
    // What is pending is written first; a report that was refused would be the error of this call.
    rows.complete()?;
    let took = began.elapsed();

    let stored = tracker.get(process.request_id())?;
    let last = stored.modules()[0].progress().ok_or("it has progress")?;
    println!(
        "{ROWS} reports in {took:?}, {} changes, at {last}",
        stored.revision()
    );
    assert_eq!(last.done(), ROWS);
    Ok(())
}
