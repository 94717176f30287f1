//! A disk that can lose its power: a file system in a file, on a file system in a file.
//!
//! What the inner one has not synced is lost when it is shut down. What it has written to its disk, and the disk has not
//! been told to keep, is lost when the outer one is shut down, for that is what its disk is a file on: a disk with
//! a cache that forgets. Before that some of the cache may be written, in any order.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use fastrand::Rng;

use crate::law::{Broken, ensure};

/// How large the inner disk is, in MiB. The outer one must have room for it.
const INNER: u32 = 96;
const OUTER: u32 = 160;
/// How much of its cache the disk writes at once.
const PIECE: usize = 64 << 10;

/// Two file systems in a directory, one in the other. Where nobody may mount there are none.
#[derive(Debug)]
pub(super) struct Disk {
    scratch: PathBuf,
}

/// How the power is cut.
#[derive(Debug, Clone, Copy)]
pub(super) enum Cut {
    /// The file system stops, and with it whatever it had not written.
    Stop,
    /// It stops after it wrote its journal once more.
    StopAfterJournal,
    /// The disk loses what it was not told to keep.
    Disk,
    /// So does it, but some of that it had already written.
    DiskInDisorder,
}

impl Cut {
    pub(super) fn random(random: &mut Rng) -> Self {
        match random.u8(..8) {
            0..2 => Cut::Stop,
            2 => Cut::StopAfterJournal,
            3..5 => Cut::Disk,
            _ => Cut::DiskInDisorder,
        }
    }
}

impl Disk {
    /// A new one. An error says why that cannot be.
    pub(super) fn new(scratch: &Path, random: &mut Rng) -> Result<Self, Broken> {
        let disk = Disk {
            scratch: scratch.to_path_buf(),
        };
        for directory in [disk.outer(), disk.inner()] {
            fs::create_dir(directory)?;
        }
        let outer = fs::File::create(disk.outer_image())?;
        outer.set_len(u64::from(OUTER) << 20)?;
        drop(outer);
        run("mkfs.ext4", |mkfs| {
            mkfs.args(["-q", "-F"]).arg(disk.outer_image())
        })?;
        mount(&disk.outer_image(), &disk.outer())?;
        // Written, not only reserved: what is written to it later changes nothing but the bytes.
        fs::write(disk.inner_image(), vec![0; (INNER as usize) << 20])?;
        let block = if random.bool() { "1024" } else { "4096" };
        run("mkfs.ext4", |mkfs| {
            mkfs.args(["-q", "-F", "-b", block, "-E", "nodiscard"])
                .arg(disk.inner_image())
        })?;
        run("sync", |sync| sync.arg("-f").arg(disk.inner_image()))?;
        mount(&disk.inner_image(), &disk.inner())?;
        disk.loses_what_is_not_synced(random)?;
        Ok(disk)
    }

    /// A cut that loses nothing would show nothing.
    fn loses_what_is_not_synced(&self, random: &mut Rng) -> Result<(), Broken> {
        let (kept, lost) = (self.inner().join("kept"), self.inner().join("lost"));
        for cut in [Cut::Stop, Cut::Disk] {
            fs::write(&kept, "synced")?;
            fs::File::open(&kept)?.sync_all()?;
            fs::File::open(self.inner())?.sync_all()?;
            fs::write(&lost, "not synced")?;
            self.cut(cut, random)?;
            self.restore()?;
            let is_there = |path| fs::read(path).is_ok_and(|content| !content.is_empty());
            ensure(is_there(&kept) && !is_there(&lost), || {
                format!("after {cut:?} what was synced is not there, or what was not is")
            })?;
            fs::remove_file(&kept)?;
        }
        self.clear()
    }

    /// Removes all that was kept on it.
    pub(super) fn clear(&self) -> Result<(), Broken> {
        for entry in fs::read_dir(self.inner())? {
            let path = entry?.path();
            if path.is_file() {
                fs::remove_file(path)?;
            }
        }
        Ok(())
    }

    /// Where files are kept that lose the power.
    pub(super) fn inner(&self) -> PathBuf {
        self.scratch.join("inner")
    }

    fn outer(&self) -> PathBuf {
        self.scratch.join("outer")
    }

    fn outer_image(&self) -> PathBuf {
        self.scratch.join("outer.img")
    }

    fn inner_image(&self) -> PathBuf {
        self.outer().join("inner.img")
    }

    /// Cuts the power.
    pub(super) fn cut(&self, cut: Cut, random: &mut Rng) -> Result<(), Broken> {
        let shut_down = |file_system: PathBuf, how: &str| {
            run("xfs_io", |xfs_io| {
                xfs_io.args(["-x", "-c", how]).arg(file_system)
            })
        };
        match cut {
            Cut::Stop => shut_down(self.inner(), "shutdown"),
            Cut::StopAfterJournal => shut_down(self.inner(), "shutdown -f"),
            Cut::Disk => shut_down(self.outer(), "shutdown"),
            Cut::DiskInDisorder => {
                self.write_some(random)?;
                shut_down(self.outer(), "shutdown")
            }
        }
    }

    /// Has the disk write some of what is in its cache.
    fn write_some(&self, random: &mut Rng) -> Result<(), Broken> {
        let share = random.u8(20..230);
        run("xfs_io", |xfs_io| {
            for place in (0..INNER << 20).step_by(PIECE) {
                if random.u8(..) < share {
                    xfs_io.args(["-c", &format!("sync_range -w {place} {PIECE}")]);
                }
            }
            xfs_io.arg(self.inner_image())
        })
    }

    /// Switches it on again. Nobody may have a file on it open.
    pub(super) fn restore(&self) -> Result<(), Broken> {
        unmount(&self.inner())?;
        unmount(&self.outer())?;
        mount(&self.outer_image(), &self.outer())?;
        mount(&self.inner_image(), &self.inner())
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        for directory in [self.inner(), self.outer()] {
            // The mounts end with the program, whose own they are.
            let _ = run("umount", |umount| umount.arg("-l").arg(directory));
        }
    }
}

fn mount(image: &Path, directory: &Path) -> Result<(), Broken> {
    run("mount", |mount| {
        mount.args(["-o", "loop"]).arg(image).arg(directory)
    })
}

fn unmount(directory: &Path) -> Result<(), Broken> {
    let mut tries = 0;
    loop {
        let unmounted = run("umount", |umount| umount.arg(directory));
        // The kernel may still be closing the files of those who were killed.
        if unmounted.is_ok() || tries == 100 {
            return unmounted;
        }
        tries += 1;
        thread::sleep(Duration::from_millis(10));
    }
}

/// Runs a program of the system; what it complains of is the error.
fn run(program: &str, arguments: impl FnOnce(&mut Command) -> &mut Command) -> Result<(), Broken> {
    let mut command = Command::new(program);
    arguments(&mut command).stdin(Stdio::null());
    let output = command
        .output()
        .map_err(|error| Broken::new(format!("{program}: {error}")))?;
    ensure(output.status.success(), || {
        let complaint = String::from_utf8_lossy(&output.stderr);
        format!("{program}: {}", complaint.trim())
    })
}
