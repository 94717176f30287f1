//! Checkpoints off the commit path: a thread with a connection of its own carries the WAL into the file.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

use rusqlite::{Connection, Result};

use super::connection::{Synchronous, connect};
use super::{lock, sql};

/// After how many more pages in the WAL it is carried over.
const BUDGET: i32 = 2_000;
/// From how many pages on the writer stands still until all of it is carried over, so that the WAL starts anew:
/// while somebody writes all the time, it would not do so otherwise.
const BOUND: i64 = 16_000;

/// The thread, and how to end it.
#[derive(Debug)]
pub(super) struct Checkpoints {
    stopping: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Checkpoints {
    /// Carries over what `writer` writes.
    pub(super) fn of(path: &Path, writer: &Arc<Mutex<Connection>>) -> Result<Self> {
        let connection = connect(path, Synchronous::Normal)?;
        let stopping = Arc::new(AtomicBool::new(false));
        let (stop, paused) = (Arc::clone(&stopping), Arc::clone(writer));
        let thread = thread::spawn(move || {
            while !stop.load(Ordering::SeqCst) {
                thread::park();
                // What stands in the way is gone by the next time.
                let _ = carry_over(&connection, &paused);
            }
        });
        let rung = thread.thread().clone();
        let mut seen = 0;
        // Without a hook of its own a connection checkpoints on the commit.
        lock(writer).wal_hook(Some(move |_: &mut rusqlite::hooks::Wal, pages| {
            if pages < seen {
                seen = 0;
            }
            if pages - seen >= BUDGET {
                seen = pages;
                rung.unpark();
            }
            Ok(())
        }))?;
        Ok(Checkpoints {
            stopping,
            thread: Some(thread),
        })
    }
}

fn carry_over(connection: &Connection, writer: &Mutex<Connection>) -> Result<()> {
    if checkpoint(connection)? < BOUND {
        return Ok(());
    }
    let _paused = lock(writer);
    checkpoint(connection).map(drop)
}

/// Says how many pages the WAL has.
fn checkpoint(connection: &Connection) -> Result<i64> {
    connection
        .prepare_cached(sql::CHECKPOINT)?
        .query_row([], |row| row.get(1))
}

impl Drop for Checkpoints {
    fn drop(&mut self) {
        self.stopping.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            // It has nothing to say.
            let _ = thread.join();
        }
    }
}
