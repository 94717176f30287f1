//! Faults in how a batch is taken.

use milepost_conformance::Subject;
use milepost_core::{
    Change, Op, Rejection, StatusStore, StoreError, StoreErrorKind, Update, Verdict, limits,
};

use crate::Case;
use crate::honest::{Honest, Records, apply};
use crate::store::Wrong;

pub(crate) fn refuses_empty_batches() -> Subject {
    Subject::new(|| {
        Wrong::new().write(|honest, ops| match ops {
            [] => Err(StoreError::new(StoreErrorKind::Other, "nothing to do")),
            ops => honest.write(ops),
        })
    })
}

/// A no-change that reports what is stored, whatever the op was.
pub(crate) fn unchanged(records: &mut Records, op: &Op) -> Verdict {
    let at = records
        .get(&op.id)
        .map_or(op.at, |process| process.created_at());
    apply(records, &Op::new(op.id, at, Change::update(Update::new())))
}

fn backwards() -> Subject {
    Subject::new(|| {
        Wrong::new().write(|honest, ops| {
            limits::check_batch(ops)?;
            let mut records = honest.records();
            let mut verdicts = ops
                .iter()
                .rev()
                .map(|op| apply(&mut records, op))
                .collect::<Vec<_>>();
            verdicts.reverse();
            Ok(verdicts)
        })
    })
}

fn mixes_up_verdicts() -> Subject {
    Subject::new(|| {
        Wrong::new().write(|honest, ops| {
            let mut verdicts = honest.write(ops)?;
            verdicts.sort_by_key(Result::is_err);
            Ok(verdicts)
        })
    })
}

fn forgets_a_verdict() -> Subject {
    Subject::new(|| {
        Wrong::new().write(|honest, ops| {
            let mut verdicts = honest.write(ops)?;
            if verdicts.len() > 1 {
                verdicts.pop();
            }
            Ok(verdicts)
        })
    })
}

fn judges_by_the_state_before_the_batch() -> Subject {
    Subject::new(|| {
        Wrong::new().write(|honest, ops| {
            limits::check_batch(ops)?;
            let mut records = honest.records();
            let before = records.clone();
            let judge = |op: &Op| {
                let mut slot = before.get(&op.id).cloned();
                let verdict = op.apply(&mut slot);
                match slot {
                    Some(process) => records.insert(op.id, process),
                    None => records.remove(&op.id),
                };
                verdict
            };
            Ok(ops.iter().map(judge).collect())
        })
    })
}

fn erases_at_the_end_of_the_batch() -> Subject {
    Subject::new(|| {
        Wrong::new().write(|honest, ops| {
            limits::check_batch(ops)?;
            let mut records = honest.records();
            let mut verdicts = vec![Err(Rejection::NotFound); ops.len()];
            for erasing in [false, true] {
                for (op, verdict) in ops.iter().zip(&mut verdicts) {
                    if matches!(op.change, Change::Erase) == erasing {
                        *verdict = apply(&mut records, op);
                    }
                }
            }
            Ok(verdicts)
        })
    })
}

fn drops_the_rest_after_a_rejection() -> Subject {
    Subject::new(|| {
        Wrong::new().write(|honest, ops| {
            limits::check_batch(ops)?;
            let mut records = honest.records();
            let mut rejected = None;
            let judge = |op: &Op| {
                let verdict = match &rejected {
                    Some(rejection) => Err(Rejection::clone(rejection)),
                    None => apply(&mut records, op),
                };
                rejected = verdict.as_ref().err().cloned();
                verdict
            };
            Ok(ops.iter().map(judge).collect())
        })
    })
}

fn undoes_a_batch_with_a_rejection() -> Subject {
    Subject::new(|| {
        Wrong::new().write(|honest, ops| {
            let before = honest.records().clone();
            let verdicts = honest.write(ops)?;
            if verdicts.iter().any(Result::is_err) {
                *honest.records() = before;
            }
            Ok(verdicts)
        })
    })
}

fn takes_note_of_rejections() -> Subject {
    Subject::new(|| {
        Wrong::new().each(|records, op| {
            let verdict = apply(records, op);
            if verdict.is_err() {
                let note = Change::update(Update::new().file_description("rejected"));
                // What is not there takes no note.
                let _ = apply(records, &Op::new(op.id, op.at, note));
            }
            verdict
        })
    })
}

fn checks_the_limits_too_late() -> Subject {
    Subject::new(|| {
        Wrong::new().write(|honest, ops| {
            let mut records = honest.records();
            let verdicts = ops.iter().map(|op| apply(&mut records, op)).collect();
            limits::check_batch(ops)?;
            Ok(verdicts)
        })
    })
}

fn does_nothing_and_says_ok() -> Subject {
    Subject::new(|| {
        Wrong::new().write(|honest, ops| {
            let copy = Honest::new();
            copy.records().clone_from(&honest.records());
            copy.write(ops)
        })
    })
}

fn takes_any_batch() -> Subject {
    Subject::new(|| {
        Wrong::new().write(|honest, ops| {
            let mut records = honest.records();
            Ok(ops.iter().map(|op| apply(&mut records, op)).collect())
        })
    })
}

pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case::new(
            "applies a batch backwards",
            backwards,
            &["a_batch_is_its_ops_one_by_one"],
        ),
        Case::new(
            "mixes up its verdicts",
            mixes_up_verdicts,
            &["there_is_one_verdict_for_each_op_in_order"],
        ),
        Case::new(
            "forgets a verdict",
            forgets_a_verdict,
            &["there_is_one_verdict_for_each_op_in_order"],
        ),
        Case::new(
            "judges every op by the state before the batch",
            judges_by_the_state_before_the_batch,
            &["a_later_op_sees_what_an_earlier_one_of_its_batch_did"],
        ),
        Case::new(
            "erases at the end of the batch",
            erases_at_the_end_of_the_batch,
            &["a_process_may_live_and_die_in_one_batch"],
        ),
        Case::new(
            "refuses empty batches",
            refuses_empty_batches,
            &["an_empty_batch_is_answered_by_no_verdicts"],
        ),
        Case::new(
            "drops the rest of a batch after a rejection",
            drops_the_rest_after_a_rejection,
            &["a_rejected_op_spoils_nothing_else_in_its_batch"],
        ),
        Case::new(
            "undoes a batch with a rejection in it",
            undoes_a_batch_with_a_rejection,
            &["a_rejected_op_spoils_nothing_else_in_its_batch"],
        ),
        Case::new(
            "takes note of rejections in the record",
            takes_note_of_rejections,
            &["a_rejected_op_leaves_the_record_untouched"],
        ),
        Case::new(
            "checks the limits after it has applied",
            checks_the_limits_too_late,
            &[
                "a_refused_batch_is_kept_in_no_part",
                "a_batch_of_too_many_ops_is_over_the_limit",
                "a_batch_of_too_many_bytes_is_over_the_limit",
            ],
        ),
        Case::new(
            "takes a batch of any size",
            takes_any_batch,
            &[
                "a_batch_of_too_many_ops_is_over_the_limit",
                "a_batch_of_too_many_bytes_is_over_the_limit",
            ],
        ),
        Case::new(
            "does nothing and says Ok",
            does_nothing_and_says_ok,
            &[
                "every_part_of_a_record_is_kept",
                "a_batch_is_its_ops_one_by_one",
            ],
        ),
    ]
}
