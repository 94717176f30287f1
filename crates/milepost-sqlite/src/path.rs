//! Paths: the file that is meant, and the files beside it.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use milepost_core::StoreError;

use crate::config::SqliteConfig;
use crate::error::{refuse, unavailable};
use crate::open_files::OpenFile;
use crate::pool::Deadline;

/// The file that a configuration means: absolute, so that it is never taken for a URI.
pub(crate) fn resolve(config: &SqliteConfig) -> Result<PathBuf, StoreError> {
    let path = std::path::absolute(&config.path)
        .map_err(|error| unavailable("the path is empty", &error))?;
    let (Some(directory), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(refuse("the path names no file"));
    };
    let directory = fs::canonicalize(directory).map_err(|error| {
        unavailable(
            &format!("the directory {} cannot be used", directory.display()),
            &error,
        )
    })?;
    let path = directory.join(name);
    match fs::symlink_metadata(&path) {
        Ok(link) if link.is_symlink() && !config.follow_symlinks => Err(refuse(
            "the path is a symbolic link: give the file itself, or set `follow_symlinks`",
        )),
        Ok(link) if link.is_symlink() => fs::canonicalize(&path)
            .map_err(|error| unavailable("the symbolic link leads nowhere", &error)),
        Ok(_) => Ok(path),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(path),
        Err(error) => Err(unavailable("the path cannot be looked at", &error)),
    }
}

/// What SQLite makes beside a database.
pub(crate) const BESIDE: [&str; 3] = ["-wal", "-shm", "-journal"];

/// Refuses what stands beside a file, in the place of one of SQLite's, and is no regular file: a pipe would have SQLite
/// wait for whoever writes into it.
pub(crate) fn check_beside(path: &Path) -> Result<(), StoreError> {
    for file in BESIDE.map(|suffix| beside(path, suffix)) {
        if fs::symlink_metadata(&file).is_ok_and(|found| !found.is_file()) {
            let why = format!("{} is no regular file: remove it", file.display());
            return Err(refuse(&why));
        }
    }
    Ok(())
}

/// The file that a store has open, to be told from another that has come to its path, and known to be open in this
/// OS process until this is dropped.
///
/// When a file that is open is removed, restored or replaced, the store goes on with one that nobody else
/// can find: what it wrote there would be lost, and connections that it opened later would be to another.
pub(crate) struct TheFile {
    path: PathBuf,
    open: OpenFile,
    opened: Instant,
    /// When it was found unchanged last, in milliseconds since it was opened.
    checked: AtomicU64,
}

/// How many milliseconds reads trust the last look at the path: it costs a fifth of a small read.
const TRUSTED: u64 = 10;

impl TheFile {
    /// Before SQLite has opened it.
    pub(crate) fn at(path: PathBuf, deadline: Deadline) -> Result<Self, StoreError> {
        let enter = || {
            let identity = identity(&path);
            let identity =
                identity.map_err(|error| unavailable("the file cannot be looked at", &error))?;
            OpenFile::enter(identity)
        };
        Ok(TheFile {
            open: deadline.retry(enter)?,
            path,
            opened: Instant::now(),
            checked: AtomicU64::new(0),
        })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether it was what the path leads to a moment ago: enough for what acknowledges nothing.
    pub(crate) fn check_now_and_then(&self) -> Result<(), StoreError> {
        if self
            .age()
            .saturating_sub(self.checked.load(Ordering::Relaxed))
            < TRUSTED
        {
            return Ok(());
        }
        self.check()
    }

    fn age(&self) -> u64 {
        u64::try_from(self.opened.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Whether it still is what the path leads to.
    pub(crate) fn check(&self) -> Result<(), StoreError> {
        match identity(&self.path) {
            Ok(identity) if identity == *self.open.identity() => {
                self.checked.store(self.age(), Ordering::Relaxed);
                Ok(())
            }
            Ok(_) => Err(refuse(
                "the file was replaced while it was open: open the store again",
            )),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(refuse(
                "the file was moved or removed while it was open: open the store again",
            )),
            // That the path cannot be looked at any more says nothing about the file.
            Err(_) => Ok(()),
        }
    }
}

/// What tells a file from every other: its device and its number on it. Elsewhere a file that is open can be neither
/// removed nor replaced, and its path tells it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Identity(#[cfg(unix)] (u64, u64), #[cfg(not(unix))] PathBuf);

#[cfg(unix)]
pub(crate) fn identity(path: &Path) -> io::Result<Identity> {
    use std::os::unix::fs::MetadataExt;
    // Looking by path drops no lock, as opening and closing the file would.
    let file = fs::metadata(path)?;
    Ok(Identity((file.dev(), file.ino())))
}

#[cfg(not(unix))]
pub(crate) fn identity(path: &Path) -> io::Result<Identity> {
    fs::canonicalize(path).map(Identity)
}

/// The path of a file that SQLite, or we, put beside another.
pub(crate) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    PathBuf::from(name)
}
