//! Terms on times, and the moment at which a list hides what has expired.

use std::ops::Bound::{Excluded, Included, Unbounded};

use chrono::{DateTime, Utc};
use milepost_core::{Change, Filter, NewProcess, OverallStatus, Term, TimeRange, Update};

use super::filters::{begin, takes, term};
use crate::fixture::{at, chain, failure, id, micros_after, op};
use crate::trial::Trial;

/// Holds a term on times against processes 0 to 4, of the moments 0 to 4 in `times`.
fn takes_ranges(trial: &Trial<'_>, times: [DateTime<Utc>; 5], term_of: fn(TimeRange) -> Term) {
    let ranges = [
        ((Included(times[1]), Excluded(times[3])), &[1, 2][..]),
        ((Included(times[1]), Included(times[3])), &[1, 2, 3]),
        ((Excluded(times[1]), Excluded(times[3])), &[2]),
        ((Excluded(times[1]), Included(times[3])), &[2, 3]),
        ((Included(times[2]), Unbounded), &[2, 3, 4]),
        ((Unbounded, Excluded(times[2])), &[0, 1]),
        ((Unbounded, Unbounded), &[0, 1, 2, 3, 4]),
        ((Included(times[2]), Included(times[2])), &[2]),
        ((Included(times[2]), Excluded(times[2])), &[]),
        ((Included(times[3]), Excluded(times[1])), &[]),
        ((Included(micros_after(times[4], 1)), Unbounded), &[]),
    ];
    for (range, numbers) in ranges {
        takes(trial, &term(term_of(TimeRange::new(range))), numbers);
    }
}

/// Five moments, of which three are as close as moments can be.
fn moments() -> [DateTime<Utc>; 5] {
    [
        at(0),
        micros_after(at(5), -1),
        at(5),
        micros_after(at(5), 1),
        at(9),
    ]
}

pub(crate) fn created_takes_a_range_of_times(trial: &Trial<'_>) {
    for (n, time) in (0..).zip(moments()) {
        trial.must(&trial.begin_at(NewProcess::new(&chain()).request_id(id(n)), time));
        trial.must(&op(id(n), 50, Change::start(1)));
    }
    takes_ranges(trial, moments(), Term::Created);
}

pub(crate) fn updated_takes_a_range_of_times(trial: &Trial<'_>) {
    for (n, time) in (0..).zip(moments()) {
        trial.must(&trial.begin_at(
            NewProcess::new(&chain()).request_id(id(n)),
            at(i64::from(n) - 60),
        ));
        let mut start = op(id(n), 0, Change::start(1));
        start.at = time;
        trial.must(&start);
    }
    takes_ranges(trial, moments(), Term::Updated);
}

pub(crate) fn settled_takes_a_range_of_times_and_nothing_ongoing(trial: &Trial<'_>) {
    for (n, time) in (0..).zip(moments()) {
        trial.must(&trial.begin_at(
            NewProcess::new(&chain()).request_id(id(n)),
            at(i64::from(n) - 60),
        ));
        let mut end = op(id(n), 0, Change::cancel(""));
        end.at = time;
        trial.must(&end);
    }
    begin(trial, 5, |new| new);
    takes_ranges(trial, moments(), Term::Settled);
    // Taken up again, it is not settled any more.
    trial.must(&op(id(4), 50, Change::rerun()));
    takes(
        trial,
        &term(Term::Settled(TimeRange::new(..))),
        &[0, 1, 2, 3],
    );
}

pub(crate) fn visible_at_hides_what_has_expired_by_then(trial: &Trial<'_>) {
    begin(trial, 0, |new| new);
    begin(trial, 1, |new| new.expires_at(at(100)));
    begin(trial, 2, |new| new.expires_at(micros_after(at(100), 1)));
    begin(trial, 3, |new| new.expires_at(at(200)));
    begin(trial, 4, |new| new.expires_at(at(300)));
    trial.must(&op(
        id(4),
        50,
        Change::update(Update::new().never_expires()),
    ));
    trial.must(&op(id(3), 50, Change::fail(1, failure())));
    takes(trial, &Filter::new(), &[0, 1, 2, 3, 4]);
    let visible = |time| Filter::new().visible_at(time);
    takes(trial, &visible(micros_after(at(100), -1)), &[0, 1, 2, 3, 4]);
    takes(trial, &visible(at(100)), &[0, 2, 3, 4]);
    takes(trial, &visible(micros_after(at(100), 1)), &[0, 3, 4]);
    takes(trial, &visible(at(10_000)), &[0, 4]);
    takes(trial, &visible(at(-1_000_000)), &[0, 1, 2, 3, 4]);
    let failed = term(Term::Status(vec![OverallStatus::Failed]));
    takes(trial, &failed.clone().visible_at(at(199)), &[3]);
    takes(trial, &failed.visible_at(at(200)), &[]);
    let prefix = term(Term::FileNamePrefix("generated".into()));
    takes(trial, &prefix.visible_at(at(150)), &[0, 3, 4]);
}
