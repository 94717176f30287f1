//! A worker and a watcher, as two OS processes on one file.
//!
//! This program is the watcher, and starts itself again as the worker. They share nothing but the path of
//! the file and the id of the process.

use std::error::Error;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::Duration;

use milepost::{NewProcess, OverallStatus, Pipeline, Progress, RequestId, SqliteStore, Tracker};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments = std::env::args().skip(1).collect::<Vec<_>>();
    match arguments.as_slice() {
        [] => watch(),
        [file, id] => work(Path::new(file), id.parse()?),
        _ => Err("usage: cargo run --example two_processes".into()),
    }
}

/// Begins a process, lets another OS process work on it, and watches.
fn watch() -> Result<(), Box<dyn Error>> {
    let directory = tempfile::tempdir()?;
    let file = directory.path().join("status.db");
    // Changes by other OS processes are polled for: every 100 ms unless told otherwise.
    let tracker = Tracker::new(SqliteStore::open(&file)?).poll_interval(Duration::from_millis(20));

    let pipeline = Pipeline::new("transcode", ["decode", "encode"])?;
    let process = tracker.begin(NewProcess::new(&pipeline).file_name("talk.mov"))?;
    let id = process.request_id();

    let mut worker = Command::new(std::env::current_exe()?)
        .arg(&file)
        .arg(id.to_string())
        .spawn()?;
    println!("{} watches, {} works", std::process::id(), worker.id());

    // A worker that dies cannot say so: whoever started it does, and so the watch comes to its end.
    let undertaker = thread::spawn(move || match worker.wait() {
        Ok(exit) if exit.success() => Ok(()),
        _ => process.cancel("the worker died").map(drop),
    });
    for line in tracker.watch(id)?.describe() {
        println!("{}", line?);
    }
    undertaker.join().expect("it does not panic")?;
    assert_eq!(tracker.get(id)?.status(), OverallStatus::Complete);
    Ok(())
}

/// Takes a process that another OS process has begun through its modules.
fn work(file: &Path, id: RequestId) -> Result<(), Box<dyn Error>> {
    let tracker = Tracker::new(SqliteStore::open(file)?);
    for module in tracker.process(id)?.modules() {
        module.start()?;
        for frame in 1..=4 {
            thread::sleep(Duration::from_millis(30));
            module.progress(Progress::of(frame, 4).unit("frames"))?;
        }
        module.complete()?;
    }
    Ok(())
}
