//! Why a process stands where it stands, and what happens next: for whoever has to look after it.

use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::error::TrackError;
use crate::id::RequestId;
use crate::process::{OverallStatus, Process};
use crate::time;
use crate::tracker::Tracker;
use crate::work::Progress;

mod paragraph;
mod read;

impl Tracker {
    /// Why a process stands where it stands, and what happens next: by the record, and by this tracker's clock.
    ///
    /// # Examples
    ///
    /// ```
    /// # use milepost_core::{NextStep, RequestId, TrackError, Tracker};
    /// fn look_into(tracker: &Tracker, id: RequestId) -> Result<(), TrackError> {
    ///     let explanation = tracker.explain(id)?;
    ///     println!("{explanation}");
    ///     if explanation.next == NextStep::Rerun {
    ///         tracker.rerun(id)?;
    ///     }
    ///     Ok(())
    /// }
    /// ```
    pub fn explain(&self, id: RequestId) -> Result<Explanation, TrackError> {
        let process = self.get(id)?;
        Ok(process.explain(self.clock().now()))
    }
}

impl Process {
    /// Why it stands where it stands by `now`, and what happens next. Asks nobody: what a list or a watch
    /// answered is explained without another read.
    #[must_use]
    pub fn explain(&self, now: DateTime<Utc>) -> Explanation {
        Explanation::new(self, time::to_micros(now))
    }
}

/// Why a process stands where it stands, and what happens next.
///
/// Every field is what the record says, or follows from it and from [`at`](Explanation::at) alone. Serialised,
/// all keys are always there, in the order of the fields, with times in RFC 3339; the texts are whole.
///
/// # As text
///
/// [`Display`](std::fmt::Display) writes one paragraph of at most 4 KiB for people, without a line break or
/// any other control character, whatever hosts write into reasons and messages:
///
/// ```text
/// invoice-ocr is ongoing as of 2026-05-18T12:09:00Z: 1 of 3 modules is done, and it waits for somebody to take
/// over from worker-7. It began at 2026-05-18T12:00:00Z and last changed at 2026-05-18T12:05:00Z, 4 min 00 s ago.
/// Module 2 of 3, parser, has been running for 6 min 00 s (attempt 2); 4 min 00 s ago it was at 3/10 pages.
/// worker-7 held it until 2026-05-18T12:06:00Z, which ran out 3 min 00 s ago, and was last heard of at
/// 2026-05-18T12:05:00Z, 4 min 00 s ago. Attempt 1 of module 2, parser, was retried at 2026-05-18T12:02:00Z after
/// 12.0 s: Unreachable: no route to host. Next: a reap fails or frees it, or a worker claims it.
/// ```
///
/// Long messages are cut, and of many modules or attempts a few are named and the rest are counted. The
/// wording may change; programs read the fields.
///
/// # Examples
///
/// ```
/// use chrono::{DateTime, Utc};
/// use milepost_core::{OverallStatus, Query, TrackError, Tracker, WaitingFor};
///
/// /// Shows what stands still until somebody does something about it, of the first page.
/// fn look_around(tracker: &Tracker, now: DateTime<Utc>) -> Result<(), TrackError> {
///     let query = Query::new().status(OverallStatus::Ongoing).oldest_first();
///     for process in tracker.list(&query)?.items {
///         let explanation = process.explain(now);
///         match explanation.waiting_for {
///             WaitingFor::Lease | WaitingFor::Claim => println!("{explanation}"),
///             _ => {}
///         }
///     }
///     Ok(())
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Explanation {
    /// The process.
    pub request_id: RequestId,
    /// The name of its pipeline.
    pub pipeline: String,
    /// Its overall status.
    pub status: OverallStatus,
    /// Which try of the whole process this is, from 1.
    pub run: u32,
    /// When it was asked: leases and expiry are judged by this moment.
    pub at: DateTime<Utc>,
    /// When it began.
    pub created_at: DateTime<Utc>,
    /// When it settled; none while it is ongoing.
    pub settled_at: Option<DateTime<Utc>>,
    /// When it last changed in any way. When its holder was last heard of, [`held`](Explanation::held) says.
    pub last_heard: DateTime<Utc>,
    /// When it expires, or expired. None: never.
    pub expires_at: Option<DateTime<Utc>>,
    /// How many modules it has.
    pub modules: usize,
    /// How many of them are complete or skipped.
    pub done: usize,
    /// What has to come from outside before it moves.
    pub waiting_for: WaitingFor,
    /// The modules that are running, in chain order. More than one only in a parallel pipeline; there they may
    /// also go on in a process that has failed.
    pub running: Vec<RunningModule>,
    /// The pending modules that may start now, in chain order: in a sequential pipeline at most one. None once it
    /// has settled or expired.
    pub ready: Vec<ModuleAttempt>,
    /// The claim made last in this run, whether it still stands or not; none if nobody claimed it.
    pub held: Option<Holder>,
    /// The wish that it be cancelled, if the record has one.
    pub cancel_requested: Option<CancelWish>,
    /// Why it failed or was cancelled; none while it is ongoing or once it is complete.
    pub failed: Option<Fault>,
    /// The past attempts that are kept, of all modules, in the order in which they were given up.
    pub tried: Vec<PastAttempt>,
    /// How many past attempts there were that are no longer kept.
    pub no_longer_kept: u64,
    /// What happens next.
    pub next: NextStep,
}

/// What has to come from outside before a process moves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum WaitingFor {
    /// Nothing: it has settled, or has expired.
    Nothing,
    /// One of the modules in [`running`](Explanation::running), to report.
    Modules,
    /// One of the modules in [`ready`](Explanation::ready), to be started by whoever holds the process; if nobody
    /// claims it, by whoever works on it.
    Start,
    /// Its [holder](Explanation::held), to answer the wish that it be cancelled.
    Cancellation,
    /// Somebody to take over: the lease of its [holder](Explanation::held) has run out.
    Lease,
    /// A worker to claim it: its last [holder](Explanation::held) gave it back, or was reaped.
    Claim,
}

/// What happens next to a process, if nobody intervenes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum NextStep {
    /// Nothing: it is complete, or its runs or attempts are used up.
    Nothing,
    /// What is running goes on.
    Report,
    /// A module that is ready is started.
    Start,
    /// The holder agrees to cancel it, or ends its work all the same.
    Agree,
    /// A reap fails or frees it, or a worker claims it.
    Reap,
    /// A reap cancels it, because that was asked for, or a worker claims it and is asked for the same.
    Cancel,
    /// A worker claims it and goes on with it.
    Claim,
    /// Nothing by itself; it can be rerun.
    Rerun,
    /// A purge erases it, for it has expired.
    Purge,
}

/// A module, in one of its attempts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ModuleAttempt {
    /// Its place in the chain; the first is 1.
    pub position: usize,
    /// Its name.
    pub name: String,
    /// Which try of it, from 1.
    pub attempt: u32,
}

/// A module that is running.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct RunningModule {
    /// Which one.
    #[serde(flatten)]
    pub module: ModuleAttempt,
    /// Since when.
    pub since: DateTime<Utc>,
    /// How far it is, if it said so in this attempt.
    pub progress: Option<Progress>,
    /// When it said so.
    pub progress_at: Option<DateTime<Utc>>,
}

/// Who holds a process, or held it last in this run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Holder {
    /// The name that the worker gave itself.
    pub worker: String,
    /// The fencing token of the lease.
    pub token: u64,
    /// When it was claimed.
    pub since: DateTime<Utc>,
    /// When the lease runs out unless it is renewed, or ran out, or would have.
    pub until: DateTime<Utc>,
    /// When the worker last changed something under the lease.
    pub heard_at: DateTime<Utc>,
    /// Whether the lease stands.
    pub state: HolderState,
}

/// Whether a lease stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum HolderState {
    /// It lasts: nobody else can claim the process.
    Live,
    /// It has run out, and nothing has come of that yet.
    RunOut,
    /// The worker gave it back.
    Released {
        /// When.
        at: DateTime<Utc>,
    },
    /// It had run out, and a reap has ended it.
    Reaped {
        /// When.
        at: DateTime<Utc>,
    },
    /// There is nothing left to hold: the process settled under it, or has expired.
    Over,
}

/// A wish that a process be cancelled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct CancelWish {
    /// Why.
    pub reason: String,
    /// When it was uttered.
    pub at: DateTime<Utc>,
}

/// Why a process failed or was cancelled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Fault {
    /// The module at fault: the first that failed, or the one that was running when the process was cancelled,
    /// if it was exactly one.
    pub module: Option<ModuleAttempt>,
    /// The failure's reason; `Cancelled` for a cancel.
    pub reason: String,
    /// The failure's message; for a cancel the reason that was given.
    pub message: String,
    /// When the process settled.
    pub at: DateTime<Utc>,
    /// What else has failed, in chain order.
    pub others: Vec<ModuleAttempt>,
}

/// A past attempt of a module.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct PastAttempt {
    /// Which one.
    #[serde(flatten)]
    pub module: ModuleAttempt,
    /// In which run of the process, from 1.
    pub run: u32,
    /// When it started, if it had.
    pub started: Option<DateTime<Utc>>,
    /// When it ended.
    pub ended: DateTime<Utc>,
    /// How.
    pub end: PastEnd,
}

/// How a past attempt ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum PastEnd {
    /// The module failed, and the process was rerun.
    Failed {
        /// The failure's reason.
        reason: String,
        /// The failure's message.
        message: String,
    },
    /// The module was tried again within its run.
    Retried {
        /// The failure's reason.
        reason: String,
        /// The failure's message.
        message: String,
    },
    /// The process was cancelled, and then rerun.
    Cancelled {
        /// Why.
        reason: String,
    },
    /// The process was rerun while the module was at work.
    Interrupted,
}
