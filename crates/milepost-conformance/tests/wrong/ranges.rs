//! Faults in ranges of times, and in what lists hide.

use chrono::TimeDelta;
use milepost_conformance::Subject;
use milepost_core::{Filter, StatusStore, Term, TimeRange};

use crate::Case;
use crate::filters::{filtered, judges};
use crate::store::Wrong;

/// Alters the range of a term on times.
fn ranges(alter: fn(TimeRange) -> TimeRange) -> Subject {
    Subject::new(move || {
        let altered = move |filter: &Filter| {
            let mut filter = filter.clone();
            for term in &mut filter.terms {
                if let Term::Created(range) | Term::Updated(range) | Term::Settled(range) = term {
                    *range = alter(*range);
                }
            }
            filter
        };
        Wrong::new()
            .count(move |honest, filter| honest.count(&altered(filter)))
            .list(move |honest, listing| {
                honest.list(&milepost_core::Listing {
                    filter: altered(&listing.filter),
                    ..listing.clone()
                })
            })
    })
}

fn includes_the_end() -> Subject {
    ranges(|mut range| {
        range.before = range
            .before
            .map(|before| before + TimeDelta::microseconds(1));
        range
    })
}

fn excludes_the_start() -> Subject {
    ranges(|mut range| {
        range.from = range.from.map(|from| from + TimeDelta::microseconds(1));
        range
    })
}

fn knows_milliseconds() -> Subject {
    ranges(|mut range| {
        let cut = |time: chrono::DateTime<chrono::Utc>| {
            chrono::DateTime::from_timestamp_millis(time.timestamp_millis())
        };
        range.from = range.from.and_then(cut);
        range
    })
}

fn settled_is_updated() -> Subject {
    judges(|term, process| match term {
        Term::Settled(range) => Some(range.contains(process.updated_at())),
        _ => None,
    })
}

fn counts_the_hidden() -> Subject {
    Subject::new(|| {
        Wrong::new().count(|honest, filter| {
            let mut filter = filter.clone();
            filter.visible_at = None;
            honest.count(&filter)
        })
    })
}

fn hides_a_moment_too_late() -> Subject {
    filtered(|mut filter| {
        filter.visible_at = filter
            .visible_at
            .map(|time| time - TimeDelta::microseconds(1));
        filter
    })
}

fn lists_the_hidden() -> Subject {
    filtered(|mut filter| {
        filter.visible_at = None;
        filter
    })
}

pub(crate) fn cases() -> Vec<Case> {
    const RANGES: &[&str] = &[
        "created_takes_a_range_of_times",
        "updated_takes_a_range_of_times",
        "settled_takes_a_range_of_times_and_nothing_ongoing",
    ];
    vec![
        Case::new("includes the end of a range", includes_the_end, RANGES),
        Case::new("excludes the start of a range", excludes_the_start, RANGES),
        Case::new(
            "knows no less than a millisecond",
            knows_milliseconds,
            RANGES,
        ),
        Case::new(
            "takes the last change for the end",
            settled_is_updated,
            &["settled_takes_a_range_of_times_and_nothing_ongoing"],
        ),
        Case::new(
            "counts what is hidden",
            counts_the_hidden,
            &["visible_at_hides_what_has_expired_by_then"],
        ),
        Case::new(
            "lists and counts what is hidden",
            lists_the_hidden,
            &[
                "visible_at_hides_what_has_expired_by_then",
                "every_term_of_a_filter_must_hold",
            ],
        ),
        Case::new(
            "hides a moment too late",
            hides_a_moment_too_late,
            &["visible_at_hides_what_has_expired_by_then"],
        ),
    ]
}
