//! Expiry, purge and erasure: how processes cease to be.

use chrono::{DateTime, Utc};
use milepost_core::{
    Change, Filter, NewProcess, Op, Order, OverallStatus, Pipeline, Progress, Rejection, Term,
    TimeRange, Update, limits,
};

use crate::fixture::{at, chain, failure, file, id, micros_after, module_guard, op, side_by_side};
use crate::trial::{Trial, ok};

/// Begins a process at noon that expires so many seconds later.
fn begin_expiring(trial: &Trial<'_>, n: u32, seconds: i64) {
    let new = NewProcess::new(&chain()).request_id(id(n)).file_id(file(n));
    trial.must(&trial.begin_at(new.expires_at(at(seconds)), at(0)));
}

fn op_at(n: u32, time: DateTime<Utc>, change: Change) -> Op {
    let mut op = op(id(n), 0, change);
    op.at = time;
    op
}

/// Purges, and sees that exactly what had expired is gone.
#[track_caller]
fn purge(trial: &Trial<'_>, time: DateTime<Utc>) -> usize {
    let purged = ok("purge", trial.store().purge(time, limits::PURGE));
    let expected = trial.expect_purged(time);
    assert_eq!(
        purged, expected,
        "left is purged, right had expired by {time}"
    );
    trial.reopen();
    trial.must_hold_exactly_what_is_expected();
    purged
}

pub(crate) fn reads_answer_what_is_stored_expired_or_not(trial: &Trial<'_>) {
    begin_expiring(trial, 1, 100);
    trial.must(&op(id(1), 1, Change::start(1)));
    // Whatever came later to others, and whatever the store's own clock says.
    trial.must(&trial.begin(&chain(), id(2), 1_000_000_000));
    let begin = trial.begin_at(
        NewProcess::new(&chain())
            .request_id(id(3))
            .expires_at("0002-01-01T00:00:00Z".parse().expect("a time")),
        "0001-01-01T00:00:00Z".parse().expect("a time"),
    );
    trial.must(&begin);
    for n in [1, 3] {
        let stored = trial.stored(id(n));
        let many = ok("read_many", trial.store().read_many(&[id(n)]));
        assert_eq!(
            many,
            [Some(stored.clone())],
            "left is what read_many answers"
        );
        let versions = ok("versions", trial.store().versions(&[id(n)]));
        assert_eq!(
            versions,
            [Some(stored.version())],
            "left is what versions answers"
        );
    }
    trial.must_hold_exactly_what_is_expected();
}

pub(crate) fn a_process_is_absent_from_the_moment_it_expires(trial: &Trial<'_>) {
    let (before, expiry) = (micros_after(at(100), -1), at(100));
    let changes = [
        Change::start(1),
        Change::progress(1, Progress::of(1, 2)),
        Change::complete(1),
        Change::fail(1, failure()),
        Change::skip(1, "not needed"),
        Change::cancel("called off"),
        Change::update(Update::new().never_expires()),
    ];
    for (n, change) in (1..).zip(changes) {
        begin_expiring(trial, n, 100);
        let stored = trial.stored(id(n));
        for time in [expiry, micros_after(expiry, 1), at(10_000)] {
            let late = op_at(n, time, change.clone());
            assert_eq!(
                trial.one(&late),
                Err(Rejection::NotFound),
                "left is the verdict on {late:?}"
            );
            let late = late.guarded(milepost_core::Guard::new().born(stored.version().born));
            assert_eq!(
                trial.one(&late),
                Err(Rejection::NotFound),
                "left is the verdict on {late:?}"
            );
            assert_eq!(
                trial.stored(id(n)),
                stored,
                "left is stored after it, right before it"
            );
        }
        // Its own time judges an op, not the time at which it comes.
        assert!(trial.must(&op_at(n, before, change)).changed);
    }
}

pub(crate) fn an_expired_process_is_begun_anew(trial: &Trial<'_>) {
    for (n, time) in (1..).zip([at(100), micros_after(at(100), 1), at(10_000)]) {
        begin_expiring(trial, n, 100);
        trial.must(&op(id(n), 1, Change::complete(1)));
        let old = trial.stored(id(n));
        // Another pipeline and file: of one that is absent nothing is left to conflict with.
        let new = NewProcess::new(&side_by_side()).request_id(id(n));
        let applied = trial.must(&trial.begin_at(new, time));
        assert_eq!((applied.changed, applied.revision), (true, 1));
        let anew = trial.stored(id(n));
        assert_eq!(
            (anew.pipeline(), anew.created_at(), anew.expires_at()),
            ("thumbnails", time, None)
        );
        assert_ne!(anew.version().born, old.version().born);
        let late = op(id(n), 2, Change::start(2)).guarded(module_guard(&old, 2));
        assert_eq!(
            trial.one(&late),
            Err(Rejection::NotFound),
            "it was meant for the one before"
        );
    }
    trial.must_hold_exactly_what_is_expected();
    trial.must_list_as_expected(&Filter::new().with(Term::Pipeline("invoice-ocr".into())));
    // A moment earlier it is the same one.
    begin_expiring(trial, 9, 100);
    let new = NewProcess::new(&chain()).request_id(id(9));
    let applied = trial.must(&trial.begin_at(new, micros_after(at(100), -1)));
    assert!(!applied.changed, "it has not expired yet");
}

pub(crate) fn an_expired_process_is_erased_by_an_erasure(trial: &Trial<'_>) {
    for (n, time) in (1..).zip([at(50), at(100), at(10_000)]) {
        begin_expiring(trial, n, 100);
        let erased = trial.must(&op_at(n, time, Change::erase()));
        assert!(erased.changed, "it was stored until then");
        assert_eq!(trial.read(id(n)), None);
    }
    trial.must_hold_exactly_what_is_expected();
}

pub(crate) fn an_extension_before_the_expiry_wins(trial: &Trial<'_>) {
    begin_expiring(trial, 1, 100);
    // An op that happened after the expiry finds nothing; the extension comes last, but happened before it.
    assert_eq!(
        trial.one(&op(id(1), 150, Change::start(1))),
        Err(Rejection::NotFound)
    );
    let extend = Change::update(Update::new().expires_at(at(500)));
    assert!(trial.must(&op(id(1), 99, extend)).changed);
    trial.must(&op(id(1), 150, Change::start(1)));
    assert_eq!(purge(trial, at(499)), 0);
    trial.must_list_as_expected(&Filter::new().visible_at(at(499)));
    assert_eq!(trial.stored(id(1)).expires_at(), Some(at(500)));
    assert_eq!(purge(trial, at(500)), 1);
}

pub(crate) fn purge_takes_what_has_expired_and_nothing_else(trial: &Trial<'_>) {
    for (n, seconds) in (1..).zip([100, 101, 200, 300]) {
        begin_expiring(trial, n, seconds);
    }
    trial.must(&trial.begin(&chain(), id(5), 0));
    trial.must(&op(id(3), 1, Change::fail(1, failure())));
    assert_eq!(purge(trial, micros_after(at(100), -1)), 0);
    assert_eq!(purge(trial, at(100)), 1);
    assert_eq!(purge(trial, at(100)), 0);
    assert_eq!(purge(trial, at(250)), 2);
    assert_eq!(purge(trial, at(-250)), 0);
    assert_eq!(purge(trial, at(100_000_000)), 1);
    assert!(trial.read(id(5)).is_some(), "it never expires");
}

pub(crate) fn purge_takes_at_most_its_limit(trial: &Trial<'_>) {
    for n in 0..20 {
        begin_expiring(trial, n, 100 + i64::from(n % 3));
    }
    for n in 20..23 {
        begin_expiring(trial, n, 5_000);
    }
    let left = || ok("count", trial.store().count(&Filter::new())).total();
    assert_eq!(
        ok("purge", trial.store().purge(at(1000), 0)),
        0,
        "a purge of none"
    );
    assert_eq!(left(), 23);
    for (limit, taken, remain) in [(1, 1, 22), (7, 7, 15), (9, 9, 6), (9, 3, 3), (9, 0, 3)] {
        let purged = ok("purge", trial.store().purge(at(1000), limit));
        assert_eq!(purged, taken, "left is purged with a limit of {limit}");
        assert_eq!(
            left(),
            remain,
            "left is still counted, after {purged} were purged"
        );
    }
    trial.expect_purged(at(1000));
    trial.must_hold_exactly_what_is_expected();
}

pub(crate) fn purge_leaves_what_was_extended_or_begun_anew(trial: &Trial<'_>) {
    for n in 1..=5 {
        begin_expiring(trial, n, 100);
    }
    trial.send(&[
        op(id(1), 50, Change::update(Update::new().expires_at(at(101)))),
        op(id(2), 50, Change::update(Update::new().never_expires())),
        op(id(4), 50, Change::update(Update::new().expires_at(at(60)))),
    ]);
    let anew = NewProcess::new(&chain())
        .request_id(id(3))
        .expires_at(at(900));
    trial.must(&trial.begin_at(anew, at(100)));
    assert_eq!(purge(trial, at(60)), 1);
    assert_eq!(purge(trial, at(100)), 1);
    assert_eq!(purge(trial, at(101)), 1);
    assert_eq!(purge(trial, at(899)), 0);
    assert_eq!(purge(trial, at(900)), 1);
    assert!(trial.read(id(2)).is_some(), "it was made to never expire");
}

pub(crate) fn what_is_purged_is_nowhere(trial: &Trial<'_>) {
    begin_expiring(trial, 1, 100);
    begin_expiring(trial, 2, 200);
    trial.must(&op(id(1), 1, Change::start(1)));
    let old = trial.stored(id(1));
    purge(trial, at(100));
    is_nowhere(trial, 1);
    // Late, though it happened before the expiry: nothing is there for it.
    let late = op(id(1), 2, Change::complete(1));
    assert_eq!(trial.one(&late), Err(Rejection::NotFound));
    assert_eq!(
        trial.one(&late.guarded(module_guard(&old, 1))),
        Err(Rejection::NotFound)
    );
    trial.must(&trial.begin(&chain(), id(1), 3));
    trial.must_hold_exactly_what_is_expected();
}

/// Sees that process `n`, of file `n`, is in no read, version, list or count.
#[track_caller]
fn is_nowhere(trial: &Trial<'_>, n: u32) {
    let store = trial.store();
    assert_eq!(trial.read(id(n)), None, "it is still read");
    assert_eq!(
        ok("read_many", store.read_many(&[id(n), id(n)])),
        [None, None],
        "still read"
    );
    assert_eq!(
        ok("versions", store.versions(&[id(n)])),
        [None],
        "it still has a version"
    );
    let filters = [
        Filter::new(),
        Filter::new().with(Term::FileId(file(n))),
        Filter::new().with(Term::Pipeline("invoice-ocr".into())),
        Filter::new().with(Term::FileNamePrefix(String::new())),
        Filter::new().with(Term::UnderDirectory("/etc".into())),
        Filter::new().with(Term::Created(TimeRange::new(at(-10)..))),
        Filter::new().with(Term::Updated(TimeRange::new(at(-10)..))),
        Filter::new().with(Term::Settled(TimeRange::new(..))),
        Filter::new().with(Term::Status(OverallStatus::ALL.to_vec())),
    ];
    for filter in filters {
        trial.must_list_as_expected(&filter);
        let listed = trial.walk(&filter, Order::NewestFirst, 10);
        let shown = listed.iter().any(|process| process.request_id() == id(n));
        assert!(!shown, "it is still listed under {filter:?}");
    }
}

pub(crate) fn what_is_erased_is_nowhere(trial: &Trial<'_>) {
    let changes = [
        Change::start(1),
        Change::cancel(""),
        Change::fail(1, failure()),
    ];
    for (n, change) in (1..).zip(changes) {
        begin_expiring(trial, n, 1000);
        trial.must(&op(id(n), 1, change));
    }
    for n in 1..=3 {
        trial.must(&op(id(n), 2, Change::erase()));
        is_nowhere(trial, n);
    }
    assert_eq!(
        purge(trial, at(5000)),
        0,
        "nothing is left that could expire"
    );
    // Gone at once, also before the store is opened again.
    let store = trial.store();
    let batch = [
        trial.begin(&chain(), id(4), 0),
        op(id(4), 1, Change::erase()),
    ];
    ok("write", store.write(&batch));
    assert_eq!(ok("read", store.read(id(4))), None);
    assert_eq!(
        ok("count", store.count(&Filter::new())).total(),
        0,
        "counted after all was erased"
    );
}

pub(crate) fn what_is_erased_is_on_no_later_page(trial: &Trial<'_>) {
    let one = Pipeline::new("one", ["module"]).expect("the names are fine");
    let begins = (0..9)
        .map(|n| trial.begin(&one, id(n), i64::from(n)))
        .collect::<Vec<_>>();
    trial.send(&begins);
    let mut listing = milepost_core::Listing {
        filter: Filter::new(),
        order: Order::OldestFirst,
        after: None,
        limit: 3,
    };
    let mut shown = Vec::new();
    listing.after = trial.page(&listing, &mut shown);
    trial.send(&[4, 5, 7].map(|n| op(id(n), 20, Change::erase())));
    while listing.after.is_some() {
        listing.after = trial.page(&listing, &mut shown);
    }
    let expected = [0, 1, 2, 3, 6, 8].map(id);
    assert_eq!(
        crate::trial::ids(&shown),
        expected,
        "left was shown while 4, 5 and 7 were erased"
    );
}
