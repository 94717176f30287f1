//! Checkpoints off the commit path: at [`Durability::Normal`](crate::Durability::Normal) a commit waits for no
//! sync, so it should not wait for those of a checkpoint either. A thread with a connection of its own makes
//! them. At `Full` each commit is synced anyway, and a checkpoint beside it would only compete for the disk.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use milepost_core::{StoreError, StoreErrorKind};
use rusqlite::Connection;

use crate::config::SqliteConfig;
use crate::connection::{connect, keep_wal_on_close};
use crate::error::{Busy, store_error};
use crate::path::TheFile;
use crate::pool::{Deadline, Pool};
use crate::{sql, wal_hook};

/// After how many more pages in the WAL a checkpoint is made, after which writers stand still until all of it is in
/// the file: the WAL starts anew only when nobody has added to it meanwhile, and only then is the file synced. So
/// the longer that is put off, the longer they stand.
const BUDGET: usize = 2_000;
/// How often it catches up with those who write before that.
const CATCHING_UP: usize = 4;
/// How much may be left for that: a few milliseconds' work.
const LITTLE: usize = BUDGET / 4;
/// How long the thread waits for its turn among the writers before it leaves the rest to the next time.
const PATIENCE: Duration = Duration::from_millis(100);
/// How long it has them stand still while others, readers or another OS process, are in the way.
const STANDING: Duration = Duration::from_millis(5);

/// The thread, which ends when this is dropped.
pub(crate) struct Checkpoints {
    bell: Arc<Bell>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Bell {
    /// How many pages the WAL had when the thread was woken last.
    seen: AtomicUsize,
    stopping: AtomicBool,
}

impl Checkpoints {
    /// Starts the thread. None if the machine has none left: then SQLite makes its checkpoints on the commit.
    pub(crate) fn start(
        file: &Arc<TheFile>,
        config: &SqliteConfig,
        writer: &Arc<Pool>,
    ) -> Option<Self> {
        let bell = Arc::<Bell>::default();
        let keeper = Keeper {
            bell: Arc::clone(&bell),
            file: Arc::clone(file),
            config: config.clone(),
            writer: Arc::clone(writer),
            connection: None,
        };
        let builder = thread::Builder::new().name("milepost-checkpoints".to_owned());
        let thread = builder.spawn(move || keeper.run()).ok()?;
        Some(Checkpoints {
            bell,
            thread: Some(thread),
        })
    }

    /// Notes that this thread has just committed. While it has the writer: no two come at once.
    pub(crate) fn note(&self) {
        let Some(pages) = wal_hook::take_pages() else {
            return;
        };
        let seen = self.bell.seen.load(Ordering::Relaxed);
        // Fewer than before: it has started anew since.
        let seen = if pages < seen { 0 } else { seen };
        let is_due = pages - seen >= BUDGET;
        self.bell
            .seen
            .store(if is_due { pages } else { seen }, Ordering::Relaxed);
        if is_due && let Some(thread) = &self.thread {
            thread.thread().unpark();
        }
    }

    /// Leaves the thread alone, for a child of `fork`, in which it does not run.
    pub(crate) fn forget(&mut self) {
        std::mem::forget(self.thread.take());
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
        let mut wal = run(&connection, sql::CHECKPOINT)?;
        // What came meanwhile, until it is little.
        for _ in 0..CATCHING_UP {
            if wal.left() < LITTLE {
                break;
            }
            wal = run(&connection, sql::CHECKPOINT)?;
        }
        // Where much is left, readers hold on to it, and writers would stand still for nothing.
        if wal.left() < BUDGET {
            self.start_wal_anew(&connection)?;
        }
        self.connection = Some(connection);
        Ok(())
    }

    /// Carries over the rest while nobody writes.
    fn start_wal_anew(&self, connection: &Connection) -> Result<(), StoreError> {
        let none_is_open = || {
            let why = "whoever writes next opens the connection";
            Err(StoreError::new(StoreErrorKind::Busy, why))
        };
        let attempt = || {
            let _paused = self.writer.take(Deadline::after(PATIENCE), none_is_open)?;
            Deadline::after(STANDING).retry(|| run(connection, sql::CHECKPOINT_ALL))
        };
        match attempt() {
            Err(error) if !error.is_busy() => Err(error),
            Ok(_) | Err(_) => Ok(()),
        }
    }

    fn connect(&self) -> Result<Connection, StoreError> {
        self.file.check()?;
        let deadline = Deadline::after(self.config.busy_timeout);
        let connection = connect(self.file.path(), &self.config, deadline)?;
        keep_wal_on_close(&connection, false)?;
        Ok(connection)
    }
}

/// The WAL after a checkpoint.
struct Wal {
    pages: usize,
    /// How many of them are in the file.
    carried_over: usize,
}

impl Wal {
    fn left(&self) -> usize {
        self.pages.saturating_sub(self.carried_over)
    }
}

fn run(connection: &Connection, how: &str) -> Result<Wal, StoreError> {
    let answer = connection.query_row(how, [], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)));
    let (busy, pages, carried_over): (i64, i64, i64) = answer.map_err(store_error)?;
    if busy != 0 && how == sql::CHECKPOINT_ALL {
        let why = "others write or read";
        return Err(StoreError::new(StoreErrorKind::Busy, why));
    }
    let count = |pages: i64| usize::try_from(pages).unwrap_or(0);
    Ok(Wal {
        pages: count(pages),
        carried_over: count(carried_over),
    })
}
