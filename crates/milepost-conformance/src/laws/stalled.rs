//! What is listed and counted as stalled.

use milepost_core::{
    Change, Counts, Filter, Listing, NewProcess, Order, OverallStatus, ReapPolicy, Term, TimeRange,
    Update, limits,
};

use super::filters::{takes, term};
use crate::fixture::{
    at, chain, claim, failure, file, id, lease_guard, micros_after, op, renew, side_by_side,
};
use crate::trial::{Trial, ids, ok};

/// What has stalled by that second.
fn stalled(seconds: i64) -> Filter {
    term(Term::Stalled { by: at(seconds) })
}

fn count(trial: &Trial<'_>, filter: &Filter) -> Counts {
    ok("count", trial.store().count(filter))
}

/// Sees that these have stalled by that second, in lists and in every figure.
#[track_caller]
fn have_stalled(trial: &Trial<'_>, seconds: i64, numbers: &[u32]) {
    takes(trial, &stalled(seconds), numbers);
    takes(trial, &stalled(seconds).visible_at(at(seconds)), numbers);
    let figures = numbers.len() as u64;
    let all = Filter::new().visible_at(at(seconds));
    for filter in [all, stalled(seconds).visible_at(at(seconds))] {
        let counted = count(trial, &filter);
        assert_eq!(
            counted.stalled, figures,
            "left is counted as stalled: {filter:?}"
        );
        assert!(
            counted.stalled <= counted.ongoing,
            "they are among the ongoing"
        );
    }
}

/// Begins process `n` at second `n`, and claims it until that second as token 2.
fn begin_until(trial: &Trial<'_>, n: u32, until: i64) {
    let new = NewProcess::new(&chain())
        .request_id(id(n))
        .file_id(file(n % 2));
    trial.must(&trial.begin_at(new, at(n.into())));
    let ttl = u64::try_from(until - 10).expect("it is claimed before");
    trial.must(&claim(id(n), 10, "anna", ttl, 1));
}

pub(crate) fn what_has_stalled_is_listed_and_counted(trial: &Trial<'_>) {
    for (n, until) in (0..).zip([70, 60, 70, 90, 5_000]) {
        begin_until(trial, n, until);
    }
    // Never claimed: nobody has gone silent.
    trial.must(&trial.begin(&chain(), id(5), 5));
    have_stalled(trial, -500, &[]);
    have_stalled(trial, 59, &[]);
    have_stalled(trial, 60, &[1]);
    have_stalled(trial, 70, &[0, 1, 2]);
    have_stalled(trial, 90, &[0, 1, 2, 3]);
    have_stalled(trial, 100_000_000, &[0, 1, 2, 3, 4]);
    // To the microsecond.
    let just_before = micros_after(at(70), -1);
    let filter = term(Term::Stalled { by: just_before });
    takes(trial, &filter, &[1]);
    let counted = count(trial, &Filter::new().visible_at(just_before));
    assert_eq!((counted.stalled, counted.ongoing), (1, 6));
    // Whatever is asked, the figures are of when it is asked.
    let counted = count(trial, &stalled(90).visible_at(at(60)));
    assert_eq!((counted.stalled, counted.ongoing), (1, 4));
    let counted = count(trial, &stalled(60).visible_at(at(90)));
    assert_eq!((counted.stalled, counted.ongoing), (1, 1));
}

pub(crate) fn without_a_time_nothing_is_counted_as_stalled(trial: &Trial<'_>) {
    for n in 0..3 {
        begin_until(trial, n, 60);
    }
    for filter in [
        Filter::new(),
        stalled(500),
        stalled(500).with(Term::Pipeline("invoice-ocr".into())),
    ] {
        let counted = count(trial, &filter);
        assert_eq!(
            (counted.stalled, counted.ongoing),
            (0, 3),
            "left is counted: {filter:?}"
        );
        let counted = count(trial, &filter.visible_at(at(500)));
        assert_eq!((counted.stalled, counted.ongoing), (3, 3));
    }
}

pub(crate) fn what_goes_on_is_stalled_no_more(trial: &Trial<'_>) {
    for n in 0..8 {
        begin_until(trial, n, 70);
    }
    have_stalled(trial, 200, &[0, 1, 2, 3, 4, 5, 6, 7]);
    let guard = |n| lease_guard(&trial.stored(id(n)));
    let ops = [
        renew(id(0), 60, 90).guarded(guard(0)),
        op(id(1), 60, Change::release()).guarded(guard(1)),
        op(id(2), 60, Change::fail(1, failure())),
        op(id(3), 60, Change::cancel("")),
        op(id(4), 70, Change::reap(2, ReapPolicy::retry(2))),
        op(id(5), 60, Change::erase()),
        claim(id(6), 70, "bert", 100, 2),
    ];
    for op in &ops {
        assert!(trial.must(op).changed, "no change came of {op:?}");
    }
    have_stalled(trial, 149, &[7]);
    have_stalled(trial, 150, &[0, 7]);
    have_stalled(trial, 170, &[0, 6, 7]);
    // Completed under the lease; progress and wishes take nothing out.
    for module in 1..=3 {
        trial.must(&op(id(0), 80, Change::complete(module)));
    }
    trial.must(&op(id(7), 60, Change::start(1)));
    trial.must(&op(id(7), 61, Change::request_cancel("called off")));
    have_stalled(trial, 170, &[6, 7]);
    // What is taken up again stalls only once it is claimed.
    trial.must(&op(id(2), 80, Change::rerun()));
    have_stalled(trial, 170, &[6, 7]);
    trial.must(&claim(id(2), 90, "carl", 10, 3));
    have_stalled(trial, 170, &[2, 6, 7]);
    have_stalled(trial, 99, &[7]);
}

pub(crate) fn stalled_goes_with_every_other_term(trial: &Trial<'_>) {
    for n in 0..24 {
        let pipeline = if n & 1 == 0 { chain() } else { side_by_side() };
        let new = NewProcess::new(&pipeline)
            .request_id(id(n))
            .file_id(file(n & 2));
        let new = new.file_name(if n & 4 == 0 { "a.pdf" } else { "b.pdf" });
        trial.must(&trial.begin_at(new.tag("n", "any"), at(n.into())));
        match n % 3 {
            0 => drop(trial.must(&claim(id(n), 30, "anna", 10 + u64::from(n), 1))),
            1 => drop(trial.must(&claim(id(n), 30, "anna", 900, 1))),
            _ => {}
        }
        if n % 12 == 9 {
            trial.must(&op(id(n), 35, Change::fail(1, failure())));
        }
    }
    let terms = [
        Term::Pipeline("invoice-ocr".into()),
        Term::FileId(file(2)),
        Term::FileName("a.pdf".into()),
        Term::Status(vec![OverallStatus::Ongoing, OverallStatus::Failed]),
        Term::Created(TimeRange::new(at(3)..at(20))),
        Term::Tag {
            name: "n".into(),
            value: "any".into(),
        },
    ];
    // All subsets, as numbers in binary.
    for subset in 0..1_u32 << terms.len() {
        let mut filter = stalled(53);
        for (bit, term) in terms.iter().enumerate() {
            if subset >> bit & 1 == 1 {
                filter = filter.with(term.clone());
            }
        }
        let asked = [at(45), at(53), at(5_000)];
        trial.must_list_as_expected(&filter.clone().visible_at(asked[(subset % 3) as usize]));
        trial.must_list_as_expected(&filter);
    }
    have_stalled(trial, 53, &[0, 3, 6, 12]);
    let mut all = terms.iter().cloned().fold(stalled(53), Filter::with);
    takes(trial, &all, &[]);
    // Without that of the name.
    all.terms.remove(3);
    takes(trial, &all, &[6]);
    for status in [OverallStatus::Failed, OverallStatus::Complete] {
        takes(trial, &stalled(5_000).with(Term::Status(vec![status])), &[]);
    }
    let settled = Term::Settled(TimeRange::new(..));
    takes(trial, &stalled(5_000).with(settled), &[]);
    // Both terms must hold: the earlier one decides.
    takes(trial, &stalled(40).with(Term::Stalled { by: at(53) }), &[0]);
}

pub(crate) fn what_has_expired_is_not_stalled(trial: &Trial<'_>) {
    for (n, expiry) in (0..).zip([100, 200, 70]) {
        let new = NewProcess::new(&chain()).request_id(id(n));
        trial.must(&trial.begin_at(new.expires_at(at(expiry)), at(n.into())));
        trial.must(&claim(id(n), 10, "anna", 60, 1));
    }
    begin_until(trial, 3, 70);
    for (seconds, visible) in [
        (69, &[][..]),
        (70, &[0, 1, 3]),
        (100, &[1, 3]),
        (199, &[1, 3]),
        (200, &[3]),
    ] {
        let filter = stalled(seconds).visible_at(at(seconds));
        takes(trial, &filter, visible);
        let counted = count(trial, &Filter::new().visible_at(at(seconds)));
        assert_eq!(
            counted.stalled,
            visible.len() as u64,
            "left is counted as stalled"
        );
    }
    // Who asks for no time is shown what is stored.
    takes(trial, &stalled(500), &[0, 1, 2, 3]);
    let never = Change::update(Update::new().never_expires());
    trial.must(&op(id(0), 99, never));
    takes(trial, &stalled(500).visible_at(at(500)), &[0, 3]);
}

pub(crate) fn a_walk_over_the_stalled_shows_each_once(trial: &Trial<'_>) {
    const COUNT: u32 = 24;
    for n in 0..COUNT {
        trial.must(&trial.begin(&chain(), id(n), i64::from(n * 7 % 5)));
        let ttl = if n % 2 == 0 { 10 } else { 900 };
        if n % 3 != 0 {
            trial.must(&claim(id(n), 10, "anna", ttl, 1));
        }
    }
    let filter = stalled(100).visible_at(at(100));
    let mut all = (0..COUNT)
        .filter(|n| n % 2 == 0 && n % 3 != 0)
        .collect::<Vec<_>>();
    all.sort_by_key(|n| (n * 7 % 5, *uuid::Uuid::from(id(*n)).as_bytes()));
    for order in [Order::OldestFirst, Order::NewestFirst] {
        let expected = all.iter().map(|n| id(*n)).collect::<Vec<_>>();
        for limit in [1, 2, 3, 7, 8, 9, limits::PAGE] {
            let walked = ids(&trial.walk(&filter, order, limit));
            assert_eq!(
                walked, expected,
                "left is walked in pages of {limit}, {order:?}"
            );
        }
        all.reverse();
    }
    reap_page_by_page(trial, &filter, &all);
}

/// Reaps what each page shows before the next is asked for: nothing is missed, nothing shown twice.
fn reap_page_by_page(trial: &Trial<'_>, filter: &Filter, all: &[u32]) {
    let mut listing = Listing {
        filter: filter.clone(),
        order: Order::OldestFirst,
        after: None,
        limit: 3,
    };
    let mut shown = Vec::new();
    loop {
        let mut page = Vec::new();
        listing.after = trial.page(&listing, &mut page);
        for process in &page {
            let reap = Change::reap(2, ReapPolicy::retry(2));
            trial.must(&op(process.request_id(), 100, reap));
        }
        shown.extend(ids(&page));
        if listing.after.is_none() {
            break;
        }
    }
    let expected = all.iter().map(|n| id(*n)).collect::<Vec<_>>();
    assert_eq!(shown, expected, "left was shown while it was reaped");
    takes(trial, filter, &[]);
}
