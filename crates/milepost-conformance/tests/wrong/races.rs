//! Faults that show only when many want one process.

use std::thread;
use std::time::Duration;

use milepost_conformance::Subject;
use milepost_core::{Change, Op, Rejection, Verdict, limits};

use crate::Case;
use crate::batches::unchanged;
use crate::honest::{Records, apply};
use crate::leases::concerns_a_lease;
use crate::rules::each;
use crate::store::Wrong;

/// Reads, thinks for long, and writes what it came to, whoever wrote meanwhile: wherever a lease is
/// concerned. Threads that start within that time have all read the same.
fn takes_no_lock_for_leases() -> Subject {
    Subject::new(|| {
        Wrong::new().write(|honest, ops| {
            limits::check_batch(ops)?;
            let judge = |op: &Op| {
                if !concerns_a_lease(&op.change) && !matches!(op.change, Change::Cancel { .. }) {
                    return apply(&mut honest.records(), op);
                }
                let mut slot = honest.records().get(&op.id).cloned();
                thread::sleep(Duration::from_millis(20));
                let verdict = op.apply(&mut slot);
                if let Some(process) = slot {
                    honest.records().insert(op.id, process);
                }
                verdict
            };
            Ok(ops.iter().map(judge).collect())
        })
    })
}

/// Says of these changes that they changed something, also where they did not.
fn always_changes(records: &mut Records, op: &Op) -> Verdict {
    apply(records, op).map(|mut applied| {
        applied.changed |= matches!(op.change, Change::Reap { .. } | Change::Cancel { .. });
        applied
    })
}

/// Whoever renews and whoever reaps are both told that they did.
fn pleases_both(records: &mut Records, op: &Op) -> Verdict {
    match (&op.change, apply(records, op)) {
        (Change::Reap { .. }, Err(Rejection::Held { until, .. })) => {
            let mut late = op.clone();
            late.at = until;
            apply(records, &late)
        }
        (Change::Renew { .. }, Err(Rejection::Fenced { .. })) => unchanged(records, op),
        (_, verdict) => verdict,
    }
}

pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case::new(
            "takes no lock where a lease is concerned",
            takes_no_lock_for_leases,
            &[
                "of_many_claims_at_once_one_wins",
                "of_many_that_claim_what_stalls_one_wins",
                "a_claim_and_a_cancel_at_once_come_one_after_the_other",
                "a_reap_and_a_renewal_at_once_do_not_both_hold",
                "what_stalls_is_reaped_once_by_many",
                "no_wish_is_lost_to_a_release",
            ],
        ),
        Case::new(
            "says of all reaps and cancels that they changed something",
            || each(always_changes),
            &[
                "what_stalls_is_reaped_once_by_many",
                "a_claim_and_a_cancel_at_once_come_one_after_the_other",
            ],
        ),
        Case::new(
            "tells whoever reaps and whoever renews that they did",
            || each(pleases_both),
            &["a_reap_and_a_renewal_at_once_do_not_both_hold"],
        ),
    ]
}
