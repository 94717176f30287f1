//! Faults that show only when somebody else looks: threads, other store values, reopening, reads.

use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use milepost_conformance::Subject;
use milepost_core::{Change, Op, StatusStore, Update, limits};

use crate::Case;
use crate::honest::{Honest, Records, apply};
use crate::store::Wrong;

fn on_one_place(open: fn(&Honest) -> Wrong) -> Subject {
    Subject::durable(move || {
        let records = Honest::new();
        move || open(&records)
    })
}

fn remembers_what_it_read() -> Subject {
    on_one_place(|records| {
        let remembered = Mutex::new(Records::new());
        Wrong::on(records).read(move |honest, id| {
            let mut remembered = remembered.lock().expect("no law panics in here");
            if let Some(process) = honest.read(id)? {
                remembered.entry(id).or_insert(process);
            }
            Ok(remembered.get(&id).cloned())
        })
    })
}

fn decides_on_what_it_remembers() -> Subject {
    on_one_place(|records| {
        let remembered = Mutex::new(Records::new());
        Wrong::on(records).write(move |honest, ops| {
            limits::check_batch(ops)?;
            let mut remembered = remembered.lock().expect("no law panics in here");
            let mut records = honest.records();
            let judge = |op: &Op| {
                let stored = records.get(&op.id).cloned();
                let mut slot = remembered.get(&op.id).cloned().or(stored);
                let verdict = op.apply(&mut slot);
                if let Some(process) = slot {
                    remembered.insert(op.id, Arc::clone(&process));
                    records.insert(op.id, process);
                } else {
                    remembered.remove(&op.id);
                    records.remove(&op.id);
                }
                verdict
            };
            Ok(ops.iter().map(judge).collect())
        })
    })
}

/// Keeps the last batch in memory until the next one comes.
fn loses_the_last_batch() -> Subject {
    on_one_place(|records| {
        let ahead = Honest::new();
        ahead.records().clone_from(&records.records());
        let (written, read, listed, counted) =
            (ahead.clone(), ahead.clone(), ahead.clone(), ahead.clone());
        Wrong::on(records)
            .write(move |honest, ops| {
                honest.records().clone_from(&written.records());
                written.write(ops)
            })
            .read(move |_, id| read.read(id))
            .list(move |_, listing| listed.list(listing))
            .count(move |_, filter| counted.count(filter))
    })
}

fn writes_updates_in_two_steps() -> Subject {
    Subject::new(|| {
        Wrong::new().write(|honest, ops| {
            limits::check_batch(ops)?;
            let judge = |op: &Op| {
                if matches!(op.change, Change::Update(_)) {
                    let half = Change::update(Update::new().file_name("half"));
                    let half = Op::new(op.id, op.at, half);
                    apply(&mut honest.records(), &half)?;
                    thread::sleep(Duration::from_micros(300));
                }
                apply(&mut honest.records(), op)
            };
            Ok(ops.iter().map(judge).collect())
        })
    })
}

/// Reads, thinks, and writes what it came to, whoever wrote meanwhile.
fn takes_no_lock() -> Subject {
    Subject::new(|| {
        Wrong::new().write(|honest, ops| {
            limits::check_batch(ops)?;
            let judge = |op: &Op| {
                let mut slot = honest.records().get(&op.id).cloned();
                thread::sleep(Duration::from_millis(1));
                let verdict = op.apply(&mut slot);
                match slot {
                    Some(process) => honest.records().insert(op.id, process),
                    None => honest.records().remove(&op.id),
                };
                verdict
            };
            Ok(ops.iter().map(judge).collect())
        })
    })
}

/// Reads the whole file, changes it, and writes the whole file.
fn writes_all_of_it_back() -> Subject {
    Subject::new(|| {
        Wrong::new().write(|honest, ops| {
            limits::check_batch(ops)?;
            let mut all = honest.records().clone();
            let verdicts = ops.iter().map(|op| apply(&mut all, op)).collect();
            thread::sleep(Duration::from_micros(200));
            *honest.records() = all;
            Ok(verdicts)
        })
    })
}

fn leaves_out_the_absent() -> Subject {
    Subject::new(|| {
        Wrong::new().read_many(|honest, ids| {
            let mut read = honest.read_many(ids)?;
            read.retain(Option::is_some);
            Ok(read)
        })
    })
}

fn reads_in_the_order_of_ids() -> Subject {
    Subject::new(|| {
        Wrong::new().read_many(|honest, ids| {
            let mut ids = ids.to_vec();
            ids.sort_unstable();
            honest.read_many(&ids)
        })
    })
}

fn answers_each_id_once() -> Subject {
    Subject::new(|| {
        Wrong::new().versions(|honest, ids| {
            let mut ids = ids.to_vec();
            ids.dedup();
            let mut versions = honest.versions(&ids)?;
            versions.sort_by_key(|version| version.map(|version| version.revision));
            Ok(versions)
        })
    })
}

fn counts_no_revisions() -> Subject {
    Subject::new(|| {
        Wrong::new().versions(|honest, ids| {
            let mut versions = honest.versions(ids)?;
            for version in versions.iter_mut().flatten() {
                version.revision = 1;
            }
            Ok(versions)
        })
    })
}

fn reads_any_number_of_ids() -> Subject {
    Subject::new(|| {
        Wrong::new()
            .read_many(|honest, ids| ids.iter().map(|id| honest.read(*id)).collect())
            .versions(|honest, ids| {
                let version = |id| Ok(honest.read(id)?.map(|process| process.version()));
                ids.iter().map(|id| version(*id)).collect()
            })
    })
}

pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case::new(
            "remembers what it read",
            remembers_what_it_read,
            &["what_is_acknowledged_is_seen_by_everybody"],
        ),
        Case::new(
            "decides on what it remembers",
            decides_on_what_it_remembers,
            &["verdicts_are_decided_on_the_state_that_is_stored_now"],
        ),
        Case::new(
            "loses the last batch when it is closed",
            loses_the_last_batch,
            &["what_is_acknowledged_is_there_after_reopening"],
        ),
        Case::new(
            "writes updates in two steps",
            writes_updates_in_two_steps,
            &["half_an_op_is_never_seen"],
        ),
        Case::new(
            "takes no lock",
            takes_no_lock,
            &[
                "of_many_creations_of_one_id_one_wins",
                "each_transition_is_won_by_one",
                "concurrent_changes_to_one_process_are_none_lost",
                "a_process_that_many_begin_and_erase_is_never_half_there",
            ],
        ),
        Case::new(
            "writes all of its records back",
            writes_all_of_it_back,
            &["concurrent_changes_to_many_processes_are_none_lost"],
        ),
        Case::new(
            "leaves out the absent",
            leaves_out_the_absent,
            &["read_many_answers_each_id_in_order"],
        ),
        Case::new(
            "reads in the order of ids",
            reads_in_the_order_of_ids,
            &["read_many_answers_each_id_in_order"],
        ),
        Case::new(
            "answers each id once",
            answers_each_id_once,
            &["versions_answers_each_id_in_order"],
        ),
        Case::new(
            "counts no revisions",
            counts_no_revisions,
            &[
                "a_version_changes_with_every_change",
                "versions_answers_each_id_in_order",
            ],
        ),
        Case::new(
            "reads any number of ids",
            reads_any_number_of_ids,
            &["reading_too_many_ids_is_over_the_limit"],
        ),
    ]
}
