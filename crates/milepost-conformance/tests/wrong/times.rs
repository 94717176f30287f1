//! Faults in time: expiry, purge, erasure, wipe, and clocks of the store's own.

use std::sync::{Arc, Mutex};

use chrono::{DateTime, TimeDelta, Utc};
use milepost_conformance::Subject;
use milepost_core::{
    Change, Filter, Op, Process, Rejection, StatusStore, StoreError, StoreErrorKind, Verdict, Wipe,
    limits,
};

use crate::Case;
use crate::honest::{Honest, Records, apply};
use crate::store::{Wrong, count_where, list_where};

/// What a store's own clock shows.
fn own_clock() -> DateTime<Utc> {
    "2030-01-01T00:00:00Z".parse().expect("it is a time")
}

fn stamps_its_own_time() -> Subject {
    Subject::new(|| {
        Wrong::new().altered(|mut op| {
            op.at = own_clock();
            op
        })
    })
}

fn rounds_up() -> Subject {
    Subject::new(|| {
        Wrong::new().altered(|mut op| {
            op.at += TimeDelta::nanoseconds(999);
            op
        })
    })
}

fn lets_no_time_go_back() -> Subject {
    Subject::new(|| {
        Wrong::new().each(|records, op| {
            let mut op = op.clone();
            let updated = records.get(&op.id).map(|process| process.updated_at());
            op.at = updated.map_or(op.at, |updated| updated.max(op.at));
            apply(records, &op)
        })
    })
}

/// As far as nanoseconds since 1970 reach in 64 bits.
fn keeps_nanoseconds() -> Subject {
    Subject::new(|| {
        Wrong::new().purge(|honest, time, limit| {
            honest.purge(time.min(DateTime::from_timestamp_nanos(i64::MAX)), limit)
        })
    })
}

fn hides_the_expired() -> Subject {
    Subject::new(|| {
        Wrong::new().read(|honest, id| {
            Ok(honest.read(id)?.filter(|process| !process.is_expired(own_clock())))
        })
    })
}

/// Judges an op on an expired process in another way.
fn on_expired(judge: fn(&mut Records, &Op, &Arc<Process>) -> Verdict) -> Subject {
    Subject::new(move || {
        Wrong::new().each(move |records, op| match records.get(&op.id).cloned() {
            Some(process) if process.is_expired(op.at) => judge(records, op, &process),
            _ => apply(records, op),
        })
    })
}

/// As if it had not expired yet, for all but creations and erasures.
fn lets_nothing_expire() -> Subject {
    on_expired(|records, op, process| {
        let mut op = op.clone();
        if !matches!(op.change, Change::Create(_) | Change::Erase) {
            op.at = process.created_at();
        }
        apply(records, &op)
    })
}

fn finds_the_expired_taken() -> Subject {
    on_expired(|records, op, process| {
        let mut op = op.clone();
        if matches!(op.change, Change::Create(_)) {
            op.at = process.created_at();
        }
        apply(records, &op)
    })
}

fn does_not_erase_the_expired() -> Subject {
    on_expired(|records, op, _| match op.change {
        Change::Erase => Err(Rejection::NotFound),
        _ => apply(records, op),
    })
}

fn drops_what_it_finds_expired() -> Subject {
    on_expired(|records, op, _| {
        records.remove(&op.id);
        apply(records, op)
    })
}

fn purges_shifted(micros: i64) -> Subject {
    Subject::new(move || {
        Wrong::new().purge(move |honest, time, limit| {
            honest.purge(time + TimeDelta::microseconds(micros), limit)
        })
    })
}

fn purges_without_limit() -> Subject {
    Subject::new(|| Wrong::new().purge(|honest, time, _| honest.purge(time, limits::PURGE)))
}

fn purges_too_many() -> Subject {
    Subject::new(|| {
        Wrong::new().purge(|honest, time, limit| honest.purge(time, limit.min(limits::PURGE)))
    })
}

fn says_that_it_purged_nothing() -> Subject {
    Subject::new(|| Wrong::new().purge(|honest, time, limit| honest.purge(time, limit).map(|_| 0)))
}

/// Purges by the first expiry that each id had.
fn does_not_see_extensions() -> Subject {
    Subject::new(|| {
        Wrong::new().write(remember_first).purge(|honest, time, limit| {
            let first = FIRST.with(|first| first.lock().expect("no law panics in here").clone());
            let mut records = honest.records();
            let before = records.len();
            let expired = first
                .iter()
                .filter(|(_, process)| process.is_expired(time))
                .map(|(id, _)| *id)
                .take(limit);
            for id in expired.collect::<Vec<_>>() {
                records.remove(&id);
            }
            Ok(before - records.len())
        })
    })
}

thread_local! {
    /// The first record of each id, for the store that looks at no other; laws run in one thread.
    static FIRST: Mutex<Records> = const { Mutex::new(Records::new()) };
}

fn remember_first(honest: &Honest, ops: &[Op]) -> Result<Vec<Verdict>, StoreError> {
    if honest.records().is_empty() {
        FIRST.with(|first| first.lock().expect("no law panics in here").clear());
    }
    let verdicts = honest.write(ops)?;
    for (id, process) in honest.records().iter() {
        FIRST.with(|first| {
            let mut first = first.lock().expect("no law panics in here");
            first.entry(*id).or_insert_with(|| Arc::clone(process));
        });
    }
    Ok(verdicts)
}

/// Lists and counts out of an index from which nothing is ever taken.
fn keeps_its_index() -> Subject {
    Subject::new(|| {
        let index = Honest::new();
        let (written, listed, counted) = (index.clone(), index.clone(), index);
        Wrong::new()
            .write(move |honest, ops| {
                let verdicts = honest.write(ops)?;
                written.records().extend(honest.records().clone());
                Ok(verdicts)
            })
            .list(move |_, listing| listed.list(listing))
            .count(move |_, filter| counted.count(filter))
    })
}

/// Purged processes are not read any more, but still listed and counted.
fn purges_from_reads_only() -> Subject {
    Subject::new(|| {
        let purged = Honest::new();
        let (taken, listed, counted) = (purged.clone(), purged.clone(), purged);
        Wrong::new()
            .purge(move |honest, time, limit| {
                let before = honest.records().clone();
                let gone = before.into_iter().filter(|(_, process)| process.is_expired(time));
                taken.records().extend(gone);
                honest.purge(time, limit)
            })
            .list(move |honest, listing| {
                let all = Honest::new();
                all.records().extend(honest.records().clone());
                all.records().extend(listed.records().clone());
                list_where(&all, listing, |process| listing.filter.matches(process))
            })
            .count(move |honest, filter: &Filter| {
                let mut counts = count_where(honest, |process| filter.matches(process));
                counts.add(milepost_core::OverallStatus::Ongoing, counted.records().len() as u64);
                Ok(counts)
            })
    })
}

fn never_wiped() -> Subject {
    Subject::new(|| {
        Wrong::new().wipe(|_, _| {
            Ok(Wipe::Pending {
                reason: "later".into(),
            })
        })
    })
}

fn cannot_wipe() -> Subject {
    Subject::new(|| {
        Wrong::new().wipe(|_, _| Err(StoreError::new(StoreErrorKind::Other, "it cannot")))
    })
}

fn wipes_too_much() -> Subject {
    Subject::new(|| {
        Wrong::new().wipe(|honest, _| {
            honest.records().pop_last();
            Ok(Wipe::Done)
        })
    })
}

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = clocks();
    cases.extend(vec![
        Case {
            fault: "purges a moment too early",
            subject: || purges_shifted(1),
            breaks: &["purge_takes_what_has_expired_and_nothing_else"],
        },
        Case {
            fault: "purges a moment too late",
            subject: || purges_shifted(-1),
            breaks: &["purge_takes_what_has_expired_and_nothing_else"],
        },
        Case {
            fault: "purges by its own clock",
            subject: || purges_shifted(1_000_000_000_000),
            breaks: &["an_extension_before_the_expiry_wins"],
        },
        Case {
            fault: "purges without limit",
            subject: purges_without_limit,
            breaks: &["purge_takes_at_most_its_limit"],
        },
        Case {
            fault: "does not check the limit of a purge",
            subject: purges_too_many,
            breaks: &["purging_too_many_at_once_is_over_the_limit"],
        },
        Case {
            fault: "says that it purged nothing",
            subject: says_that_it_purged_nothing,
            breaks: &["purge_takes_what_has_expired_and_nothing_else", "purge_takes_at_most_its_limit"],
        },
        Case {
            fault: "does not see extensions when it purges",
            subject: does_not_see_extensions,
            breaks: &["purge_leaves_what_was_extended_or_begun_anew"],
        },
        Case {
            fault: "keeps the erased in its index",
            subject: keeps_its_index,
            breaks: &["what_is_erased_is_nowhere", "what_is_erased_is_on_no_later_page"],
        },
        Case {
            fault: "purges from reads only",
            subject: purges_from_reads_only,
            breaks: &["what_is_purged_is_nowhere"],
        },
        Case {
            fault: "is never done wiping",
            subject: never_wiped,
            breaks: &["a_wipe_comes_to_its_end"],
        },
        Case {
            fault: "cannot wipe",
            subject: cannot_wipe,
            breaks: &["a_wipe_comes_to_its_end", "a_wipe_takes_nothing_that_was_not_erased"],
        },
        Case {
            fault: "wipes what was not erased",
            subject: wipes_too_much,
            breaks: &["a_wipe_takes_nothing_that_was_not_erased"],
        },
    ]);
    cases
}

/// Stores that judge by a clock of their own, or keep times in their own way.
fn clocks() -> Vec<Case> {
    vec![
        Case {
            fault: "stamps its own time",
            subject: stamps_its_own_time,
            breaks: &[
                "times_decades_off_are_kept_as_given",
                "any_sequence_of_ops_does_what_the_documents_say",
            ],
        },
        Case {
            fault: "rounds times up",
            subject: rounds_up,
            breaks: &["times_finer_than_a_microsecond_are_cut"],
        },
        Case {
            fault: "lets no time go back",
            subject: lets_no_time_go_back,
            breaks: &["a_clock_that_runs_backwards_disturbs_nothing"],
        },
        Case {
            fault: "keeps nanoseconds in 64 bits",
            subject: keeps_nanoseconds,
            breaks: &["expiry_at_the_ends_of_the_range_is_neither_early_nor_late"],
        },
        Case {
            fault: "hides what has expired by its own clock",
            subject: hides_the_expired,
            breaks: &["reads_answer_what_is_stored_expired_or_not"],
        },
        Case {
            fault: "lets nothing expire",
            subject: lets_nothing_expire,
            breaks: &[
                "a_process_is_absent_from_the_moment_it_expires",
                "any_sequence_of_ops_does_what_the_documents_say",
            ],
        },
        Case {
            fault: "finds the id of an expired process taken",
            subject: finds_the_expired_taken,
            breaks: &["an_expired_process_is_begun_anew"],
        },
        Case {
            fault: "does not erase what has expired",
            subject: does_not_erase_the_expired,
            breaks: &["an_expired_process_is_erased_by_an_erasure"],
        },
        Case {
            fault: "drops what an op finds expired",
            subject: drops_what_it_finds_expired,
            breaks: &["an_extension_before_the_expiry_wins"],
        },
    ]
}
