//! A store that is wrong now and then, to show that the laws notice.

use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use milepost::{
    Change, Op, Process, RequestId, SqliteStore, StatusStore, StoreError, StoreErrorKind, Verdict,
};

use crate::bent::{Bend, Bent};

/// How it is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "each is written out, in `FromStr`")]
pub enum Fault {
    /// Not at all.
    None,
    /// Once it acknowledges a change that it does not keep.
    Drops,
    /// Now and then it answers with what it read before.
    Stale,
    /// Once it is busy long before the deadline.
    Hasty,
}

impl FromStr for Fault {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        Ok(match name {
            "none" => Fault::None,
            "drops" => Fault::Drops,
            "stale" => Fault::Stale,
            "hasty" => Fault::Hasty,
            _ => return Err(format!("there is no fault {name}")),
        })
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Fault::None => "none",
            Fault::Drops => "drops",
            Fault::Stale => "stale",
            Fault::Hasty => "hasty",
        })
    }
}

/// At which write it goes wrong.
const WRONG: u64 = 100;
/// One read in so many is stale, if its process has changed since: of one in 50 some runs saw nothing.
const STALE: u64 = 5;

/// The SQLite store, with a fault.
#[derive(Debug)]
pub struct Faulty {
    store: SqliteStore,
    fault: Fault,
    calls: AtomicU64,
    /// What it read of each process last.
    remembered: Mutex<HashMap<RequestId, Arc<Process>>>,
}

impl Faulty {
    /// The store, wrong in this way.
    #[must_use]
    pub fn over(store: SqliteStore, fault: Fault) -> Bent<Self> {
        Bent(Faulty {
            store,
            fault,
            calls: AtomicU64::new(0),
            remembered: Mutex::default(),
        })
    }

    /// Answers for a change without making it, if one would be made.
    fn drop_it(&self, op: &Op) -> Result<Option<Verdict>, StoreError> {
        let mut slot = self.store.read(op.id)?;
        let verdict = op.apply(&mut slot);
        let is_change = verdict.as_ref().is_ok_and(|applied| applied.changed);
        Ok(is_change.then_some(verdict))
    }

    fn stale(&self, now: Option<Arc<Process>>) -> Option<Arc<Process>> {
        let mut remembered = self
            .remembered
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let now = now?;
        let before = remembered.insert(now.request_id(), Arc::clone(&now));
        let call = self.calls.fetch_add(1, Ordering::Relaxed);
        Some(before.filter(|_| call.is_multiple_of(STALE)).unwrap_or(now))
    }
}

impl Bend for Faulty {
    fn store(&self) -> &dyn StatusStore {
        &self.store
    }

    fn write(&self, ops: &[Op]) -> Result<Vec<Verdict>, StoreError> {
        if matches!(self.fault, Fault::Drops | Fault::Hasty) && is_progress(ops) {
            let is_wrong = self.calls.fetch_add(1, Ordering::Relaxed) == WRONG;
            if is_wrong && self.fault == Fault::Hasty {
                return Err(StoreError::new(StoreErrorKind::Busy, "on purpose"));
            }
            if is_wrong && let Some(verdict) = self.drop_it(&ops[0])? {
                return Ok(vec![verdict]);
            }
            if is_wrong {
                // It would change nothing: the next, then.
                self.calls.store(WRONG, Ordering::Relaxed);
            }
        }
        self.store.write(ops)
    }

    fn read(&self, id: RequestId) -> Result<Option<Arc<Process>>, StoreError> {
        let now = self.store.read(id)?;
        Ok(if self.fault == Fault::Stale {
            self.stale(now)
        } else {
            now
        })
    }
}

fn is_progress(ops: &[Op]) -> bool {
    matches!(ops, [op] if matches!(op.change, Change::Progress { .. }))
}
