//! How large a record may become: what [`RECORD_BYTES`](crate::limits::RECORD_BYTES) counts.
//!
//! Texts count as they are, everything else at its largest. So the encoded record is never larger than
//! what is counted, and no op without text is ever refused for want of room.

use crate::claim::{Claim, ReapPolicy};
use crate::module::{Attempt, AttemptEnd, Module, ModuleState};
use crate::process::{Outcome, Process};
use crate::work::Progress;

/// The fixed part of a process: ids, counters, times, lengths.
const PROCESS: usize = 160;
/// The fixed part of a module.
const MODULE: usize = 88;
/// The fixed part of a past attempt.
pub(crate) const ATTEMPT: usize = 56;

/// The fixed part of a claim.
const CLAIM: usize = 80;
/// The fixed part of a wish.
pub(crate) const WISH: usize = 16;
/// The fixed part of what is said of a lease that ran out.
const EXPIRED: usize = ReapPolicy::LEASE_EXPIRED.len() + 32;

/// How many bytes the record of a process counts.
pub(crate) fn of(process: &Process) -> usize {
    let outcome = match &process.outcome {
        Outcome::Cancelled { reason, .. } => reason.len(),
        Outcome::Ongoing | Outcome::Complete { .. } | Outcome::Failed { .. } => 0,
    };
    let modules = process.modules.iter().map(of_module).sum::<usize>();
    let claim = process.claim().map_or(0, |claim| of_claim(claim, process));
    let wish = process
        .cancel_requested()
        .map_or(0, |wish| WISH + wish.reason().len());
    PROCESS
        + process.pipeline.text_bytes()
        + process.file.text_bytes()
        + outcome
        + modules
        + claim
        + wish
}

/// A claim that stands keeps room for the failure of all that may run under it, so that what is full to
/// the brim can still be reaped.
pub(crate) fn of_claim(claim: &Claim, process: &Process) -> usize {
    let worker = claim.worker().len();
    let at_once = if process.pipeline.is_parallel() {
        process.modules.len()
    } else {
        1
    };
    let reserve = claim.end().map_or(at_once * (EXPIRED + worker), |_| 0);
    CLAIM + worker + reserve
}

/// How many bytes of text a module's state holds.
pub(crate) fn of_state(state: &ModuleState) -> usize {
    match state {
        ModuleState::Failed { failure, .. } => failure.text_bytes(),
        ModuleState::Skipped { reason, .. } => reason.len(),
        ModuleState::Pending
        | ModuleState::Running { .. }
        | ModuleState::Complete { .. }
        | ModuleState::Cancelled { .. } => 0,
    }
}

fn of_module(module: &Module) -> usize {
    let progress = module.progress().map_or(0, Progress::text_bytes);
    MODULE
        + of_state(&module.state)
        + progress
        + module.attempts().iter().map(of_attempt).sum::<usize>()
}

fn of_attempt(attempt: &Attempt) -> usize {
    ATTEMPT
        + match &attempt.end {
            AttemptEnd::Failed(failure) | AttemptEnd::Retried(failure) => failure.text_bytes(),
            AttemptEnd::Cancelled(reason) => reason.len(),
            AttemptEnd::Interrupted => 0,
        }
}
