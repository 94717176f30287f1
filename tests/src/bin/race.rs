//! What the laws of rivals run in OS processes of their own.
//!
//! - `race call <file> <seed> <number> <calls> <processes> <patience in ms> <fault>`: says `ready`, begins when a line
//!   comes, and calls with eight threads. Prints a line for each call that was answered.
//! - `race write <file> <full|normal>` and `race read <file>`: write, and keep reads overlapping, until the input
//!   ends. The first prints how many changes were acknowledged.
//! - `race by-hand <file> <full|normal>`: writes with SQLite alone, which makes its own checkpoints.
//! - `race fork <file> <full|normal> <forks> <guarded|bare>`: see `forks.rs`.

use std::error::Error;
use std::io::{self, Read, Write};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use milepost::{
    Durability, NewProcess, Op, Pipeline, Progress, Query, SqliteConfig, SqliteStore, TrackError,
    Tracker,
};
use milepost_tests::race::client::{self, Task};
use milepost_tests::race::faulty::Faulty;
use milepost_tests::race::forks;
use milepost_tests::reads::hold_snapshot;

type Outcome<T> = Result<T, Box<dyn Error>>;

fn main() -> ExitCode {
    let arguments = std::env::args().skip(1).collect::<Vec<_>>();
    let arguments = arguments.iter().map(String::as_str).collect::<Vec<_>>();
    let outcome = match arguments.as_slice() {
        ["call", file, rest @ ..] => call(file, rest),
        ["write", file, durability] => write(file, durability),
        ["read", file] => read(file),
        ["by-hand", file, level] => write_by_hand(file, level),
        ["fork", file, durability, count, guarded] => fork(file, durability, count, guarded),
        _ => Err("usage: see the program's source".into()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Where whoever started it looks.
            println!("failed: {error}");
            ExitCode::FAILURE
        }
    }
}

fn durability(name: &str) -> Outcome<Durability> {
    match name {
        "full" => Ok(Durability::Full),
        "normal" => Ok(Durability::Normal),
        _ => Err(format!("there is no durability {name}").into()),
    }
}

/// Says that it is ready, and waits until all are.
fn get_ready() -> Outcome<()> {
    println!("ready");
    std::io::stdin().read_line(&mut String::new())?;
    Ok(())
}

fn call(file: &str, rest: &[&str]) -> Outcome<()> {
    const THREADS: u64 = 8;
    let [seed, number, calls, processes, patience, fault] = rest else {
        return Err("give a seed, a number, calls, processes, a patience and a fault".into());
    };
    let (seed, number, calls) = (seed.parse()?, number.parse::<u64>()?, calls.parse::<u64>()?);
    let patience = Duration::from_millis(patience.parse()?);
    let processes = processes.parse()?;
    // Some sync each commit, and some have a thread that makes checkpoints.
    let level = if number.is_multiple_of(2) {
        "full"
    } else {
        "normal"
    };
    let store = SqliteStore::open_with(SqliteConfig {
        busy_timeout: patience,
        durability: durability(level)?,
        ..SqliteConfig::new(file)
    })?;
    let tracker = Tracker::new(Faulty::over(store, fault.parse()?));
    get_ready()?;
    let over = AtomicBool::new(false);
    let histories = thread::scope(|scope| {
        // One of them wipes all the while, which moves every row from one table to the other.
        let wiping = (number == 3).then(|| scope.spawn(|| wipe_until(&tracker, &over)));
        let threads = (0..THREADS).map(|thread| {
            let task = Task {
                seed,
                client: number * THREADS + thread,
                calls: calls / THREADS + u64::from(thread < calls % THREADS),
                processes,
                patience,
            };
            let tracker = &tracker;
            scope.spawn(move || client::work(tracker, &task))
        });
        let threads = threads.collect::<Vec<_>>();
        let join = |thread: thread::ScopedJoinHandle<'_, _>| thread.join().expect("no panic");
        let histories = threads.into_iter().map(join).collect::<Result<Vec<_>, _>>();
        over.store(true, Ordering::Relaxed);
        if let Some(wiping) = wiping {
            wiping.join().expect("no panic")?;
        }
        histories
    });
    let histories = histories.map_err(|broken| broken.to_string())?;
    let lines = histories.iter().flatten().map(|entry| format!("{entry}\n"));
    std::io::stdout().write_all(lines.collect::<String>().as_bytes())?;
    Ok(())
}

fn wipe_until(tracker: &Tracker, over: &AtomicBool) -> Result<(), TrackError> {
    while !over.load(Ordering::Relaxed) {
        tracker.wipe()?;
        thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}

/// Runs `work` on some threads, over and over until the input ends. Answers how often.
fn until_told<E: Error + Send + 'static>(
    threads: usize,
    work: impl Fn(usize, u64) -> Result<(), E> + Sync,
) -> Outcome<u64> {
    get_ready()?;
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let threads = (0..threads).map(|thread| {
            let (over, work) = (&over, &work);
            scope.spawn(move || {
                let mut times = 0;
                while !over.load(Ordering::Relaxed) {
                    times += 1;
                    work(thread, times)?;
                }
                Ok::<_, E>(times)
            })
        });
        let threads = threads.collect::<Vec<_>>();
        let ended = std::io::stdin().read_to_end(&mut Vec::new());
        over.store(true, Ordering::Relaxed);
        let times = threads
            .into_iter()
            .map(|thread| thread.join().expect("no panic"));
        let times = times.sum::<Result<u64, E>>()?;
        ended?;
        Ok(times)
    })
}

/// Opens a store, and begins what is written to.
fn press(file: &str, level: &str) -> Outcome<(Tracker, Vec<Op>)> {
    let config = SqliteConfig {
        durability: durability(level)?,
        ..SqliteConfig::new(file)
    };
    let tracker = Tracker::new(SqliteStore::open_with(config)?);
    let pipeline = Pipeline::new("pressing", ["only"])?;
    // Enough that a change is on another page than the one before, and a read takes a while.
    let begun = (0..2_000).map(|_| tracker.prepare(NewProcess::new(&pipeline)));
    let begun = begun.collect::<Result<Vec<_>, _>>()?;
    tracker.apply(&begun)?;
    Ok((tracker, begun))
}

fn write(file: &str, level: &str) -> Outcome<()> {
    const THREADS: usize = 4;
    let (tracker, begun) = press(file, level)?;
    let share = begun.len() / THREADS;
    let times = until_told(THREADS, |thread, times| {
        let round = usize::try_from(times).expect("it fits");
        let op = &begun[thread * share + round * 7 % share];
        let module = tracker.process(op.id)?.module(1)?;
        module.progress(Progress::unbounded(times))?;
        Ok::<(), TrackError>(())
    })?;
    println!("{times}");
    Ok(())
}

fn read(file: &str) -> Outcome<()> {
    // More than there are turns on the machine, so that before one has ended the next has begun.
    const LISTS: usize = 4;
    /// Those who read as long as is promised, of whom one always began before the other ended.
    const SNAPSHOTS: usize = 2;
    const TENTH: Duration = Duration::from_millis(100);
    let tracker = Tracker::new(SqliteStore::open(file)?);
    let times = until_told(LISTS + SNAPSHOTS, |number, times| {
        if number < LISTS {
            let listed = tracker.list(&Query::new().limit(1_000));
            listed.map(drop).map_err(io::Error::other)
        } else {
            if times == 1 && number == LISTS {
                thread::sleep(TENTH / 2);
            }
            hold_snapshot(file.as_ref(), TENTH).map_err(io::Error::other)
        }
    })?;
    println!("{times}");
    Ok(())
}

/// With SQLite's own checkpoints, which start nothing anew while somebody reads.
fn write_by_hand(file: &str, level: &str) -> Outcome<()> {
    drop(press(file, level)?);
    let connection = rusqlite::Connection::open(file)?;
    let connection = std::sync::Mutex::new(connection);
    let times = until_told(1, |_, _| {
        let connection = connection.lock().expect("no panic");
        connection.execute_batch(
            "BEGIN IMMEDIATE;
             CREATE TABLE IF NOT EXISTS ballast (b BLOB);
             INSERT INTO ballast VALUES (zeroblob(100000));
             COMMIT",
        )
    })?;
    println!("{times}");
    Ok(())
}

fn fork(file: &str, level: &str, count: &str, guarded: &str) -> Outcome<()> {
    let way = match guarded {
        "guarded" => forks::Way::Guarded,
        "bare" => forks::Way::Bare,
        _ => return Err(format!("there is no way {guarded}").into()),
    };
    let forks = forks::run(file.as_ref(), durability(level)?, count.parse()?, way);
    println!("{}", forks.map_err(|broken| broken.to_string())?);
    Ok(())
}
