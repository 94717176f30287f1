#![doc = include_str!("../README.md")]

mod batch;
mod checkpoints;
mod columns;
mod config;
mod connection;
mod count;
mod error;
mod header;
mod library;
mod list;
mod make;
mod mark;
mod media;
mod medium;
mod memo;
mod moves;
mod open;
mod open_files;
mod ours;
mod pages;
mod path;
mod pool;
mod purge;
mod rows;
mod schema;
mod search;
mod source;
mod sql;
mod transaction;
mod upgrades;
mod verify;
mod wal_hook;
mod wipe;

use std::fmt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use milepost_core::{
    Counts, Filter, Found, GroupCommit, Listing, Op, Process, RequestId, StatusStore, StoreError,
    StoreErrorKind, Transaction as _, Transactions as _, Verdict, Version, Wipe, WipeLevel, limits,
};
use rusqlite::Connection;

use crate::checkpoints::Checkpoints;
pub use crate::config::{Durability, SqliteConfig};
use crate::connection::{run, synchronous};
use crate::error::{Busy, store_error};
pub use crate::mark::{Encoding, Mark};
use crate::memo::Memo;
use crate::moves::Pace;
pub use crate::pages::PagePart;
use crate::path::TheFile;
use crate::pool::{Deadline, Lent, Pool, begin};
use crate::rows::{LastTable, Rows};
use crate::transaction::Writes;
pub use crate::verify::{Trace, Traces, verify_erased};

/// Keeps processes in one SQLite file, shared by any number of threads and OS processes of one machine.
///
/// # Contract
///
/// That of [`StatusStore`], at the [`Durability`] that it was opened with.
///
/// - Writes come one after the other, over all OS processes; reads go on beside them.
/// - A call waits at most [`busy_timeout`](SqliteConfig::busy_timeout), all in all, then it is `Busy`. Purges and wipes
///   go in steps that wait as long each; a wipe is `Pending` then.
/// - While another program has tables of its own in the file, wipes are [`Limited`](milepost_core::Wipe::Limited): bytes of
///   ours may be in their pages.
/// - A file of an older version is brought up to date when it is opened, in one transaction. Close it in all
///   OS processes that run the older version first: from then on their calls fail.
/// - The file must be on a local disk: SQLite's WAL mode does not work over a network.
/// - Once the file was moved, removed or replaced, every write is `Unavailable`, and every read from 10 ms
///   later: open it again.
/// - After `fork` a child gets `Unavailable` from a store that its parent opened, and also if it opens that file
///   again: SQLite cannot lock it there. Fork before anything is opened, or have the child run a program of its own.
///
/// # Errors on opening
///
/// | what is at the path | kind |
/// |---|---|
/// | a directory, no directory around it, a symbolic link, read-only, no regular file in the place of the WAL | `Unavailable` |
/// | no SQLite database, an encrypted one, another program's, a newer milepost's | `Incompatible` |
/// | fewer than 512 bytes, which may be anybody's | `Incompatible` |
/// | a truncated or damaged one; none, or an empty one, beside another's WAL or journal | `Corrupt` |
/// | one whose tables or indexes are not as milepost makes them: they could run what they like | `Corrupt` |
/// | nothing yet, on a disk without room for it | `Full` |
/// | anything, with a SQLite library that can corrupt files | `Incompatible` |
///
/// What is refused is left as it is, byte for byte.
///
/// # Examples
///
/// ```
/// use milepost_core::{NewProcess, Pipeline, Tracker};
/// use milepost_sqlite::SqliteStore;
///
/// # let directory = tempfile::tempdir()?;
/// # let path = directory.path().join("status.db");
/// let tracker = Tracker::new(SqliteStore::open(&path)?);
/// let pipeline = Pipeline::new("invoice-ocr", ["ocr", "parser"])?;
/// let id = tracker.begin(NewProcess::new(&pipeline))?.request_id();
///
/// // Any other OS process may ask, and this one too once it runs again.
/// drop(tracker);
/// let tracker = Tracker::new(SqliteStore::open(&path)?);
/// assert_eq!(tracker.get(id)?.pipeline(), "invoice-ocr");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct SqliteStore {
    config: SqliteConfig,
    /// Ends before the connections are closed. In memory there are none.
    checkpoints: Option<Checkpoints>,
    /// Closed before the writer, so that the writer closes the file for good.
    readers: Pool,
    writer: Arc<Pool>,
    /// Joins the batches of callers that come while another commits.
    group: GroupCommit,
    /// What the writer has decoded.
    memo: Mutex<Memo>,
    last_table: LastTable,
    /// Whether the WAL may hold what was written there whole and never synced, by a commit that failed or an OS process
    /// that was killed, and nothing was written since: it may be seen now, or come to light, or be gone after a crash.
    in_doubt: AtomicBool,
    /// The same until a wipe has synced it, whoever else has written since, and has noted that there is something to wipe.
    /// Also of what was rolled back.
    is_unsynced: AtomicBool,
    /// Held by whoever wipes: others of this store wait for it, and leave the file alone.
    wiping: Mutex<Pace>,
    /// How often in a row others were in the way of a wipe that was about to end the WAL.
    wipe_waits: AtomicU32,
    /// The OS process that opened it.
    opened_by: u32,
    /// Goes last: until the connections are closed, the file is open. None: in memory.
    file: Option<Arc<TheFile>>,
}

impl SqliteStore {
    /// Opens the file at `path` as [`SqliteConfig::new`] has it, and makes it if it is not there.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, StoreError> {
        SqliteStore::open_with(SqliteConfig::new(path.as_ref()))
    }

    /// Opens a file as configured.
    pub fn open_with(config: SqliteConfig) -> Result<Self, StoreError> {
        let open = || {
            library::check()?;
            let path = path::resolve(&config)?;
            let deadline = Deadline::after(config.busy_timeout);
            open::find_file(&path, &config, deadline)?;
            let file = TheFile::at(path, deadline)?;
            let opened = open::open_file(file.path(), &config, deadline)?;
            file.check()?;
            Ok((file, opened))
        };
        let (file, (writer, has_wal)) = open().map_err(|error| name_path(&error, &config.path))?;
        // Should the file vanish, then a new one in its place would only hide that.
        let config = SqliteConfig {
            create_if_missing: false,
            ..config
        };
        let store = SqliteStore::over(config, Some(Arc::new(file)), writer);
        store.note_found_wal(has_wal);
        Ok(store)
    }

    /// A database in memory, which is gone when the store is dropped: for tests of what is to run on a
    /// file. To keep processes in memory, `milepost-memory` is faster.
    pub fn in_memory() -> Result<Self, StoreError> {
        library::check()?;
        let config = SqliteConfig::new(":memory:");
        let writer = open::open_memory(&config)?;
        Ok(SqliteStore::over(config, None, writer))
    }

    fn over(config: SqliteConfig, file: Option<Arc<TheFile>>, mut writer: Connection) -> Self {
        let writers = Arc::new(Pool::new(1));
        let start = |file| Checkpoints::start(file, &config, &writers);
        let checkpoints = file.as_ref().map(start);
        if checkpoints.is_some() {
            wal_hook::note_pages(&mut writer);
        }
        writers.add(writer);
        SqliteStore {
            readers: Pool::new(config.readers.max(1)),
            writer: writers,
            group: GroupCommit::new(),
            memo: Mutex::default(),
            last_table: LastTable::default(),
            in_doubt: AtomicBool::new(false),
            is_unsynced: AtomicBool::new(false),
            wiping: Mutex::default(),
            wipe_waits: AtomicU32::new(0),
            opened_by: std::process::id(),
            config,
            file,
            checkpoints,
        }
    }

    /// Notes whether the file was opened beside a WAL: perhaps that of an OS process that was killed.
    fn note_found_wal(&self, has_wal: bool) {
        self.in_doubt.fetch_or(has_wal, Ordering::Relaxed);
        self.is_unsynced.fetch_or(has_wal, Ordering::Relaxed);
    }

    fn config(&self) -> &SqliteConfig {
        &self.config
    }

    fn is_in_memory(&self) -> bool {
        self.file.is_none()
    }

    fn memo(&self) -> MutexGuard<'_, Memo> {
        self.memo.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn deadline(&self) -> Deadline {
        Deadline::after(self.config.busy_timeout)
    }

    /// SQLite's locks belong to the OS process that took them: a forked child must not use them.
    fn check_process(&self) -> Result<(), StoreError> {
        if self.opened_by == std::process::id() {
            return Ok(());
        }
        let why = "the store was opened before a fork, and serves the parent only";
        Err(StoreError::new(StoreErrorKind::Unavailable, why))
    }

    /// The one connection that writes.
    fn writer(&self, deadline: Deadline) -> Result<Lent<'_>, StoreError> {
        self.check_process()?;
        let Some(file) = &self.file else {
            let why = "the database in memory is lost";
            let lost = || Err(StoreError::new(StoreErrorKind::Other, why));
            return self.writer.take(deadline, lost);
        };
        file.check()?;
        self.writer.take(deadline, || {
            open::find_file(file.path(), &self.config, deadline)?;
            let (mut writer, has_wal) = open::open_file(file.path(), &self.config, deadline)?;
            self.note_found_wal(has_wal);
            // The new connection counts anew.
            self.memo().know_of_others(None);
            wal_hook::note_pages(&mut writer);
            file.check().map(|()| writer)
        })
    }

    fn reader(&self, deadline: Deadline) -> Result<Lent<'_>, StoreError> {
        self.check_process()?;
        // A database in memory is its connection's own.
        let Some(file) = &self.file else {
            return self.writer(deadline);
        };
        file.check_now_and_then()?;
        self.readers.take(deadline, || {
            let reader = open::open_reader(file.path(), &self.config, deadline)?;
            file.check().map(|()| reader)
        })
    }

    /// Runs `work` in a transaction that holds the write lock from its beginning.
    fn write_transaction<T>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let transaction = Writes(self).begin(self.deadline().instant())?;
        // If it fails, giving the connection back rolls back.
        let value = work(&transaction.writer)?;
        transaction.commit()?;
        Ok(value)
    }

    /// After each commit that others do not see to, whatever it was of: else the WAL would grow unseen.
    fn note_commit(&self, writer: &Connection) {
        if let Some(checkpoints) = &self.checkpoints {
            checkpoints.note(writer);
        }
    }

    /// A write transaction whose commit is synced whatever the durability, if it writes anything.
    fn synced_transaction<T>(
        &self,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, StoreError> {
        self.at_durability(Durability::Full, |writer, deadline| {
            begin(writer, sql::BEGIN_WRITE, deadline)?;
            let value = work(writer).map_err(store_error)?;
            self.commit(writer, deadline).map(|()| value)
        })
    }

    /// Does `work` with the writer, whose commits are synced as this durability has it and not as the store's does.
    fn at_durability<T>(
        &self,
        durability: Durability,
        work: impl FnOnce(&Lent<'_>, Deadline) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let deadline = self.deadline();
        let writer = self.writer(deadline)?;
        let set = |durability| {
            let set = writer.pragma_update(None, "synchronous", synchronous(durability));
            set.map_err(store_error)
        };
        let outcome = set(durability)
            .and_then(|()| work(&writer, deadline))
            .and_then(|value| set(self.config.durability).map(|()| value));
        match &outcome {
            Ok(_) => {}
            // Its transaction did not begin. One that did would not let the level be set.
            Err(error) if error.is_busy() && set(self.config.durability).is_ok() => {}
            // Neither its transaction nor its level is known.
            Err(_) => writer.discard(),
        }
        outcome
    }

    /// Runs `work` on one snapshot; again from the beginning while others are in the way.
    fn read_transaction<T>(
        &self,
        work: impl Fn(&Connection) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.read_by(self.deadline(), work)
    }

    fn read_by<T>(
        &self,
        deadline: Deadline,
        work: impl Fn(&Connection) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let reader = self.reader(deadline)?;
        let run = |statement| run(&reader, statement).map_err(store_error);
        deadline.retry(|| {
            run(sql::BEGIN_READ)?;
            let value = work(&reader).and_then(|value| run(sql::COMMIT).map(|()| value));
            if value.is_err() && !reader.is_autocommit() {
                run(sql::ROLLBACK)?;
            }
            value
        })
    }
}

/// The same error, saying which file it is about.
fn name_path(error: &StoreError, path: &Path) -> StoreError {
    let why =
        std::error::Error::source(error).map_or_else(|| error.to_string(), ToString::to_string);
    StoreError::new(error.kind(), format!("{}: {why}", path.display()))
}

impl StatusStore for SqliteStore {
    fn write(&self, ops: &[Op]) -> Result<Vec<Verdict>, StoreError> {
        limits::check_batch(ops)?;
        if ops.is_empty() {
            return Ok(Vec::new());
        }
        // Before joining a group: those who commit in the parent do not run in a child.
        self.check_process()?;
        self.group
            .write(&Writes(self), ops, self.deadline().instant())
    }

    fn read(&self, id: RequestId) -> Result<Option<Arc<Process>>, StoreError> {
        // One statement is a snapshot of its own.
        let deadline = self.deadline();
        let reader = self.reader(deadline)?;
        let found = deadline.retry(|| Rows::new(&reader, &self.last_table).load_where_last(id))?;
        drop(reader);
        match found {
            Some(process) => Ok(Some(process)),
            // It is nowhere, or a wipe is moving it.
            None => self.read_by(deadline, |connection| {
                Rows::new(connection, &self.last_table).load(id)
            }),
        }
    }

    fn read_many(&self, ids: &[RequestId]) -> Result<Vec<Option<Arc<Process>>>, StoreError> {
        limits::check_ids(ids)?;
        self.read_transaction(|connection| {
            let mut rows = Rows::new(connection, &self.last_table);
            ids.iter().map(|id| rows.load(*id)).collect()
        })
    }

    fn versions(&self, ids: &[RequestId]) -> Result<Vec<Option<Version>>, StoreError> {
        limits::check_ids(ids)?;
        self.read_transaction(|connection| {
            let mut rows = Rows::new(connection, &self.last_table);
            ids.iter().map(|id| rows.version(*id)).collect()
        })
    }

    fn list(&self, listing: &Listing) -> Result<Found, StoreError> {
        listing.check()?;
        self.read_transaction(|connection| list::list(connection, &self.last_table, listing))
    }

    fn count(&self, filter: &Filter) -> Result<Counts, StoreError> {
        self.read_transaction(|connection| count::count(connection, &self.last_table, filter))
    }

    fn purge(&self, expired_by: DateTime<Utc>, limit: usize) -> Result<usize, StoreError> {
        self.purge_expired(expired_by, limit)
    }

    fn wipe(&self, level: WipeLevel) -> Result<Wipe, StoreError> {
        self.wipe_files(level)
    }
}

impl Drop for SqliteStore {
    fn drop(&mut self) {
        if self.check_process().is_err() {
            // Closing them in the child could cut off the WAL that the parent is writing. And no lock is taken here:
            // a thread that runs in the parent only may have held it.
            self.readers.forget();
            std::mem::forget(Arc::clone(&self.writer));
            if let Some(checkpoints) = &mut self.checkpoints {
                checkpoints.forget();
            }
        } else if self.config.wipe_level == WipeLevel::Media {
            // The WAL stays, but the file alone is to be whole, as after any store is closed. If it cannot be, whoever
            // opens both next finds the rest.
            let writer = self.writer(Deadline::after(Duration::ZERO));
            let _ = writer.and_then(|writer| wipe::checkpoint(&writer, sql::CHECKPOINT));
        }
    }
}

impl fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteStore")
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}
