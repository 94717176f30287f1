//! How an explanation is read off the record.

use chrono::{DateTime, Utc};

use super::{
    CancelWish, Explanation, Fault, Holder, HolderState, ModuleAttempt, NextStep, PastAttempt,
    PastEnd, RunningModule, WaitingFor,
};
use crate::claim::{Claim, ClaimEnd};
use crate::module::{Attempt, AttemptEnd, Module, ModuleState};
use crate::process::{OverallStatus, Process};

impl Explanation {
    pub(super) fn new(process: &Process, at: DateTime<Utc>) -> Self {
        let running = running(process);
        let held = process.claim().map(|claim| Holder::of(claim, process, at));
        let waiting_for = waiting_for(process, held.as_ref(), !running.is_empty(), at);
        Explanation {
            request_id: process.request_id(),
            pipeline: process.pipeline().to_owned(),
            status: process.status(),
            run: process.run(),
            at,
            created_at: process.created_at(),
            settled_at: process.settled_at(),
            last_heard: process.updated_at(),
            expires_at: process.expires_at(),
            modules: process.modules().len(),
            done: count(process, ModuleState::is_done),
            waiting_for,
            running,
            ready: ready(process, at),
            held,
            cancel_requested: process.cancel_requested().map(|wish| CancelWish {
                reason: wish.reason().to_owned(),
                at: wish.at(),
            }),
            failed: fault(process),
            tried: tried(process),
            no_longer_kept: process.modules().iter().map(no_longer_kept).sum(),
            next: next_step(process, waiting_for, at),
        }
    }
}

fn waiting_for(
    process: &Process,
    held: Option<&Holder>,
    runs: bool,
    at: DateTime<Utc>,
) -> WaitingFor {
    if is_over(process, at) {
        return WaitingFor::Nothing;
    }
    match held.map(|holder| holder.state) {
        Some(HolderState::Live) if process.cancel_requested().is_some() => WaitingFor::Cancellation,
        Some(HolderState::RunOut) => WaitingFor::Lease,
        Some(HolderState::Released { .. }) => WaitingFor::Claim,
        // A reap leaves nothing running: what runs since does so without a lease.
        Some(HolderState::Reaped { .. }) if !runs => WaitingFor::Claim,
        None | Some(HolderState::Live | HolderState::Reaped { .. } | HolderState::Over) => {
            if runs {
                WaitingFor::Modules
            } else {
                WaitingFor::Start
            }
        }
    }
}

fn next_step(process: &Process, waiting_for: WaitingFor, at: DateTime<Utc>) -> NextStep {
    if process.is_expired(at) {
        return NextStep::Purge;
    }
    match waiting_for {
        WaitingFor::Nothing if can_be_rerun(process) => NextStep::Rerun,
        WaitingFor::Nothing => NextStep::Nothing,
        WaitingFor::Modules => NextStep::Report,
        WaitingFor::Start => NextStep::Start,
        WaitingFor::Cancellation => NextStep::Agree,
        WaitingFor::Lease if process.cancel_requested().is_some() => NextStep::Cancel,
        WaitingFor::Lease => NextStep::Reap,
        WaitingFor::Claim => NextStep::Claim,
    }
}

/// Whether no more can become of it, but for a rerun.
fn is_over(process: &Process, at: DateTime<Utc>) -> bool {
    process.is_settled() || process.is_expired(at)
}

fn can_be_rerun(process: &Process) -> bool {
    let unfinished = matches!(
        process.status(),
        OverallStatus::Failed | OverallStatus::Cancelled
    );
    let mut modules = process.modules().iter();
    unfinished && process.run() < u32::MAX && modules.all(|module| module.attempt() < u32::MAX)
}

fn count(process: &Process, wanted: fn(&ModuleState) -> bool) -> usize {
    let modules = process.modules().iter();
    modules.filter(|module| wanted(module.state())).count()
}

fn running(process: &Process) -> Vec<RunningModule> {
    let running = |module: &Module| {
        let ModuleState::Running { since } = *module.state() else {
            return None;
        };
        Some(RunningModule {
            module: ModuleAttempt::of(module),
            since,
            progress: module.progress().cloned(),
            progress_at: module.progress_at(),
        })
    };
    process.modules().iter().filter_map(running).collect()
}

fn ready(process: &Process, at: DateTime<Utc>) -> Vec<ModuleAttempt> {
    let modules = process.modules();
    let reached = if is_over(process, at) {
        0
    } else if process.chain().is_parallel() {
        modules.len()
    } else {
        let done = modules.iter().take_while(|module| module.state().is_done());
        done.count() + 1
    };
    let reached = modules.iter().take(reached);
    let pending = reached.filter(|module| *module.state() == ModuleState::Pending);
    pending.map(ModuleAttempt::of).collect()
}

fn fault(process: &Process) -> Option<Fault> {
    let blame = process.blame()?;
    let at_fault = blame.module.map(Module::position);
    let others = process.modules().iter().filter(|module| {
        matches!(module.state(), ModuleState::Failed { .. }) && Some(module.position()) != at_fault
    });
    Some(Fault {
        module: blame.module.map(ModuleAttempt::of),
        reason: blame.reason.to_owned(),
        message: blame.message.to_owned(),
        at: blame.at,
        others: others.map(ModuleAttempt::of).collect(),
    })
}

fn tried(process: &Process) -> Vec<PastAttempt> {
    let of_module = |module| {
        Module::attempts(module)
            .iter()
            .map(move |past| (module, past))
    };
    let mut tried = process
        .modules()
        .iter()
        .flat_map(of_module)
        .collect::<Vec<_>>();
    // Not by their times: clocks jump.
    tried.sort_by_key(|(_, past)| past.revision);
    let tried = tried.into_iter();
    tried
        .map(|(module, past)| PastAttempt::of(module, past))
        .collect()
}

fn no_longer_kept(module: &Module) -> u64 {
    let past = u64::from(module.attempt()).saturating_sub(1);
    past.saturating_sub(module.attempts().len() as u64)
}

impl ModuleAttempt {
    fn of(module: &Module) -> Self {
        ModuleAttempt {
            position: module.position(),
            name: module.name().to_owned(),
            attempt: module.attempt(),
        }
    }
}

impl Holder {
    fn of(claim: &Claim, process: &Process, at: DateTime<Utc>) -> Self {
        let state = match claim.end() {
            Some(ClaimEnd::Released { at }) => HolderState::Released { at },
            Some(ClaimEnd::Reaped { at }) => HolderState::Reaped { at },
            None if is_over(process, at) => HolderState::Over,
            None if process.is_stalled(at) => HolderState::RunOut,
            None => HolderState::Live,
        };
        Holder {
            worker: claim.worker().to_owned(),
            token: claim.token(),
            since: claim.claimed_at(),
            until: claim.until(),
            heard_at: claim.heard_at(),
            state,
        }
    }
}

impl PastAttempt {
    fn of(module: &Module, past: &Attempt) -> Self {
        let end = match past.end() {
            AttemptEnd::Failed(failure) => PastEnd::Failed {
                reason: failure.reason().to_owned(),
                message: failure.message().to_owned(),
            },
            AttemptEnd::Retried(failure) => PastEnd::Retried {
                reason: failure.reason().to_owned(),
                message: failure.message().to_owned(),
            },
            AttemptEnd::Cancelled(reason) => PastEnd::Cancelled {
                reason: reason.as_ref().to_owned(),
            },
            AttemptEnd::Interrupted => PastEnd::Interrupted,
        };
        PastAttempt {
            module: ModuleAttempt {
                attempt: past.number(),
                ..ModuleAttempt::of(module)
            },
            run: past.run(),
            started: past.started(),
            ended: past.ended(),
            end,
        }
    }
}
