//! Names without details, for logs, metrics and the bodies of answers: they say nothing of a process, and do not change.

use crate::op::ChangeKind;
use crate::store::StoreErrorKind;
use crate::verdict::Rejection;

impl ChangeKind {
    /// Its name: the variant's in lower case, words apart.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
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
            ChangeKind::Claim => "claim",
            ChangeKind::Renew => "renew",
            ChangeKind::Release => "release",
            ChangeKind::Reap => "reap",
            ChangeKind::RequestCancel => "request to cancel",
            ChangeKind::Import => "import",
        }
    }
}

impl Rejection {
    /// Its name, without what it says of the process: the variant's in lower case, words apart.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Rejection::NotFound => "not found",
            Rejection::AlreadyExists { .. } => "already exists",
            Rejection::Illegal { .. } => "illegal",
            Rejection::OutOfOrder { .. } => "out of order",
            Rejection::Backwards { .. } => "backwards",
            Rejection::Stale { .. } => "stale",
            Rejection::Fenced { .. } => "fenced",
            Rejection::Held { .. } => "held",
            Rejection::Settled { .. } => "settled",
            Rejection::TooLarge { .. } => "too large",
        }
    }
}

impl StoreErrorKind {
    /// Its name: the variant's in lower case, words apart.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            StoreErrorKind::Busy => "busy",
            StoreErrorKind::Full => "full",
            StoreErrorKind::Unavailable => "unavailable",
            StoreErrorKind::Corrupt => "corrupt",
            StoreErrorKind::Incompatible => "incompatible",
            StoreErrorKind::OutcomeUnknown => "outcome unknown",
            StoreErrorKind::Limit => "limit",
            StoreErrorKind::Unsupported => "unsupported",
            StoreErrorKind::Other => "other",
        }
    }
}
