//! What becomes of an op.

use std::sync::Arc;

use chrono::{DateTime, Utc};

use crate::invalid::Invalid;
use crate::module::ModuleStateKind;
use crate::op::ChangeKind;
use crate::process::{OverallStatus, Version};

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
    /// Whether a wish to cancel the process stands in that state.
    pub cancel_requested: bool,
}

/// Why an op changed nothing. Maps to HTTP 404 for `NotFound`, else to 409.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Rejection {
    /// There is no such process: it never was, it was erased, it has expired, or another goes by its
    /// id now. No trace is kept that could tell these apart.
    #[error("no such process: it never was, was erased or has expired")]
    NotFound,
    /// Another process goes by this id, or the one that was to be imported stands in another state.
    #[error("{}", conflict.advice())]
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
    /// The op was made under a lease that has run out, was given back, or was taken over by another
    /// worker's claim. Nothing revives it.
    #[error(
        "the lease with token {given} has ended: claim the process again before going on with it"
    )]
    Fenced {
        /// The token of the lease.
        given: u64,
        /// The token of the claim made last in this run, if there is one.
        current: Option<u64>,
    },
    /// Another worker holds a lease on the process.
    #[error("{worker} holds the process until {until}, unless it renews: claim it then")]
    Held {
        /// Who.
        worker: Arc<str>,
        /// When the lease runs out, unless it is renewed.
        until: DateTime<Utc>,
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

/// In what two that would go by one id differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Conflict {
    /// The pipeline's name, chain or order.
    Pipeline,
    /// The file id.
    File,
    /// Everything: it is another process than the one that was to be imported.
    Process,
    /// It is the process that was to be imported, at an earlier revision or changed in another way.
    State,
}

impl Conflict {
    fn advice(self) -> &'static str {
        match self {
            Conflict::Pipeline => {
                "another process, of another pipeline, goes by this id or key: use a new one"
            }
            Conflict::File => {
                "another process, of another file, goes by this id or key: use a new one"
            }
            Conflict::Process => {
                "another process goes by this id: erase that one, or leave this one out"
            }
            Conflict::State => {
                "the process is there in another state: erase that, or leave this one out"
            }
        }
    }
}

impl std::fmt::Display for Conflict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Conflict::Pipeline => "pipeline",
            Conflict::File => "file",
            Conflict::Process => "process",
            Conflict::State => "state",
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
    /// Only the holder of a lease can renew it or give it back.
    #[error("{change} changes a lease: guard it with the token of that lease")]
    LeaseGuard {
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
    Lease,
}

impl std::fmt::Display for GuardKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            GuardKind::Run => "run",
            GuardKind::Attempt => "attempt",
            GuardKind::Revision => "revision",
            GuardKind::Lease => "lease",
        })
    }
}
