//! What laws are made of: times, ids, pipelines and ops, the same in every run.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use milepost_core::{
    Change, Clock, Counts, Failure, FileId, Filter, Found, Guard, Listing, NewProcess, Op,
    Pipeline, Process, RequestId, StatusStore, StoreError, StoreErrorKind, Tracker, Verdict, Wipe,
    WipeLevel,
};
use uuid::Uuid;

/// Noon of the day on which most laws play, in seconds since 1970.
const NOON: i64 = 1_779_105_600;

/// So many seconds after noon.
pub(crate) fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(NOON + seconds, 0).expect("it lies in the same century")
}

/// So many microseconds after `time`.
pub(crate) fn micros_after(time: DateTime<Utc>, micros: i64) -> DateTime<Utc> {
    time + TimeDelta::microseconds(micros)
}

/// A time in words.
pub(crate) fn time(text: &str) -> DateTime<Utc> {
    text.parse().expect("the law gives a time")
}

/// The id of process `n` of a law. Neither its order nor its bits say when it began.
pub(crate) fn id(n: u32) -> RequestId {
    // An odd factor makes distinct ids of distinct numbers, out of order. From 1: sixteen zero bytes are in
    // every file, and no law could tell that they are an id.
    let scattered = (u128::from(n) + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
    RequestId::from(Uuid::from_u128(scattered))
}

/// The id of file `n` of a law.
pub(crate) fn file(n: u32) -> FileId {
    FileId::from(Uuid::from_u128(0xf11e << 64 | u128::from(n)))
}

/// A sequential pipeline of three modules.
pub(crate) fn chain() -> Pipeline {
    Pipeline::new("invoice-ocr", ["ocr", "parser", "keyword-db"]).expect("the names are fine")
}

/// The same modules side by side.
pub(crate) fn side_by_side() -> Pipeline {
    Pipeline::new("thumbnails", ["small", "medium", "large"])
        .expect("the names are fine")
        .parallel()
}

pub(crate) fn failure() -> Failure {
    Failure::new("BadInput", "page 4 is blank")
}

pub(crate) fn op(id: RequestId, seconds: i64, change: Change) -> Op {
    Op::new(id, at(seconds), change)
}

/// What these ops make where no store is.
pub(crate) fn elsewhere(ops: &[Op]) -> Arc<Process> {
    let mut slot = None;
    for op in ops {
        op.apply(&mut slot).expect("the law sends what fits");
    }
    slot.expect("a creation comes first")
}

/// The guard under which a handle that was taken from `process` reports on `module`.
pub(crate) fn module_guard(process: &Process, module: usize) -> Guard {
    run_guard(process).attempt(process.modules()[module - 1].attempt())
}

/// The guard under which a handle that was taken from `process` cancels or reruns it.
pub(crate) fn run_guard(process: &Process) -> Guard {
    Guard::new().born(process.version().born).run(process.run())
}

/// The op that claims a process for `worker`, for so many seconds.
pub(crate) fn claim(id: RequestId, seconds: i64, worker: &str, ttl: u64, mark: u64) -> Op {
    let ttl = Duration::from_secs(ttl);
    op(id, seconds, Change::claim(worker, ttl, mark))
}

/// The op that lets a lease last for so many seconds.
pub(crate) fn renew(id: RequestId, seconds: i64, ttl: u64) -> Op {
    op(id, seconds, Change::renew(Duration::from_secs(ttl)))
}

/// The guard under which whoever made the newest claim on `process` reports.
pub(crate) fn lease_guard(process: &Process) -> Guard {
    let guard = Guard::new().born(process.version().born);
    guard.lease(process.claim().map_or(0, milepost_core::Claim::token))
}

/// Makes the ops that begin processes.
#[derive(Debug)]
pub(crate) struct Beginner {
    drawn: Arc<AtomicU64>,
    seed: u64,
}

impl Beginner {
    /// Whose marks of birth follow from `seed`.
    pub(crate) fn new(seed: u64) -> Self {
        Beginner {
            drawn: Arc::new(AtomicU64::new(0)),
            seed,
        }
    }

    /// The op that begins a process at this time.
    pub(crate) fn begin(&self, new: NewProcess, at: DateTime<Utc>) -> Op {
        let clock = Still {
            at,
            drawn: Arc::clone(&self.drawn),
            seed: self.seed,
        };
        Tracker::with_clock(Nowhere, clock)
            .prepare(new)
            .expect("the law begins what can begin")
    }
}

/// A clock that stands, with randomness that is the same in every run.
#[derive(Debug)]
struct Still {
    at: DateTime<Utc>,
    drawn: Arc<AtomicU64>,
    seed: u64,
}

impl Clock for Still {
    fn now(&self) -> DateTime<Utc> {
        self.at
    }

    fn random(&self) -> u128 {
        let half = || {
            let n = self.drawn.fetch_add(1, Ordering::Relaxed);
            mixed(
                self.seed
                    .wrapping_add(n.wrapping_mul(0x9e37_79b9_7f4a_7c15)),
            )
        };
        u128::from(half()) << 64 | u128::from(half())
    }
}

/// The finalizer of `splitmix64` (<https://prng.di.unimi.it/splitmix64.c>).
fn mixed(n: u64) -> u64 {
    let n = (n ^ (n >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let n = (n ^ (n >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    n ^ (n >> 31)
}

/// The store of a tracker that only prepares: it is never asked.
#[derive(Debug)]
struct Nowhere;

fn nowhere<T>() -> Result<T, StoreError> {
    let why = "a tracker that only prepares ops has no store";
    Err(StoreError::new(StoreErrorKind::Unavailable, why))
}

impl StatusStore for Nowhere {
    fn write(&self, _: &[Op]) -> Result<Vec<Verdict>, StoreError> {
        nowhere()
    }

    fn read(&self, _: RequestId) -> Result<Option<Arc<Process>>, StoreError> {
        nowhere()
    }

    fn list(&self, _: &Listing) -> Result<Found, StoreError> {
        nowhere()
    }

    fn count(&self, _: &Filter) -> Result<Counts, StoreError> {
        nowhere()
    }

    fn purge(&self, _: DateTime<Utc>, _: usize) -> Result<usize, StoreError> {
        nowhere()
    }

    fn wipe(&self, _: WipeLevel) -> Result<Wipe, StoreError> {
        nowhere()
    }
}
