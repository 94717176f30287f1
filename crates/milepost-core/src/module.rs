//! One step of a process, and its past attempts.

use std::fmt;
use std::sync::Arc;

use chrono::{DateTime, Utc};

use crate::pipeline::Pipeline;
use crate::work::{Failure, Progress};

/// One step of a process, as it stands.
#[derive(Clone, PartialEq)]
pub struct Module {
    pub(crate) state: ModuleState,
    /// Shared with the same module of all runs of the pipeline, until there is something of its own to tell.
    pub(crate) details: Arc<Details>,
}

/// What there is to tell of a module besides its state.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Details {
    pub(crate) index: u16,
    /// All names of the pipeline, and where the module's own stands among them.
    pub(crate) names: Arc<str>,
    pub(crate) name: (u32, u32),
    pub(crate) attempt: u32,
    pub(crate) progress: Option<Standing>,
    pub(crate) attempts: Vec<Attempt>,
}

impl Details {
    /// Those of a module that has not begun.
    pub(crate) fn fresh(index: u16, names: &Arc<str>, name: (u32, u32)) -> Self {
        Details {
            index,
            names: Arc::clone(names),
            name,
            attempt: 1,
            progress: None,
            attempts: Vec::new(),
        }
    }
}

/// The progress that stands, and when it was reported.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Standing {
    pub(crate) progress: Progress,
    pub(crate) at: DateTime<Utc>,
}

/// Where one module stands. Times are as reported.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum ModuleState {
    /// It has not begun.
    Pending,
    /// It is at work.
    Running {
        /// Since when.
        since: DateTime<Utc>,
    },
    /// It has done its work.
    Complete {
        /// When it started.
        started: DateTime<Utc>,
        /// When it ended.
        ended: DateTime<Utc>,
    },
    /// It gave up.
    Failed {
        /// When it started.
        started: DateTime<Utc>,
        /// When it ended.
        ended: DateTime<Utc>,
        /// Why.
        failure: Failure,
    },
    /// It was left out.
    Skipped {
        /// When that was decided.
        at: DateTime<Utc>,
        /// Why.
        reason: Arc<str>,
    },
    /// The process was cancelled before it was done.
    Cancelled {
        /// When it started, if it had.
        started: Option<DateTime<Utc>>,
        /// When it was cancelled.
        at: DateTime<Utc>,
    },
}

/// The state of a module without its details, for comparing and for errors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the same words as ModuleState")]
pub enum ModuleStateKind {
    Pending,
    Running,
    Complete,
    Failed,
    Skipped,
    Cancelled,
}

impl ModuleState {
    /// Which state it is.
    #[must_use]
    pub fn kind(&self) -> ModuleStateKind {
        match self {
            ModuleState::Pending => ModuleStateKind::Pending,
            ModuleState::Running { .. } => ModuleStateKind::Running,
            ModuleState::Complete { .. } => ModuleStateKind::Complete,
            ModuleState::Failed { .. } => ModuleStateKind::Failed,
            ModuleState::Skipped { .. } => ModuleStateKind::Skipped,
            ModuleState::Cancelled { .. } => ModuleStateKind::Cancelled,
        }
    }

    /// Whether it is complete or skipped: what lets the next module start.
    #[must_use]
    pub fn is_done(&self) -> bool {
        matches!(
            self,
            ModuleState::Complete { .. } | ModuleState::Skipped { .. }
        )
    }

    /// Whether it is complete, failed, skipped or cancelled.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        !matches!(self, ModuleState::Pending | ModuleState::Running { .. })
    }

    /// When work on it started, if it has.
    #[must_use]
    pub fn started(&self) -> Option<DateTime<Utc>> {
        match self {
            ModuleState::Pending | ModuleState::Skipped { .. } => None,
            ModuleState::Running { since } => Some(*since),
            ModuleState::Complete { started, .. } | ModuleState::Failed { started, .. } => {
                Some(*started)
            }
            ModuleState::Cancelled { started, .. } => *started,
        }
    }

    /// When it settled, if it has.
    #[must_use]
    pub fn ended(&self) -> Option<DateTime<Utc>> {
        match self {
            ModuleState::Pending | ModuleState::Running { .. } => None,
            ModuleState::Complete { ended, .. } | ModuleState::Failed { ended, .. } => Some(*ended),
            ModuleState::Skipped { at, .. } | ModuleState::Cancelled { at, .. } => Some(*at),
        }
    }
}

impl ModuleStateKind {
    /// Its name: the variant's in lower case.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            ModuleStateKind::Pending => "pending",
            ModuleStateKind::Running => "running",
            ModuleStateKind::Complete => "complete",
            ModuleStateKind::Failed => "failed",
            ModuleStateKind::Skipped => "skipped",
            ModuleStateKind::Cancelled => "cancelled",
        }
    }
}

impl fmt::Display for ModuleStateKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Module {
    pub(crate) fn pending(pipeline: &Pipeline, index: usize) -> Self {
        Module {
            state: ModuleState::Pending,
            details: Arc::clone(pipeline.fresh_details(index)),
        }
    }

    /// The same module with these details.
    pub(crate) fn telling(
        mut self,
        attempt: u32,
        progress: Option<Standing>,
        attempts: Vec<Attempt>,
    ) -> Self {
        if attempt != 1 || progress.is_some() || !attempts.is_empty() {
            let details = Arc::make_mut(&mut self.details);
            details.attempt = attempt;
            details.progress = progress;
            details.attempts = attempts;
        }
        self
    }

    /// Whether there is anything to say beyond its state.
    pub(crate) fn has_details(&self) -> bool {
        let details = &self.details;
        details.attempt != 1 || details.progress.is_some() || !details.attempts.is_empty()
    }

    /// Its place in the chain; the first is 1.
    #[must_use]
    pub fn position(&self) -> usize {
        usize::from(self.details.index) + 1
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        let (from, to) = self.details.name;
        &self.details.names[from as usize..to as usize]
    }

    /// Where it stands.
    #[must_use]
    pub fn state(&self) -> &ModuleState {
        &self.state
    }

    /// Which try this is, from 1. One less is the number of tries that went before, also of those
    /// that are no longer kept in [`attempts`](Module::attempts).
    #[must_use]
    pub fn attempt(&self) -> u32 {
        self.details.attempt
    }

    /// The progress of this attempt; it stays when the module settles.
    #[must_use]
    pub fn progress(&self) -> Option<&Progress> {
        let standing = self.details.progress.as_ref();
        standing.map(|standing| &standing.progress)
    }

    /// When that progress was reported.
    #[must_use]
    pub fn progress_at(&self) -> Option<DateTime<Utc>> {
        self.details.progress.as_ref().map(|standing| standing.at)
    }

    /// Past attempts, oldest first: the newest 16 of this module, and 64 of the whole process.
    #[must_use]
    pub fn attempts(&self) -> &[Attempt] {
        &self.details.attempts
    }
}

impl fmt::Debug for Module {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Module")
            .field("position", &self.position())
            .field("name", &self.name())
            .field("attempt", &self.details.attempt)
            .field("state", &self.state)
            .field("progress", &self.details.progress)
            .field("attempts", &self.details.attempts)
            .finish_non_exhaustive()
    }
}

/// One past try of a module.
#[derive(Debug, Clone, PartialEq)]
pub struct Attempt {
    pub(crate) number: u32,
    pub(crate) run: u32,
    pub(crate) revision: u64,
    pub(crate) started: Option<DateTime<Utc>>,
    pub(crate) ended: DateTime<Utc>,
    pub(crate) end: AttemptEnd,
}

/// How a past attempt ended.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum AttemptEnd {
    /// The module failed, and the process was rerun.
    Failed(Failure),
    /// The module was tried again within its run.
    Retried(Failure),
    /// The process was cancelled for this reason, and then rerun.
    Cancelled(Arc<str>),
    /// The process was rerun while the module was at work.
    Interrupted,
}

impl Attempt {
    /// Which try it was, from 1.
    #[must_use]
    pub fn number(&self) -> u32 {
        self.number
    }

    /// In which run of the process, from 1.
    #[must_use]
    pub fn run(&self) -> u32 {
        self.run
    }

    /// When it started, if it had.
    #[must_use]
    pub fn started(&self) -> Option<DateTime<Utc>> {
        self.started
    }

    /// When it ended.
    #[must_use]
    pub fn ended(&self) -> DateTime<Utc> {
        self.ended
    }

    /// How it ended.
    #[must_use]
    pub fn end(&self) -> &AttemptEnd {
        &self.end
    }

    /// What went wrong, if it failed or was retried.
    #[must_use]
    pub fn failure(&self) -> Option<&Failure> {
        match &self.end {
            AttemptEnd::Failed(failure) | AttemptEnd::Retried(failure) => Some(failure),
            AttemptEnd::Cancelled(_) | AttemptEnd::Interrupted => None,
        }
    }
}
