//! Faults in who holds a process, and until when.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use chrono::TimeDelta;
use milepost_conformance::Subject;
use milepost_core::{Change, ChangeKind, Claim, Guard, Op, Rejection, Verdict, limits};

use crate::Case;
use crate::batches::unchanged;
use crate::honest::{Honest, Records, apply};
use crate::rules::{altered, each, leaves_undone};
use crate::store::Wrong;

/// The claim that nobody has ended.
pub(crate) fn standing<'a>(records: &'a Records, op: &Op) -> Option<&'a Claim> {
    let claim = records.get(&op.id).and_then(|process| process.claim());
    claim.filter(|claim| claim.end().is_none())
}

/// The same op at the moment at which the lease has just run out, and one before it.
pub(crate) fn at_its_end(records: &Records, op: &Op, micros: i64) -> Op {
    let mut op = op.clone();
    if let Some(claim) = standing(records, &op) {
        op.at = claim.until() + TimeDelta::microseconds(micros);
    }
    op
}

pub(crate) fn concerns_a_lease(change: &Change) -> bool {
    matches!(
        change.kind(),
        ChangeKind::Claim
            | ChangeKind::Renew
            | ChangeKind::Release
            | ChangeKind::Reap
            | ChangeKind::RequestCancel
    )
}

fn claims_over_another(records: &mut Records, op: &Op) -> Verdict {
    let verdict = apply(records, op);
    match (&op.change, &verdict) {
        (Change::Claim { .. }, Err(Rejection::Held { .. })) => {
            let late = at_its_end(records, op, 0);
            apply(records, &late)
        }
        _ => verdict,
    }
}

fn holds_a_moment_longer(records: &mut Records, op: &Op) -> Verdict {
    let ends_now = standing(records, op).is_some_and(|claim| claim.until() == op.at);
    if ends_now && matches!(op.change, Change::Claim { .. }) {
        return apply(records, &at_its_end(records, op, -1));
    }
    apply(records, op)
}

fn keeps_the_first_claim(records: &mut Records, op: &Op) -> Verdict {
    let claimed = records
        .get(&op.id)
        .is_some_and(|held| held.claim().is_some());
    if claimed && matches!(op.change, Change::Claim { .. }) {
        return unchanged(records, op);
    }
    apply(records, op)
}

/// Draws the mark itself, another one each time.
fn draws_marks() -> Subject {
    Subject::new(|| {
        let drawn = AtomicU64::new(1_000);
        Wrong::new().altered(move |mut op| {
            if let Change::Claim { mark, .. } = &mut op.change {
                *mark = drawn.fetch_add(1, Ordering::Relaxed);
            }
            op
        })
    })
}

fn reopens_what_is_claimed(records: &mut Records, op: &Op) -> Verdict {
    match (&op.change, apply(records, op)) {
        (Change::Claim { .. }, Err(Rejection::Settled { status })) => {
            apply(records, &Op::new(op.id, op.at, Change::rerun()))
                .map_err(|_| Rejection::Settled { status })?;
            apply(records, op)
        }
        (_, verdict) => verdict,
    }
}

fn makes_leases_fit(mut op: Op) -> Op {
    let fit = |ttl: &mut Duration| {
        *ttl = (*ttl).clamp(limits::SHORTEST_LEASE, limits::LONGEST_LEASE);
    };
    match &mut op.change {
        Change::Claim { ttl, .. } | Change::Renew { ttl } => fit(ttl),
        _ => {}
    }
    op
}

fn renews_by_claiming_anew(records: &mut Records, op: &Op) -> Verdict {
    let held = standing(records, op).map(|claim| (claim.worker().to_owned(), claim.mark()));
    if let (Change::Renew { ttl }, Some((worker, mark))) = (&op.change, held) {
        apply(
            records,
            &Op::new(op.id, op.at, Change::release()).guarded(op.guard),
        )?;
        let claim = Change::claim(&worker, *ttl, mark + 1);
        return apply(records, &Op::new(op.id, op.at, claim));
    }
    apply(records, op)
}

fn lets_anybody_renew(records: &mut Records, op: &Op) -> Verdict {
    let mut op = op.clone();
    if matches!(op.change, Change::Renew { .. } | Change::Release) && op.guard.lease.is_none() {
        op.guard.lease = standing(records, &op).map(Claim::token);
    }
    apply(records, &op)
}

fn cuts_workers(mut op: Op) -> Op {
    if let Change::Claim { worker, .. } = &mut op.change {
        *worker = worker.trim().chars().take(32).collect();
    }
    op
}

fn keeps_marks_in_half(mut op: Op) -> Op {
    if let Change::Claim { mark, .. } = &mut op.change {
        *mark &= u64::from(u32::MAX);
    }
    op
}

/// Keeps leases in memory, and all else in a file.
fn forgets_leases_when_closed() -> Subject {
    Subject::durable(|| {
        let kept = Honest::new();
        move || {
            let (open, kept) = (Honest::new(), kept.clone());
            open.records().clone_from(&kept.records());
            Wrong::on(&open).each(move |records, op| {
                if !concerns_a_lease(&op.change) {
                    let guard = Guard::new();
                    // What it cannot keep without the lease is lost too.
                    let _ = apply(&mut kept.records(), &op.clone().guarded(guard));
                }
                apply(records, op)
            })
        }
    })
}

fn sends_claims_on_twice(records: &mut Records, op: &Op) -> Verdict {
    let verdict = apply(records, op);
    match (&op.change, &verdict) {
        // A repeat is one more of them, for whoever it names.
        (Change::Claim { worker, ttl, mark }, Ok(applied)) if !applied.changed => {
            let end = Op::new(op.id, op.at, Change::release());
            let token = standing(records, op).map_or(0, Claim::token);
            let _ = apply(records, &end.guarded(Guard::new().lease(token)));
            let anew = Change::claim(worker, *ttl, mark.wrapping_add(1 << 32));
            apply(records, &Op::new(op.id, op.at, anew))
        }
        _ => verdict,
    }
}

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = holding();
    cases.extend(keeping());
    cases
}

/// Stores that give a process to the wrong one, or for the wrong time.
fn holding() -> Vec<Case> {
    vec![
        Case::new(
            "answers a claim without making it",
            || leaves_undone(ChangeKind::Claim),
            &[
                "what_is_claimed_is_held_for_as_long_as_was_asked",
                "any_sequence_of_ops_does_what_the_documents_say",
            ],
        ),
        Case::new(
            "lets a claim take what another holds",
            || each(claims_over_another),
            &[
                "what_is_claimed_is_held_for_as_long_as_was_asked",
                "of_many_claims_at_once_one_wins",
                "any_sequence_of_ops_does_what_the_documents_say",
            ],
        ),
        Case::new(
            "holds what is claimed for a moment longer",
            || each(holds_a_moment_longer),
            &[
                "what_is_claimed_is_held_for_as_long_as_was_asked",
                "of_many_that_claim_what_stalls_one_wins",
            ],
        ),
        Case::new(
            "keeps the first claim",
            || each(keeps_the_first_claim),
            &["a_token_is_the_revision_of_its_claim_and_later_ones_are_larger"],
        ),
        Case::new(
            "draws the marks of claims itself",
            draws_marks,
            &[
                "a_claim_sent_again_is_made_once",
                "late_repeats_between_leases_change_nothing",
            ],
        ),
        Case::new(
            "makes a claim that comes again anew",
            || each(sends_claims_on_twice),
            &[
                "a_claim_sent_again_is_made_once",
                "a_batch_under_leases_sent_twice_leaves_what_sending_it_once_does",
            ],
        ),
        Case::new(
            "reopens what is claimed",
            || each(reopens_what_is_claimed),
            &[
                "what_has_settled_is_not_claimed",
                "a_cancel_needs_no_wish_and_no_lease",
            ],
        ),
        Case::new(
            "makes a lease as long as it may be",
            || altered(makes_leases_fit),
            &["what_is_wrong_in_a_claim_is_illegal"],
        ),
        Case::new(
            "renews a lease by claiming anew",
            || each(renews_by_claiming_anew),
            &["a_renewal_keeps_the_token_and_never_shortens"],
        ),
        Case::new(
            "answers a renewal without making it",
            || leaves_undone(ChangeKind::Renew),
            &[
                "a_renewal_keeps_the_token_and_never_shortens",
                "any_sequence_of_ops_does_what_the_documents_say",
            ],
        ),
        Case::new(
            "lets anybody renew and release",
            || each(lets_anybody_renew),
            &["only_under_a_lease_is_one_renewed_or_given_back"],
        ),
    ]
}

/// Stores that do not keep what was claimed as it was.
fn keeping() -> Vec<Case> {
    vec![
        Case::new(
            "cuts the names of workers",
            || altered(cuts_workers),
            &["claims_and_wishes_are_kept_whole"],
        ),
        Case::new(
            "keeps marks in 32 bits",
            || altered(keeps_marks_in_half),
            &["claims_and_wishes_are_kept_whole"],
        ),
        Case::new(
            "forgets leases when it is closed",
            forgets_leases_when_closed,
            &[
                "claims_and_wishes_are_kept_whole",
                "a_lease_goes_on_after_reopening",
            ],
        ),
    ]
}
