//! Leases in the index: what is stalled is found by when its lease ran out, and by nothing older.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use milepost_core::{
    Change, Counts, Filter, Listing, ManualClock, NewProcess, Op, Order, OverallStatus, Pipeline,
    Query, RequestId, StatusStore, Term, Tracker,
};
use milepost_memory::MemoryStore;

const MINUTE: Duration = Duration::from_mins(1);

fn noon() -> DateTime<Utc> {
    "2026-05-18T12:00:00Z".parse().expect("a time")
}

/// A tracker on an empty store, at noon, with its clock.
fn tracker() -> (Tracker, ManualClock) {
    let clock = ManualClock::new(noon());
    let tracker = Tracker::with_clock(MemoryStore::new(), clock.clone());
    (tracker, clock)
}

fn new(pipeline: &str) -> NewProcess {
    NewProcess::new(&Pipeline::new(pipeline, ["one", "two"]).expect("a good pipeline"))
}

/// What a walk in pages of 7 finds.
fn walk(store: &dyn StatusStore, filter: &Filter, order: Order) -> Vec<RequestId> {
    let mut listing = Listing {
        filter: filter.clone(),
        order,
        after: None,
        limit: 7,
    };
    let mut walked = Vec::new();
    loop {
        let page = store.list(&listing).expect("a list");
        walked.extend(page.items.iter().map(|process| process.request_id()));
        listing.after = page.next;
        if listing.after.is_none() {
            return walked;
        }
    }
}

#[test]
fn what_is_stalled_is_listed_in_order_and_counted_exactly() {
    let store = std::sync::Arc::new(MemoryStore::new());
    let clock = ManualClock::new(noon());
    let tracker = Tracker::with_clock(store.clone(), clock.clone());
    for n in 0_u64..60 {
        let new = new(["some", "other", "some"][usize::try_from(n % 3).expect("small")]);
        let new = match n % 7 {
            0 => new.expires_in(Duration::from_secs(n + 20)),
            _ => new,
        };
        let id = tracker.begin(new).expect("it begins").request_id();
        if n % 5 > 0 {
            // The later it began the sooner it ends.
            let lease = tracker.claim(id, "worker", Duration::from_secs(61 - n));
            lease.expect("it is claimed");
        }
    }
    let everything = Filter::new();
    for seconds in [0, 1, 20, 40, 61, 100] {
        let now = noon() + TimeDelta::seconds(seconds);
        let stalled = everything.clone().with(Term::Stalled { by: now });
        let filters = [
            everything.clone(),
            stalled.clone(),
            stalled.clone().with(Term::Pipeline("other".into())),
            stalled.clone().with(Term::FileNamePrefix("gen".into())),
            stalled.with(Term::Status(vec![OverallStatus::Complete])),
        ];
        for filter in filters.map(|filter| filter.visible_at(now)) {
            let mut counts = Counts::new();
            for order in [Order::OldestFirst, Order::NewestFirst] {
                counts = Counts::new();
                let mut expected = walk(&*store, &everything, order);
                expected.retain(|id| {
                    let process = store.read(*id).expect("a read").expect("it is there");
                    counts.tally(&process, &filter);
                    filter.matches(&process)
                });
                assert_eq!(walk(&*store, &filter, order), expected, "{filter:?}");
            }
            assert_eq!(store.count(&filter).expect("a count"), counts, "{filter:?}");
        }
    }
}

#[test]
fn what_was_renewed_given_back_settled_or_erased_is_not_found() {
    let (tracker, clock) = tracker();
    let claimed = || {
        clock.advance(Duration::from_millis(1));
        let process = tracker.begin(new("some")).expect("it begins");
        let lease = tracker.claim(process.request_id(), "worker", MINUTE);
        lease.expect("it is claimed")
    };
    let (renewed, given_back, settled, erased, left) =
        (claimed(), claimed(), claimed(), claimed(), claimed());
    renewed.renew_for(2 * MINUTE).expect("it is renewed");
    given_back.release().expect("it is given back");
    settled.cancel("no more").expect("it settles");
    tracker.erase(erased.request_id()).expect("it is erased");
    clock.advance(MINUTE);
    let stalled = || {
        let query = Query::new().stalled().oldest_first();
        let page = tracker.list(&query).expect("a page");
        let ids = page.items.iter().map(|process| process.request_id());
        ids.collect::<Vec<_>>()
    };
    assert_eq!(stalled(), [left.request_id()]);
    clock.advance(MINUTE);
    assert_eq!(stalled(), [renewed.request_id(), left.request_id()]);
}

/// More than are collected and sorted for one page.
#[test]
fn a_crowd_of_stalled_is_walked_from_page_to_page_and_counted() {
    const CROWD: u64 = 10_010;
    let (tracker, clock) = tracker();
    let mut ids = Vec::new();
    for mark in 0..CROWD {
        let begin = tracker.prepare(new("some")).expect("an op");
        ids.push(begin.id);
        let claim: Op = tracker.op(begin.id, Change::claim("worker", MINUTE, mark));
        let verdicts = tracker.apply(&[begin, claim]).expect("a batch");
        assert!(verdicts.iter().all(Result::is_ok));
    }
    tracker.begin(new("some")).expect("it begins");
    clock.advance(MINUTE);
    let counts = tracker.count(&Query::new().stalled()).expect("a count");
    assert_eq!((counts.ongoing, counts.stalled), (CROWD, CROWD));
    let mut query = Query::new().stalled().oldest_first().limit(1000);
    let mut walked = Vec::new();
    loop {
        let page = tracker.list(&query).expect("a page");
        walked.extend(page.items.iter().map(|process| process.request_id()));
        match page.next {
            Some(next) => query = query.after(next),
            None => break,
        }
    }
    // All began at once, so their ids decide.
    ids.sort_unstable();
    assert!(walked == ids);
}
