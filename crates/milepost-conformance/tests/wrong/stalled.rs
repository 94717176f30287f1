//! Faults in what is listed and counted as stalled.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use milepost_conformance::Subject;
use milepost_core::{Claim, Filter, Found, Listing, OverallStatus, Place, StatusStore, Term};

use crate::Case;
use crate::filters::{filtered, judges};
use crate::store::{Wrong, count_where, list_where};

fn is_stalled(term: &Term) -> bool {
    matches!(term, Term::Stalled { .. })
}

fn ignores_stalled() -> Subject {
    filtered(|mut filter| {
        filter.terms.retain(|term| !is_stalled(term));
        filter
    })
}

/// Asks for nothing else where it asks for the stalled.
fn asks_for_the_stalled_alone() -> Subject {
    filtered(|mut filter| {
        if filter.terms.iter().any(is_stalled) {
            filter.terms.retain(is_stalled);
        }
        filter
    })
}

fn takes_the_last_time() -> Subject {
    filtered(|mut filter| {
        let last = filter.terms.iter().rev().find(|term| is_stalled(term));
        let last = last.cloned();
        filter.terms.retain(|term| !is_stalled(term));
        filter.terms.extend(last);
        filter
    })
}

fn shows_the_expired_that_stalled() -> Subject {
    filtered(|mut filter| {
        if filter.terms.iter().any(is_stalled) {
            filter.visible_at = None;
        }
        filter
    })
}

fn stalls_a_moment_later() -> Subject {
    judges(|term, process| match term {
        Term::Stalled { by } => {
            let until = process.leased_until();
            Some(until.is_some_and(|until| until < *by))
        }
        _ => None,
    })
}

fn stalls_whatever_was_held() -> Subject {
    judges(|term, process| match term {
        Term::Stalled { by } => Some(process.claim().is_some_and(|claim| claim.until() <= *by)),
        _ => None,
    })
}

fn stalls_what_nobody_holds() -> Subject {
    judges(|term, process| match term {
        Term::Stalled { by } => {
            let ongoing = process.status() == OverallStatus::Ongoing;
            Some(ongoing && !process.is_leased(*by))
        }
        _ => None,
    })
}

/// Looks up when a lease ends in an index that is written when a process is first claimed.
fn indexes_the_first_end() -> Subject {
    Subject::new(|| {
        let index = Arc::new(Mutex::new(BTreeMap::new()));
        let (written, counted) = (Arc::clone(&index), Arc::clone(&index));
        let matches =
            |index: &BTreeMap<_, _>, filter: &Filter, process: &milepost_core::Process| {
                let holds = |term: &Term| match term {
                    Term::Stalled { by } => {
                        let until = index.get(&process.request_id());
                        !process.is_settled() && until.is_some_and(|until| until <= by)
                    }
                    term => Filter::new().with(term.clone()).matches(process),
                };
                filter.terms.iter().all(holds)
            };
        Wrong::new()
            .write(move |honest, ops| {
                let verdicts = honest.write(ops)?;
                let mut index = written.lock().expect("no law panics in here");
                for (id, process) in honest.records().iter() {
                    if let Some(until) = process.claim().map(Claim::until) {
                        index.entry(*id).or_insert(until);
                    }
                }
                Ok(verdicts)
            })
            .list(move |honest, listing| {
                let index = index.lock().expect("no law panics in here");
                list_where(honest, listing, |process| {
                    matches(&index, &listing.filter, process)
                })
            })
            .count(move |honest, filter| {
                let index = counted.lock().expect("no law panics in here");
                Ok(count_where(honest, filter, |process| {
                    matches(&index, filter, process)
                }))
            })
    })
}

/// Counts by status alone, as it was before anything could stall.
fn counts_nothing_as_stalled() -> Subject {
    Subject::new(|| {
        Wrong::new().count(|honest, filter| {
            let mut counts = honest.count(filter)?;
            counts.stalled = 0;
            Ok(counts)
        })
    })
}

/// Takes the time of the term for the time of asking.
fn counts_by_the_term() -> Subject {
    Subject::new(|| {
        Wrong::new().count(|honest, filter| {
            let mut counts = honest.count(filter)?;
            let term = filter.terms.iter().any(is_stalled);
            if term {
                counts.stalled = counts.ongoing;
            }
            Ok(counts)
        })
    })
}

/// Counts the stalled of the whole store, whatever was asked for.
fn counts_all_that_stalled() -> Subject {
    Subject::new(|| {
        Wrong::new().count(|honest, filter| {
            let mut counts = honest.count(filter)?;
            let all = Filter::new();
            counts.stalled = match filter.visible_at {
                Some(time) => honest.count(&all.visible_at(time))?.stalled,
                None => 0,
            };
            Ok(counts)
        })
    })
}

/// Goes on from as many as it has shown, of those that match now.
fn pages_the_stalled_by_offset() -> Subject {
    Subject::new(|| {
        let shown = Mutex::new(0);
        Wrong::new().list(move |honest, listing| {
            if !listing.filter.terms.iter().any(is_stalled) {
                return honest.list(listing);
            }
            let mut shown = shown.lock().expect("no law panics in here");
            if listing.after.is_none() {
                *shown = 0;
            }
            let all = honest.list(&Listing {
                after: None,
                limit: milepost_core::limits::PAGE,
                ..listing.clone()
            })?;
            let items = all.items.iter().skip(*shown).take(listing.limit).cloned();
            let items = items.collect::<Vec<_>>();
            *shown += items.len();
            let more = *shown < all.items.len();
            let next = items.last().filter(|_| more).map(|last| Place::of(last));
            Ok(Found::new(items, next))
        })
    })
}

pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case::new(
            "ignores whether a process has stalled",
            ignores_stalled,
            &[
                "what_has_stalled_is_listed_and_counted",
                "any_sequence_of_ops_does_what_the_documents_say",
            ],
        ),
        Case::new(
            "asks for the stalled alone",
            asks_for_the_stalled_alone,
            &["stalled_goes_with_every_other_term"],
        ),
        Case::new(
            "takes the last of two times",
            takes_the_last_time,
            &["stalled_goes_with_every_other_term"],
        ),
        Case::new(
            "shows what has stalled and expired",
            shows_the_expired_that_stalled,
            &["what_has_expired_is_not_stalled"],
        ),
        Case::new(
            "lets a lease stall a moment later",
            stalls_a_moment_later,
            &["what_has_stalled_is_listed_and_counted"],
        ),
        Case::new(
            "takes whatever was held for stalled",
            stalls_whatever_was_held,
            &["what_goes_on_is_stalled_no_more"],
        ),
        Case::new(
            "takes what nobody holds for stalled",
            stalls_what_nobody_holds,
            &["what_has_stalled_is_listed_and_counted"],
        ),
        Case::new(
            "keeps the first end of a lease in its index",
            indexes_the_first_end,
            &["what_goes_on_is_stalled_no_more"],
        ),
        Case::new(
            "counts nothing as stalled",
            counts_nothing_as_stalled,
            &[
                "what_has_stalled_is_listed_and_counted",
                "without_a_time_nothing_is_counted_as_stalled",
            ],
        ),
        Case::new(
            "counts the stalled by the term",
            counts_by_the_term,
            &[
                "without_a_time_nothing_is_counted_as_stalled",
                "what_has_stalled_is_listed_and_counted",
            ],
        ),
        Case::new(
            "counts all that stalled",
            counts_all_that_stalled,
            &["stalled_goes_with_every_other_term"],
        ),
        Case::new(
            "pages what has stalled by offset",
            pages_the_stalled_by_offset,
            &["a_walk_over_the_stalled_shows_each_once"],
        ),
    ]
}
