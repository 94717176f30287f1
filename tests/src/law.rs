//! What a law of trust is, and how it is run: briefly by `./test`, at full length by the program `laws`.

use std::error::Error;
use std::fmt;
use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, MutexGuard, Once, PoisonError};
use std::time::{Duration, Instant};

/// How long a law may take when it is run briefly.
const BRIEFLY: Duration = Duration::from_secs(6);

/// One thing that is promised, and how often it is tried.
#[derive(Debug)]
#[expect(clippy::exhaustive_structs, reason = "each is written out, in `laws`")]
pub struct Law {
    /// Its name, by which it is asked for and stands in the result files.
    pub name: &'static str,
    /// The promise, in a sentence.
    pub says: &'static str,
    /// What is counted: kills, cuts, faults.
    pub unit: &'static str,
    /// How many are tried at once in the long run: what is lost if it is broken off.
    pub shard: u64,
    /// How many are asked for in the long run.
    pub asked: u64,
    /// Tries it.
    pub run: fn(&Shard<'_>) -> Result<Done, Broken>,
}

impl Law {
    /// Tries a part of it.
    ///
    /// # Errors
    ///
    /// How it is broken.
    pub fn try_shard(&self, shard: &Shard<'_>) -> Result<Done, Broken> {
        hearing_panics(|| (self.run)(shard))
    }
}

/// What threads of the stores have panicked with. Nobody else hears of it: no call ends with it.
static PANICS: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// Such a panic breaks the law that it happens in.
fn hearing_panics<T>(run: impl FnOnce() -> Result<T, Broken>) -> Result<T, Broken> {
    static HEARING: Once = Once::new();
    HEARING.call_once(|| {
        let others = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            let thread = std::thread::current();
            if let Some(name) = thread.name().filter(|name| name.starts_with("milepost-")) {
                panics().push(format!("the thread {name} panicked: {panic}"));
            }
            others(panic);
        }));
    });
    let outcome = run();
    let panicked = std::mem::take(&mut *panics());
    match panicked.into_iter().next() {
        Some(how) => Err(Broken(how)),
        None => outcome,
    }
}

fn panics() -> MutexGuard<'static, Vec<String>> {
    PANICS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A part of a law's run.
#[expect(clippy::exhaustive_structs, reason = "whoever runs a law builds one")]
#[derive(Debug, Clone, Copy)]
pub struct Shard<'a> {
    /// What is random in it follows from this.
    pub seed: u64,
    /// How many to try.
    pub count: u64,
    /// When to stop trying, though fewer are done: for a brief run.
    pub until: Option<Instant>,
    /// An empty directory of its own.
    pub scratch: &'a Path,
}

impl Shard<'_> {
    /// Whether another is to be tried after `done`.
    #[must_use]
    pub fn goes_on(&self, done: u64) -> bool {
        done < self.count && self.until.is_none_or(|until| Instant::now() < until)
    }

    /// The random numbers of the try with this number: another shard tries others.
    #[must_use]
    pub fn random(&self, number: u64) -> fastrand::Rng {
        fastrand::Rng::with_seed(self.seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ number)
    }
}

/// What a run has shown.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "there is no third outcome")]
pub enum Done {
    /// So many were tried, and the law held in each.
    Tried(u64),
    /// It cannot be tried here, and why: nothing is shown.
    Skipped(String),
}

/// The law does not hold, or could not be tried to its end, and how that showed.
#[derive(Debug)]
pub struct Broken(String);

impl Broken {
    /// A law that is broken in this way.
    pub fn new(how: impl Into<String>) -> Self {
        Broken(how.into())
    }
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<E: Error> From<E> for Broken {
    fn from(error: E) -> Self {
        let mut how = error.to_string();
        let mut cause = error.source();
        while let Some(error) = cause {
            how = format!("{how}: {error}");
            cause = error.source();
        }
        Broken(how)
    }
}

/// Says how the law is broken, unless `holds`.
pub fn ensure(holds: bool, how: impl FnOnce() -> String) -> Result<(), Broken> {
    if holds { Ok(()) } else { Err(Broken(how())) }
}

/// The first seed: 1, unless `MILEPOST_SEED` says otherwise.
///
/// # Panics
///
/// If that is no number.
#[must_use]
pub fn first_seed() -> u64 {
    std::env::var("MILEPOST_SEED").map_or(1, |seed| seed.parse().expect("a number"))
}

/// Tries `count` of a law, for 10 seconds at most: what `./test` does.
///
/// # Panics
///
/// If the law is broken, or nothing was tried.
pub fn briefly(law: &Law, count: u64) {
    let seed = first_seed();
    match in_scratch(seed, count, Some(Instant::now() + BRIEFLY), law.run) {
        Ok(Done::Tried(0)) => panic!("{}: nothing was tried", law.name),
        Ok(Done::Tried(done)) => println!("{}: {done} {}", law.name, law.unit),
        Ok(Done::Skipped(why)) => say_skipped(law.name, &why),
        Err(how) => panic!("{} (seed {seed}): {how}", law.name),
    }
}

/// Tries `count` of a law in which something is broken; how it says so.
///
/// # Panics
///
/// If it is not noticed.
pub fn broken(count: u64, run: impl FnOnce(&Shard<'_>) -> Result<Done, Broken>) -> String {
    match in_scratch(1, count, None, run) {
        Ok(done) => panic!("it is not noticed: {done:?}"),
        Err(how) => how.to_string(),
    }
}

/// As [`broken`]; none, and that is said, where what has this name cannot be tried.
///
/// # Panics
///
/// If it is not noticed.
pub fn broken_if_tried(
    name: &str,
    count: u64,
    run: impl FnOnce(&Shard<'_>) -> Result<Done, Broken>,
) -> Option<String> {
    match in_scratch(1, count, None, run) {
        Ok(Done::Skipped(why)) => {
            say_skipped(name, &why);
            None
        }
        Ok(done) => panic!("{name} is not noticed: {done:?}"),
        Err(how) => Some(how.to_string()),
    }
}

fn in_scratch(
    seed: u64,
    count: u64,
    until: Option<Instant>,
    run: impl FnOnce(&Shard<'_>) -> Result<Done, Broken>,
) -> Result<Done, Broken> {
    let scratch = tempfile::tempdir().expect("there is room for a directory");
    let shard = Shard {
        seed,
        count,
        until,
        scratch: scratch.path(),
    };
    hearing_panics(|| run(&shard))
}

/// Says what is skipped, and why. What a test prints is not seen if it passes, so it also goes into the file that
/// `MILEPOST_SKIPPED` names.
///
/// # Panics
///
/// If it cannot be said there.
pub fn say_skipped(name: &str, why: &str) {
    let line = format!("SKIPPED {name}: {why}");
    println!("{line}");
    if let Some(path) = std::env::var_os("MILEPOST_SKIPPED") {
        let file = OpenOptions::new().create(true).append(true).open(path);
        file.and_then(|mut file| writeln!(file, "{line}"))
            .expect("it can be said");
    }
}

/// One of this package's programs, which stand beside whoever asks.
///
/// # Panics
///
/// If it was not built.
#[must_use]
pub fn program(name: &str) -> Command {
    let this = std::env::current_exe().expect("the program that runs has a path");
    let beside = this.ancestors().skip(1).take(2).map(|dir| dir.join(name));
    let found = beside.into_iter().find(|path: &PathBuf| path.is_file());
    Command::new(
        found.unwrap_or_else(|| panic!("{name} is not built: cargo build -p milepost-tests")),
    )
}
