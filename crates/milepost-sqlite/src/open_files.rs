//! Which files the stores of this OS process have open.
//!
//! Whoever opens and closes a file besides SQLite drops the locks that SQLite holds on it in the same OS process
//! (POSIX has them belong to the process and not to the handle), after which two OS processes may write at once.
//! So a file is either open in stores here, or read by [`verify_erased`](crate::verify_erased), and never both.
//!
//! Nor does a child of `fork` open what its parent has open. SQLite keeps an account of its locks in memory, one for each
//! file. The child inherits the account, and none of the locks: where it says that the OS process holds a lock already,
//! a connection that the child opens takes none. Others may then cut off the WAL that it reads, or it waits for ever for
//! a thread that it does not have.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use milepost_core::{StoreError, StoreErrorKind};

use crate::error::{refuse, unavailable};
use crate::path::{Identity, identity};

/// Locked for a look only, and in no other call: a fork does not find it locked.
static USES: Mutex<BTreeMap<Identity, Uses>> = Mutex::new(BTreeMap::new());

/// How many use a file, in either way; one of the two is zero.
struct Uses {
    /// The OS process that does: another one than this is a parent of it.
    by: u32,
    stores: usize,
    readers: usize,
}

impl Uses {
    fn none() -> Self {
        Uses {
            by: std::process::id(),
            stores: 0,
            readers: 0,
        }
    }

    fn is_inherited(&self) -> bool {
        self.by != std::process::id()
    }
}

/// A file that a store has open until this is dropped. In a child of `fork` it is open for good.
pub(crate) struct OpenFile(Identity);

impl OpenFile {
    /// `Busy` while the file is looked through; refused if a parent had it open when it forked.
    pub(crate) fn enter(identity: Identity) -> Result<Self, StoreError> {
        let mut all = lock();
        let uses = all.entry(identity.clone()).or_insert_with(Uses::none);
        if uses.is_inherited() && uses.stores > 0 {
            return Err(refuse(
                "the file was open before a fork, so SQLite cannot lock it in the child: fork first, or have the child \
                 run a program of its own",
            ));
        }
        if uses.is_inherited() {
            *uses = Uses::none();
        }
        if uses.readers > 0 {
            let why = "this OS process is looking through the file for what was erased";
            return Err(StoreError::new(StoreErrorKind::Busy, why));
        }
        uses.stores += 1;
        Ok(OpenFile(identity))
    }

    pub(crate) fn identity(&self) -> &Identity {
        &self.0
    }
}

impl Drop for OpenFile {
    fn drop(&mut self) {
        leave(&self.0, |uses| uses.stores -= 1);
    }
}

/// A file that is read without SQLite.
pub(crate) struct ReadFile(Identity);

impl ReadFile {
    /// `Busy` while a store has the file open.
    pub(crate) fn enter(path: &Path) -> Result<Self, StoreError> {
        let looked_at =
            identity(path).map_err(|error| unavailable("the file cannot be looked at", &error));
        let identity = looked_at?;
        let mut all = lock();
        let uses = all.entry(identity.clone()).or_insert_with(Uses::none);
        if uses.stores > 0 {
            let why = "this OS process has a store open on the file, whose locks would be lost: drop it first, or \
                       look through the file from another OS process";
            return Err(StoreError::new(StoreErrorKind::Busy, why));
        }
        uses.readers += 1;
        Ok(ReadFile(identity))
    }
}

impl Drop for ReadFile {
    fn drop(&mut self) {
        leave(&self.0, |uses| uses.readers -= 1);
    }
}

fn leave(identity: &Identity, count: impl FnOnce(&mut Uses)) {
    let mut all = lock();
    if let Some(uses) = all.get_mut(identity).filter(|uses| !uses.is_inherited()) {
        count(uses);
        if uses.stores + uses.readers == 0 {
            all.remove(identity);
        }
    }
}

fn lock() -> MutexGuard<'static, BTreeMap<Identity, Uses>> {
    USES.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_open_in_stores_or_looked_through_and_never_both() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let identity = identity(file.path()).unwrap();
        let stores =
            [identity.clone(), identity.clone()].map(|identity| OpenFile::enter(identity).unwrap());
        let [one, other] = stores;
        drop(one);
        assert!(
            ReadFile::enter(file.path()).is_err_and(|error| error.kind() == StoreErrorKind::Busy)
        );
        drop(other);
        let reading = ReadFile::enter(file.path()).unwrap();
        assert!(
            OpenFile::enter(identity.clone())
                .is_err_and(|error| error.kind() == StoreErrorKind::Busy)
        );
        drop(reading);
        OpenFile::enter(identity).unwrap();
    }
}
