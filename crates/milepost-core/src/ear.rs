//! How a lease hears that its process is to be cancelled, without asking for it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use crate::background::lock;
use crate::claim::Claim;
use crate::id::RequestId;
use crate::op::Op;
use crate::process::{OverallStatus, Process, Version};
use crate::store::one_each;
use crate::tracker::Shared;
use crate::verdict::{Applied, Verdict};

/// How a lease hears that its process is to be cancelled.
#[derive(Debug)]
pub(crate) struct Ear {
    born: u64,
    /// The lease's own: what stood before it is none of its.
    token: u64,
    wished: AtomicBool,
    /// There is nothing more to hear: somebody has wished it, or the process has settled or gone.
    done: AtomicBool,
    /// The version of which it is known whether the wish stands in it.
    known: Mutex<Option<Version>>,
}

impl Ear {
    /// The ear of the lease that `claim` gives on this process.
    pub(crate) fn new(process: &Process, claim: &Claim) -> Self {
        let ear = Ear {
            born: process.version().born,
            token: claim.token(),
            wished: AtomicBool::new(false),
            done: AtomicBool::new(false),
            known: Mutex::new(None),
        };
        ear.hears(process);
        ear
    }

    pub(crate) fn is_wished(&self) -> bool {
        self.wished.load(Ordering::Relaxed)
    }

    /// Whether somebody must ask the store on its behalf.
    pub(crate) fn is_listening(&self) -> bool {
        !self.done.load(Ordering::Relaxed)
    }

    /// Takes in what the answer to an op says.
    pub(crate) fn hears_of(&self, applied: &Applied) {
        let is_settled = applied.status != OverallStatus::Ongoing;
        self.take_in(applied.version, applied.cancel_requested, is_settled);
    }

    fn hears(&self, process: &Process) {
        let wished = process.cancel_requested().is_some();
        self.take_in(process.version(), wished, process.is_settled());
    }

    fn take_in(&self, version: Version, wished: bool, is_settled: bool) {
        if !self.is_since_claim(version) {
            return;
        }
        *lock(&self.known) = Some(version);
        if wished {
            self.wished.store(true, Ordering::Relaxed);
        }
        if wished || is_settled {
            self.done.store(true, Ordering::Relaxed);
        }
    }

    /// Whether it is a state of this process, and none from before the claim.
    fn is_since_claim(&self, version: Version) -> bool {
        version.born == self.born && version.revision >= self.token
    }

    /// Compares with what the store has: says whether it must be read.
    pub(crate) fn compare(&self, version: Option<Version>) -> bool {
        match version {
            Some(version) if self.is_since_claim(version) => *lock(&self.known) != Some(version),
            // Erased, and perhaps begun anew, or imported as it was before the claim.
            Some(_) | None => {
                self.done.store(true, Ordering::Relaxed);
                false
            }
        }
    }
}

impl Shared {
    /// Tells the leases of this tracker what a write has said of their processes.
    pub(crate) fn tell_ears(&self, ops: &[Op], verdicts: &[Verdict]) {
        for (op, verdict) in ops.iter().zip(verdicts) {
            if let Ok(applied) = verdict {
                for ear in self.watchers.ears_of(op.id) {
                    ear.hears_of(applied);
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
                    ears.iter().for_each(|ear| ear.hears(&process));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{Change, ManualClock, NewProcess, Pipeline, Verdict};

    fn creation() -> Op {
        let clock = ManualClock::new("2026-05-18T12:00:00Z".parse().unwrap());
        let pipeline = Pipeline::new("pipeline", ["step"]).unwrap();
        NewProcess::new(&pipeline).into_op(&clock).unwrap()
    }

    #[test]
    fn a_lease_hears_nothing_of_what_was_before_it_or_of_another_process() {
        let begin = creation();
        let mut slot = None;
        let mut send = |change| -> Verdict { Op::new(begin.id, begin.at, change).apply(&mut slot) };
        assert!(send(begin.change.clone()).is_ok());
        send(Change::claim("worker 1", Duration::from_mins(1), 1)).unwrap();
        let wish = send(Change::request_cancel("stop")).unwrap();
        assert!(wish.cancel_requested);
        send(Change::cancel("stopped")).unwrap();
        send(Change::rerun()).unwrap();
        send(Change::claim("worker 2", Duration::from_mins(1), 2)).unwrap();
        let process = slot.unwrap();

        let ear = Ear::new(&process, process.claim().unwrap());
        assert!(!ear.is_wished());
        // The answer to the wish comes late.
        ear.hears_of(&wish);
        assert!(!ear.is_wished() && ear.is_listening());
        let mut other = wish;
        other.version.born ^= 1;
        other.version.revision = 99;
        ear.hears_of(&other);
        assert!(!ear.is_wished());
        let mut own = wish;
        own.version.revision = 99;
        assert!(ear.compare(Some(own.version)));
        ear.hears_of(&own);
        assert!(ear.is_wished() && !ear.is_listening());
    }

    #[test]
    fn a_lease_whose_process_went_back_is_listened_for_no_more() {
        let begin = creation();
        let mut slot = None;
        begin.apply(&mut slot).unwrap();
        let before = slot.clone().unwrap().version();
        let claim = Change::claim("worker", Duration::from_mins(1), 1);
        Op::new(begin.id, begin.at, claim).apply(&mut slot).unwrap();
        let process = slot.unwrap();

        let ear = Ear::new(&process, process.claim().unwrap());
        assert!(!ear.compare(Some(process.version())) && ear.is_listening());
        assert!(!ear.compare(Some(before)) && !ear.is_listening());
    }
}
