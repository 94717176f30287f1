//! A disk that is full, for real.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use milepost::{
    Change, Durability, SqliteConfig, SqliteStore, StatusStore, StoreError, StoreErrorKind, Wipe,
    WipeLevel,
};

use super::files::{NAME, compare_after_crash, everything, is_whole, nothing_is_left};
use super::ground::Wrap;
use super::ledger::{Act, Ledger, World};
use super::scenes::Author;
use crate::law::{Broken, Done, Law, Shard, ensure};

/// A small disk is filled, and freed again.
pub static FULL_DISK: Law = Law {
    name: "full-disk",
    says: "on a full disk every call works or says that there is no room, nothing is lost, and once there is room the \
           same store does all that was asked, erasing and wiping included",
    unit: "full disks",
    shard: 50,
    asked: 300,
    run: |shard| full_disks(shard, |store| Arc::new(store)),
};

/// Another file on the same disk.
const OTHER: &str = "other.db";
/// How often is asked for a wipe that has room.
const WIPES: usize = 1000;

/// Fills disks of stores that were wrapped into something.
pub fn full_disks(shard: &Shard<'_>, wrap: Wrap) -> Result<Done, Broken> {
    let mut done = 0;
    while shard.goes_on(done) {
        let mut random = shard.random(done);
        let kib = random.u32(600..4000);
        let durability = [Durability::Full, Durability::Normal][random.usize(..2)];
        let wipe_level = [WipeLevel::Files, WipeLevel::Media][random.usize(..2)];
        let filled = [Filled::ByUs, Filled::ByOthers][random.usize(..2)];
        let disk = match SmallDisk::mount(&shard.scratch.join("disk"), kib)? {
            Ok(disk) => disk,
            Err(why) => return Ok(Done::Skipped(why)),
        };
        let store = SqliteStore::open_with(SqliteConfig {
            durability,
            wipe_level,
            ..SqliteConfig::new(disk.directory.join(NAME))
        })?;
        let mut trial = Trial::new(shard, disk, wrap(store), random)?;
        let tried = trial
            .fill(filled)
            .and_then(|()| trial.go_on_while_it_is_full());
        let tried = tried.and_then(|()| trial.ends_right());
        tried.map_err(|how| {
            Broken::new(format!(
                "{kib} KiB, {durability:?}, {wipe_level:?}, {filled:?}: {how}"
            ))
        })?;
        done += 1;
    }
    Ok(Done::Tried(done))
}

/// Whose bytes fill the disk.
#[derive(Debug, Clone, Copy)]
enum Filled {
    ByUs,
    ByOthers,
}

struct Trial {
    /// Closed before the disk goes.
    store: Arc<dyn StatusStore>,
    author: Author,
    ledger: Ledger,
    /// Where what a crash would leave is opened.
    crashed: PathBuf,
    disk: SmallDisk,
}

impl Trial {
    fn new(
        shard: &Shard<'_>,
        disk: SmallDisk,
        store: Arc<dyn StatusStore>,
        random: fastrand::Rng,
    ) -> Result<Self, Broken> {
        let crashed = shard.scratch.join("crashed");
        fs::create_dir_all(&crashed)?;
        let mut trial = Trial {
            store,
            author: Author::new(random)?,
            ledger: Ledger::of(World::new()),
            crashed,
            disk,
        };
        let before = trial.author.begin_many(20, "before.pdf")?;
        trial.act(&Act::Write(before))?;
        Ok(trial)
    }

    /// Does it, or is told that there is no room. Whether it was done.
    fn act(&mut self, act: &Act) -> Result<bool, Broken> {
        let outcome = act.send(&*self.store);
        self.ledger.note(act, &outcome)?;
        if let Err(error) = &outcome {
            let kind = error.kind();
            let is_right = matches!(kind, StoreErrorKind::Full | StoreErrorKind::OutcomeUnknown);
            ensure(is_right, || {
                format!("an error of the wrong kind: {error:?}")
            })?;
            compare_after_crash(&self.disk.directory, &self.crashed, &[&self.ledger])?;
        }
        self.ledger.compare(&*self.store)??;
        Ok(outcome.is_ok())
    }

    fn fill(&mut self, filled: Filled) -> Result<(), Broken> {
        match filled {
            Filled::ByUs => loop {
                let act = Act::Write(vec![self.author.begin_large()?]);
                if !self.act(&act)? {
                    return Ok(());
                }
            },
            Filled::ByOthers => self.disk.fill(),
        }
    }

    /// What is asked of a tracker every day, erasing and wiping included.
    fn go_on_while_it_is_full(&mut self) -> Result<(), Broken> {
        for number in 0..12 {
            let begun = self.author.begin_many(1 + number, "more.pdf")?;
            self.act(&Act::Write(begun))?;
            let brief = self.author.begin_for("brief.pdf", Duration::from_secs(1))?;
            self.act(&Act::Write(vec![brief]))?;
        }
        let ids = self.ledger.world()?.keys().copied().collect::<Vec<_>>();
        for id in ids.iter().step_by(2) {
            let erase = self.author.guarded(*id, Change::erase())?;
            self.act(&Act::Write(vec![erase]))?;
        }
        let purge = self.author.purge(Duration::from_mins(1));
        self.act(&purge)?;
        match self.store.wipe(WipeLevel::Files) {
            Ok(Wipe::Done) => nothing_is_left(&self.disk.directory, &self.ledger)?,
            Ok(Wipe::Pending { .. }) => {}
            Err(error) if says_full(&error) => {}
            other => {
                return Err(Broken::new(format!(
                    "a wipe on a full disk came to {other:?}"
                )));
            }
        }
        self.new_file_is_made_or_not()?;
        // Nothing keeps anybody from reading.
        self.store.list(&everything())?;
        self.ledger.compare(&*self.store)??;
        compare_after_crash(&self.disk.directory, &self.crashed, &[&self.ledger])
    }

    /// Whoever finds no room for another file leaves nothing of it behind.
    fn new_file_is_made_or_not(&self) -> Result<(), Broken> {
        let Err(error) = SqliteStore::open(self.disk.directory.join(OTHER)) else {
            return Ok(());
        };
        let kind = error.kind();
        ensure(kind == StoreErrorKind::Full, || {
            format!("another file: {error:?}")
        })?;
        for entry in fs::read_dir(&self.disk.directory)? {
            let name = entry?.file_name().to_string_lossy().into_owned();
            ensure(!name.starts_with(OTHER), || {
                format!("{name} was left behind")
            })?;
        }
        Ok(())
    }

    /// Once there is room, the same store does everything that it could not.
    fn ends_right(mut self) -> Result<(), Broken> {
        self.disk.make_room()?;
        drop(SqliteStore::open(self.disk.directory.join(OTHER))?);
        for act in std::mem::take(&mut self.ledger.unsettled) {
            self.ledger.note(&act, &Ok(act.send(&*self.store)?))?;
        }
        self.ledger.compare(&*self.store)??;
        let mut done = false;
        for _ in 0..WIPES {
            done |= self.store.wipe(WipeLevel::Files)? == Wipe::Done;
            if done {
                break;
            }
        }
        ensure(done, || "a wipe does not come to an end".to_owned())?;
        nothing_is_left(&self.disk.directory, &self.ledger)?;
        let path = self.disk.directory.join(NAME);
        drop(self.store);
        is_whole(&path)?;
        let store = SqliteStore::open(&path)?;
        Ok(self.ledger.compare(&store)??)
    }
}

fn says_full(error: &StoreError) -> bool {
    matches!(
        error.kind(),
        StoreErrorKind::Full | StoreErrorKind::OutcomeUnknown
    )
}

/// A disk of a given size, until it is dropped.
struct SmallDisk {
    directory: PathBuf,
}

impl SmallDisk {
    /// Or why there is none.
    fn mount(directory: &Path, kib: u32) -> Result<Result<Self, String>, Broken> {
        fs::create_dir_all(directory)?;
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={kib}k"), "tmpfs"])
            .arg(directory)
            .output();
        Ok(match mounted {
            Ok(output) if output.status.success() => Ok(SmallDisk {
                directory: directory.to_owned(),
            }),
            Ok(output) => {
                let said = String::from_utf8_lossy(&output.stderr);
                Err(format!("no disk can be mounted: {}", said.trim()))
            }
            Err(error) => Err(format!("no disk can be mounted: {error}")),
        })
    }

    fn filling(&self) -> PathBuf {
        self.directory.join("filling")
    }

    fn fill(&self) -> Result<(), Broken> {
        let mut file = fs::File::create(self.filling())?;
        let block = [0x5a; 4096];
        while file.write_all(&block).is_ok() {}
        Ok(())
    }

    fn make_room(&self) -> Result<(), Broken> {
        if self.filling().exists() {
            fs::remove_file(self.filling())?;
        }
        let grown = Command::new("mount")
            .args(["-o", "remount,size=64m"])
            .arg(&self.directory)
            .status()?;
        ensure(grown.success(), || {
            "the disk cannot be made larger".to_owned()
        })
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.directory).status();
    }
}
