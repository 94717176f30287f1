//! Erases and wipes, for the laws of erasure.
//!
//! - `erase work <file> <list> <seed> <processes> <level> <durability> <how>` makes processes with marks in every field,
//!   erases every second one in every way there is while others work, and wipes until that is done: to `wipe` after
//!   another program has left copies in the file, or `alone`. What bears which marks it writes to the list; what it prints
//!   must not hold any. Other ways: `truncate` only deletes and cuts the WAL off, `babble` prints a mark, and
//!   `statistics` has another program `ANALYZE`, delete the rows and `VACUUM`.
//! - `erase wipe <file> <list> <level> <durability> <how>` works on those of the list that are to go, so that the WAL too
//!   has bytes of theirs, erases them, says `erased`, wipes, says `done`, and does nothing more until it is killed. The
//!   ways: `honest`; `hasty` says so at once; `unsynced` deletes the rows by its own SQL, which `VACUUM` then leaves out,
//!   and cuts the WAL off, which nothing syncs.
//! - `erase write <file> <list> <level> <durability>` writes about those of the list that stay, an op each millisecond,
//!   says `writes`, and once its input ends how many microseconds each took from when it was due.

use std::error::Error;
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use milepost::{
    Change, Durability, Query, RequestId, SqliteConfig, SqliteStore, TrackError, Tracker, Wipe,
    WipeLevel,
};
use milepost_tests::laws::erase::{Marked, grow, populate, read_list, write_list, write_on_time};

type Outcome = Result<(), Box<dyn Error>>;

fn main() -> Outcome {
    let arguments = std::env::args().skip(1).collect::<Vec<_>>();
    let arguments = arguments.iter().map(String::as_str).collect::<Vec<_>>();
    match arguments[..] {
        ["work", file, list, seed, processes, level, durability, how] => {
            let config = config(file, level, durability);
            work(
                &config,
                Path::new(list),
                seed.parse()?,
                processes.parse()?,
                how,
            )
        }
        ["wipe", file, list, level, durability, how] => {
            let all = read_list(Path::new(list)).map_err(|broken| broken.to_string())?;
            wipe(&config(file, level, durability), &all, how)
        }
        ["write", file, list, level, durability] => {
            let ids = fs::read_to_string(list)?;
            let ids = ids.lines().map(str::parse).collect::<Result<Vec<_>, _>>()?;
            write(&config(file, level, durability), &ids)
        }
        _ => Err("see the top of tests/src/bin/erase.rs".into()),
    }
}

fn config(file: &str, level: &str, durability: &str) -> SqliteConfig {
    SqliteConfig {
        wipe_level: match level {
            "media" => WipeLevel::Media,
            _ => WipeLevel::Files,
        },
        durability: match durability {
            "normal" => Durability::Normal,
            _ => Durability::Full,
        },
        ..SqliteConfig::new(file)
    }
}

fn open(config: &SqliteConfig) -> Result<Tracker, Box<dyn Error>> {
    Ok(Tracker::new(SqliteStore::open_with(config.clone())?))
}

fn work(config: &SqliteConfig, list: &Path, seed: u64, processes: u64, how: &str) -> Outcome {
    let mut random = fastrand::Rng::with_seed(seed);
    let quick = SqliteConfig {
        durability: Durability::Normal,
        ..config.clone()
    };
    let all = populate(&open(&quick)?, &mut random, processes)?;
    write_list(list, &all)?;
    // Which also gives blocks back.
    if how == "wipe" {
        write_without_secure_delete(config)?;
    }
    let (going, staying): (Vec<_>, Vec<_>) = all.into_iter().partition(|marked| marked.goes);
    let tracker = open(config)?;
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| -> Outcome {
        let workers = [1, 2, 3].map(|number| {
            let (staying, stop) = (&staying, &stop);
            // One of them as another OS process would, with a store of its own.
            let tracker = if number == 1 {
                open(config)
            } else {
                Ok(tracker.clone())
            };
            let mut random = fastrand::Rng::with_seed(seed ^ number);
            let tracker = tracker.expect("it opens again");
            scope.spawn(move || -> Result<(), TrackError> {
                while !stop.load(Ordering::Relaxed) {
                    let from = random.usize(..staying.len());
                    let some = &staying[from..staying.len().min(from + 20)];
                    grow(&tracker, &mut random, some)?;
                    std::thread::sleep(Duration::from_millis(2));
                }
                Ok(())
            })
        });
        let erased = match how {
            "truncate" => erase_by_ops(&tracker, &going),
            "statistics" => erase_by_sql(config, &going),
            _ => erase(&tracker, &going).and_then(|()| wipe_until_done(&tracker)),
        };
        ask_in_vain(&tracker, &going);
        stop.store(true, Ordering::Relaxed);
        for worker in workers {
            worker.join().expect("no worker panics")?;
        }
        erased
    })?;
    for marked in &staying {
        tracker.get(marked.id)?;
    }
    drop(tracker);
    if how == "truncate" {
        let foreign = rusqlite::Connection::open(&config.path)?;
        foreign.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)")?;
    }
    println!("erased {}, kept {}", going.len(), staying.len());
    if how == "babble" {
        println!("such as {}", going[0].token);
    }
    Ok(())
}

/// What another program may do to the file: copies in free pages, in statistics, and in indexes that were made anew.
fn write_without_secure_delete(config: &SqliteConfig) -> Outcome {
    let foreign = rusqlite::Connection::open(&config.path)?;
    foreign.busy_timeout(Duration::from_secs(5))?;
    foreign.execute_batch(
        "PRAGMA secure_delete = OFF;
         CREATE TABLE copy AS SELECT * FROM process_a;
         INSERT INTO copy SELECT * FROM copy;
         DELETE FROM copy WHERE row % 3 = 0;
         DROP TABLE copy;
         REINDEX;
         ANALYZE;",
    )?;
    Ok(())
}

/// In every way there is.
fn erase(tracker: &Tracker, going: &[Marked]) -> Outcome {
    for (number, marked) in going.iter().enumerate() {
        match number % 50 {
            0 => {
                tracker.erase(marked.id)?;
            }
            1 => {
                tracker.erase_file(marked.file_id)?;
            }
            2 => {
                tracker
                    .erase_matching(&Query::new().directory(&format!("/in/{}", marked.token)))?;
            }
            3 => {
                tracker.update(
                    marked.id,
                    milepost::Update::new().expires_in(Duration::from_millis(1)),
                )?;
                std::thread::sleep(Duration::from_millis(2));
                tracker.purge()?;
            }
            _ => erase_by_ops(tracker, std::slice::from_ref(marked))?,
        }
    }
    Ok(())
}

/// Which does not wipe.
fn erase_by_ops(tracker: &Tracker, going: &[Marked]) -> Outcome {
    let erase = going
        .iter()
        .map(|marked| tracker.op(marked.id, Change::erase()));
    for verdict in tracker.apply(&erase.collect::<Vec<_>>())? {
        verdict?;
    }
    Ok(())
}

fn wipe_until_done(tracker: &Tracker) -> Outcome {
    let began = Instant::now();
    loop {
        match tracker.wipe()? {
            Wipe::Done => return Ok(()),
            wipe if began.elapsed() > Duration::from_mins(1) => {
                return Err(format!("it does not end: {wipe:?}").into());
            }
            _ => {}
        }
    }
}

/// Prints what somebody is told who asks for what was erased.
fn ask_in_vain(tracker: &Tracker, going: &[Marked]) {
    for marked in going.iter().take(5) {
        let late = tracker.op(marked.id, Change::complete(3));
        println!("{:?}", tracker.apply(&[late]));
        for error in [
            tracker.get(marked.id).map(drop),
            tracker.cancel(marked.id, "late").map(drop),
            tracker.process_status(marked.id).map(drop),
        ] {
            println!("{error:?}");
            if let Err(error) = error {
                eprintln!("{error}");
            }
        }
    }
    eprintln!("{tracker:?}");
}

fn wipe(config: &SqliteConfig, all: &[Marked], how: &str) -> Outcome {
    let going = all.iter().filter(|marked| marked.goes).cloned();
    let going = going.collect::<Vec<_>>();
    let tracker = open(&SqliteConfig {
        // Several calls, so that it is broken off between them too.
        wipe_budget: Duration::from_millis(5),
        ..config.clone()
    })?;
    grow(&tracker, &mut fastrand::Rng::with_seed(1), &going)?;
    if how == "unsynced" {
        wipe_unsynced(config, &going)?;
    } else {
        erase_by_ops(&tracker, &going)?;
        println!("erased");
        if how != "hasty" {
            wipe_until_done(&tracker)?;
        }
    }
    println!("done");
    loop {
        std::thread::park();
    }
}

fn wipe_unsynced(config: &SqliteConfig, going: &[Marked]) -> Outcome {
    let connection = rusqlite::Connection::open(&config.path)?;
    connection.execute_batch("PRAGMA synchronous = NORMAL; PRAGMA secure_delete = ON;")?;
    delete(&connection, going)?;
    println!("erased");
    connection.execute_batch("VACUUM; PRAGMA wal_checkpoint(TRUNCATE);")?;
    Ok(())
}

fn delete(connection: &rusqlite::Connection, going: &[Marked]) -> Outcome {
    for marked in going {
        let id = uuid::Uuid::from(marked.id);
        for table in ["process_a", "process_b"] {
            let delete = format!("DELETE FROM {table} WHERE request_id = ?1");
            connection.execute(&delete, [id.as_bytes()])?;
        }
    }
    Ok(())
}

/// With everything zeroed, but for what `ANALYZE` has copied.
fn erase_by_sql(config: &SqliteConfig, going: &[Marked]) -> Outcome {
    let connection = rusqlite::Connection::open(&config.path)?;
    connection.busy_timeout(Duration::from_secs(10))?;
    connection.execute_batch("PRAGMA secure_delete = ON; ANALYZE")?;
    delete(&connection, going)?;
    connection.execute_batch("VACUUM; PRAGMA wal_checkpoint(TRUNCATE);")?;
    Ok(())
}

fn write(config: &SqliteConfig, ids: &[RequestId]) -> Outcome {
    let tracker = open(config)?;
    let stop = AtomicBool::new(false);
    println!("writes");
    let waits = std::thread::scope(|scope| {
        let writer = scope.spawn(|| write_on_time(&tracker, ids, &stop));
        let mut nothing = String::new();
        let read = std::io::stdin().read_line(&mut nothing);
        stop.store(true, Ordering::Relaxed);
        let waits = writer.join().expect("the writer does not panic");
        read.map(|_| waits)
    })?;
    let waits = waits.map_err(|broken| broken.to_string())?;
    let lines = waits.iter().map(|wait| format!("{}\n", wait.as_micros()));
    print!("{}", lines.collect::<String>());
    Ok(())
}
