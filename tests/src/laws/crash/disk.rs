//! A disk that can lose its power: a file system in a file, on a file system in a file.
//!
//! What the inner one has not synced is lost when it is shut down. What it has written to its disk, and the disk has not
//! been told to keep, is lost when the outer one is shut down, for that is what its disk is a file on: a disk with
//! a cache that forgets. Before that some of the cache may be written, in any order.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use fastrand::Rng;

use crate::disk::{format, least, mount, run, shut_down, unmount};
use crate::law::{Broken, ensure};

/// How large the inner disk is, in MiB, if its file system may be so small, and by how much larger the outer one.
const INNER: u64 = 96;
const AROUND: u64 = 64;
/// Of how many pieces of a file each is written or not, when some of it is.
const PIECES: u64 = 1_500;

/// Two file systems in a directory, one in the other. Where nobody may mount there are none.
#[derive(Debug)]
pub(super) struct Disk {
    scratch: PathBuf,
}

/// How the power is cut.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cut {
    what: What,
    /// Some of what nobody has asked to be synced is written before, in any order.
    in_disorder: bool,
}

#[derive(Debug, Clone, Copy)]
enum What {
    /// The file system stops, and with it whatever it had not written.
    FileSystem,
    /// So it does, after it wrote its journal once more.
    FileSystemAfterJournal,
    /// The disk loses what it was not told to keep.
    Disk,
}

impl Cut {
    pub(super) fn random(random: &mut Rng) -> Self {
        Cut {
            what: match random.u8(..5) {
                0..2 => What::FileSystem,
                2 => What::FileSystemAfterJournal,
                _ => What::Disk,
            },
            in_disorder: random.bool(),
        }
    }
}

impl Disk {
    /// A new one, with a file system of this kind. An error says why that cannot be.
    pub(super) fn new(scratch: &Path, kind: &str, random: &mut Rng) -> Result<Self, Broken> {
        let disk = Disk {
            scratch: scratch.to_path_buf(),
        };
        for directory in [disk.outer(), disk.inner()] {
            fs::create_dir(directory)?;
        }
        let block = random.choice(["1024", "4096"]).expect("there are two");
        match kind {
            "xfs" => disk.make(kind, &["-K"])?,
            _ => disk.make(kind, &["-b", block, "-E", "nodiscard"])?,
        }
        disk.loses_what_is_not_synced(random)?;
        Ok(disk)
    }

    fn make(&self, kind: &str, options: &[&str]) -> Result<(), Broken> {
        let inner = INNER.max(least(kind));
        fs::File::create(self.outer_image())?.set_len((inner + AROUND) << 20)?;
        format("ext4", &self.outer_image(), &[])?;
        mount(&self.outer_image(), &self.outer())?;
        // Written, not only reserved: what is written to it later changes nothing but the bytes.
        let mut image = fs::File::create(self.inner_image())?;
        for _ in 0..inner {
            image.write_all(&vec![0; 1 << 20])?;
        }
        drop(image);
        format(kind, &self.inner_image(), options)?;
        run("sync", |sync| sync.arg("-f").arg(self.inner_image()))?;
        mount(&self.inner_image(), &self.inner())
    }

    /// A cut that loses nothing would show nothing.
    fn loses_what_is_not_synced(&self, random: &mut Rng) -> Result<(), Broken> {
        let (kept, lost) = (self.inner().join("kept"), self.inner().join("lost"));
        for what in [What::FileSystem, What::Disk] {
            fs::write(&kept, "synced")?;
            fs::File::open(&kept)?.sync_all()?;
            fs::File::open(self.inner())?.sync_all()?;
            fs::write(&lost, "not synced")?;
            let cut = Cut {
                what,
                in_disorder: false,
            };
            self.cut(cut, random)?;
            self.restore()?;
            let is_there = |path| fs::read(path).is_ok_and(|content| !content.is_empty());
            ensure(is_there(&kept) && !is_there(&lost), || {
                format!("after a cut of {what:?} what was synced is not there, or what was not is")
            })?;
            fs::remove_file(&kept)?;
        }
        self.clear()
    }

    /// Removes all that was kept on it.
    pub(super) fn clear(&self) -> Result<(), Broken> {
        for file in self.files()? {
            fs::remove_file(file)?;
        }
        // Or the next cut may bring them back.
        Ok(fs::File::open(self.inner())?.sync_all()?)
    }

    /// What is kept on it.
    fn files(&self) -> Result<Vec<PathBuf>, Broken> {
        let paths = fs::read_dir(self.inner())?.map(|entry| entry.map(|entry| entry.path()));
        let mut paths = paths.collect::<Result<Vec<_>, _>>()?;
        paths.retain(|path| path.is_file());
        Ok(paths)
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
        if cut.in_disorder {
            for file in self.files()? {
                write_some(&file, random)?;
            }
        }
        match cut.what {
            What::FileSystem => shut_down(&self.inner(), "shutdown"),
            What::FileSystemAfterJournal => shut_down(&self.inner(), "shutdown -f"),
            What::Disk => {
                if cut.in_disorder {
                    write_some(&self.inner_image(), random)?;
                }
                shut_down(&self.outer(), "shutdown")
            }
        }
    }

    fn unmount(&self) {
        for directory in [self.inner(), self.outer()] {
            // The mounts end with the program, whose own they are.
            let _ = run("umount", |umount| umount.arg("-l").arg(directory));
        }
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
        self.unmount();
    }
}

/// Has some of what is known of a file written, as the kernel may at any time.
fn write_some(file: &Path, random: &mut Rng) -> Result<(), Broken> {
    let Ok(length) = fs::metadata(file).map(|file| file.len()) else {
        // Whoever has it open has removed it.
        return Ok(());
    };
    let size = length.div_ceil(PIECES).next_multiple_of(4_096).max(4_096);
    let share = random.u8(20..230);
    let written = run("xfs_io", |xfs_io| {
        for piece in (0..PIECES).filter(|piece| piece * size < length) {
            if random.u8(..) < share {
                let place = piece * size;
                xfs_io.args(["-c", &format!("sync_range -w {place} {size}")]);
            }
        }
        xfs_io.args(["-c", "stat"]).arg(file)
    });
    // Whoever has it open may remove it at any time, and make another.
    written.or_else(|broken| {
        let is_gone = broken.to_string().contains("No such file or directory");
        ensure(is_gone, || broken.to_string())
    })
}
