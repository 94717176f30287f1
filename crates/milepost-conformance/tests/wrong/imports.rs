//! Faults in how processes are imported.

use chrono::{DateTime, TimeDelta};
use milepost_conformance::Subject;
use milepost_core::{Change, Op, Update};

use crate::Case;
use crate::honest::{Records, apply};
use crate::store::Wrong;

/// A store that does this with an import, before or in place of what is lawful.
fn importing(import: fn(&mut Records, &Op) -> milepost_core::Verdict) -> Subject {
    Subject::new(move || {
        Wrong::new().each(move |records, op| match op.change {
            Change::Import(_) => import(records, op),
            _ => apply(records, op),
        })
    })
}

fn writes_over_on_import() -> Subject {
    importing(|records, op| {
        records.remove(&op.id);
        apply(records, op)
    })
}

fn counts_an_import_as_a_change() -> Subject {
    importing(|records, op| {
        let verdict = apply(records, op)?;
        if verdict.changed {
            let update = Update::new().file_description("imported");
            apply(records, &Op::new(op.id, op.at, Change::update(update)))?;
        }
        Ok(verdict)
    })
}

fn frees_what_it_imports() -> Subject {
    importing(|records, op| {
        let verdict = apply(records, op)?;
        let claimed = records.get(&op.id).and_then(|process| process.claim());
        if let Some(token) = claimed.map(milepost_core::Claim::token) {
            let release = Op::new(op.id, op.at, Change::release());
            let guard = milepost_core::Guard::new().lease(token);
            // Where the lease has ended, there is nothing to free.
            let _ = apply(records, &release.guarded(guard));
        }
        Ok(verdict)
    })
}

fn imports_what_has_expired() -> Subject {
    importing(|records, op| {
        let mut earlier = op.clone();
        if let Change::Import(process) = &op.change {
            earlier.at = process.created_at();
        }
        apply(records, &earlier)
    })
}

fn imports_at_any_time() -> Subject {
    importing(|records, op| {
        let mut bounded = op.clone();
        bounded.at = op.at.clamp(
            DateTime::UNIX_EPOCH,
            DateTime::UNIX_EPOCH + TimeDelta::days(30_000),
        );
        apply(records, &bounded)
    })
}

pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case::new(
            "writes over what is there when a process is imported",
            writes_over_on_import,
            &[
                "an_import_never_overwrites",
                "an_import_sent_again_is_made_once",
            ],
        ),
        Case::new(
            "counts an import as one more change",
            counts_an_import_as_a_change,
            &[
                "what_is_imported_is_kept_whole",
                "an_erased_process_comes_back_as_it_was_when_it_is_imported",
            ],
        ),
        Case::new(
            "frees what it imports from its worker",
            frees_what_it_imports,
            &[
                "what_is_imported_is_kept_whole",
                "work_goes_on_after_an_import",
            ],
        ),
        Case::new(
            "imports at any time",
            imports_at_any_time,
            &["an_import_at_a_time_that_cannot_be_kept_is_illegal"],
        ),
        Case::new(
            "imports what has expired",
            imports_what_has_expired,
            &["what_has_expired_gives_way_to_an_import_and_is_not_imported"],
        ),
    ]
}
