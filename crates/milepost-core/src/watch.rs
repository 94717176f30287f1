//! Waiting for a process, and watching it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::describe::Describe;
use crate::error::TrackError;
use crate::id::RequestId;
use crate::process::{Process, Version};
use crate::seat::{Rung, Seat};
use crate::tracker::Tracker;
use crate::verdict::Rejection;

impl Tracker {
    /// Waits until a process has settled, and answers it: complete, failed or cancelled.
    ///
    /// The timeout runs in real time, whatever the tracker's clock says. Trouble of the store that may pass
    /// is waited out.
    ///
    /// # Errors
    ///
    /// [`Timeout`](TrackError::Timeout) if it has not settled by then;
    /// [`NotFound`](Rejection::NotFound) if it is not there, or is erased or expires meanwhile.
    pub fn wait(&self, id: RequestId, timeout: Duration) -> Result<Arc<Process>, TrackError> {
        let deadline = Instant::now().checked_add(timeout);
        let is_over = || deadline.is_some_and(|deadline| deadline <= Instant::now());
        let mut watch = self.seated(id);
        let mut in_trouble = false;
        match self.get(id) {
            Ok(process) => watch.starts_with(process),
            Err(error) if error.is_retryable() && !is_over() => {
                watch.read_later();
                in_trouble = true;
            }
            Err(error) => return Err(error),
        }
        while let Some(news) = watch.next_before(deadline) {
            match news {
                Ok(process) if process.is_settled() => return Ok(process),
                // Whoever reports without a pause must not hold the wait beyond its time.
                Ok(_) if is_over() => return Err(TrackError::Timeout),
                Ok(_) => in_trouble = false,
                // The trouble may be over, or be what kept the end from being seen.
                Err(TrackError::Timeout) if in_trouble => {
                    let process = self.get(id)?;
                    let settled = Some(process).filter(|process| process.is_settled());
                    return settled.ok_or(TrackError::Timeout);
                }
                Err(TrackError::Timeout) => return Err(TrackError::Timeout),
                Err(error) if error.is_retryable() => in_trouble = true,
                Err(error) => return Err(error),
            }
        }
        Err(Rejection::NotFound.into())
    }

    /// Watches a process: an iterator over its newest state at each change, until it has settled.
    ///
    /// # Errors
    ///
    /// [`NotFound`](Rejection::NotFound) if it is not there.
    pub fn watch(&self, id: RequestId) -> Result<Watch, TrackError> {
        // The seat first: a change between the two is then seen twice, not missed.
        let mut watch = self.seated(id);
        watch.starts_with(self.get(id)?);
        Ok(watch)
    }

    /// A watch that has not read yet.
    fn seated(&self, id: RequestId) -> Watch {
        Watch {
            seat: self.watchers().sit(id),
            tracker: self.clone(),
            id,
            first: None,
            yielded: None,
            read_again: None,
            ended: false,
        }
    }
}

/// The newest states of one process, as they come; the first is the state when it was asked for.
///
/// # Contract
///
/// - Blocks until there is news, and yields the newest state: states in between may be left out.
/// - Ends after a settled state, or after one [`NotFound`](Rejection::NotFound) when the process is
///   erased or expires.
/// - Trouble of the store is yielded; if it may pass, watching goes on.
/// - Changes through the same tracker wake it at once, and a settled state reached that way is never
///   missed, unless it was erased in the same batch or changed again while the wake-up was on its way.
///   Changes by others are seen within the tracker's
///   [poll interval](Tracker::poll_interval); a settled state that others rerun or erase within one
///   interval may be missed.
///
/// # Examples
///
/// ```
/// # fn follow(tracker: &milepost_core::Tracker, id: milepost_core::RequestId)
/// # -> Result<(), milepost_core::TrackError> {
/// for process in tracker.watch(id)? {
///     let process = process?;
///     println!("{} after {} changes", process.status(), process.revision());
/// }
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct Watch {
    seat: Arc<Seat>,
    tracker: Tracker,
    id: RequestId,
    first: Option<Arc<Process>>,
    yielded: Option<Version>,
    /// When to read again, after trouble or for want of a poller.
    read_again: Option<Instant>,
    ended: bool,
}

impl Watch {
    /// The same, as one line of text for people per change.
    #[must_use]
    pub fn describe(self) -> Describe {
        Describe::new(self)
    }

    /// Has `bell` called whenever there may be news, and once at once: for hosts that have no thread for each watcher.
    ///
    /// It is called by whoever writes or polls, who waits for it meanwhile: it should wake a task, and do nothing else.
    /// The first bell is kept; those hung later are never called.
    pub fn on_news(&self, bell: impl Fn() + Send + Sync + 'static) {
        self.seat.hang(Box::new(bell));
    }

    /// The next news if there is any, without waiting for it. It may read from the store.
    ///
    /// Ask again while it [has news](Watch::has_news), once the [bell](Watch::on_news) has rung, and at
    /// [`read_again_at`](Watch::read_again_at); nothing more comes once it [has ended](Watch::has_ended).
    pub fn try_next(&mut self) -> Option<Result<Arc<Process>, TrackError>> {
        let now = Instant::now();
        match self.next_before(Some(now)) {
            // What has ended is at hand first: the store may know no more of it.
            Some(Err(TrackError::Timeout)) if self.read_again.is_some_and(|at| at <= now) => {
                self.read()
            }
            Some(Err(TrackError::Timeout)) => None,
            news => news,
        }
    }

    /// Whether there may be news already. Asks nobody.
    #[must_use]
    pub fn has_news(&self) -> bool {
        !self.ended && (self.first.is_some() || self.seat.is_rung())
    }

    /// When to ask again though no bell has rung: after trouble of the store, or for want of a thread that polls.
    #[must_use]
    pub fn read_again_at(&self) -> Option<Instant> {
        self.read_again.filter(|_| !self.ended)
    }

    /// Whether the last news was the last: a settled state, `NotFound`, or trouble that does not pass.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.ended
    }

    /// The next news, or `Timeout` once `deadline` has passed; none after the end.
    fn next_before(
        &mut self,
        deadline: Option<Instant>,
    ) -> Option<Result<Arc<Process>, TrackError>> {
        if self.ended {
            return None;
        }
        if let Some(process) = self.first.take() {
            return Some(Ok(self.show(process)));
        }
        loop {
            // Without a thread that polls, each watcher reads for itself.
            if self.read_again.is_none() && self.tracker.start_polling().is_err() {
                self.read_later();
            }
            let until = [deadline, self.read_again].into_iter().flatten().min();
            match self.seat.wait(until) {
                Rung::Ended(Ok(process)) if self.is_older(&process) => {}
                Rung::Ended(Ok(process)) if self.is_another(&process) => return Some(self.gone()),
                Rung::Ended(Ok(process)) => return Some(Ok(self.show(process))),
                Rung::Ended(Err(_)) => return Some(self.gone()),
                Rung::Trouble(error) => {
                    if !error.is_retryable() {
                        self.end();
                    }
                    return Some(Err(error.into()));
                }
                Rung::TimeUp
                    if self.read_again.is_none()
                        || deadline.is_some_and(|at| at <= Instant::now()) =>
                {
                    return Some(Err(TrackError::Timeout));
                }
                Rung::Changed | Rung::TimeUp => {
                    if let Some(news) = self.read() {
                        return Some(news);
                    }
                }
            }
        }
    }

    /// Reads; none if there is nothing new.
    fn read(&mut self) -> Option<Result<Arc<Process>, TrackError>> {
        self.read_again = None;
        match self.tracker.read_visible(self.id) {
            Ok(Some(process)) if !self.is_another(&process) => {
                self.seat.saw(&process);
                (self.yielded != Some(process.version())).then(|| Ok(self.show(process)))
            }
            Ok(_) => Some(self.gone()),
            Err(error) => {
                if error.is_retryable() {
                    self.read_later();
                } else {
                    self.end();
                }
                Some(Err(error.into()))
            }
        }
    }

    fn starts_with(&mut self, process: Arc<Process>) {
        self.seat.saw(&process);
        self.first = Some(process);
    }

    fn read_later(&mut self) {
        self.read_again = Instant::now().checked_add(self.tracker.watchers().interval());
    }

    fn show(&mut self, process: Arc<Process>) -> Arc<Process> {
        self.yielded = Some(process.version());
        if process.is_settled() {
            self.end();
        }
        process
    }

    fn gone(&mut self) -> Result<Arc<Process>, TrackError> {
        self.end();
        Err(Rejection::NotFound.into())
    }

    /// Nothing comes any more: nobody need poll for it, however long the watch is kept.
    fn end(&mut self) {
        self.ended = true;
        self.tracker.watchers().leave(self.id, &self.seat);
    }

    /// Whether this is another process that goes by the id now: the one that was watched is gone.
    fn is_another(&self, process: &Process) -> bool {
        self.yielded
            .is_some_and(|yielded| yielded.born != process.version().born)
    }

    /// Whether a newer state has been shown.
    fn is_older(&self, process: &Process) -> bool {
        let version = process.version();
        self.yielded.is_some_and(|yielded| {
            yielded.born == version.born && yielded.revision > version.revision
        })
    }
}

impl Iterator for Watch {
    type Item = Result<Arc<Process>, TrackError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.next_before(None)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.tracker.watchers().leave(self.id, &self.seat);
    }
}
