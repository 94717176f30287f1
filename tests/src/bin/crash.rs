//! Is killed, or its disk cut off, for the laws of crashes: see `laws::crash`.
//!
//! - `crash write <file> <full|normal> <reopens|stays> <boasts|is-honest>`: takes a line for each writer and then `go`
//!   from its input, does what their plans have them do, and says so. It ends when its input does.
//! - `crash cuts ..`: tries the law of power cuts, in a mount namespace of its own.

use std::error::Error;
use std::fmt;
use std::io::{Read, Write};
use std::path::Path;
use std::process;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use milepost::{SqliteConfig, SqliteStore, StatusStore, StoreError, limits};
use milepost_tests::laws::crash::pipe::{Line, Task};
use milepost_tests::laws::crash::plan::{Plan, Step};
use milepost_tests::laws::crash::{Manner, cut};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments = std::env::args().skip(1).collect::<Vec<_>>();
    match arguments.split_first() {
        Some((task, words)) if task == "cuts" => {
            println!("{}", cut(words).ok_or("these are not its words")?);
            Ok(())
        }
        Some((task, words)) if task == "write" => {
            let (file, words) = words.split_first().ok_or("give a file")?;
            let manner = Manner::of_words(words).ok_or("these are not its words")?;
            write(Path::new(file), manner)
        }
        _ => Err("usage: crash <write|cuts> ..".into()),
    }
}

/// Says a line, in one write.
fn say(line: &Line) {
    let line = format!("{line}\n");
    if std::io::stdout().write_all(line.as_bytes()).is_err() {
        // Nobody listens any more.
        process::exit(1);
    }
}

/// Says what is wrong, and ends at once.
fn complain(what: &impl fmt::Display) -> ! {
    say(&Line::Wrong(what.to_string()));
    process::exit(1);
}

fn write(file: &Path, manner: Manner) -> Result<(), Box<dyn Error>> {
    let mut tasks = Vec::<Task>::new();
    for line in std::io::stdin().lines() {
        let line = line?;
        if line == "go" {
            break;
        }
        tasks.push(line.parse()?);
    }
    let over = Arc::new(AtomicBool::new(false));
    thread::spawn({
        let over = Arc::clone(&over);
        move || {
            // Whatever becomes of it, it has ended.
            let _ = std::io::stdin().read_to_end(&mut Vec::new());
            over.store(true, Ordering::Relaxed);
        }
    });
    let shared = (!manner.reopens).then(|| open(file, manner));
    thread::scope(|scope| {
        for task in &tasks {
            let (shared, over) = (shared.clone(), Arc::clone(&over));
            scope.spawn(move || work(task, shared, || open(file, manner), manner.boasts, &over));
        }
    });
    // Dropping `shared` closes the file.
    Ok(())
}

fn open(file: &Path, manner: Manner) -> Arc<SqliteStore> {
    say(&Line::Opening);
    let store = SqliteStore::open_with(SqliteConfig {
        durability: manner.durability,
        ..SqliteConfig::new(file)
    });
    Arc::new(store.unwrap_or_else(|error| complain(&described(&error))))
}

/// Takes one step after the other.
fn work(
    task: &Task,
    shared: Option<Arc<SqliteStore>>,
    open: impl Fn() -> Arc<SqliteStore>,
    boasts: bool,
    over: &AtomicBool,
) {
    let reopens = shared.is_none();
    let mut random = fastrand::Rng::with_seed(task.seed);
    let mut store = shared.unwrap_or_else(&open);
    let inherited = store.read_many(&task.inherits);
    let inherited = inherited.unwrap_or_else(|error| complain(&described(&error)));
    let mut plan = Plan::new(task.seed, task.begins, inherited.into_iter().flatten());
    for number in 0.. {
        if over.load(Ordering::Relaxed) {
            break;
        }
        let step = plan.step();
        say(&Line::Try(task.writer, number));
        if boasts {
            say(&Line::Done(task.writer, number));
        }
        if let Err(error) = take(&step, &store) {
            complain(&error);
        }
        if !boasts {
            say(&Line::Done(task.writer, number));
        }
        if reopens && random.u8(..10) == 0 {
            drop(store);
            store = open();
        }
    }
}

fn take(step: &Step, store: &SqliteStore) -> Result<(), String> {
    match step {
        Step::Write(batch) => {
            let verdicts = store.write(&batch.ops).map_err(|error| described(&error))?;
            if verdicts == batch.verdicts {
                return Ok(());
            }
            Err(format!(
                "{:?} answered {verdicts:?} instead of {:?}",
                batch.ops, batch.verdicts
            ))
        }
        Step::Purge(by) => match store.purge(*by, limits::PURGE) {
            Ok(limits::PURGE..) => Err("more expired than was begun".to_owned()),
            Ok(_) => Ok(()),
            Err(error) => Err(described(&error)),
        },
        // How far it came is another law's.
        Step::Wipe => store
            .wipe(milepost::WipeLevel::Files)
            .map(drop)
            .map_err(|error| described(&error)),
    }
}

/// An error and its cause.
fn described(error: &StoreError) -> String {
    let cause = error.source().map(ToString::to_string);
    format!("{error}: {}", cause.unwrap_or_default())
}
