//! What was decoded before: who reads the same bytes again gets the same process.

use std::collections::HashMap;
use std::sync::Arc;

use milepost_core::{Indexed, Process, RequestId, StoreError};

use crate::rows::Found;

/// How many processes are kept, and how many bytes of bodies: what a busy host has at work at a time.
const PROCESSES: usize = 4096;
const BYTES: usize = 4 * 1024 * 1024;

/// The processes that were written last, each with the bytes that it was decoded from or encoded to.
///
/// Nothing is ever decided on what it remembers: a process is taken from it only if the row that was just
/// read is, byte for byte, the one that it stands for.
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

impl Known {
    /// Decodes what was found.
    pub(crate) fn read(id: RequestId, found: &Found<'_>) -> Result<Self, StoreError> {
        let process = Process::from_body(id, &found.indexed, found.body)?;
        Ok(Known {
            process: Arc::new(process),
            body: found.body.to_vec(),
        })
    }

    /// Whether decoding what was found would make the same process.
    pub(crate) fn is(&self, found: &Found<'_>) -> bool {
        self.body == found.body && Indexed::from(&*self.process) == found.indexed
    }
}

impl Memo {
    /// Takes what is known of a process out.
    pub(crate) fn take(&mut self, id: RequestId) -> Option<Known> {
        let known = self.known.remove(&id)?;
        self.bytes -= known.body.len();
        Some(known)
    }

    /// Keeps a process, in the stead of all others if they are too many.
    pub(crate) fn keep(&mut self, id: RequestId, known: Known) {
        if self.known.len() >= PROCESSES || self.bytes + known.body.len() > BYTES {
            *self = Memo::default();
        }
        self.bytes += known.body.len();
        self.known.insert(id, known);
    }
}
