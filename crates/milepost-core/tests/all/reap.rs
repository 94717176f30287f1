//! What stands still, and what becomes of it.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use milepost_core::{
    AttemptEnd, ClaimEnd, Lease, ManualClock, ModuleStateKind, NewProcess, OverallStatus, Pipeline,
    Query, ReapPolicy, Rejection, RequestId, TrackError, Tracker,
};

use crate::common::store::MapStore;
use crate::common::{at, chain, noon, tracker};

const MINUTE: Duration = Duration::from_mins(1);

/// Begun and claimed for a minute, with module 1 started.
fn working(tracker: &Tracker, pipeline: &Pipeline) -> (RequestId, Lease) {
    let process = tracker.begin(NewProcess::new(pipeline)).expect("it works");
    let lease = tracker
        .claim(process.request_id(), "worker", MINUTE)
        .expect("it works");
    lease
        .module(1)
        .expect("it works")
        .start()
        .expect("it works");
    (process.request_id(), lease)
}

fn stalled(tracker: &Tracker) -> Vec<RequestId> {
    let page = tracker.list(&Query::new().stalled()).expect("it works");
    let ids = page.items.iter().map(|process| process.request_id());
    ids.collect()
}

#[test]
fn what_stalled_is_derived_from_the_clock_that_asks() {
    let (tracker, clock) = tracker();
    let (id, lease) = working(&tracker, &chain(2));
    tracker.begin(NewProcess::new(&chain(2))).expect("it works");
    assert_eq!(stalled(&tracker), []);
    clock.set(at(60));
    assert_eq!(stalled(&tracker), [id]);
    let counts = tracker.count(&Query::new()).expect("it works");
    assert_eq!((counts.ongoing, counts.stalled, counts.total()), (2, 1, 2));
    let counts = tracker.count(&Query::new().stalled()).expect("it works");
    assert_eq!((counts.ongoing, counts.stalled), (1, 1));
    assert!(tracker.get(id).expect("it works").is_stalled(at(60)));
    assert!(!tracker.get(id).expect("it works").is_stalled(at(59)));
    // A clock that goes back sees it alive again: nothing was stored.
    clock.set(at(59));
    assert_eq!(stalled(&tracker), []);
    lease.renew().expect("it works");
    clock.set(at(60));
    assert_eq!(stalled(&tracker), []);
}

#[test]
fn a_walk_over_the_stalled_goes_on_while_time_passes() {
    let (tracker, clock) = tracker();
    let mut ids = (0..3)
        .map(|_| {
            clock.advance(Duration::from_millis(1));
            working(&tracker, &chain(2)).0
        })
        .collect::<Vec<_>>();
    ids.reverse();
    clock.set(at(3600));
    let mut query = Query::new().stalled().limit(1);
    let mut walked = Vec::new();
    loop {
        let page = tracker.list(&query).expect("it works");
        walked.extend(page.items.iter().map(|process| process.request_id()));
        let Some(next) = page.next else { break };
        clock.advance(Duration::from_secs(1));
        query = query.after(next);
    }
    assert_eq!(walked, ids);
}

#[test]
fn a_reaped_process_fails_for_its_lease() {
    let (tracker, clock) = tracker();
    let (id, lease) = working(&tracker, &chain(2));
    assert_eq!(
        tracker.reap(ReapPolicy::fail()).expect("it works").total(),
        0
    );
    clock.set(at(61));
    let reaped = tracker.reap(ReapPolicy::fail()).expect("it works");
    assert_eq!((reaped.failed, reaped.total(), reaped.more), (1, 1, false));
    let process = tracker.get(id).expect("it works");
    assert_eq!(process.status(), OverallStatus::Failed);
    let blame = process.blame().expect("it works");
    assert_eq!(blame.module.expect("it works").position(), 1);
    assert_eq!(blame.reason, "LeaseExpired");
    assert_eq!(blame.message, "worker let its lease run out");
    assert_eq!(
        process.claim().expect("it works").end(),
        Some(ClaimEnd::Reaped { at: at(61) })
    );
    // Once, and never the holder again.
    assert_eq!(
        tracker.reap(ReapPolicy::fail()).expect("it works").total(),
        0
    );
    let late = lease.module(1).expect("it works").complete().unwrap_err();
    assert!(matches!(
        late,
        TrackError::Rejected(Rejection::Fenced { .. })
    ));
}

#[test]
fn between_two_modules_the_next_one_fails() {
    let (tracker, clock) = tracker();
    let (id, lease) = working(&tracker, &chain(2));
    lease
        .module(1)
        .expect("it works")
        .complete()
        .expect("it works");
    clock.set(at(60));
    tracker.reap(ReapPolicy::fail()).expect("it works");
    let process = tracker.get(id).expect("it works");
    assert_eq!(
        process
            .blame()
            .expect("it works")
            .module
            .expect("it works")
            .position(),
        2
    );
}

#[test]
fn what_is_retried_is_free_for_others_and_fails_after_its_attempts() {
    let (tracker, clock) = tracker();
    let (id, _) = working(&tracker, &chain(2));
    for attempt in 1..3 {
        clock.advance(MINUTE);
        let reaped = tracker.reap(ReapPolicy::retry(3)).expect("it works");
        assert_eq!((reaped.freed, reaped.total()), (1, 1));
        let process = tracker.get(id).expect("it works");
        let module = &process.modules()[0];
        assert_eq!(module.state().kind(), ModuleStateKind::Pending);
        assert_eq!(module.attempt(), attempt + 1);
        assert!(matches!(
            module.attempts().last().expect("it works").end(),
            AttemptEnd::Retried(failure) if failure.reason() == ReapPolicy::LEASE_EXPIRED
        ));
        assert!(!process.is_stalled(at(86_400)));
        let lease = tracker.claim(id, "worker", MINUTE).expect("it works");
        lease
            .module(1)
            .expect("it works")
            .start()
            .expect("it works");
    }
    clock.advance(MINUTE);
    let reaped = tracker.reap(ReapPolicy::retry(3)).expect("it works");
    assert_eq!((reaped.failed, reaped.total()), (1, 1));
}

#[test]
fn all_that_ran_under_the_lease_is_reaped_in_a_parallel_pipeline() {
    let (tracker, clock) = tracker();
    let pipeline = chain(3).parallel();
    let (failed, lease) = working(&tracker, &pipeline);
    lease
        .module(3)
        .expect("it works")
        .start()
        .expect("it works");
    clock.set(at(60));
    tracker.reap(ReapPolicy::fail()).expect("it works");
    let kinds = |id| {
        let process = tracker.get(id).expect("it works");
        let kinds = process.modules().iter().map(|m| m.state().kind());
        kinds.collect::<Vec<_>>()
    };
    assert_eq!(
        kinds(failed),
        [
            ModuleStateKind::Failed,
            ModuleStateKind::Pending,
            ModuleStateKind::Failed
        ]
    );
    let (freed, lease) = working(&tracker, &pipeline);
    lease
        .module(3)
        .expect("it works")
        .start()
        .expect("it works");
    clock.advance(MINUTE);
    tracker.reap(ReapPolicy::retry(2)).expect("it works");
    assert_eq!(kinds(freed), [ModuleStateKind::Pending; 3]);
}

#[test]
fn a_wish_is_granted_whatever_the_policy() {
    for policy in [ReapPolicy::fail(), ReapPolicy::retry(9)] {
        let (tracker, clock) = tracker();
        let (id, _) = working(&tracker, &chain(2));
        tracker
            .request_cancel(id, "no longer wanted")
            .expect("it works");
        clock.set(at(60));
        let reaped = tracker.reap(policy).expect("it works");
        assert_eq!((reaped.cancelled, reaped.total()), (1, 1));
        let process = tracker.get(id).expect("it works");
        assert_eq!(
            process.blame().expect("it works").message,
            "no longer wanted"
        );
    }
}

#[test]
fn many_that_reap_at_once_reap_each_once() {
    const PROCESSES: usize = 200;
    let store = Arc::new(MapStore::new());
    let clock = ManualClock::new(noon());
    let tracker = Tracker::with_clock(Arc::clone(&store), clock.clone());
    for _ in 0..PROCESSES {
        working(&tracker, &chain(2));
    }
    clock.set(at(60));
    let reaped = std::thread::scope(|scope| {
        let reap = |_| {
            let (store, clock) = (Arc::clone(&store), clock.clone());
            scope.spawn(move || {
                let tracker = Tracker::with_clock(store, clock);
                tracker.reap(ReapPolicy::fail()).expect("it works").total()
            })
        };
        let threads = (0..8).map(reap).collect::<Vec<_>>();
        let joined = threads
            .into_iter()
            .map(|thread| thread.join().expect("it works"));
        joined.sum::<usize>()
    });
    assert_eq!(reaped, PROCESSES);
}

#[test]
fn one_call_reaps_a_bounded_number_and_says_that_more_wait() {
    let (tracker, clock) = tracker();
    for _ in 0..1_001 {
        working(&tracker, &chain(1));
    }
    clock.set(at(60));
    let first = tracker.reap(ReapPolicy::fail()).expect("it works");
    assert_eq!((first.failed, first.more), (1_000, true));
    let second = tracker.reap(ReapPolicy::fail()).expect("it works");
    assert_eq!((second.failed, second.more), (1, false));
}

#[test]
fn what_stalled_is_found_behind_pages_that_are_empty() {
    let store = Arc::new(MapStore::new());
    let clock = ManualClock::new(noon());
    let tracker = Tracker::with_clock(Arc::clone(&store), clock.clone());
    for _ in 0..20 {
        tracker.begin(NewProcess::new(&chain(1))).unwrap();
        clock.advance(Duration::from_millis(1));
    }
    working(&tracker, &chain(1));
    clock.set(at(3600));
    // Three rows a call, so that the first pages hold nothing.
    store.examined.store(3, Ordering::SeqCst);
    let reaped = tracker.reap(ReapPolicy::fail()).unwrap();
    assert_eq!(reaped.failed, 1);
}

#[test]
fn what_is_full_to_the_brim_can_still_be_reaped() {
    let (tracker, clock) = tracker();
    let id = "f948a6ad-0343-e743-2b3f-0df6bc732a3a"
        .parse()
        .expect("it works");
    // Fill a record, until the claim just fits.
    let mut tags = 64;
    let lease = loop {
        let mut new = NewProcess::new(&chain(4)).request_id(id);
        for n in 0..tags {
            new = new.tag(&format!("{n}"), &"v".repeat(4_000));
        }
        tracker.begin(new).expect("it works");
        let name = "w".repeat(128);
        match tracker.claim(id, &name, MINUTE) {
            Ok(lease) => break lease,
            Err(TrackError::Rejected(Rejection::TooLarge { .. })) => tags -= 1,
            Err(other) => panic!("{other}"),
        }
        tracker.erase(id).expect("it works");
    };
    lease
        .module(1)
        .expect("it works")
        .start()
        .expect("it works");
    clock.set(at(60));
    assert_eq!(
        tracker.reap(ReapPolicy::fail()).expect("it works").failed,
        1
    );
}
