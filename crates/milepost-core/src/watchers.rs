//! Who waits for which process, and how they are woken.
//!
//! Whoever waits takes a [`Seat`] before it reads, so that nothing falls between the two. Writes through
//! the same tracker ring the seats at once. For changes by others one poller per tracker asks the store
//! for the versions of all that is waited for.

use std::collections::{BTreeMap, HashMap};
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::background::{Interval, lock};
use crate::ear::Ear;
use crate::id::RequestId;
use crate::limits;
use crate::op::{Change, ChangeKind, Op};
use crate::process::{OverallStatus, Process};
use crate::seat::Seat;
use crate::store::{StoreError, StoreErrorKind, one_each};
use crate::tracker::Shared;
use crate::verdict::{Rejection, Verdict};

/// Polling takes at most one part in this many of the poller's time.
const DUTY: u32 = 25;
const DEFAULT_INTERVAL: Duration = Duration::from_millis(100);

/// All seats of a tracker.
#[derive(Debug)]
pub(crate) struct Watchers {
    hall: Mutex<Hall>,
    /// Rung when the first seat is taken, and to stop.
    changed: Condvar,
    /// How many seats are taken: lets writes pass without a lock while it is 0.
    taken: AtomicUsize,
    /// How many leases listen: the same.
    listening: AtomicUsize,
    interval: Interval,
}

#[derive(Debug, Default)]
struct Hall {
    parties: HashMap<RequestId, Party>,
    stopping: bool,
}

/// All that wait for one process.
#[derive(Debug, Default, Clone)]
struct Party {
    seats: Vec<Arc<Seat>>,
    ears: Vec<Arc<Ear>>,
}

impl Party {
    fn is_empty(&self) -> bool {
        self.seats.is_empty() && self.ears.is_empty()
    }

    /// Whether the store must be asked for it.
    fn is_asking(&self) -> bool {
        !self.seats.is_empty() || self.ears.iter().any(|ear| ear.is_listening())
    }
}

impl Watchers {
    pub(crate) fn new() -> Self {
        Watchers {
            hall: Mutex::default(),
            changed: Condvar::new(),
            taken: AtomicUsize::new(0),
            listening: AtomicUsize::new(0),
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
            .parties
            .entry(id)
            .or_default()
            .seats
            .push(Arc::clone(&seat));
        self.taken.fetch_add(1, Ordering::SeqCst);
        self.changed.notify_all();
        seat
    }

    /// Gives a seat back; again, it does nothing.
    pub(crate) fn leave(&self, id: RequestId, seat: &Arc<Seat>) {
        let mut hall = lock(&self.hall);
        let Some(party) = hall.parties.get_mut(&id) else {
            return;
        };
        let is_this = |other: &Arc<Seat>| Arc::ptr_eq(other, seat);
        let Some(place) = party.seats.iter().position(is_this) else {
            return;
        };
        party.seats.swap_remove(place);
        if party.is_empty() {
            hall.parties.remove(&id);
        }
        drop(hall);
        self.taken.fetch_sub(1, Ordering::SeqCst);
    }

    /// Lets a lease hear what is wished of its process, until it stops listening.
    pub(crate) fn listen(&self, id: RequestId, ear: &Arc<Ear>) {
        let mut hall = lock(&self.hall);
        let party = hall.parties.entry(id).or_default();
        party.ears.push(Arc::clone(ear));
        drop(hall);
        self.listening.fetch_add(1, Ordering::SeqCst);
        self.changed.notify_all();
    }

    pub(crate) fn stop_listening(&self, id: RequestId, ear: &Arc<Ear>) {
        let mut hall = lock(&self.hall);
        if let Some(party) = hall.parties.get_mut(&id) {
            party.ears.retain(|other| !Arc::ptr_eq(other, ear));
            if party.is_empty() {
                hall.parties.remove(&id);
            }
        }
        drop(hall);
        self.listening.fetch_sub(1, Ordering::SeqCst);
    }

    fn seats_of(&self, id: RequestId) -> Vec<Arc<Seat>> {
        let hall = lock(&self.hall);
        let party = hall.parties.get(&id);
        party.map(|party| party.seats.clone()).unwrap_or_default()
    }

    pub(crate) fn ears_of(&self, id: RequestId) -> Vec<Arc<Ear>> {
        let hall = lock(&self.hall);
        let party = hall.parties.get(&id);
        party.map(|party| party.ears.clone()).unwrap_or_default()
    }

    /// Waits until somebody sits and the interval, and at least `rest`, has gone by; none once the tracker
    /// is going.
    fn next_round(&self, rest: Duration) -> Option<Vec<(RequestId, Party)>> {
        let began = Instant::now();
        let mut hall = lock(&self.hall);
        loop {
            if hall.stopping {
                return None;
            }
            // The interval as it now is: it may be set while this waits.
            let left = self.interval().max(rest).saturating_sub(began.elapsed());
            hall = if !hall.parties.values().any(Party::is_asking) {
                self.changed
                    .wait(hall)
                    .unwrap_or_else(PoisonError::into_inner)
            } else if left.is_zero() {
                return Some(
                    hall.parties
                        .iter()
                        .filter(|(_, party)| party.is_asking())
                        .map(|(id, party)| (*id, party.clone()))
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

    fn poll_some(&self, round: &[(RequestId, Party)]) {
        let ids = round.iter().map(|(id, _)| *id).collect::<Vec<_>>();
        let versions = self.store.versions(&ids);
        match versions.and_then(|versions| one_each(ids.len(), versions)) {
            Ok(versions) => {
                let now = self.clock.now();
                let mut unheard = Vec::new();
                for ((id, party), version) in round.iter().zip(versions) {
                    for seat in &party.seats {
                        seat.compare(version, now);
                    }
                    // Every one of them compares, whatever the others find.
                    let listening = party.ears.iter().filter(|ear| ear.is_listening());
                    if listening.filter(|ear| ear.compare(version)).count() > 0 {
                        unheard.push((*id, &party.ears));
                    }
                }
                self.hear(&unheard);
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
    ) -> Result<BTreeMap<RequestId, Arc<Process>>, StoreError> {
        // A hash map would draw a key for every write that nobody watches.
        let mut before = BTreeMap::new();
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
        mut before: BTreeMap<RequestId, Arc<Process>>,
    ) {
        if self.watchers.listening.load(Ordering::SeqCst) > 0 {
            self.tell_ears(ops, verdicts);
        }
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

fn tell_trouble(round: &[(RequestId, Party)], error: &StoreError) {
    for seat in round.iter().flat_map(|(_, party)| &party.seats) {
        seat.ring(|news| news.trouble = Some(error.clone()));
    }
}
