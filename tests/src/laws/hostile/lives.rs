//! Processes of every kind, and a clock whose randomness follows from a seed: so they are the same each time.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use chrono::{DateTime, Utc};
use milepost::{
    Clock, Failure, FileId, MemoryStore, NewProcess, Pipeline, Process, Progress, ReapPolicy,
    RequestId, TrackError, Tracker,
};
use uuid::Uuid;

/// A clock that shows what it is told to, and whose random numbers follow from a seed. Clones are one clock.
#[derive(Debug, Clone)]
pub struct SeededClock {
    micros: Arc<AtomicI64>,
    random: Arc<Mutex<fastrand::Rng>>,
}

impl SeededClock {
    /// A clock that stands at `time`.
    #[must_use]
    pub fn new(time: DateTime<Utc>, seed: u64) -> Self {
        SeededClock {
            micros: Arc::new(AtomicI64::new(time.timestamp_micros())),
            random: Arc::new(Mutex::new(fastrand::Rng::with_seed(seed))),
        }
    }

    /// Shows `time` from now on.
    pub fn set(&self, time: DateTime<Utc>) {
        self.micros
            .store(time.timestamp_micros(), Ordering::Relaxed);
    }

    /// Shows what is so much later than now.
    ///
    /// # Panics
    ///
    /// If that is more than all of time.
    pub fn advance(&self, by: Duration) {
        let by = i64::try_from(by.as_micros()).expect("it is a few years at most");
        self.micros.fetch_add(by, Ordering::Relaxed);
    }
}

impl Clock for SeededClock {
    fn now(&self) -> DateTime<Utc> {
        let micros = self.micros.load(Ordering::Relaxed);
        DateTime::from_timestamp_micros(micros).expect("it is set to times only")
    }

    fn random(&self) -> u128 {
        self.random.lock().expect("nobody panics with it").u128(..)
    }
}

/// When the lives begin.
///
/// # Panics
///
/// Never.
#[must_use]
pub fn morning() -> DateTime<Utc> {
    "2026-05-18T12:00:00Z".parse().expect("a time")
}

/// How many kinds of life there are.
pub const KINDS: usize = 14;

/// One process of each kind, twice, always the same.
///
/// # Panics
///
/// Never: what is asked for is allowed.
#[must_use]
pub fn samples() -> &'static [Arc<Process>] {
    static SAMPLES: OnceLock<Vec<Arc<Process>>> = OnceLock::new();
    SAMPLES.get_or_init(|| {
        let clock = SeededClock::new(morning(), 7);
        let tracker = Tracker::with_clock(MemoryStore::new(), clock.clone());
        let mut random = fastrand::Rng::with_seed(7);
        let ids = lead(&tracker, &clock, &mut random, 2 * KINDS).expect("all of it is allowed");
        let find = |id: &RequestId| tracker.get(*id).expect("it is there");
        ids.iter().map(find).collect()
    })
}

/// Leads so many processes through lives of every kind.
pub fn lead(
    tracker: &Tracker,
    clock: &SeededClock,
    random: &mut fastrand::Rng,
    count: usize,
) -> Result<Vec<RequestId>, TrackError> {
    (0..count)
        .map(|number| {
            clock.advance(Duration::from_micros(random.u64(1..2_000_000)));
            let id = begin(tracker, random, number)?;
            live(tracker, clock, id, number % KINDS)?;
            Ok(id)
        })
        .collect()
}

fn pipeline(number: usize) -> Result<Pipeline, TrackError> {
    Ok(match number % 5 {
        0 => Pipeline::new("invoice-ocr", ["ocr", "parser", "keyword-db"])?,
        1 => Pipeline::new("thumbnails", ["scale"])?,
        2 => Pipeline::new("fan-out", ["left", "right", "middle"])?.parallel(),
        3 => Pipeline::new("größe 漢字", ["zählen", "zählen", "zählen", "fertig"])?,
        _ => Pipeline::new("n".repeat(128), ["m".repeat(128)])?,
    })
}

fn begin(
    tracker: &Tracker,
    random: &mut fastrand::Rng,
    number: usize,
) -> Result<RequestId, TrackError> {
    let mut new = NewProcess::new(&pipeline(number / KINDS + number)?);
    if number.is_multiple_of(2) {
        let id = |random: &mut fastrand::Rng| Uuid::from_u128(random.u128(1..));
        new = new
            .request_id(id(random).into())
            .file_id(FileId::from(id(random)))
            .file_name(&format!("file-{number}.pdf"))
            .symbolic_directory_path(["/a", "/a/b", "/ab", "/a%b"][number / 2 % 4]);
    }
    if number % 3 == 1 {
        new = new
            .tag("author", "melville")
            .tag("author", "")
            .tag("größe", "a\nb");
    }
    if number % 5 == 2 {
        new = new.file_description("about a whale");
    }
    if number % 7 == 3 {
        new = new.expires_in(Duration::from_hours(24));
    }
    Ok(tracker.begin(new)?.request_id())
}

fn live(
    tracker: &Tracker,
    clock: &SeededClock,
    id: RequestId,
    kind: usize,
) -> Result<(), TrackError> {
    let second = Duration::from_secs(1);
    let first = || tracker.process(id)?.module(1);
    let failure = || Failure::new("BadInput", "page 4 is blank");
    match kind {
        0 => {}
        1 => {
            let progress = Progress::of(3, 10).unit("pages").message("page 3");
            first()?.progress(progress)?;
        }
        2 => {
            for module in tracker.process(id)?.modules() {
                module.start()?;
                clock.advance(second);
                module.complete()?;
            }
        }
        3 => {
            first()?.start()?;
            clock.advance(second);
            first()?.fail(failure())?;
        }
        4 => {
            first()?.start()?;
            tracker.cancel(id, "the user left")?;
        }
        5 => {
            first()?.skip("not needed")?;
        }
        6 => {
            // More than are kept.
            for _ in 0..18 {
                first()?.start()?;
                first()?.retry(failure())?;
            }
        }
        7 => {
            first()?.fail(failure())?;
            tracker.rerun(id)?;
            first()?.progress(Progress::unbounded(u64::MAX))?;
        }
        8 => {
            let lease = tracker.claim(id, "worker 7", Duration::from_hours(1))?;
            lease.module(1)?.progress(Progress::of(1, 2))?;
        }
        9 => {
            tracker.claim(id, "worker 8", Duration::from_hours(1))?;
            tracker.request_cancel(id, "called off")?;
        }
        10 => {
            tracker.claim(id, "worker 9", second)?.release()?;
        }
        11 => {
            let lease = tracker.claim(id, "worker 10", second)?;
            lease.module(1)?.start()?;
            clock.advance(second);
            tracker.reap(ReapPolicy::retry(3))?;
        }
        12 => {
            let lease = tracker.claim(id, "worker 11", second)?;
            lease.module(1)?.start()?;
            clock.advance(second);
        }
        _ => {
            first()?.fail(Failure::new(&"r".repeat(255), &"long ".repeat(300)))?;
        }
    }
    Ok(())
}
