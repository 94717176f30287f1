//! Leases: who may write, for how long, and how a worker hears that it is to stop.

use std::sync::Arc;
use std::time::Duration;

use chrono::TimeDelta;
use milepost_core::{
    ClaimEnd, Failure, Field, Invalid, Lease, ManualClock, ModuleStateKind, NewProcess,
    OverallStatus, Progress, Rejection, RequestId, TrackError, Tracker, limits,
};

use crate::common::store::{Call, MapStore};
use crate::common::{at, chain, id, new, noon, tracker};

const MINUTE: Duration = Duration::from_mins(1);

/// A process of two modules, begun at noon.
fn begun() -> (Tracker, ManualClock, RequestId) {
    let (tracker, clock) = tracker();
    let process = tracker.begin(new(&chain(2))).expect("it works");
    (tracker, clock, process.request_id())
}

fn claimed() -> (Tracker, ManualClock, Lease) {
    let (tracker, clock, id) = begun();
    let lease = tracker.claim(id, "worker 1", MINUTE).expect("it works");
    (tracker, clock, lease)
}

fn rejection<T: std::fmt::Debug>(answer: Result<T, TrackError>) -> Rejection {
    match answer.expect_err("it is refused") {
        TrackError::Rejected(rejection) => rejection,
        other => panic!("no rejection: {other:?}"),
    }
}

fn is_fenced<T: std::fmt::Debug>(answer: Result<T, TrackError>) -> bool {
    matches!(rejection(answer), Rejection::Fenced { .. })
}

#[test]
fn the_token_is_the_revision_of_the_claim() {
    let (tracker, _, lease) = claimed();
    assert_eq!(lease.token(), 2);
    assert_eq!(lease.worker(), "worker 1");
    assert_eq!(lease.until(), at(60));
    let process = tracker.get(id()).expect("it works");
    assert_eq!(process.revision(), 2);
    let claim = process.claim().expect("it works");
    assert_eq!((claim.token(), claim.worker()), (2, "worker 1"));
    assert_eq!(
        (claim.claimed_at(), claim.heard_at(), claim.until()),
        (noon(), noon(), at(60))
    );
    assert_eq!(claim.end(), None);
}

#[test]
fn a_lease_hands_out_the_same_handles() {
    let (tracker, clock, lease) = claimed();
    let names = lease.modules().map(|module| module.name().to_owned());
    assert_eq!(names.collect::<Vec<_>>(), ["step-1", "step-2"]);
    clock.advance(Duration::from_secs(5));
    lease
        .module(1)
        .expect("it works")
        .start()
        .expect("it works");
    assert!(lease.module(3).is_err());
    assert_eq!(lease.request_id(), id());
    let process = tracker.get(id()).expect("it works");
    assert_eq!(process.claim().expect("it works").heard_at(), at(5));
    assert_eq!(process.leased_until(), Some(at(60)));
}

#[test]
fn nobody_claims_what_is_held_until_it_has_run_out() {
    let (tracker, clock, first) = claimed();
    let held = Rejection::Held {
        worker: Arc::from("worker 1"),
        until: at(60),
    };
    for _ in 0..2 {
        assert_eq!(rejection(tracker.claim(id(), "worker 2", MINUTE)), held);
        // The same name is not the same worker.
        assert_eq!(rejection(tracker.claim(id(), "worker 1", MINUTE)), held);
        clock.set(at(60) - TimeDelta::microseconds(1));
    }
    clock.set(at(60));
    let second = tracker.claim(id(), "worker 2", MINUTE).expect("it works");
    assert!(second.token() > first.token());
    assert!(is_fenced(first.module(1).expect("it works").start()));
    second
        .module(1)
        .expect("it works")
        .start()
        .expect("it works");
}

#[test]
fn every_op_of_a_lease_that_ran_out_is_fenced() {
    let (tracker, clock, lease) = claimed();
    let module = lease.module(1).expect("it works");
    module.start().expect("it works");
    let before = tracker.get(id()).expect("it works");
    clock.set(at(60));
    assert!(is_fenced(module.start()));
    assert!(is_fenced(module.progress(Progress::of(1, 2))));
    assert!(is_fenced(module.complete()));
    assert!(is_fenced(module.fail(Failure::new("Why", "not"))));
    assert!(is_fenced(module.retry(Failure::new("Why", "not"))));
    assert!(is_fenced(
        lease.module(2).expect("it works").skip("why not")
    ));
    assert!(is_fenced(lease.cancel("why not")));
    assert!(is_fenced(lease.renew()));
    assert!(is_fenced(lease.release()));
    assert_eq!(tracker.get(id()).expect("it works"), before);
}

#[test]
fn a_worker_that_wakes_up_late_claims_again_and_goes_on() {
    let (tracker, clock, lease) = claimed();
    lease
        .module(1)
        .expect("it works")
        .start()
        .expect("it works");
    clock.set(at(3600));
    assert!(is_fenced(lease.renew()));
    let again = tracker.claim(id(), "worker 1", MINUTE).expect("it works");
    again
        .module(1)
        .expect("it works")
        .complete()
        .expect("it works");
    assert!(is_fenced(lease.renew()));
}

#[test]
fn a_renewal_keeps_the_token_and_lasts_for_the_time_of_the_claim() {
    let (tracker, clock, lease) = claimed();
    clock.set(at(59));
    assert!(lease.renew().expect("it works").changed);
    assert_eq!((lease.token(), lease.until()), (2, at(119)));
    clock.set(at(118));
    lease
        .module(1)
        .expect("it works")
        .start()
        .expect("it works");
    lease.renew_for(Duration::from_secs(5)).expect("it works");
    assert_eq!(lease.until(), at(123));
    assert_eq!(
        tracker.get(id()).expect("it works").leased_until(),
        Some(at(123))
    );
    assert_eq!(
        tracker
            .get(id())
            .expect("it works")
            .claim()
            .expect("it works")
            .token(),
        2
    );
}

#[test]
fn a_renewal_never_shortens_a_lease_not_even_by_a_clock_that_went_back() {
    let (tracker, clock, lease) = claimed();
    assert!(
        !lease
            .renew_for(Duration::from_secs(1))
            .expect("it works")
            .changed
    );
    clock.set(at(-3600));
    assert!(!lease.renew().expect("it works").changed);
    assert_eq!(lease.until(), at(60));
    assert_eq!(
        tracker.get(id()).expect("it works").leased_until(),
        Some(at(60))
    );
}

#[test]
fn what_is_released_can_be_claimed_at_once() {
    let (tracker, clock, lease) = claimed();
    clock.set(at(10));
    assert!(lease.release().expect("it works").changed);
    assert!(!lease.release().expect("it works").changed);
    let end = tracker
        .get(id())
        .expect("it works")
        .claim()
        .expect("it works")
        .end();
    assert_eq!(end, Some(ClaimEnd::Released { at: at(10) }));
    assert!(is_fenced(lease.module(1).expect("it works").start()));
    assert!(is_fenced(lease.renew()));
    tracker.claim(id(), "worker 2", MINUTE).expect("it works");
    // Its own lease is gone; there is another now.
    assert!(is_fenced(lease.release()));
}

#[test]
fn without_a_lease_everything_works_as_before() {
    let (tracker, _, lease) = claimed();
    let handle = tracker.process(id()).expect("it works");
    handle
        .module(1)
        .expect("it works")
        .start()
        .expect("it works");
    handle
        .module(1)
        .expect("it works")
        .complete()
        .expect("it works");
    lease
        .module(2)
        .expect("it works")
        .complete()
        .expect("it works");
    assert_eq!(
        tracker.get(id()).expect("it works").status(),
        OverallStatus::Complete
    );
}

#[test]
fn what_has_settled_is_neither_claimed_nor_renewed() {
    let (tracker, clock, lease) = claimed();
    for module in lease.modules() {
        module.complete().expect("it works");
    }
    let settled = Rejection::Settled {
        status: OverallStatus::Complete,
    };
    assert_eq!(rejection(tracker.claim(id(), "worker 2", MINUTE)), settled);
    assert_eq!(rejection(lease.renew()), settled);
    assert!(!lease.release().expect("it works").changed);
    // Nobody else can have it, so the holder may send again what got no answer.
    clock.set(at(3600));
    assert!(
        !lease
            .module(2)
            .expect("it works")
            .complete()
            .expect("it works")
            .changed
    );
    assert!(!tracker.get(id()).expect("it works").is_stalled(at(3600)));
}

#[test]
fn a_rerun_ends_the_lease_of_the_run_before() {
    let (tracker, _, lease) = claimed();
    lease
        .module(1)
        .expect("it works")
        .fail(Failure::new("Why", "not"))
        .expect("it works");
    tracker.rerun(id()).expect("it works");
    assert_eq!(tracker.get(id()).expect("it works").claim(), None);
    assert!(is_fenced(lease.module(1).expect("it works").start()));
    tracker.claim(id(), "worker 2", MINUTE).expect("it works");
}

#[test]
fn a_lease_dies_with_its_process() {
    let (tracker, clock, lease) = claimed();
    tracker.erase(id()).expect("it works");
    assert_eq!(rejection(lease.renew()), Rejection::NotFound);
    let expiring = new(&chain(2)).expires_in(MINUTE);
    tracker.begin(expiring).expect("it works");
    assert_eq!(
        rejection(lease.module(1).expect("it works").start()),
        Rejection::NotFound
    );
    let lease = tracker
        .claim(id(), "worker 1", MINUTE * 2)
        .expect("it works");
    clock.set(at(60));
    assert_eq!(
        rejection(lease.module(1).expect("it works").start()),
        Rejection::NotFound
    );
    assert_eq!(
        rejection(tracker.claim(id(), "worker 2", MINUTE)),
        Rejection::NotFound
    );
}

#[test]
fn a_lease_is_asked_for_within_limits_and_by_a_name() {
    let (tracker, clock, id) = begun();
    let invalid = |answer: Result<Lease, TrackError>| match answer.unwrap_err() {
        TrackError::Invalid(invalid) => invalid,
        other => panic!("not invalid: {other:?}"),
    };
    for ttl in [
        Duration::ZERO,
        Duration::from_nanos(999_999),
        limits::LONGEST_LEASE + Duration::from_nanos(1),
        Duration::MAX,
    ] {
        assert_eq!(
            invalid(tracker.claim(id, "worker", ttl)),
            Invalid::LeaseTime { given: ttl }
        );
    }
    let field = Field::Worker;
    assert_eq!(
        invalid(tracker.claim(id, "", MINUTE)),
        Invalid::Empty { field }
    );
    assert!(matches!(
        invalid(tracker.claim(id, &"w".repeat(129), MINUTE)),
        Invalid::TooLong { .. }
    ));
    assert!(matches!(
        invalid(tracker.claim(id, "a\nb", MINUTE)),
        Invalid::ControlCharacter { .. }
    ));
    clock.set("9999-12-31T23:59:30Z".parse().expect("it works"));
    assert!(matches!(
        invalid(tracker.claim(id, "worker", MINUTE)),
        Invalid::TimeOutOfRange { .. }
    ));
    assert_eq!(tracker.get(id).expect("it works").revision(), 1);
    clock.set(noon());
    tracker
        .claim(id, "worker", limits::SHORTEST_LEASE)
        .expect("it works");
    clock.advance(limits::SHORTEST_LEASE);
    tracker
        .claim(id, "worker", limits::LONGEST_LEASE)
        .expect("it works");
}

#[test]
fn an_unknown_process_is_not_claimed() {
    let (tracker, _) = tracker();
    assert_eq!(
        rejection(tracker.claim(id(), "worker", MINUTE)),
        Rejection::NotFound
    );
}

#[test]
fn a_wish_is_heard_from_the_leases_own_ops_and_agreed_to() {
    let (tracker, _, lease) = claimed();
    let module = lease.module(1).expect("it works");
    module.start().expect("it works");
    let wish = tracker
        .request_cancel(id(), "no longer wanted")
        .expect("it works");
    assert!(wish.changed && wish.cancel_requested);
    assert_eq!(wish.status, OverallStatus::Ongoing);
    let again = tracker.request_cancel(id(), "really").expect("it works");
    assert!(!again.changed);
    let process = tracker.get(id()).expect("it works");
    let standing = process.cancel_requested().expect("it works");
    assert_eq!(
        (standing.reason(), standing.at()),
        ("no longer wanted", noon())
    );
    module.progress(Progress::of(1, 2)).expect("it works");
    assert!(lease.cancel_requested());
    assert!(lease.clone().cancel_requested());
    lease.cancel("as asked").expect("it works");
    let process = tracker.get(id()).expect("it works");
    assert_eq!(process.status(), OverallStatus::Cancelled);
    assert_eq!(process.blame().expect("it works").message, "as asked");
}

#[test]
fn a_wish_is_heard_by_the_poll_and_costs_the_worker_no_call() {
    let store = Arc::new(MapStore::new());
    let clock = ManualClock::new(noon());
    let here = Tracker::with_clock(Arc::clone(&store), clock.clone())
        .poll_interval(Duration::from_millis(1));
    let elsewhere = Tracker::with_clock(Arc::clone(&store), clock);
    here.begin(new(&chain(2))).expect("it works");
    let lease = here.claim(id(), "worker", MINUTE).expect("it works");
    assert!(!lease.cancel_requested());
    let (writes, reads) = (store.calls(Call::Write), store.calls(Call::Read));
    elsewhere
        .request_cancel(id(), "no longer wanted")
        .expect("it works");
    while !lease.cancel_requested() {
        std::thread::sleep(Duration::from_millis(1));
    }
    // The wish itself read once and wrote once.
    assert_eq!(store.calls(Call::Write), writes + 1);
    assert!(
        store.calls(Call::Read) - reads <= 2,
        "one more is the poller's"
    );
    // Nobody listens any more once the lease is gone.
    drop(lease);
    let polls = store.calls(Call::Versions);
    std::thread::sleep(Duration::from_millis(30));
    assert!(store.calls(Call::Versions) <= polls + 1);
}

#[test]
fn a_wish_through_the_same_tracker_is_heard_at_once() {
    let (tracker, _, lease) = claimed();
    let tracker = tracker.poll_interval(Duration::from_hours(1));
    assert!(!lease.cancel_requested());
    tracker
        .request_cancel(id(), "no longer wanted")
        .expect("it works");
    assert!(lease.cancel_requested());
}

#[test]
fn own_ops_are_no_news_for_the_poller() {
    let store = Arc::new(MapStore::new());
    let tracker = Tracker::with_clock(Arc::clone(&store), ManualClock::new(noon()))
        .poll_interval(Duration::from_millis(1));
    tracker.begin(new(&chain(2))).expect("it works");
    let lease = tracker.claim(id(), "worker", MINUTE).expect("it works");
    assert!(!lease.cancel_requested());
    let module = lease.module(1).expect("it works");
    // Until it has polled once, it may have to read what stood there before it listened.
    module.start().expect("it works");
    let polls = store.calls(Call::Versions);
    while store.calls(Call::Versions) < polls + 2 {
        std::thread::sleep(Duration::from_millis(1));
    }
    let reads = store.calls(Call::Read);
    for done in 1..20 {
        module
            .progress(Progress::unbounded(done))
            .expect("it works");
        std::thread::sleep(Duration::from_millis(1));
    }
    assert!(!lease.cancel_requested());
    let read = store.calls(Call::Read) - reads;
    assert!(read <= 2, "{read} reads for 19 ops of its own");
}

#[test]
fn where_no_lease_is_live_a_wish_is_granted_at_once() {
    let (tracker, clock, id) = begun();
    let applied = tracker
        .request_cancel(id, "no longer wanted")
        .expect("it works");
    assert_eq!(applied.status, OverallStatus::Cancelled);
    assert!(!applied.cancel_requested);
    assert!(
        !tracker
            .request_cancel(id, "again")
            .expect("it works")
            .changed
    );
    tracker.rerun(id).expect("it works");
    tracker.claim(id, "worker", MINUTE).expect("it works");
    clock.set(at(60));
    let applied = tracker
        .request_cancel(id, "nobody is there")
        .expect("it works");
    assert_eq!(applied.status, OverallStatus::Cancelled);
    let process = tracker.get(id).expect("it works");
    assert_eq!(
        process.blame().expect("it works").message,
        "nobody is there"
    );
}

#[test]
fn work_that_completes_all_the_same_stays_complete() {
    let (tracker, _, lease) = claimed();
    tracker
        .request_cancel(id(), "no longer wanted")
        .expect("it works");
    for module in lease.modules() {
        module.complete().expect("it works");
    }
    let process = tracker.get(id()).expect("it works");
    assert_eq!(process.status(), OverallStatus::Complete);
    assert!(process.cancel_requested().is_some());
    assert_eq!(
        rejection(tracker.request_cancel(id(), "too late")),
        Rejection::Settled {
            status: OverallStatus::Complete
        }
    );
}

#[test]
fn a_wish_is_granted_when_the_lease_is_given_back() {
    let (tracker, _, lease) = claimed();
    lease
        .module(1)
        .expect("it works")
        .start()
        .expect("it works");
    tracker
        .request_cancel(id(), "no longer wanted")
        .expect("it works");
    let applied = lease.release().expect("it works");
    assert_eq!(applied.status, OverallStatus::Cancelled);
    let process = tracker.get(id()).expect("it works");
    assert_eq!(
        process.blame().expect("it works").message,
        "no longer wanted"
    );
    assert_eq!(
        process.modules()[0].state().kind(),
        ModuleStateKind::Cancelled
    );
    assert_eq!(process.cancel_requested(), None);
    assert!(!lease.release().expect("it works").changed);
}

#[test]
fn whoever_takes_over_hears_the_wish_from_the_first() {
    let (tracker, clock, _) = claimed();
    tracker
        .request_cancel(id(), "no longer wanted")
        .expect("it works");
    clock.set(at(60));
    let second = tracker.claim(id(), "worker 2", MINUTE).expect("it works");
    assert!(second.cancel_requested());
}

#[test]
fn of_many_that_claim_at_once_one_holds() {
    let tracker = Tracker::new(MapStore::new());
    let process = tracker.begin(NewProcess::new(&chain(2))).expect("it works");
    let id = process.request_id();
    let claims = std::thread::scope(|scope| {
        let claim = |n: usize| {
            let tracker = &tracker;
            scope.spawn(move || tracker.claim(id, &format!("worker {n}"), MINUTE))
        };
        let threads = (0..8).map(claim).collect::<Vec<_>>();
        let joined = threads
            .into_iter()
            .map(|thread| thread.join().expect("it works"));
        joined.collect::<Vec<_>>()
    });
    let leases = claims.into_iter().flatten().collect::<Vec<_>>();
    assert_eq!(leases.len(), 1);
    let process = tracker.get(id).expect("it works");
    assert_eq!(
        process.claim().expect("it works").worker(),
        leases[0].worker()
    );
}
