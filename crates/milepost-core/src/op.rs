//! Changes as plain data, and what becomes of them.

use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::file::{File, Tag};
use crate::id::{FileId, RequestId};
use crate::invalid::{Field, Invalid};
use crate::pipeline::Pipeline;
use crate::process::{ModuleStateKind, OverallStatus, Version};
use crate::work::{Failure, Progress};
use crate::{file, time};

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

    /// How much it counts towards [`limits::BATCH_BYTES`](crate::limits::BATCH_BYTES): its text, and
    /// 128 for the rest.
    #[must_use]
    pub fn bytes(&self) -> usize {
        128 + match &self.change {
            Change::Create(creation) => creation.pipeline.text_bytes() + creation.file.text_bytes(),
            Change::Progress { progress, .. } => progress.text_bytes(),
            Change::Fail { failure, .. } | Change::Retry { failure, .. } => failure.text_bytes(),
            Change::Skip { reason, .. } | Change::Cancel { reason } => reason.len(),
            Change::Update(update) => update.text_bytes(),
            Change::Start { .. } | Change::Complete { .. } | Change::Rerun | Change::Erase => 0,
        }
    }
}

/// What must hold for an op to apply; what is not given is not checked.
///
/// A guard makes sending again safe: an op whose guard has passed changes nothing. Guards on a
/// creation are ignored.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Guard {
    /// The process is the one that was born with this mark.
    pub born: Option<u64>,
    /// The process is in this run.
    pub run: Option<u32>,
    /// The module is in this attempt; only for a change of a module.
    pub attempt: Option<u32>,
    /// The process is at this revision.
    pub revision: Option<u64>,
}

impl Guard {
    /// A guard that lets everything pass.
    #[must_use]
    pub fn new() -> Self {
        Guard::default()
    }

    /// Asks for the process that was born with this mark, see [`Version::born`].
    #[must_use]
    pub fn born(self, born: u64) -> Self {
        Guard {
            born: Some(born),
            ..self
        }
    }

    /// Asks for this run of the process.
    #[must_use]
    pub fn run(self, run: u32) -> Self {
        Guard {
            run: Some(run),
            ..self
        }
    }

    /// Asks for this attempt of the module.
    #[must_use]
    pub fn attempt(self, attempt: u32) -> Self {
        Guard {
            attempt: Some(attempt),
            ..self
        }
    }

    /// Asks for this revision of the process.
    #[must_use]
    pub fn revision(self, revision: u64) -> Self {
        Guard {
            revision: Some(revision),
            ..self
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
        }
    }

    /// Checks what is wrong in itself, except whether a module's position exists.
    pub(crate) fn check(&self) -> Result<(), Invalid> {
        match self {
            Change::Create(creation) => creation.check(),
            Change::Progress { progress, .. } => progress.check(),
            Change::Fail { failure, .. } | Change::Retry { failure, .. } => failure.check(),
            Change::Skip { reason, .. } | Change::Cancel { reason } => Field::Reason.check(reason),
            Change::Update(update) => update.check(),
            Change::Start { .. } | Change::Complete { .. } | Change::Rerun | Change::Erase => {
                Ok(())
            }
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
}

impl std::fmt::Display for ChangeKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            ChangeKind::Create => "create",
            ChangeKind::Start => "start",
            ChangeKind::Progress => "progress",
            ChangeKind::Complete => "complete",
            ChangeKind::Fail => "fail",
            ChangeKind::Skip => "skip",
            ChangeKind::Retry => "retry",
            ChangeKind::Cancel => "cancel",
            ChangeKind::Rerun => "rerun",
            ChangeKind::Update => "update",
            ChangeKind::Erase => "erase",
        })
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
        self.file.check()?;
        self.expires_at
            .map_or(Ok(()), |at| time::check(at, "expiry").map(drop))
    }
}

/// What is to be replaced of a process: what is not named stays.
///
/// ```
/// use milepost_core::Update;
/// use std::time::Duration;
///
/// let update = Update::new().tags([("author", "melville")]).expires_in(Duration::from_secs(3600));
/// ```
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Update {
    pub(crate) file_name: Option<String>,
    pub(crate) directory: Option<String>,
    pub(crate) tags: Option<Vec<Tag>>,
    pub(crate) description: Option<Description>,
    pub(crate) expiry: Option<Expiry>,
}

/// A new description, or that there is to be none.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Description {
    Is(String),
    None,
}

impl Description {
    pub(crate) fn text(&self) -> Option<&str> {
        match self {
            Description::Is(text) => Some(text),
            Description::None => None,
        }
    }
}

/// A new expiry; a span counts from the time of the op that brings it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Expiry {
    At(DateTime<Utc>),
    In(Duration),
    Never,
}

impl Expiry {
    pub(crate) fn resolve(self, from: DateTime<Utc>) -> Result<Option<DateTime<Utc>>, Invalid> {
        match self {
            Expiry::At(at) => time::check(at, "expiry").map(Some),
            Expiry::In(span) => time::after(from, span, "expiry").map(Some),
            Expiry::Never => Ok(None),
        }
    }
}

impl Update {
    /// An update of nothing.
    #[must_use]
    pub fn new() -> Self {
        Update::default()
    }

    /// Renames the file: 1 to 255 bytes, no control characters.
    #[must_use]
    pub fn file_name(self, name: &str) -> Self {
        Update {
            file_name: Some(name.into()),
            ..self
        }
    }

    /// Moves the file to another directory: 1 byte to 1 KiB, no control characters.
    #[must_use]
    pub fn symbolic_directory_path(self, path: &str) -> Self {
        Update {
            directory: Some(path.into()),
            ..self
        }
    }

    /// Replaces all tags, of which there may be 64; an empty list takes them away.
    #[must_use]
    pub fn tags<N: AsRef<str>, V: AsRef<str>>(
        self,
        tags: impl IntoIterator<Item = (N, V)>,
    ) -> Self {
        let tags = tags
            .into_iter()
            .map(|(name, value)| Tag::new(name.as_ref(), value.as_ref()));
        Update {
            tags: Some(tags.collect()),
            ..self
        }
    }

    /// Describes the file, in at most 4 KiB.
    #[must_use]
    pub fn file_description(self, description: &str) -> Self {
        Update {
            description: Some(Description::Is(description.into())),
            ..self
        }
    }

    /// Takes the file's description away.
    #[must_use]
    pub fn no_file_description(self) -> Self {
        Update {
            description: Some(Description::None),
            ..self
        }
    }

    /// Lets the process expire at `time`; a time that has passed expires it at once.
    #[must_use]
    pub fn expires_at(self, time: DateTime<Utc>) -> Self {
        Update {
            expiry: Some(Expiry::At(time)),
            ..self
        }
    }

    /// Lets the process expire `span` after the update.
    #[must_use]
    pub fn expires_in(self, span: Duration) -> Self {
        Update {
            expiry: Some(Expiry::In(span)),
            ..self
        }
    }

    /// Lets the process never expire.
    #[must_use]
    pub fn never_expires(self) -> Self {
        Update {
            expiry: Some(Expiry::Never),
            ..self
        }
    }

    fn check(&self) -> Result<(), Invalid> {
        let check =
            |field: Field, text: Option<&str>| text.map_or(Ok(()), |text| field.check(text));
        check(Field::FileName, self.file_name.as_deref())?;
        check(Field::Directory, self.directory.as_deref())?;
        check(
            Field::Description,
            self.description.as_ref().and_then(Description::text),
        )?;
        self.tags.as_deref().map_or(Ok(()), file::check_tags)
    }

    pub(crate) fn text_bytes(&self) -> usize {
        let tags = self
            .tags
            .as_ref()
            .map_or(0, |tags| tags.iter().map(Tag::bytes).sum());
        [&self.file_name, &self.directory]
            .into_iter()
            .flatten()
            .map(String::len)
            .sum::<usize>()
            + self
                .description
                .as_ref()
                .and_then(Description::text)
                .map_or(0, str::len)
            + tags
    }
}

/// What became of one op.
pub type Verdict = Result<Applied, Rejection>;

/// An op that stands: it changed the process, or its effect was there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Applied {
    /// The state after it. For an erasure: the last state before it.
    pub version: Version,
    /// The revision of that state, for convenience.
    pub revision: u64,
    /// The overall status in that state.
    pub status: OverallStatus,
    /// The run in that state.
    pub run: u32,
    /// The attempt of the module that the op changes; 0 for a change of the whole process.
    pub attempt: u32,
    /// Whether it changed anything.
    pub changed: bool,
}

/// Why an op changed nothing. Maps to HTTP 404 for `NotFound`, else to 409.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Rejection {
    /// There is no such process: it never was, it was erased, it has expired, or another goes by its
    /// id now. No trace is kept that could tell these apart.
    #[error("no such process: it never was, was erased or has expired")]
    NotFound,
    /// Another process goes by this id.
    #[error("another process, of another {conflict}, goes by this id: use a new one")]
    AlreadyExists {
        /// In what the two differ.
        conflict: Conflict,
    },
    /// The change makes no sense, now or ever.
    #[error(transparent)]
    Illegal {
        /// Why.
        cause: Illegality,
    },
    /// A module before this one is neither complete nor skipped.
    #[error("module {module} must wait for module {waits_for}: complete or skip that first")]
    OutOfOrder {
        /// The module that was to leave pending.
        module: usize,
        /// The first that it waits for.
        waits_for: usize,
    },
    /// Progress went backwards.
    #[error("progress is at {done} and cannot go back to {given}: retry the module to count anew")]
    Backwards {
        /// What is done.
        done: u64,
        /// What was reported.
        given: u64,
    },
    /// The op was overtaken: its guard asks for a state that has passed.
    #[error(
        "{guard} {given} has passed, it is {current} now: read the process and take a new handle"
    )]
    Stale {
        /// Which part of the guard.
        guard: GuardKind,
        /// What it asks for.
        given: u64,
        /// What there is.
        current: u64,
    },
    /// The process has settled, and nothing more starts in it.
    #[error("the process is {status}: only a rerun, of a failed or cancelled one, reopens it")]
    Settled {
        /// How it settled.
        status: OverallStatus,
    },
    /// The record would be too large, even without its past attempts.
    #[error(
        "the record would have {bytes} bytes of at most {limit}: send shorter texts or fewer tags"
    )]
    TooLarge {
        /// How large it would be.
        bytes: usize,
        /// How large it may be.
        limit: usize,
    },
}

impl From<Illegality> for Rejection {
    fn from(cause: Illegality) -> Self {
        Rejection::Illegal { cause }
    }
}

impl From<Invalid> for Rejection {
    fn from(invalid: Invalid) -> Self {
        Illegality::Invalid(invalid).into()
    }
}

/// In what two beginnings under one id differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Conflict {
    /// The pipeline's name, chain or order.
    Pipeline,
    /// The file id.
    File,
}

impl std::fmt::Display for Conflict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Conflict::Pipeline => "pipeline",
            Conflict::File => "file",
        })
    }
}

/// Why a change makes no sense.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Illegality {
    /// The module is in a state that does not allow it.
    #[error("module {module} is {from}: it cannot {change}")]
    State {
        /// The module's position.
        module: usize,
        /// Its state.
        from: ModuleStateKind,
        /// What was asked of it.
        change: ChangeKind,
    },
    /// The process is in a status that does not allow it.
    #[error("the process is {status}: only a failed or cancelled one can be rerun")]
    Status {
        /// Its status.
        status: OverallStatus,
    },
    /// The guard asks for a state that has not come yet.
    #[error("{guard} {given} has not come yet, it is {current} now: guard with what was read")]
    FutureGuard {
        /// Which part of the guard.
        guard: GuardKind,
        /// What it asks for.
        given: u64,
        /// What there is.
        current: u64,
    },
    /// A change of the whole process is guarded by a module's attempt.
    #[error("{change} changes the whole process: guard it with a run, not with an attempt")]
    AttemptGuard {
        /// The change.
        change: ChangeKind,
    },
    /// The op is wrong in itself.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// A counter has reached its end.
    #[error("the process has used up its {guard}s: begin a new one")]
    Exhausted {
        /// Which counter.
        guard: GuardKind,
    },
}

/// The parts of a guard that count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the same words as Guard")]
pub enum GuardKind {
    Run,
    Attempt,
    Revision,
}

impl std::fmt::Display for GuardKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            GuardKind::Run => "run",
            GuardKind::Attempt => "attempt",
            GuardKind::Revision => "revision",
        })
    }
}
