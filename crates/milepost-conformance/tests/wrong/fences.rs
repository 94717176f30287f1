//! Faults in who is fenced off.

use chrono::TimeDelta;
use milepost_core::{
    Change, Claim, ClaimEnd, GuardKind, Illegality, Op, Process, Rejection, Verdict, limits,
};

use crate::Case;
use crate::honest::{Records, apply};
use crate::leases::{at_its_end, concerns_a_lease, standing};
use crate::rules::{altered, each};

/// What a store does that does not know of leases: it asks nobody for one.
fn minds_no_lease(mut op: Op) -> Op {
    if !matches!(op.change, Change::Renew { .. } | Change::Release) {
        op.guard.lease = None;
    }
    op
}

fn minds_no_born_under_a_lease(mut op: Op) -> Op {
    if op.guard.lease.is_some() {
        op.guard.born = None;
    }
    op
}

fn takes_the_future_for_the_past(records: &mut Records, op: &Op) -> Verdict {
    match apply(records, op) {
        Err(Rejection::Illegal {
            cause:
                Illegality::FutureGuard {
                    guard: GuardKind::Lease,
                    given,
                    ..
                },
        }) => Err(Rejection::Fenced {
            given,
            current: standing(records, op).map(Claim::token),
        }),
        verdict => verdict,
    }
}

fn fences_all_others(records: &mut Records, op: &Op) -> Verdict {
    let others = op.guard.lease.is_none() && !concerns_a_lease(&op.change);
    if let Some(claim) = standing(records, op)
        && others
    {
        return Err(Rejection::Held {
            worker: claim.worker().into(),
            until: claim.until(),
        });
    }
    apply(records, op)
}

fn revives_what_ran_out(records: &mut Records, op: &Op) -> Verdict {
    let verdict = apply(records, op);
    match (&op.change, &verdict) {
        (Change::Renew { .. }, Err(Rejection::Fenced { given, current }))
            if Some(*given) == *current =>
        {
            let early = at_its_end(records, op, -1);
            apply(records, &early)
        }
        _ => verdict,
    }
}

fn lets_leases_run_out_in_what_settled(records: &mut Records, op: &Op) -> Verdict {
    let settled = |process: &Process| process.is_settled();
    if let Some(claim) = standing(records, op)
        && op.guard.lease.is_some()
        && claim.until() <= op.at
        && settled(&records[&op.id])
    {
        return Err(Rejection::Fenced {
            given: claim.token(),
            current: Some(claim.token()),
        });
    }
    apply(records, op)
}

fn lets_go_of_all_leases_in_what_settled(records: &mut Records, op: &Op) -> Verdict {
    let mut free = op.clone();
    if standing(records, op).is_some_and(|claim| Some(claim.token()) == op.guard.lease)
        && records[&op.id].is_settled()
    {
        free.guard.lease = None;
    }
    apply(records, &free)
}

fn judges_the_lease_last(records: &mut Records, op: &Op) -> Verdict {
    let verdict = apply(records, op);
    if let Err(Rejection::Fenced { .. }) = verdict {
        let mut others = op.clone();
        others.guard.lease = None;
        let mut copy = records.clone();
        apply(&mut copy, &others)?;
    }
    verdict
}

fn keeps_the_holder_over_a_rerun(records: &mut Records, op: &Op) -> Verdict {
    let claim = standing(records, op).cloned();
    let verdict = apply(records, op);
    if let (Change::Rerun, Some(claim)) = (&op.change, claim) {
        let ttl = (claim.until() - op.at)
            .to_std()
            .unwrap_or(limits::SHORTEST_LEASE);
        let claim = Change::claim(claim.worker(), ttl, claim.mark());
        // A lease that cannot be kept is lost.
        let _ = apply(records, &Op::new(op.id, op.at, claim));
    }
    verdict
}

/// Goes by the latest time that it has seen: no clock may be behind another.
fn goes_by_the_latest_clock(records: &mut Records, op: &Op) -> Verdict {
    let mut op = op.clone();
    if let Some(process) = records
        .get(&op.id)
        .filter(|process| process.claim().is_some())
    {
        op.at = op.at.max(process.updated_at());
    }
    apply(records, &op)
}

fn takes_released_for_unknown(records: &mut Records, op: &Op) -> Verdict {
    let claim = records.get(&op.id).and_then(|process| process.claim());
    let end = claim.and_then(Claim::end);
    if let (Change::Release, Some(ClaimEnd::Released { .. })) = (&op.change, end) {
        let op = Op::new(op.id, op.at, Change::start(1)).guarded(op.guard);
        return apply(records, &op);
    }
    apply(records, op)
}

/// Lets nothing expire as long as somebody holds it.
fn keeps_what_is_held(records: &mut Records, op: &Op) -> Verdict {
    let mut op = op.clone();
    if let Some(process) = records.get(&op.id)
        && let Some(expiry) = process.expires_at()
        && process.is_leased(op.at)
        && !matches!(op.change, Change::Create(_))
    {
        op.at = op.at.min(expiry - TimeDelta::microseconds(1));
    }
    apply(records, &op)
}

pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case::new(
            "minds no lease",
            || altered(minds_no_lease),
            &[
                "what_comes_after_a_lease_ran_out_is_fenced",
                "what_comes_after_another_claimed_is_fenced",
                "what_comes_after_a_release_is_fenced",
                "what_comes_after_a_reap_is_fenced",
                "the_lease_is_judged_before_the_rest_of_the_guard",
                "whoever_works_under_a_lease_is_heard",
                "a_rerun_clears_the_lease",
                "of_two_holders_whose_clocks_differ_the_later_claim_counts",
                "late_repeats_between_leases_change_nothing",
                "any_sequence_of_ops_does_what_the_documents_say",
            ],
        ),
        Case::new(
            "takes a lease that has not come for one that has passed",
            || each(takes_the_future_for_the_past),
            &["a_lease_that_has_not_come_is_illegal"],
        ),
        Case::new(
            "fences off whoever asks for no lease",
            || each(fences_all_others),
            &["ops_that_ask_for_no_lease_pass_under_anybody_s"],
        ),
        Case::new(
            "lets a late renewal revive a lease",
            || each(revives_what_ran_out),
            &[
                "a_late_renewal_revives_nothing",
                "what_comes_after_a_lease_ran_out_is_fenced",
                "any_sequence_of_ops_does_what_the_documents_say",
            ],
        ),
        Case::new(
            "lets leases run out in what has settled",
            || each(lets_leases_run_out_in_what_settled),
            &["in_a_settled_process_no_lease_runs_out"],
        ),
        Case::new(
            "lets everybody pass in what has settled",
            || each(lets_go_of_all_leases_in_what_settled),
            &["what_ran_out_before_it_settled_stays_fenced"],
        ),
        Case::new(
            "judges the lease after all else",
            || each(judges_the_lease_last),
            &["the_lease_is_judged_before_the_rest_of_the_guard"],
        ),
        Case::new(
            "keeps the holder over a rerun",
            || each(keeps_the_holder_over_a_rerun),
            &["a_rerun_clears_the_lease"],
        ),
        Case::new(
            "goes by the latest clock that it has seen",
            || each(goes_by_the_latest_clock),
            &["of_two_holders_whose_clocks_differ_the_later_claim_counts"],
        ),
        Case::new(
            "does not know a release that comes again",
            || each(takes_released_for_unknown),
            &[
                "what_comes_after_a_release_is_fenced",
                "late_repeats_between_leases_change_nothing",
            ],
        ),
        Case::new(
            "minds the lease and not of which process it was",
            || altered(minds_no_born_under_a_lease),
            &[
                "erased_while_leased_nothing_is_left",
                "the_lease_is_judged_before_the_rest_of_the_guard",
            ],
        ),
        Case::new(
            "lets nothing expire that is held",
            || each(keeps_what_is_held),
            &["what_expires_while_leased_is_nobody_s"],
        ),
    ]
}
