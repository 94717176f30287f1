//! Retention: how long what has settled is kept.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use crate::error::TrackError;
use crate::guard::Guard;
use crate::limits;
use crate::listing::Listing;
use crate::op::{Change, Op};
use crate::process::{OverallStatus, Process};
use crate::query::{Asked, Query};
use crate::tracker::Tracker;

/// How long processes are kept once they have settled: rules for all of them, and for single pipelines.
///
/// Settled is complete, failed or cancelled alike: what was let go can no longer be rerun. Nothing that is ongoing is
/// ever let go, however old. What any rule lets go is erased, so a rule
/// for all processes holds for every pipeline: to keep some for longer, name each pipeline instead.
///
/// ```
/// # fn host(store: impl milepost_core::StatusStore) {
/// use std::time::Duration;
/// use milepost_core::{Keep, RetentionPolicy, Tracker};
///
/// let month = Duration::from_secs(30 * 24 * 3600);
/// let policy = RetentionPolicy::new()
///     .all(Keep::new().settled_within(month))
///     .pipeline("thumbnails", Keep::new().newest(1_000));
/// let tracker = Tracker::new(store).retention(policy);
/// # }
/// ```
#[derive(Debug, Clone, Default, PartialEq)]
#[must_use]
pub struct RetentionPolicy {
    rules: Vec<Rule>,
}

/// What is kept of the processes that a rule is about. Builders by value; what is not said keeps all.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[must_use]
pub struct Keep {
    age: Option<Duration>,
    number: Option<u64>,
}

#[derive(Debug, Clone, PartialEq)]
struct Rule {
    pipeline: Option<String>,
    keep: Keep,
}

impl RetentionPolicy {
    /// A policy that keeps everything.
    pub fn new() -> Self {
        RetentionPolicy::default()
    }

    /// A rule for all processes together.
    pub fn all(self, keep: Keep) -> Self {
        self.rule(None, keep)
    }

    /// A rule for the processes of one pipeline.
    pub fn pipeline(self, name: &str, keep: Keep) -> Self {
        self.rule(Some(name.into()), keep)
    }

    fn rule(mut self, pipeline: Option<String>, keep: Keep) -> Self {
        self.rules.push(Rule { pipeline, keep });
        self
    }
}

impl Keep {
    /// Keeps all.
    pub fn new() -> Self {
        Keep::default()
    }

    /// Keeps what has settled no longer than this ago, by the tracker's clock.
    pub fn settled_within(self, age: Duration) -> Self {
        Keep {
            age: Some(age),
            ..self
        }
    }

    /// Keeps at most so many that have settled: those that began last.
    pub fn newest(self, number: u64) -> Self {
        Keep {
            number: Some(number),
            ..self
        }
    }
}

/// What one round of retention came to.
#[derive(Debug, Default)]
pub(crate) struct Retired {
    pub(crate) processes: usize,
    pub(crate) more: bool,
}

impl Tracker {
    /// Erases what the policy lets go: at most 1,000 for each part of each rule.
    pub(crate) fn retire(&self, policy: &RetentionPolicy) -> Result<Retired, TrackError> {
        let mut retired = Retired::default();
        for Rule { pipeline, keep } in &policy.rules {
            let mut query = Query::new().oldest_first().limit(limits::PAGE);
            if let Some(name) = pipeline {
                query = query.pipeline(name);
            }
            let now = self.clock().now();
            let longest_ago = |age| now.checked_sub_signed(TimeDelta::from_std(age).ok()?);
            // An age that reaches behind all times keeps everything.
            if let Some(since) = keep.age.and_then(longest_ago) {
                self.retire_before(&query, since, &mut retired)?;
            }
            if let Some(number) = keep.number {
                self.retire_over(query, number, &mut retired)?;
            }
        }
        Ok(retired)
    }

    fn retire_before(
        &self,
        query: &Query,
        since: DateTime<Utc>,
        retired: &mut Retired,
    ) -> Result<(), TrackError> {
        let listing = self.asked_now(&query.clone().settled(..since))?;
        let found = self.first_found(listing)?;
        retired.more |= found.next.is_some();
        self.erase_unchanged(found.items.iter().map(|process| &**process), retired)
    }

    fn retire_over(
        &self,
        query: Query,
        number: u64,
        retired: &mut Retired,
    ) -> Result<(), TrackError> {
        let query = [
            OverallStatus::Complete,
            OverallStatus::Failed,
            OverallStatus::Cancelled,
        ]
        .into_iter()
        .fold(query, Query::status);
        if self.count(&query)?.total() <= number {
            return Ok(());
        }
        // Listed before it is counted: what others let go in between then counts as gone, and no two that
        // tend at once let go of twice as many.
        let oldest = self.first_found(self.asked_now(&query)?)?.items;
        let over = self.count(&query)?.total().saturating_sub(number);
        let over = usize::try_from(over).unwrap_or(usize::MAX);
        retired.more |= over > oldest.len();
        let let_go = oldest.iter().take(over).map(|process| &**process);
        self.erase_unchanged(let_go, retired)
    }

    fn asked_now(&self, query: &Query) -> Result<Listing, TrackError> {
        let at = self.clock().now();
        Ok(query.listing(Asked::Visible { at })?)
    }

    /// Erases processes that are as they were read: what was rerun since stays.
    fn erase_unchanged<'p>(
        &self,
        processes: impl Iterator<Item = &'p Process>,
        retired: &mut Retired,
    ) -> Result<(), TrackError> {
        let erase = |process: &Process| -> Op {
            let version = process.version();
            let guard = Guard::new().born(version.born).revision(version.revision);
            self.op(process.request_id(), Change::erase())
                .guarded(guard)
        };
        let ops = processes.map(erase).collect::<Vec<_>>();
        if !ops.is_empty() {
            let erased = self.apply(&ops)?.iter().flatten().count();
            retired.processes += erased;
        }
        Ok(())
    }
}
