//! What was written last: who decides on it again need not decode it again, nor read it first.

use hashbrown::HashMap;
use milepost_core::RequestId;

use crate::rows::Found;

/// How many processes are kept, and how many bytes of bodies: what a busy host has at work at a time.
const PROCESSES: usize = 4096;
const BYTES: usize = 4 * 1024 * 1024;

/// The processes that were written last, each with its body.
///
/// Nothing is ever decided on it alone: what is decided holds only if the body is found in its row, byte for
/// byte, in the same transaction. A body holds the version. Two states that went by one id may have the same all the same:
/// a creation that is sent again makes its mark and its first version again, and an import any version. Of those that this
/// connection writes the last one is known, for whatever is written to a process takes it out of here first; and all is
/// forgotten once anybody else has written.
#[derive(Default)]
pub(crate) struct Memo {
    /// What the connection that writes knew of others' commits.
    others: Option<i64>,
    known: HashMap<RequestId, Found>,
    bytes: usize,
    /// Room for the body that is being written.
    pub(crate) body: Vec<u8>,
}

impl Memo {
    /// Forgets all if others have committed since, as SQLite's `data_version` says in this transaction; none: or may have.
    pub(crate) fn know_of_others(&mut self, others: Option<i64>) {
        if others.is_none() || self.others != others {
            self.forget();
        }
        self.others = others;
    }

    fn forget(&mut self) {
        self.known.clear();
        self.bytes = 0;
    }

    /// Takes what is known of a process out.
    pub(crate) fn take(&mut self, id: RequestId) -> Option<Found> {
        let known = self.known.remove(&id)?;
        self.bytes -= known.body.len();
        Some(known)
    }

    /// Keeps a process, in the stead of all others if they are too many; what has settled is not expected again.
    pub(crate) fn keep(&mut self, id: RequestId, found: Found) {
        if found.process.is_settled() {
            return;
        }
        if self.known.len() >= PROCESSES || self.bytes + found.body.len() > BYTES {
            self.forget();
        }
        self.bytes += found.body.len();
        self.known.insert(id, found);
    }
}
