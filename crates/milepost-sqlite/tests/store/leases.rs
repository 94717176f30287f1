//! Leases in the file: what is stalled is found by its index, wherever its row is and whatever became of it.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use milepost_core::{
    Change, Counts, Filter, Listing, ManualClock, NewProcess, Order, OverallStatus, Pipeline,
    Query, RequestId, StatusStore, Term, Tracker, Wipe,
};
use milepost_sqlite::SqliteStore;

use crate::common::{Place, begin, foreign_connection, one_step_a_wipe, pipeline};

const MINUTE: Duration = Duration::from_mins(1);

fn noon() -> DateTime<Utc> {
    "2026-05-18T12:00:00Z".parse().expect("a time")
}

/// A tracker on this file, at noon, with its clock.
fn open(place: &Place) -> (Tracker, ManualClock) {
    let clock = ManualClock::new(noon());
    let store = SqliteStore::open(place.path()).expect("it opens");
    (Tracker::with_clock(store, clock.clone()), clock)
}

fn stalled(tracker: &Tracker) -> Vec<RequestId> {
    let query = Query::new().stalled().oldest_first();
    let page = tracker.list(&query).expect("a page");
    page.items
        .iter()
        .map(|process| process.request_id())
        .collect()
}

/// Some of everything: two pipelines; leases that run out one after the other, some given back, some of
/// what has settled or expires.
fn assorted(tracker: &Tracker) {
    let other = Pipeline::new("other", ["one"]).expect("a good pipeline");
    let usual = pipeline();
    for n in 0_u64..60 {
        let new = NewProcess::new(if n % 3 == 0 { &other } else { &usual });
        let new = match n % 7 {
            0 => new.expires_in(Duration::from_secs(n + 20)),
            _ => new,
        };
        let process = tracker.begin(new).expect("it begins");
        if n % 5 == 0 {
            continue;
        }
        // The later it began the sooner it ends.
        let ttl = Duration::from_secs(61 - n);
        let lease = tracker.claim(process.request_id(), "worker", ttl);
        let lease = lease.expect("it is claimed");
        match n % 11 {
            0 => drop(lease.release().expect("it is given back")),
            1 => drop(lease.cancel("no more").expect("it is cancelled")),
            _ => {}
        }
    }
}

/// Filters for the stalled, and others whose counts tell how many of theirs are.
fn filters(now: DateTime<Utc>) -> Vec<Filter> {
    let all = Filter::new();
    let stalled = all.clone().with(Term::Stalled { by: now });
    let pipeline = Term::Pipeline("other".into());
    let settled = Term::Status(vec![OverallStatus::Complete, OverallStatus::Cancelled]);
    let ongoing = Term::Status(vec![OverallStatus::Ongoing]);
    let filters = [
        all.clone(),
        all.clone().with(pipeline.clone()),
        all.clone().with(settled.clone()),
        all.clone().with(ongoing).with(pipeline.clone()),
        all.clone().with(Term::UnderDirectory("/".into())),
        all.with(Term::FileNamePrefix("gen".into())),
        stalled.clone(),
        stalled.clone().with(pipeline),
        stalled.clone().with(settled),
        stalled.with(Term::UnderDirectory("/".into())),
    ];
    let visible = |filter: &Filter| filter.clone().visible_at(now);
    filters.iter().map(visible).chain(filters.clone()).collect()
}

/// Asks for everything that a filter can say of leases, and compares with what it says of each process.
#[track_caller]
fn assert_found(store: &dyn StatusStore, now: DateTime<Utc>) {
    let listing = |filter, order| Listing {
        filter,
        order,
        after: None,
        limit: 1000,
    };
    for order in [Order::OldestFirst, Order::NewestFirst] {
        let all = store.list(&listing(Filter::new(), order)).expect("a list");
        for filter in filters(now) {
            let mut counts = Counts::new();
            for process in &all.items {
                counts.tally(process, &filter);
            }
            assert_eq!(store.count(&filter).expect("a count"), counts, "{filter:?}");
            let mut expected = all.items.clone();
            expected.retain(|process| filter.matches(process));
            let mut found = Vec::new();
            // Page by page.
            let mut listing = Listing {
                limit: 7,
                ..listing(filter, order)
            };
            loop {
                let page = store.list(&listing).expect("a list");
                found.extend(page.items);
                listing.after = page.next;
                if listing.after.is_none() {
                    break;
                }
            }
            assert_eq!(found, expected, "{:?}", listing.filter);
        }
    }
}

#[test]
fn what_is_stalled_is_listed_in_order_and_counted_exactly() {
    let place = Place::new();
    let (tracker, clock) = open(&place);
    assorted(&tracker);
    let store = SqliteStore::open(place.path()).expect("it opens again");
    for seconds in [0, 1, 20, 40, 61, 100] {
        let now = noon() + TimeDelta::seconds(seconds);
        clock.set(now);
        assert_found(&store, now);
    }
    assert!(tracker.count(&Query::new()).expect("a count").stalled > 20);
}

#[test]
fn a_lease_is_found_from_the_moment_at_which_it_runs_out() {
    let place = Place::new();
    let (tracker, clock) = open(&place);
    let id = begin(&tracker, "a.txt").request_id();
    tracker.claim(id, "worker", MINUTE).expect("it is claimed");
    clock.set(noon() + MINUTE - TimeDelta::microseconds(1));
    assert_eq!(stalled(&tracker), []);
    clock.advance(Duration::from_micros(1));
    assert_eq!(stalled(&tracker), [id]);
}

#[test]
fn what_was_renewed_given_back_settled_or_erased_is_not_found() {
    let place = Place::new();
    let (tracker, clock) = open(&place);
    let claimed = |name: &str| {
        clock.advance(Duration::from_millis(1));
        let id = begin(&tracker, name).request_id();
        tracker.claim(id, "worker", MINUTE).expect("it is claimed")
    };
    let renewed = claimed("renewed");
    let given_back = claimed("given back");
    let settled = claimed("settled");
    let erased = claimed("erased");
    let left = claimed("left");
    renewed.renew_for(3 * MINUTE).expect("it is renewed");
    given_back.release().expect("it is given back");
    settled.cancel("no more").expect("it settles");
    tracker.erase(erased.request_id()).expect("it is erased");
    clock.advance(MINUTE);
    assert_eq!(stalled(&tracker), [left.request_id()]);
    tracker
        .claim(left.request_id(), "another", MINUTE)
        .expect("it is taken over");
    assert_eq!(stalled(&tracker), []);
    clock.advance(2 * MINUTE);
    let both = [renewed.request_id(), left.request_id()];
    assert_eq!(stalled(&tracker), both);
}

#[test]
fn a_claim_and_the_work_under_it_in_one_batch_are_found_too() {
    let place = Place::new();
    let (tracker, clock) = open(&place);
    let begin = tracker
        .prepare(NewProcess::new(&pipeline()))
        .expect("an op");
    let id = begin.id;
    let ops = [
        begin,
        tracker.op(id, Change::claim("worker", MINUTE, 1)),
        tracker.op(id, Change::start(1)),
    ];
    let verdicts = tracker.apply(&ops).expect("a batch");
    assert!(verdicts.iter().all(Result::is_ok));
    clock.advance(MINUTE);
    assert_eq!(stalled(&tracker), [id]);
}

#[test]
fn rows_keep_their_leases_while_a_wipe_moves_them_and_after() {
    let place = Place::new();
    let (tracker, clock) = open(&place);
    // More than one step of the move takes.
    for n in 0..220 {
        begin(&tracker, &format!("neighbour-{n}"));
    }
    assorted(&tracker);
    let erased = begin(&tracker, "erased").request_id();
    let wiper = one_step_a_wipe(&place);
    let store = SqliteStore::open(place.path()).expect("it opens again");
    let now = noon() + TimeDelta::seconds(40);
    clock.set(now);
    let erased = wiper.erase(erased).expect("an erase");
    assert!(matches!(erased.wipe, Wipe::Pending { .. }), "{erased:?}");
    assert_found(&store, now);
    while wiper.wipe().expect("a wipe answers") != Wipe::Done {
        assert_found(&store, now);
    }
    assert_found(&store, now);
}

/// More than are collected and sorted for one page.
#[test]
fn a_crowd_of_stalled_is_walked_from_page_to_page_and_counted() {
    const CROWD: u64 = 10_010;
    let store = SqliteStore::in_memory().expect("it opens");
    let clock = ManualClock::new(noon());
    let tracker = Tracker::with_clock(store, clock.clone());
    let begins = (0..CROWD)
        .map(|_| {
            tracker
                .prepare(NewProcess::new(&pipeline()))
                .expect("an op")
        })
        .collect::<Vec<_>>();
    let claim = |(mark, begin): (u64, &milepost_core::Op)| {
        tracker.op(begin.id, Change::claim("worker", MINUTE, mark))
    };
    let claims = (0..).zip(&begins).map(claim).collect::<Vec<_>>();
    for ops in [&begins, &claims] {
        for some in ops.chunks(10_000) {
            tracker.apply(some).expect("a batch");
        }
    }
    begin(&tracker, "never claimed");
    clock.advance(MINUTE);
    let counts = tracker.count(&Query::new()).expect("a count");
    assert_eq!((counts.ongoing, counts.stalled), (CROWD + 1, CROWD));
    let mut query = Query::new().stalled().limit(1000);
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
    let mut expected = begins.iter().map(|begin| begin.id).collect::<Vec<_>>();
    expected.sort_unstable_by(|one, other| other.cmp(one));
    assert!(walked == expected);
}

#[test]
fn the_overview_shows_when_a_lease_runs_out() {
    let place = Place::new();
    let (tracker, _) = open(&place);
    let id = begin(&tracker, "a.txt").request_id();
    let shown = || {
        foreign_connection(&place.path())
            .query_row("SELECT leased_until FROM process_overview", [], |row| {
                row.get::<_, Option<String>>(0)
            })
            .expect("one row")
    };
    assert_eq!(shown(), None);
    let lease = tracker.claim(id, "worker", MINUTE).expect("it is claimed");
    assert_eq!(shown().as_deref(), Some("2026-05-18 12:01:00.000Z"));
    lease.release().expect("it is given back");
    assert_eq!(shown(), None);
}
