//! The laws of faults, each tried briefly, and what breaks them.

#![cfg(unix)]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use milepost::{
    Op, SqliteStore, StatusStore, StoreError, StoreErrorKind, Verdict, Wipe, WipeLevel,
};
use milepost_tests::bent::{Bend, Bent, Wipes};
use milepost_tests::law::{briefly, broken, broken_if_tried};
use milepost_tests::laws::fault;

#[test]
fn whatever_fails_the_store_says_so_loses_nothing_and_works_afterwards() {
    briefly(&fault::FAULTS, 300);
}

#[test]
fn batches_that_are_written_early_and_checkpoints_do_not_change_that() {
    briefly(&fault::FAULTS_IN_LARGE, 8);
}

#[test]
fn a_batch_without_room_spoils_none_that_come_with_it() {
    briefly(&fault::FULL_FOR_ONE, 10);
}

#[test]
fn a_full_disk_loses_nothing_and_is_worked_off_once_there_is_room() {
    briefly(&fault::FULL_DISK, 10);
}

/// The SQLite store, writing in another way.
#[derive(Debug)]
struct Writes {
    store: SqliteStore,
    write: fn(&SqliteStore, &[Op]) -> Result<Vec<Verdict>, StoreError>,
}

impl Bend for Writes {
    fn store(&self) -> &dyn StatusStore {
        &self.store
    }

    fn write(&self, ops: &[Op]) -> Result<Vec<Verdict>, StoreError> {
        (self.write)(&self.store, ops)
    }
}

/// A commit that failed, or found no room, is taken for one that went well.
fn swallow(store: &SqliteStore, ops: &[Op]) -> Result<Vec<Verdict>, StoreError> {
    let before = |op: &Op| store.read(op.id);
    let mut slots = ops.iter().map(before).collect::<Result<Vec<_>, _>>()?;
    match store.write(ops) {
        Err(error)
            if matches!(
                error.kind(),
                StoreErrorKind::OutcomeUnknown | StoreErrorKind::Full
            ) =>
        {
            let verdicts = ops.iter().zip(&mut slots);
            Ok(verdicts.map(|(op, slot)| op.apply(slot)).collect())
        }
        answer => answer,
    }
}

/// How the law of faults is broken by such a store.
#[track_caller]
fn broken_by(wrap: fault::Wrap) -> String {
    broken(2_000, |shard| fault::try_faults(shard, &fault::SHORT, wrap))
}

fn swallowing(store: SqliteStore) -> Arc<dyn StatusStore> {
    let write = swallow;
    Arc::new(Bent(Writes { store, write }))
}

fn is_about_what_was_lost(how: &str) -> bool {
    how.contains("not what it answered") || how.contains("after a crash")
}

#[test]
fn a_swallowed_error_breaks_the_laws_of_faults() {
    let how = broken_by(swallowing);
    assert!(is_about_what_was_lost(&how), "{how}");
    let how = broken(2_000, |shard| {
        fault::try_faults(shard, &fault::LONG, swallowing)
    });
    assert!(is_about_what_was_lost(&how), "{how}");
}

#[test]
fn a_swallowed_error_breaks_the_law_of_full_disks() {
    let how = broken_if_tried("a full disk that nobody hears of", 20, |shard| {
        fault::full_disks(shard, swallowing)
    });
    assert!(how.is_none_or(|how| is_about_what_was_lost(&how)));
}

/// Somebody small is told that there is no room, because there is none for somebody large.
#[test]
fn a_batch_that_another_spoils_breaks_the_law() {
    static SPOILS_NONE: AtomicBool = AtomicBool::new(false);
    fn write(store: &SqliteStore, ops: &[Op]) -> Result<Vec<Verdict>, StoreError> {
        if ops.len() < 4 && !SPOILS_NONE.swap(true, Ordering::Relaxed) {
            return Err(StoreError::new(StoreErrorKind::Full, "for somebody else"));
        }
        store.write(ops)
    }
    let how = broken(20, |shard| {
        fault::full_for_one(shard, |store| Arc::new(Bent(Writes { store, write })))
    });
    assert!(how.contains("was answered Err"), "{how}");
}

/// Nobody can know whether it was kept, and yet it is said that nothing was.
#[test]
fn a_plain_error_where_the_outcome_is_unknown_breaks_the_law() {
    fn write(store: &SqliteStore, ops: &[Op]) -> Result<Vec<Verdict>, StoreError> {
        store.write(ops).map_err(|error| match error.kind() {
            StoreErrorKind::OutcomeUnknown => StoreError::new(StoreErrorKind::Unavailable, error),
            _ => error,
        })
    }
    let how = broken_by(|store| Arc::new(Bent(Writes { store, write })));
    assert!(how.contains("wrong kind"), "{how}");
}

/// A store that sends again by itself what may have been kept.
#[test]
fn a_batch_that_is_applied_twice_breaks_the_law() {
    fn write(store: &SqliteStore, ops: &[Op]) -> Result<Vec<Verdict>, StoreError> {
        let answer = store.write(ops)?;
        store.write(ops).map(|_| answer)
    }
    let how = broken_by(|store| Arc::new(Bent(Writes { store, write })));
    assert!(how.contains("it answered"), "{how}");
}

/// Whatever is wrong, it is said that the disk is full.
#[test]
fn an_error_of_the_wrong_kind_breaks_the_law() {
    fn write(store: &SqliteStore, ops: &[Op]) -> Result<Vec<Verdict>, StoreError> {
        store.write(ops).map_err(|error| match error.kind() {
            StoreErrorKind::Unavailable => StoreError::new(StoreErrorKind::Full, error),
            _ => error,
        })
    }
    let how = broken_by(|store| Arc::new(Bent(Writes { store, write })));
    assert!(how.contains("wrong kind"), "{how}");
}

/// A store that does not say what it knows.
#[test]
fn an_outcome_that_is_always_unknown_breaks_the_law() {
    fn write(store: &SqliteStore, ops: &[Op]) -> Result<Vec<Verdict>, StoreError> {
        let unknown = |error| StoreError::new(StoreErrorKind::OutcomeUnknown, error);
        store.write(ops).map_err(unknown)
    }
    let how = broken_by(|store| Arc::new(Bent(Writes { store, write })));
    assert!(how.contains("wrong kind"), "{how}");
}

/// A wipe that takes bytes that are gone from the files for bytes that are gone from the disk.
#[test]
fn a_wipe_that_is_done_though_it_was_not_synced_breaks_the_law() {
    fn wipe(store: &SqliteStore, level: WipeLevel) -> Result<Wipe, StoreError> {
        match store.wipe(level) {
            Err(error) if error.kind() == StoreErrorKind::OutcomeUnknown => Ok(Wipe::Done),
            answer => answer,
        }
    }
    let how = broken_by(|store| Arc::new(Bent(Wipes(store, wipe))));
    let is_seen = how.contains("nothing was synced") || how.contains("wiped, and yet");
    assert!(is_seen, "{how}");
}
