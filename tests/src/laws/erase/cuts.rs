//! A power cut does not bring back what was wiped.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use milepost::{Durability, WipeLevel};

use super::erased::nothing_is_left;
use super::kills::{Wiper, open};
use super::{populate, write_list};
use crate::disk::{self, run};
use crate::law::{Broken, Done, Law, Shard, ensure};

/// The power is cut after a wipe was done.
pub static WIPE_CUTS: Law = Law {
    name: "wipe-cuts",
    says: "after `Done` a power cut of ext4 brings no byte of what was erased back into the files",
    unit: "cuts of ext4",
    shard: 25,
    asked: 100,
    run: |shard| wipe_cuts(shard, "ext4", "honest"),
};

/// The same on another file system.
pub static WIPE_CUTS_ON_XFS: Law = Law {
    name: "wipe-cuts-on-xfs",
    says: "as wipe-cuts, on XFS",
    unit: "cuts of XFS",
    shard: 25,
    asked: 100,
    run: |shard| wipe_cuts(shard, "xfs", "honest"),
};

/// On this file system, with a child that wipes in this way: see the program `erase`.
pub fn wipe_cuts(shard: &Shard<'_>, kind: &str, how: &str) -> Result<Done, Broken> {
    let disk = match Disk::make(shard.scratch, kind, 96) {
        Ok(disk) => disk,
        Err(why) => return Ok(Done::Skipped(why)),
    };
    if run("xfs_io", |xfs_io| xfs_io.arg("-V")).is_err() {
        return Ok(Done::Skipped(
            "xfs_io (package xfsprogs) is not installed".to_owned(),
        ));
    }
    let list = shard.scratch.join("list");
    let mut cuts = 0;
    while shard.goes_on(cuts) {
        let mut random = shard.random(cuts);
        let mounted = disk.mount()?;
        let file = mounted.path().join(format!("store-{cuts}/status.db"));
        std::fs::create_dir(file.parent().expect("it is in one"))?;
        let level = [WipeLevel::Files, WipeLevel::Media][random.usize(..2)];
        let all = {
            let tracker = open(&file, Durability::Normal, level)?;
            populate(&tracker, &mut random, 100)?
        };
        // So that what is to go is on the disk.
        run("sync", |sync| sync.arg("-f").arg(&file))?;
        write_list(&list, &all)?;
        let durability = [Durability::Full, Durability::Normal][random.usize(..2)];
        let mut wiper = Wiper::start([&file, &list], (level, durability), how, Stdio::null())?;
        for expected in ["erased", "done"] {
            wiper.says(expected)?;
        }
        std::thread::sleep(Duration::from_micros(random.u64(..20_000)));
        mounted.cut()?;
        wiper.kill()?;
        drop(mounted);
        let mounted = disk.mount()?;
        nothing_is_left(&file, &all)?;
        let tracker = open(&file, Durability::Full, level)?;
        for marked in &all {
            let is_there = tracker.get(marked.id).is_ok();
            ensure(is_there != marked.goes, || {
                format!("after the cut {marked:?} is there: {is_there}")
            })?;
        }
        drop(tracker);
        std::fs::remove_dir_all(file.parent().expect("it is in one"))?;
        drop(mounted);
        cuts += 1;
    }
    Ok(Done::Tried(cuts))
}

/// A disk of its own, in a file.
pub(super) struct Disk {
    pub(super) image: PathBuf,
    mount_point: PathBuf,
}

impl Disk {
    /// With a file system of this kind. Or why there is none.
    pub(super) fn make(scratch: &Path, kind: &str, mebibytes: u64) -> Result<Self, String> {
        let disk = Disk {
            image: scratch.join("disk"),
            mount_point: scratch.join("mounted"),
        };
        std::fs::create_dir(&disk.mount_point).map_err(|error| error.to_string())?;
        match disk.format(kind, mebibytes) {
            Ok(()) => Ok(disk),
            Err(why) => Err(format!("no {kind} here: {why}")),
        }
    }

    fn format(&self, kind: &str, mebibytes: u64) -> Result<(), Broken> {
        let image = std::fs::File::create(&self.image)?;
        image.set_len(mebibytes.max(disk::least(kind)) << 20)?;
        disk::format(kind, &self.image, &[])?;
        self.mount().map(drop)
    }

    pub(super) fn mount(&self) -> Result<Mounted<'_>, Broken> {
        disk::mount(&self.image, &self.mount_point)?;
        Ok(Mounted(&self.mount_point))
    }
}

/// A disk that is mounted until this goes.
pub(super) struct Mounted<'d>(&'d Path);

impl Mounted<'_> {
    pub(super) fn path(&self) -> &Path {
        self.0
    }

    /// From here on nothing reaches the disk, and what has not is lost.
    fn cut(&self) -> Result<(), Broken> {
        disk::shut_down(self.0, "shutdown")
    }
}

impl Drop for Mounted<'_> {
    fn drop(&mut self) {
        // If it stays, what needs it next says so.
        let _ = disk::unmount(self.0);
    }
}
