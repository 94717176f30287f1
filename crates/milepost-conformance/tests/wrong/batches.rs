//! Faults in how a batch is taken.

use std::collections::BTreeMap;
use std::sync::Mutex;

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
    let at = records.get(&op.id).map_or(op.at, |process| process.created_at());
    apply(records, &Op::new(op.id, at, Change::update(Update::new())))
}

fn backwards() -> Subject {
    Subject::new(|| {
        Wrong::new().write(|honest, ops| {
            limits::check_batch(ops)?;
            let mut records = honest.records();
            let mut verdicts =
                ops.iter().rev().map(|op| apply(&mut records, op)).collect::<Vec<_>>();
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

fn writes_over_on_create() -> Subject {
    Subject::new(|| {
        Wrong::new().each(|records, op| {
            if matches!(op.change, Change::Create(_)) {
                records.remove(&op.id);
            }
            apply(records, op)
        })
    })
}

fn brings_the_erased_back() -> Subject {
    Subject::new(|| {
        let begun = Mutex::new(BTreeMap::new());
        Wrong::new().each(move |records, op| {
            let mut begun = begun.lock().expect("no law panics in here");
            if matches!(op.change, Change::Create(_)) {
                begun.insert(op.id, op.clone());
            }
            match (apply(records, op), begun.get(&op.id)) {
                (Err(Rejection::NotFound), Some(begin)) if !matches!(op.change, Change::Erase) => {
                    // It may have begun later than the late op says it is.
                    apply(records, begin).and_then(|_| apply(records, op))
                }
                (verdict, _) => verdict,
            }
        })
    })
}

fn begins_what_it_does_not_find() -> Subject {
    Subject::new(|| {
        let tracker = milepost_core::Tracker::new(Honest::new());
        let pipeline = milepost_core::Pipeline::new("unknown", ["module"]).expect("it is fine");
        Wrong::new().each(move |records, op| match apply(records, op) {
            Err(Rejection::NotFound) => {
                let new = milepost_core::NewProcess::new(&pipeline).request_id(op.id);
                let mut begin = tracker.prepare(new).expect("it can begin");
                begin.at = op.at;
                apply(records, &begin)
            }
            verdict => verdict,
        })
    })
}

fn keeps_the_erased_for_later() -> Subject {
    Subject::new(|| {
        let erased = Mutex::new(Records::new());
        Wrong::new().each(move |records, op| {
            let mut erased = erased.lock().expect("no law panics in here");
            let before = records.get(&op.id).cloned();
            match (&op.change, before, erased.remove(&op.id)) {
                (Change::Erase, Some(process), _) => {
                    erased.insert(op.id, process);
                }
                (Change::Create(_), None, Some(process)) => {
                    records.insert(op.id, process);
                }
                _ => {}
            }
            apply(records, op)
        })
    })
}

fn erases_again_and_again() -> Subject {
    Subject::new(|| {
        let erased = Mutex::new(BTreeMap::new());
        Wrong::new().each(move |records, op| {
            let mut erased = erased.lock().expect("no law panics in here");
            let verdict = apply(records, op);
            match (&op.change, &verdict) {
                (Change::Erase, Ok(applied)) => {
                    erased.insert(op.id, *applied);
                    verdict
                }
                (Change::Erase, Err(_)) => match erased.get(&op.id) {
                    Some(applied) => Ok(*applied),
                    None => verdict,
                },
                _ => verdict,
            }
        })
    })
}

fn reports_an_old_version() -> Subject {
    Subject::new(|| {
        Wrong::new().write(|honest, ops| {
            let mut verdicts = honest.write(ops)?;
            for applied in verdicts.iter_mut().flatten().filter(|applied| !applied.changed) {
                applied.revision -= 1;
                applied.version.revision -= 1;
            }
            Ok(verdicts)
        })
    })
}

pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case {
            fault: "applies a batch backwards",
            subject: backwards,
            breaks: &["a_batch_is_its_ops_one_by_one"],
        },
        Case {
            fault: "mixes up its verdicts",
            subject: mixes_up_verdicts,
            breaks: &["there_is_one_verdict_for_each_op_in_order"],
        },
        Case {
            fault: "forgets a verdict",
            subject: forgets_a_verdict,
            breaks: &["there_is_one_verdict_for_each_op_in_order"],
        },
        Case {
            fault: "judges every op by the state before the batch",
            subject: judges_by_the_state_before_the_batch,
            breaks: &["a_later_op_sees_what_an_earlier_one_of_its_batch_did"],
        },
        Case {
            fault: "erases at the end of the batch",
            subject: erases_at_the_end_of_the_batch,
            breaks: &["a_process_may_live_and_die_in_one_batch"],
        },
        Case {
            fault: "refuses empty batches",
            subject: refuses_empty_batches,
            breaks: &["an_empty_batch_is_answered_by_no_verdicts"],
        },
        Case {
            fault: "drops the rest of a batch after a rejection",
            subject: drops_the_rest_after_a_rejection,
            breaks: &["a_rejected_op_spoils_nothing_else_in_its_batch"],
        },
        Case {
            fault: "undoes a batch with a rejection in it",
            subject: undoes_a_batch_with_a_rejection,
            breaks: &["a_rejected_op_spoils_nothing_else_in_its_batch"],
        },
        Case {
            fault: "takes note of rejections in the record",
            subject: takes_note_of_rejections,
            breaks: &["a_rejected_op_leaves_the_record_untouched"],
        },
        Case {
            fault: "checks the limits after it has applied",
            subject: checks_the_limits_too_late,
            breaks: &[
                "a_refused_batch_is_kept_in_no_part",
                "a_batch_of_too_many_ops_is_over_the_limit",
                "a_batch_of_too_many_bytes_is_over_the_limit",
            ],
        },
        Case {
            fault: "takes a batch of any size",
            subject: takes_any_batch,
            breaks: &[
                "a_batch_of_too_many_ops_is_over_the_limit",
                "a_batch_of_too_many_bytes_is_over_the_limit",
            ],
        },
        Case {
            fault: "does nothing and says Ok",
            subject: does_nothing_and_says_ok,
            breaks: &["every_part_of_a_record_is_kept", "a_batch_is_its_ops_one_by_one"],
        },
        Case {
            fault: "writes over what is there when a process begins",
            subject: writes_over_on_create,
            breaks: &["create_never_overwrites", "beginning_twice_is_beginning_once"],
        },
        Case {
            fault: "brings back the erased for a late op",
            subject: brings_the_erased_back,
            breaks: &["a_late_op_for_an_erased_process_is_not_found"],
        },
        Case {
            fault: "begins what it does not find",
            subject: begins_what_it_does_not_find,
            breaks: &["nothing_but_a_creation_makes_a_process_exist"],
        },
        Case {
            fault: "keeps the erased for when the id is begun anew",
            subject: keeps_the_erased_for_later,
            breaks: &["an_id_begun_anew_has_nothing_of_the_one_before"],
        },
        Case {
            fault: "erases the same process again and again",
            subject: erases_again_and_again,
            breaks: &["an_erasure_sent_again_is_not_found"],
        },
        Case {
            fault: "reports an old version where nothing changed",
            subject: reports_an_old_version,
            breaks: &[
                "no_change_reports_the_state_that_is_stored",
                "every_op_sent_twice_counts_once",
            ],
        },
    ]
}
