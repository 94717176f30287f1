//! All lanes of a tracker, and when each is written.
//!
//! A lane has one agenda entry at most: from the first report on, and after each write until the interval
//! has passed. So whoever reports to a lane that has none may be written at once.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::background::{Interval, lock};
use crate::error::TrackError;
use crate::lane::{Lane, LaneKey, Source};
use crate::limits;
use crate::op::Op;

/// Four reports a second: as often as somebody looks, and what a disk does not notice.
const DEFAULT_INTERVAL: Duration = Duration::from_millis(250);

#[derive(Debug)]
pub(crate) struct Lanes {
    desk: Mutex<Desk>,
    /// Rung when the agenda grows, and to stop.
    changed: Condvar,
    /// How many lanes there are: lets transitions pass without a lock while it is 0.
    open: AtomicUsize,
    interval: Interval,
}

/// Never held across a call of the store.
#[derive(Debug, Default)]
struct Desk {
    lanes: HashMap<LaneKey, Open>,
    /// By the moment of the last write, lanes that have had none first; then in the order of entry.
    agenda: BTreeMap<(Option<Instant>, u64), Arc<Lane>>,
    entries: u64,
    stopping: bool,
}

#[derive(Debug)]
struct Open {
    lane: Arc<Lane>,
    /// How many [`LaneHold`]s keep it open.
    holds: usize,
}

/// Keeps a lane open.
#[derive(Debug)]
pub(crate) struct LaneHold {
    lanes: Arc<Lanes>,
    lane: Arc<Lane>,
}

impl LaneHold {
    /// Takes a report; never waits for the store.
    pub(crate) fn put(&self, source: Source, op: Op) {
        if self.lane.put(source, op) {
            self.lanes.enter(&self.lane, None);
        }
    }

    /// Keeps what a report was refused for, until a transition shows it.
    pub(crate) fn refuse(&self, source: Source, error: TrackError) {
        self.lane.refuse(source, error);
    }
}

impl Drop for LaneHold {
    fn drop(&mut self) {
        let mut desk = lock(&self.lanes.desk);
        if let Some(open) = desk.lanes.get_mut(&self.lane.key()) {
            open.holds -= 1;
        }
        self.lanes.close_unused(&mut desk, self.lane.key());
    }
}

/// The right to write what is pending in a lane, and what must not overtake it; one at a time has it.
#[derive(Debug)]
pub(crate) struct Turn<'a> {
    lanes: &'a Lanes,
    lane: &'a Arc<Lane>,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        if self.lane.give_turn() {
            self.lanes.enter(self.lane, None);
        }
    }
}

impl Lanes {
    pub(crate) fn new() -> Self {
        Lanes {
            desk: Mutex::default(),
            changed: Condvar::new(),
            open: AtomicUsize::new(0),
            interval: Interval::new(DEFAULT_INTERVAL),
        }
    }

    pub(crate) fn set_interval(&self, interval: Duration) {
        self.interval.set(interval);
        // Under the lock, so that a thread about to sleep for the old interval does not miss it.
        drop(lock(&self.desk));
        self.changed.notify_all();
    }

    pub(crate) fn interval(&self) -> Duration {
        self.interval.get()
    }

    /// The lane of a process, which is opened if there is none.
    pub(crate) fn hold(self: &Arc<Self>, key: LaneKey) -> LaneHold {
        let mut desk = lock(&self.desk);
        let open = desk.lanes.entry(key).or_insert_with(|| {
            self.open.fetch_add(1, Ordering::SeqCst);
            let lane = Arc::new(Lane::new(key));
            Open { lane, holds: 0 }
        });
        open.holds += 1;
        LaneHold {
            lanes: Arc::clone(self),
            lane: Arc::clone(&open.lane),
        }
    }

    /// The lane of the process that an op is guarded for, if it has one.
    pub(crate) fn of(&self, op: &Op) -> Option<Arc<Lane>> {
        if self.open.load(Ordering::SeqCst) == 0 {
            return None;
        }
        let key = LaneKey::of(op)?;
        let desk = lock(&self.desk);
        desk.lanes.get(&key).map(|open| Arc::clone(&open.lane))
    }

    /// Waits until nobody else has a lane's turn.
    pub(crate) fn turn<'a>(&'a self, lane: &'a Arc<Lane>) -> Turn<'a> {
        lane.take_turn();
        Turn { lanes: self, lane }
    }

    /// The same for a lane that has come off the agenda, if it need not wait: whoever has the turn puts the
    /// lane on the agenda again.
    pub(crate) fn turn_at_once<'a>(&'a self, lane: &'a Arc<Lane>) -> Option<Turn<'a>> {
        // Made only if it is taken: what is made is given back.
        lane.try_take_turn().then(|| Turn { lanes: self, lane })
    }

    /// Puts a lane on the agenda, on which it is not, for an interval after it was written.
    pub(crate) fn enter(&self, lane: &Arc<Lane>, written: Option<Instant>) {
        let mut desk = lock(&self.desk);
        desk.entries += 1;
        let place = (written, desk.entries);
        desk.agenda.insert(place, Arc::clone(lane));
        drop(desk);
        self.changed.notify_one();
    }

    /// Closes a lane that has left the agenda, if nobody holds it.
    pub(crate) fn left(&self, lane: &Lane) {
        self.close_unused(&mut lock(&self.desk), lane.key());
    }

    /// Drops what is pending in a lane, if nobody holds it.
    pub(crate) fn give_up_unheld(&self, lane: &Lane) {
        // Whoever reports holds the lane: under the lock nobody does.
        let desk = lock(&self.desk);
        let open = desk.lanes.get(&lane.key());
        if open.is_some_and(|open| open.holds == 0) {
            lane.give_up();
        }
    }

    fn close_unused(&self, desk: &mut Desk, key: LaneKey) {
        let is_unused = |open: &Open| open.holds == 0 && !open.lane.is_on_agenda();
        if desk.lanes.get(&key).is_some_and(is_unused) {
            desk.lanes.remove(&key);
            self.open.fetch_sub(1, Ordering::SeqCst);
        }
    }

    /// Waits until the interval of a lane has passed, and takes off the agenda all of which it has, as many
    /// as one batch may hold; none once the tracker is going.
    pub(crate) fn next_due(&self) -> Option<Vec<Arc<Lane>>> {
        let mut desk = lock(&self.desk);
        loop {
            if desk.stopping {
                return None;
            }
            // The interval as it now is: it may be set while this waits.
            let due = desk.take_due(self.interval());
            if !due.is_empty() {
                return Some(due);
            }
            desk = match desk.left(self.interval()) {
                None => self
                    .changed
                    .wait(desk)
                    .unwrap_or_else(PoisonError::into_inner),
                Some(left) => {
                    self.changed
                        .wait_timeout(desk, left)
                        .unwrap_or_else(PoisonError::into_inner)
                        .0
                }
            };
        }
    }

    /// Tells the thread that writes to end.
    pub(crate) fn stop(&self) {
        lock(&self.desk).stopping = true;
        self.changed.notify_all();
    }

    /// Takes all off the agenda, for good.
    pub(crate) fn take_all(&self) -> Vec<Arc<Lane>> {
        let agenda = std::mem::take(&mut lock(&self.desk).agenda);
        agenda.into_values().collect()
    }
}

impl Desk {
    fn take_due(&mut self, interval: Duration) -> Vec<Arc<Lane>> {
        let mut due = Vec::new();
        while due.len() < limits::BATCH_OPS
            && let Some(entry) = self.agenda.first_entry()
            && left(entry.key().0, interval).is_zero()
        {
            due.push(entry.remove());
        }
        due
    }

    /// How long it is until the first entry is due; none if there is none.
    fn left(&self, interval: Duration) -> Option<Duration> {
        let ((written, _), _) = self.agenda.first_key_value()?;
        Some(left(*written, interval))
    }
}

fn left(written: Option<Instant>, interval: Duration) -> Duration {
    written.map_or(Duration::ZERO, |written| {
        interval.saturating_sub(written.elapsed())
    })
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::*;
    use crate::guard::Guard;
    use crate::lane::Need;
    use crate::op::Change;
    use crate::work::Progress;
    use crate::{RequestId, Verdict};

    fn report() -> (Source, Op) {
        let id = RequestId::from(uuid::Uuid::from_u128(1));
        let change = Change::progress(1, Progress::unbounded(1));
        let op = Op::new(id, DateTime::UNIX_EPOCH, change).guarded(Guard::new().born(7));
        (Source::new(1, op.guard), op)
    }

    /// A lane is open while it is held, while anything is pending, and for an interval after a write.
    #[test]
    fn a_lane_closes_when_nobody_needs_it() {
        let lanes = Arc::new(Lanes::new());
        let (source, op) = report();
        let key = LaneKey::of(&op).expect("it is guarded");
        let is_open = || lanes.of(&op).is_some();
        assert!(!is_open());

        let (first, second) = (lanes.hold(key), lanes.hold(key));
        drop(first);
        assert!(is_open());
        drop(second);
        assert!(!is_open(), "nothing was reported");

        let hold = lanes.hold(key);
        hold.put(source, op.clone());
        drop(hold);
        assert!(is_open(), "it is pending");
        let [lane] = lanes
            .next_due()
            .expect("it goes on")
            .try_into()
            .expect("one is due");
        let Need::Write { ticket, .. } = lane.need(lanes.interval()) else {
            panic!("it is pending");
        };
        let verdict: Verdict = Err(crate::Rejection::NotFound);
        lane.judged(ticket, verdict);
        lanes.enter(&lane, lane.written());
        assert!(is_open(), "it rests");

        lanes.set_interval(Duration::ZERO);
        let [lane] = lanes
            .next_due()
            .expect("it goes on")
            .try_into()
            .expect("one is due");
        assert!(matches!(lane.need(Duration::ZERO), Need::Nothing));
        lanes.left(&lane);
        assert!(!is_open());
        assert_eq!(lanes.open.load(Ordering::SeqCst), 0);
    }
}
