//! Write transactions: of one batch, or of the batches of several callers.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use milepost_core::{Op, StoreError, Transaction, Transactions, Verdict};

use crate::connection::run;
use crate::error::{Busy, commit_error, store_error};
use crate::pool::{Deadline, Lent, begin};
use crate::{SqliteStore, batch, schema, sql};

/// A transaction that holds the write lock from its beginning. Dropped, it rolls back.
pub(crate) struct WriteTransaction<'s> {
    store: &'s SqliteStore,
    pub(crate) writer: Lent<'s>,
    deadline: Deadline,
    uncommitted: Uncommitted<'s>,
}

/// What was written and is rolled back may stand in the WAL all the same: a large transaction does not fit into SQLite's
/// cache.
struct Uncommitted<'s> {
    is_unsynced: &'s AtomicBool,
    has_written: bool,
}

impl Drop for Uncommitted<'_> {
    fn drop(&mut self) {
        if self.has_written {
            self.is_unsynced.store(true, Ordering::Relaxed);
        }
    }
}

/// Where write transactions come from.
pub(crate) struct Writes<'s>(pub(crate) &'s SqliteStore);

impl<'s> Transactions for Writes<'s> {
    type Transaction<'t>
        = WriteTransaction<'s>
    where
        Self: 't;

    fn begin(&self, deadline: Option<Instant>) -> Result<WriteTransaction<'s>, StoreError> {
        let deadline = Deadline::at(deadline);
        let writer = self.0.writer(deadline)?;
        begin(&writer, sql::BEGIN_WRITE, deadline)?;
        let others = writer
            .prepare_cached(sql::OTHERS_COMMITS)
            .and_then(|mut statement| statement.query_row([], |row| row.get(0)));
        self.0
            .memo()
            .know_of_others(Some(others.map_err(store_error)?));
        Ok(WriteTransaction {
            store: self.0,
            writer,
            deadline,
            uncommitted: Uncommitted {
                is_unsynced: &self.0.is_unsynced,
                has_written: false,
            },
        })
    }
}

impl Transaction for WriteTransaction<'_> {
    fn apply(&mut self, ops: &[Op]) -> Result<Vec<Verdict>, StoreError> {
        self.apply_batch(ops)
    }

    fn apply_apart(&mut self, ops: &[Op]) -> Result<Result<Vec<Verdict>, StoreError>, StoreError> {
        self.run(sql::SAVEPOINT)?;
        let answer = self.apply_batch(ops);
        if answer.is_err() {
            // On some errors SQLite itself rolls the whole transaction back: then this fails.
            self.run(sql::ROLLBACK_BATCH)?;
            // SQLite does not put back what free pages held: they may have taken rows of it, and go into the file with the
            // rest of the transaction.
            batch::note_erasure(&self.writer)?;
        }
        self.run(sql::RELEASE)?;
        Ok(answer)
    }

    fn commit(mut self) -> Result<(), StoreError> {
        let committed = self.store.commit(&self.writer, self.deadline);
        match &committed {
            Ok(()) => self.uncommitted.has_written = false,
            Err(error) if error.is_busy() => {}
            Err(_) => self.writer.discard(),
        }
        committed
    }
}

impl SqliteStore {
    /// Commits the transaction that the writer is in. Whoever gets another error than `Busy` discards the writer.
    pub(crate) fn commit(&self, writer: &Lent<'_>, deadline: Deadline) -> Result<(), StoreError> {
        if self.in_doubt.load(Ordering::Relaxed) {
            // Also by whoever finds that it is there and has nothing to write: only a commit that writes is synced.
            schema::write_mark(writer).map_err(store_error)?;
        }
        match deadline.retry(|| run(writer, sql::COMMIT)) {
            Ok(()) => {
                self.in_doubt.store(false, Ordering::Relaxed);
                self.note_commit(writer);
                Ok(())
            }
            // Nothing was committed: the transaction is still open, and is rolled back.
            Err(error) if error.is_busy() => Err(store_error(error)),
            Err(error) => {
                // What it wrote may stand in the WAL, whole, and come to light once the file is opened after a crash. Who
                // finds by then that it is not there, and has nothing to write, must not be wrong: it is overwritten.
                let overwritten = writer.is_autocommit() && schema::write_mark(writer).is_ok();
                self.in_doubt.store(!overwritten, Ordering::Relaxed);
                self.is_unsynced.store(true, Ordering::Relaxed);
                Err(commit_error(error))
            }
        }
    }
}

impl WriteTransaction<'_> {
    fn run(&self, statement: &str) -> Result<(), StoreError> {
        run(&self.writer, statement).map_err(store_error)
    }

    fn apply_batch(&mut self, ops: &[Op]) -> Result<Vec<Verdict>, StoreError> {
        // Only whoever holds the write lock comes here, so nobody waits.
        let mut memo = self.store.memo();
        self.uncommitted.has_written = true;
        let applied = batch::apply(&self.writer, &self.store.last_table, &mut memo, ops);
        // It may be the only one of several that is rolled back.
        applied.inspect_err(|_| self.store.is_unsynced.store(true, Ordering::Relaxed))
    }
}
