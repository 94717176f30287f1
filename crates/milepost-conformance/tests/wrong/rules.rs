//! Faults in what ops do: stores that have rules of their own.

use milepost_conformance::Subject;
use milepost_core::{
    Change, ChangeKind, Failure, Guard, Illegality, Op, OverallStatus, Progress, Rejection,
    Verdict, limits,
};

use crate::Case;
use crate::batches::unchanged;
use crate::honest::{Records, apply};
use crate::store::Wrong;

pub(crate) fn each(judge: fn(&mut Records, &Op) -> Verdict) -> Subject {
    Subject::new(move || Wrong::new().each(judge))
}

pub(crate) fn altered(alter: fn(Op) -> Op) -> Subject {
    Subject::new(move || Wrong::new().altered(alter))
}

/// Answers this change without doing it.
pub(crate) fn leaves_undone(kind: ChangeKind) -> Subject {
    Subject::new(move || {
        Wrong::new().each(move |records, op| {
            if op.change.kind() == kind {
                unchanged(records, op)
            } else {
                apply(records, op)
            }
        })
    })
}

fn strips_guards(op: Op) -> Op {
    op.guarded(Guard::new())
}

fn trusts_no_guard(records: &mut Records, op: &Op) -> Verdict {
    if op.guard.revision.is_some() {
        return Err(Rejection::NotFound);
    }
    apply(records, op)
}

fn guards_creations(records: &mut Records, op: &Op) -> Verdict {
    if matches!(op.change, Change::Create(_)) && op.guard != Guard::new() {
        return Err(Rejection::NotFound);
    }
    apply(records, op)
}

fn applies_twice(records: &mut Records, op: &Op) -> Verdict {
    // A repeat of a rerun or a retry is one more of them.
    let again = op.clone().guarded(Guard::new());
    match apply(records, op) {
        Ok(applied) if !applied.changed && op.change.kind() != ChangeKind::Create => {
            apply(records, &again)
        }
        verdict => verdict,
    }
}

fn completes_what_comes_before(records: &mut Records, op: &Op) -> Verdict {
    match apply(records, op) {
        Err(Rejection::OutOfOrder { waits_for, .. }) => {
            apply(records, &Op::new(op.id, op.at, Change::complete(waits_for)))?;
            completes_what_comes_before(records, op)
        }
        verdict => verdict,
    }
}

fn orders_all_chains(records: &mut Records, op: &Op) -> Verdict {
    if let Change::Start { module } | Change::Complete { module } = op.change
        && let Some(process) = records.get(&op.id)
        && let Some(before) = process
            .modules()
            .iter()
            .take(module.saturating_sub(1))
            .find(|module| !module.state().is_done())
    {
        let waits_for = before.position();
        return Err(Rejection::OutOfOrder { module, waits_for });
    }
    apply(records, op)
}

fn reopens_what_has_settled(records: &mut Records, op: &Op) -> Verdict {
    match apply(records, op) {
        Err(Rejection::Settled {
            status: OverallStatus::Failed,
        }) => {
            apply(records, &Op::new(op.id, op.at, Change::rerun()))?;
            apply(records, op)
        }
        verdict => verdict,
    }
}

fn reruns_what_is_at_work(records: &mut Records, op: &Op) -> Verdict {
    match apply(records, op) {
        Err(Rejection::Illegal {
            cause: Illegality::Status { .. },
        }) => {
            apply(
                records,
                &Op::new(op.id, op.at, Change::cancel("to rerun it")),
            )?;
            apply(records, op)
        }
        verdict => verdict,
    }
}

fn forgets_late_failures(records: &mut Records, op: &Op) -> Verdict {
    let settled = records
        .get(&op.id)
        .is_some_and(|process| process.is_settled());
    if settled && op.change.kind() == ChangeKind::Fail {
        return unchanged(records, op);
    }
    apply(records, op)
}

fn swallows_what_is_wrong(records: &mut Records, op: &Op) -> Verdict {
    match apply(records, op) {
        Err(Rejection::Illegal {
            cause: Illegality::Invalid(_),
        }) => unchanged(records, op),
        verdict => verdict,
    }
}

fn tires_of_retries(records: &mut Records, op: &Op) -> Verdict {
    if let Change::Retry { module, .. } = op.change
        && let Some(process) = records.get(&op.id)
        && process.modules()[module - 1].attempt() > 10
    {
        return Err(Rejection::TooLarge {
            bytes: limits::RECORD_BYTES + 1,
            limit: limits::RECORD_BYTES,
        });
    }
    apply(records, op)
}

fn swallows_what_is_too_large(records: &mut Records, op: &Op) -> Verdict {
    match apply(records, op) {
        Err(Rejection::TooLarge { .. }) => unchanged(records, op),
        verdict => verdict,
    }
}

/// Rewrites the texts that an op brings to a module.
fn rewritten(op: Op, rewrite: fn(&str) -> String) -> Op {
    let Op {
        id,
        at,
        guard,
        change,
        ..
    } = &op;
    let failure =
        |failure: &Failure| Failure::new(&rewrite(failure.reason()), &rewrite(failure.message()));
    let change = match change {
        Change::Fail {
            module,
            failure: given,
        } => Change::fail(*module, failure(given)),
        Change::Retry {
            module,
            failure: given,
        } => Change::retry(*module, failure(given)),
        Change::Progress { module, progress } => {
            let mut progress = Progress::clone(progress);
            progress.message = progress.message.map(|text| rewrite(&text).into());
            Change::progress(*module, progress)
        }
        _ => return op,
    };
    Op::new(*id, *at, change).guarded(*guard)
}

fn trims_texts(op: Op) -> Op {
    rewritten(op, |text| text.trim().to_owned())
}

fn normalizes_line_ends(op: Op) -> Op {
    rewritten(op, |text| text.replace("\r\n", "\n"))
}

fn cuts_texts(op: Op) -> Op {
    rewritten(op, |text| text.chars().take(255).collect())
}

fn loses_units(mut op: Op) -> Op {
    if let Change::Progress { progress, .. } = &mut op.change {
        progress.unit = None;
    }
    op
}

fn counts_modules_in_a_byte(mut op: Op) -> Op {
    if let Change::Start { module } | Change::Complete { module } = &mut op.change {
        *module %= 256;
    }
    op
}

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = undone();
    cases.extend(texts());
    cases.extend(vec![
        Case::new(
            "strips guards",
            || altered(strips_guards),
            &[
                "another_born_is_not_found",
                "a_passed_attempt_changes_nothing",
                "a_passed_run_changes_nothing",
                "a_passed_revision_changes_nothing",
                "a_guard_on_what_has_not_come_is_illegal",
                "an_attempt_guard_on_a_change_of_the_whole_process_is_illegal",
                "late_ops_are_not_found_even_after_the_id_was_begun_anew",
                "late_repeats_between_retries_and_reruns_change_nothing",
                "a_batch_sent_twice_leaves_what_sending_it_once_does",
                "any_sequence_of_ops_does_what_the_documents_say",
            ],
        ),
        Case::new(
            "applies a repeat once more",
            || each(applies_twice),
            &[
                "every_op_sent_twice_counts_once",
                "a_batch_sent_twice_leaves_what_sending_it_once_does",
                "late_repeats_between_retries_and_reruns_change_nothing",
            ],
        ),
        Case::new(
            "trusts no guard on a revision",
            || each(trusts_no_guard),
            &["a_guard_that_holds_lets_the_op_pass"],
        ),
        Case::new(
            "minds guards on creations",
            || each(guards_creations),
            &["guards_on_a_creation_are_ignored"],
        ),
        Case::new(
            "completes what comes before",
            || each(completes_what_comes_before),
            &["a_module_waits_for_those_before_it"],
        ),
        Case::new(
            "orders parallel chains",
            || each(orders_all_chains),
            &["a_parallel_module_waits_for_none"],
        ),
        Case::new(
            "reopens what has failed",
            || each(reopens_what_has_settled),
            &[
                "in_a_settled_process_nothing_starts_skips_or_retries",
                "what_is_complete_or_failed_cannot_be_cancelled",
            ],
        ),
        Case::new(
            "reruns what is at work",
            || each(reruns_what_is_at_work),
            &["nothing_but_a_failed_or_cancelled_process_is_rerun"],
        ),
        Case::new(
            "forgets late failures",
            || each(forgets_late_failures),
            &["the_first_failure_is_the_one_that_is_blamed"],
        ),
        Case::new(
            "swallows what is wrong in itself",
            || each(swallows_what_is_wrong),
            &["what_is_wrong_in_itself_is_illegal"],
        ),
        Case::new(
            "tires of retries",
            || each(tires_of_retries),
            &[
                "the_newest_attempts_are_kept",
                "the_oldest_attempts_make_room",
            ],
        ),
        Case::new(
            "swallows what is too large",
            || each(swallows_what_is_too_large),
            &["a_record_that_would_be_too_large_is_refused"],
        ),
    ]);
    cases
}

/// Stores that answer one change without doing it.
fn undone() -> Vec<Case> {
    vec![
        Case::new(
            "answers a start without doing it",
            || leaves_undone(ChangeKind::Start),
            &["start_follows_the_table"],
        ),
        Case::new(
            "answers progress without keeping it",
            || leaves_undone(ChangeKind::Progress),
            &[
                "progress_follows_the_table",
                "progress_is_replaced_whole_and_never_goes_back",
            ],
        ),
        Case::new(
            "answers a completion without doing it",
            || leaves_undone(ChangeKind::Complete),
            &[
                "complete_follows_the_table",
                "the_overall_status_folds_the_modules",
            ],
        ),
        Case::new(
            "answers a failure without keeping it",
            || leaves_undone(ChangeKind::Fail),
            &["fail_follows_the_table"],
        ),
        Case::new(
            "answers a skip without doing it",
            || leaves_undone(ChangeKind::Skip),
            &["skip_follows_the_table"],
        ),
        Case::new(
            "answers a retry without doing it",
            || leaves_undone(ChangeKind::Retry),
            &["retry_follows_the_table"],
        ),
        Case::new(
            "answers a cancel without doing it",
            || leaves_undone(ChangeKind::Cancel),
            &["cancel_calls_off_what_is_unfinished"],
        ),
        Case::new(
            "answers a rerun without doing it",
            || leaves_undone(ChangeKind::Rerun),
            &["rerun_takes_up_what_did_not_get_done"],
        ),
        Case::new(
            "answers an update without doing it",
            || leaves_undone(ChangeKind::Update),
            &[
                "an_update_replaces_what_it_names_and_nothing_else",
                "any_sequence_of_ops_does_what_the_documents_say",
            ],
        ),
    ]
}

/// Stores that do not keep what they were given.
fn texts() -> Vec<Case> {
    vec![
        Case::new(
            "trims texts",
            || altered(trims_texts),
            &["texts_of_any_content_are_kept_byte_for_byte"],
        ),
        Case::new(
            "normalizes the ends of lines",
            || altered(normalizes_line_ends),
            &["texts_of_any_content_are_kept_byte_for_byte"],
        ),
        Case::new(
            "cuts texts",
            || altered(cuts_texts),
            &["texts_as_long_as_their_limits_are_kept"],
        ),
        Case::new(
            "loses units",
            || altered(loses_units),
            &["every_part_of_a_record_is_kept"],
        ),
        Case::new(
            "counts modules in a byte",
            || altered(counts_modules_in_a_byte),
            &["the_longest_chain_is_kept"],
        ),
    ]
}
