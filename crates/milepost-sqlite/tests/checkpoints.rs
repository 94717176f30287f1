//! Under `NORMAL` a thread makes the checkpoints: it has to keep up, whatever the batches are like.

use std::fs;
use std::path::Path;

use milepost_core::{Change, NewProcess, Op, Pipeline, Progress, StoreError, Tracker};
use milepost_sqlite::{Durability, SqliteConfig, SqliteStore};

type Outcome = Result<(), Box<dyn std::error::Error>>;

/// What the documentation allows the WAL: 64 MiB.
const ALLOWED: u64 = 64 * 1024 * 1024;

fn open(path: &Path) -> Result<Tracker, StoreError> {
    let config = SqliteConfig {
        durability: Durability::Normal,
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
