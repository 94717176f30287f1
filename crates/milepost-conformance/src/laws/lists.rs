//! Lists: their order, and whole walks through them.

use std::collections::BTreeMap;

use milepost_core::{
    Change, Filter, Listing, NewProcess, Order, OverallStatus, Place, Process, RequestId, Term,
    Update, limits,
};
use uuid::Uuid;

use crate::fixture::{at, chain, failure, id, micros_after, op};
use crate::trial::{Trial, ids};

const ORDERS: [Order; 2] = [Order::NewestFirst, Order::OldestFirst];

/// Begins processes that share moments in all ways, and brings every third to an end.
fn crowd(trial: &Trial<'_>, count: u32) {
    let seconds = |n: u32| i64::from(n * 7 % 5);
    let ops = (0..count)
        .map(|n| trial.begin(&chain(), id(n), seconds(n)))
        .collect::<Vec<_>>();
    trial.send(&ops);
    let fail = (0..count)
        .step_by(3)
        .map(|n| op(id(n), 9, Change::fail(1, failure())));
    trial.send(&fail.collect::<Vec<_>>());
}

/// What must be listed, in this order.
fn expected(trial: &Trial<'_>, filter: &Filter, order: Order, count: u32) -> Vec<RequestId> {
    let mut places = (0..count)
        .filter_map(|n| trial.expected(id(n)))
        .filter(|process| filter.matches(process))
        .map(|process| (process.created_at(), process.request_id()))
        .collect::<Vec<_>>();
    places.sort_unstable();
    if order == Order::NewestFirst {
        places.reverse();
    }
    places.into_iter().map(|(_, id)| id).collect()
}

pub(crate) fn lists_go_by_the_time_of_creation(trial: &Trial<'_>) {
    // Begun in another order than they are created; the ids say nothing.
    let times = [
        micros_after(at(5), 1),
        at(-5),
        at(5),
        at(0),
        micros_after(at(5), -1),
    ];
    for (n, time) in (0..).zip(times) {
        trial.must(&trial.begin_at(NewProcess::new(&chain()).request_id(id(n)), time));
    }
    // Changes do not move them.
    trial.must(&op(id(1), 100, Change::start(1)));
    trial.must(&op(id(3), 200, Change::fail(1, failure())));
    let oldest_first = [1, 3, 4, 2, 0].map(id);
    let listed = ids(&trial.walk(&Filter::new(), Order::OldestFirst, limits::PAGE));
    assert_eq!(listed, oldest_first, "left is listed, oldest first");
    let mut listed = ids(&trial.walk(&Filter::new(), Order::NewestFirst, limits::PAGE));
    listed.reverse();
    assert_eq!(
        listed, oldest_first,
        "left is listed, newest first and turned about"
    );
}

pub(crate) fn what_began_at_once_is_listed_by_the_bytes_of_its_id(trial: &Trial<'_>) {
    // Signed, little-endian or textual comparisons order these otherwise.
    let numbers = [
        0,
        0x01,
        0x0100,
        0x80,
        0xff << 56,
        1 << 64,
        0x7f << 120,
        0x80 << 120,
        u128::MAX,
    ];
    let mut ids_by_bytes = numbers.map(|number| RequestId::from(Uuid::from_u128(number)));
    for id in ids_by_bytes.iter().rev() {
        trial.must(&trial.begin(&chain(), *id, 0));
    }
    ids_by_bytes.sort_by_key(|id| *Uuid::from(*id).as_bytes());
    let listed = ids(&trial.walk(&Filter::new(), Order::OldestFirst, 2));
    assert_eq!(listed, ids_by_bytes, "left is listed, oldest first");
    ids_by_bytes.reverse();
    let listed = ids(&trial.walk(&Filter::new(), Order::NewestFirst, 2));
    assert_eq!(listed, ids_by_bytes, "left is listed, newest first");
}

pub(crate) fn a_walk_in_pages_of_any_size_shows_everything_once(trial: &Trial<'_>) {
    const COUNT: u32 = 23;
    crowd(trial, COUNT);
    let failed = Filter::new().with(Term::Status(vec![OverallStatus::Failed]));
    let prefix = Filter::new().with(Term::FileNamePrefix("inv".into()));
    for filter in [Filter::new(), failed, prefix] {
        for order in ORDERS {
            let all = expected(trial, &filter, order, COUNT);
            for limit in (1..=all.len() + 2).chain([limits::PAGE]) {
                let walked = ids(&trial.walk(&filter, order, limit));
                assert_eq!(
                    walked, all,
                    "left is walked in pages of {limit}, {order:?}, {filter:?}"
                );
            }
        }
    }
}

pub(crate) fn a_list_goes_on_behind_any_place(trial: &Trial<'_>) {
    const COUNT: u32 = 12;
    crowd(trial, COUNT);
    let place = |seconds, id| Place {
        created_at: at(seconds),
        request_id: id,
    };
    let mut places = (0..COUNT)
        .filter_map(|n| trial.expected(id(n)))
        .map(|process| Place::of(&process))
        .collect::<Vec<_>>();
    // Places of nobody, before, between and behind all others.
    let (least, most) = (Uuid::nil().into(), Uuid::max().into());
    places.extend([
        place(-9, most),
        place(2, least),
        place(2, id(500)),
        place(2, most),
        place(99, least),
    ]);
    for order in ORDERS {
        let all = expected(trial, &Filter::new(), order, COUNT);
        for after in &places {
            let listing = Listing {
                filter: Filter::new(),
                order,
                after: Some(*after),
                limit: limits::PAGE,
            };
            let mut shown = Vec::new();
            trial.page(&listing, &mut shown);
            let behind = all.iter().copied().filter(|id| {
                let process = trial.expected(*id).expect("all are there");
                Place::of(&process).is_behind(*after, order)
            });
            assert_eq!(
                ids(&shown),
                behind.collect::<Vec<_>>(),
                "left is listed behind {after:?}"
            );
        }
    }
}

pub(crate) fn others_do_not_disturb_a_walk(trial: &Trial<'_>) {
    const COUNT: u32 = 24;
    let filter = Filter::new().with(Term::Pipeline("invoice-ocr".into()));
    for (round, order) in (0..).zip(ORDERS) {
        let base = 1000 * round;
        let begun = (0..COUNT).map(|n| trial.begin(&chain(), id(base + n), i64::from(n % 6)));
        trial.send(&begun.collect::<Vec<_>>());
        let mut seen = BTreeMap::new();
        let mut listing = Listing {
            filter: filter.clone(),
            order,
            after: None,
            limit: 4,
        };
        for turn in 0.. {
            let mut shown = Vec::new();
            listing.after = trial.page(&listing, &mut shown);
            for process in &shown {
                *seen.entry(process.request_id()).or_insert(0) += 1;
            }
            if listing.after.is_none() {
                break;
            }
            meddle(trial, base, turn, &shown);
        }
        // Every second one of the crowd is left alone throughout.
        let missed = (0..COUNT)
            .step_by(2)
            .filter(|n| !seen.contains_key(&id(base + n)));
        assert_eq!(
            missed.collect::<Vec<_>>(),
            [0; 0],
            "the walk missed these, {order:?}"
        );
        let twice = seen.values().filter(|times| **times > 1).count();
        assert_eq!(twice, 0, "so many were shown more than once, {order:?}");
        let all = (0..COUNT)
            .chain(500..600)
            .map(|n| op(id(base + n), 9, Change::erase()));
        trial.send(&all.collect::<Vec<_>>());
    }
}

/// Begins, erases and changes processes before and behind where a walk stands.
fn meddle(trial: &Trial<'_>, base: u32, turn: u32, shown: &[std::sync::Arc<Process>]) {
    let odd = |n: u32| id(base + 2 * n + 1);
    let early = trial.begin(&chain(), id(base + 500 + 2 * turn), -1);
    let late = trial.begin(&chain(), id(base + 501 + 2 * turn), i64::from(turn % 7));
    let mut ops = vec![early, late];
    ops.push(op(odd(turn), 8, Change::erase()));
    ops.push(op(odd(11 - turn.min(11)), 8, Change::erase()));
    for process in shown {
        ops.push(op(process.request_id(), 10, Change::start(1)));
        let update = Update::new().file_name(&format!("{turn}.pdf"));
        ops.push(op(process.request_id(), 11, Change::update(update)));
    }
    trial.send(&ops);
}

pub(crate) fn what_is_listed_is_what_is_read(trial: &Trial<'_>) {
    crowd(trial, 6);
    trial.send(&[
        op(id(1), 9, Change::start(1)),
        op(id(1), 10, Change::retry(1, failure())),
        op(
            id(2),
            9,
            Change::update(Update::new().tags([("author", "melville")])),
        ),
    ]);
    for order in ORDERS {
        for listed in trial.walk(&Filter::new(), order, 2) {
            let read = trial.stored(listed.request_id());
            assert_eq!(listed, read, "left is listed, right is read");
        }
    }
}

pub(crate) fn nothing_is_listed_of_an_empty_store(trial: &Trial<'_>) {
    trial.must_list_as_expected(&Filter::new());
    trial.must_list_as_expected(&Filter::new().with(Term::FileName("invoice.pdf".into())));
    trial.must_list_as_expected(&Filter::new().visible_at(at(0)));
}
