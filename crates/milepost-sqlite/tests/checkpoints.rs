//! The WAL stays short, whatever the batches are like and whoever reads. Under `NORMAL` a thread makes the checkpoints,
//! and has to keep up.

mod common;

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use common::{foreign_connection, overlap};
use milepost_core::{
    Change, NewProcess, Op, Pipeline, Progress, StoreError, Tracker, Update, Wipe, WipeLevel,
};
use milepost_sqlite::{Durability, SqliteConfig, SqliteStore};

type Outcome = Result<(), Box<dyn std::error::Error>>;

/// What the documentation allows the WAL: 64 MiB.
const ALLOWED: u64 = 64 * 1024 * 1024;

/// A page in the WAL.
const PAGE: u64 = 24 + 4_096;
/// From how many bytes on writers stand still for those who read.
const LONG: u64 = 6_000 * PAGE;

fn open(path: &Path) -> Result<Tracker, StoreError> {
    open_at(path, Durability::Normal)
}

fn open_at(path: &Path, durability: Durability) -> Result<Tracker, StoreError> {
    let config = SqliteConfig {
        durability,
        ..SqliteConfig::new(path)
    };
    SqliteStore::open_with(config).map(Tracker::new)
}

/// As many processes, begun in one batch.
fn begin(tracker: &Tracker, processes: usize) -> Result<Vec<Op>, Box<dyn std::error::Error>> {
    let pipeline = Pipeline::new("invoice-ocr", ["ocr", "parser"])?;
    let created = (0..processes)
        .map(|_| tracker.prepare(NewProcess::new(&pipeline)))
        .collect::<Result<Vec<_>, _>>()?;
    for verdict in tracker.apply(&created)? {
        verdict?;
    }
    Ok(created)
}

/// How many pages an op writes was once guessed from those before. A thousand ops of one batch share pages and ops of
/// their own batches do not, so after a large import the thread slept while the WAL grew to a gigabyte, and every
/// write slowed to half.
#[test]
fn the_wal_stays_short_when_small_batches_follow_large_ones() -> Outcome {
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("status.db");
    let wal = directory.path().join("status.db-wal");
    let tracker = open(&path)?;
    let mut begun = Vec::new();
    for _ in 0..100 {
        begun = begin(&tracker, 1_000)?;
    }
    let mut longest = 0;
    for round in 0..40 {
        for op in &begun {
            let change = Change::progress(1, Progress::unbounded(round));
            assert!(tracker.apply(&[tracker.op(op.id, change)])?[0].is_ok());
        }
        longest = longest.max(fs::metadata(&wal)?.len());
    }
    assert!(longest <= ALLOWED, "the WAL grew to {longest} bytes");
    Ok(())
}

/// What others write counts too: each store goes by the length of the WAL and not by its own ops.
#[test]
fn stores_that_share_a_file_keep_its_wal_short_together() -> Outcome {
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("status.db");
    let wal = directory.path().join("status.db-wal");
    let (one, other) = (open(&path)?, open(&path)?);
    let mut longest = 0;
    for _ in 0..3_000 {
        begin(&one, 3)?;
        begin(&other, 3)?;
        longest = longest.max(fs::metadata(&wal)?.len());
    }
    assert!(longest <= ALLOWED, "the WAL grew to {longest} bytes");
    Ok(())
}

/// While reads overlap there is always one that began before the last commit, so that SQLite never has the WAL start
/// anew: it grew for as long as that went on, under `FULL` as under `NORMAL`.
#[test]
fn the_wal_stays_short_while_reads_overlap() -> Outcome {
    for durability in [Durability::Full, Durability::Normal] {
        let directory = tempfile::tempdir()?;
        let path = directory.path().join("status.db");
        let wal = directory.path().join("status.db-wal");
        let tracker = open_at(&path, durability)?;
        let begun = begin(&tracker, 500)?;
        let over = AtomicBool::new(false);
        let longest = std::thread::scope(|scope| -> Result<u64, Box<dyn std::error::Error>> {
            let reading = scope.spawn(|| overlap(&path, Duration::from_millis(40), &over));
            let mut longest = 0;
            for round in 0..50 {
                let text = format!("{round:03500}");
                let update = || Change::update(Update::new().file_description(&text));
                let ops = begun.iter().map(|op| tracker.op(op.id, update()));
                let ops = ops.collect::<Vec<_>>();
                tracker.apply(&ops)?;
                longest = longest.max(fs::metadata(&wal)?.len());
            }
            over.store(true, Ordering::Relaxed);
            reading.join().expect("no panic")?;
            Ok(longest)
        })?;
        assert!(
            longest <= ALLOWED,
            "{durability:?}: the WAL grew to {longest} bytes"
        );
    }
    Ok(())
}

/// Writers stand still for the little that is left of it, and it starts anew.
#[test]
fn the_wal_is_not_long_where_nobody_reads() -> Outcome {
    for durability in [Durability::Full, Durability::Normal] {
        let directory = tempfile::tempdir()?;
        let path = directory.path().join("status.db");
        let wal = directory.path().join("status.db-wal");
        let tracker = open_at(&path, durability)?;
        let mut longest = 0;
        for _ in 0..250 {
            begin(&tracker, 500)?;
            longest = longest.max(fs::metadata(&wal)?.len());
        }
        assert!(longest < LONG, "{durability:?}: {longest} bytes");
    }
    Ok(())
}

/// Else whoever commits would, once the WAL is too long: and wait for it.
#[test]
fn a_thread_carries_the_wal_over_before_it_is_long() -> Outcome {
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("status.db");
    let wal = directory.path().join("status.db-wal");
    let tracker = open(&path)?;
    for _ in 0..80 {
        begin(&tracker, 500)?;
    }
    let length = fs::metadata(&wal)?.len();
    assert!(length < LONG, "the WAL grew to {length} bytes");
    let deadline = Instant::now() + Duration::from_secs(20);
    while fs::metadata(&path)?.len() < 1024 * 1024 {
        assert!(Instant::now() < deadline, "nothing was carried over");
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}

/// Else it would come to those who write, who stand still for it.
#[test]
fn a_wipe_makes_the_wal_no_longer_than_it_can_have_it_start_anew() -> Outcome {
    for wipe_level in [WipeLevel::Files, WipeLevel::Media] {
        let directory = tempfile::tempdir()?;
        let path = directory.path().join("status.db");
        let wal = directory.path().join("status.db-wal");
        let tracker = Tracker::new(SqliteStore::open_with(SqliteConfig {
            wipe_level,
            wipe_budget: Duration::from_millis(5),
            ..SqliteConfig::new(&path)
        })?);
        let pipeline = Pipeline::new("invoice-ocr", ["ocr", "parser"])?;
        let new = NewProcess::new(&pipeline).file_description(&"+".repeat(3_500));
        for _ in 0..40 {
            let begun = (0..200).map(|_| tracker.prepare(new.clone()));
            let begun = begun.collect::<Result<Vec<_>, _>>()?;
            tracker.apply(&begun)?;
            let erase = begun.iter().step_by(2);
            let erase = erase.map(|op| tracker.op(op.id, Change::erase()));
            tracker.apply(&erase.collect::<Vec<_>>())?;
        }
        let reader = foreign_connection(&path);
        reader.execute_batch("BEGIN; SELECT * FROM sqlite_schema")?;
        for _ in 0..100 {
            assert!(matches!(tracker.wipe()?, Wipe::Pending { .. }));
        }
        let length = fs::metadata(&wal)?.len();
        assert!(length < 4_000 * PAGE, "{wipe_level:?}: {length} bytes");
        drop(reader);
        while let Wipe::Pending { .. } = tracker.wipe()? {}
    }
    Ok(())
}
