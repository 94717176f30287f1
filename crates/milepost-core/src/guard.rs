//! Guards: what an op asks for, and whether it meets the state that it was made for.

use crate::module::{AttemptEnd, Module, ModuleState};
use crate::op::{Change, Op};
use crate::process::{OverallStatus, Process};
use crate::verdict::{GuardKind, Illegality, Rejection};
use crate::{leases, time};

/// What must hold for an op to apply; what is not given is not checked.
///
/// A guard makes sending again safe: an op whose guard has passed changes nothing. What it takes is
/// `born`, and with it `attempt` on a change of a module, `run` on cancel, its request and rerun, `revision`
/// on update and claim, `lease` on renew and release. A reap names its claim itself.
/// Guards on a creation or an import are ignored.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Guard {
    /// The process is the one that was born with this mark.
    pub born: Option<u64>,
    /// The process is in this run.
    pub run: Option<u32>,
    /// The module is in this attempt; only for a change of a module.
    pub attempt: Option<u32>,
    /// The process is at this revision.
    pub revision: Option<u64>,
    /// The process is held under the lease of this token, which has not run out by the op's time. Give `born`
    /// with it: another process that goes by the id may bear the same token.
    pub lease: Option<u64>,
}

impl Guard {
    /// A guard that lets everything pass.
    #[must_use]
    pub fn new() -> Self {
        Guard::default()
    }

    /// Asks for the process that was born with this mark, see [`Version::born`](crate::Version::born).
    #[must_use]
    pub fn born(self, born: u64) -> Self {
        Guard {
            born: Some(born),
            ..self
        }
    }

    /// Asks for this run of the process.
    #[must_use]
    pub fn run(self, run: u32) -> Self {
        Guard {
            run: Some(run),
            ..self
        }
    }

    /// Asks for this attempt of the module.
    #[must_use]
    pub fn attempt(self, attempt: u32) -> Self {
        Guard {
            attempt: Some(attempt),
            ..self
        }
    }

    /// Asks for this revision of the process.
    #[must_use]
    pub fn revision(self, revision: u64) -> Self {
        Guard {
            revision: Some(revision),
            ..self
        }
    }

    /// Asks for the lease of this token, see [`Claim::token`](crate::Claim::token).
    #[must_use]
    pub fn lease(self, token: u64) -> Self {
        Guard {
            lease: Some(token),
            ..self
        }
    }
}

/// Whether the op may be judged by the table: `false` if it was overtaken and its effect stands.
///
/// `born` is checked before this.
pub(crate) fn admits(op: &Op, process: &Process, index: Option<usize>) -> Result<bool, Rejection> {
    let guard = &op.guard;
    let module = index.map(|index| &process.modules[index]);
    if guard.attempt.is_some() && module.is_none() {
        return Err(Illegality::AttemptGuard {
            change: op.change.kind(),
        }
        .into());
    }
    let attempt = module.map_or(0, Module::attempt);
    // Made for the state that it meets, as nearly every op is.
    if guard.run.is_none_or(|run| run == process.run)
        && guard.attempt.is_none_or(|given| given == attempt)
        && (guard.revision).is_none_or(|revision| revision == process.version.revision)
    {
        return Ok(true);
    }
    let run = Asked::of(GuardKind::Run, guard.run.map(u64::from), process.run.into());
    let attempt = Asked::of(
        GuardKind::Attempt,
        guard.attempt.map(u64::from),
        attempt.into(),
    );
    let revision = Asked::of(
        GuardKind::Revision,
        guard.revision,
        process.version.revision,
    );
    let asked = [run, attempt, revision];
    for asked in asked.into_iter().flatten() {
        if asked.given > asked.current {
            let Asked {
                guard,
                given,
                current,
            } = asked;
            return Err(Illegality::FutureGuard {
                guard,
                given,
                current,
            }
            .into());
        }
    }
    let Some(passed) = asked
        .into_iter()
        .flatten()
        .find(|asked| asked.given < asked.current)
    else {
        return Ok(true);
    };
    let stands = match passed.guard {
        GuardKind::Run | GuardKind::Attempt => history_shows(op, process, module),
        GuardKind::Revision => effect_stands(op, process, module),
        // Judged before this, by its holder and its time.
        GuardKind::Lease => false,
    };
    if stands {
        return Ok(false);
    }
    Err(Rejection::Stale {
        guard: passed.guard,
        given: passed.given,
        current: passed.current,
    })
}

/// What one part of a guard asks for, beside what there is.
#[derive(Clone, Copy)]
struct Asked {
    guard: GuardKind,
    given: u64,
    current: u64,
}

impl Asked {
    fn of(guard: GuardKind, given: Option<u64>, current: u64) -> Option<Self> {
        given.map(|given| Asked {
            guard,
            given,
            current,
        })
    }
}

/// Whether the run or attempt that the guard asks for ended with this very outcome.
fn history_shows(op: &Op, process: &Process, module: Option<&Module>) -> bool {
    let guard = &op.guard;
    let past = |module: &Module, end: &dyn Fn(&AttemptEnd) -> bool| {
        module.attempts().iter().any(|attempt| {
            guard.attempt.is_none_or(|number| number == attempt.number)
                && guard.run.is_none_or(|run| run == attempt.run)
                && end(&attempt.end)
        })
    };
    // Complete and skipped modules keep their attempt through reruns.
    let is_current = |module: &Module| {
        guard
            .attempt
            .is_none_or(|number| number == module.attempt())
    };
    match (&op.change, module) {
        (Change::Complete { .. }, Some(module)) => {
            is_current(module) && matches!(module.state, ModuleState::Complete { .. })
        }
        (Change::Skip { .. }, Some(module)) => {
            is_current(module) && matches!(module.state, ModuleState::Skipped { .. })
        }
        (Change::Fail { failure, .. }, Some(module)) => past(
            module,
            &|end| matches!(end, AttemptEnd::Failed(past) if past == failure),
        ),
        (Change::Retry { failure, .. }, Some(module)) => past(
            module,
            &|end| matches!(end, AttemptEnd::Retried(past) if past == failure),
        ),
        (Change::Cancel { .. }, _) => process
            .modules
            .iter()
            .any(|module| past(module, &|end| matches!(end, AttemptEnd::Cancelled(_)))),
        // A run has passed because a rerun ended it.
        (Change::Rerun, _) => true,
        (
            Change::Create(_)
            | Change::Start { .. }
            | Change::Progress { .. }
            | Change::Complete { .. }
            | Change::Fail { .. }
            | Change::Skip { .. }
            | Change::Retry { .. }
            | Change::Update(_)
            | Change::Erase
            | Change::Claim { .. }
            | Change::Renew { .. }
            | Change::Release
            | Change::Reap { .. }
            | Change::RequestCancel { .. }
            | Change::Import(_),
            _,
        ) => false,
    }
}

/// Whether the state is one that this op, applied at the passed revision, could have left.
fn effect_stands(op: &Op, process: &Process, module: Option<&Module>) -> bool {
    match (&op.change, module) {
        (Change::Start { .. }, Some(module)) => matches!(module.state, ModuleState::Running { .. }),
        (Change::Progress { progress, .. }, Some(module)) => module.progress() == Some(progress),
        (Change::Complete { .. }, Some(module)) => {
            matches!(module.state, ModuleState::Complete { .. })
        }
        (Change::Fail { failure, .. }, Some(module)) => {
            matches!(&module.state, ModuleState::Failed { failure: standing, .. } if standing == failure)
        }
        (Change::Skip { .. }, Some(module)) => matches!(module.state, ModuleState::Skipped { .. }),
        (Change::Retry { failure, .. }, Some(module)) => {
            // With an attempt guard that still holds, the retry has not happened.
            op.guard.attempt.is_none()
                && module.attempts().last().is_some_and(
                    |last| matches!(&last.end, AttemptEnd::Retried(standing) if standing == failure),
                )
        }
        (Change::Cancel { .. }, _) => process.status() == OverallStatus::Cancelled,
        (Change::Rerun, _) => {
            op.guard.run.is_none()
                && process.run > 1
                && matches!(
                    process.status(),
                    OverallStatus::Ongoing | OverallStatus::Complete
                )
        }
        (Change::Update(update), _) => update.is_up_to_date(process, time::to_micros(op.at)),
        (Change::Claim { mark, .. }, _) => leases::is_claimed(process, *mark),
        (Change::Renew { ttl }, _) => leases::is_renewed(process, *ttl, time::to_micros(op.at)),
        (Change::Reap { token, .. }, _) => leases::is_reaped(process, *token),
        (Change::RequestCancel { .. }, _) => {
            process.cancel_request.is_some() || process.status() == OverallStatus::Cancelled
        }
        (
            Change::Create(_)
            | Change::Erase
            | Change::Start { .. }
            | Change::Progress { .. }
            | Change::Complete { .. }
            | Change::Fail { .. }
            | Change::Skip { .. }
            | Change::Retry { .. }
            | Change::Release
            | Change::Import(_),
            _,
        ) => false,
    }
}
