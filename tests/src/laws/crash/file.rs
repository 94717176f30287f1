//! One file over many crashes: what it holds, and how it is looked over after each.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use fastrand::Rng;
use milepost::{
    Durability, Filter, Listing, NewProcess, Order, Pipeline, RequestId, SqliteConfig, SqliteStore,
    StatusStore, Tracker,
};

use super::crew::PROMPT;
use super::known::{Doings, Held, Survives, dealt_out};
use super::pipe::{Line, Task};
use crate::law::{Broken, ensure};

/// A database, and what it must hold.
#[derive(Debug)]
pub(super) struct TheFile {
    pub(super) path: PathBuf,
    held: Held,
    /// How many crashes it has seen.
    crashes: i64,
}

impl TheFile {
    /// One that is still to be made.
    pub(super) fn new(path: PathBuf) -> Self {
        TheFile {
            path,
            held: Held::new(),
            crashes: 0,
        }
    }

    /// What so many writers are to do next.
    pub(super) fn tasks(&self, writers: usize, random: &mut Rng) -> Vec<Task> {
        let shares = dealt_out(&self.held, writers);
        let task = |(inherits, writer)| Task {
            writer,
            seed: random.u64(..),
            // Each crash an hour after the last.
            begins: 1_770_000_000_000_000 + self.crashes * 3_600_000_000,
            inherits,
        };
        shares.into_iter().zip(0..).map(task).collect()
    }

    /// Opens it after a crash and looks it over.
    pub(super) fn look_over(
        &mut self,
        tasks: &[Task],
        said: &[Line],
        survives: Survives,
        random: &mut Rng,
    ) -> Result<(), Broken> {
        // Now and then as the crash has left it, before milepost sees it.
        if random.u8(..4) == 0 && self.path.exists() {
            check_integrity(&self.path)?;
        }
        let durability = match survives {
            Survives::All if random.bool() => Durability::Normal,
            // What is found now is to survive the next power cut.
            Survives::All | Survives::AllButTheNewest => Durability::Full,
        };
        let (mut found, written) = reopen(&self.path, durability, &self.held)?;
        let doings = Doings {
            before: &self.held,
            tasks,
            said,
        };
        let written = found.remove(&written).map(|process| (written, process));
        doings.judge(&found, survives)?;
        found.extend(written);
        self.held = found;
        self.crashes += 1;
        check_integrity(&self.path)
    }
}

/// Opens a file, writes to it soon, and reads all that it holds. The new process is one of them.
fn reopen(path: &Path, durability: Durability, before: &Held) -> Result<(Held, RequestId), Broken> {
    let began = Instant::now();
    let store = SqliteStore::open_with(SqliteConfig {
        durability,
        ..SqliteConfig::new(path)
    })?;
    let store = Arc::new(store);
    let pipeline = Pipeline::new("after the crash", ["only"])?;
    let written = Tracker::new(Arc::clone(&store)).begin(NewProcess::new(&pipeline))?;
    let waited = began.elapsed();
    ensure(waited < PROMPT, || {
        format!("the next write took {waited:?}")
    })?;
    let found = all(&store)?;
    for (id, process) in &found {
        let read = store.read(*id)?;
        ensure(read.as_ref() == Some(process), || {
            format!("{id}: listed as {process:?}, read as {read:?}")
        })?;
    }
    for id in before.keys().filter(|id| !found.contains_key(*id)) {
        ensure(store.read(*id)?.is_none(), || {
            format!("{id}: read, and in no list")
        })?;
    }
    let counted = store.count(&Filter::new())?.total();
    ensure(usize::try_from(counted) == Ok(found.len()), || {
        format!("{counted} counted, {} listed", found.len())
    })?;
    Ok((found, written.request_id()))
}

/// All that a store lists.
pub fn all(store: &SqliteStore) -> Result<Held, Broken> {
    let mut found = Held::new();
    let mut listing = Listing {
        filter: Filter::new(),
        order: Order::OldestFirst,
        after: None,
        limit: 1_000,
    };
    loop {
        let page = store.list(&listing)?;
        for process in page.items {
            let id = process.request_id();
            ensure(found.insert(id, process).is_none(), || {
                format!("{id}: listed twice")
            })?;
        }
        listing.after = page.next;
        if listing.after.is_none() {
            return Ok(found);
        }
    }
}

/// What SQLite itself says of a file, on a connection that has nothing of milepost's.
fn check_integrity(path: &Path) -> Result<(), Broken> {
    let connection = rusqlite::Connection::open(path)?;
    let mut check = connection.prepare("PRAGMA integrity_check")?;
    let found = check
        .query_map([], |row| row.get::<_, String>(0))?
        .collect::<Result<Vec<_>, _>>()?;
    ensure(found == ["ok"], || {
        format!("integrity_check: {}", found.join("; "))
    })
}
