//! A worker and a watcher, as two OS processes that share nothing but a PostgreSQL server: they may run on two machines.
//!
//! `DATABASE_URL=.. cargo run --example two_machines --features postgres` is the watcher: it begins a process, and starts the
//! same program as a worker, which could as well be started elsewhere with the line that it prints. The URL is not among the
//! arguments, where everybody on the machine could read its password.

use std::error::Error;
use std::process::Command;
use std::thread;
use std::time::Duration;

use milepost::{NewProcess, OverallStatus, Pipeline, PostgresStore, Progress, RequestId, Tracker};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments = std::env::args().skip(1).collect::<Vec<_>>();
    let url = std::env::var("DATABASE_URL");
    match (url, arguments.as_slice()) {
        (Ok(url), []) => watch(&url),
        (Ok(url), [id]) => work(&url, id.parse()?),
        _ => Err("usage: DATABASE_URL=<of a PostgreSQL server> two_machines [<request id>]".into()),
    }
}

/// Begins a process, lets another OS process work on it, and watches.
fn watch(url: &str) -> Result<(), Box<dyn Error>> {
    // Changes by others are polled for, by one statement whatever the number of those that are watched.
    let tracker =
        Tracker::new(PostgresStore::connect(url)?).poll_interval(Duration::from_millis(20));
    let pipeline = Pipeline::new("transcode", ["decode", "encode"])?;
    let process = tracker.begin(NewProcess::new(&pipeline).file_name("talk.mov"))?;
    let id = process.request_id();
    println!("elsewhere: DATABASE_URL=.. two_machines {id}");

    let mut worker = Command::new(std::env::current_exe()?)
        .arg(id.to_string())
        .spawn()?;
    // A worker that dies cannot say so: whoever started it does, and so the watch comes to its end.
    let undertaker = thread::spawn(move || match worker.wait() {
        Ok(exit) if exit.success() => Ok(()),
        _ => process.cancel("the worker died").map(drop),
    });
    for line in tracker.watch(id)?.describe() {
        println!("{}", line?);
    }
    undertaker.join().expect("it does not panic")?;
    if tracker.get(id)?.status() != OverallStatus::Complete {
        return Err("the worker has not completed it".into());
    }
    Ok(())
}

/// Claims a process that was begun elsewhere, and takes it through its modules.
fn work(url: &str, id: RequestId) -> Result<(), Box<dyn Error>> {
    let tracker = Tracker::new(PostgresStore::connect(url)?);
    let worker = format!("OS process {}", std::process::id());
    let lease = tracker.claim(id, &worker, Duration::from_secs(30))?;
    for module in lease.unfinished() {
        module.start()?;
        for frame in 1..=4 {
            thread::sleep(Duration::from_millis(30));
            module.progress(Progress::of(frame, 4).unit("frames"))?;
        }
        module.complete()?;
    }
    Ok(())
}
