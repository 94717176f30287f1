//! What the tests of this crate share.

#![allow(dead_code, reason = "each test takes what it needs")]

use std::sync::{Arc, Condvar, Mutex};

use chrono::{DateTime, Utc};
use milepost_core::{
    Counts, Filter, Found, Listing, NewProcess, Op, Pipeline, Process, RequestId, StatusStore,
    StoreError, StoreErrorKind, TrackError, Verdict, Version, Wipe, WipeLevel,
};
use milepost_tokio::{AsyncProcessHandle, AsyncTracker, AsyncWatch};
use tokio::task::JoinHandle;

pub(crate) fn pipeline() -> Pipeline {
    Pipeline::new("invoice-ocr", ["ocr", "parser", "keyword-db"]).expect("a good pipeline")
}

pub(crate) fn id(n: u128) -> RequestId {
    RequestId::from(uuid::Uuid::from_u128(n))
}

/// A process that has begun.
pub(crate) async fn begun(tracker: &AsyncTracker) -> AsyncProcessHandle {
    let begun = tracker.begin(NewProcess::new(&pipeline())).await;
    begun.expect("it begins")
}

/// Begins a process in a task of its own.
pub(crate) fn begin(tracker: &AsyncTracker, n: u128) -> JoinHandle<Result<(), TrackError>> {
    let new = NewProcess::new(&pipeline()).request_id(id(n));
    let tracker = tracker.clone();
    tokio::spawn(async move { tracker.begin(new).await.map(drop) })
}

pub(crate) async fn watch(tracker: &AsyncTracker, process: &AsyncProcessHandle) -> AsyncWatch {
    let watch = tracker.watch(process.request_id()).await;
    watch.expect("it is there")
}

/// A store whose writes a test holds back, has fail, and counts.
#[derive(Debug)]
pub(crate) struct Gate {
    store: Box<dyn StatusStore>,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    is_closed: bool,
    /// How many ops each write had.
    writes: Vec<usize>,
    fails: Option<(RequestId, StoreErrorKind)>,
    panics: bool,
    no_reads: bool,
}

impl Gate {
    pub(crate) fn new(store: impl StatusStore) -> Arc<Self> {
        Arc::new(Gate {
            store: Box::new(store),
            state: Mutex::default(),
            changed: Condvar::new(),
        })
    }

    /// Holds writes back from now on.
    pub(crate) fn close(&self) {
        self.set(|state| state.is_closed = true);
    }

    pub(crate) fn open(&self) {
        self.set(|state| state.is_closed = false);
    }

    /// Has each write fail that has an op of this process.
    pub(crate) fn fail_for(&self, id: RequestId, kind: StoreErrorKind) {
        self.set(|state| state.fails = Some((id, kind)));
    }

    pub(crate) fn panic_next(&self) {
        self.set(|state| state.panics = true);
    }

    pub(crate) fn trouble_reading(&self, is_there: bool) {
        self.set(|state| state.no_reads = is_there);
    }

    /// How many ops each write had, in order.
    pub(crate) fn writes(&self) -> Vec<usize> {
        self.state.lock().expect("no panic").writes.clone()
    }

    /// Waits until so many writes have begun.
    pub(crate) fn reached(&self, writes: usize) {
        let state = self.state.lock().expect("no panic");
        let fewer = |state: &mut State| state.writes.len() < writes;
        drop(self.changed.wait_while(state, fewer).expect("no panic"));
    }

    fn set(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state.lock().expect("no panic"));
        self.changed.notify_all();
    }

    fn check_reading(&self) -> Result<(), StoreError> {
        if self.state.lock().expect("no panic").no_reads {
            return Err(StoreError::new(
                StoreErrorKind::Unavailable,
                "as the test has it",
            ));
        }
        Ok(())
    }
}

impl StatusStore for Gate {
    fn write(&self, ops: &[Op]) -> Result<Vec<Verdict>, StoreError> {
        let mut state = self.state.lock().expect("no panic");
        state.writes.push(ops.len());
        self.changed.notify_all();
        let mut state = self
            .changed
            .wait_while(state, |state| state.is_closed)
            .expect("no panic");
        let panics = std::mem::take(&mut state.panics);
        let fails = state.fails;
        drop(state);
        assert!(!panics, "as the test has it");
        match fails {
            Some((id, kind)) if ops.iter().any(|op| op.id == id) => {
                Err(StoreError::new(kind, "as the test has it"))
            }
            _ => self.store.write(ops),
        }
    }

    fn read(&self, id: RequestId) -> Result<Option<Arc<Process>>, StoreError> {
        self.check_reading()?;
        self.store.read(id)
    }

    fn versions(&self, ids: &[RequestId]) -> Result<Vec<Option<Version>>, StoreError> {
        self.check_reading()?;
        self.store.versions(ids)
    }

    fn list(&self, listing: &Listing) -> Result<Found, StoreError> {
        self.store.list(listing)
    }

    fn count(&self, filter: &Filter) -> Result<Counts, StoreError> {
        self.store.count(filter)
    }

    fn purge(&self, expired_by: DateTime<Utc>, limit: usize) -> Result<usize, StoreError> {
        self.store.purge(expired_by, limit)
    }

    fn wipe(&self, level: WipeLevel) -> Result<Wipe, StoreError> {
        self.store.wipe(level)
    }
}
