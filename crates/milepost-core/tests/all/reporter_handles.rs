//! Reporters and handles: which of them are one, and what becomes of reports when the attempt, the run or
//! the process is over.

use milepost_core::{
    Failure, GuardKind, Illegality, ModuleStateKind, NewProcess, OverallStatus, Progress,
    Rejection, TrackError,
};

use crate::common::chain;
use crate::common::work::{done, is_wrong, work, wrong};

fn failure() -> Failure {
    Failure::new("BadInput", "page 4 is blank")
}

#[test]
fn what_was_refused_is_not_lost_with_the_reporter_or_the_handle_that_it_came_from() {
    let work = work(1);
    work.module(1).reporter().set(wrong());
    is_wrong(work.module(1).complete());
}

#[test]
fn a_reporter_goes_on_without_its_handle_and_its_clones_are_one() {
    let work = work(1);
    work.rest();
    let reporter = work.module(1).reporter();
    let clone = reporter.clone();
    reporter.set(Progress::unbounded(1));
    clone.set(Progress::unbounded(2));
    let id = work.process.request_id();
    let tracker = work.tracker.clone();
    let store = work.store.clone();
    drop((work, reporter));
    clone.set(Progress::unbounded(3));
    assert!(
        tracker
            .process(id)
            .unwrap()
            .module(1)
            .unwrap()
            .complete()
            .unwrap()
            .changed
    );
    assert_eq!(store.tried().len(), 4, "the three are one");
    assert_eq!(done(&tracker.get(id).unwrap(), 1), Some(3));
}

#[test]
fn another_handle_on_the_process_writes_first_and_shows_what_the_first_would() {
    let work = work(1);
    work.rest();
    let reporter = work.module(1).reporter();
    let other = work.tracker.process(work.process.request_id()).unwrap();
    let module = other.module(1).unwrap();
    reporter.set(Progress::unbounded(1));
    reporter.set(wrong());
    is_wrong(module.complete());
    assert!(module.complete().unwrap().changed);
    assert_eq!(work.written(), ["1=1", "complete"]);
}

#[test]
fn a_retry_takes_the_reporter_along_to_the_next_attempt() {
    let work = work(1);
    work.rest();
    let module = work.module(1);
    let reporter = module.reporter();
    reporter.set(Progress::unbounded(5));
    assert_eq!(module.retry(failure()).unwrap().attempt, 2);
    assert_eq!(work.done(1), None);
    reporter.set(Progress::unbounded(1));
    assert_eq!(module.complete().unwrap().attempt, 2);
    assert_eq!(work.done(1), Some(1));
    assert_eq!(work.written(), ["1=5", "retry", "1=1", "complete"]);
}

/// Reports of a worker that was given up would have pushed out those of its successor, and what was
/// refused of them would have held the successor up.
#[test]
fn a_worker_that_was_given_up_is_stale_and_does_its_successor_no_harm() {
    let work = work(1);
    work.rest();
    let (old, new) = (work.module(1), work.module(1));
    let (late, current) = (old.reporter(), new.reporter());
    new.retry(failure()).unwrap();
    current.set(Progress::unbounded(5));
    late.set(Progress::unbounded(9));
    assert!(new.complete().unwrap().changed);
    assert_eq!(work.done(1), Some(5));
    match old.complete() {
        Err(TrackError::Rejected(Rejection::Stale { guard, .. })) => {
            assert_eq!(guard, GuardKind::Attempt);
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_report_on_what_was_erased_finds_nothing_also_after_its_id_was_begun_anew() {
    let work = work(1);
    work.rest();
    let module = work.module(1);
    let id = work.process.request_id();
    work.tracker.erase(id).unwrap();
    module.reporter().set(Progress::unbounded(1));
    let anew = NewProcess::new(&chain(1)).request_id(id);
    work.tracker.begin(anew).unwrap();
    assert!(module.complete().unwrap_err().is_not_found());
    assert!(module.complete().unwrap_err().is_not_found());
    assert_eq!((work.done(1), work.stored().revision()), (None, 1));
}

#[test]
fn a_cancel_takes_what_is_pending_along_and_is_held_up_by_nothing_refused() {
    for through_the_handle in [true, false] {
        let work = work(3);
        work.rest();
        work.module(2).progress(Progress::unbounded(9)).unwrap();
        work.module(1).reporter().set(Progress::unbounded(1));
        work.module(2).reporter().set(Progress::unbounded(2));
        work.module(3).reporter().set(Progress::unbounded(3));
        work.module(3).reporter().set(wrong());
        let applied = if through_the_handle {
            work.process.cancel("enough").unwrap()
        } else {
            let id = work.process.request_id();
            work.tracker.cancel(id, "enough").unwrap()
        };
        assert_eq!(
            (applied.changed, applied.status),
            (true, OverallStatus::Cancelled)
        );
        assert_eq!(
            (work.done(1), work.done(2), work.done(3)),
            (Some(1), Some(9), Some(3))
        );
        assert_eq!(work.written(), ["2=9", "1=1 2=2 3=3 cancel"]);
    }
}

#[test]
fn a_report_after_the_end_shows_at_the_transition_that_follows() {
    let work = work(1);
    work.rest();
    let module = work.module(1);
    module.complete().unwrap();
    module.reporter().set(Progress::unbounded(1));
    match module.complete() {
        Err(TrackError::Rejected(Rejection::Illegal {
            cause: Illegality::State { from, .. },
        })) => assert_eq!(from, ModuleStateKind::Complete),
        other => panic!("{other:?}"),
    }
    assert!(!module.complete().unwrap().changed);
}
