//! The only door through which time and randomness enter the library.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use uuid::Uuid;

/// Where a [`Tracker`](crate::Tracker) takes the wall clock and randomness from.
///
/// Stores never ask one: all that they keep arrives as arguments. A clock that is wrong by *d* stamps
/// and judges expiry wrongly by *d*, and does no other harm: order is the revision, never the time.
pub trait Clock: fmt::Debug + Send + Sync + 'static {
    /// The time now. It may jump in either direction.
    fn now(&self) -> DateTime<Utc>;

    /// 128 random bits: new ids and the mark that tells two processes of one id apart are made of them.
    ///
    /// Two calls must not answer alike, not on two clocks nor in two OS processes either.
    fn random(&self) -> u128;
}

impl<C: Clock + ?Sized> Clock for Arc<C> {
    fn now(&self) -> DateTime<Utc> {
        (**self).now()
    }

    fn random(&self) -> u128 {
        (**self).random()
    }
}

/// The operating system's wall clock and entropy: what [`Tracker::new`](crate::Tracker::new) uses.
///
/// Randomness comes from a generator per thread that the operating system seeds, so that an id costs
/// no system call for entropy; the OS process's number is mixed in, so that a forked child does not
/// repeat its parent.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the clock that the rest asks"
    )]
    fn now(&self) -> DateTime<Utc> {
        Utc::now()
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "this is the randomness that the rest asks for"
    )]
    fn random(&self) -> u128 {
        // A version 4 UUID has 122 random bits. Turned by half, the fixed bits of the second fall on
        // random ones of the first, which makes all 128 random.
        let (first, second) = (Uuid::new_v4().as_u128(), Uuid::new_v4().as_u128());
        let this_process =
            u128::from(std::process::id()).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
        first ^ second.rotate_left(64) ^ this_process
    }
}

/// A clock that stands still until it is told to move: for tests of anything that expires.
///
/// Clones share the time and the randomness. The randomness of two clocks made apart differs.
///
/// ```
/// use milepost_core::{Clock, ManualClock};
/// use std::time::Duration;
///
/// let noon = "2026-05-18T12:00:00Z".parse()?;
/// let clock = ManualClock::new(noon);
/// clock.advance(Duration::from_secs(60));
/// assert_eq!(clock.now().to_string(), "2026-05-18 12:01:00 UTC");
/// # Ok::<(), chrono::ParseError>(())
/// ```
#[derive(Debug, Clone)]
pub struct ManualClock {
    shared: Arc<Manual>,
}

#[derive(Debug)]
struct Manual {
    micros: AtomicI64,
    seed: u128,
    drawn: AtomicU64,
}

impl ManualClock {
    /// A clock that shows `time`, to the microsecond.
    #[must_use]
    pub fn new(time: DateTime<Utc>) -> Self {
        ManualClock {
            shared: Arc::new(Manual {
                micros: AtomicI64::new(time.timestamp_micros()),
                seed: SystemClock.random(),
                drawn: AtomicU64::new(0),
            }),
        }
    }

    /// Shows `time` from now on; it may lie in the past.
    pub fn set(&self, time: DateTime<Utc>) {
        self.shared
            .micros
            .store(time.timestamp_micros(), Ordering::SeqCst);
    }

    /// Moves on by `duration`; at the end of time it stays there.
    pub fn advance(&self, duration: Duration) {
        let step = TimeDelta::from_std(duration).unwrap_or(TimeDelta::MAX);
        self.set(
            self.now()
                .checked_add_signed(step)
                .unwrap_or(DateTime::<Utc>::MAX_UTC),
        );
    }
}

impl Clock for ManualClock {
    fn now(&self) -> DateTime<Utc> {
        let micros = self.shared.micros.load(Ordering::SeqCst);
        DateTime::from_timestamp_micros(micros).unwrap_or(DateTime::<Utc>::MAX_UTC)
    }

    fn random(&self) -> u128 {
        let n = self.shared.drawn.fetch_add(1, Ordering::Relaxed);
        // SHA-1 of the counter under a namespace of this clock's own: as good as random for ids, and
        // version 5 fixes 6 bits only, which the clock's own seed covers.
        let namespace = Uuid::from_u128(self.shared.seed);
        Uuid::new_v5(&namespace, &n.to_le_bytes()).as_u128() ^ self.shared.seed
    }
}

/// 64 random bits. Which half of the 128 is as good as the other.
pub(crate) fn random_u64(clock: &dyn Clock) -> u64 {
    u64::try_from(clock.random() & u128::from(u64::MAX)).expect("half of 128 bits")
}
