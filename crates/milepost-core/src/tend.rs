//! Tending: the chores that keep a store small and honest, in bounded rounds.

use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLockWriteGuard};
use std::time::Duration;

use crate::background::Running;
use crate::claim::ReapPolicy;
use crate::error::TrackError;
use crate::limits;
use crate::reap::Reaped;
use crate::retention::RetentionPolicy;
use crate::store::{StoreError, StoreErrorKind, Wipe};
use crate::tracker::Tracker;

/// Rounds never follow each other faster than this.
const SHORTEST_PAUSE: Duration = Duration::from_millis(10);
/// How long a round waits behind one that left more to do: others want the store too.
const BREATH: Duration = Duration::from_millis(50);
/// How long it waits behind one whose wipe is pending: somebody may be reading for hours.
const PATIENCE: Duration = Duration::from_secs(1);

/// What a tracker's rounds are to do besides purging and wiping.
#[derive(Debug, Clone, Default)]
pub(crate) struct Chores {
    pub(crate) retention: RetentionPolicy,
    pub(crate) reaping: Option<ReapPolicy>,
}

/// What one round of [`Tracker::tend`] has done.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Tended {
    /// How many expired processes were purged.
    pub purged: usize,
    /// How many settled processes the [retention policy](Tracker::retention) let go.
    pub retired: usize,
    /// What became of stalled processes, where a [policy](Tracker::reaping) for them is set.
    pub reaped: Reaped,
    /// Whether the bytes of all that was erased are gone from the store's files.
    pub wipe: Wipe,
    /// Whether more waits: tend again soon.
    pub more: bool,
}

impl Tracker {
    /// How long [`tend`](Tracker::tend) keeps what has settled; for ever unless given. It holds for all clones.
    #[must_use]
    pub fn retention(self, policy: RetentionPolicy) -> Self {
        self.write_chores().retention = policy;
        self
    }

    /// What [`tend`](Tracker::tend) does with processes whose leases have run out; nothing unless given. It
    /// holds for all clones.
    #[must_use]
    pub fn reaping(self, policy: ReapPolicy) -> Self {
        self.write_chores().reaping = Some(policy);
        self
    }

    fn write_chores(&self) -> RwLockWriteGuard<'_, Chores> {
        self.chores()
            .write()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn read_chores(&self) -> Chores {
        let chores = self.chores().read();
        chores.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Does one bounded round of chores, and says what it did and whether more waits.
    ///
    /// Purges what has expired, erases what the [retention policy](Tracker::retention) lets go,
    /// [reaps](Tracker::reap) what stalled where a [policy](Tracker::reaping) for that is set, and wipes. At most
    /// 10,000 processes are purged, 1,000 are erased for each part of a rule, and 1,000 reaped. Several
    /// trackers may tend one store at once.
    ///
    /// # Errors
    ///
    /// The first of several. Every chore is tried, whatever became of the others, and what was done stays done.
    pub fn tend(&self) -> Result<Tended, TrackError> {
        let chores = self.read_chores();
        // Each is done whatever became of the others: a rule that is wrong must not keep what stalled waiting.
        let purged = self.store().purge(self.clock().now(), limits::PURGE);
        let retired = self.retire(&chores.retention);
        let reaped = match chores.reaping {
            Some(policy) => self.reap(policy),
            None => Ok(Reaped::default()),
        };
        let wipe = self.wiped(0).wipe;
        let (purged, retired, reaped) = (purged?, retired?, reaped?);
        let pending = matches!(wipe, Wipe::Pending { .. });
        Ok(Tended {
            purged,
            retired: retired.processes,
            reaped,
            more: purged == limits::PURGE || retired.more || reaped.more || pending,
            wipe,
        })
    }

    /// Tends now and then every `interval`, in a thread of its own, until the guard is dropped.
    ///
    /// A round that leaves more to do is followed by the next after 50 ms, or 1 s where it is a wipe that is
    /// pending, or the interval if that is shorter; the shortest is 10 ms. An error ends its round, not the
    /// thread: the guard keeps the newest answer.
    ///
    /// # Errors
    ///
    /// [`Unavailable`](StoreErrorKind::Unavailable) if no thread can be started.
    ///
    /// ```
    /// # fn host(store: impl milepost_core::StatusStore) -> Result<(), milepost_core::TrackError> {
    /// use std::time::Duration;
    /// use milepost_core::{ReapPolicy, Tracker};
    ///
    /// let tracker = Tracker::new(store).reaping(ReapPolicy::retry(3));
    /// let _tending = tracker.tend_every(Duration::from_secs(60))?;
    /// # Ok(()) }
    /// ```
    pub fn tend_every(&self, interval: Duration) -> Result<Tending, TrackError> {
        let state = Arc::<State>::default();
        let tracker = self.clone();
        let (interval, shared) = (interval.max(SHORTEST_PAUSE), Arc::clone(&state));
        let builder = std::thread::Builder::new().name("milepost-tending".to_owned());
        let thread = builder
            .spawn(move || tend_until_stopped(&tracker, interval, &shared))
            .map_err(|error| StoreError::new(StoreErrorKind::Unavailable, error))?;
        Ok(Tending {
            state,
            thread: Some(Running::new(thread)),
        })
    }
}

/// Keeps a tracker tending, and its store open. Dropping it waits for the round under way, which is the last.
#[derive(Debug)]
#[must_use = "tending ends when this is dropped"]
pub struct Tending {
    state: Arc<State>,
    thread: Option<Running>,
}

#[derive(Debug, Default)]
struct State {
    rounds: Mutex<Rounds>,
    stopped: Condvar,
}

#[derive(Debug, Default)]
struct Rounds {
    last: Option<Result<Tended, TrackError>>,
    stopping: bool,
}

impl Tending {
    /// What the newest round did; none before the first has ended.
    #[must_use]
    pub fn last(&self) -> Option<Result<Tended, TrackError>> {
        self.state.rounds().last.clone()
    }
}

impl Drop for Tending {
    fn drop(&mut self) {
        let Some(thread) = self.thread.take() else {
            return;
        };
        // In a child of `fork` it may have left the lock taken.
        if thread.is_here() {
            self.state.rounds().stopping = true;
            self.state.stopped.notify_all();
        }
        // It may be the one that lets the guard go, in a store's call.
        thread.join();
    }
}

impl State {
    fn rounds(&self) -> MutexGuard<'_, Rounds> {
        // Each holder leaves it whole.
        self.rounds.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn pause(tended: &Tended, interval: Duration) -> Duration {
    match &tended.wipe {
        Wipe::Pending { .. } => interval.min(PATIENCE),
        Wipe::Done | Wipe::Limited { .. } if tended.more => interval.min(BREATH),
        Wipe::Done | Wipe::Limited { .. } => interval,
    }
}

fn tend_until_stopped(tracker: &Tracker, interval: Duration, state: &State) {
    loop {
        if state.rounds().stopping {
            return;
        }
        // A panic in a store ends its round only.
        let tended = std::panic::catch_unwind(AssertUnwindSafe(|| tracker.tend()));
        let tended = tended.unwrap_or_else(|_| {
            let panicked = "the store panicked while it was tended";
            Err(StoreError::new(StoreErrorKind::Other, panicked).into())
        });
        let pause = tended
            .as_ref()
            .map_or(interval, |tended| pause(tended, interval));
        let mut rounds = state.rounds();
        rounds.last = Some(tended);
        let waited = state
            .stopped
            .wait_timeout_while(rounds, pause, |rounds| !rounds.stopping);
        drop(waited.unwrap_or_else(PoisonError::into_inner));
    }
}
