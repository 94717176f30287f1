//! Reporters and a store in trouble: nothing is lost, and the newest value goes first once it works again.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use milepost_core::{Change, NewProcess, Progress, StoreError, StoreErrorKind, TrackError};

use crate::common::chain;
use crate::common::store::{Call, MapStore};
use crate::common::work::{SOON, done, shown, until, work};

fn trouble(kind: StoreErrorKind) -> StoreError {
    StoreError::new(kind, "on purpose")
}

/// Fails the next `times` writes.
fn fails(store: &MapStore, times: usize, kind: StoreErrorKind) {
    let left = AtomicUsize::new(times);
    store.script(move |call, _| {
        let fewer = |left: usize| left.checked_sub(1);
        let is_failing = call == Call::Write
            && left
                .fetch_update(Ordering::SeqCst, Ordering::SeqCst, fewer)
                .is_ok();
        if is_failing {
            Err(trouble(kind))
        } else {
            Ok(())
        }
    });
}

#[test]
fn trouble_at_the_transition_is_its_answer_and_the_value_stays_pending() {
    for kind in [
        StoreErrorKind::Busy,
        StoreErrorKind::Corrupt,
        StoreErrorKind::OutcomeUnknown,
    ] {
        let work = work(1);
        work.rest();
        let module = work.module(1);
        let reporter = module.reporter();
        reporter.set(Progress::unbounded(1));
        fails(&work.store, 2, kind);
        for _ in 0..2 {
            let error = module.complete().unwrap_err();
            assert!(
                matches!(&error, TrackError::Store(error) if error.kind() == kind),
                "{error}"
            );
        }
        assert!(module.complete().unwrap().changed);
        assert_eq!(work.written(), ["1=1", "1=1", "1=1", "complete"]);
    }
}

#[test]
fn trouble_in_the_background_shows_nowhere_and_is_tried_again() {
    let work = work(1);
    let _ = work.tracker.clone().report_interval(SOON);
    let mut watch = work.watch();
    fails(&work.store, 3, StoreErrorKind::Other);
    let module = work.module(1);
    module.reporter().set(Progress::unbounded(1));
    assert_eq!(done(&shown(&mut watch), 1), Some(1));
    assert_eq!(work.store.tried()[1..].len(), 4);
    assert!(module.complete().unwrap().changed);
}

#[test]
fn a_newer_value_takes_the_place_of_one_that_met_trouble() {
    let work = work(1);
    work.rest();
    let module = work.module(1);
    let reporter = module.reporter();
    reporter.set(Progress::unbounded(1));
    fails(&work.store, 1, StoreErrorKind::Busy);
    assert!(module.complete().unwrap_err().is_retryable());
    reporter.set(Progress::unbounded(2));
    assert!(module.complete().unwrap().changed);
    assert_eq!(work.written(), ["1=1", "1=2", "complete"]);
}

/// A store that panics while a report is written once more gets it at the next interval.
#[test]
fn a_panic_of_the_store_in_the_background_loses_nothing() {
    let work = work(1);
    let _ = work.tracker.clone().report_interval(SOON);
    let mut watch = work.watch();
    let writes = AtomicUsize::new(0);
    work.store.script(move |call, _| {
        let is_first = call == Call::Write && writes.fetch_add(1, Ordering::SeqCst) == 0;
        assert!(!is_first, "on purpose");
        Ok(())
    });
    work.module(1).reporter().set(Progress::unbounded(1));
    assert_eq!(done(&shown(&mut watch), 1), Some(1));
}

/// Keeps the next write, and loses the answer.
fn loses_an_answer(store: &MapStore) {
    let once = AtomicBool::new(true);
    store.script(move |call, store| {
        if call != Call::Write || !once.swap(false, Ordering::SeqCst) {
            return Ok(());
        }
        for op in store.tried().last().into_iter().flatten() {
            store.raw(op).expect("it is accepted");
        }
        Err(trouble(StoreErrorKind::OutcomeUnknown))
    });
}

#[test]
fn a_report_whose_answer_was_lost_is_sent_again_and_changes_nothing_twice() {
    let work = work(1);
    work.rest();
    let module = work.module(1);
    module.reporter().set(Progress::unbounded(1));
    loses_an_answer(&work.store);
    assert!(matches!(module.complete(), Err(TrackError::Store(_))));
    let applied = module.complete().unwrap();
    assert_eq!((applied.changed, applied.revision), (true, 4));
    assert_eq!(work.written(), ["1=1", "1=1", "complete"]);
}

/// What was pending once came after it, and was refused as a step back.
#[test]
fn progress_whose_answer_was_lost_takes_the_place_of_what_is_pending() {
    let work = work(1);
    work.rest();
    let module = work.module(1);
    module.reporter().set(Progress::unbounded(5));
    loses_an_answer(&work.store);
    assert!(module.progress(Progress::unbounded(7)).is_err());
    assert!(module.complete().unwrap().changed);
    assert_eq!(work.done(1), Some(7));
}

/// The spoilt process is due again as soon as the other one, which is written twenty times meanwhile.
#[test]
fn what_the_store_cannot_write_is_given_up_when_nobody_holds_it_any_more() {
    let work = work(1);
    let _ = work.tracker.clone().report_interval(SOON);
    let other = work.tracker.begin(NewProcess::new(&chain(1))).unwrap();
    let other = other.module(1).unwrap().reporter();
    let spoilt = work.process.request_id();
    work.store.script(move |call, store| {
        let tried = store.tried();
        let is_spoilt = tried
            .last()
            .is_some_and(|ops| ops.iter().any(|op| op.id == spoilt));
        if call == Call::Write && is_spoilt {
            return Err(trouble(StoreErrorKind::Corrupt));
        }
        Ok(())
    });
    let tries = || {
        let tried = work.store.tried();
        tried.iter().flatten().filter(|op| op.id == spoilt).count()
    };
    let mut done = 0;
    let mut write_others = || {
        for _ in 0..20 {
            done += 1;
            other.set(Progress::unbounded(done));
            let value = Progress::unbounded(done);
            let report = Change::progress(1, value);
            until(|| {
                work.store
                    .tried()
                    .iter()
                    .flatten()
                    .any(|op| op.change == report)
            });
        }
    };
    let reporter = work.module(1).reporter();
    reporter.set(Progress::unbounded(1));
    write_others();
    let held = tries();
    write_others();
    assert!(tries() > held, "it is tried as long as it is held");
    drop((reporter, work.process));
    write_others();
    let given_up = tries();
    write_others();
    assert_eq!(tries(), given_up);
}
