//! Faults in time: expiry, purge, erasure, wipe, and clocks of the store's own.

use std::fs::File;
use std::io::Write;
use std::path::Path;
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
            Ok(honest
                .read(id)?
                .filter(|process| !process.is_expired(own_clock())))
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
        let first = Arc::new(Mutex::new(Records::new()));
        let written = Arc::clone(&first);
        Wrong::new()
            .write(move |honest, ops| {
                let verdicts = honest.write(ops)?;
                let mut written = written.lock().expect("no law panics in here");
                for (id, process) in honest.records().iter() {
                    written.entry(*id).or_insert_with(|| Arc::clone(process));
                }
                Ok(verdicts)
            })
            .purge(move |honest, time, _| {
                let first = first.lock().expect("no law panics in here");
                let mut records = honest.records();
                let before = records.len();
                records.retain(|id, _| !first[id].is_expired(time));
                Ok(before - records.len())
            })
    })
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
                let gone = before
                    .into_iter()
                    .filter(|(_, process)| process.is_expired(time));
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
                let mut counts = count_where(honest, filter, |process| filter.matches(process));
                counts.add(
                    milepost_core::OverallStatus::Ongoing,
                    counted.records().len() as u64,
                );
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

/// Writes a log beside its records, which no wipe ever clears.
fn keeps_a_log() -> Subject {
    let new_directory = || tempfile::tempdir().expect("there is room for a directory");
    let open = |directory: &Path| {
        let log = directory.join("log");
        Wrong::on(&Honest::new()).write(move |honest, ops| {
            let mut file = File::options().create(true).append(true).open(&log);
            let file = file.as_mut().expect("the log can be opened");
            writeln!(file, "{ops:?}").expect("there is room for the log");
            honest.write(ops)
        })
    };
    Subject::in_directory(new_directory, open)
}

/// Keeps what it held before the last write, for the case that somebody asks.
fn keeps_the_last_generation() -> Subject {
    let new_directory = || tempfile::tempdir().expect("there is room for a directory");
    let open = |directory: &Path| {
        let backup = directory.join("backup");
        Wrong::on(&Honest::new()).write(move |honest, ops| {
            let held = format!("{:?}", honest.records());
            std::fs::write(&backup, held).expect("there is room for the backup");
            honest.write(ops)
        })
    };
    Subject::in_directory(new_directory, open)
}

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = clocks();
    cases.extend(vec![
        Case::new(
            "purges a moment too early",
            || purges_shifted(1),
            &["purge_takes_what_has_expired_and_nothing_else"],
        ),
        Case::new(
            "purges a moment too late",
            || purges_shifted(-1),
            &["purge_takes_what_has_expired_and_nothing_else"],
        ),
        Case::new(
            "purges by its own clock",
            || purges_shifted(1_000_000_000_000),
            &["an_extension_before_the_expiry_wins"],
        ),
        Case::new(
            "purges without limit",
            purges_without_limit,
            &["purge_takes_at_most_its_limit"],
        ),
        Case::new(
            "does not check the limit of a purge",
            purges_too_many,
            &["purging_too_many_at_once_is_over_the_limit"],
        ),
        Case::new(
            "says that it purged nothing",
            says_that_it_purged_nothing,
            &[
                "purge_takes_what_has_expired_and_nothing_else",
                "purge_takes_at_most_its_limit",
            ],
        ),
        Case::new(
            "does not see extensions when it purges",
            does_not_see_extensions,
            &["purge_leaves_what_was_extended_or_begun_anew"],
        ),
        Case::new(
            "keeps the erased in its index",
            keeps_its_index,
            &[
                "what_is_erased_is_nowhere",
                "what_is_erased_is_on_no_later_page",
            ],
        ),
        Case::new(
            "purges from reads only",
            purges_from_reads_only,
            &["what_is_purged_is_nowhere"],
        ),
        Case::new(
            "is never done wiping",
            never_wiped,
            &["a_wipe_comes_to_its_end"],
        ),
        Case::new(
            "cannot wipe",
            cannot_wipe,
            &[
                "a_wipe_comes_to_its_end",
                "a_wipe_takes_nothing_that_was_not_erased",
            ],
        ),
        Case::new(
            "keeps what it held before the last write",
            keeps_the_last_generation,
            &["after_a_wipe_no_byte_of_the_erased_is_in_the_files"],
        ),
        Case::new(
            "keeps a log that it does not wipe",
            keeps_a_log,
            &["after_a_wipe_no_byte_of_the_erased_is_in_the_files"],
        ),
        Case::new(
            "wipes what was not erased",
            wipes_too_much,
            &["a_wipe_takes_nothing_that_was_not_erased"],
        ),
    ]);
    cases
}

/// Stores that judge by a clock of their own, or keep times in their own way.
fn clocks() -> Vec<Case> {
    vec![
        Case::new(
            "stamps its own time",
            stamps_its_own_time,
            &[
                "times_decades_off_are_kept_as_given",
                "any_sequence_of_ops_does_what_the_documents_say",
            ],
        ),
        Case::new(
            "rounds times up",
            rounds_up,
            &["times_finer_than_a_microsecond_are_cut"],
        ),
        Case::new(
            "lets no time go back",
            lets_no_time_go_back,
            &["a_clock_that_runs_backwards_disturbs_nothing"],
        ),
        Case::new(
            "keeps nanoseconds in 64 bits",
            keeps_nanoseconds,
            &["expiry_at_the_ends_of_the_range_is_neither_early_nor_late"],
        ),
        Case::new(
            "hides what has expired by its own clock",
            hides_the_expired,
            &["reads_answer_what_is_stored_expired_or_not"],
        ),
        Case::new(
            "lets nothing expire",
            lets_nothing_expire,
            &[
                "a_process_is_absent_from_the_moment_it_expires",
                "any_sequence_of_ops_does_what_the_documents_say",
            ],
        ),
        Case::new(
            "finds the id of an expired process taken",
            finds_the_expired_taken,
            &["an_expired_process_is_begun_anew"],
        ),
        Case::new(
            "does not erase what has expired",
            does_not_erase_the_expired,
            &["an_expired_process_is_erased_by_an_erasure"],
        ),
        Case::new(
            "drops what an op finds expired",
            drops_what_it_finds_expired,
            &["an_extension_before_the_expiry_wins"],
        ),
    ]
}
