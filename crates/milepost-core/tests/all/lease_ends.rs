//! How a lease ends: what is written before, what is given back, who goes on being asked.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use milepost_core::{
    Applied, Failure, Lease, ManualClock, ModuleStateKind, Progress, Rejection, StoreError,
    StoreErrorKind, TrackError, Tracker,
};

use crate::common::store::{Call, MapStore};
use crate::common::{at, chain, id, new, noon};

const MINUTE: Duration = Duration::from_mins(1);

fn host() -> (Tracker, Arc<MapStore>, ManualClock) {
    let (store, clock) = (Arc::new(MapStore::new()), ManualClock::new(noon()));
    let tracker = Tracker::with_clock(Arc::clone(&store), clock.clone())
        .report_interval(Duration::from_hours(1));
    tracker.begin(new(&chain(2))).expect("it begins");
    (tracker, store, clock)
}

fn claim(tracker: &Tracker, worker: &str) -> Lease {
    tracker.claim(id(), worker, MINUTE).expect("it is free")
}

/// How far module 1 is on record, once it is anywhere.
fn done(tracker: &Tracker) -> u64 {
    loop {
        let process = tracker.get(id()).expect("it is there");
        if let Some(progress) = process.modules()[0].progress() {
            return progress.done();
        }
        thread::sleep(Duration::from_millis(1));
    }
}

/// Reports 1, which is written, and 99, which is pending for an hour.
fn report(tracker: &Tracker, lease: &Lease) {
    let reporter = lease.module(1).expect("there is one").reporter();
    reporter.set(Progress::of(1, 100));
    assert_eq!(done(tracker), 1);
    reporter.set(Progress::of(99, 100));
}

#[test]
fn what_is_reported_is_written_before_the_lease_is_given_back() {
    let (tracker, _, _) = host();
    let lease = claim(&tracker, "worker");
    report(&tracker, &lease);
    assert_eq!(done(&tracker), 1);
    lease.release().unwrap();
    assert_eq!(done(&tracker), 99);
}

#[test]
fn what_is_reported_is_written_before_a_wish_cancels() {
    let (tracker, _, _) = host();
    let handle = tracker.process(id()).unwrap();
    let reporter = handle.module(1).unwrap().reporter();
    reporter.set(Progress::of(1, 100));
    assert_eq!(done(&tracker), 1);
    reporter.set(Progress::of(99, 100));
    let cancelled: Applied = tracker.request_cancel(id(), "no longer wanted").unwrap();
    assert!(cancelled.changed);
    assert_eq!(done(&tracker), 99);
}

#[test]
fn reports_of_a_lease_that_is_over_take_no_time_of_the_next() {
    let (tracker, store, clock) = host();
    let first = claim(&tracker, "worker 1");
    let late = first.module(1).unwrap().reporter();
    clock.set(at(60));
    let second = claim(&tracker, "worker 2");
    let writes = store.calls(Call::Write);
    late.set(Progress::of(5, 10));
    while store.calls(Call::Write) == writes {
        thread::sleep(Duration::from_millis(1));
    }
    // Within an hour one is written: it is the one that counts.
    second
        .module(1)
        .unwrap()
        .reporter()
        .set(Progress::of(1, 10));
    assert_eq!(done(&tracker), 1);
    let writes = store.calls(Call::Write);
    for number in 6..10 {
        late.set(Progress::of(number, 10));
    }
    let error = first.module(1).unwrap().complete().unwrap_err();
    assert!(matches!(
        error,
        TrackError::Rejected(Rejection::Fenced { .. })
    ));
    assert_eq!(store.calls(Call::Write), writes, "known to be over");
}

#[test]
fn what_was_claimed_and_cannot_be_read_is_given_back() {
    let (tracker, store, _) = host();
    store.script(|call, _| match call {
        Call::Read => Err(StoreError::new(StoreErrorKind::Busy, "not now")),
        _ => Ok(()),
    });
    let error = tracker.claim(id(), "worker", MINUTE).unwrap_err();
    assert!(error.is_retryable());
    store.script(|_, _| Ok(()));
    claim(&tracker, "worker");
}

#[test]
fn nobody_polls_for_a_lease_that_has_nothing_more_to_hear() {
    let (tracker, store, _) = host();
    let tracker = tracker.poll_interval(Duration::from_millis(1));
    let lease = claim(&tracker, "worker");
    assert!(!lease.cancel_requested());
    let polls = store.calls(Call::Versions);
    while store.calls(Call::Versions) < polls + 2 {
        thread::sleep(Duration::from_millis(1));
    }
    for module in lease.modules() {
        module.complete().unwrap();
    }
    // One may be on its way.
    thread::sleep(Duration::from_millis(20));
    let polls = store.calls(Call::Versions);
    thread::sleep(Duration::from_millis(50));
    assert_eq!(store.calls(Call::Versions), polls);
    assert!(!lease.cancel_requested());
}

#[test]
fn whoever_takes_over_is_shown_what_is_left_and_in_what_state() {
    let (tracker, _, clock) = host();
    let first = claim(&tracker, "worker 1");
    first.module(1).unwrap().complete().unwrap();
    let running = first.module(2).unwrap();
    running.progress(Progress::of(50, 100)).unwrap();
    clock.set(at(60));
    let second = claim(&tracker, "worker 2");
    let left = second.unfinished().collect::<Vec<_>>();
    assert_eq!(left.len(), 1);
    let module = &left[0];
    assert_eq!(module.position(), 2);
    assert_eq!(module.state_seen(), ModuleStateKind::Running);
    // It goes on at its progress, unless it is retried to count anew.
    let backwards = module.progress(Progress::of(1, 100)).unwrap_err();
    assert!(matches!(
        backwards,
        TrackError::Rejected(Rejection::Backwards { .. })
    ));
    module
        .retry(Failure::new("TakenOver", "worker 1 is gone"))
        .unwrap();
    module.start().unwrap();
    module.progress(Progress::of(1, 100)).unwrap();
    module.complete().unwrap();
}
