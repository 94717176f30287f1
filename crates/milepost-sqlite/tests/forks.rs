//! A store and a child of `fork`: SQLite's locks belong to the OS process that took them.
#![cfg(unix)]

#[path = "../../milepost-core/tests/common/child.rs"]
mod child;
mod common;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use child::ends_well_in_a_child;
use common::{Place, begin, foreign_connection};
use milepost_core::{
    Progress, Query, StatusStore, StoreError, StoreErrorKind, TrackError, Tracker,
};
use milepost_sqlite::{SqliteConfig, SqliteStore};

fn is_unavailable<T>(answer: Result<T, StoreError>) -> bool {
    answer.is_err_and(|error| error.kind() == StoreErrorKind::Unavailable)
}

/// Held by each test here: had another one's thread been opening a file at the fork, the child would wait for ever
/// for a lock of SQLite's own.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// While another thread wrote, a child once joined the group of those who wait for it, and waited as long as its
/// patience lasted for a thread that it did not have.
#[test]
fn a_child_is_refused_at_once_whatever_the_parents_threads_are_doing() {
    let _alone = alone();
    let place = Place::new();
    let config = SqliteConfig {
        busy_timeout: Duration::MAX,
        ..SqliteConfig::new(place.path())
    };
    let store = std::sync::Arc::new(SqliteStore::open_with(config).expect("it opens"));
    let tracker = Tracker::new(store.clone());
    let id = begin(&tracker, "a.txt").request_id();
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for n in 0..2 {
            let (over, module) = (&over, begin(&tracker, &format!("{n}.txt")).module(1));
            scope.spawn(move || {
                let module = module.expect("a module");
                for done in 1.. {
                    module
                        .progress(Progress::unbounded(done))
                        .expect("the parent goes on");
                    if over.load(Ordering::Relaxed) {
                        break;
                    }
                }
            });
        }
        let ended = (0..20).all(|_| {
            ends_well_in_a_child(|| {
                let erase = tracker.op(id, milepost_core::Change::erase());
                assert!(is_unavailable(store.write(&[erase])));
                assert!(is_unavailable(store.read(id)));
                assert!(is_unavailable(store.wipe(milepost_core::WipeLevel::Files)));
            })
        });
        over.store(true, Ordering::Relaxed);
        assert!(ended, "a child was let in, or waited");
    });
    assert_eq!(tracker.count(&Query::new()).expect("a count").total(), 3);
}

/// A child that opened the file anew inherited SQLite's account of who holds which lock: it took none that the parent
/// held at the fork, and waited for ever for one that a thread of the parent had held.
#[test]
fn a_child_opens_no_file_that_its_parent_has_open() {
    let _alone = alone();
    let place = Place::new();
    let tracker = Tracker::new(SqliteStore::open(place.path()).expect("it opens"));
    let id = begin(&tracker, "a.txt").request_id();
    let other = place.path().with_file_name("other.db");
    assert!(ends_well_in_a_child(|| {
        let error = SqliteStore::open(place.path()).expect_err("it is refused");
        assert_eq!(error.kind(), StoreErrorKind::Unavailable);
        let own = Tracker::new(SqliteStore::open(&other).expect("one of its own opens"));
        begin(&own, "b.txt");
        // Neither closing its own nor dropping what it has inherited opens the way.
        drop(own);
        SqliteStore::open(place.path()).expect_err("it is refused");
    }));
    assert!(tracker.get(id).is_ok());
    // What was closed before the fork is nobody's.
    drop(tracker);
    assert!(ends_well_in_a_child(|| {
        let own = Tracker::new(SqliteStore::open(place.path()).expect("it opens"));
        assert!(own.get(id).is_ok());
        begin(&own, "c.txt");
    }));
    let tracker = Tracker::new(SqliteStore::open(place.path()).expect("it opens"));
    assert_eq!(tracker.count(&Query::new()).expect("a count").total(), 2);
}

/// Why it is refused: this is SQLite's own behaviour, and if it ends the refusal may end too.
#[test]
fn sqlite_believes_in_a_child_that_locks_are_held_which_nobody_holds() {
    let _alone = alone();
    let place = Place::new();
    drop(SqliteStore::open(place.path()).expect("it opens"));
    let writer = foreign_connection(&place.path());
    writer
        .execute_batch("BEGIN IMMEDIATE")
        .expect("nobody writes");
    let directory = place.path().with_file_name("go");
    // The child waits for a directory to come, which says that the lock is free.
    let go = |there: bool| while directory.exists() != there {};
    std::thread::scope(|scope| {
        let child = scope.spawn(|| {
            ends_well_in_a_child(|| {
                go(true);
                let own = foreign_connection(&place.path());
                own.busy_timeout(Duration::from_millis(500))
                    .expect("it is set");
                own.execute_batch("BEGIN IMMEDIATE; ROLLBACK")
                    .expect_err("the account says that the parent still writes");
            })
        });
        std::thread::sleep(Duration::from_millis(200));
        writer.execute_batch("ROLLBACK").expect("it ends");
        let elsewhere = foreign_connection(&place.path());
        elsewhere
            .execute_batch("BEGIN IMMEDIATE; ROLLBACK")
            .expect("the lock is free");
        std::fs::create_dir(&directory).expect("there is room");
        assert!(child.join().expect("no panic"));
    });
}

#[test]
fn dropping_what_was_inherited_harms_nothing() {
    let _alone = alone();
    let place = Place::new();
    let tracker = Tracker::new(SqliteStore::open(place.path()).expect("it opens"));
    let id = begin(&tracker, "a.txt").request_id();
    let mut inherited = Some(tracker);
    assert!(ends_well_in_a_child(|| drop(inherited.take())));
    let tracker = inherited.expect("the parent keeps it");
    // Its WAL is still there, with what it has written.
    let wal = format!("{}-wal", place.path().display());
    assert!(std::fs::metadata(wal).expect("it is there").len() > 0);
    assert!(matches!(tracker.get(id), Ok(process) if process.revision() == 1));
    let other = Tracker::new(SqliteStore::open(place.path()).expect("it opens"));
    begin(&other, "b.txt");
    begin(&tracker, "c.txt");
    let count = |tracker: &Tracker| -> Result<u64, TrackError> {
        Ok(tracker.count(&Query::new())?.total())
    };
    assert_eq!(count(&other).expect("a count"), 3);
    assert_eq!(count(&tracker).expect("a count"), 3);
}
