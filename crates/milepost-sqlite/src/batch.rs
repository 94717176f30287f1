//! Applying a batch: each process is read once and written once, whatever happens to it in between.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use milepost_core::{File, Op, OverallStatus, Process, RequestId, StoreError, Verdict};
use rusqlite::Connection;

use crate::connection::run;
use crate::error::store_error;
use crate::rows::{self, Home, Table};
use crate::sql;

/// Processes of one batch are held until their bytes pass this; then they are written, and read again if
/// they come up again. So a batch takes bounded memory.
const HELD: usize = 32 * 1024 * 1024;

/// Applies ops within the transaction that `connection` is in; the caller commits it.
pub(crate) fn apply(connection: &Connection, ops: &[Op]) -> Result<Vec<Verdict>, StoreError> {
    let mut batch = Batch {
        connection,
        held: HashMap::new(),
        bytes: 0,
        erased: false,
    };
    let mut verdicts = Vec::with_capacity(ops.len());
    for op in ops {
        verdicts.push(batch.apply(op)?);
    }
    batch.write()?;
    Ok(verdicts)
}

struct Batch<'c> {
    connection: &'c Connection,
    held: HashMap<RequestId, Held>,
    /// A guess at how much memory they take.
    bytes: usize,
    /// Whether bytes that are to be wiped have come up.
    erased: bool,
}

/// A process that the batch has come upon.
struct Held {
    /// What the file has of it; none if nothing.
    stored: Option<Stored>,
    slot: Option<Arc<Process>>,
    changed: bool,
}

/// What is needed of the stored process to write the new one.
struct Stored {
    home: Home,
    born: u64,
    status: OverallStatus,
    settled_at: Option<DateTime<Utc>>,
    expires_at: Option<DateTime<Utc>>,
    leased_until: Option<DateTime<Utc>>,
    file: File,
}

impl Stored {
    fn new(home: Home, process: &Process) -> Self {
        Stored {
            home,
            born: process.version().born,
            status: process.status(),
            settled_at: process.settled_at(),
            expires_at: process.expires_at(),
            leased_until: process.leased_until(),
            file: process.file().clone(),
        }
    }

    /// Whether the stored texts must not be found any more: of another process, or of a file as it was.
    ///
    /// What the work itself has overtaken does not count, such as progress, a worker's name or a wish that was
    /// granted: it goes with its process, and every claim would have the next wipe move the whole file.
    fn is_erased_by(&self, process: &Process) -> bool {
        self.born != process.version().born || self.file != *process.file()
    }

    /// Whether every index but that of leases holds the same of it as before.
    fn has_same_indexes(&self, process: &Process) -> bool {
        !self.is_erased_by(process)
            && self.status == process.status()
            && self.settled_at == process.settled_at()
            && self.expires_at == process.expires_at()
    }
}

impl Batch<'_> {
    fn apply(&mut self, op: &Op) -> Result<Verdict, StoreError> {
        if self.bytes > HELD {
            self.write()?;
        }
        let held = match self.held.entry(op.id) {
            Entry::Occupied(held) => held.into_mut(),
            Entry::Vacant(vacant) => {
                let loaded = rows::load(self.connection, op.id)?;
                self.bytes += loaded.as_ref().map_or(0, |loaded| loaded.bytes);
                let stored = loaded
                    .as_ref()
                    .map(|loaded| Stored::new(loaded.home, &loaded.process));
                let slot = loaded.map(|loaded| loaded.process);
                vacant.insert(Held {
                    stored,
                    slot,
                    changed: false,
                })
            }
        };
        let verdict = op.apply(&mut held.slot);
        held.changed |= matches!(&verdict, Ok(applied) if applied.changed);
        self.bytes += op.bytes();
        Ok(verdict)
    }

    /// Writes what has changed, and lets go of everything.
    fn write(&mut self) -> Result<(), StoreError> {
        for (_, held) in self.held.drain().filter(|(_, held)| held.changed) {
            match (held.stored, held.slot) {
                (None, Some(process)) => {
                    rows::insert(self.connection, current_table(self.connection)?, &process)?;
                }
                (Some(stored), Some(process)) if stored.has_same_indexes(&process) => {
                    let write = if stored.leased_until == process.leased_until() {
                        rows::advance
                    } else {
                        rows::lease
                    };
                    write(self.connection, stored.home, &process)?;
                }
                (Some(stored), Some(process)) => {
                    self.erased |= stored.is_erased_by(&process);
                    rows::replace(self.connection, stored.home, &process)?;
                }
                (Some(stored), None) => {
                    self.erased = true;
                    rows::delete(self.connection, stored.home)?;
                }
                // Begun and erased within the batch: the file never had it.
                (None, None) => {}
            }
        }
        self.bytes = 0;
        if std::mem::take(&mut self.erased) {
            note_erasure(self.connection)?;
        }
        Ok(())
    }
}

/// The table that takes new rows.
fn current_table(connection: &Connection) -> Result<Table, StoreError> {
    let current = connection
        .prepare_cached(sql::CURRENT)
        .and_then(|mut statement| statement.query_row([], |row| row.get(0)));
    Table::from_number(current.map_err(store_error)?)
}

/// Makes the next wipe work: without this it would find nothing to do.
pub(crate) fn note_erasure(connection: &Connection) -> Result<(), StoreError> {
    run(connection, sql::ERASED).map_err(store_error)
}
