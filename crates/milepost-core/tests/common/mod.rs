//! What the tests of this crate share: a moment, a small store, and a way to any process.
#![allow(dead_code, reason = "each test file uses a part of it")]

pub(crate) mod random;
pub(crate) mod store;
pub(crate) mod work;

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use milepost_core::{
    Change, Guard, ManualClock, NewProcess, Op, Pipeline, Process, Rejection, RequestId, Tracker,
    Verdict,
};

use store::MapStore;

pub(crate) const ID: &str = "f948a6ad-0343-e743-2b3f-0df6bc732a3a";

pub(crate) fn id() -> RequestId {
    ID.parse().expect("it is a UUID")
}

pub(crate) fn noon() -> DateTime<Utc> {
    "2026-05-18T12:00:00Z".parse().expect("it is a time")
}

/// So many seconds after noon.
pub(crate) fn at(seconds: i64) -> DateTime<Utc> {
    noon() + TimeDelta::seconds(seconds)
}

pub(crate) fn chain(modules: usize) -> Pipeline {
    let names = (1..=modules).map(|position| format!("step-{position}"));
    Pipeline::new("pipeline", names).expect("the names are short")
}

/// A tracker at noon, over a store of its own, with its clock.
pub(crate) fn tracker() -> (Tracker, ManualClock) {
    let clock = ManualClock::new(noon());
    (Tracker::with_clock(MapStore::new(), clock.clone()), clock)
}

/// The op that begins `new` at `time`.
pub(crate) fn creation(new: NewProcess, time: DateTime<Utc>) -> Op {
    let tracker = Tracker::with_clock(MapStore::new(), ManualClock::new(time));
    tracker.prepare(new).expect("what begins here is valid")
}

pub(crate) fn new(pipeline: &Pipeline) -> NewProcess {
    NewProcess::new(pipeline).request_id(id())
}

/// A process in a slot, as a store has it, with its changes in seconds after noon.
#[derive(Debug, Clone)]
pub(crate) struct Slot(pub(crate) Option<Arc<Process>>);

impl Slot {
    /// Begun at noon.
    pub(crate) fn begun(pipeline: &Pipeline) -> Self {
        Slot::of(new(pipeline))
    }

    pub(crate) fn of(new: NewProcess) -> Self {
        let mut slot = Slot(None);
        creation(new, noon())
            .apply(&mut slot.0)
            .expect("a new process begins");
        slot
    }

    pub(crate) fn process(&self) -> &Process {
        self.0.as_ref().expect("the process is there")
    }

    pub(crate) fn born(&self) -> u64 {
        self.process().version().born
    }

    /// Applies an op; whatever is refused or changes nothing must leave the very same process.
    pub(crate) fn apply(&mut self, op: &Op) -> Verdict {
        let before = self.0.clone();
        let verdict = op.apply(&mut self.0);
        if !matches!(&verdict, Ok(applied) if applied.changed) {
            let same = match (&before, &self.0) {
                (Some(before), Some(after)) => Arc::ptr_eq(before, after),
                (None, None) => true,
                _ => false,
            };
            assert!(same, "{verdict:?} must leave the slot untouched");
        }
        verdict
    }

    pub(crate) fn change(&mut self, seconds: i64, change: Change) -> Verdict {
        self.apply(&Op::new(id(), at(seconds), change))
    }

    pub(crate) fn guarded(&mut self, seconds: i64, change: Change, guard: Guard) -> Verdict {
        self.apply(&Op::new(id(), at(seconds), change).guarded(guard))
    }

    /// A change that must be applied.
    #[track_caller]
    pub(crate) fn must(&mut self, seconds: i64, change: Change) -> &mut Self {
        let verdict = self.change(seconds, change);
        assert!(
            matches!(&verdict, Ok(applied) if applied.changed),
            "{verdict:?}"
        );
        self
    }

    /// A change that must be refused.
    #[track_caller]
    pub(crate) fn refused(&mut self, seconds: i64, change: Change) -> Rejection {
        self.change(seconds, change)
            .expect_err("it must be refused")
    }

    /// A change that must be accepted and change nothing.
    #[track_caller]
    pub(crate) fn same(&mut self, seconds: i64, change: Change) {
        let verdict = self.change(seconds, change);
        assert!(
            matches!(&verdict, Ok(applied) if !applied.changed),
            "{verdict:?}"
        );
    }
}
