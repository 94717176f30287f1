//! Keeping a store small: what may stay for how long, and one line that sees to it.

use std::error::Error;
use std::thread;
use std::time::Duration;

use milepost::{
    Keep, NewProcess, Pipeline, Query, ReapPolicy, RetentionPolicy, SqliteStore, Tracker,
};

fn main() -> Result<(), Box<dyn Error>> {
    let directory = tempfile::tempdir()?;
    let month = Duration::from_hours(30 * 24);
    let policy = RetentionPolicy::new()
        .all(Keep::new().settled_within(month))
        .pipeline("thumbnails", Keep::new().newest(3));
    let tracker = Tracker::new(SqliteStore::open(directory.path().join("status.db"))?)
        .retention(policy)
        .reaping(ReapPolicy::fail());

    let pipeline = Pipeline::new("thumbnails", ["scale"])?;
    for number in 1..=10 {
        let name = format!("{number}.jpg");
        let process = tracker.begin(NewProcess::new(&pipeline).file_name(&name))?;
        process.module(1)?.complete()?;
    }

    // From here on every minute, until the guard is dropped. `tracker.tend()` does one round by hand.
    let tending = tracker.tend_every(Duration::from_mins(1))?;
    let first = loop {
        if let Some(round) = tending.last() {
            break round?;
        }
        thread::sleep(Duration::from_millis(5));
    };
    println!("{} let go, wiped: {:?}", first.retired, first.wipe);
    for process in tracker.list(&Query::new())?.items {
        println!("kept: {}", process.file().name());
    }
    assert_eq!(tracker.count(&Query::new())?.total(), 3);
    Ok(())
}
