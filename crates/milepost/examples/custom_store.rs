//! A store of one's own, and its proof.
//!
//! A store loads, calls `Op::apply`, and saves. It decides nothing itself: which change is allowed, what is
//! expired, what matches a filter, all that is asked of the core. What is left is keeping. This one keeps
//! everything in one map behind one lock; `milepost-memory` is the same idea made fast.

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use milepost::chrono::{DateTime, Utc};
use milepost::{
    Counts, Filter, Found, Listing, Op, Order, Place, Process, RequestId, StatusStore, StoreError,
    Verdict, Wipe, WipeLevel, limits,
};
use milepost_conformance::Subject;

fn main() {
    // Every sentence of the contract is a law, and every law is tried on a new store. In a crate of your
    // own this line is a test.
    milepost_conformance::check(&Subject::new(OrderedStore::default));
    println!(
        "OrderedStore keeps all {} laws.",
        milepost_conformance::laws().len()
    );
}

/// Keeps processes in the order of every list.
#[derive(Debug, Default)]
struct OrderedStore {
    rows: Mutex<Rows>,
}

#[derive(Debug, Default)]
struct Rows {
    processes: BTreeMap<Place, Arc<Process>>,
    /// Where each process stands.
    places: HashMap<RequestId, Place>,
}

impl OrderedStore {
    fn lock(&self) -> MutexGuard<'_, Rows> {
        // Nothing that runs under the lock panics, and who only reads may go on in any case.
        self.rows.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Rows {
    fn get(&self, id: RequestId) -> Option<&Arc<Process>> {
        self.processes.get(self.places.get(&id)?)
    }

    fn take(&mut self, id: RequestId) -> Option<Arc<Process>> {
        self.processes.remove(&self.places.remove(&id)?)
    }

    fn put(&mut self, process: Arc<Process>) {
        let place = Place::of(&process);
        self.places.insert(place.request_id, place);
        self.processes.insert(place, process);
    }
}

impl StatusStore for OrderedStore {
    fn write(&self, ops: &[Op]) -> Result<Vec<Verdict>, StoreError> {
        limits::check_batch(ops)?;
        // Held across load, apply and save: two starts must not both win.
        let mut rows = self.lock();
        let apply = |op: &Op| {
            let mut slot = rows.take(op.id);
            let verdict = op.apply(&mut slot);
            if let Some(process) = slot {
                rows.put(process);
            }
            verdict
        };
        Ok(ops.iter().map(apply).collect())
    }

    fn read(&self, id: RequestId) -> Result<Option<Arc<Process>>, StoreError> {
        // Expired or not: the tracker judges, by its own clock.
        Ok(self.lock().get(id).cloned())
    }

    fn list(&self, listing: &Listing) -> Result<Found, StoreError> {
        listing.check()?;
        let rows = self.lock();
        let behind = listing.after.map_or(Bound::Unbounded, Bound::Excluded);
        let walk: Box<dyn Iterator<Item = _>> = match listing.order {
            Order::OldestFirst => Box::new(rows.processes.range((behind, Bound::Unbounded))),
            Order::NewestFirst => Box::new(rows.processes.range((Bound::Unbounded, behind)).rev()),
        };
        let mut items = Vec::new();
        for (examined, (place, process)) in walk.enumerate() {
            if listing.filter.matches(process) {
                items.push(Arc::clone(process));
            }
            // Bounded: a filter that matches little answers a short page, and where to go on.
            if items.len() == listing.limit || examined + 1 == limits::LIST_EXAMINED {
                return Ok(Found::new(items, Some(*place)));
            }
        }
        Ok(Found::new(items, None))
    }

    fn count(&self, filter: &Filter) -> Result<Counts, StoreError> {
        let mut counts = Counts::new();
        for (examined, process) in self.lock().processes.values().enumerate() {
            if examined == limits::COUNT_EXAMINED && !filter.is_indexed() {
                return Ok(counts.partial());
            }
            counts.tally(process, filter);
        }
        Ok(counts)
    }

    fn purge(&self, expired_by: DateTime<Utc>, limit: usize) -> Result<usize, StoreError> {
        limits::check_purge(limit)?;
        let mut rows = self.lock();
        let expired = rows
            .processes
            .values()
            .filter(|process| process.is_expired(expired_by));
        let ids = expired
            .take(limit)
            .map(|process| process.request_id())
            .collect::<Vec<_>>();
        for id in &ids {
            rows.take(*id);
        }
        Ok(ids.len())
    }

    fn wipe(&self, _level: WipeLevel) -> Result<Wipe, StoreError> {
        // There are no files in which anything could be left.
        Ok(Wipe::Done)
    }
}
