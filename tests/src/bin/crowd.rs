//! Writes with several threads as fast as it can, while other OS processes do the same: `crowd <file> <threads>`.
//!
//! Says `ready`, begins when a line comes, and ends when its input does. Then it prints how many changes were
//! acknowledged, and for how many microseconds it waited for one at most. Any error ends it at once.

use std::error::Error;
use std::io::{Read, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use milepost::{NewProcess, Pipeline, Progress, SqliteStore, TrackError, Tracker};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments = std::env::args().skip(1).collect::<Vec<_>>();
    let [file, threads] = arguments.as_slice() else {
        return Err("usage: crowd <file> <threads>".into());
    };
    let count = threads.parse::<usize>()?;
    let tracker = Tracker::new(SqliteStore::open(file)?);
    println!("ready");
    std::io::stdout().flush()?;
    std::io::stdin().read_line(&mut String::new())?;
    let over = AtomicBool::new(false);
    let worked = thread::scope(|scope| {
        let threads = (0..count)
            .map(|_| scope.spawn(|| work(&tracker, &over)))
            .collect::<Vec<_>>();
        let ended = std::io::stdin().read_to_end(&mut Vec::new());
        over.store(true, Ordering::Relaxed);
        let worked = threads
            .into_iter()
            .map(|thread| thread.join().expect("no thread panics"))
            .collect::<Result<Vec<_>, _>>();
        ended.map(|_| worked)
    })??;
    let changes = worked.iter().map(|(changes, _)| changes).sum::<u64>();
    let worst = worked.iter().map(|(_, worst)| *worst).max();
    println!("{changes} {}", worst.unwrap_or_default().as_micros());
    Ok(())
}

/// Begins a process and reports on it, until it is over; how often, and how long the longest wait was.
fn work(tracker: &Tracker, over: &AtomicBool) -> Result<(u64, Duration), TrackError> {
    let pipeline = Pipeline::new("crowd", ["only"])?;
    let module = tracker.begin(NewProcess::new(&pipeline))?.module(1)?;
    let (mut changes, mut worst) = (1, Duration::ZERO);
    while !over.load(Ordering::Relaxed) {
        let began = Instant::now();
        let applied = module.progress(Progress::unbounded(changes))?;
        worst = worst.max(began.elapsed());
        assert!(applied.changed, "each report is a change");
        changes += 1;
    }
    Ok((changes, worst))
}
