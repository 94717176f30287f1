//! Has SQLite's calls of the operating system fail where a test wants it, in files below one directory.
//!
//! It stands between SQLite and its own file system as SQLite's default one, so that whatever opens a database goes
//! through it unchanged. Files elsewhere are none of its business.
//!
//! ```
//! use milepost_faults::{Call, Error, Fault, Faults, Lasts};
//!
//! let directory = tempfile::tempdir()?;
//! let faults = Faults::below(directory.path())?;
//! let database = rusqlite::Connection::open(directory.path().join("a.db"))?;
//! database.execute_batch("CREATE TABLE t (x)")?;
//!
//! faults.arm(Fault { call: Call::Sync, nth: 1, lasts: Lasts::Once, error: Error::Io });
//! assert!(database.execute_batch("INSERT INTO t VALUES (1)").is_err());
//! assert_eq!(faults.failed(), 1);
//! faults.disarm();
//! database.execute_batch("INSERT INTO t VALUES (1)")?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#![cfg(unix)]

mod vfs;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rusqlite::ffi;

/// What SQLite asks of the operating system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Call {
    /// Opens a file, or makes it.
    Open,
    /// Removes a file.
    Delete,
    /// Whether a file is there.
    Access,
    /// Reads from a file.
    Read,
    /// Writes to a file.
    Write,
    /// Has what was written reach the disk.
    Sync,
    /// Makes a file shorter.
    Truncate,
    /// How long a file is.
    FileSize,
    /// Locks a file against other OS processes.
    Lock,
    /// Gives out a part of the memory that all who have the file open share, and makes that larger.
    ShmMap,
    /// Takes a lock that lies there, or gives it back.
    ShmLock,
}

impl Call {
    /// All of them.
    pub const ALL: [Call; 11] = [
        Call::Open,
        Call::Delete,
        Call::Access,
        Call::Read,
        Call::Write,
        Call::Sync,
        Call::Truncate,
        Call::FileSize,
        Call::Lock,
        Call::ShmMap,
        Call::ShmLock,
    ];

    /// Whether it changes a file, or means that one is changed.
    #[must_use]
    pub fn writes(self) -> bool {
        matches!(
            self,
            Call::Write | Call::Sync | Call::Truncate | Call::Delete
        )
    }

    /// What may come of it.
    #[must_use]
    pub fn errors(self) -> &'static [Error] {
        match self {
            Call::Write => &[Error::Io, Error::Full, Error::Torn, Error::Quota],
            Call::Open | Call::Sync => &[Error::Io, Error::Full, Error::Quota],
            Call::Truncate | Call::ShmMap => &[Error::Io, Error::Full],
            Call::Delete
            | Call::Access
            | Call::Read
            | Call::FileSize
            | Call::Lock
            | Call::ShmLock => &[Error::Io],
        }
    }
}

/// What a call that fails says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Error {
    /// The disk does not do it: `EIO`.
    Io,
    /// There is no room: `ENOSPC`.
    Full,
    /// There was room for half of what was to be written.
    Torn,
    /// There is no room for this user: `EDQUOT`.
    Quota,
}

impl Error {
    /// Whether it is for want of room.
    #[must_use]
    pub fn is_space(self) -> bool {
        self != Error::Io
    }

    fn errno(self) -> i32 {
        match self {
            Error::Io => 5,
            Error::Full | Error::Torn => 28,
            Error::Quota if cfg!(target_os = "linux") => 122,
            Error::Quota => 69,
        }
    }

    /// What SQLite's file system for Unix makes of it.
    fn code(self, call: Call) -> i32 {
        match (call, self) {
            // Any other failure to write is an I/O error, and `errno` tells more.
            (Call::Write, Error::Full | Error::Torn) => ffi::SQLITE_FULL,
            (Call::ShmMap, Error::Full) => ffi::SQLITE_IOERR_SHMSIZE,
            (Call::Open, _) => ffi::SQLITE_CANTOPEN,
            (Call::Delete, _) => ffi::SQLITE_IOERR_DELETE,
            (Call::Access, _) => ffi::SQLITE_IOERR_ACCESS,
            (Call::Read, _) => ffi::SQLITE_IOERR_READ,
            (Call::Write, _) => ffi::SQLITE_IOERR_WRITE,
            (Call::Sync, _) => ffi::SQLITE_IOERR_FSYNC,
            (Call::Truncate, _) => ffi::SQLITE_IOERR_TRUNCATE,
            (Call::FileSize, _) => ffi::SQLITE_IOERR_FSTAT,
            (Call::Lock, _) => ffi::SQLITE_IOERR_LOCK,
            (Call::ShmMap, _) => ffi::SQLITE_IOERR_SHMMAP,
            (Call::ShmLock, _) => ffi::SQLITE_IOERR_SHMLOCK,
        }
    }
}

/// For how long calls fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Lasts {
    /// One call does.
    Once,
    /// All do from the nth on, until they are disarmed.
    UntilDisarmed,
    /// And all that change a file do, too: the disk takes nothing any more.
    WithAllThatWrite,
}

/// Which call is to fail, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fault {
    /// Of this kind.
    pub call: Call,
    /// The how manyeth of them, counted from 1.
    pub nth: u64,
    /// And whether those after it, too.
    pub lasts: Lasts,
    /// With what.
    pub error: Error,
}

/// How many calls there were, of each kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts([u64; Call::ALL.len()]);

impl Counts {
    /// How many of this kind.
    #[must_use]
    pub fn of(&self, call: Call) -> u64 {
        self.0[call as usize]
    }
}

/// The faults in the files below a directory, until this is dropped: then those that are still open work as ever.
#[derive(Debug)]
pub struct Faults {
    scope: Arc<Scope>,
}

static SCOPES: Mutex<Vec<(PathBuf, Arc<Scope>)>> = Mutex::new(Vec::new());

impl Faults {
    /// None yet. Files there that are open already are left alone.
    ///
    /// Syncs there are counted, but not made: no power is going to fail, and they are most of what takes time.
    pub fn below(directory: &Path) -> io::Result<Self> {
        vfs::install()?;
        let directory = directory.canonicalize()?;
        let scope = Arc::<Scope>::default();
        lock(&SCOPES).push((directory, Arc::clone(&scope)));
        Ok(Faults { scope })
    }

    /// Counts anew from here on, and has one call fail, or more.
    pub fn arm(&self, fault: Fault) {
        *lock(&self.scope.state) = State {
            fault: Some(fault),
            ..State::default()
        };
    }

    /// Has every write fail that would make a file longer than this: a small disk.
    pub fn let_files_grow_to(&self, bytes: u64) {
        lock(&self.scope.state).longest = Some(bytes);
    }

    /// Counts anew from here on, and lets everything work.
    pub fn disarm(&self) {
        *lock(&self.scope.state) = State::default();
    }

    /// How many calls were made to fail since it was armed.
    #[must_use]
    pub fn failed(&self) -> u64 {
        lock(&self.scope.state).failed
    }

    /// How many calls there were since it was armed or disarmed, those that failed included.
    #[must_use]
    pub fn counts(&self) -> Counts {
        lock(&self.scope.state).counts
    }
}

impl Drop for Faults {
    fn drop(&mut self) {
        self.disarm();
        lock(&SCOPES).retain(|(_, scope)| !Arc::ptr_eq(scope, &self.scope));
    }
}

/// What the files below one directory share.
#[derive(Debug, Default)]
struct Scope {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    fault: Option<Fault>,
    longest: Option<u64>,
    counts: Counts,
    failed: u64,
}

impl Scope {
    /// The one that a path belongs to.
    fn of(path: &Path) -> Option<Arc<Scope>> {
        let scopes = lock(&SCOPES);
        let found = scopes
            .iter()
            .find(|(directory, _)| path.starts_with(directory));
        found.map(|(_, scope)| Arc::clone(scope))
    }

    /// Counts a call; says how it is to fail, if it is.
    fn ask(&self, call: Call) -> Option<Error> {
        let mut state = lock(&self.state);
        state.counts.0[call as usize] += 1;
        let count = state.counts.of(call);
        let fault = state.fault?;
        let hit = match fault.lasts {
            Lasts::Once => call == fault.call && count == fault.nth,
            Lasts::WithAllThatWrite if state.failed > 0 => call.writes(),
            Lasts::UntilDisarmed | Lasts::WithAllThatWrite => {
                call == fault.call && count >= fault.nth
            }
        };
        hit.then(|| {
            state.failed += 1;
            fault.error
        })
    }

    /// The same of a write that ends at this offset.
    fn ask_write(&self, end: u64) -> Option<Error> {
        let asked = self.ask(Call::Write);
        let mut state = lock(&self.state);
        if asked.is_none() && state.longest.is_some_and(|longest| end > longest) {
            state.failed += 1;
            return Some(Error::Full);
        }
        asked
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
