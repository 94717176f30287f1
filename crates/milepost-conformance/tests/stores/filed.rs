//! The reference on a disk: the honest store, whose records are written to one file after every change.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use chrono::{DateTime, Utc};
use milepost_core::{
    Counts, Filter, Found, Listing, Op, Process, RequestId, StatusStore, StoreError,
    StoreErrorKind, Verdict, Wipe, WipeLevel,
};

use crate::honest::Honest;

/// One value at a time may be open on a file.
#[derive(Debug)]
pub(crate) struct Filed {
    path: PathBuf,
    honest: Honest,
    /// How many changes there were.
    changes: AtomicU64,
    /// How many of them are in the file, which one thread at a time writes.
    saved: Mutex<u64>,
}

impl Filed {
    /// Opens the file of this directory, or begins it.
    pub(crate) fn open(directory: &Path) -> Self {
        let path = directory.join("records");
        let honest = Honest::new();
        let bytes = fs::read(&path).unwrap_or_default();
        let mut rest = bytes.as_slice();
        while let Some((length, more)) = rest.split_first_chunk() {
            let (record, more) = more.split_at(u32::from_le_bytes(*length) as usize);
            let process = Process::from_record(record).expect("it was written by this store");
            honest
                .records()
                .insert(process.request_id(), Arc::new(process));
            rest = more;
        }
        Filed {
            path,
            honest,
            changes: AtomicU64::new(0),
            saved: Mutex::new(0),
        }
    }

    /// Puts the change that was just made into the file, with all that were made by then.
    fn save(&self) -> Result<(), StoreError> {
        let change = self.changes.fetch_add(1, Ordering::SeqCst) + 1;
        let mut saved = self.saved.lock().unwrap_or_else(PoisonError::into_inner);
        if *saved >= change {
            return Ok(());
        }
        let changes = self.changes.load(Ordering::SeqCst);
        let mut bytes = Vec::new();
        for process in self.honest.records().values() {
            let mut record = Vec::new();
            process.to_record(&mut record);
            let length = u32::try_from(record.len()).expect("a record is small");
            bytes.extend(length.to_le_bytes());
            bytes.extend(record);
        }
        fs::write(&self.path, bytes)
            .map_err(|error| StoreError::new(StoreErrorKind::Other, error))?;
        *saved = changes;
        Ok(())
    }
}

impl StatusStore for Filed {
    fn write(&self, ops: &[Op]) -> Result<Vec<Verdict>, StoreError> {
        let verdicts = self.honest.write(ops)?;
        self.save()?;
        Ok(verdicts)
    }

    fn read(&self, id: RequestId) -> Result<Option<Arc<Process>>, StoreError> {
        self.honest.read(id)
    }

    fn list(&self, listing: &Listing) -> Result<Found, StoreError> {
        self.honest.list(listing)
    }

    fn count(&self, filter: &Filter) -> Result<Counts, StoreError> {
        self.honest.count(filter)
    }

    fn purge(&self, expired_by: DateTime<Utc>, limit: usize) -> Result<usize, StoreError> {
        let purged = self.honest.purge(expired_by, limit)?;
        self.save()?;
        Ok(purged)
    }

    fn wipe(&self, level: WipeLevel) -> Result<Wipe, StoreError> {
        self.honest.wipe(level)
    }
}
