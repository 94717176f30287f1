//! Handles: what a worker holds while it works on a process.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};

use crate::error::TrackError;
use crate::file::File;
use crate::guard::Guard;
use crate::id::{FileId, RequestId};
use crate::invalid::Invalid;
use crate::lane::{LaneKey, Source};
use crate::lanes::LaneHold;
use crate::lease::Hold;
use crate::module::{Module, ModuleStateKind};
use crate::op::{Change, Op};
use crate::pipeline::Pipeline;
use crate::prepared::Prepared;
use crate::process::Process;
use crate::report::{Receipt, StatusReport};
use crate::reporter::Reporter;
use crate::tracker::Tracker;
use crate::verdict::Applied;
use crate::work::{Failure, Progress};

/// A worker's hold on one process, in the run that it saw.
///
/// Cheap to clone; clones are one handle. It knows the process as it was when the handle was made: the
/// chain, the receipt, the run and the attempts. Once the process was rerun, this handle's
/// modules are [`Stale`](crate::Rejection::Stale): take a new one with
/// [`Tracker::process`](crate::Tracker::process).
#[derive(Debug, Clone)]
pub struct ProcessHandle {
    seen: Arc<Seen>,
}

/// What the handle knows of its process.
#[derive(Debug)]
struct Seen {
    tracker: Tracker,
    request_id: RequestId,
    born: u64,
    run: u32,
    is_new: bool,
    pipeline: Pipeline,
    file: File,
    modules: Box<[SeenModule]>,
    /// The lease that its ops carry.
    hold: Option<Arc<Hold>>,
    /// Held from the first reporter on until the last handle goes, so that no rejection is lost.
    lane: OnceLock<Arc<LaneHold>>,
}

/// What the handle knows of one module.
#[derive(Debug)]
struct SeenModule {
    /// Its state when the handle was made.
    state: ModuleStateKind,
    /// Its attempt, last seen by this handle or by a module handle made from it.
    attempt: AtomicU32,
}

impl SeenModule {
    fn of(module: &Module) -> Self {
        SeenModule {
            state: module.state().kind(),
            attempt: AtomicU32::new(module.attempt()),
        }
    }

    fn pending() -> Self {
        SeenModule {
            state: ModuleStateKind::Pending,
            attempt: AtomicU32::new(1),
        }
    }
}

impl ProcessHandle {
    /// The handle on a process that `op` has just begun.
    pub(crate) fn begun(tracker: &Tracker, op: &Op) -> Self {
        let Change::Create(creation) = &op.change else {
            unreachable!("only a creation begins a process")
        };
        let modules = 0..creation.pipeline.len();
        let seen = Seen {
            tracker: tracker.clone(),
            request_id: op.id,
            born: creation.born,
            run: 1,
            is_new: true,
            pipeline: creation.pipeline.clone(),
            file: creation.file.clone(),
            modules: modules.map(|_| SeenModule::pending()).collect(),
            hold: None,
            lane: OnceLock::new(),
        };
        ProcessHandle {
            seen: Arc::new(seen),
        }
    }

    /// The handle on a process that was there.
    pub(crate) fn of(tracker: &Tracker, process: &Process) -> Self {
        ProcessHandle::holding(tracker, process, None)
    }

    /// The handle on a process that is held under a lease.
    pub(crate) fn under(tracker: &Tracker, process: &Process, hold: &Arc<Hold>) -> Self {
        ProcessHandle::holding(tracker, process, Some(Arc::clone(hold)))
    }

    fn holding(tracker: &Tracker, process: &Process, hold: Option<Arc<Hold>>) -> Self {
        let seen = Seen {
            tracker: tracker.clone(),
            request_id: process.request_id(),
            born: process.version().born,
            run: process.run(),
            is_new: false,
            pipeline: process.chain().clone(),
            file: process.file().clone(),
            modules: process.modules().iter().map(SeenModule::of).collect(),
            hold,
            lane: OnceLock::new(),
        };
        ProcessHandle {
            seen: Arc::new(seen),
        }
    }

    /// The id to ask with.
    #[must_use]
    pub fn request_id(&self) -> RequestId {
        self.seen.request_id
    }

    /// The id of its file.
    #[must_use]
    pub fn file_id(&self) -> FileId {
        self.seen.file.id()
    }

    /// Whether this handle began the process; if not, it was there already.
    #[must_use]
    pub fn is_new(&self) -> bool {
        self.seen.is_new
    }

    /// What to answer whoever submitted the file, in the wire form.
    #[must_use]
    pub fn receipt(&self) -> Receipt {
        Receipt::new(self.seen.request_id, &self.seen.file)
    }

    /// Handles on its modules, in chain order. Asks nobody.
    pub fn modules(&self) -> impl Iterator<Item = ModuleHandle> + use<> {
        let process = self.clone();
        (0..self.seen.modules.len()).map(move |index| ModuleHandle::new(&process, index))
    }

    /// Handles on the modules that were neither complete nor skipped when this handle was made, in chain
    /// order: what is left for whoever takes the process up. Asks nobody.
    pub fn unfinished(&self) -> impl Iterator<Item = ModuleHandle> + use<> {
        self.modules().filter(|module| {
            !matches!(
                module.state_seen(),
                ModuleStateKind::Complete | ModuleStateKind::Skipped
            )
        })
    }

    /// A handle on the module at `position`, counted from 1. Asks nobody.
    ///
    /// # Errors
    ///
    /// Only for a position outside the chain.
    pub fn module(&self, position: usize) -> Result<ModuleHandle, TrackError> {
        Ok(ModuleHandle::new(
            self,
            self.seen.pipeline.index_of(position)?,
        ))
    }

    /// How far the process is, in the wire form.
    pub fn status(&self) -> Result<StatusReport, TrackError> {
        self.tracker().process_status(self.seen.request_id)
    }

    /// Cancels the process, in the run that this handle saw.
    ///
    /// What [reporters](Reporter) have pending is written along with it; what is refused of that shows
    /// nowhere here.
    ///
    /// # Errors
    ///
    /// [`Settled`](crate::Rejection::Settled) if it is complete or has failed;
    /// [`Stale`](crate::Rejection::Stale) if it was rerun since.
    pub fn cancel(&self, reason: &str) -> Result<Applied, TrackError> {
        self.send(&self.cancel_op(reason)?)
    }

    /// The change that [`cancel`](ProcessHandle::cancel) would make, for a batch.
    ///
    /// # Errors
    ///
    /// `Invalid` for a reason over 255 bytes.
    pub fn prepare_cancel(&self, reason: &str) -> Result<Prepared, TrackError> {
        Ok(Prepared::of_process(self, self.cancel_op(reason)?))
    }

    fn cancel_op(&self, reason: &str) -> Result<Op, Invalid> {
        let change = Change::cancel(reason);
        let op = self.tracker().checked_op(self.seen.request_id, change)?;
        Ok(op.guarded(self.hold_guard().run(self.seen.run)))
    }

    /// Writes an op of this handle, after what is pending in the second lane.
    pub(crate) fn send(&self, op: &Op) -> Result<Applied, TrackError> {
        let applied = self.tracker().write_in_turn(op)?;
        self.note(&applied);
        Ok(applied)
    }

    pub(crate) fn tracker(&self) -> &Tracker {
        &self.seen.tracker
    }

    /// What every op of this handle asks for: the process, and the lease if there is one.
    pub(crate) fn hold_guard(&self) -> Guard {
        let guard = Guard::new().born(self.seen.born);
        match &self.seen.hold {
            Some(hold) => hold.guard(guard),
            None => guard,
        }
    }

    pub(crate) fn note(&self, applied: &Applied) {
        if let Some(hold) = &self.seen.hold {
            hold.note(applied);
        }
    }
}

/// A worker's hold on one module, in the attempt that it saw.
///
/// Cheap to clone; clones are one handle. Every call is guarded: sent again after a lost answer it
/// changes nothing twice, and once another has retried the module or rerun the process it is
/// [`Stale`](crate::Rejection::Stale).
///
/// There are two lanes. Transitions and [`progress`](ModuleHandle::progress) are durable when they answer;
/// what a [`reporter`](ModuleHandle::reporter) is told is written a few times a second, and before the next
/// transition. If it was refused, that transition answers why and is not made.
#[derive(Debug, Clone)]
pub struct ModuleHandle {
    hold: Arc<ModuleHold>,
}

/// What the clones of a module's handle share.
#[derive(Debug)]
struct ModuleHold {
    process: ProcessHandle,
    index: usize,
    attempt: AtomicU32,
}

impl ModuleHandle {
    fn new(process: &ProcessHandle, index: usize) -> Self {
        let attempt = process.seen.modules[index].attempt.load(Ordering::Relaxed);
        let hold = ModuleHold {
            process: process.clone(),
            index,
            attempt: AtomicU32::new(attempt),
        };
        ModuleHandle {
            hold: Arc::new(hold),
        }
    }

    fn seen(&self) -> &Seen {
        &self.hold.process.seen
    }

    fn tracker(&self) -> &Tracker {
        self.hold.process.tracker()
    }

    /// Its place in the chain; the first is 1.
    #[must_use]
    pub fn position(&self) -> usize {
        self.hold.index + 1
    }

    /// Its state when the process handle was made. Asks nobody: it may have another by now.
    #[must_use]
    pub fn state_seen(&self) -> ModuleStateKind {
        self.seen().modules[self.hold.index].state
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.seen().pipeline.module(self.hold.index)
    }

    /// Starts it. Again: no change.
    ///
    /// # Errors
    ///
    /// [`OutOfOrder`](crate::Rejection::OutOfOrder) while a module before it is not done,
    /// [`Settled`](crate::Rejection::Settled) in a process that has settled.
    pub fn start(&self) -> Result<Applied, TrackError> {
        self.make(Change::start(self.position()))
    }

    /// Reports how far it is; starts it if it is pending.
    ///
    /// Takes the place of what a [`reporter`](ModuleHandle::reporter) has pending.
    ///
    /// # Errors
    ///
    /// [`Backwards`](crate::Rejection::Backwards) if less is done than was reported before.
    pub fn progress(&self, progress: Progress) -> Result<Applied, TrackError> {
        self.make(Change::progress(self.position(), progress))
    }

    /// Reports that its work is done. Again: no change. A module that is pending starts and ends at once.
    pub fn complete(&self) -> Result<Applied, TrackError> {
        self.make(Change::complete(self.position()))
    }

    /// Reports that it gave up; the process has failed. Again, with the same failure: no change.
    pub fn fail(&self, failure: Failure) -> Result<Applied, TrackError> {
        self.make(Change::fail(self.position(), failure))
    }

    /// Leaves it out: counts as done. Only while it is pending.
    pub fn skip(&self, reason: &str) -> Result<Applied, TrackError> {
        self.make(Change::skip(self.position(), reason))
    }

    /// Gives it another attempt after a failure that is kept in its history; only while it is running.
    ///
    /// It is pending then: start it again. The handle goes on with the new attempt, and so do handles made
    /// after this from the same [`ProcessHandle`].
    ///
    /// ```
    /// use milepost_core::{Failure, ModuleHandle, TrackError};
    ///
    /// fn fetch(module: &ModuleHandle, mut try_once: impl FnMut() -> Result<(), String>) -> Result<(), TrackError> {
    ///     for _ in 0..3 {
    ///         module.start()?;
    ///         match try_once() {
    ///             Ok(()) => return module.complete().map(drop),
    ///             Err(why) => module.retry(Failure::new("Unreachable", &why))?,
    ///         };
    ///     }
    ///     module.fail(Failure::new("Unreachable", "three tries")).map(drop)
    /// }
    /// ```
    pub fn retry(&self, failure: Failure) -> Result<Applied, TrackError> {
        self.make(Change::retry(self.position(), failure))
    }

    /// A change of the module at its position, for a batch: what the handle's own call of that name would make.
    ///
    /// # Errors
    ///
    /// `Invalid` for what is wrong in itself.
    ///
    /// ```
    /// # use milepost_core::{Change, ModuleHandle, Progress, TrackError};
    /// # fn work(module: &ModuleHandle) -> Result<(), TrackError> {
    /// let start = module.prepare(Change::start)?;
    /// let report = module.prepare(|position| Change::progress(position, Progress::of(1, 2)))?;
    /// # Ok(()) }
    /// ```
    pub fn prepare(&self, change: impl FnOnce(usize) -> Change) -> Result<Prepared, TrackError> {
        let op = self.guarded_op(change(self.position()))?;
        Ok(Prepared::of_module(self, op))
    }

    /// The second lane: progress that is not waited for, and of which the newest value is written a few
    /// times a second. See [`Reporter`].
    ///
    /// ```
    /// # use milepost_core::{ModuleHandle, Progress, TrackError};
    /// fn count(module: &ModuleHandle, lines: impl Iterator<Item = String>) -> Result<(), TrackError> {
    ///     let reporter = module.reporter();
    ///     for (done, _line) in (1..).zip(lines) {
    ///         reporter.set(Progress::unbounded(done).unit("lines"));
    ///     }
    ///     module.complete().map(drop)
    /// }
    /// ```
    #[must_use]
    pub fn reporter(&self) -> Reporter {
        let seen = self.seen();
        let tracker = self.tracker();
        let key = LaneKey::new(seen.request_id, seen.born);
        let lane = seen
            .lane
            .get_or_init(|| Arc::new(tracker.lanes().hold(key)));
        // Without the thread transitions write what is pending, and the next reporter tries again.
        let _ = tracker.start_reporting();
        Reporter::new(self, Arc::clone(lane))
    }

    /// The op of a report, and whose it is: what [`progress`](ModuleHandle::progress) would send.
    pub(crate) fn report(&self, progress: Progress) -> (Source, Result<Op, Invalid>) {
        let guard = self.guard();
        let change = Change::progress(self.position(), progress);
        let op = self.checked_op(change);
        (
            Source::new(self.position(), guard),
            op.map(|op| op.guarded(guard)),
        )
    }

    fn make(&self, change: Change) -> Result<Applied, TrackError> {
        self.send(&self.guarded_op(change)?)
    }

    fn guarded_op(&self, change: Change) -> Result<Op, Invalid> {
        Ok(self.checked_op(change)?.guarded(self.guard()))
    }

    fn checked_op(&self, change: Change) -> Result<Op, Invalid> {
        self.tracker().checked_op(self.seen().request_id, change)
    }

    /// Writes an op of this handle, after what is pending in the second lane.
    pub(crate) fn send(&self, op: &Op) -> Result<Applied, TrackError> {
        let applied = self.tracker().write_in_turn(op)?;
        self.note(op, &applied);
        Ok(applied)
    }

    /// Takes in what an op of this handle came to.
    pub(crate) fn note(&self, op: &Op, applied: &Applied) {
        self.hold.process.note(applied);
        if let Change::Retry { .. } = op.change {
            // Exactly one more, not what the answer says: if the answer to an earlier sending was lost, others
            // may have gone further, and then this handle is stale.
            let next = op.guard.attempt.map_or(0, |tried| tried.saturating_add(1));
            self.hold.attempt.fetch_max(next, Ordering::Relaxed);
            let seen = &self.seen().modules[self.hold.index];
            seen.attempt.fetch_max(next, Ordering::Relaxed);
        }
    }

    pub(crate) fn process(&self) -> &ProcessHandle {
        &self.hold.process
    }

    /// What must hold for all that this handle and its reporters send.
    fn guard(&self) -> Guard {
        let seen = self.seen();
        let attempt = self.hold.attempt.load(Ordering::Relaxed);
        self.hold
            .process
            .hold_guard()
            .run(seen.run)
            .attempt(attempt)
    }
}
