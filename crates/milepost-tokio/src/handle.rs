//! Handles: what a worker's task holds while it works on a process.

use milepost_core::{
    Applied, Change, Failure, FileId, ModuleHandle, ModuleStateKind, ProcessHandle, Progress,
    Receipt, Reporter, RequestId, StatusReport, TrackError,
};

use crate::tracker::AsyncTracker;

/// A worker's hold on one process, in the run that it saw: a [`ProcessHandle`] of which the calls are futures.
///
/// Cheap to clone; clones are one handle.
#[derive(Debug, Clone)]
pub struct AsyncProcessHandle {
    handle: ProcessHandle,
    tracker: AsyncTracker,
}

impl AsyncProcessHandle {
    pub(crate) fn new(tracker: &AsyncTracker, handle: ProcessHandle) -> Self {
        let tracker = tracker.clone();
        AsyncProcessHandle { handle, tracker }
    }

    /// The handle whose calls these are. Its own calls block.
    #[must_use]
    pub fn handle(&self) -> &ProcessHandle {
        &self.handle
    }

    /// The id to ask with.
    #[must_use]
    pub fn request_id(&self) -> RequestId {
        self.handle.request_id()
    }

    /// The id of its file.
    #[must_use]
    pub fn file_id(&self) -> FileId {
        self.handle.file_id()
    }

    /// Whether this handle began the process; if not, it was there already.
    #[must_use]
    pub fn is_new(&self) -> bool {
        self.handle.is_new()
    }

    /// What to answer whoever submitted the file, in the wire form.
    #[must_use]
    pub fn receipt(&self) -> Receipt {
        self.handle.receipt()
    }

    /// Handles on its modules, in chain order. Asks nobody.
    pub fn modules(&self) -> impl Iterator<Item = AsyncModuleHandle> + use<> {
        let tracker = self.tracker.clone();
        let modules = self.handle.modules();
        modules.map(move |module| AsyncModuleHandle::new(&tracker, module))
    }

    /// Handles on the modules that were neither complete nor skipped when this handle was made, in chain order. Asks
    /// nobody.
    pub fn unfinished(&self) -> impl Iterator<Item = AsyncModuleHandle> + use<> {
        let tracker = self.tracker.clone();
        let modules = self.handle.unfinished();
        modules.map(move |module| AsyncModuleHandle::new(&tracker, module))
    }

    /// A handle on the module at `position`, counted from 1. Asks nobody.
    ///
    /// # Errors
    ///
    /// Only for a position outside the chain.
    pub fn module(&self, position: usize) -> Result<AsyncModuleHandle, TrackError> {
        let module = self.handle.module(position)?;
        Ok(AsyncModuleHandle::new(&self.tracker, module))
    }

    /// How far the process is, in the wire form. Cancel-safe.
    pub async fn status(&self) -> Result<StatusReport, TrackError> {
        self.tracker.process_status(self.request_id()).await
    }

    /// Cancels the process, in the run that this handle saw. Dropped, it may still be cancelled; again: no change.
    ///
    /// # Errors
    ///
    /// As of [`ProcessHandle::cancel`].
    pub async fn cancel(&self, reason: &str) -> Result<Applied, TrackError> {
        let prepared = self.handle.prepare_cancel(reason)?;
        self.tracker.send(prepared).await
    }
}

/// A worker's hold on one module, in the attempt that it saw: a [`ModuleHandle`] of which the calls are futures.
///
/// Cheap to clone; clones are one handle. A call whose future is dropped may still be made, whole; it is guarded, and may
/// be made again. A [`retry`](AsyncModuleHandle::retry) that was broken off is made again before anything else: until
/// then the handle does not know of the new attempt.
#[derive(Debug, Clone)]
pub struct AsyncModuleHandle {
    handle: ModuleHandle,
    tracker: AsyncTracker,
}

impl AsyncModuleHandle {
    fn new(tracker: &AsyncTracker, handle: ModuleHandle) -> Self {
        let tracker = tracker.clone();
        AsyncModuleHandle { handle, tracker }
    }

    /// The handle whose calls these are. Its own calls block.
    #[must_use]
    pub fn handle(&self) -> &ModuleHandle {
        &self.handle
    }

    /// Its place in the chain; the first is 1.
    #[must_use]
    pub fn position(&self) -> usize {
        self.handle.position()
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.handle.name()
    }

    /// Its state when the process handle was made. Asks nobody: it may have another by now.
    #[must_use]
    pub fn state_seen(&self) -> ModuleStateKind {
        self.handle.state_seen()
    }

    /// Starts it. Again: no change. Dropped, it may still be started.
    pub async fn start(&self) -> Result<Applied, TrackError> {
        self.send(Change::start).await
    }

    /// Reports how far it is; starts it if it is pending. Dropped, it may still be reported.
    pub async fn progress(&self, progress: Progress) -> Result<Applied, TrackError> {
        self.send(|position| Change::progress(position, progress))
            .await
    }

    /// Reports that its work is done. Again: no change. Dropped, it may still be complete.
    pub async fn complete(&self) -> Result<Applied, TrackError> {
        self.send(Change::complete).await
    }

    /// Reports that it gave up; the process has failed. Again, with the same failure: no change. Dropped, it may still have
    /// failed.
    pub async fn fail(&self, failure: Failure) -> Result<Applied, TrackError> {
        self.send(|position| Change::fail(position, failure)).await
    }

    /// Leaves it out: counts as done. Only while it is pending. Dropped, it may still be left out.
    pub async fn skip(&self, reason: &str) -> Result<Applied, TrackError> {
        self.send(|position| Change::skip(position, reason)).await
    }

    /// Gives it another attempt after a failure that is kept in its history; only while it is running.
    ///
    /// Dropped, it may still get one, of which the handle then does not know: call it again first.
    pub async fn retry(&self, failure: Failure) -> Result<Applied, TrackError> {
        self.send(|position| Change::retry(position, failure)).await
    }

    /// The second lane: progress that is not waited for. It never blocks, so that it is the same for async hosts.
    ///
    /// While a process has reporters, its transitions have what is pending written before them, each in a write of its own.
    #[must_use]
    pub fn reporter(&self) -> Reporter {
        self.handle.reporter()
    }

    async fn send(&self, change: impl FnOnce(usize) -> Change) -> Result<Applied, TrackError> {
        let prepared = self.handle.prepare(change)?;
        self.tracker.send(prepared).await
    }
}
