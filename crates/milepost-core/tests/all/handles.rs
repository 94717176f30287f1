//! Handles: what a worker holds, what makes it stale, and why sending again is safe.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use milepost_core::{
    Change, Failure, GuardKind, ManualClock, Op, OverallStatus, ProcessHandle, Progress, Rejection,
    StoreError, StoreErrorKind, TrackError, Tracker, Update,
};

use crate::common::store::{Call, MapStore};
use crate::common::{chain, noon};

fn failure() -> Failure {
    Failure::new("BadInput", "page 4 is blank")
}

fn begun(modules: usize) -> (Tracker, ProcessHandle) {
    let (tracker, _) = crate::common::tracker();
    let process = tracker
        .begin(crate::common::new(&chain(modules)))
        .expect("it begins");
    (tracker, process)
}

#[track_caller]
fn is_stale<T: std::fmt::Debug>(result: Result<T, TrackError>, kind: GuardKind) {
    match result {
        Err(TrackError::Rejected(Rejection::Stale { guard, .. })) => assert_eq!(guard, kind),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_module_goes_through_its_life() {
    let (tracker, process) = begun(3);
    let modules = process.modules().collect::<Vec<_>>();
    let names = modules
        .iter()
        .map(|module| (module.position(), module.name()));
    assert_eq!(
        names.collect::<Vec<_>>(),
        [(1, "step-1"), (2, "step-2"), (3, "step-3")]
    );
    assert!(modules[0].start().unwrap().changed);
    assert!(!modules[0].start().unwrap().changed);
    let applied = modules[0].progress(Progress::of(3, 10)).unwrap();
    assert_eq!((applied.revision, applied.run, applied.attempt), (3, 1, 1));
    assert!(modules[0].complete().unwrap().changed);
    assert!(modules[1].skip("not needed").unwrap().changed);
    let applied = modules[2].fail(failure()).unwrap();
    assert_eq!(applied.status, OverallStatus::Failed);
    assert!(!modules[2].fail(failure()).unwrap().changed);
    let report = process.status().unwrap();
    assert_eq!(report, {
        let mut again = tracker.process_status(process.request_id()).unwrap();
        again.request_id = report.request_id;
        again
    });
}

#[test]
fn after_anothers_rerun_an_old_handle_is_stale_and_a_new_one_is_not() {
    let (tracker, process) = begun(2);
    let module = process.module(1).unwrap();
    module.fail(failure()).unwrap();
    tracker.rerun(process.request_id()).unwrap();
    is_stale(module.start(), GuardKind::Run);
    is_stale(process.module(2).unwrap().start(), GuardKind::Run);
    is_stale(process.module(1).unwrap().retry(failure()), GuardKind::Run);
    is_stale(process.cancel("late"), GuardKind::Run);
    assert!(
        !module.fail(failure()).unwrap().changed,
        "history shows this very outcome"
    );
    let anew = tracker.process(process.request_id()).unwrap();
    assert!(anew.module(1).unwrap().start().unwrap().changed);
    assert!(anew.cancel("enough").unwrap().changed);
    assert!(!anew.cancel("enough").unwrap().changed);
}

#[test]
fn a_retry_moves_the_handle_its_clones_and_what_is_made_after_it() {
    let (_, process) = begun(1);
    let (module, other) = (process.module(1).unwrap(), process.module(1).unwrap());
    let clone = module.clone();
    module.start().unwrap();
    let applied = module.retry(failure()).unwrap();
    assert_eq!((applied.changed, applied.attempt), (true, 2));
    assert!(clone.start().unwrap().changed, "a clone is the same handle");
    is_stale(other.complete(), GuardKind::Attempt);
    let current = process.clone().module(1).unwrap();
    assert_eq!(current.complete().unwrap().attempt, 2);
}

#[test]
fn a_handle_of_an_erased_process_finds_nothing_also_after_its_id_was_begun_anew() {
    let (tracker, process) = begun(1);
    let module = process.module(1).unwrap();
    tracker.erase(process.request_id()).unwrap();
    assert!(module.start().unwrap_err().is_not_found());
    assert!(process.status().unwrap_err().is_not_found());
    tracker.begin(crate::common::new(&chain(1))).unwrap();
    assert!(module.start().unwrap_err().is_not_found());
    assert!(process.cancel("").unwrap_err().is_not_found());
}

/// Every answer is lost once, though the change was kept: the worker sends again, and each change is
/// there exactly once.
#[test]
fn sending_again_after_a_lost_answer_is_safe() {
    let store = Arc::new(LosesEveryFirstAnswer::default());
    let tracker = Tracker::with_clock(store.clone(), ManualClock::new(noon()));
    let sure = |send: &dyn Fn() -> Result<bool, TrackError>| {
        let lost = send().expect_err("the answer is lost");
        let TrackError::Store(error) = &lost else {
            panic!("{lost}")
        };
        assert_eq!(error.kind(), StoreErrorKind::OutcomeUnknown);
        assert!(!lost.is_retryable());
        assert!(!send().expect("sent again"), "it changes nothing twice");
    };
    let begin = || tracker.begin(crate::common::new(&chain(2)));
    begin().expect_err("the answer is lost");
    let process = begin().expect("sent again");
    let module = process.module(1).unwrap();
    let change = |applied: milepost_core::Applied| applied.changed;
    sure(&|| module.start().map(change));
    sure(&|| module.progress(Progress::of(1, 2)).map(change));
    sure(&|| module.retry(failure()).map(change));
    sure(&|| module.start().map(change));
    sure(&|| module.complete().map(change));
    let module = process.module(2).unwrap();
    sure(&|| module.skip("not needed").map(change));
    let stored = tracker.get(process.request_id()).unwrap();
    assert_eq!(
        (stored.revision(), stored.status()),
        (7, OverallStatus::Complete)
    );
    assert_eq!(stored.modules()[0].attempt(), 2);
}

/// After a lost answer somebody else may have retried further: then the handle is stale, and does not
/// work in an attempt that is not its own.
#[test]
fn a_retry_sent_again_does_not_take_an_attempt_of_somebody_else() {
    let (tracker, process) = begun(1);
    let module = process.module(1).unwrap();
    module.start().unwrap();
    let retry = |failure| Op::new(process.request_id(), noon(), Change::retry(1, failure));
    let start = Op::new(process.request_id(), noon(), Change::start(1));
    tracker
        .apply(&[retry(failure()), start, retry(Failure::new("Other", ""))])
        .unwrap();
    assert!(!module.retry(failure()).unwrap().changed);
    is_stale(module.start(), GuardKind::Attempt);
    let anew = tracker.process(process.request_id()).unwrap();
    assert_eq!(anew.module(1).unwrap().start().unwrap().attempt, 3);
}

#[test]
fn a_handle_answers_from_itself_alone() {
    let store = Arc::new(MapStore::new());
    let tracker = Tracker::with_clock(store.clone(), ManualClock::new(noon()));
    let process = tracker
        .begin(crate::common::new(&chain(2)).file_name("a.pdf"))
        .unwrap();
    let reads = store.calls(Call::Read);
    let update = Update::new().file_name("b.pdf");
    tracker.update(process.request_id(), update).unwrap();
    assert_eq!(process.receipt().file_name, "a.pdf");
    assert_eq!(process.modules().count(), 2);
    assert!(process.module(2).is_ok());
    assert_eq!(store.calls(Call::Read), reads);
    let read = tracker.process(process.request_id()).unwrap();
    assert_eq!(read.receipt().file_name, "b.pdf");
    assert!(!read.is_new());
}

/// Keeps every write, and loses the answer to every other one.
#[derive(Debug, Default)]
struct LosesEveryFirstAnswer {
    store: MapStore,
    writes: AtomicUsize,
}

impl milepost_core::StatusStore for LosesEveryFirstAnswer {
    fn write(&self, ops: &[Op]) -> Result<Vec<milepost_core::Verdict>, StoreError> {
        let verdicts = self.store.write(ops)?;
        if self.writes.fetch_add(1, Ordering::SeqCst).is_multiple_of(2) {
            return Err(StoreError::new(
                StoreErrorKind::OutcomeUnknown,
                "the line went dead",
            ));
        }
        Ok(verdicts)
    }

    fn read(
        &self,
        id: milepost_core::RequestId,
    ) -> Result<Option<Arc<milepost_core::Process>>, StoreError> {
        self.store.read(id)
    }

    fn list(&self, listing: &milepost_core::Listing) -> Result<milepost_core::Found, StoreError> {
        self.store.list(listing)
    }

    fn count(&self, filter: &milepost_core::Filter) -> Result<milepost_core::Counts, StoreError> {
        self.store.count(filter)
    }

    fn purge(
        &self,
        expired_by: chrono::DateTime<chrono::Utc>,
        limit: usize,
    ) -> Result<usize, StoreError> {
        self.store.purge(expired_by, limit)
    }

    fn wipe(&self, level: milepost_core::WipeLevel) -> Result<milepost_core::Wipe, StoreError> {
        self.store.wipe(level)
    }
}
