//! No clock: all that is stored or decided arrived in an argument.

use milepost_core::{Change, Filter, NewProcess, Progress, Term, TimeRange, Update};

use crate::fixture::{at, chain, failure, id, op, time};
use crate::trial::Trial;

/// The ends of the range, and decades on either side of any clock.
const TIMES: [&str; 6] = [
    "0001-01-01T00:00:00Z",
    "1969-12-31T23:59:59.999999Z",
    "1970-01-01T00:00:00Z",
    "2038-01-19T03:14:08.000001Z",
    "2262-04-11T23:47:16.854776Z",
    "9999-12-31T23:59:59.999999Z",
];

pub(crate) fn times_decades_off_are_kept_as_given(trial: &Trial<'_>) {
    for (n, text) in (0..).zip(TIMES) {
        trial.must(&trial.begin_at(NewProcess::new(&chain()).request_id(id(n)), time(text)));
        let mut start = op(id(n), 0, Change::progress(1, Progress::of(1, 2)));
        start.at = time(text);
        trial.must(&start);
        let stored = trial.stored(id(n));
        let kept = [stored.created_at(), stored.updated_at()];
        assert_eq!(kept, [time(text); 2], "left is stored");
        assert_eq!(stored.modules()[0].state().started(), Some(time(text)));
        assert_eq!(stored.modules()[0].progress_at(), Some(time(text)));
    }
    trial.must_hold_exactly_what_is_expected();
    for text in TIMES {
        let from = Term::Created(TimeRange::new(time(text)..));
        trial.must_list_as_expected(&Filter::new().with(from));
        let until = Term::Updated(TimeRange::new(..=time(text)));
        trial.must_list_as_expected(&Filter::new().with(until));
        trial.must_list_as_expected(&Filter::new().visible_at(time(text)));
    }
}

pub(crate) fn times_finer_than_a_microsecond_are_cut(trial: &Trial<'_>) {
    let mut start = op(id(1), 0, Change::start(1));
    start.at = time("2026-05-18T12:00:01.123456789Z");
    trial.must(&trial.begin(&chain(), id(1), 0));
    trial.must(&start);
    let stored = trial.stored(id(1));
    assert_eq!(stored.updated_at(), time("2026-05-18T12:00:01.123456Z"));
    assert_eq!(
        stored.modules()[0].state().started(),
        Some(time("2026-05-18T12:00:01.123456Z"))
    );
}

pub(crate) fn a_clock_that_runs_backwards_disturbs_nothing(trial: &Trial<'_>) {
    trial.must(&trial.begin(&chain(), id(1), 0));
    let far = 10 * 365 * 86_400;
    let changes = [
        (far, Change::start(1)),
        (-far, Change::complete(1)),
        (5, Change::start(2)),
        (-far, Change::retry(2, failure())),
        (1, Change::fail(2, failure())),
    ];
    for (seconds, change) in changes {
        let before = trial.stored(id(1));
        let applied = trial.must(&op(id(1), seconds, change));
        let after = trial.stored(id(1));
        assert_eq!(
            applied.revision,
            before.revision() + 1,
            "the order is the revision"
        );
        assert!(
            after.updated_at() >= before.updated_at(),
            "updated_at went back"
        );
    }
    let stored = trial.stored(id(1));
    let state = stored.modules()[0].state();
    assert_eq!(
        (state.started(), state.ended()),
        (Some(at(far)), Some(at(-far))),
        "as reported"
    );
    assert_eq!(
        (stored.updated_at(), stored.settled_at()),
        (at(far), Some(at(1)))
    );
}

pub(crate) fn expiry_at_the_ends_of_the_range_is_neither_early_nor_late(trial: &Trial<'_>) {
    let (first, last) = (time(TIMES[0]), time(TIMES[5]));
    let new = |n| NewProcess::new(&chain()).request_id(id(n));
    trial.must(&trial.begin_at(new(1).expires_at(last), at(0)));
    trial.must(&trial.begin_at(new(2), at(0)));
    trial.must(&op(
        id(2),
        1,
        Change::update(Update::new().expires_at(first)),
    ));
    let mut late = op(id(1), 0, Change::start(1));
    late.at = time("9999-12-31T23:59:59.999998Z");
    assert!(
        trial.must(&late).changed,
        "it has not expired a moment before its expiry"
    );
    late.at = last;
    assert!(trial.one(&late).is_err(), "it has expired at its expiry");
    for moment in [first, at(0), last] {
        trial.must_list_as_expected(&Filter::new().visible_at(moment));
    }
    let purged = trial.store().purge(first, 10).ok();
    assert_eq!(
        (purged, trial.expect_purged(first)),
        (Some(1), 1),
        "the expiry in year 1"
    );
    let purged = trial.store().purge(last, 10).ok();
    assert_eq!(
        (purged, trial.expect_purged(last)),
        (Some(1), 1),
        "the expiry in year 9999"
    );
    trial.must_hold_exactly_what_is_expected();
}
