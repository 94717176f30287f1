//! Applying a batch: each process is read once at most and written once, whatever happens to it in between.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use hashbrown::HashMap;
use milepost_core::{File, Op, OverallStatus, Process, RequestId, StoreError, Verdict};
use rusqlite::Connection;

use crate::connection::run;
use crate::error::{corrupt, store_error};
use crate::memo::Memo;
use crate::rows::{Change, Found, Home, LastTable, Rows, Table, Was};
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
        places: (ops.len() > 1).then(HashMap::new),
        current: None,
        erased: false,
        missed: false,
    };
    let mut verdicts = Vec::with_capacity(ops.len());
    let (mut written, mut bytes) = (0, 0);
    for (index, op) in ops.iter().enumerate() {
        if bytes > HELD {
            batch.write(&ops[written..index], &mut verdicts[written..])?;
            (written, bytes) = (index, 0);
        }
        let held = batch.hold(op.id)?;
        bytes += op.bytes() + held.body.len();
        verdicts.push(held.apply(op));
    }
    batch.write(&ops[written..], &mut verdicts[written..])?;
    if batch.erased {
        note_erasure(connection)?;
    } else if batch.missed {
        note_stray(connection)?;
    }
    Ok(verdicts)
}

struct Batch<'c> {
    connection: &'c Connection,
    rows: Rows<'c>,
    memo: &'c mut Memo,
    /// The processes that the batch has come upon, in the order in which it did: new rows then go into the
    /// indexes in the order of their ids.
    held: Vec<Held>,
    /// Where in `held` each of them is. None where there is but one op.
    places: Option<HashMap<RequestId, usize>>,
    /// The table that takes new rows.
    current: Option<Table>,
    /// Whether bytes that are to be wiped have come up.
    erased: bool,
    /// Whether somebody was to be erased who is not stored: a begin of theirs may have got no further than the WAL.
    missed: bool,
}

/// A process that the batch has come upon.
struct Held {
    id: RequestId,
    /// What the file has of it; none if nothing.
    stored: Option<Stored>,
    /// Whether that was read in this transaction, and not in one before it.
    read: bool,
    slot: Option<Arc<Process>>,
    /// Its body as stored, and then as written.
    body: Vec<u8>,
    touched: Touched,
    /// Whether it was to be erased, and is not stored.
    missed: bool,
}

/// What the batch has done to what is stored of a process.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Touched {
    Not,
    Changed,
    /// It was erased, or another began in its place.
    Ended,
}

/// What is needed of the stored process to write the new one.
struct Stored {
    home: Home,
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
            status: process.status(),
            settled_at: process.settled_at(),
            expires_at: process.expires_at(),
            leased_until: process.leased_until(),
            file: process.file().clone(),
        }
    }
}

impl Held {
    fn new(id: RequestId, found: Option<Found>, read: bool) -> Self {
        let (stored, slot, body) = match found {
            None => (None, None, Vec::new()),
            Some(found) => {
                let stored = Stored::new(found.home, &found.process);
                (Some(stored), Some(found.process), found.body)
            }
        };
        Held {
            id,
            stored,
            read,
            slot,
            body,
            touched: Touched::Not,
            missed: false,
        }
    }

    fn apply(&mut self, op: &Op) -> Verdict {
        use milepost_core::Change::{Create, Erase, Import};
        let is_stored = self.stored.is_some();
        self.missed |= !is_stored && op.change == Erase;
        let verdict = op.apply(&mut self.slot);
        if matches!(&verdict, Ok(applied) if applied.changed) {
            // A creation that was sent before looks like what is stored, and is another process all the same.
            let ends = is_stored && matches!(op.change, Create(_) | Import(_) | Erase);
            let touched = if ends {
                Touched::Ended
            } else {
                Touched::Changed
            };
            self.touched = self.touched.max(touched);
        }
        verdict
    }

    /// Whether the texts that are stored must not be found any more: of another process, or of a file as it was.
    ///
    /// What the work itself has overtaken does not count, such as progress, a worker's name or a wish that was
    /// granted: it goes with its process, and every claim would have the next wipe move the whole file.
    fn erases(&self, stored: &Stored, process: &Process) -> bool {
        self.touched == Touched::Ended || stored.file != *process.file()
    }

    fn change(&self, stored: &Stored, process: &Process) -> Change {
        if self.erases(stored, process) || stored.expires_at != process.expires_at() {
            Change::Anything
        } else if stored.status != process.status() || stored.settled_at != process.settled_at() {
            Change::Settling
        } else if stored.leased_until != process.leased_until() {
            Change::Lease
        } else {
            Change::Work
        }
    }
}

impl Batch<'_> {
    /// The process of this id: as it was written last, or as it is read.
    fn hold(&mut self, id: RequestId) -> Result<&mut Held, StoreError> {
        let next = self.held.len();
        let place = match &mut self.places {
            None => next,
            Some(places) => *places.entry(id).or_insert(next),
        };
        if place == next {
            let held = match self.memo.take(id) {
                Some(known) => Held::new(id, Some(known), false),
                None => Held::new(id, self.rows.find(id)?, true),
            };
            self.held.push(held);
        }
        Ok(&mut self.held[place])
    }

    /// Writes what these ops have changed, and lets go of everything.
    fn write(&mut self, ops: &[Op], verdicts: &mut [Verdict]) -> Result<(), StoreError> {
        if let Some(places) = &mut self.places {
            places.clear();
        }
        for mut held in std::mem::take(&mut self.held) {
            let mut home = self.write_one(&mut held)?;
            if home.is_none() {
                // Others have written since: all is decided anew, on what is stored now.
                held = Held::new(held.id, self.rows.find(held.id)?, true);
                for (op, verdict) in ops.iter().zip(&mut *verdicts) {
                    if op.id == held.id {
                        *verdict = held.apply(op);
                    }
                }
                home = self.write_one(&mut held)?;
            }
            self.missed |= held.missed;
            match home {
                None => return Err(corrupt("a row vanished within a transaction")),
                Some(Outcome::Stored(home)) => {
                    if let Some(process) = held.slot {
                        let body = held.body;
                        self.memo.keep(
                            held.id,
                            Found {
                                home,
                                process,
                                body,
                            },
                        );
                    }
                }
                Some(Outcome::Gone) => {}
            }
        }
        Ok(())
    }

    /// Writes what has changed of a process. None, and nothing is written, if it was decided on something else
    /// than what is stored.
    fn write_one(&mut self, held: &mut Held) -> Result<Option<Outcome>, StoreError> {
        let Some(stored) = &held.stored else {
            return match &held.slot {
                // Never there, or begun and erased within the batch.
                None => Ok(Some(Outcome::Gone)),
                Some(process) => {
                    held.body.clear();
                    process.to_body(&mut held.body);
                    let table = self.current_table()?;
                    let home = self.rows.insert(table, process, &held.body)?;
                    Ok(Some(Outcome::Stored(home)))
                }
            };
        };
        let was = Was {
            home: stored.home,
            body: &held.body,
        };
        let Some(process) = &held.slot else {
            let deleted = self.rows.delete(held.id, &was)?;
            self.erased |= deleted;
            return Ok(deleted.then_some(Outcome::Gone));
        };
        if held.touched == Touched::Not {
            let stands = held.read || self.rows.is_still(held.id, &was)?;
            return Ok(stands.then_some(Outcome::Stored(stored.home)));
        }
        let body = &mut self.memo.body;
        body.clear();
        process.to_body(body);
        let change = held.change(stored, process);
        if !self.rows.replace(&was, process, body, change)? {
            return Ok(None);
        }
        self.erased |= held.erases(stored, process);
        std::mem::swap(&mut held.body, body);
        // The body alone does not tell what has changed beside it.
        Ok(Some(match change {
            Change::Anything => Outcome::Gone,
            Change::Settling | Change::Lease | Change::Work => Outcome::Stored(stored.home),
        }))
    }

    /// The table that takes new rows.
    fn current_table(&mut self) -> Result<Table, StoreError> {
        if let Some(current) = self.current {
            return Ok(current);
        }
        let current = self
            .connection
            .prepare_cached(sql::CURRENT)
            .and_then(|mut statement| statement.query_row([], |row| row.get(0)));
        let current = Table::from_number(current.map_err(store_error)?)?;
        self.current = Some(current);
        Ok(current)
    }
}

/// What is left to remember of a process once its ops are written.
enum Outcome {
    Stored(Home),
    Gone,
}

/// Makes the next wipe work: without this it would find nothing to do.
pub(crate) fn note_erasure(connection: &Connection) -> Result<(), StoreError> {
    run(connection, sql::ERASED).map_err(store_error)
}

/// The same where what is to go can be in the WAL only.
pub(crate) fn note_stray(connection: &Connection) -> Result<(), StoreError> {
    run(connection, sql::STRAYED).map_err(store_error)
}
