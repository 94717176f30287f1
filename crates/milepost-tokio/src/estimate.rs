//! Estimates of one process, one after another.

use std::sync::{Arc, Mutex, PoisonError};

use milepost_core::{Estimate, Estimator, RequestId, TrackError};

use crate::tracker::AsyncTracker;

/// Estimates of one process whose fraction never goes back: an [`Estimator`] of which the calls are futures.
///
/// Cheap to clone; clones are one.
#[derive(Debug, Clone)]
pub struct AsyncEstimator {
    estimator: Arc<Mutex<Estimator>>,
    tracker: AsyncTracker,
}

impl AsyncEstimator {
    pub(crate) fn new(tracker: &AsyncTracker, id: RequestId) -> Self {
        AsyncEstimator {
            estimator: Arc::new(Mutex::new(tracker.tracker().estimator(id))),
            tracker: tracker.clone(),
        }
    }

    /// How far the process is now, and how long it may still take. Cancel-safe.
    ///
    /// # Errors
    ///
    /// As of [`Estimator::estimate`].
    pub async fn estimate(&self) -> Result<Estimate, TrackError> {
        let estimator = Arc::clone(&self.estimator);
        let estimate = move || {
            estimator
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .estimate()
        };
        self.tracker.run(move |_| estimate()).await
    }
}
