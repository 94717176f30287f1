//! What the tests of the SQLite store share.

#![allow(dead_code, reason = "each test program uses a part of it")]

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
    /// None where nothing may be mounted. `size` is as `mount` takes it: `8m` for 8 MiB.
    pub(crate) fn mount(directory: &'p Path, size: &str) -> Option<Self> {
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"])
            .arg(directory)
            .output();
        let mounted = mounted.is_ok_and(|mounted| mounted.status.success());
        mounted.then_some(SmallDisk(directory))
    }
}

impl Drop for SmallDisk<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0).status();
    }
}
