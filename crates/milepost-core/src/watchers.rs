//! Who waits for which process, and how they are woken.
//!
//! Whoever waits takes a [`Seat`] before it reads, so that nothing falls between the two. Writes through
//! the same tracker ring the seats at once. For changes by others one poller per tracker asks the store
//! for the versions of all that is waited for.

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};

use crate::background::{Interval, lock};
use crate::id::RequestId;
use crate::limits;
use crate::op::{Change, ChangeKind, Op};
use crate::process::{OverallStatus, Process, Version};
use crate::store::{StoreError, StoreErrorKind, one_each};
use crate::tracker::Shared;
use crate::verdict::{Rejection, Verdict};

/// Polling takes at most one part in this many of the poller's time.
const DUTY: u32 = 20;
const DEFAULT_INTERVAL: Duration = Duration::from_millis(100);

/// How a watched process ended, which the watcher must not miss.
pub(crate) type Ending = Result<Arc<Process>, Rejection>;

/// All seats of a tracker.
#[derive(Debug)]
pub(crate) struct Watchers {
    hall: Mutex<Hall>,
    /// Rung when the first seat is taken, and to stop.
    changed: Condvar,
    /// How many seats are taken: lets writes pass without a lock while it is 0.
    taken: AtomicUsize,
    interval: Interval,
}

#[derive(Debug, Default)]
struct Hall {
    seats: HashMap<RequestId, Vec<Arc<Seat>>>,
    stopping: bool,
}

/// Where one watcher waits for one process.
#[derive(Debug, Default)]
pub(crate) struct Seat {
    news: Mutex<News>,
    rung: Condvar,
}

#[derive(Debug, Default)]
struct News {
    /// Something may have changed: read.
    dirty: bool,
    ending: Option<Ending>,
    trouble: Option<StoreError>,
    /// What the watcher read last.
    known: Option<(Version, Option<DateTime<Utc>>)>,
}

/// Why a watcher was woken.
pub(crate) enum Rung {
    Ended(Ending),
    Changed,
    Trouble(StoreError),
    TimeUp,
}

impl Seat {
    /// Waits for news, until `until` at the latest.
    pub(crate) fn wait(&self, until: Option<Instant>) -> Rung {
        let mut news = lock(&self.news);
        loop {
            if let Some(ending) = news.ending.take() {
                return Rung::Ended(ending);
            }
            if std::mem::take(&mut news.dirty) {
                return Rung::Changed;
            }
            if let Some(trouble) = news.trouble.take() {
                return Rung::Trouble(trouble);
            }
            news = match until.map(|until| until.saturating_duration_since(Instant::now())) {
                None => self.rung.wait(news).unwrap_or_else(PoisonError::into_inner),
                Some(Duration::ZERO) => return Rung::TimeUp,
                Some(left) => {
                    self.rung
                        .wait_timeout(news, left)
                        .unwrap_or_else(PoisonError::into_inner)
                        .0
                }
            };
        }
    }

    /// What the watcher has read: the poller compares with it.
    pub(crate) fn saw(&self, process: &Process) {
        lock(&self.news).known = Some((process.version(), process.expires_at()));
    }

    fn ring(&self, tell: impl FnOnce(&mut News)) {
        tell(&mut lock(&self.news));
        self.rung.notify_one();
    }

    fn compare(&self, version: Option<Version>, now: DateTime<Utc>) {
        let mut news = lock(&self.news);
        let Some((known, expires_at)) = news.known else {
            return;
        };
        let expired = expires_at.is_some_and(|expiry| expiry <= now);
        if version != Some(known) || expired {
            news.dirty = true;
            drop(news);
            self.rung.notify_one();
        }
    }
}

impl Watchers {
    pub(crate) fn new() -> Self {
        Watchers {
            hall: Mutex::default(),
            changed: Condvar::new(),
            taken: AtomicUsize::new(0),
            interval: Interval::new(DEFAULT_INTERVAL),
        }
    }

    pub(crate) fn set_interval(&self, interval: Duration) {
        self.interval.set(interval);
        // Under the lock, so that a poller about to sleep for the old interval does not miss it.
        drop(lock(&self.hall));
        self.changed.notify_all();
    }

    pub(crate) fn interval(&self) -> Duration {
        self.interval.get()
    }

    /// Takes a seat; the caller reads after this.
    pub(crate) fn sit(&self, id: RequestId) -> Arc<Seat> {
        let seat = Arc::<Seat>::default();
        lock(&self.hall)
            .seats
            .entry(id)
            .or_default()
            .push(Arc::clone(&seat));
        self.taken.fetch_add(1, Ordering::SeqCst);
        self.changed.notify_all();
        seat
    }

    /// Gives a seat back; again, it does nothing.
    pub(crate) fn leave(&self, id: RequestId, seat: &Arc<Seat>) {
        let mut hall = lock(&self.hall);
        let Some(seats) = hall.seats.get_mut(&id) else {
            return;
        };
        let Some(place) = seats.iter().position(|other| Arc::ptr_eq(other, seat)) else {
            return;
        };
        seats.swap_remove(place);
        if seats.is_empty() {
            hall.seats.remove(&id);
        }
        drop(hall);
        self.taken.fetch_sub(1, Ordering::SeqCst);
    }

    fn seats_of(&self, id: RequestId) -> Vec<Arc<Seat>> {
        lock(&self.hall).seats.get(&id).cloned().unwrap_or_default()
    }

    /// Waits until somebody sits and the interval, and at least `rest`, has gone by; none once the tracker
    /// is going.
    fn next_round(&self, rest: Duration) -> Option<Vec<(RequestId, Vec<Arc<Seat>>)>> {
        let began = Instant::now();
        let mut hall = lock(&self.hall);
        loop {
            if hall.stopping {
                return None;
            }
            // The interval as it now is: it may be set while this waits.
            let left = self.interval().max(rest).saturating_sub(began.elapsed());
            hall = if hall.seats.is_empty() {
                self.changed
                    .wait(hall)
                    .unwrap_or_else(PoisonError::into_inner)
            } else if left.is_zero() {
                return Some(
                    hall.seats
                        .iter()
                        .map(|(id, seats)| (*id, seats.clone()))
                        .collect(),
                );
            } else {
                self.changed
                    .wait_timeout(hall, left)
                    .unwrap_or_else(PoisonError::into_inner)
                    .0
            };
        }
    }

    /// Tells the poller to end.
    pub(crate) fn stop(&self) {
        lock(&self.hall).stopping = true;
        self.changed.notify_all();
    }
}

impl Shared {
    /// What the poller does, until the tracker goes.
    pub(crate) fn poll(&self) {
        let mut rest = Duration::ZERO;
        while let Some(round) = self.watchers.next_round(rest) {
            let began = Instant::now();
            // A panic in a store must not leave everybody waiting for ever.
            let polled = std::panic::catch_unwind(AssertUnwindSafe(|| {
                round
                    .chunks(limits::READ_IDS)
                    .for_each(|some| self.poll_some(some));
            }));
            if polled.is_err() {
                let error = StoreError::new(
                    StoreErrorKind::Other,
                    "the store panicked while it was polled",
                );
                tell_trouble(&round, &error);
            }
            rest = began.elapsed() * (DUTY - 1);
        }
    }

    fn poll_some(&self, round: &[(RequestId, Vec<Arc<Seat>>)]) {
        let ids = round.iter().map(|(id, _)| *id).collect::<Vec<_>>();
        let versions = self.store.versions(&ids);
        match versions.and_then(|versions| one_each(ids.len(), versions)) {
            Ok(versions) => {
                let now = self.clock.now();
                for ((_, seats), version) in round.iter().zip(versions) {
                    for seat in seats {
                        seat.compare(version, now);
                    }
                }
            }
            Err(error) => tell_trouble(round, &error),
        }
    }

    /// What a write must know beforehand, so that its watchers miss no ending: see [`after_write`].
    ///
    /// [`after_write`]: Shared::after_write
    pub(crate) fn before_write(
        &self,
        ops: &[Op],
    ) -> Result<HashMap<RequestId, Arc<Process>>, StoreError> {
        let mut before = HashMap::new();
        // A batch of one cannot settle a process and reopen it.
        if ops.len() > 1 && self.watchers.taken.load(Ordering::SeqCst) > 0 {
            for op in ops.iter().filter(|op| op.change == Change::Rerun) {
                if !before.contains_key(&op.id)
                    && !self.watchers.seats_of(op.id).is_empty()
                    && let Some(process) = self.store.read(op.id)?
                {
                    before.insert(op.id, process);
                }
            }
        }
        Ok(before)
    }

    /// Wakes those who wait for what a write has changed. Endings are handed to them here, before the
    /// writer goes on and perhaps reruns or erases.
    pub(crate) fn after_write(
        &self,
        ops: &[Op],
        verdicts: &[Verdict],
        mut before: HashMap<RequestId, Arc<Process>>,
    ) {
        if self.watchers.taken.load(Ordering::SeqCst) == 0 {
            return;
        }
        let mut last_changes = HashMap::new();
        for (index, (op, verdict)) in ops.iter().zip(verdicts).enumerate() {
            if matches!(verdict, Ok(applied) if applied.changed) {
                last_changes.insert(op.id, index);
            }
        }
        for (id, last) in last_changes {
            let seats = self.watchers.seats_of(id);
            if seats.is_empty() {
                continue;
            }
            let ending = if ops[last].change.kind() == ChangeKind::Erase {
                Some(Err(Rejection::NotFound))
            } else if matches!(&verdicts[last], Ok(applied) if applied.status != OverallStatus::Ongoing)
            {
                // If it cannot be read now, the watchers read it themselves.
                self.store
                    .read(id)
                    .ok()
                    .flatten()
                    .filter(|process| process.is_settled())
                    .map(Ok)
            } else {
                before
                    .remove(&id)
                    .and_then(|process| passed_ending(process, ops, verdicts))
                    .map(Ok)
            };
            for seat in seats {
                seat.ring(|news| match &ending {
                    Some(ending) => news.ending = Some(ending.clone()),
                    None => news.dirty = true,
                });
            }
        }
    }
}

/// The last settled state that a batch passed through, worked out again from the state before it.
fn passed_ending(process: Arc<Process>, ops: &[Op], verdicts: &[Verdict]) -> Option<Arc<Process>> {
    let id = process.request_id();
    let mut slot = Some(process);
    let mut ending = None;
    for (op, verdict) in ops.iter().zip(verdicts).filter(|(op, _)| op.id == id) {
        if op.apply(&mut slot) != *verdict {
            // Somebody else wrote in between.
            return None;
        }
        ending = slot
            .clone()
            .filter(|process| process.is_settled())
            .or(ending);
    }
    ending
}

fn tell_trouble(round: &[(RequestId, Vec<Arc<Seat>>)], error: &StoreError) {
    for seat in round.iter().flat_map(|(_, seats)| seats) {
        seat.ring(|news| news.trouble = Some(error.clone()));
    }
}
