//! How far a process is as a whole, and how long it may still take, by what others of its chain took.

use std::fmt;
use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::error::TrackError;
use crate::id::RequestId;
use crate::limits::{ESTIMATE_LEAST_SAMPLES, ESTIMATE_SAMPLES};
use crate::module::{Module, ModuleState};
use crate::process::{OverallStatus, Process};
use crate::prose::whole_seconds;
use crate::query::Query;
use crate::tracker::Tracker;
use crate::work::Progress;

/// How far a process is as a whole, and how long it may still take.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Estimate {
    /// The part of the whole that is done, from 0 to 1; 1 once the process is complete, and only then.
    ///
    /// Each module counts by what it took others: by the median duration in the processes of the same chain that were
    /// complete when this one began, the newest 100 of them. Where those are fewer than five, all modules count alike.
    /// A running module counts by its progress; where its total is unknown, by the time it has run beside the median
    /// of those that ran longer.
    pub fraction: f64,
    /// How long it may take until it settles. None once it has, and none without at least five samples.
    pub left: Option<TimeLeft>,
}

/// How long a process may still take, had it gone on from here like the newest complete processes of its chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct TimeLeft {
    /// Half of them would have taken at most this long.
    pub median: Duration,
    /// Nine in ten of them would have taken at most this long.
    pub percentile_90: Duration,
    /// How many processes that is said by: 5 to 100.
    pub samples: usize,
}

/// `about 2 min 03 s left, 5 h 07 min at most of nine in ten`.
impl fmt::Display for TimeLeft {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [median, most] =
            [self.median, self.percentile_90].map(|left| whole_seconds(left.as_secs()));
        write!(f, "about {median} left, {most} at most of nine in ten")
    }
}

/// Estimates of one process, one after another, whose fraction never goes back: see [`Tracker::estimator`].
#[derive(Debug)]
pub struct Estimator {
    tracker: Tracker,
    id: RequestId,
    /// The mark and the fraction of the process that was estimated last.
    last: Option<(u64, f64)>,
}

impl Tracker {
    /// How far a process is as a whole, and how long it may still take.
    ///
    /// Reads the process, and for each of the two a page of at most 100 records: nothing is kept between calls, so that no
    /// figure outlives the processes that it came of. By this alone the fraction may go back, when a module is tried
    /// again or learns of a larger total: [`estimator`](Tracker::estimator) holds it.
    ///
    /// Time that a process spends between modules is nobody's, and not in the estimate; nor are chains of the same
    /// name with other modules.
    ///
    /// # Examples
    ///
    /// ```
    /// # use milepost_core::{RequestId, TrackError, Tracker};
    /// fn tell(tracker: &Tracker, id: RequestId) -> Result<(), TrackError> {
    ///     let estimate = tracker.estimate(id)?;
    ///     println!("{:.0} %", estimate.fraction * 100.0);
    ///     if let Some(left) = estimate.left {
    ///         println!("about {:?} left, {:?} at worst", left.median, left.percentile_90);
    ///     }
    ///     Ok(())
    /// }
    /// ```
    pub fn estimate(&self, id: RequestId) -> Result<Estimate, TrackError> {
        let process = self.get(id)?;
        self.estimate_of(&process)
    }

    /// Estimates of one process, one after another: for whoever follows it.
    ///
    /// The fraction never goes back: not when a module is tried again, the process is run again or a total grows, nor
    /// when what it is weighed by is erased. Another process that goes by the same id begins at 0. Asks nobody.
    #[must_use]
    pub fn estimator(&self, id: RequestId) -> Estimator {
        Estimator {
            tracker: self.clone(),
            id,
            last: None,
        }
    }

    fn estimate_of(&self, process: &Process) -> Result<Estimate, TrackError> {
        if process.status() == OverallStatus::Complete {
            return Ok(Estimate {
                fraction: 1.0,
                left: None,
            });
        }
        let now = self.clock().now();
        let before = self.samples(process, |query| query.settled(..=process.created_at()))?;
        let left = if process.is_settled() {
            None
        } else {
            time_left(process, &self.samples(process, |all| all)?, now)
        };
        Ok(Estimate {
            fraction: fraction(process, &before, now),
            left,
        })
    }

    /// How long each module took in the newest complete processes of the same chain.
    fn samples(
        &self,
        process: &Process,
        narrow: impl FnOnce(Query) -> Query,
    ) -> Result<Vec<Sample>, TrackError> {
        let complete = Query::new()
            .pipeline(process.pipeline())
            .status(OverallStatus::Complete)
            .limit(ESTIMATE_SAMPLES);
        let page = self.list(&narrow(complete))?;
        let same = page
            .items
            .iter()
            .filter(|one| one.chain() == process.chain());
        Ok(same
            .map(|one| one.modules().iter().map(took).collect())
            .collect())
    }
}

impl Estimator {
    /// How far the process is now, and how long it may still take: see [`Tracker::estimate`].
    pub fn estimate(&mut self) -> Result<Estimate, TrackError> {
        let process = self.tracker.get(self.id)?;
        let mut estimate = self.tracker.estimate_of(&process)?;
        let born = process.version().born;
        if let Some((last, reached)) = self.last
            && last == born
        {
            estimate.fraction = estimate.fraction.max(reached);
        }
        self.last = Some((born, estimate.fraction));
        Ok(estimate)
    }
}

/// How long each module took in one complete process; none for one that was left out.
type Sample = Box<[Option<Duration>]>;

fn took(module: &Module) -> Option<Duration> {
    match module.state() {
        ModuleState::Complete { started, ended } => Some(between(*started, *ended)),
        _ => None,
    }
}

fn between(from: DateTime<Utc>, to: DateTime<Utc>) -> Duration {
    (to - from).to_std().unwrap_or(Duration::ZERO)
}

/// What is at or below the given part of all, `durations` being sorted: by the nearest rank.
fn percentile(durations: &[Duration], percent: usize) -> Duration {
    let rank = (durations.len() * percent).div_ceil(100);
    durations[rank.max(1) - 1]
}

/// The median of enough durations.
fn median(durations: impl Iterator<Item = Duration>) -> Option<Duration> {
    let mut sorted = durations.collect::<Vec<_>>();
    sorted.sort_unstable();
    (sorted.len() >= ESTIMATE_LEAST_SAMPLES).then(|| percentile(&sorted, 50))
}

/// How much of a process is done that is not complete.
fn fraction(process: &Process, samples: &[Sample], now: DateTime<Utc>) -> f64 {
    let modules = process.modules();
    let of_module = |index: usize| samples.iter().filter_map(move |sample| sample[index]);
    let medians = (0..modules.len()).map(|index| median(of_module(index)));
    let weights = medians
        .map(|median| median.map(|median| median.as_secs_f64()))
        .collect::<Option<Vec<_>>>()
        .filter(|weights| weights.iter().sum::<f64>() > 0.0)
        .unwrap_or_else(|| vec![1.0; modules.len()]);
    let done = modules.iter().zip(&weights).enumerate();
    let done = done.map(|(index, (module, weight))| weight * part(module, of_module(index), now));
    // Sums of parts may be a little more than the whole.
    let fraction = done.sum::<f64>() / weights.iter().sum::<f64>();
    fraction.min(NEARLY)
}

/// What nothing reaches before it is complete.
const NEARLY: f64 = 0.999;

/// How much of a module is done.
fn part(module: &Module, took: impl Iterator<Item = Duration>, now: DateTime<Utc>) -> f64 {
    let state = module.state();
    if state.is_done() {
        return 1.0;
    }
    let known = module.progress().and_then(Progress::fraction);
    match (known, state) {
        (Some(known), _) => known,
        (None, ModuleState::Running { since }) => by_time(took.collect(), between(*since, now)),
        (None, _) => 0.0,
    }
}

/// How much of a module is done that has run for so long, and says nothing of how much there is.
fn by_time(mut took: Vec<Duration>, elapsed: Duration) -> f64 {
    if took.len() < ESTIMATE_LEAST_SAMPLES {
        return 0.0;
    }
    took.retain(|took| *took > elapsed);
    took.sort_unstable();
    if took.is_empty() {
        // None has run for so long: it may be done at any time, or not.
        return NEARLY;
    }
    elapsed.as_secs_f64() / percentile(&took, 50).as_secs_f64()
}

fn time_left(process: &Process, samples: &[Sample], now: DateTime<Utc>) -> Option<TimeLeft> {
    let left = |sample: &Sample| left_like(process, sample, now);
    let mut all = samples.iter().filter_map(left).collect::<Vec<_>>();
    // Those that had ended by now say nothing of how long this one still takes, if there are enough of others.
    let longer = all.iter().filter(|(_, longer)| *longer).count();
    if longer >= ESTIMATE_LEAST_SAMPLES {
        all.retain(|(_, longer)| *longer);
    }
    let mut left = all.into_iter().map(|(left, _)| left).collect::<Vec<_>>();
    left.sort_unstable();
    (left.len() >= ESTIMATE_LEAST_SAMPLES).then(|| TimeLeft {
        median: percentile(&left, 50),
        percentile_90: percentile(&left, 90),
        samples: left.len(),
    })
}

/// How long the process takes if it goes on like `sample`, and whether that one took longer for what runs now than this
/// one has run. None if a module that is yet to be done was left out there.
fn left_like(process: &Process, sample: &Sample, now: DateTime<Utc>) -> Option<(Duration, bool)> {
    let mut left = Duration::ZERO;
    let mut longer = true;
    for (module, took) in process.modules().iter().zip(sample) {
        let state = module.state();
        if state.is_settled() {
            continue;
        }
        let took = (*took)?;
        let progress = module.progress().and_then(Progress::fraction);
        let of_module = match (state, progress) {
            (ModuleState::Running { .. }, Some(done)) => took.mul_f64((1.0 - done).max(0.0)),
            (ModuleState::Running { since }, None) => {
                let elapsed = between(*since, now);
                longer &= took > elapsed;
                took.saturating_sub(elapsed)
            }
            _ => took,
        };
        left = if process.chain().is_parallel() {
            left.max(of_module)
        } else {
            left + of_module
        };
    }
    Some((left, longer))
}
