//! Retention, and the rounds of chores.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use milepost_core::{
    Failure, Keep, ManualClock, NewProcess, OverallStatus, Pipeline, Query, ReapPolicy, RequestId,
    RetentionPolicy, StoreError, StoreErrorKind, TrackError, Tracker, Wipe,
};

use crate::common::store::{Call, MapStore};
use crate::common::{at, noon};

const MINUTE: Duration = Duration::from_mins(1);

fn pipeline(name: &str) -> Pipeline {
    Pipeline::new(name, ["only"]).expect("it works")
}

fn host(policy: RetentionPolicy) -> (Tracker, ManualClock) {
    let clock = ManualClock::new(noon());
    let tracker = Tracker::with_clock(MapStore::new(), clock.clone());
    (tracker.retention(policy), clock)
}

fn completed(tracker: &Tracker, name: &str) -> RequestId {
    let process = tracker
        .begin(NewProcess::new(&pipeline(name)))
        .expect("it works");
    process
        .module(1)
        .expect("it works")
        .complete()
        .expect("it works");
    process.request_id()
}

fn left(tracker: &Tracker) -> Vec<RequestId> {
    let page = tracker
        .list(&Query::new().oldest_first())
        .expect("it works");
    page.items
        .iter()
        .map(|process| process.request_id())
        .collect()
}

#[test]
fn nothing_is_done_unless_it_was_asked_for() {
    let (tracker, clock) = host(RetentionPolicy::new());
    let settled = completed(&tracker, "a");
    let held = tracker
        .begin(NewProcess::new(&pipeline("a")))
        .expect("it works");
    tracker
        .claim(held.request_id(), "worker", MINUTE)
        .expect("it works");
    clock.set(at(1_000_000));
    let tended = tracker.tend().expect("it works");
    assert_eq!((tended.purged, tended.retired), (0, 0));
    assert_eq!((tended.reaped.total(), tended.more), (0, false));
    assert_eq!(tended.wipe, Wipe::Done);
    assert_eq!(left(&tracker).len(), 2);
    assert!(tracker.get(settled).is_ok());
}

#[test]
fn what_settled_too_long_ago_is_let_go() {
    let keep = Keep::new().settled_within(MINUTE);
    let (tracker, clock) = host(RetentionPolicy::new().all(keep));
    let old = completed(&tracker, "a");
    let ongoing = tracker
        .begin(NewProcess::new(&pipeline("a")))
        .expect("it works");
    clock.set(at(1));
    let young = completed(&tracker, "b");
    clock.set(at(60));
    assert_eq!(
        tracker.tend().expect("it works").retired,
        0,
        "a minute is kept"
    );
    clock.set(at(61));
    assert_eq!(tracker.tend().expect("it works").retired, 1);
    assert!(tracker.get(old).unwrap_err().is_not_found());
    assert_eq!(left(&tracker).len(), 2);
    clock.set(at(1_000_000));
    assert_eq!(tracker.tend().expect("it works").retired, 1);
    assert!(tracker.get(young).unwrap_err().is_not_found());
    assert_eq!(left(&tracker), [ongoing.request_id()]);
}

#[test]
fn the_newest_that_settled_are_kept_and_what_is_ongoing_counts_for_nothing() {
    let (tracker, clock) = host(RetentionPolicy::new().all(Keep::new().newest(2)));
    let mut ids = Vec::new();
    for second in 0..5 {
        clock.set(at(second));
        ids.push(completed(&tracker, "a"));
        tracker
            .begin(NewProcess::new(&pipeline("a")))
            .expect("it works");
    }
    let tended = tracker.tend().expect("it works");
    assert_eq!((tended.retired, tended.more), (3, false));
    let settled = tracker
        .list(&Query::new().oldest_first().status(OverallStatus::Complete))
        .expect("it works");
    let settled = settled.items.iter().map(|process| process.request_id());
    assert_eq!(settled.collect::<Vec<_>>(), ids[3..]);
    assert_eq!(tracker.count(&Query::new()).expect("it works").ongoing, 5);
    assert_eq!(tracker.tend().expect("it works").retired, 0);
}

#[test]
fn a_rule_for_one_pipeline_leaves_the_others_alone() {
    let policy = RetentionPolicy::new()
        .pipeline("few", Keep::new().newest(1))
        .pipeline("brief", Keep::new().settled_within(MINUTE));
    let (tracker, clock) = host(policy);
    for name in ["few", "few", "few", "brief", "brief", "ever", "ever"] {
        completed(&tracker, name);
    }
    clock.set(at(3600));
    assert_eq!(tracker.tend().expect("it works").retired, 4);
    let count = |name| {
        tracker
            .count(&Query::new().pipeline(name))
            .expect("it works")
            .total()
    };
    assert_eq!((count("few"), count("brief"), count("ever")), (1, 0, 2));
}

#[test]
fn both_parts_of_a_rule_hold() {
    let keep = Keep::new().settled_within(MINUTE).newest(1);
    let (tracker, clock) = host(RetentionPolicy::new().all(keep));
    completed(&tracker, "a");
    clock.set(at(30));
    completed(&tracker, "a");
    clock.set(at(40));
    let last = completed(&tracker, "a");
    clock.set(at(61));
    assert_eq!(tracker.tend().expect("it works").retired, 2);
    assert_eq!(left(&tracker), [last]);
}

#[test]
fn an_age_that_reaches_behind_all_times_keeps_everything() {
    let keep = Keep::new().settled_within(Duration::MAX);
    let (tracker, clock) = host(RetentionPolicy::new().all(keep));
    completed(&tracker, "a");
    clock.set(at(1_000_000));
    assert_eq!(tracker.tend().expect("it works").retired, 0);
}

#[test]
fn what_was_rerun_between_finding_and_erasing_stays() {
    let store = Arc::new(MapStore::new());
    let clock = ManualClock::new(noon());
    let tracker = Tracker::with_clock(Arc::clone(&store), clock.clone())
        .retention(RetentionPolicy::new().all(Keep::new().settled_within(MINUTE)));
    let process = tracker
        .begin(NewProcess::new(&pipeline("a")))
        .expect("it works");
    let failure = Failure::new("Why", "not");
    process
        .module(1)
        .expect("it works")
        .fail(failure)
        .expect("it works");
    clock.set(at(3600));
    let id = process.request_id();
    let rerun = tracker.op(id, milepost_core::Change::rerun());
    let once = AtomicBool::new(false);
    store.script(move |call, store| {
        if call == Call::Write && !once.swap(true, Ordering::SeqCst) {
            store.raw(&rerun).expect("it has failed");
        }
        Ok(())
    });
    assert_eq!(tracker.tend().expect("it works").retired, 0);
    assert_eq!(
        tracker.get(id).expect("it works").status(),
        OverallStatus::Ongoing
    );
}

#[test]
fn two_that_tend_at_once_do_not_let_go_of_twice_as_many() {
    let store = Arc::new(MapStore::new());
    let clock = ManualClock::new(noon());
    let policy = || RetentionPolicy::new().all(Keep::new().newest(5));
    let tracker = Tracker::with_clock(Arc::clone(&store), clock.clone()).retention(policy());
    let other = Tracker::with_clock(Arc::clone(&store), clock.clone()).retention(policy());
    for second in 0..10 {
        clock.set(at(second));
        completed(&tracker, "a");
    }
    // Between any two steps of the one, the other does a whole round.
    let busy = AtomicBool::new(false);
    store.script(move |_, _| {
        if !busy.swap(true, Ordering::SeqCst) {
            other.tend().expect("nothing fails here");
            busy.store(false, Ordering::SeqCst);
        }
        Ok(())
    });
    tracker.tend().expect("it works");
    store.script(|_, _| Ok(()));
    assert_eq!(left(&tracker).len(), 5);
}

#[test]
fn a_round_is_bounded_and_says_that_more_waits() {
    let (tracker, clock) = host(RetentionPolicy::new().all(Keep::new().settled_within(MINUTE)));
    for _ in 0..1_001 {
        completed(&tracker, "a");
    }
    clock.set(at(3600));
    let first = tracker.tend().expect("it works");
    assert_eq!((first.retired, first.more), (1_000, true));
    let second = tracker.tend().expect("it works");
    assert_eq!((second.retired, second.more), (1, false));
}

#[test]
fn a_round_purges_reaps_and_wipes() {
    let (tracker, clock) = host(RetentionPolicy::new());
    let tracker = tracker.reaping(ReapPolicy::fail());
    let expiring = NewProcess::new(&pipeline("a")).expires_in(MINUTE);
    tracker.begin(expiring).expect("it works");
    let held = tracker
        .begin(NewProcess::new(&pipeline("a")))
        .expect("it works");
    tracker
        .claim(held.request_id(), "worker", MINUTE)
        .expect("it works");
    clock.set(at(60));
    let tended = tracker.tend().expect("it works");
    assert_eq!((tended.purged, tended.reaped.failed), (1, 1));
    assert_eq!(tended.wipe, Wipe::Done);
}

#[test]
fn a_rule_that_is_wrong_keeps_nothing_else_waiting() {
    let wrong = RetentionPolicy::new().pipeline("", Keep::new().newest(1));
    let (tracker, clock) = host(wrong);
    let tracker = tracker.reaping(ReapPolicy::fail());
    let held = tracker.begin(NewProcess::new(&pipeline("a"))).unwrap();
    let id = held.request_id();
    tracker.claim(id, "worker", MINUTE).unwrap();
    clock.set(at(60));
    assert!(matches!(tracker.tend(), Err(TrackError::Invalid(_))));
    assert_eq!(tracker.get(id).unwrap().status(), OverallStatus::Failed);
}

#[test]
fn tending_goes_on_until_its_guard_is_dropped_and_outlives_errors() {
    let store = Arc::new(MapStore::new());
    let tracker = Tracker::new(Arc::clone(&store));
    let failing = Arc::new(AtomicBool::new(true));
    let fails = Arc::clone(&failing);
    store.script(move |call, _| match call {
        Call::Purge if fails.load(Ordering::SeqCst) => {
            Err(StoreError::new(StoreErrorKind::Busy, "not now"))
        }
        _ => Ok(()),
    });
    let tending = tracker
        .tend_every(Duration::from_millis(10))
        .expect("it works");
    let wait_for = |is_it: &dyn Fn(&Result<milepost_core::Tended, TrackError>) -> bool| {
        while !tending.last().is_some_and(|last| is_it(&last)) {
            std::thread::sleep(Duration::from_millis(1));
        }
    };
    wait_for(&|last| last.as_ref().is_err_and(TrackError::is_retryable));
    failing.store(false, Ordering::SeqCst);
    wait_for(&|last| last.is_ok());
    let rounds = store.calls(Call::Purge);
    while store.calls(Call::Purge) < rounds + 2 {
        std::thread::sleep(Duration::from_millis(1));
    }
    drop(tending);
    let rounds = store.calls(Call::Purge);
    std::thread::sleep(Duration::from_millis(50));
    assert_eq!(store.calls(Call::Purge), rounds);
}

#[test]
fn a_store_that_panics_ends_its_round_only() {
    let store = Arc::new(MapStore::new());
    let tracker = Tracker::new(Arc::clone(&store));
    let panics = AtomicBool::new(true);
    store.script(move |call, _| {
        assert!(
            call != Call::Purge || !panics.swap(false, Ordering::SeqCst),
            "a panic on purpose"
        );
        Ok(())
    });
    let tending = tracker
        .tend_every(Duration::from_millis(10))
        .expect("it works");
    while tending.last().is_none_or(|last| last.is_err()) {
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn dropping_the_guard_waits_for_no_interval() {
    let tracker = Tracker::new(MapStore::new());
    // An hour: the test would not end.
    drop(
        tracker
            .tend_every(Duration::from_hours(1))
            .expect("it works"),
    );
}
