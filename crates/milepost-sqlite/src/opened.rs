//! Which files this OS process has open, so that a child of `fork` opens none of them.
//!
//! SQLite keeps an account of its locks in memory, one for each file. A child of `fork` inherits the account, and
//! none of the locks. Where it says that the OS process holds a lock already, a connection that the child opens
//! takes none: others may then cut off the WAL that it reads, or it waits for ever for a thread that it does not have.

use std::sync::{Mutex, MutexGuard, PoisonError};

use milepost_core::StoreError;

use crate::error::refuse;
use crate::path::Identity;

/// Each as often as it is open, with the OS process that opened it. Locked for a look only, and in no other call: a
/// fork does not find it locked.
static OPEN: Mutex<Vec<(Identity, u32)>> = Mutex::new(Vec::new());

/// A file that is open until this is dropped. In a child of `fork` it is open for good.
pub(crate) struct Opened {
    file: (Identity, u32),
}

impl Opened {
    /// Notes that the file is open.
    pub(crate) fn note(identity: Identity) -> Self {
        let file = (identity, std::process::id());
        open().push(file);
        Opened { file }
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
        if self.file.1 == std::process::id() {
            let mut open = open();
            if let Some(place) = open.iter().position(|file| *file == self.file) {
                open.swap_remove(place);
            }
        }
    }
}

/// Refuses a file that the parent of this OS process had open when it forked.
pub(crate) fn check(identity: Identity) -> Result<(), StoreError> {
    let here = std::process::id();
    let is_inherited = |(file, by): &(Identity, u32)| *file == identity && *by != here;
    if open().iter().any(is_inherited) {
        return Err(refuse(
            "the file was open before a fork, so SQLite cannot lock it in the child: fork first, or have the child run \
             a program of its own",
        ));
    }
    Ok(())
}

fn open() -> MutexGuard<'static, Vec<(Identity, u32)>> {
    OPEN.lock().unwrap_or_else(PoisonError::into_inner)
}
