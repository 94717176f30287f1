//! Database files as the store makes them: what is mutated.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use milepost::{Change, RequestId, SqliteConfig, SqliteStore, Tracker, Wipe, WipeLevel};

use super::lives::{SeededClock, lead, morning};
use crate::law::{Broken, ensure};

/// A file that the store made, the WAL beside it, and whose processes are in there.
#[derive(Debug)]
pub(super) struct Original {
    pub(super) name: &'static str,
    pub(super) main: Vec<u8>,
    /// Empty: there is none.
    pub(super) wal: Vec<u8>,
    pub(super) ids: Vec<RequestId>,
}

const GOLDEN: [(&str, &[u8]); 2] = [
    (
        "schema-1",
        include_bytes!("../../../../crates/milepost-sqlite/tests/golden/schema-1.sqlite"),
    ),
    (
        "schema-2",
        include_bytes!("../../../../crates/milepost-sqlite/tests/golden/schema-2.sqlite"),
    ),
];

/// All of them, made in an empty directory.
pub(super) fn originals(directory: &Path) -> Result<Vec<Original>, Broken> {
    fs::create_dir_all(directory)?;
    let mut all = vec![
        closed(directory, "small", 28, |_, _| Ok(()))?,
        closed(directory, "larger", 300, |_, _| Ok(()))?,
        closed(directory, "erased", 120, erase_every_second)?,
        closed(directory, "moving", 300, |tracker, ids| {
            erase_every_second(tracker, ids)?;
            let wiped = tracker.wipe_at(WipeLevel::Files)?;
            ensure(matches!(wiped, Wipe::Pending { .. }), || {
                "a wipe without time is done".to_owned()
            })
        })?,
        closed_at(WipeLevel::Media, directory, "kept", 120, erase_every_second)?,
        open(directory, "walled", 40, 40)?,
        open(directory, "young", 0, 28)?,
    ];
    let ids = (1..=9_u128).map(|n| uuid::Uuid::from_u128(0x7000_8000_0000_0000_0000 + n).into());
    all.extend(GOLDEN.map(|(name, main)| Original {
        name,
        main: main.to_vec(),
        wal: Vec::new(),
        ids: ids.clone().collect(),
    }));
    Ok(all)
}

fn tracker(path: &Path, wipe_level: WipeLevel) -> Result<(Tracker, SeededClock), Broken> {
    let clock = SeededClock::new(morning(), 11);
    let store = SqliteStore::open_with(SqliteConfig {
        // It is made once and thrown away.
        wipe_budget: Duration::ZERO,
        wipe_level,
        ..SqliteConfig::new(path)
    })?;
    Ok((Tracker::with_clock(store, clock.clone()), clock))
}

fn closed(
    directory: &Path,
    name: &'static str,
    count: usize,
    then: fn(&Tracker, &[RequestId]) -> Result<(), Broken>,
) -> Result<Original, Broken> {
    closed_at(WipeLevel::Files, directory, name, count, then)
}

fn closed_at(
    wipe_level: WipeLevel,
    directory: &Path,
    name: &'static str,
    count: usize,
    then: fn(&Tracker, &[RequestId]) -> Result<(), Broken>,
) -> Result<Original, Broken> {
    let path = directory.join(name);
    let (tracker, clock) = tracker(&path, wipe_level)?;
    let ids = lead(&tracker, &clock, &mut fastrand::Rng::with_seed(11), count)?;
    then(&tracker, &ids)?;
    drop(tracker);
    Ok(Original {
        name,
        main: fs::read(&path)?,
        wal: Vec::new(),
        ids,
    })
}

fn erase_every_second(tracker: &Tracker, ids: &[RequestId]) -> Result<(), Broken> {
    let erase = |id: &RequestId| tracker.op(*id, Change::erase());
    let ops = ids.iter().step_by(2).map(erase).collect::<Vec<_>>();
    for verdict in tracker.apply(&ops)? {
        verdict?;
    }
    Ok(())
}

/// Copied while it is open, so that some of it is in the WAL only.
fn open(
    directory: &Path,
    name: &'static str,
    before: usize,
    after: usize,
) -> Result<Original, Broken> {
    let path = directory.join(name);
    let mut random = fastrand::Rng::with_seed(12);
    let (first, clock) = tracker(&path, WipeLevel::Files)?;
    let mut ids = lead(&first, &clock, &mut random, before)?;
    drop(first);
    let (second, _) = tracker(&path, WipeLevel::Files)?;
    ids.extend(lead(&second, &clock, &mut random, after)?);
    let copy = |suffix: &str| {
        let from = format!("{}{suffix}", path.display());
        let to = format!("{}-copy{suffix}", path.display());
        // By another OS process: reading it in this one would drop SQLite's locks.
        let copied = Command::new("cp").args([&from, &to]).status()?;
        ensure(copied.success(), || format!("{from} cannot be copied"))?;
        Ok::<_, Broken>(fs::read(to)?)
    };
    let (main, wal) = (copy("")?, copy("-wal")?);
    ensure(!wal.is_empty(), || "nothing is in the WAL".to_owned())?;
    Ok(Original {
        name,
        main,
        wal,
        ids,
    })
}
