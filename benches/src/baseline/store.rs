//! The store over one SQLite file.

use std::path::Path;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use rusqlite::{Connection, Result};
use uuid::Uuid;

use super::apply::{apply, in_one_transaction, transaction};
use super::checkpoint::Checkpoints;
use super::connection::{Synchronous, connect, open};
use super::group::Group;
use super::process::{Applied, Begin, Op, Process, Status, Step, Verdict};
use super::{lock, read};

/// Why a call failed: all whose ops were in one transaction get the same.
pub type Failure = Arc<rusqlite::Error>;

/// Keeps processes in one SQLite file. May be used from any thread.
#[derive(Debug)]
pub struct Store {
    path: PathBuf,
    synchronous: Synchronous,
    group: Group,
    /// Only at `NORMAL`: at `FULL` the commit waits for the disk anyway, and checkpoints beside it slow it down.
    /// Ends before the writer closes the file.
    checkpoints: Option<Checkpoints>,
    /// As many as have ever read at once.
    readers: Mutex<Vec<Connection>>,
    writer: Arc<Mutex<Connection>>,
}

impl Store {
    /// Opens a file, and makes it if it is not there.
    pub fn open(path: &Path, synchronous: Synchronous) -> Result<Self> {
        let writer = Arc::new(Mutex::new(open(path, synchronous)?));
        let checkpoints = match synchronous {
            Synchronous::Full => None,
            Synchronous::Normal => Some(Checkpoints::of(path, &writer)?),
        };
        Ok(Store {
            path: path.to_path_buf(),
            synchronous,
            group: Group::default(),
            checkpoints,
            readers: Mutex::default(),
            writer,
        })
    }

    /// Begins a process.
    pub fn begin(&self, begin: Begin) -> Result<Verdict, Failure> {
        let op = [Op::Begin(begin)];
        // One statement is a transaction of its own.
        self.write_one(&op, |connection| apply(connection, &op[0]))
    }

    /// Reads a process, checks the step, and writes it.
    pub fn advance(&self, step: Step) -> Result<Verdict, Failure> {
        let op = [Op::Advance(step)];
        self.write_one(&op, |connection| {
            transaction(connection, || apply(connection, &op[0]))
        })
    }

    /// Applies ops in one transaction, each judged apart.
    pub fn batch(&self, ops: &[Op]) -> Result<Vec<Verdict>, Failure> {
        let alone = || {
            let batches = std::iter::once(ops);
            let mut verdicts = in_one_transaction(&lock(&self.writer), batches)?;
            Ok(verdicts.swap_remove(0))
        };
        self.group
            .commit(ops, alone, |batches| self.together(batches), |told| told)
    }

    /// Deletes what has expired by a time, chunk by chunk; says how many it was.
    pub fn purge(&self, by: i64) -> Result<usize, Failure> {
        let mut purged = 0;
        loop {
            let op = [Op::Purge { by }];
            let chunk = self.write_one(&op, |connection| apply(connection, &op[0]))?;
            match chunk {
                Ok(Applied::Purged(some)) if some > 0 => purged += some,
                _ => return Ok(purged),
            }
        }
    }

    /// Reads a whole process.
    pub fn status(&self, id: Uuid) -> Result<Option<Process>> {
        self.read(|connection| read::one(connection, id))
    }

    /// Reads whole processes, in one transaction.
    pub fn statuses(&self, ids: &[Uuid]) -> Result<Vec<Option<Process>>> {
        self.read(|connection| read::many(connection, ids))
    }

    /// Reads the newest `limit` processes of a pipeline and a status: those behind a place, if one is given.
    pub fn page(
        &self,
        pipeline: &str,
        status: Status,
        limit: u32,
        after: Option<(i64, Uuid)>,
    ) -> Result<Vec<Process>> {
        self.read(|connection| read::page(connection, pipeline, status, limit, after))
    }

    /// How many processes there are by status.
    pub fn counts(&self) -> Result<Vec<(Status, u64)>> {
        self.read(read::counts)
    }

    /// How large the file is, with everything in it.
    pub fn bytes(&self) -> Result<u64> {
        self.read(|connection| {
            let of = |name| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
            Ok((of("page_count")? * of("page_size")?).unsigned_abs())
        })
    }

    fn write_one(
        &self,
        op: &[Op; 1],
        apply: impl FnOnce(&Connection) -> Result<Verdict>,
    ) -> Result<Verdict, Failure> {
        let alone = || Ok(apply(&lock(&self.writer))?);
        let told = |mut told: Vec<Verdict>| told.swap_remove(0);
        self.group
            .commit(op, alone, |batches| self.together(batches), told)
    }

    fn together(
        &self,
        batches: &mut dyn Iterator<Item = &[Op]>,
    ) -> Result<Vec<Vec<Verdict>>, Failure> {
        Ok(in_one_transaction(&lock(&self.writer), batches)?)
    }

    fn read<T>(&self, work: impl FnOnce(&Connection) -> Result<T>) -> Result<T> {
        let free = lock(&self.readers).pop();
        let reader = match free {
            Some(reader) => reader,
            None => connect(&self.path, self.synchronous)?,
        };
        let value = work(&reader);
        lock(&self.readers).push(reader);
        value
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        // So that the writer is the last, and leaves no WAL behind.
        self.checkpoints = None;
        lock(&self.readers).clear();
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;
    use crate::baseline::{MODULES, ModuleState, new_id, now};

    fn begin(id: Uuid, expires_at: Option<i64>) -> Begin {
        Begin {
            id,
            pipeline: Arc::from("tests"),
            file: Arc::from("a file"),
            at: now(),
            expires_at,
        }
    }

    fn live(store: &Store) -> Result<(), Failure> {
        let id = new_id();
        assert_eq!(store.begin(begin(id, None))?, Ok(Applied::Begun));
        for module in 0..MODULES {
            for to in [ModuleState::Running, ModuleState::Complete] {
                let step = Step {
                    id,
                    module,
                    to,
                    at: now(),
                };
                assert!(store.advance(step)?.is_ok());
            }
        }
        let found = store.status(id)?.unwrap();
        assert_eq!((found.id, found.status), (id, Status::Complete));
        Ok(())
    }

    #[test]
    fn what_many_threads_write_is_all_there_and_the_wal_is_gone_in_the_end() {
        let directory = tempfile::tempdir().unwrap();
        for synchronous in [Synchronous::Full, Synchronous::Normal] {
            let path = directory.path().join(format!("{synchronous:?}"));
            let store = Store::open(&path, synchronous).unwrap();
            thread::scope(|scope| {
                for _ in 0..8 {
                    scope.spawn(|| (0..20).try_for_each(|_| live(&store)).unwrap());
                }
            });
            assert_eq!(store.counts().unwrap(), [(Status::Complete, 160)]);
            drop(store);
            assert!(path.exists());
            assert!(
                !directory
                    .path()
                    .join(format!("{synchronous:?}-wal"))
                    .exists()
            );
        }
    }

    #[test]
    fn pages_go_on_where_the_last_ended_and_a_purge_takes_what_has_expired() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(&directory.path().join("file"), Synchronous::Normal).unwrap();
        let ops = (0..1200).map(|n| {
            let expiry = (n % 2 == 0).then(|| now() - 1);
            Op::Begin(begin(new_id(), expiry))
        });
        store.batch(&ops.collect::<Vec<_>>()).unwrap();
        let page = |after| store.page("tests", Status::Ongoing, 50, after).unwrap();
        let first = page(None);
        let second = page(first.last().map(|last| (last.created_at, last.id)));
        let places = first
            .iter()
            .chain(&second)
            .map(|one| (one.created_at, one.id));
        assert!(places.clone().is_sorted_by(|one, next| one > next));
        assert_eq!(places.count(), 100);
        assert_eq!(store.purge(now()).unwrap(), 600);
        assert_eq!(store.counts().unwrap(), [(Status::Ongoing, 600)]);
    }
}
