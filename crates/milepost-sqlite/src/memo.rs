//! What was decoded before: who reads the same bytes again gets the same process.

use std::collections::HashMap;
use std::sync::Arc;

use milepost_core::{Process, RequestId};

/// How many processes are kept, and how many bytes of bodies: what a busy host has at work at a time.
const PROCESSES: usize = 4096;
const BYTES: usize = 4 * 1024 * 1024;

/// The processes that were written last, each with the bytes that it was decoded from or encoded to.
///
/// Nothing is ever decided on what it remembers: a process is taken from it only if the body that was just read
/// is, byte for byte, its own. A body holds the version, of which no two states that went by one id have the
/// same.
#[derive(Default)]
pub(crate) struct Memo {
    known: HashMap<RequestId, Known>,
    bytes: usize,
}

/// A process, and its body.
pub(crate) struct Known {
    pub(crate) process: Arc<Process>,
    pub(crate) body: Vec<u8>,
}

impl Memo {
    /// Takes what is known of a process out.
    pub(crate) fn take(&mut self, id: RequestId) -> Option<Known> {
        let known = self.known.remove(&id)?;
        self.bytes -= known.body.len();
        Some(known)
    }

    /// Keeps a process, in the stead of all others if they are too many; what has settled is not expected again.
    pub(crate) fn keep(&mut self, id: RequestId, known: Known) {
        if known.process.is_settled() {
            return;
        }
        if self.known.len() >= PROCESSES || self.bytes + known.body.len() > BYTES {
            *self = Memo::default();
        }
        self.bytes += known.body.len();
        self.known.insert(id, known);
    }
}
