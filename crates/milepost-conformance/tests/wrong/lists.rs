//! Faults in the order of lists, and in walks through them.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use milepost_conformance::Subject;
use milepost_core::{
    Found, Listing, Order, Place, Process, StatusStore, StoreError, StoreErrorKind, limits,
};
use uuid::Uuid;

use crate::Case;
use crate::honest::{Honest, Records};
use crate::store::Wrong;

/// All that matches, sorted by another key, from behind where a place is in that order.
fn sorted_by<K: Ord>(
    honest: &Honest,
    listing: &Listing,
    key: impl Fn(&Process) -> K,
) -> Result<Found, StoreError> {
    listing.check()?;
    let mut all = honest.records().values().cloned().collect::<Vec<_>>();
    all.retain(|process| listing.filter.matches(process));
    all.sort_by_key(|process| key(process));
    if listing.order == Order::NewestFirst {
        all.reverse();
    }
    let stands = |place: Place| {
        let found = all
            .iter()
            .position(|process| process.request_id() == place.request_id);
        found.map_or(all.len(), |index| index + 1)
    };
    let from = listing.after.map_or(0, stands);
    let until = all.len().min(from + listing.limit);
    let items = all[from..until].to_vec();
    let next = (until < all.len())
        .then(|| items.last().map(|last| Place::of(last)))
        .flatten();
    Ok(Found::new(items, next))
}

fn orders_by_the_last_change() -> Subject {
    Subject::new(|| {
        Wrong::new().list(|honest, listing| {
            sorted_by(honest, listing, |process| {
                (process.updated_at(), process.request_id())
            })
        })
    })
}

fn orders_by_seconds() -> Subject {
    Subject::new(|| {
        Wrong::new().list(|honest, listing| {
            let key = |process: &Process| (process.created_at().timestamp(), process.request_id());
            sorted_by(honest, listing, key)
        })
    })
}

fn orders_ties_by_insertion() -> Subject {
    Subject::new(|| {
        let inserted = Arc::new(Mutex::new(BTreeMap::new()));
        let listed = Arc::clone(&inserted);
        Wrong::new()
            .write(move |honest, ops| {
                let mut inserted = inserted.lock().expect("no law panics in here");
                for op in ops {
                    let turn = inserted.len();
                    inserted.entry(op.id).or_insert(turn);
                }
                honest.write(ops)
            })
            .list(move |honest, listing| {
                let inserted = listed.lock().expect("no law panics in here").clone();
                sorted_by(honest, listing, |process| {
                    (
                        process.created_at(),
                        inserted.get(&process.request_id()).copied(),
                    )
                })
            })
    })
}

fn orders_ids_as_signed_numbers() -> Subject {
    Subject::new(|| {
        Wrong::new().list(|honest, listing| {
            sorted_by(honest, listing, |process| {
                let number = Uuid::from(process.request_id()).as_u128().cast_signed();
                (process.created_at(), number)
            })
        })
    })
}

fn orders_ids_downwards() -> Subject {
    Subject::new(|| {
        Wrong::new().list(|honest, listing| {
            sorted_by(honest, listing, |process| {
                (process.created_at(), Reverse(process.request_id()))
            })
        })
    })
}

/// The honest page, and then something done to it.
fn paged(spoil: fn(&Listing, &mut Found)) -> Subject {
    Subject::new(move || {
        Wrong::new().list(move |honest, listing| {
            let mut found = honest.list(listing)?;
            spoil(listing, &mut found);
            Ok(found)
        })
    })
}

fn skips_one_at_a_border() -> Subject {
    paged(|listing, found| {
        if listing.after.is_some() && !found.items.is_empty() {
            found.items.remove(0);
        }
    })
}

fn stops_at_a_full_page() -> Subject {
    paged(|_, found| found.next = None)
}

fn gives_one_too_many() -> Subject {
    Subject::new(|| {
        Wrong::new().list(|honest, listing| {
            listing.check()?;
            honest.list(&Listing {
                limit: limits::PAGE.min(listing.limit + 1),
                ..listing.clone()
            })
        })
    })
}

fn never_moves_on() -> Subject {
    Subject::new(|| {
        Wrong::new().list(|honest, listing| {
            let mut found = honest.list(listing)?;
            found.next = found.next.and(listing.after.or(found.next));
            Ok(found)
        })
    })
}

fn caps_pages_at_a_hundred() -> Subject {
    paged(|_, found| {
        found.items.truncate(100);
    })
}

fn starts_over_behind_the_unknown() -> Subject {
    Subject::new(|| {
        Wrong::new().list(|honest, listing| {
            let known = |place: &Place| honest.records().contains_key(&place.request_id);
            honest.list(&Listing {
                after: listing.after.filter(known),
                ..listing.clone()
            })
        })
    })
}

/// Counts how many were shown, and leaves out as many.
fn pages_by_offset() -> Subject {
    Subject::new(|| {
        let shown = Mutex::new(0);
        Wrong::new().list(move |honest, listing| {
            let mut shown = shown.lock().expect("no law panics in here");
            if listing.after.is_none() {
                *shown = 0;
            }
            let all = honest.list(&Listing {
                after: None,
                limit: limits::PAGE,
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

/// A walk shows what was there when it began.
fn walks_through_a_copy() -> Subject {
    Subject::new(|| {
        let copy = Honest::new();
        Wrong::new().list(move |honest, listing| {
            if listing.after.is_none() {
                copy.records().clone_from(&honest.records());
            }
            copy.list(listing)
        })
    })
}

/// Lists what a process was when it began.
fn lists_first_versions() -> Subject {
    Subject::new(|| {
        let first = Arc::new(Mutex::new(Records::new()));
        let written = Arc::clone(&first);
        Wrong::new()
            .write(move |honest, ops| {
                let mut written = written.lock().expect("no law panics in here");
                let verdicts = honest.write(ops)?;
                for (id, process) in honest.records().iter() {
                    written.entry(*id).or_insert_with(|| Arc::clone(process));
                }
                Ok(verdicts)
            })
            .list(move |honest, listing| {
                let mut found = honest.list(listing)?;
                let first = first.lock().expect("no law panics in here");
                for item in &mut found.items {
                    item.clone_from(&first[&item.request_id()]);
                }
                Ok(found)
            })
    })
}

fn lists_nothing_as_an_error() -> Subject {
    Subject::new(|| {
        Wrong::new().list(|honest, listing| {
            if honest.records().is_empty() {
                return Err(StoreError::new(StoreErrorKind::Other, "there is nothing"));
            }
            honest.list(listing)
        })
    })
}

fn pages_of_any_size() -> Subject {
    Subject::new(|| {
        Wrong::new().list(|honest, listing| {
            honest.list(&Listing {
                limit: listing.limit.clamp(1, limits::PAGE),
                ..listing.clone()
            })
        })
    })
}

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = orders();
    cases.extend(vec![
        Case::new(
            "skips one at the border of two pages",
            skips_one_at_a_border,
            &[
                "a_walk_in_pages_of_any_size_shows_everything_once",
                "any_sequence_of_ops_does_what_the_documents_say",
            ],
        ),
        Case::new(
            "stops at a full page",
            stops_at_a_full_page,
            &["a_walk_in_pages_of_any_size_shows_everything_once"],
        ),
        Case::new(
            "gives one too many",
            gives_one_too_many,
            &["a_walk_in_pages_of_any_size_shows_everything_once"],
        ),
        Case::new(
            "never moves on",
            never_moves_on,
            &["a_walk_in_pages_of_any_size_shows_everything_once"],
        ),
        Case::new(
            "caps its pages at a hundred",
            caps_pages_at_a_hundred,
            &["a_thousand_fit_on_one_page"],
        ),
        Case::new(
            "takes pages of any size",
            pages_of_any_size,
            &["a_page_of_none_or_too_many_is_over_the_limit"],
        ),
        Case::new(
            "starts over behind a place that it does not know",
            starts_over_behind_the_unknown,
            &["a_list_goes_on_behind_any_place"],
        ),
        Case::new(
            "pages by offset",
            pages_by_offset,
            &["others_do_not_disturb_a_walk"],
        ),
        Case::new(
            "walks through a copy",
            walks_through_a_copy,
            &["what_is_erased_is_on_no_later_page"],
        ),
        Case::new(
            "lists what processes were when they began",
            lists_first_versions,
            &["what_is_listed_is_what_is_read"],
        ),
        Case::new(
            "takes an empty list for an error",
            lists_nothing_as_an_error,
            &["nothing_is_listed_of_an_empty_store"],
        ),
    ]);
    cases
}

/// Stores that list in another order.
fn orders() -> Vec<Case> {
    vec![
        Case::new(
            "orders by the last change",
            orders_by_the_last_change,
            &["lists_go_by_the_time_of_creation"],
        ),
        Case::new(
            "orders by whole seconds",
            orders_by_seconds,
            &["lists_go_by_the_time_of_creation"],
        ),
        Case::new(
            "orders what began at once by insertion",
            orders_ties_by_insertion,
            &["what_began_at_once_is_listed_by_the_bytes_of_its_id"],
        ),
        Case::new(
            "orders ids as signed numbers",
            orders_ids_as_signed_numbers,
            &["what_began_at_once_is_listed_by_the_bytes_of_its_id"],
        ),
        Case::new(
            "orders ids downwards",
            orders_ids_downwards,
            &[
                "what_began_at_once_is_listed_by_the_bytes_of_its_id",
                "a_walk_in_pages_of_any_size_shows_everything_once",
            ],
        ),
    ]
}
