//! The record of a process, and what can be read off it.

use std::fmt;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::claim::{CancelRequest, Claim};
use crate::file::File;
use crate::id::RequestId;
use crate::module::{Module, ModuleState};
use crate::pipeline::Pipeline;

/// One run of a pipeline over one file, as it stands.
///
/// A value: it never changes under its reader. Stores hand it out behind an `Arc`, without copying.
#[derive(Debug, Clone, PartialEq)]
// What every read looks at comes first, in the line of memory that its count of holders is in: a read from memory
// takes a third longer when it asks for two.
#[repr(C)]
pub struct Process {
    pub(crate) request_id: RequestId,
    pub(crate) expires_at: Option<DateTime<Utc>>,
    pub(crate) run: u32,
    pub(crate) version: Version,
    pub(crate) pipeline: Pipeline,
    pub(crate) modules: Box<[Module]>,
    pub(crate) outcome: Outcome,
    pub(crate) created_at: DateTime<Utc>,
    pub(crate) updated_at: DateTime<Utc>,
    pub(crate) file: File,
    /// The claim made last in this run.
    pub(crate) claim: Option<Box<Claim>>,
    /// A wish that nobody has granted.
    pub(crate) cancel_request: Option<Box<CancelRequest>>,
}

/// Which of all states that ever went by this id: compare with `==`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[expect(
    clippy::exhaustive_structs,
    reason = "authors of stores build it from two columns"
)]
pub struct Version {
    /// Random, from the op that created the process: tells apart two that went by one id.
    pub born: u64,
    /// 1 at creation, and 1 more with each change.
    pub revision: u64,
}

/// How a process ended, or that it has not. Only [`crate::machine`] moves it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Outcome {
    Ongoing,
    Complete {
        at: DateTime<Utc>,
    },
    /// `index` is the module whose failure was applied first.
    Failed {
        at: DateTime<Utc>,
        index: usize,
    },
    Cancelled {
        at: DateTime<Utc>,
        /// In a box, for few are cancelled and all have room for it.
        reason: Box<Arc<str>>,
    },
}

/// The overall status of a process: a fold over its modules, never set by hand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum OverallStatus {
    /// Something is still to do, and nothing has failed.
    Ongoing,
    /// Every module is complete or skipped.
    Complete,
    /// A module failed.
    Failed,
    /// It was cancelled. In a [`StatusReport`](crate::StatusReport) this is `Failed`, with the reason
    /// `Cancelled`.
    Cancelled,
}

impl OverallStatus {
    /// All of them, in the order of their [codes](OverallStatus::code).
    pub const ALL: [OverallStatus; 4] = [
        OverallStatus::Ongoing,
        OverallStatus::Complete,
        OverallStatus::Failed,
        OverallStatus::Cancelled,
    ];

    /// The number that stores keep for it: 0 to 3. It never changes.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            OverallStatus::Ongoing => 0,
            OverallStatus::Complete => 1,
            OverallStatus::Failed => 2,
            OverallStatus::Cancelled => 3,
        }
    }

    /// The status of this code; none if it has another.
    #[must_use]
    pub const fn from_code(code: u8) -> Option<Self> {
        match code {
            0 => Some(OverallStatus::Ongoing),
            1 => Some(OverallStatus::Complete),
            2 => Some(OverallStatus::Failed),
            3 => Some(OverallStatus::Cancelled),
            _ => None,
        }
    }

    /// Its name, as the JSON forms have it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            OverallStatus::Ongoing => "ongoing",
            OverallStatus::Complete => "complete",
            OverallStatus::Failed => "failed",
            OverallStatus::Cancelled => "cancelled",
        }
    }
}

impl fmt::Display for OverallStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Process {
    /// The id by which it is asked for.
    #[must_use]
    pub fn request_id(&self) -> RequestId {
        self.request_id
    }

    /// What it works on.
    #[must_use]
    pub fn file(&self) -> &File {
        &self.file
    }

    /// The name of its pipeline.
    #[must_use]
    pub fn pipeline(&self) -> &str {
        self.pipeline.name()
    }

    /// Its pipeline whole: name, chain and order.
    #[must_use]
    pub fn chain(&self) -> &Pipeline {
        &self.pipeline
    }

    /// Its modules, in chain order. The slice counts from 0; [`module`](Process::module) counts positions.
    #[must_use]
    pub fn modules(&self) -> &[Module] {
        &self.modules
    }

    /// The module at `position`, counted from 1 as on handles and in reports; none if there is none.
    #[must_use]
    pub fn module(&self, position: usize) -> Option<&Module> {
        self.modules.get(position.checked_sub(1)?)
    }

    /// Its overall status.
    #[must_use]
    pub fn status(&self) -> OverallStatus {
        match self.outcome {
            Outcome::Ongoing => OverallStatus::Ongoing,
            Outcome::Complete { .. } => OverallStatus::Complete,
            Outcome::Failed { .. } => OverallStatus::Failed,
            Outcome::Cancelled { .. } => OverallStatus::Cancelled,
        }
    }

    /// Whether it is complete, failed or cancelled; only a rerun reopens it.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        !matches!(self.outcome, Outcome::Ongoing)
    }

    /// Which state this is.
    #[must_use]
    pub fn version(&self) -> Version {
        self.version
    }

    /// How many changes made it: 1 at creation.
    #[must_use]
    pub fn revision(&self) -> u64 {
        self.version.revision
    }

    /// Which try of the whole process this is, from 1; a rerun adds one.
    #[must_use]
    pub fn run(&self) -> u32 {
        self.run
    }

    /// When it began, by the clock of whoever began it.
    #[must_use]
    pub fn created_at(&self) -> DateTime<Utc> {
        self.created_at
    }

    /// When it last changed; never earlier than it was before.
    #[must_use]
    pub fn updated_at(&self) -> DateTime<Utc> {
        self.updated_at
    }

    /// When it settled, as reported; none while it is ongoing.
    #[must_use]
    pub fn settled_at(&self) -> Option<DateTime<Utc>> {
        match self.outcome {
            Outcome::Ongoing => None,
            Outcome::Complete { at }
            | Outcome::Failed { at, .. }
            | Outcome::Cancelled { at, .. } => Some(at),
        }
    }

    /// When it expires; from that moment it is not found. None: never.
    #[must_use]
    pub fn expires_at(&self) -> Option<DateTime<Utc>> {
        self.expires_at
    }

    /// Whether it is absent for whoever asks at `time`.
    #[must_use]
    pub fn is_expired(&self, time: DateTime<Utc>) -> bool {
        self.expires_at.is_some_and(|expiry| expiry <= time)
    }

    /// Why it failed or was cancelled; none while it is ongoing or once it is complete.
    #[must_use]
    pub fn blame(&self) -> Option<Blame<'_>> {
        match &self.outcome {
            Outcome::Ongoing | Outcome::Complete { .. } => None,
            Outcome::Failed { at, index } => {
                let module = &self.modules[*index];
                let ModuleState::Failed { failure, .. } = &module.state else {
                    unreachable!("the module that is blamed has failed")
                };
                Some(Blame {
                    module: Some(module),
                    reason: failure.reason(),
                    message: failure.message(),
                    at: *at,
                })
            }
            Outcome::Cancelled { at, reason } => {
                let mut running = self.modules.iter().filter(|module| {
                    matches!(
                        module.state,
                        ModuleState::Cancelled {
                            started: Some(_),
                            ..
                        }
                    )
                });
                let module = running.next().filter(|_| running.next().is_none());
                Some(Blame {
                    module,
                    reason: "Cancelled",
                    message: reason,
                    at: *at,
                })
            }
        }
    }
}

/// Why a process failed or was cancelled.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Blame<'a> {
    /// The module at fault. A cancel blames the one that was running, if it was exactly one.
    pub module: Option<&'a Module>,
    /// The failure's reason; `Cancelled` for a cancel.
    pub reason: &'a str,
    /// The failure's message; for a cancel the reason that was given.
    pub message: &'a str,
    /// When the process settled.
    pub at: DateTime<Utc>,
}
