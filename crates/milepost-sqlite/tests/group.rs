//! Writes that are committed together, on real files: what becomes of each when one of them, or all, cannot be.

mod common;

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::Duration;

use common::{Place, SmallDisk, begin, foreign_connection, pipeline};
use milepost_core::{
    NewProcess, Op, Query, StatusStore, StoreError, StoreErrorKind, Tracker, Verdict,
};
use milepost_sqlite::{SqliteConfig, SqliteStore};

type Answer = Result<Vec<Verdict>, StoreError>;

/// Long enough for anything that a test waits for.
const PATIENT: Duration = Duration::from_mins(2);

/// How many processes make a batch of 10 MiB. SQLite writes early what its cache of 2 MiB does not hold, so a
/// disk of 4 MiB is full while the batch is applied, and not only at the commit.
const LARGE: usize = 2_400;

fn open(path: &Path, busy_timeout: Duration) -> Arc<SqliteStore> {
    let config = SqliteConfig {
        busy_timeout,
        ..SqliteConfig::new(path)
    };
    Arc::new(SqliteStore::open_with(config).expect("it opens"))
}

/// A batch that begins so many processes, each with a text of 4 KiB.
fn batch(store: &Arc<SqliteStore>, count: usize) -> Vec<Op> {
    let tracker = Tracker::new(Arc::clone(store));
    let text = "x".repeat(4096);
    let begin = |_| {
        let new = NewProcess::new(&pipeline()).file_description(&text);
        tracker.prepare(new).expect("it can begin")
    };
    (0..count).map(begin).collect()
}

/// Writes batches from as many threads, all of which come while somebody else holds the write lock.
///
/// `meanwhile` is to end with the lock free, or with it held: then they do not get it.
fn write_at_once(
    store: &SqliteStore,
    batches: &[Vec<Op>],
    meanwhile: impl FnOnce(),
) -> Vec<Answer> {
    let set_out = Barrier::new(batches.len() + 1);
    thread::scope(|scope| {
        let write = |ops| {
            set_out.wait();
            store.write(ops)
        };
        let threads = batches
            .iter()
            .map(|ops| scope.spawn(move || write(ops)))
            .collect::<Vec<_>>();
        set_out.wait();
        // The first waits for the lock, and the others behind it. If one is late it makes a group of its
        // own, which changes nothing of what is asserted.
        thread::sleep(Duration::from_millis(50));
        meanwhile();
        threads
            .into_iter()
            .map(|thread| thread.join().expect("no thread panics"))
            .collect()
    })
}

/// How many of the processes that a batch begins are stored.
fn stored(store: &SqliteStore, batch: &[Op]) -> usize {
    let ids = batch.iter().map(|op| op.id).collect::<Vec<_>>();
    let read = store.read_many(&ids).expect("they are read");
    read.iter().flatten().count()
}

fn total(store: &Arc<SqliteStore>) -> u64 {
    let tracker = Tracker::new(Arc::clone(store));
    tracker.count(&Query::new()).expect("a count").total()
}

fn kind(answer: &Answer) -> Option<StoreErrorKind> {
    answer.as_ref().err().map(StoreError::kind)
}

#[test]
fn a_batch_for_which_there_is_no_room_spoils_none_that_come_with_it() {
    let Some(disk) = SmallDisk::mount("4m") else {
        return;
    };
    let path = disk.path();
    let store = open(&path, PATIENT);
    let other = foreign_connection(&path);
    // The large one among the first to come, and among the last.
    for large in [0, 9] {
        let before = total(&store);
        let batches = (0..10)
            .map(|n| batch(&store, if n == large { LARGE } else { 1 }))
            .collect::<Vec<_>>();
        other.execute_batch("BEGIN IMMEDIATE").expect("the lock");
        let answers = write_at_once(&store, &batches, || {
            other.execute_batch("COMMIT").expect("the lock is free");
        });
        for (n, (batch, answer)) in batches.iter().zip(&answers).enumerate() {
            let full = (n == large).then_some(StoreErrorKind::Full);
            assert_eq!(kind(answer), full, "batch {n}: {answer:?}");
            assert_eq!(stored(&store, batch), usize::from(n != large), "batch {n}");
        }
        assert_eq!(total(&store), before + 9);
    }
    let before = total(&store);
    drop((store, other));
    let store = open(&path, PATIENT);
    assert_eq!(total(&store), before, "after it was opened again");
    begin(&Tracker::new(Arc::clone(&store)), "after.txt");
}

#[test]
fn whoever_is_in_a_group_whose_commit_fails_is_told_so_and_the_store_goes_on() {
    let Some(disk) = SmallDisk::mount("4m") else {
        return;
    };
    let path = disk.path();
    let store = open(&path, PATIENT);
    begin(&Tracker::new(Arc::clone(&store)), "before.txt");
    let other = foreign_connection(&path);
    // Few enough pages to be held in memory until the commit writes them, alone and all together.
    let batches = (0..10).map(|_| batch(&store, 10)).collect::<Vec<_>>();
    let ballast = fill_but_for(disk.directory(), 16 * 1024);
    other.execute_batch("BEGIN IMMEDIATE").expect("the lock");
    let answers = write_at_once(&store, &batches, || {
        other.execute_batch("COMMIT").expect("the lock is free");
    });
    for (n, answer) in answers.iter().enumerate() {
        let unknown = Some(StoreErrorKind::OutcomeUnknown);
        assert_eq!(kind(answer), unknown, "batch {n}: {answer:?}");
    }
    // Here it is known: the commit was not written whole.
    std::fs::remove_file(ballast).expect("the ballast goes");
    begin(&Tracker::new(Arc::clone(&store)), "after.txt");
    assert_eq!(total(&store), 2, "nothing of them was kept");
    for batch in &batches {
        store.write(batch).expect("it is sent again");
    }
    assert_eq!(total(&store), 102);
}

/// Fills the disk that the directory is on, up to so many bytes; answers with what.
fn fill_but_for(directory: &Path, room: u64) -> std::path::PathBuf {
    let path = directory.join("ballast");
    let mut ballast = File::create(&path).expect("a file");
    while ballast.write_all(&[7; 4096]).is_ok() {}
    let length = ballast.metadata().expect("its length").len();
    ballast.set_len(length - room).expect("it is cut");
    path
}

#[test]
fn what_was_given_up_is_never_applied() {
    let place = Place::new();
    let store = open(&place.path(), Duration::from_millis(200));
    let other = foreign_connection(&place.path());
    let batches = (0..12).map(|_| batch(&store, 2)).collect::<Vec<_>>();
    other.execute_batch("BEGIN IMMEDIATE").expect("the lock");
    let answers = write_at_once(&store, &batches, || {});
    for answer in &answers {
        assert_eq!(kind(answer), Some(StoreErrorKind::Busy), "{answer:?}");
    }
    other.execute_batch("COMMIT").expect("the lock is free");
    let patient = open(&place.path(), PATIENT);
    begin(&Tracker::new(Arc::clone(&patient)), "by another value");
    // The next to write is the first who could apply what was left behind.
    let tracker = Tracker::new(Arc::clone(&store));
    let new = NewProcess::new(&pipeline());
    let op = [tracker.prepare(new).expect("it can begin")];
    while kind(&store.write(&op)) == Some(StoreErrorKind::Busy) {}
    assert_eq!(total(&store), 2);
}

#[test]
fn whoever_waits_for_long_enough_is_answered() {
    let place = Place::new();
    let store = open(&place.path(), PATIENT);
    let other = foreign_connection(&place.path());
    let batches = (0..12).map(|_| batch(&store, 2)).collect::<Vec<_>>();
    other.execute_batch("BEGIN IMMEDIATE").expect("the lock");
    let answers = write_at_once(&store, &batches, || {
        other.execute_batch("COMMIT").expect("the lock is free");
    });
    for (batch, answer) in batches.iter().zip(answers) {
        let verdicts = answer.expect("its turn comes");
        for (op, verdict) in batch.iter().zip(verdicts) {
            let born = verdict.expect("it begins").version.born;
            assert_eq!(Some(born), op.born(), "it is the answer to another");
        }
        assert_eq!(stored(&store, batch), 2);
    }
}

/// The lock comes free about when they give up, so that some do and others do not.
#[test]
fn what_is_stored_is_what_was_answered_by_ok_and_nothing_else() {
    for held in [20, 40, 60, 80] {
        let place = Place::new();
        let store = open(&place.path(), Duration::from_millis(90));
        let other = foreign_connection(&place.path());
        let batches = (0..12).map(|_| batch(&store, 2)).collect::<Vec<_>>();
        other.execute_batch("BEGIN IMMEDIATE").expect("the lock");
        let answers = write_at_once(&store, &batches, || {
            thread::sleep(Duration::from_millis(held - 20));
            other.execute_batch("COMMIT").expect("the lock is free");
        });
        begin(
            &Tracker::new(open(&place.path(), PATIENT)),
            "after all of them",
        );
        for (batch, answer) in batches.iter().zip(&answers) {
            let expected = match kind(answer) {
                None => 2,
                Some(StoreErrorKind::Busy) => 0,
                Some(kind) => panic!("an error of kind {kind:?} came"),
            };
            let reader = open(&place.path(), PATIENT);
            assert_eq!(stored(&reader, batch), expected, "{answer:?}");
        }
    }
}
