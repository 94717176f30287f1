//! What can go wrong when an application calls the tracker.

use crate::invalid::Invalid;
use crate::store::StoreError;
use crate::verdict::Rejection;

/// Why a call of the tracker or of a handle did not do what was asked.
///
/// # As HTTP
///
/// | error | status |
/// |---|---|
/// | `Invalid` | 422 |
/// | `Rejected(NotFound)` | 404 |
/// | other `Rejected` | 409 |
/// | `Store` that [`is_retryable`](TrackError::is_retryable) | 503 |
/// | `Timeout` | 504 |
/// | other `Store` | 500 |
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum TrackError {
    /// The input is wrong in itself; nothing was sent to the store.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// The process is not in a state that allows it; nothing was changed.
    #[error(transparent)]
    Rejected(#[from] Rejection),
    /// The store could not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The process did not settle in time; it goes on.
    #[error("the process has not settled in time: it goes on, wait again")]
    Timeout,
}

impl TrackError {
    /// Whether there is no such process: it never was, was erased or has expired.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        matches!(self, TrackError::Rejected(Rejection::NotFound))
    }

    /// Whether the same call may succeed later: see [`StoreError::is_retryable`]. After a timeout too.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            TrackError::Store(error) => error.is_retryable(),
            TrackError::Timeout => true,
            TrackError::Invalid(_) | TrackError::Rejected(_) => false,
        }
    }
}
