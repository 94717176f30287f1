//! The handle that async applications use.

use std::sync::Arc;
use std::time::Duration;

use milepost_core::{
    Applied, Change, Clock, Counts, Erased, Estimate, Explanation, FileId, NewProcess,
    NotFoundReport, Op, Page, Prepared, Process, Query, ReapPolicy, Reaped, RequestId,
    RetentionPolicy, StatusReport, StatusStore, StoreError, StoreErrorKind, Tended, TrackError,
    Tracker, Update, Updated, Verdict, Wipe, WipeLevel,
};
use tokio::task::spawn_blocking;

use crate::desk::Desk;
use crate::estimate::AsyncEstimator;
use crate::handle::AsyncProcessHandle;
use crate::lease::AsyncLease;
use crate::writer::Writer;

/// Tracks processes for async hosts: a [`Tracker`] of which the calls are futures.
///
/// Cheap to clone; clones are one tracker. Every call means what the call of that name means on [`Tracker`], and must be
/// made on a tokio runtime, of either flavour. The runtime's own threads never wait for the store: what blocks is done
/// by other threads.
///
/// # Writes
///
/// `begin`, `apply`, and what handles send, of any number of tasks, are joined into batches by one thread: while one
/// is committed, the next gathers. What cannot be written of one process spoils nothing of the others. 32 MiB of ops may be
/// on their way; the tasks of those beyond wait, in the order in which they came.
///
/// # Cancel safety
///
/// Every future may be dropped at any time, and never leaves half an op. What becomes of a call whose future was
/// dropped:
///
/// | call | its changes |
/// |---|---|
/// | a read | none |
/// | `begin`, `apply`, and what handles send | all of one op or batch or none, perhaps a moment later |
/// | `claim` | the same; a lease that nobody got runs out |
/// | others that change something | none before it has a thread, of which there are 32; then all that it would have done |
///
/// Handles guard their ops, so that a call that was broken off may be made again.
///
/// # Durability and expiry
///
/// As on [`Tracker`].
///
/// # The end
///
/// The last clone that goes, handles and watches included, writes what was sent and closes the store, and that blocks:
/// [`close`](AsyncTracker::close) does it where it may.
///
/// # Examples
///
/// ```
/// use milepost_core::{NewProcess, Pipeline, Progress, StatusStore, TrackError};
/// use milepost_tokio::AsyncTracker;
///
/// async fn host(store: impl StatusStore) -> Result<(), TrackError> {
///     let tracker = AsyncTracker::new(store);
///     let pipeline = Pipeline::new("invoice-ocr", ["ocr", "parser"])?;
///     let process = tracker.begin(NewProcess::new(&pipeline).file_name("invoice.pdf")).await?;
///     for module in process.modules() {
///         module.start().await?;
///         module.progress(Progress::of(3, 10)).await?;
///         module.complete().await?;
///     }
///     let report = tracker.process_status(process.request_id()).await?;
///     drop(process);
///     tracker.close().await;
///     Ok(())
/// }
/// ```
#[derive(Debug, Clone)]
pub struct AsyncTracker {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    /// Ends before the tracker goes: it holds one too.
    writer: Writer,
    desk: Desk,
    tracker: Tracker,
}

impl From<Tracker> for AsyncTracker {
    /// The calls of a tracker as futures: for hosts that also call it from threads.
    fn from(tracker: Tracker) -> Self {
        AsyncTracker {
            inner: Arc::new(Inner {
                writer: Writer::new(),
                desk: Desk::default(),
                tracker,
            }),
        }
    }
}

impl AsyncTracker {
    /// A tracker over `store`, on the system's clock.
    ///
    /// Opening a store may block: do it before the runtime starts, or in
    /// [`spawn_blocking`].
    pub fn new(store: impl StatusStore) -> Self {
        Tracker::new(store).into()
    }

    /// A tracker over `store`, on a clock of the host's own.
    pub fn with_clock(store: impl StatusStore, clock: impl Clock) -> Self {
        Tracker::with_clock(store, clock).into()
    }

    /// The tracker whose calls these are: for threads of the host's own, and to set what holds for all clones, such as
    /// [`poll_interval`](Tracker::poll_interval) and [`retention`](Tracker::retention). Its calls block.
    #[must_use]
    pub fn tracker(&self) -> &Tracker {
        &self.inner.tracker
    }

    /// Lets this clone go; if it is the last, writes what was sent and closes the store, without blocking the runtime.
    ///
    /// Handles, leases and watches hold clones. Not cancel-safe only in that nobody is told when it is done.
    pub async fn close(self) {
        // A runtime that is ending drops it all the same.
        let _ = spawn_blocking(move || drop(self)).await;
    }

    /// Begins a process, and answers the handle to report its work with.
    ///
    /// Dropped, it may still begin: with an [id](NewProcess::request_id) or a
    /// [key](NewProcess::idempotency_key) of the host's own, beginning again is the same beginning.
    ///
    /// # Errors
    ///
    /// As of [`Tracker::begin`].
    pub async fn begin(&self, new: NewProcess) -> Result<AsyncProcessHandle, TrackError> {
        let mut op = self.prepare(new)?;
        // Between an answer that it is there already and reading it, it may be erased or expire; then it
        // begins.
        for _ in 0..8 {
            let is_new = self.write_one(op.clone()).await??.changed;
            if is_new && let Some(begun) = self.tracker().begun(&op) {
                return Ok(AsyncProcessHandle::new(self, begun));
            }
            match self.process(op.id).await {
                Err(error) if error.is_not_found() => {}
                found => return found,
            }
            // The same, stamped anew.
            op = self.op(op.id, op.change);
        }
        let busy = "the process was begun and erased by others at the same time";
        Err(StoreError::new(StoreErrorKind::Busy, busy).into())
    }

    /// A handle on a process that has begun, to report its work with. Cancel-safe.
    pub async fn process(&self, id: RequestId) -> Result<AsyncProcessHandle, TrackError> {
        let handle = self.run(move |tracker| tracker.process(id)).await?;
        Ok(AsyncProcessHandle::new(self, handle))
    }

    /// How far a process is, in the wire form. Cancel-safe.
    ///
    /// # Errors
    ///
    /// `NotFound`, whose wire form is [`not_found_report`](AsyncTracker::not_found_report).
    pub async fn process_status(&self, id: RequestId) -> Result<StatusReport, TrackError> {
        self.run(move |tracker| tracker.process_status(id)).await
    }

    /// What to answer about a process that is not found, in the wire form. Asks nobody.
    #[must_use]
    pub fn not_found_report(&self, id: RequestId) -> NotFoundReport {
        self.tracker().not_found_report(id)
    }

    /// A process as it stands. Cancel-safe.
    pub async fn get(&self, id: RequestId) -> Result<Arc<Process>, TrackError> {
        self.run(move |tracker| tracker.get(id)).await
    }

    /// Processes as they stand, in the order of any number of `ids`; none for what is not found. Cancel-safe.
    pub async fn get_many(
        &self,
        ids: &[RequestId],
    ) -> Result<Vec<Option<Arc<Process>>>, TrackError> {
        let ids = ids.to_vec();
        self.run(move |tracker| tracker.get_many(&ids)).await
    }

    /// One page of the processes that a query asks for. Cancel-safe.
    pub async fn list(&self, query: &Query) -> Result<Page, TrackError> {
        let query = query.clone();
        self.run(move |tracker| tracker.list(&query)).await
    }

    /// How many processes a query asks for, by overall status. Cancel-safe.
    pub async fn count(&self, query: &Query) -> Result<Counts, TrackError> {
        let query = query.clone();
        self.run(move |tracker| tracker.count(&query)).await
    }

    /// Why a process is where it is, and what comes next. Cancel-safe.
    pub async fn explain(&self, id: RequestId) -> Result<Explanation, TrackError> {
        self.run(move |tracker| tracker.explain(id)).await
    }

    /// How far a process is as a whole, and how long it may still take. Cancel-safe.
    pub async fn estimate(&self, id: RequestId) -> Result<Estimate, TrackError> {
        self.run(move |tracker| tracker.estimate(id)).await
    }

    /// Estimates of one process, one after another, whose fraction never goes back. Asks nobody.
    #[must_use]
    pub fn estimator(&self, id: RequestId) -> AsyncEstimator {
        AsyncEstimator::new(self, id)
    }

    /// Cancels a process: what is pending or running becomes cancelled. Dropped, it may still be cancelled.
    pub async fn cancel(&self, id: RequestId, reason: &str) -> Result<Applied, TrackError> {
        let reason = reason.to_owned();
        self.run(move |tracker| tracker.cancel(id, &reason)).await
    }

    /// Asks that a process be cancelled. Dropped, it may still be asked.
    pub async fn request_cancel(&self, id: RequestId, reason: &str) -> Result<Applied, TrackError> {
        let reason = reason.to_owned();
        self.run(move |tracker| tracker.request_cancel(id, &reason))
            .await
    }

    /// Takes a failed or cancelled process up again where it stopped. Dropped, it may still be rerun, once.
    pub async fn rerun(&self, id: RequestId) -> Result<Applied, TrackError> {
        self.run(move |tracker| tracker.rerun(id)).await
    }

    /// Replaces what is known of a process's file, or its expiry. Dropped, it may still be replaced.
    pub async fn update(&self, id: RequestId, update: Update) -> Result<Applied, TrackError> {
        self.run(move |tracker| tracker.update(id, update)).await
    }

    /// Replaces what is known of a file, or the expiry, in every process of it. Dropped, it goes on to its end.
    pub async fn update_file(&self, file: FileId, update: Update) -> Result<Updated, TrackError> {
        self.run(move |tracker| tracker.update_file(file, update))
            .await
    }

    /// Erases a process, and wipes for a short while. Dropped, it goes on to its end.
    pub async fn erase(&self, id: RequestId) -> Result<Erased, TrackError> {
        self.run(move |tracker| tracker.erase(id)).await
    }

    /// Erases every process of a file, and wipes. Dropped, it goes on to its end.
    pub async fn erase_file(&self, file: FileId) -> Result<Erased, TrackError> {
        self.run(move |tracker| tracker.erase_file(file)).await
    }

    /// Erases every process that a query asks for, and wipes. Dropped, it goes on to its end.
    pub async fn erase_matching(&self, query: &Query) -> Result<Erased, TrackError> {
        let query = query.clone();
        self.run(move |tracker| tracker.erase_matching(&query))
            .await
    }

    /// Erases all that has expired. Dropped, it goes on to its end.
    pub async fn purge(&self) -> Result<usize, TrackError> {
        self.run(Tracker::purge).await
    }

    /// Removes every byte of what was erased from the store's files. Dropped, it goes on for its short while.
    pub async fn wipe(&self) -> Result<Wipe, TrackError> {
        self.run(Tracker::wipe).await
    }

    /// Removes every byte of what was erased, as far as `level` asks. Dropped, it goes on for its short while.
    pub async fn wipe_at(&self, level: WipeLevel) -> Result<Wipe, TrackError> {
        self.run(move |tracker| tracker.wipe_at(level)).await
    }

    /// Fails what dead workers left, or gives it to others. Dropped, it goes on to its end.
    pub async fn reap(&self, policy: ReapPolicy) -> Result<Reaped, TrackError> {
        self.run(move |tracker| tracker.reap(policy)).await
    }

    /// Does one bounded round of chores. Dropped, it goes on to its end.
    ///
    /// [`Tracker::tend_every`] does so now and then, in a thread of its own.
    pub async fn tend(&self) -> Result<Tended, TrackError> {
        self.run(Tracker::tend).await
    }

    /// Claims a process for `worker`, for `ttl` from now. Dropped, it may still be claimed, and runs out by itself.
    ///
    /// # Errors
    ///
    /// As of [`Tracker::claim`].
    pub async fn claim(
        &self,
        id: RequestId,
        worker: &str,
        ttl: Duration,
    ) -> Result<AsyncLease, TrackError> {
        let worker = worker.to_owned();
        let lease = self
            .run(move |tracker| tracker.claim(id, &worker, ttl))
            .await?;
        Ok(AsyncLease::new(self, lease))
    }

    /// The op that would begin a process, for a batch or an outbox of the host's own. Asks nobody.
    pub fn prepare(&self, new: NewProcess) -> Result<Op, TrackError> {
        self.tracker().prepare(new)
    }

    /// An op on a process, stamped with the time now. Guard it, if it may be sent again. Asks nobody.
    #[must_use]
    pub fn op(&self, id: RequestId, change: Change) -> Op {
        self.tracker().op(id, change)
    }

    /// Applies a batch of at most 10,000 ops and 16 MiB, in order. Dropped, all of it may still be applied.
    ///
    /// # Errors
    ///
    /// As of [`Tracker::apply`].
    pub async fn apply(&self, ops: &[Op]) -> Result<Vec<Verdict>, TrackError> {
        self.inner.writer.write(self.tracker(), ops.to_vec()).await
    }

    /// Sends what a handle has prepared.
    pub(crate) async fn send(&self, prepared: Prepared) -> Result<Applied, TrackError> {
        if !prepared.may_be_batched() {
            return self.run(move |_| prepared.send()).await;
        }
        let verdict = self.write_one(prepared.op().clone()).await?;
        prepared.answered(verdict)
    }

    async fn write_one(&self, op: Op) -> Result<Verdict, TrackError> {
        let written = self.inner.writer.write(self.tracker(), vec![op]).await;
        Ok(written?.pop().expect("one verdict for one op"))
    }

    /// Makes a call that blocks.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        call: impl FnOnce(&Tracker) -> Result<T, TrackError> + Send + 'static,
    ) -> Result<T, TrackError> {
        let tracker = self.tracker().clone();
        self.desk().run(move || call(&tracker)).await?
    }

    pub(crate) fn desk(&self) -> &Desk {
        &self.inner.desk
    }
}

/// What holds for all clones, as on [`Tracker`].
impl AsyncTracker {
    /// As [`Tracker::poll_interval`].
    #[must_use]
    pub fn poll_interval(self, interval: Duration) -> Self {
        self.set(|tracker| tracker.poll_interval(interval))
    }

    /// As [`Tracker::report_interval`].
    #[must_use]
    pub fn report_interval(self, interval: Duration) -> Self {
        self.set(|tracker| tracker.report_interval(interval))
    }

    /// As [`Tracker::retention`].
    #[must_use]
    pub fn retention(self, policy: RetentionPolicy) -> Self {
        self.set(|tracker| tracker.retention(policy))
    }

    /// As [`Tracker::reaping`].
    #[must_use]
    pub fn reaping(self, policy: ReapPolicy) -> Self {
        self.set(|tracker| tracker.reaping(policy))
    }

    fn set(self, with: impl FnOnce(Tracker) -> Tracker) -> Self {
        // Clones are one tracker.
        let _ = with(self.tracker().clone());
        self
    }
}
