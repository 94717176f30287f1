//! What the tests of the SQLite store share.

#![allow(dead_code, reason = "each test program uses a part of it")]

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use milepost_core::{NewProcess, Pipeline, ProcessHandle, Tracker};

/// A directory of the test's own, and the path of a database in it.
pub(crate) struct Place {
    directory: tempfile::TempDir,
}

impl Place {
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().expect("there is room for a directory");
        Place { directory }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.directory.path().join("status.db")
    }

    /// The names and contents of all files there.
    ///
    /// Read by another OS process: opening and closing them in this one would drop the locks that SQLite
    /// holds here.
    pub(crate) fn files(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let entries = std::fs::read_dir(self.directory.path()).expect("the directory is there");
        let mut files = entries
            .map(|entry| {
                let path = entry.expect("an entry").path();
                let cat = Command::new("cat").arg(&path).output().expect("cat runs");
                assert!(cat.status.success(), "{} cannot be read", path.display());
                (path, cat.stdout)
            })
            .collect::<Vec<_>>();
        files.sort();
        files
    }
}

pub(crate) fn pipeline() -> Pipeline {
    Pipeline::new("invoice-ocr", ["ocr", "parser", "keyword-db"]).expect("a good pipeline")
}

pub(crate) fn begin(tracker: &Tracker, file_name: &str) -> ProcessHandle {
    let new = NewProcess::new(&pipeline()).file_name(file_name);
    tracker.begin(new).expect("it begins")
}

/// A connection as another program would open it.
pub(crate) fn foreign_connection(path: &Path) -> rusqlite::Connection {
    rusqlite::Connection::open(path).expect("SQLite opens it")
}

/// The number of the page at which the table of new processes begins.
pub(crate) fn root_page(place: &Place) -> u32 {
    let root = "SELECT rootpage FROM sqlite_schema WHERE name = 'process_a'";
    foreign_connection(&place.path())
        .query_row(root, [], |row| row.get(0))
        .expect("a root page")
}

/// A disk of a given size, until it is dropped.
pub(crate) struct SmallDisk<'p>(&'p Path);

impl<'p> SmallDisk<'p> {
    /// None where nothing may be mounted, which is said. `size` is as `mount` takes it: `8m` for 8 MiB.
    pub(crate) fn mount(directory: &'p Path, size: &str) -> Option<Self> {
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"])
            .arg(directory)
            .output();
        if !mounted.is_ok_and(|mounted| mounted.status.success()) {
            not_checked("nothing can be mounted here");
            return None;
        }
        Some(SmallDisk(directory))
    }

    /// Lets nobody write to it from now on, not even root.
    pub(crate) fn make_read_only(&self) {
        let mut mount = Command::new("mount");
        let output = mount.args(["-o", "remount,ro"]).arg(self.0).output();
        assert!(output.expect("mount runs").status.success());
    }
}

/// Says that the test that runs could not be made, where `./test` shows it: what a passing test prints nobody sees.
pub(crate) fn not_checked(why: &str) {
    let thread = std::thread::current();
    let line = format!("{}: SKIPPED: {why}\n", thread.name().unwrap_or("a test"));
    eprint!("{line}");
    if let Some(path) = std::env::var_os("MILEPOST_SKIPPED") {
        let file = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(path);
        file.and_then(|mut file| file.write_all(line.as_bytes()))
            .expect("there is room for a line");
    }
}

impl Drop for SmallDisk<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0).status();
    }
}
