//! Applying a batch: each process is read once and written once, whatever happens to it in between.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use milepost_core::{File, Op, OverallStatus, Process, RequestId, StoreError, Verdict};
use rusqlite::Connection;

use crate::connection::run;
use crate::error::store_error;
use crate::memo::{Known, Memo};
use crate::rows::{Found, Home, LastTable, Rows, Table};
use crate::sql;

/// Processes of one batch are held until their bytes pass this; then they are written, and read again if
/// they come up again. So a batch takes bounded memory.
const HELD: usize = 32 * 1024 * 1024;

/// Applies ops within the transaction that `connection` is in; the caller commits it.
pub(crate) fn apply(
    connection: &Connection,
    last: &LastTable,
    memo: &mut Memo,
    ops: &[Op],
) -> Result<Vec<Verdict>, StoreError> {
    let mut batch = Batch {
        connection,
        rows: Rows::new(connection, last),
        memo,
        held: Vec::with_capacity(ops.len().min(1024)),
        places: HashMap::new(),
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
    rows: Rows<'c>,
    memo: &'c mut Memo,
    /// The processes that the batch has come upon, in the order in which it did: new rows then go into the
    /// indexes in the order of their ids.
    held: Vec<Held>,
    /// Where in `held` each of them is.
    places: HashMap<RequestId, usize>,
    /// A guess at how much memory they take.
    bytes: usize,
    /// Whether bytes that are to be wiped have come up.
    erased: bool,
}

/// A process that the batch has come upon.
struct Held {
    id: RequestId,
    /// What the file has of it; none if nothing.
    stored: Option<Stored>,
    slot: Option<Arc<Process>>,
    /// Its body as stored, and then as written.
    body: Vec<u8>,
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

    /// Writes the process over the stored one, touching no index that holds the same of both.
    fn replace(
        &self,
        rows: &mut Rows<'_>,
        process: &Process,
        body: &[u8],
    ) -> Result<(), StoreError> {
        let home = self.home;
        if self.is_erased_by(process) || self.expires_at != process.expires_at() {
            rows.replace(home, process, body)
        } else if self.status != process.status() || self.settled_at != process.settled_at() {
            rows.settle(home, process, body)
        } else if self.leased_until != process.leased_until() {
            rows.lease(home, process, body)
        } else {
            rows.advance(home, body)
        }
    }
}

impl Batch<'_> {
    fn apply(&mut self, op: &Op) -> Result<Verdict, StoreError> {
        if self.bytes > HELD {
            self.write()?;
        }
        let place = match self.places.entry(op.id) {
            Entry::Occupied(place) => *place.get(),
            Entry::Vacant(vacant) => {
                let held = hold(&mut self.rows, self.memo, op.id)?;
                self.bytes += held.body.len();
                self.held.push(held);
                *vacant.insert(self.held.len() - 1)
            }
        };
        let held = &mut self.held[place];
        let verdict = op.apply(&mut held.slot);
        held.changed |= matches!(&verdict, Ok(applied) if applied.changed);
        self.bytes += op.bytes();
        Ok(verdict)
    }

    /// Writes what has changed, and lets go of everything.
    fn write(&mut self) -> Result<(), StoreError> {
        self.places.clear();
        for mut held in self.held.drain(..) {
            if held.changed {
                held.body.clear();
                if let Some(process) = &held.slot {
                    process.to_body(&mut held.body);
                }
                match (&held.stored, &held.slot) {
                    (None, Some(process)) => {
                        let table = current_table(self.connection)?;
                        self.rows.insert(table, process, &held.body)?;
                    }
                    (Some(stored), Some(process)) => {
                        self.erased |= stored.is_erased_by(process);
                        stored.replace(&mut self.rows, process, &held.body)?;
                    }
                    (Some(stored), None) => {
                        self.erased = true;
                        self.rows.delete(stored.home)?;
                    }
                    // Begun and erased within the batch: the file never had it.
                    (None, None) => {}
                }
            }
            if let Some(process) = held.slot {
                let body = held.body;
                self.memo.keep(held.id, Known { process, body });
            }
        }
        self.bytes = 0;
        if std::mem::take(&mut self.erased) {
            note_erasure(self.connection)?;
        }
        Ok(())
    }
}

/// Reads what is stored of an id. Decoding is spared if the very same body was decoded before.
fn hold(rows: &mut Rows<'_>, memo: &mut Memo, id: RequestId) -> Result<Held, StoreError> {
    if let Some(Known { process, body }) = memo.take(id)
        && let Some(home) = rows.find_body(id, &body)?
    {
        return Ok(Held::stored(id, home, process, body));
    }
    Ok(match rows.find(id)? {
        Some(Found {
            home,
            process,
            body,
        }) => Held::stored(id, home, process, body),
        None => Held {
            id,
            stored: None,
            slot: None,
            body: Vec::new(),
            changed: false,
        },
    })
}

impl Held {
    fn stored(id: RequestId, home: Home, process: Arc<Process>, body: Vec<u8>) -> Self {
        Held {
            id,
            stored: Some(Stored::new(home, &process)),
            slot: Some(process),
            body,
            changed: false,
        }
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
