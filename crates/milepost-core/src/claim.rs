//! Who holds a process, until when, and whether it is to be called off.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::invalid::{Field, Invalid};
use crate::limits;
use crate::process::Process;

/// A worker's claim on a process, as the record keeps it.
///
/// The newest one of a run stays in the record, also after it ended, until another claim takes its place
/// or a rerun clears it. What a worker holds is a [`Lease`](crate::Lease).
#[derive(Debug, Clone, PartialEq)]
pub struct Claim {
    pub(crate) token: u64,
    pub(crate) mark: u64,
    pub(crate) worker: Arc<str>,
    pub(crate) claimed_at: DateTime<Utc>,
    pub(crate) heard_at: DateTime<Utc>,
    pub(crate) until: DateTime<Utc>,
    pub(crate) end: Option<ClaimEnd>,
}

/// How a claim ended before it ran out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ClaimEnd {
    /// Its worker gave it back.
    Released {
        /// When.
        at: DateTime<Utc>,
    },
    /// It had run out, and somebody failed or freed what stood still.
    Reaped {
        /// When.
        at: DateTime<Utc>,
    },
}

impl Claim {
    /// The fencing token: the revision that the claim made. Later claims of a process have larger ones.
    #[must_use]
    pub fn token(&self) -> u64 {
        self.token
    }

    /// The number by which a claim that is sent again is known for the same.
    #[must_use]
    pub fn mark(&self) -> u64 {
        self.mark
    }

    /// The name that the worker gave itself.
    #[must_use]
    pub fn worker(&self) -> &str {
        &self.worker
    }

    /// When the process was claimed.
    #[must_use]
    pub fn claimed_at(&self) -> DateTime<Utc> {
        self.claimed_at
    }

    /// When the holder last changed something: claiming, renewing and every op under the lease count.
    #[must_use]
    pub fn heard_at(&self) -> DateTime<Utc> {
        self.heard_at
    }

    /// When it runs out, or ran out, unless it is renewed.
    #[must_use]
    pub fn until(&self) -> DateTime<Utc> {
        self.until
    }

    /// How it ended before it ran out, if it did.
    #[must_use]
    pub fn end(&self) -> Option<ClaimEnd> {
        self.end
    }
}

/// A wish that a process be cancelled, which its worker has not answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CancelRequest {
    pub(crate) reason: Arc<str>,
    pub(crate) at: DateTime<Utc>,
}

impl CancelRequest {
    /// Why.
    #[must_use]
    pub fn reason(&self) -> &str {
        &self.reason
    }

    /// When it was asked for.
    #[must_use]
    pub fn at(&self) -> DateTime<Utc> {
        self.at
    }
}

impl Process {
    /// The claim that was made last in this run, whether it still stands or not.
    #[must_use]
    pub fn claim(&self) -> Option<&Claim> {
        self.claim.as_deref()
    }

    /// The wish that it be cancelled, until that is granted. It stays in the record of a process that completed or
    /// failed all the same, until a rerun.
    #[must_use]
    pub fn cancel_requested(&self) -> Option<&CancelRequest> {
        self.cancel_request.as_deref()
    }

    /// When its lease runs out, or ran out. None if it has settled, was never claimed, or the claim was
    /// released or reaped: what stores keep an index of.
    #[must_use]
    pub fn leased_until(&self) -> Option<DateTime<Utc>> {
        let claim = self.claim().filter(|claim| claim.end.is_none());
        claim
            .filter(|_| !self.is_settled())
            .map(|claim| claim.until)
    }

    /// Whether a worker holds a lease on it that has not run out by `time`.
    #[must_use]
    pub fn is_leased(&self, time: DateTime<Utc>) -> bool {
        self.leased_until().is_some_and(|until| time < until)
    }

    /// Whether its worker has gone silent: ongoing, under a lease that has run out by `time`.
    ///
    /// Derived, never stored: ask again with another time and the answer may be another.
    #[must_use]
    pub fn is_stalled(&self, time: DateTime<Utc>) -> bool {
        self.leased_until().is_some_and(|until| until <= time)
    }
}

/// What is to become of a process whose lease has run out.
///
/// A wish to cancel it is granted instead, whatever the policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ReapPolicy {
    /// What runs fails with the reason [`LEASE_EXPIRED`](ReapPolicy::LEASE_EXPIRED). If nothing does, the
    /// module that is next fails.
    Fail,
    /// What runs goes back to pending, for another worker to claim. A module that has been tried
    /// `attempts` times, in this run and those before it, fails as under [`Fail`](ReapPolicy::Fail).
    ///
    /// A worker's own [`retry`](crate::ModuleHandle::retry) uses up attempts too. A worker that dies before it starts
    /// a module uses up none, and nor does one whose process is claimed by another before it is reaped.
    Retry {
        /// How many attempts a module gets in all; 0 and 1 give it no second one.
        attempts: u32,
    },
}

impl ReapPolicy {
    /// The reason of a failure that a lease's end has caused.
    pub const LEASE_EXPIRED: &'static str = "LeaseExpired";

    /// Fails what stands still.
    #[must_use]
    pub fn fail() -> Self {
        ReapPolicy::Fail
    }

    /// Gives what stands still to another worker, each module `attempts` times in all.
    #[must_use]
    pub fn retry(attempts: u32) -> Self {
        ReapPolicy::Retry { attempts }
    }
}

/// Checks a worker's name.
pub(crate) fn check_worker(worker: &str) -> Result<(), Invalid> {
    Field::Worker.check(worker)
}

/// Checks for how long a lease is asked.
pub(crate) fn check_ttl(ttl: Duration) -> Result<(), Invalid> {
    if (limits::SHORTEST_LEASE..=limits::LONGEST_LEASE).contains(&ttl) {
        Ok(())
    } else {
        Err(Invalid::LeaseTime { given: ttl })
    }
}
