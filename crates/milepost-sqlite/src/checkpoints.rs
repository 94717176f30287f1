//! Checkpoints off the commit path: at [`Durability::Normal`](crate::Durability::Normal) a commit waits for no
//! sync, so it should not wait for those of a checkpoint either. A thread with a connection of its own makes
//! them. At `Full` each commit is synced anyway, and a checkpoint beside it would only compete for the disk.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle, Thread};
use std::time::Duration;

use milepost_core::{StoreError, StoreErrorKind};
use rusqlite::Connection;

use crate::config::SqliteConfig;
use crate::connection::connect;
use crate::error::{Busy, store_error};
use crate::path::TheFile;
use crate::pool::Deadline;
use crate::sql;

/// After how many more pages in the WAL a checkpoint is made.
const BUDGET: usize = 2_000;
/// From how many pages on writers stand still until all of it is in the file: the WAL starts anew only when
/// nobody has added to it meanwhile. 64 MiB.
const BOUND: usize = 16_000;
/// How often it catches up with those who write before that.
const CATCHING_UP: usize = 4;
/// How long the thread tries to have writers stand still before it leaves that to the next time.
const PATIENCE: Duration = Duration::from_millis(100);

/// The thread, which ends when this is dropped.
pub(crate) struct Checkpoints {
    bell: Arc<Bell>,
    thread: Option<JoinHandle<()>>,
}

struct Bell {
    /// Ops written since the thread was last woken.
    written: AtomicUsize,
    /// After how many it is woken: as many as have filled the budget before.
    due: AtomicUsize,
    stopping: AtomicBool,
}

impl Checkpoints {
    /// Starts the thread. None if the machine has none left: then SQLite makes its checkpoints on the commit.
    pub(crate) fn start(file: &Arc<TheFile>, config: &SqliteConfig) -> Option<Self> {
        let bell = Arc::new(Bell {
            written: AtomicUsize::new(0),
            due: AtomicUsize::new(BUDGET / 4),
            stopping: AtomicBool::new(false),
        });
        let keeper = Keeper {
            bell: Arc::clone(&bell),
            file: Arc::clone(file),
            config: config.clone(),
            connection: None,
            pages: 0,
        };
        let builder = thread::Builder::new().name("milepost-checkpoints".to_owned());
        let thread = builder.spawn(move || keeper.run()).ok()?;
        Some(Checkpoints {
            bell,
            thread: Some(thread),
        })
    }

    /// Notes that so many ops were committed.
    pub(crate) fn note(&self, ops: usize) {
        let written = self.bell.written.fetch_add(ops, Ordering::Relaxed) + ops;
        if written >= self.bell.due.load(Ordering::Relaxed)
            && let Some(thread) = &self.thread
        {
            self.bell.ring(thread.thread());
        }
    }

    /// Leaves the thread alone, for a child of `fork`, in which it does not run.
    pub(crate) fn forget(&mut self) {
        std::mem::forget(self.thread.take());
    }
}

impl Bell {
    fn ring(&self, thread: &Thread) {
        // Once: whoever comes next counts from here.
        if self.written.swap(0, Ordering::Relaxed) > 0 {
            thread.unpark();
        }
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
    connection: Option<Connection>,
    /// How many pages the WAL had at the last checkpoint.
    pages: usize,
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
        if wal.pages > BOUND {
            // What came meanwhile, until it is little: writers stand still for the rest.
            for _ in 0..CATCHING_UP {
                if wal.left() < BUDGET / 4 {
                    break;
                }
                wal = run(&connection, sql::CHECKPOINT)?;
            }
            // Each try takes the write lock in the pause between two commits, or fails at once.
            let patience = Deadline::after(PATIENCE);
            match patience.retry(|| run(&connection, sql::CHECKPOINT_ALL)) {
                Ok(all) => wal = all,
                Err(error) if error.is_busy() => {}
                Err(error) => return Err(error),
            }
        }
        self.learn(wal.pages);
        self.connection = Some(connection);
        Ok(())
    }

    /// Wakes the thread next time when about the budget has come together.
    fn learn(&mut self, pages: usize) {
        let grown = pages.checked_sub(self.pages).unwrap_or(pages).max(1);
        self.pages = pages;
        let due = self.bell.due.load(Ordering::Relaxed);
        let due = (due * BUDGET / grown).clamp(BUDGET / 16, BUDGET * 64);
        self.bell.due.store(due, Ordering::Relaxed);
    }

    fn connect(&self) -> Result<Connection, StoreError> {
        self.file.check()?;
        let deadline = Deadline::after(self.config.busy_timeout);
        connect(self.file.path(), &self.config, deadline)
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
