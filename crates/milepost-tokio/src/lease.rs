//! Leases: what a worker's task holds while a process is its own.

use std::time::Duration;

use chrono::{DateTime, Utc};
use milepost_core::{Applied, Lease, RequestId, TrackError};

use crate::handle::{AsyncModuleHandle, AsyncProcessHandle};
use crate::tracker::AsyncTracker;

/// A worker's lease on one process: a [`Lease`] of which the calls are futures.
///
/// Cheap to clone; clones are one lease. Dropping it gives nothing back.
#[derive(Debug, Clone)]
pub struct AsyncLease {
    lease: Lease,
    process: AsyncProcessHandle,
    tracker: AsyncTracker,
}

impl AsyncLease {
    pub(crate) fn new(tracker: &AsyncTracker, lease: Lease) -> Self {
        AsyncLease {
            process: AsyncProcessHandle::new(tracker, lease.process().clone()),
            tracker: tracker.clone(),
            lease,
        }
    }

    /// The lease whose calls these are. Its own calls block.
    #[must_use]
    pub fn lease(&self) -> &Lease {
        &self.lease
    }

    /// The process, under this lease.
    #[must_use]
    pub fn process(&self) -> &AsyncProcessHandle {
        &self.process
    }

    /// The id of the process.
    #[must_use]
    pub fn request_id(&self) -> RequestId {
        self.lease.request_id()
    }

    /// Handles on its modules, in chain order, under this lease. Asks nobody.
    pub fn modules(&self) -> impl Iterator<Item = AsyncModuleHandle> + use<> {
        self.process.modules()
    }

    /// Handles on the modules that were neither complete nor skipped when it was claimed, under this lease. Asks nobody.
    pub fn unfinished(&self) -> impl Iterator<Item = AsyncModuleHandle> + use<> {
        self.process.unfinished()
    }

    /// A handle on the module at `position`, counted from 1, under this lease. Asks nobody.
    ///
    /// # Errors
    ///
    /// Only for a position outside the chain.
    pub fn module(&self, position: usize) -> Result<AsyncModuleHandle, TrackError> {
        self.process.module(position)
    }

    /// The fencing token: see [`Lease::token`].
    #[must_use]
    pub fn token(&self) -> u64 {
        self.lease.token()
    }

    /// The name under which it was claimed.
    #[must_use]
    pub fn worker(&self) -> &str {
        self.lease.worker()
    }

    /// When it runs out, as far as this lease's own renewals tell.
    #[must_use]
    pub fn until(&self) -> DateTime<Utc> {
        self.lease.until()
    }

    /// Whether somebody has asked that the process be cancelled: see [`Lease::cancel_requested`]. Never waits for the
    /// store.
    #[must_use]
    pub fn cancel_requested(&self) -> bool {
        self.lease.cancel_requested()
    }

    /// Lets it last for the time it was claimed for, counted from when the store is asked. Dropped, it may still last.
    ///
    /// # Errors
    ///
    /// As of [`Lease::renew`].
    pub async fn renew(&self) -> Result<Applied, TrackError> {
        self.call(Lease::renew).await
    }

    /// Lets it last for `ttl`, if that is longer than it would. Dropped, it may still last.
    pub async fn renew_for(&self, ttl: Duration) -> Result<Applied, TrackError> {
        self.call(move |lease| lease.renew_for(ttl)).await
    }

    /// Gives it back before it runs out. Dropped, it may still be given back. Again: no change.
    pub async fn release(&self) -> Result<Applied, TrackError> {
        self.call(Lease::release).await
    }

    /// Cancels the process: how a worker agrees when [`cancel_requested`](AsyncLease::cancel_requested) tells it to.
    pub async fn cancel(&self, reason: &str) -> Result<Applied, TrackError> {
        self.process.cancel(reason).await
    }

    async fn call(
        &self,
        call: impl FnOnce(&Lease) -> Result<Applied, TrackError> + Send + 'static,
    ) -> Result<Applied, TrackError> {
        let lease = self.lease.clone();
        self.tracker.run(move |_| call(&lease)).await
    }
}
