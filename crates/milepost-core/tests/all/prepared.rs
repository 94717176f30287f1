//! Changes of handles that are written in a batch with others.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use milepost_core::{
    Applied, Change, Failure, NewProcess, OverallStatus, Prepared, ProcessHandle, Progress,
    Rejection, TrackError, Tracker,
};

use crate::common::chain;
use crate::common::store::MapStore;

fn begun() -> (Tracker, ProcessHandle) {
    let tracker = Tracker::new(MapStore::new()).report_interval(Duration::from_hours(1));
    let process = tracker
        .begin(NewProcess::new(&chain(3)))
        .expect("it begins");
    (tracker, process)
}

/// As a host writes it that joins the changes of many.
fn batched(tracker: &Tracker, prepared: Prepared) -> Result<Applied, TrackError> {
    let verdicts = tracker.apply(&[prepared.op().clone()])?;
    let [verdict] = verdicts.try_into().expect("one verdict for one op");
    prepared.answered(verdict)
}

#[test]
fn a_handle_goes_on_from_what_a_batch_came_to() {
    let (tracker, process) = begun();
    let module = process.module(1).expect("a module");
    let start = module.prepare(Change::start).expect("it is lawful");
    assert!(start.may_be_batched());
    assert!(batched(&tracker, start.clone()).expect("it starts").changed);
    assert!(!batched(&tracker, start).expect("sent again").changed);
    let again = module.prepare(|position| Change::retry(position, Failure::new("Again", "")));
    let again = again.expect("it is lawful");
    assert!(batched(&tracker, again.clone()).expect("a retry").changed);
    assert!(!batched(&tracker, again).expect("sent again").changed);
    // Both handles know of the new attempt.
    let progress = |position| Change::progress(position, Progress::of(1, 2));
    let progress = module.prepare(progress).expect("it is lawful");
    batched(&tracker, progress).expect("it is of the second attempt");
    let other = process.module(1).expect("a module");
    let done = other.prepare(Change::complete).expect("it is lawful");
    batched(&tracker, done).expect("it is of the second attempt");
    let cancel = process.prepare_cancel("no more").expect("it is lawful");
    batched(&tracker, cancel).expect("a cancel");
    let found = tracker.get(process.request_id()).expect("it is there");
    assert_eq!(found.status(), OverallStatus::Cancelled);
    assert_eq!(found.modules()[0].attempt(), 2);
}

#[test]
fn what_is_wrong_is_said_when_it_is_prepared_or_judged() {
    let (tracker, process) = begun();
    let module = process.module(1).expect("a module");
    let over = module.prepare(|position| Change::progress(position, Progress::of(2, 1)));
    assert!(matches!(over, Err(TrackError::Invalid(_))), "{over:?}");
    let long = process.prepare_cancel(&"x".repeat(256));
    assert!(matches!(long, Err(TrackError::Invalid(_))), "{long:?}");
    let late = module.prepare(Change::start).expect("it is lawful");
    tracker
        .cancel(process.request_id(), "no more")
        .expect("a cancel");
    let late = batched(&tracker, late);
    assert!(
        matches!(late, Err(TrackError::Rejected(Rejection::Illegal { .. }))),
        "{late:?}"
    );
}

/// What is pending is written first by `send`, and only by that.
#[test]
fn what_has_reports_pending_is_not_for_a_batch() {
    let (tracker, process) = begun();
    let module = process.module(1).expect("a module");
    let reporter = module.reporter();
    reporter.set(Progress::of(1, 3));
    reporter.set(Progress::of(3, 3));
    let done = module.prepare(Change::complete).expect("it is lawful");
    assert!(!done.may_be_batched());
    assert!(done.send().expect("it completes").changed);
    let found = tracker.get(process.request_id()).expect("it is there");
    assert_eq!(found.modules()[0].progress().map(Progress::done), Some(3));
    let cancel = process.prepare_cancel("no more").expect("it is lawful");
    assert!(!cancel.may_be_batched());
    assert!(cancel.send().expect("a cancel").changed);
}

#[test]
fn the_handle_on_what_a_batch_began_is_that_of_begin() {
    let tracker = Tracker::new(MapStore::new());
    let op = tracker
        .prepare(NewProcess::new(&chain(3)))
        .expect("it is lawful");
    tracker.apply(std::slice::from_ref(&op)).expect("it begins");
    let process = tracker.begun(&op).expect("it begins a process");
    assert!(process.is_new());
    assert_eq!(process.request_id(), op.id);
    process
        .module(1)
        .expect("a module")
        .start()
        .expect("it starts");
    assert!(tracker.begun(&tracker.op(op.id, Change::erase())).is_none());
}

/// A watch that nobody waits on: its bell says when to ask.
#[test]
fn a_bell_rings_for_news_and_asking_waits_for_none() {
    let (tracker, process) = begun();
    let mut watch = tracker.watch(process.request_id()).expect("it is there");
    let rings = Arc::new(AtomicUsize::new(0));
    let bell = Arc::clone(&rings);
    watch.on_news(move || {
        bell.fetch_add(1, Ordering::SeqCst);
    });
    watch.on_news(|| panic!("a second bell is left out"));
    // Once for each of the two that were hung.
    let before = rings.load(Ordering::SeqCst);
    assert!(before > 0, "it rings when it is hung");
    assert!(watch.has_news());
    let first = watch.try_next().expect("the first").expect("no trouble");
    assert_eq!(first.revision(), 1);
    assert!(!watch.has_news());
    let began = Instant::now();
    assert!(watch.try_next().is_none());
    assert!(began.elapsed() < Duration::from_mins(1), "it waits");
    assert!(!watch.has_ended() && watch.read_again_at().is_none());

    process
        .module(1)
        .expect("a module")
        .start()
        .expect("it starts");
    assert_eq!(rings.load(Ordering::SeqCst), before + 1);
    assert!(watch.has_news());
    let next = watch.try_next().expect("the next").expect("no trouble");
    assert_eq!(next.revision(), 2);
    process.cancel("no more").expect("a cancel");
    let last = watch.try_next().expect("the last").expect("no trouble");
    assert!(last.is_settled());
    assert!(watch.has_ended() && !watch.has_news());
    assert!(watch.try_next().is_none());
}
