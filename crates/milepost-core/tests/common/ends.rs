//! What our stores promise of the ends of lists, beyond the contract.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use milepost_core::{
    Change, Filter, Found, Listing, ManualClock, NewProcess, Order, Pipeline, RequestId,
    StatusStore, Term, Tracker, limits,
};

const MINUTE: Duration = Duration::from_mins(1);
const PIPELINE: &str = "crowd";
const NEEDLE: &str = "needle.txt";

/// Asks for the newest of all, once without help of an index, and once by when its lease ran out.
pub(crate) fn a_list_ends_where_enough_was_examined(store: impl StatusStore + 'static) {
    let store = Arc::new(store);
    let noon: DateTime<Utc> = "2026-05-18T12:00:00Z".parse().expect("a time");
    let clock = ManualClock::new(noon);
    let tracker = Tracker::with_clock(store.clone(), clock.clone());
    let pipeline = Pipeline::new(PIPELINE, ["one", "two"]).expect("a good pipeline");
    let hay = (0..limits::LIST_EXAMINED).map(|_| NewProcess::new(&pipeline));
    let hay = hay.map(|new| tracker.prepare(new).expect("an op"));
    let mut hay: Vec<_> = hay.collect();
    for batch in hay.chunks(limits::BATCH_OPS) {
        let verdicts = tracker.apply(batch).expect("a batch");
        assert!(verdicts.iter().all(Result::is_ok));
    }
    clock.advance(MINUTE);
    let begun = tracker.begin(NewProcess::new(&pipeline).file_name(NEEDLE));
    let needle = begun.expect("it begins").request_id();
    let claim = tracker.op(needle, Change::claim("worker", MINUTE, 1));
    assert!(tracker.apply(&[claim]).expect("a batch")[0].is_ok());
    clock.advance(MINUTE);

    let list = |filter: &Filter, after: Option<&Found>| {
        let listing = Listing {
            filter: filter.clone(),
            order: Order::OldestFirst,
            after: after.and_then(|found| found.next),
            // By which what is examined cannot be divided.
            limit: 7,
        };
        store.list(&listing).expect("a list")
    };
    let ids = |found: &Found| -> Vec<RequestId> {
        let ids = found.items.iter().map(|process| process.request_id());
        ids.collect()
    };

    // All of them began at once, so their ids decide which is the last that is examined.
    hay.sort_unstable_by_key(|op| op.id);
    let end = hay.last().expect("there is hay").id;
    let named = Filter::new().with(Term::FileName(NEEDLE.into()));
    for filter in [named.clone(), named.with(Term::Pipeline(PIPELINE.into()))] {
        let first = list(&filter, None);
        assert!(first.items.is_empty());
        assert_eq!(first.next.expect("there is more").request_id, end);
        let second = list(&filter, Some(&first));
        assert_eq!((ids(&second), second.next), (vec![needle], None));
    }

    let stalled = Filter::new().with(Term::Stalled {
        by: noon + 2 * MINUTE,
    });
    let found = list(&stalled, None);
    assert_eq!((ids(&found), found.next), (vec![needle], None));
    let counts = store.count(&stalled).expect("a count");
    assert_eq!((counts.total(), counts.stalled), (1, 0));
}

/// However many processes there are, a page that holds the last of them says so.
pub(crate) fn a_full_last_page_is_known_to_be_the_last(store: impl StatusStore + 'static) {
    let store = Arc::new(store);
    let tracker = Tracker::new(store.clone());
    let pipeline = Pipeline::new(PIPELINE, ["one", "two"]).expect("a good pipeline");
    for count in 1..=5 {
        tracker
            .begin(NewProcess::new(&pipeline))
            .expect("it begins");
        for filter in [
            Filter::new(),
            Filter::new().with(Term::Pipeline(PIPELINE.into())),
        ] {
            for order in [Order::OldestFirst, Order::NewestFirst] {
                let listing = Listing {
                    filter: filter.clone(),
                    order,
                    after: None,
                    limit: count,
                };
                let found = store.list(&listing).expect("a list");
                assert_eq!((found.items.len(), found.next), (count, None));
            }
        }
    }
}
