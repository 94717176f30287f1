//! Stores that hold some processes, and have done each thing once, on another process, before it is counted: what
//! is counted is a call with its statements prepared, and not the first one.

use milepost::{
    Change, Durability, MemoryStore, Metered, Op, OverallStatus, Page, Query, RequestId,
    SqliteConfig, SqliteStore, StatusStore, Traced, TrackError, Tracker, Verdict,
};
use tempfile::TempDir;

use crate::machine::{SteadyClock, new};

/// How many processes have settled: enough for trees of some depth, few enough for valgrind.
const SETTLED: usize = 1000;
/// How many are at their first module: those of the largest batch, and one that warms the store up.
const LIVE: usize = 101;
/// How many processes a page holds.
const PAGE: usize = 50;

/// A store that is warm.
pub(crate) struct Warm {
    tracker: Tracker,
    live: Vec<RequestId>,
    /// Outlives the store.
    _directory: Option<TempDir>,
}

/// Ops that are to be written to a store.
pub(crate) struct Batch {
    warm: Warm,
    pub(crate) ops: Vec<Op>,
}

/// What a store is to be asked.
pub(crate) struct Question {
    warm: Warm,
    pub(crate) ids: Vec<RequestId>,
    pub(crate) query: Query,
}

/// The store in memory.
pub(crate) fn memory() -> Warm {
    Warm::of(MemoryStore::new(), None)
}

/// The same with somebody to look on, where nobody does: no subscriber is there.
pub(crate) fn traced() -> Warm {
    Warm::of(Traced::new(MemoryStore::new()), None)
}

/// The same with somebody to count, where nobody does: no recorder is there.
pub(crate) fn metered() -> Warm {
    Warm::of(Metered::new(MemoryStore::new()), None)
}

/// The store in a file, at `NORMAL`: a sync is the disk's work.
pub(crate) fn sqlite() -> Warm {
    let directory = tempfile::tempdir().expect("there is room for a directory");
    let config = SqliteConfig {
        durability: Durability::Normal,
        ..SqliteConfig::new(directory.path().join("status.db"))
    };
    let store = SqliteStore::open_with(config).expect("the file is new");
    Warm::of(store, Some(directory))
}

impl Warm {
    fn of(store: impl StatusStore, directory: Option<TempDir>) -> Self {
        let tracker = Tracker::with_clock(store, SteadyClock::default());
        let settled = begin(&tracker, SETTLED);
        for module in 1..=4 {
            move_on(&tracker, &settled, &Change::complete(module));
        }
        let live = begin(&tracker, LIVE);
        move_on(&tracker, &live, &Change::start(1));
        let warm = Warm {
            tracker,
            live,
            _directory: directory,
        };
        warm.warm_up();
        warm
    }

    fn warm_up(&self) {
        begin(&self.tracker, 1);
        move_on(&self.tracker, &self.live[LIVE - 1..], &Change::complete(1));
        self.tracker.get(self.live[0]).expect("it has begun");
        self.tracker.list(&query()).expect("the query is lawful");
    }

    pub(crate) fn begin(self, ops: usize) -> Batch {
        let create = |_| self.tracker.prepare(new()).expect("it is valid");
        Batch {
            ops: (0..ops).map(create).collect(),
            warm: self,
        }
    }

    /// So many ops, each on another process, whose running module completes.
    pub(crate) fn advance(self, ops: usize) -> Batch {
        let advance = |id: &RequestId| self.tracker.op(*id, Change::complete(1));
        Batch {
            ops: self.live[..ops].iter().map(advance).collect(),
            warm: self,
        }
    }

    pub(crate) fn ask(self) -> Question {
        Question {
            ids: self.live[..LIVE - 1].to_vec(),
            query: query(),
            warm: self,
        }
    }
}

impl Batch {
    pub(crate) fn tracker(&self) -> &Tracker {
        &self.warm.tracker
    }
}

impl Question {
    pub(crate) fn tracker(&self) -> &Tracker {
        &self.warm.tracker
    }
}

fn query() -> Query {
    let complete = Query::new()
        .pipeline("bench")
        .status(OverallStatus::Complete);
    complete.limit(PAGE)
}

fn begin(tracker: &Tracker, processes: usize) -> Vec<RequestId> {
    let prepare = |_| tracker.prepare(new()).expect("it is valid");
    let ops = (0..processes).map(prepare).collect::<Vec<_>>();
    all_changed(tracker.apply(&ops));
    ops.iter().map(|op| op.id).collect()
}

fn move_on(tracker: &Tracker, ids: &[RequestId], change: &Change) {
    let op = |id: &RequestId| tracker.op(*id, change.clone());
    all_changed(tracker.apply(&ids.iter().map(op).collect::<Vec<_>>()));
}

fn all_changed(verdicts: Result<Vec<Verdict>, TrackError>) {
    for verdict in verdicts.expect("the store writes") {
        assert!(verdict.is_ok_and(|applied| applied.changed));
    }
}

pub(crate) fn has_changed((_, verdicts): (Batch, Result<Vec<Verdict>, TrackError>)) {
    all_changed(verdicts);
}

pub(crate) fn is_found((question, revisions): (Question, Result<u64, TrackError>)) {
    // Each has begun, and started its first module.
    let revisions = revisions.expect("all have begun");
    assert_eq!(revisions, 2 * question.ids.len() as u64);
}

pub(crate) fn is_full((_, page): (Question, Result<Page, TrackError>)) {
    assert_eq!(page.expect("the query is lawful").items.len(), PAGE);
}
