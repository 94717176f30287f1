//! Reporters: the newest value wins, goes before the transition that follows, and says there if it was
//! refused.

use std::sync::Arc;

use milepost_core::{
    Failure, ModuleHandle, ModuleStateKind, OverallStatus, Progress, Rejection, TrackError,
};

use crate::common::at;
use crate::common::store::Call;
use crate::common::work::{
    Answer, BOUND, Gate, SOON, beside, done, is_wrong, shown, until, work, wrong,
};

fn failure() -> Failure {
    Failure::new("BadInput", "page 4 is blank")
}

#[track_caller]
fn is_backwards(answer: Answer, from: u64, to: u64) {
    match answer {
        Err(TrackError::Rejected(Rejection::Backwards { done, given })) => {
            assert_eq!((done, given), (from, to));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_report_is_written_without_a_transition_and_wakes_who_watches() {
    let work = work(1);
    let mut watch = work.watch();
    work.module(1).reporter().set(Progress::of(3, 10));
    let process = shown(&mut watch);
    assert_eq!((process.revision(), done(&process, 1)), (2, Some(3)));
    assert_eq!(
        process.modules()[0].state().kind(),
        ModuleStateKind::Running
    );
}

/// While the store keeps a write waiting, reports go on being taken: the test opens the gate only after.
#[test]
fn set_never_waits_for_the_store() {
    let work = work(2);
    let reporter = work.module(1).reporter();
    let gate = Gate::before(&work.store);
    reporter.set(Progress::unbounded(1));
    gate.is_reached();
    let other = work.module(2).reporter();
    let set = beside(move || {
        for done in 2..=1_000 {
            reporter.set(Progress::unbounded(done));
            other.set(Progress::unbounded(done));
        }
    });
    set.recv_timeout(BOUND).expect("it does not wait");
    gate.open();
    assert!(work.module(1).complete().unwrap().changed);
    assert!(work.module(2).complete().unwrap().changed);
    assert_eq!((work.done(1), work.done(2)), (Some(1_000), Some(1_000)));
}

#[test]
fn what_is_pending_is_written_before_the_transition_and_only_the_newest_of_it() {
    let work = work(1);
    work.rest();
    let module = work.module(1);
    let reporter = module.reporter();
    for done in 1..=10 {
        reporter.set(Progress::unbounded(done));
    }
    assert_eq!(work.done(1), Some(0), "it is pending");
    let applied = module.complete().unwrap();
    assert_eq!(
        (applied.revision, applied.status),
        (4, OverallStatus::Complete)
    );
    assert_eq!(work.done(1), Some(10));
    assert_eq!(work.written(), ["1=10", "complete"]);
}

#[test]
fn a_burst_costs_the_store_one_write_at_once_and_one_before_the_transition() {
    let work = work(1);
    let module = work.module(1);
    let reporter = module.reporter();
    for done in 1..=10_000 {
        reporter.set(Progress::unbounded(done));
    }
    module.complete().unwrap();
    assert_eq!(work.done(1), Some(10_000));
    let writes = work.store.calls(Call::Write);
    assert!(writes <= 4, "beginning and completing, and {writes} in all");
}

#[test]
fn a_report_happened_when_it_was_set() {
    let work = work(1);
    work.rest();
    let reporter = work.module(1).reporter();
    work.clock.set(at(1));
    reporter.set(Progress::unbounded(1));
    work.clock.set(at(2));
    work.module(1).complete().unwrap();
    let process = work.stored();
    let module = &process.modules()[0];
    assert_eq!(module.progress_at(), Some(at(1)));
    assert_eq!(module.state().ended(), Some(at(2)));
}

#[test]
fn a_refused_report_shows_at_the_transition_once_and_that_is_not_made() {
    let work = work(1);
    work.rest();
    let module = work.module(1);
    module.progress(Progress::unbounded(5)).unwrap();
    module.reporter().set(Progress::unbounded(3));
    is_backwards(module.complete(), 5, 3);
    assert_eq!(work.stored().status(), OverallStatus::Ongoing);
    assert!(module.complete().unwrap().changed);
    assert_eq!(work.done(1), Some(5));
    assert_eq!(work.written(), ["1=5", "1=3", "complete"]);
}

#[test]
fn a_report_refused_in_the_background_shows_at_the_transition_and_the_first_of_them() {
    let work = work(1);
    let module = work.module(1);
    module.progress(Progress::unbounded(5)).unwrap();
    let reporter = module.reporter();
    reporter.set(Progress::unbounded(3));
    until(|| work.store.tried().len() == 3);
    reporter.set(Progress::unbounded(4));
    is_backwards(module.complete(), 5, 3);
    assert!(
        module.complete().unwrap().changed,
        "what came after is not shown too"
    );
}

#[test]
fn every_transition_shows_what_was_refused() {
    let transitions: [fn(&ModuleHandle) -> Answer; 5] = [
        ModuleHandle::start,
        ModuleHandle::complete,
        |module| module.fail(failure()),
        |module| module.skip("not needed"),
        |module| module.retry(failure()),
    ];
    for (index, transition) in transitions.iter().enumerate() {
        let work = work(1);
        let module = work.module(1);
        if index == 4 {
            module.start().unwrap();
        }
        let revision = work.stored().revision();
        module.reporter().set(wrong());
        is_wrong(transition(&module));
        assert_eq!(work.stored().revision(), revision, "it is not made");
        assert!(transition(&module).unwrap().changed);
    }
}

#[test]
fn a_value_that_is_wrong_in_itself_leaves_the_one_before_it_pending() {
    let work = work(1);
    work.rest();
    let module = work.module(1);
    let reporter = module.reporter();
    reporter.set(Progress::unbounded(1));
    reporter.set(wrong());
    is_wrong(module.complete());
    assert_eq!(work.done(1), Some(1));
    assert!(module.complete().unwrap().changed);
}

#[test]
fn a_transition_waits_for_a_write_under_way() {
    let work = work(1);
    let module = work.module(1);
    let gate = Gate::before(&work.store);
    module.reporter().set(Progress::unbounded(1));
    gate.is_reached();
    let completed = beside(move || module.complete());
    for _ in 0..1_000 {
        std::thread::yield_now();
    }
    assert_eq!(work.store.tried().len(), 2, "it does not go ahead");
    gate.open();
    assert!(completed.recv_timeout(BOUND).unwrap().unwrap().changed);
    let written = work.store.tried();
    assert_eq!(written.len(), 3, "nor is the report written twice");
    assert_eq!(work.done(1), Some(1));
}

#[test]
fn progress_takes_the_place_of_what_is_pending_and_shows_nothing_that_was_refused() {
    let work = work(1);
    work.rest();
    let module = work.module(1);
    let reporter = module.reporter();
    reporter.set(Progress::unbounded(5));
    reporter.set(wrong());
    assert!(module.progress(Progress::unbounded(7)).unwrap().changed);
    is_wrong(module.complete());
    assert!(module.complete().unwrap().changed);
    assert_eq!(work.written(), ["1=7", "complete"]);
}

#[test]
fn progress_that_is_not_kept_leaves_what_is_pending() {
    let work = work(1);
    work.rest();
    let module = work.module(1);
    module.progress(Progress::unbounded(4)).unwrap();
    module.reporter().set(Progress::unbounded(5));
    is_backwards(module.progress(Progress::unbounded(3)), 4, 3);
    module.complete().unwrap();
    assert_eq!(work.done(1), Some(5));
}

#[test]
fn many_workers_that_report_without_a_pause_lose_nothing() {
    let work = work(4);
    let _ = work.tracker.clone().report_interval(SOON);
    let work = Arc::new(work);
    let workers = (1..=4).map(|position| {
        let module = work.module(position);
        beside(move || {
            let reporter = module.reporter();
            for done in 1..=20_000 {
                reporter.set(Progress::unbounded(done));
            }
            module.complete()
        })
    });
    for worker in workers.collect::<Vec<_>>() {
        let answer = worker.recv_timeout(BOUND);
        assert!(
            answer
                .expect("it ends")
                .expect("nothing is refused")
                .changed
        );
    }
    assert!((1..=4).all(|position| work.done(position) == Some(20_000)));
    assert_eq!(work.stored().status(), OverallStatus::Complete);
}
