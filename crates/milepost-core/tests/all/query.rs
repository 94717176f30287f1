//! What a query finds: the meaning of every term, for every store.

use std::ops::Bound;

use chrono::{DateTime, TimeDelta, Utc};
use milepost_core::{
    Filter, Indexed, NewProcess, Order, OverallStatus, Place, Process, Query, RequestId, Term,
    TimeRange, Tracker, Update,
};
use uuid::Uuid;

use crate::common::{at, chain, noon};

fn finds(tracker: &Tracker, query: &Query) -> usize {
    tracker.list(query).expect("it lists").items.len()
}

#[test]
fn each_term_narrows_what_is_found() {
    let (tracker, clock) = crate::common::tracker();
    let new = NewProcess::new(&chain(1))
        .file_name("invoice-7.pdf")
        .symbolic_directory_path("/a/b")
        .tag("customer", "4711")
        .tag("urgent", "");
    let process = tracker.begin(new).unwrap();
    tracker.begin(NewProcess::new(&chain(2))).unwrap();
    clock.set(at(5));
    process.module(1).unwrap().complete().unwrap();
    let none = 0;
    let cases = [
        (Query::new(), 2),
        (Query::new().pipeline("pipeline"), 2),
        (Query::new().pipeline("pipelin"), none),
        (Query::new().status(OverallStatus::Complete), 1),
        (
            Query::new()
                .status(OverallStatus::Complete)
                .status(OverallStatus::Ongoing),
            2,
        ),
        (Query::new().status(OverallStatus::Failed), none),
        (Query::new().file_id(process.file_id()), 1),
        (Query::new().file_name("invoice-7.pdf"), 1),
        (Query::new().file_name("INVOICE-7.PDF"), none),
        (Query::new().file_name_prefix("invoice-"), 1),
        (Query::new().file_name_prefix("invoice-%"), none),
        (Query::new().file_name_prefix(""), 2),
        (Query::new().directory("/a/b"), 1),
        (Query::new().directory("/a"), none),
        (Query::new().under_directory("/a"), 1),
        (Query::new().tag("customer", "4711"), 1),
        (Query::new().tag("customer", "471"), none),
        (Query::new().tag("customer", "4711").tag("urgent", ""), 1),
        (
            Query::new().tag("customer", "4711").tag("customer", "4712"),
            none,
        ),
        (Query::new().created(at(0)..), 2),
        (Query::new().created(..at(0)), none),
        (Query::new().updated(at(1)..), 1),
        (Query::new().settled(..), 1),
        (Query::new().settled(at(5)..=at(5)), 1),
        (Query::new().settled(at(0)..at(5)), none),
    ];
    for (query, expected) in cases {
        assert_eq!(finds(&tracker, &query), expected, "{query:?}");
    }
}

#[test]
fn under_a_directory_is_itself_and_below_but_no_neighbour() {
    let (tracker, _) = crate::common::tracker();
    for path in ["/a", "/a/b", "/ab", "/a/", "/A/b", "a", "/"] {
        let new = NewProcess::new(&chain(1)).symbolic_directory_path(path);
        tracker.begin(new).unwrap();
    }
    let under = |path: &str| {
        let page = tracker.list(&Query::new().under_directory(path)).unwrap();
        let mut paths = page
            .items
            .iter()
            .map(|process| process.file().symbolic_directory_path().to_owned())
            .collect::<Vec<_>>();
        paths.sort();
        paths
    };
    assert_eq!(under("/a"), ["/a", "/a/", "/a/b"]);
    assert_eq!(under("/a/"), ["/a", "/a/", "/a/b"]);
    assert_eq!(under("/a/b"), ["/a/b"]);
    assert_eq!(under("a"), ["a"]);
    assert_eq!(under("/"), ["/", "/A/b", "/a", "/a/", "/a/b", "/ab"]);
}

#[test]
fn a_range_counts_whole_microseconds() {
    let micro = |n| noon() + TimeDelta::microseconds(n);
    let nano = |n| noon() + TimeDelta::nanoseconds(n);
    let moments = |range: TimeRange| {
        (0..4)
            .filter(|n| range.contains(micro(*n)))
            .collect::<Vec<_>>()
    };
    assert_eq!(moments(TimeRange::new(..)), [0, 1, 2, 3]);
    assert_eq!(moments(TimeRange::new(micro(1)..micro(3))), [1, 2]);
    assert_eq!(moments(TimeRange::new(micro(1)..=micro(2))), [1, 2]);
    assert_eq!(
        moments(TimeRange::new((
            Bound::Excluded(micro(1)),
            Bound::Unbounded
        ))),
        [2, 3]
    );
    assert_eq!(moments(TimeRange::new(nano(1)..)), [1, 2, 3]);
    assert_eq!(moments(TimeRange::new(..nano(1_001))), [0, 1]);
    assert_eq!(moments(TimeRange::new(..=nano(1_999))), [0, 1]);
    assert_eq!(
        moments(TimeRange::new((
            Bound::Excluded(nano(999)),
            Bound::Unbounded
        ))),
        [1, 2, 3]
    );
    let empty = (Bound::Included(micro(3)), Bound::Excluded(micro(1)));
    assert_eq!(
        moments(TimeRange::new(empty)),
        [0; 0],
        "a range the wrong way round holds nothing"
    );
}

/// A range that began at the last moment there is was once taken for one without a beginning: it held
/// everything, and an erasure by it would have erased everything.
#[test]
fn a_range_at_the_ends_of_time_holds_what_it_says() {
    let (first, last) = (DateTime::<Utc>::MIN_UTC, DateTime::<Utc>::MAX_UTC);
    let holds = |range: TimeRange| range.contains(noon());
    assert!(!holds(TimeRange::new(last..)));
    assert!(!holds(TimeRange::new((
        Bound::Excluded(last),
        Bound::Unbounded
    ))));
    assert!(!holds(TimeRange::new(..first)));
    assert!(!holds(TimeRange::new(..=first)));
    assert!(holds(TimeRange::new(..last)));
    assert!(holds(TimeRange::new(..=last)));
    assert!(holds(TimeRange::new(first..)));
    assert!(holds(TimeRange::new((
        Bound::Excluded(first),
        Bound::Excluded(last)
    ))));

    let (tracker, _) = crate::common::tracker();
    tracker.begin(NewProcess::new(&chain(1))).unwrap();
    let erased = tracker
        .erase_matching(&Query::new().created(last..))
        .unwrap();
    assert_eq!(erased.processes, 0);
}

#[test]
fn a_filter_hides_what_has_expired_at_its_time_only() {
    let slot = crate::common::Slot::of(crate::common::new(&chain(1)).expires_at(at(30)));
    let process = slot.process();
    assert!(Filter::new().matches(process));
    assert!(Filter::new().visible_at(at(29)).matches(process));
    assert!(!Filter::new().visible_at(at(30)).matches(process));
    assert!(
        !Filter::new()
            .visible_at(at(30))
            .matches_indexed(&process.into())
    );
    assert!(Filter::new().matches_indexed(&process.into()));
}

#[test]
fn an_index_tells_of_indexed_terms_what_the_process_would() {
    let mut slot =
        crate::common::Slot::of(crate::common::new(&chain(1)).symbolic_directory_path("/a/b"));
    slot.must(
        3,
        milepost_core::Change::update(Update::new().file_name("x.pdf")),
    );
    let process: &Process = slot.process();
    let range = |from: i64, before: i64| TimeRange::new(at(from)..at(before));
    let indexed = [
        (Term::Pipeline("pipeline".into()), true),
        (Term::Pipeline("other".into()), false),
        (
            Term::Status(vec![OverallStatus::Ongoing, OverallStatus::Failed]),
            true,
        ),
        (Term::Status(vec![]), false),
        (Term::FileId(process.file().id()), true),
        (Term::FileId(Uuid::nil().into()), false),
        (Term::Directory("/a/b".into()), true),
        (Term::UnderDirectory("/a".into()), true),
        (Term::UnderDirectory("/b".into()), false),
        (Term::Created(range(0, 1)), true),
        (Term::Created(range(1, 2)), false),
        (Term::Settled(range(0, 9)), false),
    ];
    for (term, holds) in indexed {
        let filter = Filter::new().with(term);
        assert!(filter.is_indexed());
        assert_eq!(filter.matches(process), holds, "{filter:?}");
        assert_eq!(
            filter.matches_indexed(&Indexed::from(process)),
            holds,
            "{filter:?}"
        );
    }
    let unindexed = [
        (Term::FileName("x.pdf".into()), true),
        (Term::FileNamePrefix("y".into()), false),
        (
            Term::Tag {
                name: "n".into(),
                value: "v".into(),
            },
            false,
        ),
        (Term::Updated(range(3, 4)), true),
        (Term::Updated(range(0, 3)), false),
    ];
    for (term, holds) in unindexed {
        let filter = Filter::new().with(term);
        assert!(!filter.is_indexed());
        assert_eq!(filter.matches(process), holds, "{filter:?}");
        assert!(
            filter.matches_indexed(&process.into()),
            "what an index cannot tell it lets pass"
        );
    }
}

#[test]
fn a_filter_names_each_status_that_it_lets_pass_once_in_the_order_of_their_codes() {
    use OverallStatus::{Cancelled, Complete, Failed, Ongoing};
    let any = |statuses: &[OverallStatus]| Term::Status(statuses.to_vec());
    assert_eq!(Filter::new().statuses(), OverallStatus::ALL);
    let tagged = Filter::new().with(Term::FileName("x.pdf".into()));
    assert_eq!(tagged.statuses(), [Ongoing, Complete, Failed, Cancelled]);
    let some = tagged.with(any(&[Failed, Ongoing, Failed]));
    assert_eq!(some.statuses(), [Ongoing, Failed]);
    assert_eq!(
        some.clone().with(any(&[Failed, Complete])).statuses(),
        [Failed]
    );
    assert_eq!(some.with(any(&[])).statuses(), []);
}

#[test]
fn lists_are_ordered_by_time_and_then_by_the_bytes_of_the_id() {
    let id = |bits| RequestId::from(Uuid::from_u128(bits));
    let place = |second, bits| Place {
        created_at: at(second),
        request_id: id(bits),
    };
    let ordered = [place(0, 1), place(0, 2), place(0, u128::MAX), place(1, 0)];
    assert!(ordered.is_sorted());
    assert!(ordered[1].is_behind(ordered[0], Order::OldestFirst));
    assert!(ordered[0].is_behind(ordered[1], Order::NewestFirst));
    assert!(!ordered[0].is_behind(ordered[0], Order::OldestFirst));

    let (tracker, _) = crate::common::tracker();
    for bits in [3, 1, 2] {
        tracker
            .begin(NewProcess::new(&chain(1)).request_id(id(bits)))
            .unwrap();
    }
    let ids = |query: Query| {
        let items = tracker.list(&query).unwrap().items;
        items
            .iter()
            .map(|process| process.request_id())
            .collect::<Vec<_>>()
    };
    assert_eq!(ids(Query::new().oldest_first()), [id(1), id(2), id(3)]);
    assert_eq!(ids(Query::new()), [id(3), id(2), id(1)]);
}

#[test]
fn a_page_holds_100_unless_given() {
    let (tracker, _) = crate::common::tracker();
    for _ in 0..101 {
        tracker.begin(NewProcess::new(&chain(1))).unwrap();
    }
    let page = tracker.list(&Query::new()).unwrap();
    assert_eq!((page.items.len(), page.next.is_some()), (100, true));
    let page = tracker.list(&Query::new().limit(101)).unwrap();
    assert_eq!((page.items.len(), page.next), (101, None));
}
