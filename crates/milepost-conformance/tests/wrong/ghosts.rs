//! Faults in how processes begin and cease to be, and in what is said of them then.

use std::collections::BTreeMap;
use std::sync::Mutex;

use milepost_conformance::Subject;
use milepost_core::{Change, NewProcess, Pipeline, Rejection, StatusStore, Tracker};

use crate::Case;
use crate::honest::{Honest, Records, apply};
use crate::store::Wrong;

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
        let creations = Mutex::new(BTreeMap::new());
        Wrong::new().each(move |records, op| {
            let mut creations = creations.lock().expect("no law panics in here");
            if matches!(op.change, Change::Create(_)) {
                creations.insert(op.id, op.clone());
            }
            match (apply(records, op), creations.get(&op.id)) {
                (Err(Rejection::NotFound), Some(creation))
                    if !matches!(op.change, Change::Erase) =>
                {
                    // It may have begun later than the late op says it is.
                    apply(records, creation).and_then(|_| apply(records, op))
                }
                (verdict, _) => verdict,
            }
        })
    })
}

fn begins_what_it_does_not_find() -> Subject {
    Subject::new(|| {
        let tracker = Tracker::new(Honest::new());
        let pipeline = Pipeline::new("unknown", ["module"]).expect("it is fine");
        Wrong::new().each(move |records, op| match apply(records, op) {
            Err(Rejection::NotFound) => {
                let new = NewProcess::new(&pipeline).request_id(op.id);
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
            for applied in verdicts
                .iter_mut()
                .flatten()
                .filter(|applied| !applied.changed)
            {
                applied.revision -= 1;
                applied.version.revision -= 1;
            }
            Ok(verdicts)
        })
    })
}

pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case::new(
            "writes over what is there when a process begins",
            writes_over_on_create,
            &[
                "create_never_overwrites",
                "beginning_twice_is_beginning_once",
            ],
        ),
        Case::new(
            "brings back the erased for a late op",
            brings_the_erased_back,
            &["a_late_op_for_an_erased_process_is_not_found"],
        ),
        Case::new(
            "begins what it does not find",
            begins_what_it_does_not_find,
            &["nothing_but_a_creation_or_an_import_makes_a_process_exist"],
        ),
        Case::new(
            "keeps the erased for when the id is begun anew",
            keeps_the_erased_for_later,
            &["an_id_begun_anew_has_nothing_of_the_one_before"],
        ),
        Case::new(
            "erases the same process again and again",
            erases_again_and_again,
            &["an_erasure_sent_again_is_not_found"],
        ),
        Case::new(
            "reports an old version where nothing changed",
            reports_an_old_version,
            &[
                "no_change_reports_the_state_that_is_stored",
                "every_op_sent_twice_counts_once",
            ],
        ),
    ]
}
