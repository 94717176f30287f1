//! Changes as plain data.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::claim::{self, ReapPolicy};
use crate::file::File;
use crate::guard::Guard;
use crate::id::{FileId, RequestId};
use crate::invalid::{Field, Invalid};
use crate::pipeline::Pipeline;
use crate::process::Process;
use crate::size;
use crate::time;
use crate::update::Update;
use crate::work::{Failure, Progress};

/// One change to one process, with the time at which it happened.
///
/// Plain data: it can be kept, sent and sent again. What it does is decided by
/// [`Op::apply`](Op::apply) alone, in every store.
///
/// ```
/// use milepost_core::{Change, Guard, Op};
///
/// # let id = "f948a6ad-0343-e743-2b3f-0df6bc732a3a".parse()?;
/// let at = "2026-05-18T09:30:00Z".parse()?;
/// let op = Op::new(id, at, Change::complete(1)).guarded(Guard::new().attempt(1));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Op {
    /// The process.
    pub id: RequestId,
    /// When it happened. Expiry is judged by it.
    pub at: DateTime<Utc>,
    /// What must hold for it to apply.
    pub guard: Guard,
    /// What is to change.
    pub change: Change,
}

impl Op {
    /// An op without a guard. A new process comes from [`Tracker::prepare`](crate::Tracker::prepare).
    #[must_use]
    pub fn new(id: RequestId, at: DateTime<Utc>, change: Change) -> Self {
        Op {
            id,
            at,
            guard: Guard::new(),
            change,
        }
    }

    /// The same op under `guard`, in place of the guard that it had.
    #[must_use]
    pub fn guarded(self, guard: Guard) -> Self {
        Op { guard, ..self }
    }

    /// The mark that the process bears which a creation or an import makes: guard with it what is to follow.
    /// None for any other op.
    #[must_use]
    pub fn born(&self) -> Option<u64> {
        match &self.change {
            Change::Create(creation) => Some(creation.born),
            Change::Import(process) => Some(process.version.born),
            _ => None,
        }
    }

    /// How much it counts towards [`limits::BATCH_BYTES`](crate::limits::BATCH_BYTES): its text, and
    /// 128 for the rest.
    #[must_use]
    pub fn bytes(&self) -> usize {
        128 + match &self.change {
            Change::Create(creation) => creation.pipeline.text_bytes() + creation.file.text_bytes(),
            Change::Progress { progress, .. } => progress.text_bytes(),
            Change::Fail { failure, .. } | Change::Retry { failure, .. } => failure.text_bytes(),
            Change::Skip { reason, .. }
            | Change::Cancel { reason }
            | Change::RequestCancel { reason } => reason.len(),
            Change::Update(update) => update.text_bytes(),
            Change::Claim { worker, .. } => worker.len(),
            Change::Import(process) => size::of(process),
            Change::Start { .. }
            | Change::Complete { .. }
            | Change::Rerun
            | Change::Erase
            | Change::Renew { .. }
            | Change::Release
            | Change::Reap { .. } => 0,
        }
    }
}

/// What an op changes. Modules are given by position; the first is 1.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
#[expect(
    missing_docs,
    reason = "the fields are what the variants' own words name"
)]
pub enum Change {
    /// A process begins.
    Create(Box<Creation>),
    /// A module starts.
    Start { module: usize },
    /// A module reports how far it is.
    Progress { module: usize, progress: Progress },
    /// A module has done its work.
    Complete { module: usize },
    /// A module gives up, and with it the process.
    Fail { module: usize, failure: Failure },
    /// A module that has not begun is left out.
    Skip { module: usize, reason: String },
    /// A running module goes back to pending, for another attempt.
    Retry { module: usize, failure: Failure },
    /// Everything unfinished is called off.
    Cancel { reason: String },
    /// A failed or cancelled process is taken up again where it stopped.
    Rerun,
    /// What is known of the file, or the expiry, is replaced.
    Update(Box<Update>),
    /// The process ceases to exist.
    Erase,
    /// A worker takes the process for itself, for some time.
    Claim {
        worker: String,
        ttl: Duration,
        mark: u64,
    },
    /// The worker keeps it for longer.
    Renew { ttl: Duration },
    /// The worker gives it back.
    Release,
    /// What stands still under the claim of this token is failed or freed.
    Reap { token: u64, policy: ReapPolicy },
    /// The worker is asked to cancel; where there is none, it is cancelled.
    RequestCancel { reason: String },
    /// A process that stood elsewhere stands here, as it was there.
    Import(Arc<Process>),
}

impl Change {
    /// Starts a module.
    #[must_use]
    pub fn start(module: usize) -> Self {
        Change::Start { module }
    }

    /// Reports a module's progress.
    #[must_use]
    pub fn progress(module: usize, progress: Progress) -> Self {
        Change::Progress { module, progress }
    }

    /// Completes a module.
    #[must_use]
    pub fn complete(module: usize) -> Self {
        Change::Complete { module }
    }

    /// Fails a module.
    #[must_use]
    pub fn fail(module: usize, failure: Failure) -> Self {
        Change::Fail { module, failure }
    }

    /// Skips a module.
    #[must_use]
    pub fn skip(module: usize, reason: &str) -> Self {
        Change::Skip {
            module,
            reason: reason.into(),
        }
    }

    /// Gives a module another attempt.
    #[must_use]
    pub fn retry(module: usize, failure: Failure) -> Self {
        Change::Retry { module, failure }
    }

    /// Cancels the process.
    #[must_use]
    pub fn cancel(reason: &str) -> Self {
        Change::Cancel {
            reason: reason.into(),
        }
    }

    /// Runs a failed or cancelled process again.
    #[must_use]
    pub fn rerun() -> Self {
        Change::Rerun
    }

    /// Updates the file or the expiry.
    #[must_use]
    pub fn update(update: Update) -> Self {
        Change::Update(Box::new(update))
    }

    /// Erases the process.
    #[must_use]
    pub fn erase() -> Self {
        Change::Erase
    }

    /// Claims the process for `worker`, for `ttl` from the time of the op. `mark` is a number that no other
    /// claim bears, a random one: by it a claim that is sent again is known for the same.
    #[must_use]
    pub fn claim(worker: &str, ttl: Duration, mark: u64) -> Self {
        Change::Claim {
            worker: worker.into(),
            ttl,
            mark,
        }
    }

    /// Lets the lease last until `ttl` after the time of the op, if that is later than it does. Guard it
    /// with the lease.
    #[must_use]
    pub fn renew(ttl: Duration) -> Self {
        Change::Renew { ttl }
    }

    /// Gives the lease back. Guard it with the lease.
    #[must_use]
    pub fn release() -> Self {
        Change::Release
    }

    /// Fails or frees a process whose lease, the one of `token`, has run out by the time of the op. Guard it
    /// with `born`: another process that goes by the id may bear the same token.
    #[must_use]
    pub fn reap(token: u64, policy: ReapPolicy) -> Self {
        Change::Reap { token, policy }
    }

    /// Asks whoever holds the process to cancel it; cancels it if nobody does.
    #[must_use]
    pub fn request_cancel(reason: &str) -> Self {
        Change::RequestCancel {
            reason: reason.into(),
        }
    }

    /// Makes a process exist as it stood elsewhere: its version, its history and its claim are those it had. Send
    /// it under the process's own [id](Process::request_id); guards on it are ignored.
    ///
    /// It never overwrites. Where the same process stands already, in this state or at a later revision, nothing
    /// changes, so that an import can be sent again; where another goes by the id, or the same one in another state,
    /// it is [`AlreadyExists`](crate::Rejection::AlreadyExists). So of two states of one process the first that is
    /// imported counts. What has expired by the time of the op is [refused](crate::Invalid::HasExpired).
    ///
    /// An import that is sent again after the process was erased or has expired makes it exist again, as it was then:
    /// whoever erases, or lets expire earlier, sees to it that no copy is left to be imported. And whoever had to do
    /// with a later state of it is then ahead of what stands: a claim may come to bear the token of one that was lost,
    /// and what is guarded by an attempt or a revision may come to hold. So import what nobody is at work on elsewhere.
    #[must_use]
    pub fn import(process: impl Into<Arc<Process>>) -> Self {
        Change::Import(process.into())
    }

    /// Which change it is.
    #[must_use]
    pub fn kind(&self) -> ChangeKind {
        match self {
            Change::Create(_) => ChangeKind::Create,
            Change::Start { .. } => ChangeKind::Start,
            Change::Progress { .. } => ChangeKind::Progress,
            Change::Complete { .. } => ChangeKind::Complete,
            Change::Fail { .. } => ChangeKind::Fail,
            Change::Skip { .. } => ChangeKind::Skip,
            Change::Retry { .. } => ChangeKind::Retry,
            Change::Cancel { .. } => ChangeKind::Cancel,
            Change::Rerun => ChangeKind::Rerun,
            Change::Update(_) => ChangeKind::Update,
            Change::Erase => ChangeKind::Erase,
            Change::Claim { .. } => ChangeKind::Claim,
            Change::Renew { .. } => ChangeKind::Renew,
            Change::Release => ChangeKind::Release,
            Change::Reap { .. } => ChangeKind::Reap,
            Change::RequestCancel { .. } => ChangeKind::RequestCancel,
            Change::Import(_) => ChangeKind::Import,
        }
    }

    /// The position of the module that it changes, if it changes one.
    #[must_use]
    pub fn module(&self) -> Option<usize> {
        self.position()
    }

    /// Checks what is wrong in itself, except whether a module's position exists.
    pub(crate) fn check(&self) -> Result<(), Invalid> {
        match self {
            Change::Create(creation) => creation.check(),
            Change::Progress { progress, .. } => progress.check(),
            Change::Fail { failure, .. } | Change::Retry { failure, .. } => failure.check(),
            Change::Skip { reason, .. }
            | Change::Cancel { reason }
            | Change::RequestCancel { reason } => Field::Reason.check(reason),
            Change::Update(update) => update.check(),
            Change::Claim { worker, ttl, .. } => {
                claim::check_worker(worker)?;
                claim::check_ttl(*ttl)
            }
            Change::Renew { ttl } => claim::check_ttl(*ttl),
            Change::Start { .. }
            | Change::Complete { .. }
            | Change::Rerun
            | Change::Erase
            | Change::Release
            | Change::Reap { .. }
            // Whoever made it has checked it.
            | Change::Import(_) => Ok(()),
        }
    }
}

/// A change without its details, for comparing and for errors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the same words as Change")]
pub enum ChangeKind {
    Create,
    Start,
    Progress,
    Complete,
    Fail,
    Skip,
    Retry,
    Cancel,
    Rerun,
    Update,
    Erase,
    Claim,
    Renew,
    Release,
    Reap,
    RequestCancel,
    Import,
}

impl std::fmt::Display for ChangeKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// What a new process is made of. [`Tracker::prepare`](crate::Tracker::prepare) makes it.
#[derive(Debug, Clone, PartialEq)]
pub struct Creation {
    pub(crate) born: u64,
    pub(crate) pipeline: Pipeline,
    pub(crate) file: File,
    /// The id of the file, where the host gave one: part of what makes two beginnings the same.
    pub(crate) given_file_id: Option<FileId>,
    pub(crate) expires_at: Option<DateTime<Utc>>,
}

impl Creation {
    /// The mark that the process is born with.
    #[must_use]
    pub fn born(&self) -> u64 {
        self.born
    }

    /// Its pipeline.
    #[must_use]
    pub fn pipeline(&self) -> &Pipeline {
        &self.pipeline
    }

    /// Its file.
    #[must_use]
    pub fn file(&self) -> &File {
        &self.file
    }

    /// The file id that the host gave, if it did.
    #[must_use]
    pub fn given_file_id(&self) -> Option<FileId> {
        self.given_file_id
    }

    /// When it expires, if it does.
    #[must_use]
    pub fn expires_at(&self) -> Option<DateTime<Utc>> {
        self.expires_at
    }

    fn check(&self) -> Result<(), Invalid> {
        self.expires_at
            .map_or(Ok(()), |at| time::check(at, "expiry").map(drop))
    }
}
