//! Reaping: what becomes of processes whose workers have gone silent.

use std::sync::Arc;

use crate::claim::ReapPolicy;
use crate::error::TrackError;
use crate::guard::Guard;
use crate::limits;
use crate::op::Change;
use crate::process::{OverallStatus, Process};
use crate::query::{Asked, Query};
use crate::tracker::Tracker;

/// What a call of [`Tracker::reap`] has done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Reaped {
    /// How many processes it failed.
    pub failed: usize,
    /// How many it freed, so that another worker can claim them.
    pub freed: usize,
    /// How many it cancelled, because somebody had asked for that.
    pub cancelled: usize,
    /// Whether more may have stalled than one call takes: call again.
    pub more: bool,
}

impl Reaped {
    /// All of them together.
    #[must_use]
    pub fn total(&self) -> usize {
        self.failed + self.freed + self.cancelled
    }
}

impl Tracker {
    /// Fails or frees processes whose leases have run out by the tracker's clock: at most 1,000, those that
    /// began first.
    ///
    /// Any number of trackers may reap at once: each stalled process is reaped by one of them, and one whose
    /// lease is renewed in time by none. Processes that were never claimed do not stall.
    ///
    /// # Examples
    ///
    /// ```
    /// # use milepost_core::{ReapPolicy, TrackError, Tracker};
    /// fn look_after(tracker: &Tracker) -> Result<(), TrackError> {
    ///     // Each module gets three attempts, then its process fails.
    ///     let reaped = tracker.reap(ReapPolicy::retry(3))?;
    ///     println!("{} given to others, {} given up", reaped.freed, reaped.failed);
    ///     Ok(())
    /// }
    /// ```
    pub fn reap(&self, policy: ReapPolicy) -> Result<Reaped, TrackError> {
        let at = self.clock().now();
        let query = Query::new().stalled().oldest_first().limit(limits::PAGE);
        let found = self.first_found(query.listing(Asked::Visible { at })?)?;
        let mut reaped = Reaped {
            more: found.next.is_some(),
            ..Reaped::default()
        };
        let reap = |process: &Arc<Process>| {
            let token = process.claim()?.token();
            let op = self.op(process.request_id(), Change::reap(token, policy));
            Some(op.guarded(Guard::new().born(process.version().born)))
        };
        let ops = found.items.iter().filter_map(reap).collect::<Vec<_>>();
        // What was renewed, reaped by others, settled or erased meanwhile is none of ours.
        let changed = self.apply(&ops)?.into_iter().flatten();
        for applied in changed.filter(|applied| applied.changed) {
            match applied.status {
                OverallStatus::Ongoing => reaped.freed += 1,
                OverallStatus::Cancelled => reaped.cancelled += 1,
                OverallStatus::Failed | OverallStatus::Complete => reaped.failed += 1,
            }
        }
        Ok(reaped)
    }
}
