//! Works under leases beside others that do the same: `rival <hold|contend|submit> <file> <argument>`.
//!
//! - `hold <file> <request id>`: claims the process, starts its first module, says so, and works for ever.
//! - `contend <file> <seed>`: claims, works on, stalls and reaps whatever is ongoing, until nothing is. Prints a
//!   line for each change that was acknowledged, and one for each process that it reaped.
//! - `submit <file> <key>`: begins the process of this key, and prints its id and whether that was new.

use std::error::Error;
use std::io::Write;
use std::thread;
use std::time::Duration;

use milepost::{
    Lease, NewProcess, OverallStatus, Pipeline, Progress, Query, ReapPolicy, Rejection,
    SqliteStore, TrackError, Tracker,
};

/// Long enough for what is done under it, unless that stalls on purpose.
const LEASE: Duration = Duration::from_millis(400);

fn main() -> Result<(), Box<dyn Error>> {
    let arguments = std::env::args().skip(1).collect::<Vec<_>>();
    let [task, file, argument] = arguments.as_slice() else {
        return Err("usage: rival <hold|contend|submit> <file> <argument>".into());
    };
    let tracker = Tracker::new(SqliteStore::open(file)?);
    match task.as_str() {
        "hold" => hold(&tracker, argument),
        "contend" => Ok(contend(&tracker, argument.parse()?)?),
        "submit" => submit(&tracker, argument),
        _ => Err(format!("there is no task {task}").into()),
    }
}

/// One write a line, so that whoever reads the pipe gets whole ones.
fn say(line: &str) {
    let line = format!("{line}\n");
    std::io::stdout()
        .write_all(line.as_bytes())
        .expect("the pipe is read");
}

fn hold(tracker: &Tracker, id: &str) -> Result<(), Box<dyn Error>> {
    let lease = tracker.claim(id.parse()?, "holder", Duration::from_secs(1))?;
    let module = lease.module(1)?;
    module.start()?;
    module.progress(Progress::of(1, 2))?;
    say(&format!("holding {}", lease.token()));
    loop {
        thread::sleep(Duration::from_millis(100));
        lease.renew()?;
    }
}

fn submit(tracker: &Tracker, key: &str) -> Result<(), Box<dyn Error>> {
    let pipeline = Pipeline::new("submitted", ["only"])?;
    let process = tracker.begin(NewProcess::new(&pipeline).idempotency_key(key))?;
    say(&format!("{} {}", process.request_id(), process.is_new()));
    Ok(())
}

fn contend(tracker: &Tracker, seed: usize) -> Result<(), TrackError> {
    let name = format!("rival {seed}");
    for round in seed.. {
        let ongoing = Query::new().status(OverallStatus::Ongoing).limit(1_000);
        let ongoing = tracker.list(&ongoing)?.items;
        if ongoing.is_empty() {
            break;
        }
        for step in 0..ongoing.len() {
            // Before each claim, which takes over what has stalled: else now and then nothing was left to be reaped.
            let reaped = tracker.reap(ReapPolicy::retry(u32::MAX))?;
            (0..reaped.total()).for_each(|_| say("reaped"));
            let id = ongoing[(round + step) % ongoing.len()].request_id();
            match tracker.claim(id, &name, LEASE) {
                Ok(lease) => {
                    say(&format!("{id} {}", lease.token()));
                    work(&lease, (round + step).is_multiple_of(5))?;
                }
                // Claimed, and taken over before it could be read.
                Err(TrackError::Rejected(Rejection::Fenced { given, .. })) => {
                    say(&format!("{id} {given}"));
                }
                Err(TrackError::Rejected(Rejection::Held { .. } | Rejection::Settled { .. })) => {}
                Err(error) => return Err(error),
            }
        }
    }
    Ok(())
}

/// Does one module's work, or stalls in the middle of it and wakes up too late.
fn work(lease: &Lease, stalls: bool) -> Result<(), TrackError> {
    for module in lease.modules() {
        match module.start() {
            Ok(applied) => acknowledge(lease, &applied),
            // Whoever held it before has done it.
            Err(TrackError::Rejected(Rejection::Illegal { .. })) => continue,
            // Slow enough to have lost it without meaning to.
            Err(TrackError::Rejected(Rejection::Fenced { .. })) => return Ok(()),
            Err(error) => return Err(error),
        }
        if stalls {
            thread::sleep(LEASE + Duration::from_millis(20));
            let late = module.complete();
            assert!(
                matches!(late, Err(TrackError::Rejected(Rejection::Fenced { .. }))),
                "a late op was let through: {late:?}"
            );
            let late = lease.renew();
            assert!(
                matches!(late, Err(TrackError::Rejected(Rejection::Fenced { .. }))),
                "a late renewal was let through: {late:?}"
            );
            return Ok(());
        }
        match module.complete() {
            Ok(applied) => acknowledge(lease, &applied),
            Err(TrackError::Rejected(Rejection::Fenced { .. })) => return Ok(()),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn acknowledge(lease: &Lease, applied: &milepost::Applied) {
    if applied.changed {
        say(&format!("{} {}", lease.request_id(), applied.revision));
    }
}
