//! The handle that applications use.

use std::sync::{Arc, RwLock};
use std::time::Duration;

use crate::background::Background;
use crate::clock::{Clock, SystemClock};
use crate::cursor::Cursor;
use crate::error::TrackError;
use crate::guard::Guard;
use crate::handle::ProcessHandle;
use crate::id::RequestId;
use crate::invalid::Invalid;
use crate::lanes::Lanes;
use crate::listing::Counts;
use crate::new_process::NewProcess;
use crate::op::{Change, Op};
use crate::process::Process;
use crate::query::{Asked, Page, Query};
use crate::report::{NotFoundReport, StatusReport};
use crate::store::{StatusStore, StoreError, StoreErrorKind, Wipe, WipeLevel, one_each};
use crate::tend::Chores;
use crate::update::Update;
use crate::verdict::{Applied, Rejection, Verdict};
use crate::watchers::Watchers;
use crate::{limits, time};

/// Tracks processes: owns a store and a clock.
///
/// Cheap to clone; clones are one tracker. Every call may be made from any thread, blocks until the
/// store has answered, and says what went wrong with a [`TrackError`].
///
/// # Durability
///
/// When a call that changes something answers `Ok`, the change is durable at the level of the store, and
/// visible to everybody who asks later.
///
/// # Expiry
///
/// A process that has expired by the tracker's clock is not found. A clock that is wrong by *d* hides it
/// *d* too early or too late.
///
/// # Examples
///
/// ```
/// # use milepost_core::{NewProcess, Pipeline, Progress, StatusStore, TrackError, Tracker};
/// # fn host(store: impl StatusStore) -> Result<(), TrackError> {
/// let tracker = Tracker::new(store);
/// let pipeline = Pipeline::new("invoice-ocr", ["ocr", "parser"])?;
/// let process = tracker.begin(NewProcess::new(&pipeline).file_name("invoice.pdf"))?;
/// for module in process.modules() {
///     module.start()?;
///     module.progress(Progress::of(3, 10))?;
///     module.complete()?;
/// }
/// let report = tracker.process_status(process.request_id())?;
/// # Ok(()) }
/// ```
#[derive(Debug, Clone)]
pub struct Tracker {
    inner: Arc<Inner>,
}

/// The last clone that goes takes the threads along, and then the store.
#[derive(Debug)]
struct Inner {
    poller: Background,
    reporter: Background,
    shared: Arc<Shared>,
}

/// What the tracker and its threads share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) store: Box<dyn StatusStore>,
    pub(crate) clock: Box<dyn Clock>,
    pub(crate) watchers: Watchers,
    /// What `tend` is to do.
    pub(crate) chores: RwLock<Chores>,
    pub(crate) lanes: Arc<Lanes>,
}

impl Tracker {
    /// A tracker over `store`, on the system's clock.
    pub fn new(store: impl StatusStore) -> Self {
        Tracker::with_clock(store, SystemClock)
    }

    /// A tracker over `store`, on a clock of the host's own.
    pub fn with_clock(store: impl StatusStore, clock: impl Clock) -> Self {
        let shared = Arc::new(Shared {
            store: Box::new(store),
            clock: Box::new(clock),
            watchers: Watchers::new(),
            chores: RwLock::default(),
            lanes: Arc::new(Lanes::new()),
        });
        Tracker {
            inner: Arc::new(Inner {
                poller: Background::default(),
                reporter: Background::default(),
                shared,
            }),
        }
    }

    /// How often to ask the store for changes by others while somebody waits or watches: 100 ms unless
    /// given, and at least 1 ms.
    ///
    /// Changes through this tracker wake at once, whatever the interval. It holds for all clones. While
    /// the store is slow the pauses grow: polling never takes more than 4 % of one thread.
    #[must_use]
    pub fn poll_interval(self, interval: Duration) -> Self {
        self.inner.shared.watchers.set_interval(interval);
        self
    }

    /// How long a process that [reporters](crate::Reporter) report on is left in peace between two writes:
    /// 250 ms unless given, and at least 1 ms.
    ///
    /// What is reported meanwhile is pending, the newest value of each module. It holds at once and for
    /// all clones. Transitions, and [`progress`](crate::ModuleHandle::progress), wait for no interval.
    #[must_use]
    pub fn report_interval(self, interval: Duration) -> Self {
        self.lanes().set_interval(interval);
        self
    }

    /// Begins a process, and answers the handle to report its work with.
    ///
    /// # Errors
    ///
    /// `Invalid` for bad text or an expiry that has passed;
    /// [`AlreadyExists`](Rejection::AlreadyExists) if another process goes by an id of the host's own.
    pub fn begin(&self, new: NewProcess) -> Result<ProcessHandle, TrackError> {
        let mut op = self.prepare(new)?;
        // Between an answer that it is there already and reading it, it may be erased or expire; then it
        // begins.
        for _ in 0..8 {
            let applied = self.write_one(&op)?;
            if applied.changed {
                return Ok(ProcessHandle::begun(self, &op));
            }
            if let Some(process) = self.read_visible(op.id)? {
                return Ok(ProcessHandle::of(self, &process));
            }
            op.at = self.clock().now();
        }
        let busy = "the process was begun and erased by others at the same time";
        Err(StoreError::new(StoreErrorKind::Busy, busy).into())
    }

    /// The handle on the process that an op of [`prepare`](Tracker::prepare) has begun: what
    /// [`begin`](Tracker::begin) answers, for those who send the op in a batch. None for an op that begins nothing.
    ///
    /// Asks nobody, so that it is for ops of which the verdict was [`changed`](Applied::changed): if not, the process was
    /// there already, perhaps further on, and [`process`](Tracker::process) reads how far.
    #[must_use]
    pub fn begun(&self, op: &Op) -> Option<ProcessHandle> {
        matches!(op.change, Change::Create(_)).then(|| ProcessHandle::begun(self, op))
    }

    /// A handle on a process that has begun, to report its work with.
    pub fn process(&self, id: RequestId) -> Result<ProcessHandle, TrackError> {
        Ok(ProcessHandle::of(self, &*self.get(id)?))
    }

    /// How far a process is, in the wire form.
    ///
    /// # Errors
    ///
    /// [`NotFound`](Rejection::NotFound), whose wire form is
    /// [`not_found_report`](Tracker::not_found_report).
    pub fn process_status(&self, id: RequestId) -> Result<StatusReport, TrackError> {
        let process = self.get(id)?;
        Ok(StatusReport::new(
            &process,
            RequestId::of_call(self.clock()),
        ))
    }

    /// What to answer about a process that is not found, in the wire form. Asks nobody.
    #[must_use]
    pub fn not_found_report(&self, id: RequestId) -> NotFoundReport {
        NotFoundReport::new(id, RequestId::of_call(self.clock()))
    }

    /// A process as it stands.
    pub fn get(&self, id: RequestId) -> Result<Arc<Process>, TrackError> {
        Ok(self.read_visible(id)?.ok_or(Rejection::NotFound)?)
    }

    /// Processes as they stand, in the order of any number of `ids`; none for what is not found.
    ///
    /// Cheaper than one [`get`](Tracker::get) each. Over 10,000 ids are read in several steps, between
    /// which others may write.
    pub fn get_many(&self, ids: &[RequestId]) -> Result<Vec<Option<Arc<Process>>>, TrackError> {
        let now = self.clock().now();
        let mut found = Vec::with_capacity(ids.len());
        for some in ids.chunks(limits::READ_IDS) {
            let read = one_each(some.len(), self.store().read_many(some)?)?;
            found.extend(
                read.into_iter()
                    .map(|process| process.filter(|process| !process.is_expired(now))),
            );
        }
        Ok(found)
    }

    /// One page of the processes that a query asks for.
    ///
    /// A walk from page to page, each with the [`next`](Page::next) of the one before, shows each process
    /// that matched throughout exactly once, and nothing twice.
    pub fn list(&self, query: &Query) -> Result<Page, TrackError> {
        let at = self.clock().now();
        let listing = query.listing(Asked::Visible { at })?;
        let found = self.store().list(&listing)?;
        let next = found
            .next
            .map(|place| Cursor::new(place, &listing.filter, listing.order));
        Ok(Page {
            items: found.items,
            next,
        })
    }

    /// How many processes a query asks for, by overall status. Its limit and order say nothing here.
    pub fn count(&self, query: &Query) -> Result<Counts, TrackError> {
        let at = self.clock().now();
        let filter = query.whole(Asked::Visible { at })?;
        Ok(self.store().count(&filter)?)
    }

    /// Cancels a process: what is pending or running becomes cancelled. Again: no change.
    ///
    /// Reads first, and cancels the run that it read.
    ///
    /// # Errors
    ///
    /// [`Settled`](Rejection::Settled) if it is complete or has failed.
    pub fn cancel(&self, id: RequestId, reason: &str) -> Result<Applied, TrackError> {
        self.change_run(id, Change::cancel(reason))
    }

    /// Takes a failed or cancelled process up again where it stopped: complete and skipped modules stay.
    ///
    /// Reads first, and reruns the run that it read, so that two calls at once rerun once.
    ///
    /// # Errors
    ///
    /// [`Illegal`](Rejection::Illegal) if it is ongoing or complete.
    pub fn rerun(&self, id: RequestId) -> Result<Applied, TrackError> {
        self.change_run(id, Change::rerun())
    }

    pub(crate) fn change_run(&self, id: RequestId, change: Change) -> Result<Applied, TrackError> {
        change.check()?;
        let process = self.get(id)?;
        let guard = Guard::new().born(process.version().born).run(process.run());
        self.write_in_turn(&self.checked_op(id, change)?.guarded(guard))
    }

    /// Replaces what is known of a process's file, or its expiry.
    pub fn update(&self, id: RequestId, update: Update) -> Result<Applied, TrackError> {
        self.write_one(&self.update_op(id, update)?)
    }

    /// Removes every byte of what was erased from the store's files, as far as can be done in a short
    /// while: see [`Wipe`].
    pub fn wipe(&self) -> Result<Wipe, TrackError> {
        self.wipe_at(WipeLevel::Files)
    }

    /// Removes every byte of what was erased, as far as `level` asks.
    pub fn wipe_at(&self, level: WipeLevel) -> Result<Wipe, TrackError> {
        Ok(self.store().wipe(level)?)
    }

    /// The op that would begin a process, for a batch or an outbox of the host's own.
    pub fn prepare(&self, new: NewProcess) -> Result<Op, TrackError> {
        Ok(new.into_op(self.clock())?)
    }

    /// An op on a process, stamped with the time now. Guard it, if it may be sent again.
    #[must_use]
    pub fn op(&self, id: RequestId, change: Change) -> Op {
        Op::new(id, self.clock().now(), change)
    }

    /// Applies a batch of at most 10,000 ops and 16 MiB, in order: many changes for the price of one
    /// commit, and the way to bring history in with its own times.
    ///
    /// Each op is judged apart: a rejected one spoils nothing else. `Err` means that nothing was kept,
    /// unless its kind is [`OutcomeUnknown`](StoreErrorKind::OutcomeUnknown).
    pub fn apply(&self, ops: &[Op]) -> Result<Vec<Verdict>, TrackError> {
        Ok(self.inner.shared.apply(ops)?)
    }

    pub(crate) fn write_one(&self, op: &Op) -> Result<Applied, TrackError> {
        let mut verdicts = self.apply(std::slice::from_ref(op))?;
        Ok(verdicts.pop().expect("one verdict for one op")?)
    }

    /// An op of which it is known that it is not wrong in itself.
    pub(crate) fn checked_op(&self, id: RequestId, change: Change) -> Result<Op, Invalid> {
        change.check()?;
        let mut op = self.op(id, change);
        op.at = time::check(op.at, "clock's time")?;
        Ok(op)
    }

    pub(crate) fn update_op(&self, id: RequestId, update: Update) -> Result<Op, TrackError> {
        let op = self.checked_op(id, Change::update(update))?;
        if let Change::Update(update) = &op.change
            && let Some(expiry) = update.expiry
        {
            expiry.resolve(op.at)?;
        }
        Ok(op)
    }

    pub(crate) fn read_visible(&self, id: RequestId) -> Result<Option<Arc<Process>>, StoreError> {
        self.inner.shared.read_visible(id)
    }

    pub(crate) fn store(&self) -> &dyn StatusStore {
        &*self.inner.shared.store
    }

    pub(crate) fn clock(&self) -> &dyn Clock {
        &*self.inner.shared.clock
    }

    pub(crate) fn chores(&self) -> &RwLock<Chores> {
        &self.inner.shared.chores
    }

    pub(crate) fn watchers(&self) -> &Watchers {
        &self.inner.shared.watchers
    }

    pub(crate) fn lanes(&self) -> &Arc<Lanes> {
        &self.inner.shared.lanes
    }

    pub(crate) fn start_reporting(&self) -> Result<(), StoreError> {
        let shared = &self.inner.shared;
        self.inner
            .reporter
            .start("milepost-reporter", shared, Shared::report)
    }

    pub(crate) fn start_polling(&self) -> Result<(), StoreError> {
        let shared = &self.inner.shared;
        self.inner
            .poller
            .start("milepost-poller", shared, Shared::poll)
    }
}

impl Shared {
    /// Writes, and wakes who watches.
    pub(crate) fn apply(&self, ops: &[Op]) -> Result<Vec<Verdict>, StoreError> {
        let watched = self.before_write(ops)?;
        let verdicts = self.store.write(ops)?;
        // What such a store has kept is anybody's guess.
        let verdicts = one_each(ops.len(), verdicts)
            .map_err(|wrong| StoreError::new(StoreErrorKind::OutcomeUnknown, wrong))?;
        self.after_write(ops, &verdicts, watched);
        Ok(verdicts)
    }

    /// The process, unless it has expired by the tracker's clock.
    pub(crate) fn read_visible(&self, id: RequestId) -> Result<Option<Arc<Process>>, StoreError> {
        let process = self.store.read(id)?;
        let visible = |process: &Arc<Process>| {
            let expiry = process.expires_at();
            expiry.is_none_or(|expiry| expiry > self.clock.now())
        };
        Ok(process.filter(visible))
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // What is left to do is the parent's, where the threads run. Here they may have left locks taken.
        if self.reporter.is_elsewhere() || self.poller.is_elsewhere() {
            self.reporter.forget();
            self.poller.forget();
            return;
        }
        self.shared.lanes.stop();
        // If there never was a thread, for want of one.
        if !self.reporter.join() {
            self.shared.write_rest();
        }
        self.shared.watchers.stop();
        self.poller.join();
    }
}
