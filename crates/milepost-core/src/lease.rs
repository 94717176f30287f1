//! Leases: what a worker holds while a process is its own.

use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::background::lock;
use crate::ear::Ear;
use crate::error::TrackError;
use crate::guard::Guard;
use crate::handle::{ModuleHandle, ProcessHandle};
use crate::id::RequestId;
use crate::op::{Change, Op};
use crate::time;
use crate::tracker::Tracker;
use crate::verdict::{Applied, Rejection};

impl Tracker {
    /// Claims a process for `worker`, for `ttl` from now: until then nobody else can.
    ///
    /// The worker's name, of 1 to 128 bytes, is for people: two that bear the same one are two. A lease lasts 1
    /// ms to 366 days. Only [`renew`](Lease::renew) makes it last longer, reports do not: a minute, and a
    /// renewal every 20 seconds, is a good start. It is judged by the clock of whoever asks, so that a clock
    /// that is wrong by *d* ends it *d* too early or too late; what is written stays right all the same, for
    /// the [token](Lease::token) decides.
    ///
    /// What a predecessor completed stays complete, and [`unfinished`](Lease::unfinished) leaves it out. What it
    /// left running is running still, at its progress: go on from there, or
    /// [`retry`](ModuleHandle::retry) it to count anew. A process that was reaped has nothing running.
    ///
    /// This is no queue: to find work, [list](Tracker::list) what is ongoing and claim what is not
    /// [leased](crate::Process::is_leased). Of several that try one wins.
    ///
    /// Handles that came from elsewhere ask for no lease and are not kept out: where one worker claims, all
    /// should.
    ///
    /// # Errors
    ///
    /// `Invalid` for a name or a time out of bounds; [`NotFound`](Rejection::NotFound);
    /// [`Held`](Rejection::Held) while another's lease lasts; [`Settled`](Rejection::Settled) if nothing is
    /// left to do. After [`OutcomeUnknown`](crate::StoreErrorKind::OutcomeUnknown) the claim may stand: it runs
    /// out by itself.
    ///
    /// # Examples
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use milepost_core::{Failure, ModuleStateKind, RequestId, TrackError, Tracker};
    /// fn work(tracker: &Tracker, id: RequestId) -> Result<(), TrackError> {
    ///     let lease = tracker.claim(id, "worker 7", Duration::from_secs(60))?;
    ///     for module in lease.unfinished() {
    ///         if module.state_seen() == ModuleStateKind::Running {
    ///             module.retry(Failure::new("TakenOver", "its worker is gone"))?;
    ///         }
    ///         module.start()?;
    ///         // .. some of the work ..
    ///         lease.renew()?;
    ///         if lease.cancel_requested() {
    ///             return lease.cancel("called off").map(drop);
    ///         }
    ///         module.complete()?;
    ///     }
    ///     Ok(())
    /// }
    /// ```
    pub fn claim(&self, id: RequestId, worker: &str, ttl: Duration) -> Result<Lease, TrackError> {
        let mark = crate::clock::random_u64(self.clock());
        let op = self.checked_op(id, Change::claim(worker, ttl, mark))?;
        time::after(op.at, ttl, "end of the lease")?;
        let claimed = self.write_one(&op)?;
        let process = self.get(id).inspect_err(|_| self.give_back(&claimed, id))?;
        let claim = process.claim().filter(|claim| claim.mark() == mark);
        // Whoever was quicker than this read has begun the process anew or taken it over.
        let claim = claim.ok_or_else(|| Rejection::Fenced {
            given: claimed.revision,
            current: process.claim().map(crate::Claim::token),
        })?;
        let hold = Arc::new(Hold {
            token: claim.token(),
            worker: worker.into(),
            ttl,
            until: Mutex::new(claim.until()),
            ear: Arc::new(Ear::new(&process, claim)),
            listening: OnceLock::new(),
        });
        Ok(Lease {
            process: ProcessHandle::under(self, &process, &hold),
            hold,
        })
    }

    /// Lets go of what was claimed, and could not be read: nobody would give it back. If that fails too, it runs
    /// out.
    fn give_back(&self, claimed: &Applied, id: RequestId) {
        let guard = Guard::new()
            .born(claimed.version.born)
            .lease(claimed.revision);
        let _ = self.write_one(&self.op(id, Change::release()).guarded(guard));
    }

    /// Asks that a process be cancelled.
    ///
    /// A worker that holds it is told, and agrees with [`Lease::cancel`]; work that it completes all the same
    /// stays complete. Where no lease lasts the process is cancelled at once. The first wish stands; again: no
    /// change. To cancel whatever anybody holds there is [`cancel`](Tracker::cancel); its holder learns of that from
    /// its next call.
    ///
    /// If the worker gives the lease back, or lets it run out and is [reaped](Tracker::reap), the wish is
    /// granted then; whoever claims after it has run out inherits it. Reads first, and asks of the run that it read.
    ///
    /// # Errors
    ///
    /// `Invalid` for a reason over 255 bytes; [`NotFound`](Rejection::NotFound);
    /// [`Settled`](Rejection::Settled) if it is complete or has failed.
    pub fn request_cancel(&self, id: RequestId, reason: &str) -> Result<Applied, TrackError> {
        self.change_run(id, Change::request_cancel(reason))
    }
}

/// A worker's lease on one process: its handles write only while the lease lasts.
///
/// Cheap to clone; clones are one lease. Dropping it gives nothing back: a lease ends when it is
/// [released](Lease::release), when it runs out, or when the process settles.
///
/// # Fencing
///
/// Every op of its handles carries the [token](Lease::token). Once the lease has run out by the op's own
/// time, or was given back or reaped, or another worker has claimed, they are
/// [`Fenced`](Rejection::Fenced) and change nothing; so is a late renewal. A worker that wakes up late
/// claims again, and takes up what it finds.
#[derive(Debug, Clone)]
pub struct Lease {
    process: ProcessHandle,
    hold: Arc<Hold>,
}

/// What the handles of one lease share.
#[derive(Debug)]
pub(crate) struct Hold {
    token: u64,
    worker: Arc<str>,
    ttl: Duration,
    until: Mutex<DateTime<Utc>>,
    ear: Arc<Ear>,
    listening: OnceLock<Listening>,
}

/// The lease's place among those that the poller asks for.
#[derive(Debug)]
struct Listening {
    tracker: Tracker,
    id: RequestId,
    ear: Arc<Ear>,
}

impl Lease {
    /// The process, under this lease.
    #[must_use]
    pub fn process(&self) -> &ProcessHandle {
        &self.process
    }

    /// The id of the process.
    #[must_use]
    pub fn request_id(&self) -> RequestId {
        self.process.request_id()
    }

    /// Handles on its modules, in chain order, under this lease. Asks nobody.
    pub fn modules(&self) -> impl Iterator<Item = ModuleHandle> + use<> {
        self.process.modules()
    }

    /// Handles on the modules that were neither complete nor skipped when it was claimed, under this lease.
    /// Asks nobody.
    pub fn unfinished(&self) -> impl Iterator<Item = ModuleHandle> + use<> {
        self.process.unfinished()
    }

    /// A handle on the module at `position`, counted from 1, under this lease. Asks nobody.
    ///
    /// # Errors
    ///
    /// Only for a position outside the chain.
    pub fn module(&self, position: usize) -> Result<ModuleHandle, TrackError> {
        self.process.module(position)
    }

    /// The fencing token: the revision that the claim made. A later lease on the same process has a larger
    /// one, so that whatever else the worker writes to can refuse the smaller.
    #[must_use]
    pub fn token(&self) -> u64 {
        self.hold.token
    }

    /// The name under which it was claimed.
    #[must_use]
    pub fn worker(&self) -> &str {
        &self.hold.worker
    }

    /// When it runs out, as far as this lease's own renewals tell.
    #[must_use]
    pub fn until(&self) -> DateTime<Utc> {
        *lock(&self.hold.until)
    }

    /// Lets it last for the time it was claimed for, counted from now. The token stays the same.
    ///
    /// # Errors
    ///
    /// [`Fenced`](Rejection::Fenced) if it has ended; a late renewal never revives it.
    /// [`Settled`](Rejection::Settled) if the process has settled, cancelled by others for instance.
    pub fn renew(&self) -> Result<Applied, TrackError> {
        self.renew_for(self.hold.ttl)
    }

    /// Lets it last for `ttl` from now, if that is longer than it would. It is never shortened.
    pub fn renew_for(&self, ttl: Duration) -> Result<Applied, TrackError> {
        let op = self.op(Change::renew(ttl))?;
        let until = time::after(op.at, ttl, "end of the lease")?;
        let applied = self.send(&op)?;
        let mut standing = lock(&self.hold.until);
        *standing = until.max(*standing);
        drop(standing);
        Ok(applied)
    }

    /// Gives it back before it runs out: others may claim the process. Again: no change. What reporters have
    /// pending is written before it.
    ///
    /// A module that runs goes on running; [retry](ModuleHandle::retry) it first if another worker is to start
    /// it anew. A wish to cancel that stands is granted.
    pub fn release(&self) -> Result<Applied, TrackError> {
        self.send(&self.op(Change::release())?)
    }

    /// Cancels the process: how a worker agrees when [`cancel_requested`](Lease::cancel_requested) tells it to.
    pub fn cancel(&self, reason: &str) -> Result<Applied, TrackError> {
        self.process.cancel(reason)
    }

    /// Whether somebody has [asked](Tracker::request_cancel) that the process be cancelled; why, its
    /// [record](crate::Process::cancel_requested) says. Says nothing of a process that was cancelled outright, erased
    /// or taken over: the next renewal does.
    ///
    /// Costs no call to the store: the answers to this lease's own ops say it, and from the first time that this
    /// is asked the tracker's poller does, within its [interval](Tracker::poll_interval).
    #[must_use]
    pub fn cancel_requested(&self) -> bool {
        self.hold.listening.get_or_init(|| {
            let tracker = self.process.tracker().clone();
            let (id, ear) = (self.request_id(), Arc::clone(&self.hold.ear));
            tracker.watchers().listen(id, &ear);
            // Without a thread that polls, the lease's own ops still tell.
            let _ = tracker.start_polling();
            Listening { tracker, id, ear }
        });
        self.hold.ear.is_wished()
    }

    fn op(&self, change: Change) -> Result<Op, TrackError> {
        let op = self
            .process
            .tracker()
            .checked_op(self.request_id(), change)?;
        Ok(op.guarded(self.process.hold_guard()))
    }

    fn send(&self, op: &Op) -> Result<Applied, TrackError> {
        let applied = self.process.tracker().write_in_turn(op)?;
        self.hold.note(&applied);
        Ok(applied)
    }
}

impl Hold {
    /// The guard that carries the lease.
    pub(crate) fn guard(&self, guard: Guard) -> Guard {
        guard.lease(self.token)
    }

    /// Takes in what the answer to an op of this lease says.
    pub(crate) fn note(&self, applied: &Applied) {
        self.ear.hears_of(applied);
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.tracker.watchers().stop_listening(self.id, &self.ear);
    }
}
