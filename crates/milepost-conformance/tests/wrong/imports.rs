//! Faults in how processes are imported.

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
            &["what_is_imported_is_kept_whole"],
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
            "imports what has expired",
            imports_what_has_expired,
            &["what_has_expired_gives_way_to_an_import_and_is_not_imported"],
        ),
    ]
}
