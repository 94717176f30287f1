//! Where scenes are played.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use milepost::{Durability, SqliteStore, StatusStore};
use milepost_faults::{Counts, Fault, Faults};

use super::files::{NAME, everything};
use super::ledger::{Ledger, World};
use super::scenes::Scene;
use super::trial::Trial;
use crate::law::Broken;

/// What stands between a scene and the store: nothing, or what breaks the law.
pub type Wrap = fn(SqliteStore) -> Arc<dyn StatusStore>;

/// Files of the older versions, as they were made then.
pub(super) const OLD: [&[u8]; 2] = [
    include_bytes!("../../../../crates/milepost-sqlite/tests/golden/schema-1.sqlite"),
    include_bytes!("../../../../crates/milepost-sqlite/tests/golden/schema-2.sqlite"),
];

/// A directory, in which calls fail when they are asked to.
pub(super) struct Ground {
    pub(super) directory: PathBuf,
    pub(super) faults: Faults,
    /// Where what a crash would leave is opened.
    pub(super) crashed: PathBuf,
    /// None fail there: it is only that nothing is synced.
    _crashed: Faults,
    pub(super) wrap: Wrap,
    /// What the files of older versions hold.
    pub(super) old: Vec<World>,
}

impl Ground {
    pub(super) fn new(scratch: &Path, wrap: Wrap) -> Result<Self, Broken> {
        let (directory, crashed) = (scratch.join("played"), scratch.join("crashed"));
        fs::create_dir_all(&directory)?;
        fs::create_dir_all(&crashed)?;
        let mut ground = Ground {
            faults: Faults::below(&directory)?,
            _crashed: Faults::below(&crashed)?,
            directory,
            crashed,
            wrap,
            old: Vec::new(),
        };
        for bytes in OLD {
            ground.clear()?;
            fs::write(ground.path(), bytes)?;
            let store = SqliteStore::open(ground.path())?;
            let found = store.list(&everything())?.items;
            let world = found
                .into_iter()
                .map(|process| (process.request_id(), process));
            ground.old.push(world.collect());
        }
        Ok(ground)
    }

    pub(super) fn path(&self) -> PathBuf {
        self.directory.join(NAME)
    }

    fn clear(&self) -> Result<(), Broken> {
        for directory in [&self.directory, &self.crashed] {
            for entry in fs::read_dir(directory)? {
                fs::remove_file(entry?.path())?;
            }
        }
        Ok(())
    }

    /// Plays a scene; none fails: to count the calls. How many calls there were, and how many failed.
    pub(super) fn play(
        &self,
        scene: &Scene,
        durability: Durability,
        fault: Option<Fault>,
    ) -> Result<(Counts, u64), Broken> {
        self.faults.disarm();
        self.clear()?;
        let mut trial = Trial {
            ground: self,
            durability,
            wipe_level: scene.wipe_level,
            fault,
            store: None,
            main: Ledger::of(World::new()),
            crowd: Vec::new(),
        };
        trial.set_up(&scene.begins)?;
        match fault {
            Some(fault) => self.faults.arm(fault),
            None => self.faults.disarm(),
        }
        for step in &scene.steps {
            trial.step(step)?;
        }
        let (counts, failed) = (self.faults.counts(), self.faults.failed());
        self.faults.disarm();
        trial.ends_right(scene)?;
        Ok((counts, failed))
    }
}
