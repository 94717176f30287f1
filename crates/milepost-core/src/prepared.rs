//! Changes of handles that others write: for hosts that combine the writes of many workers.

use crate::error::TrackError;
use crate::handle::{ModuleHandle, ProcessHandle};
use crate::op::Op;
use crate::verdict::{Applied, Verdict};

/// A change of a handle, ready to be written: alone, or in a batch with those of others.
///
/// Comes from [`ModuleHandle::prepare`] and [`ProcessHandle::prepare_cancel`]. Dropping it changes nothing.
///
/// # Examples
///
/// Many workers' changes for the price of one commit:
///
/// ```
/// # use milepost_core::{Applied, Prepared, TrackError, Tracker};
/// fn send(tracker: &Tracker, prepared: Vec<Prepared>) -> Result<Vec<Result<Applied, TrackError>>, TrackError> {
///     let (together, apart): (Vec<_>, Vec<_>) =
///         prepared.into_iter().partition(Prepared::may_be_batched);
///     let ops = together.iter().map(|one| one.op().clone()).collect::<Vec<_>>();
///     let verdicts = tracker.apply(&ops)?;
///     let answered = together.into_iter().zip(verdicts).map(|(one, verdict)| one.answered(verdict));
///     Ok(answered.chain(apart.into_iter().map(Prepared::send)).collect())
/// }
/// ```
#[derive(Debug, Clone)]
#[must_use = "nothing is written yet"]
pub struct Prepared {
    op: Op,
    handle: Handle,
}

/// Whose change it is, and who has to learn what became of it.
#[derive(Debug, Clone)]
enum Handle {
    Process(ProcessHandle),
    Module(ModuleHandle),
}

impl Prepared {
    pub(crate) fn of_process(handle: &ProcessHandle, op: Op) -> Self {
        let handle = Handle::Process(handle.clone());
        Prepared { op, handle }
    }

    pub(crate) fn of_module(handle: &ModuleHandle, op: Op) -> Self {
        let handle = Handle::Module(handle.clone());
        Prepared { op, handle }
    }

    /// The op, guarded as the handle's own calls are: it may be sent again after a lost answer.
    #[must_use]
    pub fn op(&self) -> &Op {
        &self.op
    }

    /// Whether it may be written with [`Tracker::apply`](crate::Tracker::apply). If not, the process has
    /// [reporters](crate::Reporter): only [`send`](Prepared::send) writes what they have pending before it.
    #[must_use]
    pub fn may_be_batched(&self) -> bool {
        let process = match &self.handle {
            Handle::Process(process) => process,
            Handle::Module(module) => module.process(),
        };
        process.tracker().lanes().of(&self.op).is_none()
    }

    /// Writes it, as the handle's own call would.
    pub fn send(self) -> Result<Applied, TrackError> {
        match &self.handle {
            Handle::Process(process) => process.send(&self.op),
            Handle::Module(module) => module.send(&self.op),
        }
    }

    /// Takes in what became of it in a batch, so that its handle goes on from there.
    pub fn answered(self, verdict: Verdict) -> Result<Applied, TrackError> {
        let applied = verdict?;
        match &self.handle {
            Handle::Process(process) => process.note(&applied),
            Handle::Module(module) => module.note(&self.op, &applied),
        }
        Ok(applied)
    }
}
