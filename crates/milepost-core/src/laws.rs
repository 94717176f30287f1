//! What holds of every process that the machine can make: checked whenever one is read from outside.

use chrono::{DateTime, Utc};

use crate::claim;
use crate::invalid::Field;
use crate::limits::{ATTEMPTS_PER_MODULE, ATTEMPTS_PER_PROCESS, RECORD_BYTES};
use crate::module::{Attempt, AttemptEnd, Module, ModuleState};
use crate::process::{Outcome, Process};
use crate::size;
use crate::time::is_kept;

/// The law that a process breaks, as a sentence.
pub(crate) type Broken = &'static str;

/// Checks every law; what names, chain and file may be is checked where they are built.
pub(crate) fn check(process: &Process) -> Result<(), Broken> {
    let version = process.version;
    holds(version.revision >= 1, "a revision must be at least 1")?;
    holds(process.run >= 1, "a run must be at least 1")?;
    holds(
        is_kept(process.created_at) && is_kept(process.updated_at),
        "times must lie in years 1 to 9999",
    )?;
    holds(
        process.expires_at.is_none_or(is_kept),
        "an expiry must lie in years 1 to 9999",
    )?;
    holds(
        process.created_at <= process.updated_at,
        "no process may change before it begins",
    )?;
    let kept = process
        .modules
        .iter()
        .map(|module| module.attempts().len())
        .sum::<usize>();
    holds(
        kept <= ATTEMPTS_PER_PROCESS,
        "a process may keep at most 64 past attempts",
    )?;
    for module in &process.modules {
        module_laws(process, module)?;
    }
    claim_laws(process)?;
    order_laws(process)?;
    outcome_laws(process)?;
    holds(
        size::of(process) <= RECORD_BYTES,
        "a record must be at most 256 KiB",
    )
}

fn holds(law: bool, sentence: Broken) -> Result<(), Broken> {
    if law { Ok(()) } else { Err(sentence) }
}

fn module_laws(process: &Process, module: &Module) -> Result<(), Broken> {
    let times_are_kept = match &module.state {
        ModuleState::Pending => true,
        ModuleState::Running { since } => is_kept(*since),
        ModuleState::Complete { started, ended } => is_kept(*started) && is_kept(*ended),
        ModuleState::Failed {
            started,
            ended,
            failure,
        } => {
            holds(
                failure.check().is_ok(),
                "a failure's texts must be within their limits",
            )?;
            is_kept(*started) && is_kept(*ended)
        }
        ModuleState::Skipped { at, reason } => {
            holds(
                Field::Reason.check(reason).is_ok(),
                "a reason must be within its limits",
            )?;
            is_kept(*at)
        }
        ModuleState::Cancelled { started, at } => started.is_none_or(is_kept) && is_kept(*at),
    };
    holds(
        times_are_kept && module.progress_at().is_none_or(is_kept),
        "times must lie in years 1 to 9999",
    )?;
    // As most modules are, and nothing below is said of those.
    if !module.has_details() {
        return Ok(());
    }
    holds(module.attempt() >= 1, "an attempt must be at least 1")?;
    if let Some(progress) = module.progress() {
        holds(
            module.state.started().is_some(),
            "only a module that started may have progress",
        )?;
        holds(
            progress.check().is_ok(),
            "progress must be within its total and limits",
        )?;
    }
    holds(
        module.attempts().len() <= ATTEMPTS_PER_MODULE,
        "a module may keep at most 16 past attempts",
    )?;
    let mut before: Option<&Attempt> = None;
    for attempt in module.attempts() {
        attempt_laws(process, module, attempt)?;
        if let Some(before) = before {
            let later = before.number + 1 == attempt.number
                && before.run <= attempt.run
                && before.revision < attempt.revision;
            holds(later, "past attempts must stand in their order")?;
        }
        before = Some(attempt);
    }
    // The oldest are dropped first, so that the last one kept is the one before this.
    holds(
        before.is_none_or(|last| last.number + 1 == module.attempt()),
        "past attempts must lead up to the present one",
    )
}

fn attempt_laws(process: &Process, module: &Module, attempt: &Attempt) -> Result<(), Broken> {
    let counted = (1..module.attempt()).contains(&attempt.number)
        && (1..=process.run).contains(&attempt.run)
        && (2..=process.version.revision).contains(&attempt.revision);
    holds(counted, "a past attempt must lie before the present")?;
    let kept = |time: Option<DateTime<Utc>>| time.is_none_or(is_kept);
    holds(
        kept(attempt.started) && is_kept(attempt.ended),
        "times must lie in years 1 to 9999",
    )?;
    let started = attempt.started.is_some();
    let earlier_run = attempt.run < process.run;
    let law = match &attempt.end {
        AttemptEnd::Failed(failure) => started && earlier_run && failure.check().is_ok(),
        AttemptEnd::Retried(failure) => started && failure.check().is_ok(),
        AttemptEnd::Cancelled(reason) => earlier_run && Field::Reason.check(reason).is_ok(),
        AttemptEnd::Interrupted => started && earlier_run,
    };
    holds(
        law,
        "a past attempt must have ended in a way that the machine knows",
    )
}

fn claim_laws(process: &Process) -> Result<(), Broken> {
    if let Some(claim) = process.claim() {
        holds(
            (2..=process.version.revision).contains(&claim.token),
            "a claim's token must be a revision after the first",
        )?;
        holds(
            claim::check_worker(&claim.worker).is_ok(),
            "a worker's name must be within its limits",
        )?;
        let ended = match claim.end {
            None => None,
            Some(claim::ClaimEnd::Released { at } | claim::ClaimEnd::Reaped { at }) => Some(at),
        };
        let times = [
            Some(claim.claimed_at),
            Some(claim.heard_at),
            Some(claim.until),
            ended,
        ];
        holds(
            times.into_iter().flatten().all(is_kept),
            "times must lie in years 1 to 9999",
        )?;
        holds(
            claim.claimed_at <= claim.heard_at && claim.claimed_at < claim.until,
            "a lease must last",
        )?;
    }
    if let Some(wish) = process.cancel_requested() {
        holds(
            Field::Reason.check(&wish.reason).is_ok() && is_kept(wish.at),
            "a wish must be within its limits",
        )?;
        holds(
            process.claim().is_some_and(|claim| claim.end.is_none()),
            "a wish that nobody can grant must have been granted",
        )?;
        holds(
            !matches!(process.outcome, Outcome::Cancelled { .. }),
            "a cancelled process must have no wish left",
        )?;
    }
    Ok(())
}

/// In a sequential pipeline nothing leaves pending before all in front of it is done.
fn order_laws(process: &Process) -> Result<(), Broken> {
    if process.pipeline.is_parallel() {
        return Ok(());
    }
    let mut after = process
        .modules
        .iter()
        .skip_while(|module| module.state.is_done());
    let Some(first) = after.next() else {
        return Ok(());
    };
    let first_cancelled = matches!(first.state, ModuleState::Cancelled { .. });
    let in_order = after.all(|module| match module.state {
        ModuleState::Pending => !first_cancelled,
        ModuleState::Cancelled { started, .. } => first_cancelled && started.is_none(),
        ModuleState::Running { .. }
        | ModuleState::Complete { .. }
        | ModuleState::Failed { .. }
        | ModuleState::Skipped { .. } => false,
    });
    holds(
        in_order,
        "the modules of a sequential pipeline must stand in order",
    )
}

/// The outcome is the fold over the modules.
fn outcome_laws(process: &Process) -> Result<(), Broken> {
    let (mut done, mut failed, mut cancelled) = (0, 0, 0);
    for module in &process.modules {
        let state = &module.state;
        done += usize::from(state.is_done());
        failed += usize::from(matches!(state, ModuleState::Failed { .. }));
        cancelled += usize::from(matches!(state, ModuleState::Cancelled { .. }));
    }
    let all = process.modules.len();
    let law = match &process.outcome {
        Outcome::Ongoing => failed == 0 && cancelled == 0 && done < all,
        Outcome::Complete { .. } => done == all,
        Outcome::Failed { index, .. } => {
            cancelled == 0
                && process
                    .modules
                    .get(*index)
                    .is_some_and(|m| matches!(m.state, ModuleState::Failed { .. }))
        }
        Outcome::Cancelled { reason, .. } => {
            cancelled > 0 && cancelled + done == all && Field::Reason.check(reason).is_ok()
        }
    };
    holds(law, "the outcome must be what the modules add up to")?;
    holds(
        process.settled_at().is_none_or(is_kept),
        "times must lie in years 1 to 9999",
    )
}
