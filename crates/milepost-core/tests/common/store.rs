//! A store of one map, whose every call a test can step into.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, Utc};
use milepost_core::{
    Counts, Filter, Found, Listing, Op, Place, Process, RequestId, StatusStore, StoreError,
    Verdict, Version, Wipe, WipeLevel,
};

/// The call that a script is asked about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Call {
    Write,
    Read,
    Versions,
    List,
    Count,
    Purge,
    Wipe,
}

type Script = dyn Fn(Call, &MapStore) -> Result<(), StoreError> + Send + Sync;
type Map = HashMap<RequestId, Arc<Process>>;

#[derive(Default)]
pub(crate) struct MapStore {
    map: Mutex<Map>,
    script: Mutex<Option<Arc<Script>>>,
    calls: [AtomicUsize; 7],
    /// The ops of each write that was tried, if it is a store that keeps them.
    tried: Option<Mutex<Vec<Vec<Op>>>>,
    /// How many ids each poll asked for.
    polled: Mutex<Vec<usize>>,
    /// Told when the store is closed.
    closed: Option<Arc<AtomicBool>>,
    /// How many rows one `list` examines; 0: all.
    pub(crate) examined: AtomicUsize,
}

impl fmt::Debug for MapStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MapStore")
    }
}

impl MapStore {
    pub(crate) fn new() -> Self {
        MapStore::default()
    }

    /// A store of one process.
    pub(crate) fn holding(process: &Process) -> Self {
        let held = Map::from([(process.request_id(), Arc::new(process.clone()))]);
        let mut store = MapStore::default();
        store.map = Mutex::new(held);
        store
    }

    /// A store that says when it is dropped.
    pub(crate) fn closing(closed: &Arc<AtomicBool>) -> Self {
        let mut store = MapStore::default();
        store.closed = Some(Arc::clone(closed));
        store
    }

    /// A store that keeps the ops of each write, also of those that a script fails.
    pub(crate) fn noting() -> Self {
        let mut store = MapStore::default();
        store.tried = Some(Mutex::default());
        store
    }

    /// The ops of each write that was tried, in order, the last of which may be under way.
    pub(crate) fn tried(&self) -> Vec<Vec<Op>> {
        let tried = self.tried.as_ref().expect("the store was made to note");
        tried.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn polled(&self) -> Vec<usize> {
        let polled = self.polled.lock();
        polled.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Asks `script` before every call from now on: it may fail the call, or change what is stored.
    pub(crate) fn script(
        &self,
        script: impl Fn(Call, &MapStore) -> Result<(), StoreError> + Send + Sync + 'static,
    ) {
        *self.script.lock().expect("no script is set in a panic") = Some(Arc::new(script));
    }

    pub(crate) fn calls(&self, call: Call) -> usize {
        self.calls[call as usize].load(Ordering::SeqCst)
    }

    /// Applies an op behind everybody's back.
    pub(crate) fn raw(&self, op: &Op) -> Verdict {
        let mut map = self.map();
        let mut slot = map.remove(&op.id);
        let verdict = op.apply(&mut slot);
        if let Some(process) = slot {
            map.insert(op.id, process);
        }
        verdict
    }

    pub(crate) fn put(&self, process: Process) {
        self.map().insert(process.request_id(), Arc::new(process));
    }

    pub(crate) fn len(&self) -> usize {
        self.map().len()
    }

    fn map(&self) -> MutexGuard<'_, Map> {
        self.map.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn enter(&self, call: Call) -> Result<(), StoreError> {
        self.calls[call as usize].fetch_add(1, Ordering::SeqCst);
        let script = self.script.lock().expect("no script is set in a panic");
        // Let go of the lock: a script may call the store.
        let asked = script.clone();
        drop(script);
        asked.map_or(Ok(()), |script| script(call, self))
    }
}

impl Drop for MapStore {
    fn drop(&mut self) {
        if let Some(closed) = &self.closed {
            closed.store(true, Ordering::SeqCst);
        }
    }
}

impl StatusStore for MapStore {
    fn write(&self, ops: &[Op]) -> Result<Vec<Verdict>, StoreError> {
        if let Some(tried) = &self.tried {
            let mut tried = tried.lock().unwrap_or_else(PoisonError::into_inner);
            tried.push(ops.to_vec());
        }
        self.enter(Call::Write)?;
        milepost_core::limits::check_batch(ops)?;
        Ok(ops.iter().map(|op| self.raw(op)).collect())
    }

    fn read(&self, id: RequestId) -> Result<Option<Arc<Process>>, StoreError> {
        self.enter(Call::Read)?;
        Ok(self.map().get(&id).cloned())
    }

    fn versions(&self, ids: &[RequestId]) -> Result<Vec<Option<Version>>, StoreError> {
        self.polled
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(ids.len());
        self.enter(Call::Versions)?;
        milepost_core::limits::check_ids(ids)?;
        let map = self.map();
        let version = |id| map.get(id).map(|process| process.version());
        Ok(ids.iter().map(version).collect())
    }

    fn list(&self, listing: &Listing) -> Result<Found, StoreError> {
        self.enter(Call::List)?;
        listing.check()?;
        let mut all = self.map().values().cloned().collect::<Vec<_>>();
        all.sort_by_key(|process| Place::of(process));
        if listing.order == milepost_core::Order::NewestFirst {
            all.reverse();
        }
        let behind = |place: Place| {
            listing
                .after
                .is_none_or(|after| place.is_behind(after, listing.order))
        };
        let mut items = Vec::new();
        let mut last = None;
        let examined = match self.examined.load(Ordering::SeqCst) {
            0 => usize::MAX,
            rows => rows,
        };
        let rows = all.iter().filter(|process| behind(Place::of(process)));
        for (row, process) in rows.enumerate() {
            if items.len() == listing.limit || row == examined {
                return Ok(Found::new(items, last));
            }
            last = Some(Place::of(process));
            if listing.filter.matches(process) {
                items.push(process.clone());
            }
        }
        Ok(Found::new(items, None))
    }

    fn count(&self, filter: &Filter) -> Result<Counts, StoreError> {
        self.enter(Call::Count)?;
        let mut counts = Counts::new();
        for process in self.map().values() {
            counts.tally(process, filter);
        }
        Ok(counts)
    }

    fn purge(&self, expired_by: DateTime<Utc>, limit: usize) -> Result<usize, StoreError> {
        self.enter(Call::Purge)?;
        milepost_core::limits::check_purge(limit)?;
        let mut map = self.map();
        let expired = map
            .values()
            .filter(|process| process.is_expired(expired_by))
            .map(|process| process.request_id())
            .take(limit)
            .collect::<Vec<_>>();
        for id in &expired {
            map.remove(id);
        }
        Ok(expired.len())
    }

    fn wipe(&self, _: WipeLevel) -> Result<Wipe, StoreError> {
        self.enter(Call::Wipe)?;
        Ok(Wipe::Done)
    }
}
