//! Checkpoints. At [`Durability::Normal`](crate::Durability::Normal) a commit waits for no sync, so it should not wait
//! for those of a checkpoint either: a thread with a connection of its own makes them. At `Full` each commit is synced
//! anyway, and a checkpoint beside it would only compete for the disk: so they are made on the commit, as SQLite does.
//!
//! SQLite lets the WAL start anew only when all of it is in the file and nobody reads what is in the WAL. While reads
//! overlap that never comes by itself: there is always one that began before the last commit. So the longer the WAL is,
//! the longer writers stand still for those who read to end.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use milepost_core::{StoreError, StoreErrorKind};
use rusqlite::Connection;

use crate::config::{Durability, SqliteConfig};
use crate::connection::{accept, connect, waiting};
use crate::error::{Busy, store_error};
use crate::path::TheFile;
use crate::pool::{Deadline, Pool, try_lock};
use crate::{sql, wal_hook};

/// After how many more pages in the WAL a checkpoint is made, after which writers stand still until all of it is in
/// the file: the WAL starts anew only when nobody has added to it meanwhile, and only then is the file synced. So
/// the longer that is put off, the longer they stand.
const BUDGET: u64 = 2_000;
/// How often it comes back before that for what somebody who read was in the way of.
const CATCHING_UP: usize = 4;
/// How much may be left for that: a few milliseconds' work.
pub(crate) const LITTLE: u64 = BUDGET / 4;
/// How long the thread waits for its turn among the writers before it leaves the rest to the next time.
const PATIENCE: Duration = Duration::from_millis(100);
/// How long writers stand still while others, readers or another OS process, are in the way.
const STANDING: Duration = Duration::from_millis(5);
/// From how many pages on, 24 MiB, they stand for as long as it takes two reads of a tenth of a second to end: those
/// that began before the last commit, and then those that began before all of it was in the file.
const LONG: u64 = 6_000;
const STANDING_WHEN_LONG: Duration = Duration::from_millis(250);
/// After how many more pages that is tried again, if others held on to it for longer.
const BUDGET_WHEN_LONG: u64 = BUDGET / 4;
/// From how many pages on, 40 MiB, whoever commits sees to it: the thread does not keep up with those who write.
const TOO_LONG: u64 = 10_000;
/// From how many pages on a commit makes a checkpoint where no thread does: SQLite's own number.
const ON_COMMIT: u64 = 1_000;

/// Who makes them: a thread, which ends when this is dropped, or else whoever commits.
pub(crate) struct Checkpoints {
    bell: Arc<Bell>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Bell {
    /// How many pages the WAL had after the last commit with this store.
    pages: AtomicU64,
    /// How many pages the WAL had when the thread was woken last.
    seen: AtomicU64,
    stopping: AtomicBool,
    /// Whether somebody keeps the WAL from starting anew.
    is_kept: AtomicBool,
    /// Held by whoever of this store carries pages over: SQLite lets nobody wait for another's checkpoint.
    carrying: Mutex<()>,
}

impl Checkpoints {
    /// Starts the thread where one is to make them, unless the machine has none left.
    pub(crate) fn start(file: &Arc<TheFile>, config: &SqliteConfig, writer: &Arc<Pool>) -> Self {
        let bell = Arc::<Bell>::default();
        let thread = match config.durability {
            Durability::Full => None,
            Durability::Normal => {
                let keeper = Keeper {
                    bell: Arc::clone(&bell),
                    file: Arc::clone(file),
                    config: config.clone(),
                    writer: Arc::clone(writer),
                    connection: None,
                };
                let builder = thread::Builder::new().name("milepost-checkpoints".to_owned());
                builder.spawn(move || keeper.run()).ok()
            }
        };
        Checkpoints { bell, thread }
    }

    /// Notes that this thread has just committed with this connection. While it has the writer: no two come at once.
    pub(crate) fn note(&self, writer: &Connection) {
        let Some(pages) = wal_hook::take_pages() else {
            return;
        };
        self.bell.pages.store(pages, Ordering::Relaxed);
        let is_due = self.bell.is_due(pages);
        // The commit stands, whatever becomes of it: what is left comes with a later one.
        match duty(pages, is_due, self.thread.as_ref()) {
            Duty::Nothing => {}
            Duty::Wake(thread) => thread.thread().unpark(),
            Duty::StartAnew => {
                let _carrying = self.bell.carrying();
                drop(self.bell.checkpoint_on_commit(writer, is_due));
            }
            Duty::Checkpoint => drop(self.bell.checkpoint_on_commit(writer, is_due)),
        }
    }

    /// How many pages the WAL had after the last commit with this store.
    pub(crate) fn pages(&self) -> u64 {
        self.bell.pages.load(Ordering::Relaxed)
    }

    /// Keeps the thread from making one; none while it does.
    pub(crate) fn try_carrying(&self) -> Option<MutexGuard<'_, ()>> {
        try_lock(&self.bell.carrying)
    }

    /// Until this goes the wipe of this store reads from the beginning of the WAL, and nobody waits for that to end.
    pub(crate) fn keep_wal(&self) -> Kept<'_> {
        self.bell.is_kept.store(true, Ordering::Relaxed);
        Kept(&self.bell)
    }

    /// Leaves the thread alone, for a child of `fork`, in which it does not run.
    pub(crate) fn forget(&mut self) {
        std::mem::forget(self.thread.take());
    }
}

/// What whoever has committed is to do about the WAL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Duty<T> {
    Nothing,
    /// Wakes the thread.
    Wake(T),
    /// Has the WAL start anew in the thread's stead.
    StartAnew,
    /// Makes a checkpoint, as there is no thread.
    Checkpoint,
}

fn duty<T>(pages: u64, is_due: bool, thread: Option<T>) -> Duty<T> {
    match thread {
        Some(_) if !is_due => Duty::Nothing,
        Some(_) if pages >= TOO_LONG => Duty::StartAnew,
        Some(thread) => Duty::Wake(thread),
        None if pages < ON_COMMIT => Duty::Nothing,
        None => Duty::Checkpoint,
    }
}

impl Bell {
    /// Whether the WAL has grown by so much that something is to be done about it.
    fn is_due(&self, pages: u64) -> bool {
        let seen = self.seen.load(Ordering::Relaxed);
        // Fewer than before: it has started anew since.
        let seen = if pages < seen { 0 } else { seen };
        let budget = if pages < LONG {
            BUDGET
        } else {
            BUDGET_WHEN_LONG
        };
        let is_due = pages - seen >= budget;
        self.seen
            .store(if is_due { pages } else { seen }, Ordering::Relaxed);
        is_due
    }

    fn carrying(&self) -> MutexGuard<'_, ()> {
        self.carrying.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Carries over the rest, and waits until nobody reads from the WAL: then whoever writes next has it start anew.
    /// Nobody writes meanwhile, in any OS process. If it takes too long, it is left for the next time.
    fn start_wal_anew(&self, connection: &Connection, pages: u64) -> Result<(), StoreError> {
        if self.is_kept.load(Ordering::Relaxed) {
            return Ok(());
        }
        let standing = if pages >= LONG {
            STANDING_WHEN_LONG
        } else {
            STANDING
        };
        // Not by tries of ours: between two of them others would write.
        match waiting(connection, standing, || run(connection, sql::RESTART))? {
            Err(error) if !error.is_busy() => Err(error),
            Ok(_) | Err(_) => Ok(()),
        }
    }

    /// What SQLite does after a commit, and if it `is_due` a try to have the WAL start anew once it is long.
    fn checkpoint_on_commit(&self, writer: &Connection, is_due: bool) -> Result<(), StoreError> {
        let wal = run(writer, sql::CHECKPOINT)?;
        if is_due && wal.is_long() && wal.may_start_anew() {
            self.start_wal_anew(writer, wal.pages())?;
        }
        Ok(())
    }
}

/// Somebody keeps the WAL from starting anew.
pub(crate) struct Kept<'b>(&'b Bell);

impl Drop for Kept<'_> {
    fn drop(&mut self) {
        self.0.is_kept.store(false, Ordering::Relaxed);
    }
}

impl Drop for Checkpoints {
    fn drop(&mut self) {
        if let Some(thread) = self.thread.take() {
            self.bell.stopping.store(true, Ordering::Relaxed);
            thread.thread().unpark();
            // It has nothing to say.
            let _ = thread.join();
        }
    }
}

/// What the thread works with.
struct Keeper {
    bell: Arc<Bell>,
    file: Arc<TheFile>,
    config: SqliteConfig,
    writer: Arc<Pool>,
    connection: Option<Connection>,
}

impl Keeper {
    fn run(mut self) {
        loop {
            thread::park();
            if self.bell.stopping.load(Ordering::Relaxed) {
                return;
            }
            // What stands in the way is gone by the next time, or comes to those who write.
            if self.checkpoint().is_err() {
                self.connection = None;
            }
        }
    }

    fn checkpoint(&mut self) -> Result<(), StoreError> {
        let connection = match self.connection.take() {
            Some(connection) => connection,
            None => self.connect()?,
        };
        let carrying = self.bell.carrying();
        let mut wal = run(&connection, sql::CHECKPOINT)?;
        // What was held back, until it is little.
        for _ in 0..CATCHING_UP {
            if wal.left() < LITTLE {
                break;
            }
            wal = run(&connection, sql::CHECKPOINT)?;
        }
        // Those who write may wait for this, and the thread for them.
        drop(carrying);
        if wal.may_start_anew() {
            self.start_wal_anew_in_turn(&connection, &wal)?;
        }
        self.connection = Some(connection);
        Ok(())
    }

    /// Carries over the rest while nobody writes.
    fn start_wal_anew_in_turn(&self, connection: &Connection, wal: &Wal) -> Result<(), StoreError> {
        let none_is_open = || {
            let why = "whoever writes next opens the connection";
            Err(StoreError::new(StoreErrorKind::Busy, why))
        };
        match self.writer.take(Deadline::after(PATIENCE), none_is_open) {
            Ok(_paused) => self.bell.start_wal_anew(connection, wal.pages()),
            Err(error) if error.is_busy() => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn connect(&self) -> Result<Connection, StoreError> {
        self.file.check()?;
        let deadline = Deadline::after(self.config.busy_timeout);
        let connection = connect(self.file.path(), &self.config, deadline)?;
        accept(&connection, &self.config)?;
        Ok(connection)
    }
}

/// The WAL after a checkpoint.
pub(crate) struct Wal {
    /// Whether the checkpoint went all the way that it was asked to go.
    pub(crate) is_whole: bool,
    /// How many pages it has; not known while somebody else makes a checkpoint.
    pub(crate) pages: Option<u64>,
    /// How many of them are in the file.
    carried_over: u64,
}

impl Wal {
    /// After a checkpoint that others were in the way of.
    pub(crate) const UNKNOWN: Wal = Wal {
        is_whole: false,
        pages: None,
        carried_over: 0,
    };

    fn pages(&self) -> u64 {
        self.pages.unwrap_or(0)
    }

    /// How many are not.
    pub(crate) fn left(&self) -> u64 {
        self.pages().saturating_sub(self.carried_over)
    }

    fn is_long(&self) -> bool {
        self.pages() >= LONG
    }

    /// Whether it is worth while that writers stand still. Where much is left readers hold on to it, and writers would
    /// do so for nothing; but of a long one more is left by those who write while it is carried over.
    fn may_start_anew(&self) -> bool {
        let much = if self.is_long() {
            self.pages() / 2
        } else {
            BUDGET
        };
        self.pages.is_some() && self.left() < much
    }
}

/// Makes a checkpoint.
pub(crate) fn run(connection: &Connection, how: &str) -> Result<Wal, StoreError> {
    let answer = connection.query_row(how, [], |row| {
        // SQLite says -1 of what it does not know.
        let count = |column| {
            row.get::<_, i64>(column)
                .map(|pages| u64::try_from(pages).ok())
        };
        Ok(Wal {
            is_whole: row.get::<_, i64>(0)? == 0,
            pages: count(1)?,
            carried_over: count(2)?.unwrap_or(0),
        })
    });
    answer.map_err(store_error)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wal(pages: u64, left: u64) -> Wal {
        Wal {
            is_whole: true,
            pages: Some(pages),
            carried_over: pages - left,
        }
    }

    #[test]
    fn it_is_due_after_each_budget_of_pages() {
        let bell = Bell::default();
        let due = [1, 1_999, 2_000, 2_001, 3_999, 4_000].map(|pages| bell.is_due(pages));
        assert_eq!(due, [false, false, true, false, false, true]);
    }

    #[test]
    fn it_is_due_sooner_once_the_wal_is_long() {
        let bell = Bell::default();
        let due = [4_000, 5_999, 6_000, 6_499, 6_500].map(|pages| bell.is_due(pages));
        assert_eq!(due, [true, false, true, false, true]);
    }

    #[test]
    fn a_wal_that_has_started_anew_is_counted_from_its_beginning() {
        let bell = Bell::default();
        let due = [6_000, 10, 1_999, 2_000].map(|pages| bell.is_due(pages));
        assert_eq!(due, [true, false, false, true]);
    }

    /// How many pages the WAL has after three commits, a try to have it start anew, and one commit more.
    fn pages_after_a_try(connection: &Connection, bell: &Bell) -> u64 {
        let commit = |_| {
            let write = "INSERT INTO t VALUES (1)";
            connection.execute(write, []).expect("it is written");
        };
        (0..3).for_each(commit);
        bell.start_wal_anew(connection, 3).expect("it is tried");
        commit(3);
        // Of which the next time begins anew.
        run(connection, sql::CHECKPOINT)
            .expect("it is made")
            .pages()
    }

    #[test]
    fn while_somebody_keeps_the_wal_it_does_not_start_anew() {
        let directory = tempfile::tempdir().expect("there is room");
        let connection = Connection::open(directory.path().join("a.db")).expect("it opens");
        let make = "PRAGMA journal_mode = WAL; CREATE TABLE t (n INTEGER); PRAGMA wal_checkpoint";
        connection.execute_batch(make).expect("it is made");
        let checkpoints = Checkpoints {
            bell: Arc::default(),
            thread: None,
        };
        let pages = || pages_after_a_try(&connection, &checkpoints.bell);
        let kept = checkpoints.keep_wal();
        assert_eq!(pages(), 4);
        drop(kept);
        assert_eq!(pages(), 1);
    }

    #[test]
    fn whoever_commits_wakes_the_thread_and_does_its_work_where_it_does_not_keep_up_or_is_not() {
        let with = |pages, is_due| duty(pages, is_due, Some(()));
        assert_eq!(with(10_000, false), Duty::Nothing);
        assert_eq!(with(9_999, true), Duty::Wake(()));
        assert_eq!(with(10_000, true), Duty::StartAnew);
        let without = |pages, is_due| duty::<()>(pages, is_due, None);
        assert_eq!(without(999, true), Duty::Nothing);
        assert_eq!(without(1_000, false), Duty::Checkpoint);
        assert_eq!(without(10_000, true), Duty::Checkpoint);
    }

    #[test]
    fn what_is_not_in_the_file_is_left() {
        assert_eq!(wal(700, 0).left(), 0);
        assert_eq!(wal(700, 300).left(), 300);
        assert_eq!(Wal::UNKNOWN.left(), 0);
    }

    #[test]
    fn it_may_start_anew_where_less_is_left_than_a_budget_or_half_of_what_is_long() {
        let may = |pages, left| wal(pages, left).may_start_anew();
        assert_eq!([may(5_999, 1_999), may(5_999, 2_000)], [true, false]);
        assert_eq!([may(6_000, 2_999), may(6_000, 3_000)], [true, false]);
        assert!(!Wal::UNKNOWN.may_start_anew());
    }
}
