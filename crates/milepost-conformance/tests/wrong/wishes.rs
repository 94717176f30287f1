//! Faults in what comes of a request to cancel.

use milepost_core::{Change, ChangeKind, Op, Rejection, Verdict};

use crate::Case;
use crate::batches::unchanged;
use crate::honest::{Records, apply};
use crate::rules::{altered, each, leaves_undone};

fn grants_at_once(mut op: Op) -> Op {
    if let Change::RequestCancel { reason } = &op.change {
        op.change = Change::cancel(reason);
    }
    op
}

fn asks_before_it_cancels(mut op: Op) -> Op {
    if let Change::Cancel { reason } = &op.change {
        op.change = Change::request_cancel(reason);
    }
    op
}

fn swallows_wishes(records: &mut Records, op: &Op) -> Verdict {
    match (&op.change, apply(records, op)) {
        (Change::RequestCancel { .. }, Err(Rejection::Settled { .. })) => unchanged(records, op),
        (_, verdict) => verdict,
    }
}

fn tells_nobody(records: &mut Records, op: &Op) -> Verdict {
    apply(records, op).map(|mut applied| {
        applied.cancel_requested = false;
        applied
    })
}

/// Leaves it to others to end a lease under which a wish stands.
fn waits_where_a_wish_stands(records: &mut Records, op: &Op, kind: ChangeKind) -> Verdict {
    let process = records.get(&op.id);
    let wished = process.is_some_and(|process| process.cancel_requested().is_some());
    if wished && op.change.kind() == kind {
        return unchanged(records, op);
    }
    apply(records, op)
}

fn grants_it_to_whoever_is_next(records: &mut Records, op: &Op) -> Verdict {
    let process = records.get(&op.id);
    let wish = process.and_then(|process| process.cancel_requested().cloned());
    if let (Change::Claim { .. }, Some(wish)) = (&op.change, wish) {
        return apply(
            records,
            &Op::new(op.id, op.at, Change::cancel(wish.reason())),
        );
    }
    apply(records, op)
}

/// Cancels what somebody wished cancelled, also once the work is done.
fn completes_nothing_that_is_called_off(records: &mut Records, op: &Op) -> Verdict {
    let process = records.get(&op.id);
    let wish = process.and_then(|process| process.cancel_requested().cloned());
    if let (Change::Complete { .. }, Some(wish)) = (&op.change, wish) {
        return apply(
            records,
            &Op::new(op.id, op.at, Change::cancel(wish.reason())),
        );
    }
    apply(records, op)
}

pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case::new(
            "grants every wish at once",
            || altered(grants_at_once),
            &[
                "under_a_lease_a_wish_stands_until_it_is_granted",
                "a_wish_outlives_the_lease_that_it_met",
                "what_is_completed_despite_a_wish_stays_complete",
                "a_release_grants_the_wish",
                "a_reap_grants_the_wish_whatever_its_policy",
                "any_sequence_of_ops_does_what_the_documents_say",
            ],
        ),
        Case::new(
            "answers a wish without noting it",
            || leaves_undone(ChangeKind::RequestCancel),
            &[
                "where_no_lease_lasts_a_wish_is_granted_at_once",
                "under_a_lease_a_wish_stands_until_it_is_granted",
                "no_wish_is_lost_to_a_release",
            ],
        ),
        Case::new(
            "asks before it cancels",
            || altered(asks_before_it_cancels),
            &[
                "a_cancel_needs_no_wish_and_no_lease",
                "under_a_lease_a_wish_stands_until_it_is_granted",
            ],
        ),
        Case::new(
            "swallows wishes for what has settled",
            || each(swallows_wishes),
            &[
                "a_wish_for_what_has_settled_changes_nothing",
                "what_is_completed_despite_a_wish_stays_complete",
            ],
        ),
        Case::new(
            "tells nobody what is wished",
            || each(tells_nobody),
            &[
                "under_a_lease_a_wish_stands_until_it_is_granted",
                "any_sequence_of_ops_does_what_the_documents_say",
            ],
        ),
        Case::new(
            "releases without granting the wish",
            || each(|records, op| waits_where_a_wish_stands(records, op, ChangeKind::Release)),
            &["a_release_grants_the_wish"],
        ),
        Case::new(
            "reaps without granting the wish",
            || each(|records, op| waits_where_a_wish_stands(records, op, ChangeKind::Reap)),
            &["a_reap_grants_the_wish_whatever_its_policy"],
        ),
        Case::new(
            "grants a wish to whoever claims next",
            || each(grants_it_to_whoever_is_next),
            &["a_wish_outlives_the_lease_that_it_met"],
        ),
        Case::new(
            "completes nothing that is called off",
            || each(completes_nothing_that_is_called_off),
            &["what_is_completed_despite_a_wish_stays_complete"],
        ),
    ]
}
