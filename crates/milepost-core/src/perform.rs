//! Performing what the machine has decided: nothing here can be refused, but for its size.

use std::sync::Arc;

use chrono::{DateTime, Utc};

use crate::claim::{CancelRequest, Claim, ClaimEnd};
use crate::file::File;
use crate::limits::{ATTEMPTS_PER_MODULE, ATTEMPTS_PER_PROCESS, RECORD_BYTES};
use crate::module::{Attempt, AttemptEnd, Module, ModuleState, Standing};
use crate::process::{Outcome, Process};
use crate::size;
use crate::verdict::Rejection;
use crate::work::{Failure, Progress};

/// What is to be done to a process, once all is checked.
pub(crate) enum Effect {
    Enter {
        index: usize,
        state: ModuleState,
    },
    Report {
        index: usize,
        since: DateTime<Utc>,
        progress: Progress,
    },
    Retry {
        index: usize,
        since: DateTime<Utc>,
        failure: Failure,
    },
    Cancel {
        reason: Arc<str>,
    },
    Rerun,
    Update {
        file: File,
        expires_at: Option<DateTime<Utc>>,
    },
    Claim(Box<Claim>),
    Renew {
        until: DateTime<Utc>,
    },
    /// Gives the lease back, and grants the wish that stood under it.
    Release,
    Wish {
        reason: Arc<str>,
    },
    /// Reaps, and grants the wish that stood under the lease.
    Grant,
    /// Reaps: what runs fails, or else what is next.
    FailStalled {
        failure: Failure,
    },
    /// Reaps: what runs is to be tried again.
    FreeStalled {
        failure: Failure,
    },
}

/// Performs the effect if the record stays within its limit; if not, nothing is touched.
pub(crate) fn perform_within_size(
    slot: &mut Arc<Process>,
    effect: Effect,
    at: DateTime<Utc>,
) -> Result<(), Rejection> {
    let growth = growth(&effect, slot);
    if growth == 0 || size::of(slot) + growth <= RECORD_BYTES {
        perform(Arc::make_mut(slot), effect, at);
        return Ok(());
    }
    let mut next = Process::clone(slot);
    perform(&mut next, effect, at);
    let mut bytes = size::of(&next);
    while bytes > RECORD_BYTES && drop_oldest_attempt(&mut next) {
        bytes = size::of(&next);
    }
    if bytes > RECORD_BYTES {
        return Err(Rejection::TooLarge {
            bytes,
            limit: RECORD_BYTES,
        });
    }
    *slot = Arc::new(next);
    Ok(())
}

/// At most how many bytes of text an effect adds to the record.
fn growth(effect: &Effect, process: &Process) -> usize {
    match effect {
        Effect::Enter { state, .. } => size::of_state(state),
        Effect::Report { progress, .. } => progress.text_bytes(),
        Effect::Retry { failure, .. } => failure.text_bytes() + size::ATTEMPT,
        Effect::Cancel { reason } => reason.len(),
        Effect::Rerun => {
            // Each cancelled module's attempt keeps the reason.
            let reason = match &process.outcome {
                Outcome::Cancelled { reason, .. } => reason.len(),
                Outcome::Ongoing | Outcome::Complete { .. } | Outcome::Failed { .. } => 0,
            };
            process.modules.len() * (size::ATTEMPT + reason)
        }
        Effect::Update { file, .. } => file.text_bytes(),
        Effect::Claim(claim) => size::of_claim(claim, process),
        Effect::Wish { reason } => size::WISH + reason.len(),
        // The claim has kept room for these; the text of a wish moves.
        Effect::Renew { .. } | Effect::Release | Effect::Grant | Effect::FailStalled { .. } => 0,
        Effect::FreeStalled { failure } => {
            process.modules.len() * (size::ATTEMPT + failure.text_bytes())
        }
    }
}

/// Nothing here can fail: all was decided before.
fn perform(process: &mut Process, effect: Effect, at: DateTime<Utc>) {
    process.version.revision += 1;
    process.updated_at = process.updated_at.max(at);
    match effect {
        Effect::Enter { index, state } => {
            let failed = matches!(state, ModuleState::Failed { .. });
            process.modules[index].state = state;
            if failed {
                if process.outcome == Outcome::Ongoing {
                    process.outcome = Outcome::Failed { at, index };
                }
            } else if process.outcome == Outcome::Ongoing
                && process.modules.iter().all(|module| module.state.is_done())
            {
                process.outcome = Outcome::Complete { at };
            }
        }
        Effect::Report {
            index,
            since,
            progress,
        } => {
            let module = &mut process.modules[index];
            module.state = ModuleState::Running { since };
            Arc::make_mut(&mut module.details).progress = Some(Standing { progress, at });
        }
        Effect::Retry {
            index,
            since,
            failure,
        } => {
            let end = Past {
                started: Some(since),
                ended: at,
                end: AttemptEnd::Retried(failure),
            };
            try_again(process, index, end);
            drop_attempts_over_limits(process);
        }
        Effect::Cancel { reason } => perform_cancel(process, reason, at),
        Effect::Rerun => perform_rerun(process, at),
        Effect::Update { file, expires_at } => {
            process.file = file;
            process.expires_at = expires_at;
        }
        Effect::Claim(claim) => process.claim = Some(claim),
        Effect::Renew { until } => {
            if let Some(claim) = &mut process.claim {
                claim.until = until;
            }
        }
        Effect::Release => {
            end_claim(process, ClaimEnd::Released { at });
            grant_wish(process, at);
        }
        Effect::Wish { reason } => {
            process.cancel_request = Some(Box::new(CancelRequest { reason, at }));
        }
        Effect::Grant => {
            end_claim(process, ClaimEnd::Reaped { at });
            grant_wish(process, at);
        }
        Effect::FailStalled { failure } => {
            end_claim(process, ClaimEnd::Reaped { at });
            fail_stalled(process, &failure, at);
        }
        Effect::FreeStalled { failure } => {
            end_claim(process, ClaimEnd::Reaped { at });
            free_stalled(process, &failure, at);
        }
    }
}

fn perform_cancel(process: &mut Process, reason: Arc<str>, at: DateTime<Utc>) {
    for module in &mut process.modules {
        if !module.state.is_settled() {
            module.state = ModuleState::Cancelled {
                started: module.state.started(),
                at,
            };
        }
    }
    let reason = Box::new(reason);
    process.outcome = Outcome::Cancelled { at, reason };
    // Granted, by whomever.
    process.cancel_request = None;
}

fn end_claim(process: &mut Process, end: ClaimEnd) {
    if let Some(claim) = &mut process.claim {
        claim.end = Some(end);
    }
}

/// A wish that nobody is left to grant is granted.
fn grant_wish(process: &mut Process, at: DateTime<Utc>) {
    if let Some(wish) = process.cancel_request.take() {
        perform_cancel(process, wish.reason, at);
    }
}

fn fail_stalled(process: &mut Process, failure: &Failure, at: DateTime<Utc>) {
    let failed = |started| ModuleState::Failed {
        started,
        ended: at,
        failure: failure.clone(),
    };
    let mut blamed = None;
    for (index, module) in process.modules.iter_mut().enumerate() {
        if let ModuleState::Running { since } = module.state {
            module.state = failed(since);
            blamed.get_or_insert(index);
        }
    }
    if blamed.is_none() {
        let is_pending = |module: &Module| module.state == ModuleState::Pending;
        blamed = process.modules.iter().position(is_pending);
        if let Some(index) = blamed {
            process.modules[index].state = failed(at);
        }
    }
    let index = blamed.expect("an ongoing process has a module that is running or pending");
    process.outcome = Outcome::Failed { at, index };
}

fn free_stalled(process: &mut Process, failure: &Failure, at: DateTime<Utc>) {
    for index in 0..process.modules.len() {
        if let ModuleState::Running { since } = process.modules[index].state {
            let past = Past {
                started: Some(since),
                ended: at,
                end: AttemptEnd::Retried(failure.clone()),
            };
            try_again(process, index, past);
        }
    }
    drop_attempts_over_limits(process);
}

fn perform_rerun(process: &mut Process, at: DateTime<Utc>) {
    let cancelled_for = match std::mem::replace(&mut process.outcome, Outcome::Ongoing) {
        Outcome::Cancelled { reason, .. } => *reason,
        Outcome::Ongoing | Outcome::Complete { .. } | Outcome::Failed { .. } => Arc::from(""),
    };
    for index in 0..process.modules.len() {
        let past = match &process.modules[index].state {
            ModuleState::Pending | ModuleState::Complete { .. } | ModuleState::Skipped { .. } => {
                continue;
            }
            ModuleState::Running { since } => Past {
                started: Some(*since),
                ended: at,
                end: AttemptEnd::Interrupted,
            },
            ModuleState::Failed {
                started,
                ended,
                failure,
            } => Past {
                started: Some(*started),
                ended: *ended,
                end: AttemptEnd::Failed(failure.clone()),
            },
            ModuleState::Cancelled { started, at } => Past {
                started: *started,
                ended: *at,
                end: AttemptEnd::Cancelled(cancelled_for.clone()),
            },
        };
        try_again(process, index, past);
    }
    process.run += 1;
    process.claim = None;
    process.cancel_request = None;
    drop_attempts_over_limits(process);
}

/// How the attempt that is given up went.
struct Past {
    started: Option<DateTime<Utc>>,
    ended: DateTime<Utc>,
    end: AttemptEnd,
}

/// Puts a module back to pending, and its attempt into the history.
fn try_again(process: &mut Process, index: usize, past: Past) {
    let module = &mut process.modules[index];
    module.state = ModuleState::Pending;
    let details = Arc::make_mut(&mut module.details);
    details.attempts.push(Attempt {
        number: details.attempt,
        run: process.run,
        revision: process.version.revision,
        started: past.started,
        ended: past.ended,
        end: past.end,
    });
    details.attempt += 1;
    details.progress = None;
}

fn drop_attempts_over_limits(process: &mut Process) {
    for module in &mut process.modules {
        let over = module.attempts().len().saturating_sub(ATTEMPTS_PER_MODULE);
        if over > 0 {
            let details = Arc::make_mut(&mut module.details);
            details.attempts.drain(..over);
        }
    }
    let kept = |process: &Process| {
        process
            .modules
            .iter()
            .map(|module| module.attempts().len())
            .sum::<usize>()
    };
    while kept(process) > ATTEMPTS_PER_PROCESS && drop_oldest_attempt(process) {}
}

/// Drops the attempt that ended first, by revision and then position; says whether there was one.
fn drop_oldest_attempt(process: &mut Process) -> bool {
    let first = |module: &&mut Module| module.attempts().first().map(|attempt| attempt.revision);
    let oldest = process
        .modules
        .iter_mut()
        .filter(|module| !module.attempts().is_empty())
        .min_by_key(first);
    let Some(module) = oldest else {
        return false;
    };
    Arc::make_mut(&mut module.details).attempts.remove(0);
    true
}
