//! Faults in what becomes of processes whose workers have gone silent.

use milepost_core::{Change, ChangeKind, Op, ReapPolicy, Rejection, Verdict, limits};

use crate::Case;
use crate::batches::unchanged;
use crate::honest::{Records, apply};
use crate::leases::concerns_a_lease;
use crate::rules::{altered, each, leaves_undone};

/// Reaps by another policy than the one that was asked for.
fn under(mut op: Op, other: ReapPolicy) -> Op {
    if let Change::Reap { policy, .. } = &mut op.change {
        *policy = other;
    }
    op
}

fn counts_attempts_from_zero(mut op: Op) -> Op {
    if let Change::Reap { policy, .. } = &mut op.change
        && let ReapPolicy::Retry { attempts } = policy
    {
        *attempts += 1;
    }
    op
}

fn reaps_what_is_held(records: &mut Records, op: &Op) -> Verdict {
    match (&op.change, apply(records, op)) {
        (Change::Reap { .. }, Err(Rejection::Held { until, .. })) => {
            let mut late = op.clone();
            late.at = until;
            apply(records, &late)
        }
        (_, verdict) => verdict,
    }
}

fn reaps_a_moment_later(mut op: Op) -> Op {
    if matches!(op.change, Change::Reap { .. }) {
        op.at -= chrono::TimeDelta::microseconds(1);
    }
    op
}

fn reaps_whoever_holds_it(records: &mut Records, op: &Op) -> Verdict {
    let mut op = op.clone();
    let held = records.get(&op.id).and_then(|process| process.claim());
    if let (Change::Reap { token, .. }, Some(held)) = (&mut op.change, held) {
        *token = held.token();
    }
    apply(records, &op)
}

fn swallows_what_is_fenced(records: &mut Records, op: &Op) -> Verdict {
    match (&op.change, apply(records, op)) {
        (Change::Renew { .. }, Err(Rejection::Fenced { .. })) => unchanged(records, op),
        (_, verdict) => verdict,
    }
}

fn minds_the_lease_alone(mut op: Op) -> Op {
    if concerns_a_lease(&op.change) {
        op.guard.run = None;
        op.guard.revision = None;
    }
    op
}

fn has_no_room(records: &mut Records, op: &Op) -> Verdict {
    let mut record = Vec::new();
    if let Some(process) = records.get(&op.id) {
        process.to_record(&mut record);
    }
    let limit = limits::RECORD_BYTES;
    if matches!(op.change, Change::Reap { .. }) && record.len() > limit - limits::MESSAGE_BYTES {
        let bytes = limit + 1;
        return Err(Rejection::TooLarge { bytes, limit });
    }
    apply(records, op)
}

pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case::new(
            "frees whatever is reaped",
            || altered(|op| under(op, ReapPolicy::retry(u32::MAX))),
            &[
                "a_reap_fails_what_runs_or_else_what_is_next",
                "a_reap_frees_what_runs_until_its_attempts_are_used_up",
                "what_runs_side_by_side_is_freed_or_fails_together",
                "any_sequence_of_ops_does_what_the_documents_say",
            ],
        ),
        Case::new(
            "fails whatever is reaped",
            || altered(|op| under(op, ReapPolicy::fail())),
            &[
                "a_reap_frees_what_runs_until_its_attempts_are_used_up",
                "what_runs_side_by_side_is_freed_or_fails_together",
            ],
        ),
        Case::new(
            "gives each module an attempt too many",
            || altered(counts_attempts_from_zero),
            &["a_reap_frees_what_runs_until_its_attempts_are_used_up"],
        ),
        Case::new(
            "answers a reap without doing it",
            || leaves_undone(ChangeKind::Reap),
            &[
                "a_reap_fails_what_runs_or_else_what_is_next",
                "a_reap_grants_the_wish_whatever_its_policy",
                "what_stalls_is_reaped_once_by_many",
            ],
        ),
        Case::new(
            "reaps what is held",
            || each(reaps_what_is_held),
            &[
                "what_stalls_is_reaped_from_the_end_of_its_lease_on",
                "a_reap_and_a_renewal_exclude_each_other",
            ],
        ),
        Case::new(
            "reaps a moment too late",
            || altered(reaps_a_moment_later),
            &["what_stalls_is_reaped_from_the_end_of_its_lease_on"],
        ),
        Case::new(
            "reaps whoever holds it",
            || each(reaps_whoever_holds_it),
            &["a_reap_is_meant_for_one_claim"],
        ),
        Case::new(
            "swallows renewals of what was reaped",
            || each(swallows_what_is_fenced),
            &[
                "a_reap_and_a_renewal_exclude_each_other",
                "a_late_renewal_revives_nothing",
            ],
        ),
        Case::new(
            "minds no run or revision where a lease is concerned",
            || altered(minds_the_lease_alone),
            &["a_reap_of_a_passed_run_or_revision_is_stale"],
        ),
        Case::new(
            "has no room for a reap",
            || each(has_no_room),
            &["a_full_record_has_room_for_a_reap"],
        ),
    ]
}
