//! What all the programs here share: what is asked of them, and how a figure is taken.
//!
//! A program is run once for each figure, in a directory of its own:
//!
//! ```text
//! peer-<name> <work> <clients> <milliseconds> <directory>
//! ```
//!
//! and prints the operations that it did a second, or for the work `durability` what its connections are set to.

use std::error::Error;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// What a program's steps answer.
pub type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// What a job or a process carries: about 90 bytes of text.
pub const PAYLOAD: &str =
    "a-file-of-about-ninety-bytes-of-text-as-hosts-have-them-in-their-trackers-0123456789.pdf";
/// How many are created with one call, where one call creates many.
pub const BATCH: usize = 100;
/// How many there are to ask the status of.
pub const ASKED: usize = 10_000;
/// How many wait already, for [`Work::CreateWaiting`].
pub const WAITING: usize = 20_000;
/// How many jobs are run to their end at a stretch.
pub const JOBS: usize = 1_000;

/// What is measured. Each program does it with its library's own calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Work {
    /// Nothing: what the connections are set to is printed.
    Durability,
    /// A job is submitted, or a process begun.
    Create,
    /// The same, [`BATCH`] with one call; each counts.
    CreateMany,
    /// [`Work::Create`] while [`WAITING`] others wait.
    CreateWaiting,
    /// How far a running job is, is written.
    Advance,
    /// The state of one of [`ASKED`] jobs is asked for by its id.
    Status,
    /// A submitted job is taken up and completed; what it does is nothing.
    Run,
    /// The same, with a worker that takes up as many as it may run only when none is left to it.
    RunTogether,
}

impl Work {
    /// Every work that has a figure, in the order of the table.
    pub const FIGURES: [Work; 7] = [
        Work::Create,
        Work::CreateMany,
        Work::CreateWaiting,
        Work::Advance,
        Work::Status,
        Work::Run,
        Work::RunTogether,
    ];

    /// The word for it on the command line.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Work::Durability => "durability",
            Work::Create => "create",
            Work::CreateMany => "create-many",
            Work::CreateWaiting => "create-waiting",
            Work::Advance => "advance",
            Work::Status => "status",
            Work::Run => "run",
            Work::RunTogether => "run-together",
        }
    }
}

impl FromStr for Work {
    type Err = Box<dyn Error + Send + Sync>;

    fn from_str(word: &str) -> Outcome<Self> {
        Work::FIGURES
            .into_iter()
            .chain([Work::Durability])
            .find(|work| work.word() == word)
            .ok_or_else(|| format!("no such work: {word}").into())
    }
}

/// What one run of a program is asked.
#[derive(Debug, Clone)]
#[expect(
    clippy::exhaustive_structs,
    reason = "plain data for the programs here"
)]
pub struct Task {
    /// What to do.
    pub work: Work,
    /// How many do it at a time.
    pub clients: usize,
    /// For how long.
    pub length: Duration,
    /// Where the files go; it is there, and empty.
    pub directory: PathBuf,
}

impl Task {
    /// Reads the command line.
    pub fn from_arguments() -> Outcome<Self> {
        let arguments = std::env::args().skip(1).collect::<Vec<_>>();
        let [work, clients, millis, directory] = arguments.as_slice() else {
            return Err("usage: <work> <clients> <milliseconds> <directory>".into());
        };
        Ok(Task {
            work: work.parse()?,
            clients: clients.parse()?,
            length: Duration::from_millis(millis.parse()?),
            directory: directory.into(),
        })
    }
}

/// Counts what is done while it is open. All clients share one.
#[derive(Debug)]
pub struct Meter {
    began: Instant,
    length: Duration,
    done: AtomicU64,
}

impl Meter {
    /// Opens, for as long as told.
    #[must_use]
    pub fn open(length: Duration) -> Self {
        Meter {
            began: Instant::now(),
            length,
            done: AtomicU64::new(0),
        }
    }

    /// Whether a client should go on.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.began.elapsed() < self.length
    }

    /// Adds what a client has done.
    pub fn add(&self, done: u64) {
        self.done.fetch_add(done, Ordering::Relaxed);
    }

    /// Closes, once the last client has ended: what they did after the time was over counts, and so does the
    /// time that it took.
    #[must_use]
    pub fn close(&self) -> Figure {
        Figure {
            done: self.done.load(Ordering::Relaxed),
            took: self.began.elapsed(),
        }
    }
}

/// What was done, and how long it took; prints as operations a second.
#[derive(Debug, Clone, Copy, Default)]
#[expect(
    clippy::exhaustive_structs,
    reason = "plain data for the programs here"
)]
pub struct Figure {
    /// How many operations.
    pub done: u64,
    /// In what time.
    pub took: Duration,
}

impl Figure {
    /// Adds another stretch of the same work.
    #[must_use]
    pub fn and(self, other: Figure) -> Figure {
        Figure {
            done: self.done + other.done,
            took: self.took + other.took,
        }
    }
}

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        #[expect(clippy::cast_precision_loss, reason = "figures for people")]
        let done = self.done as f64;
        write!(f, "{:.1}", done / self.took.as_secs_f64())
    }
}

/// Walks over the places of a list in an order that jumps about and meets each place.
#[derive(Debug)]
pub struct Scattered {
    at: usize,
    len: usize,
}

/// A walk over `len` places that begins elsewhere for each client.
#[must_use]
pub fn scattered(client: usize, len: usize) -> Scattered {
    Scattered {
        at: client * 1_237 % len,
        len,
    }
}

impl Scattered {
    /// The next place.
    pub fn next_index(&mut self) -> usize {
        // A prime that does not divide the length, so that no place is left out.
        self.at = (self.at + 7_919) % self.len;
        self.at
    }
}

/// Which journal a SQLite file is on, by its header.
pub fn journal(file: &std::path::Path) -> Outcome<&'static str> {
    // https://www.sqlite.org/fileformat.html: the write version at offset 18 is 2 for WAL.
    match std::fs::read(file)?.get(18) {
        Some(1) => Ok("rollback journal"),
        Some(2) => Ok("WAL"),
        other => Err(format!("no SQLite file: write version {other:?}").into()),
    }
}
