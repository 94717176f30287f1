//! How a lease hears that its process is to be cancelled, without asking for it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use crate::background::lock;
use crate::id::RequestId;
use crate::op::Op;
use crate::process::Version;
use crate::store::one_each;
use crate::tracker::Shared;
use crate::verdict::Verdict;

/// How a lease hears that its process is to be cancelled.
#[derive(Debug, Default)]
pub(crate) struct Ear {
    wished: AtomicBool,
    /// The version of which it is known whether the wish stands in it.
    known: Mutex<Option<Version>>,
}

impl Ear {
    pub(crate) fn is_wished(&self) -> bool {
        self.wished.load(Ordering::Relaxed)
    }

    /// A wish that was heard stays: only the end of the lease takes it back.
    pub(crate) fn heard(&self, wished: bool) {
        if wished {
            self.wished.store(true, Ordering::Relaxed);
        }
    }

    fn heard_at(&self, version: Version, wished: bool) {
        *lock(&self.known) = Some(version);
        self.heard(wished);
    }

    pub(crate) fn knows(&self, version: Version) -> bool {
        self.is_wished() || *lock(&self.known) == Some(version)
    }
}

impl Shared {
    /// Tells the leases of this tracker what a write has said of their processes.
    pub(crate) fn tell_ears(&self, ops: &[Op], verdicts: &[Verdict]) {
        for (op, verdict) in ops.iter().zip(verdicts) {
            if let Ok(applied) = verdict {
                for ear in self.watchers.ears_of(op.id) {
                    ear.heard_at(applied.version, applied.cancel_requested);
                }
            }
        }
    }

    /// Reads what others have changed of processes that are held, and tells their leases. If it cannot be
    /// read now, the next round does.
    pub(crate) fn hear(&self, unheard: &[(RequestId, &Vec<Arc<Ear>>)]) {
        let ids = unheard.iter().map(|(id, _)| *id).collect::<Vec<_>>();
        if ids.is_empty() {
            return;
        }
        let read = self.store.read_many(&ids);
        if let Ok(read) = read.and_then(|read| one_each(ids.len(), read)) {
            for ((_, ears), process) in unheard.iter().zip(read) {
                if let Some(process) = process {
                    let wished = process.cancel_requested().is_some();
                    ears.iter()
                        .for_each(|ear| ear.heard_at(process.version(), wished));
                }
            }
        }
    }
}
