//! The reference: a store so simple that it is right at a glance, and as slow as that makes it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, Utc};
use milepost_core::{
    Counts, Filter, Found, Listing, Op, Order, Place, Process, RequestId, StatusStore, StoreError,
    Verdict, Wipe, WipeLevel, limits,
};

/// What is stored: an ordered map.
pub(crate) type Records = BTreeMap<RequestId, Arc<Process>>;

/// A map behind one lock. Clones share it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Honest(Arc<Mutex<Records>>);

impl Honest {
    /// An empty one.
    pub(crate) fn new() -> Self {
        Honest::default()
    }

    /// What is stored, under its lock.
    pub(crate) fn records(&self) -> MutexGuard<'_, Records> {
        // A law that panics poisons the lock; what it guards is whole at every step.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Loads, applies, saves.
pub(crate) fn apply(records: &mut Records, op: &Op) -> Verdict {
    let mut slot = records.remove(&op.id);
    let verdict = op.apply(&mut slot);
    if let Some(process) = slot {
        records.insert(op.id, process);
    }
    verdict
}

impl StatusStore for Honest {
    fn write(&self, ops: &[Op]) -> Result<Vec<Verdict>, StoreError> {
        limits::check_batch(ops)?;
        let mut records = self.records();
        Ok(ops.iter().map(|op| apply(&mut records, op)).collect())
    }

    fn read(&self, id: RequestId) -> Result<Option<Arc<Process>>, StoreError> {
        Ok(self.records().get(&id).cloned())
    }

    fn list(&self, listing: &Listing) -> Result<Found, StoreError> {
        listing.check()?;
        let mut matching = self.records().values().cloned().collect::<Vec<_>>();
        matching.retain(|process| {
            let place = Place::of(process);
            listing.filter.matches(process)
                && listing
                    .after
                    .is_none_or(|after| place.is_behind(after, listing.order))
        });
        matching.sort_by_key(|process| Place::of(process));
        if listing.order == Order::NewestFirst {
            matching.reverse();
        }
        let more = matching.len() > listing.limit;
        matching.truncate(listing.limit);
        let next = matching.last().filter(|_| more).map(|last| Place::of(last));
        Ok(Found::new(matching, next))
    }

    fn count(&self, filter: &Filter) -> Result<Counts, StoreError> {
        let mut counts = Counts::new();
        for process in self.records().values() {
            counts.tally(process, filter);
        }
        Ok(counts)
    }

    fn purge(&self, expired_by: DateTime<Utc>, limit: usize) -> Result<usize, StoreError> {
        limits::check_purge(limit)?;
        let mut records = self.records();
        let expired = records
            .values()
            .filter(|process| process.is_expired(expired_by))
            .map(|process| process.request_id())
            .take(limit)
            .collect::<Vec<_>>();
        for id in &expired {
            records.remove(id);
        }
        Ok(expired.len())
    }

    fn wipe(&self, _: WipeLevel) -> Result<Wipe, StoreError> {
        Ok(Wipe::Done)
    }
}
