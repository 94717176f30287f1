//! The rules of leases and of wishes: who may hold a process, who is fenced off, what becomes of what
//! stands still.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::claim::{Claim, ClaimEnd, ReapPolicy};
use crate::module::{Module, ModuleState};
use crate::op::{Change, ChangeKind, Op};
use crate::perform::Effect;
use crate::process::{OverallStatus, Process};
use crate::time;
use crate::verdict::{GuardKind, Illegality, Rejection};
use crate::work::Failure;

/// What the lease in an op's guard says of it.
pub(crate) enum Standing {
    /// The holder's own op, or one that asks for no lease: judge on.
    Admitted,
    /// The lease was given back by this very op.
    Released,
}

/// Whether an op comes from whom its guard says: the holder of the lease.
///
/// A lease runs out only while the process is ongoing: what settled under a lease that lasted nobody else can
/// claim, and the holder may send again what got no answer.
pub(crate) fn admits(op: &Op, process: &Process) -> Result<Standing, Rejection> {
    let Some(token) = op.guard.lease else {
        let holders_own = matches!(op.change.kind(), ChangeKind::Renew | ChangeKind::Release);
        return if holders_own {
            Err(Illegality::LeaseGuard {
                change: op.change.kind(),
            }
            .into())
        } else {
            Ok(Standing::Admitted)
        };
    };
    let claim = holding(process, token)?;
    match claim.end {
        None => {}
        Some(ClaimEnd::Released { .. }) if op.change == Change::Release => {
            return Ok(Standing::Released);
        }
        Some(_) => return Err(fenced(process, token)),
    }
    let judged_at = process.settled_at().unwrap_or(time::to_micros(op.at));
    if claim.until <= judged_at {
        return Err(fenced(process, token));
    }
    Ok(Standing::Admitted)
}

/// The claim that bears this token.
fn holding(process: &Process, token: u64) -> Result<&Claim, Rejection> {
    let revision = process.version.revision;
    if token > revision {
        return Err(Illegality::FutureGuard {
            guard: GuardKind::Lease,
            given: token,
            current: revision,
        }
        .into());
    }
    let claim = process.claim().filter(|claim| claim.token == token);
    claim.ok_or_else(|| fenced(process, token))
}

fn fenced(process: &Process, given: u64) -> Rejection {
    Rejection::Fenced {
        given,
        current: process.claim().map(|claim| claim.token),
    }
}

fn held(claim: &Claim) -> Rejection {
    Rejection::Held {
        worker: claim.worker.clone(),
        until: claim.until,
    }
}

fn settled(process: &Process) -> Rejection {
    Rejection::Settled {
        status: process.status(),
    }
}

pub(crate) fn claim(
    process: &Process,
    worker: &str,
    ttl: Duration,
    mark: u64,
    at: DateTime<Utc>,
) -> Result<Option<Effect>, Rejection> {
    let until = time::after(at, ttl, "end of the lease")?;
    if let Some(standing) = process.claim().filter(|claim| claim.mark == mark) {
        // Sent again: a claim is made once, and never revived.
        return match standing.end {
            None => Ok(None),
            Some(_) => Err(fenced(process, standing.token)),
        };
    }
    if process.is_settled() {
        return Err(settled(process));
    }
    if let Some(standing) = process.claim().filter(|_| process.is_leased(at)) {
        return Err(held(standing));
    }
    Ok(Some(Effect::Claim(Box::new(Claim {
        // At the last revision it is refused behind this.
        token: process.version.revision.saturating_add(1),
        mark,
        worker: worker.into(),
        claimed_at: at,
        heard_at: at,
        until,
        end: None,
    }))))
}

/// Never shortens: a clock that was set back must not cost a lease that stands.
pub(crate) fn renew(
    process: &Process,
    ttl: Duration,
    at: DateTime<Utc>,
) -> Result<Option<Effect>, Rejection> {
    let until = time::after(at, ttl, "end of the lease")?;
    if process.is_settled() {
        return Err(settled(process));
    }
    let later = process
        .leased_until()
        .is_some_and(|standing| standing < until);
    Ok(later.then_some(Effect::Renew { until }))
}

/// Giving back what has settled changes nothing: nobody waits for it.
pub(crate) fn release(process: &Process) -> Option<Effect> {
    (!process.is_settled()).then_some(Effect::Release)
}

/// A wish for who holds it to grant; if nobody does, it is granted at once. The first one counts.
pub(crate) fn request_cancel(
    process: &Process,
    reason: &str,
    at: DateTime<Utc>,
) -> Result<Option<Effect>, Rejection> {
    match process.status() {
        OverallStatus::Ongoing => {}
        OverallStatus::Cancelled => return Ok(None),
        OverallStatus::Complete | OverallStatus::Failed => return Err(settled(process)),
    }
    let standing = process.cancel_requested().map(|wish| &wish.reason);
    let reason = standing.map_or_else(|| reason.into(), Arc::clone);
    Ok(if !process.is_leased(at) {
        Some(Effect::Cancel { reason })
    } else if standing.is_none() {
        Some(Effect::Wish { reason })
    } else {
        None
    })
}

/// Whoever reaps names the claim that it saw running out: if that was renewed, or another has claimed,
/// nothing happens.
pub(crate) fn reap(
    process: &Process,
    token: u64,
    policy: ReapPolicy,
    at: DateTime<Utc>,
) -> Result<Option<Effect>, Rejection> {
    let claim = holding(process, token)?;
    match claim.end {
        None => {}
        Some(ClaimEnd::Reaped { .. }) => return Ok(None),
        Some(ClaimEnd::Released { .. }) => return Err(fenced(process, token)),
    }
    if process.is_settled() {
        return Err(settled(process));
    }
    if process.is_leased(at) {
        return Err(held(claim));
    }
    if process.cancel_request.is_some() {
        return Ok(Some(Effect::Grant));
    }
    let running = |module: &&Module| matches!(module.state, ModuleState::Running { .. });
    let mut running = process.modules.iter().filter(running);
    let fails = match policy {
        ReapPolicy::Fail => true,
        ReapPolicy::Retry { attempts } => {
            running.any(|module| module.attempt() >= attempts || module.attempt() == u32::MAX)
        }
    };
    let failure = expired(claim);
    Ok(Some(if fails {
        Effect::FailStalled { failure }
    } else {
        Effect::FreeStalled { failure }
    }))
}

/// The failure that a lease's end causes.
fn expired(claim: &Claim) -> Failure {
    let message = format!("{} let its lease run out", claim.worker);
    Failure::new(ReapPolicy::LEASE_EXPIRED, &message)
}

/// Whether the claim that this op asks for is the one that stands.
pub(crate) fn is_claimed(process: &Process, mark: u64) -> bool {
    let standing = process.claim().filter(|claim| claim.mark == mark);
    standing.is_some_and(|claim| claim.end.is_none())
}

/// Whether the lease already lasts as long as a renewal at `at` asks.
pub(crate) fn is_renewed(process: &Process, ttl: Duration, at: DateTime<Utc>) -> bool {
    let until = time::after(at, ttl, "end of the lease");
    let standing = process.leased_until();
    until.is_ok_and(|until| standing.is_some_and(|standing| standing >= until))
}

/// Whether the claim of this token was reaped.
pub(crate) fn is_reaped(process: &Process, token: u64) -> bool {
    let claim = process.claim().filter(|claim| claim.token == token);
    claim.is_some_and(|claim| matches!(claim.end, Some(ClaimEnd::Reaped { .. })))
}
