//! What the documents say about guards that do not meet the state.

use milepost_core::{AttemptEnd, Failure, GuardKind, ModuleState, OverallStatus};

use super::{Act, Answer, Card, Deed, leases};

/// What a guard that does not hold may be answered with; nothing, if it holds.
///
/// Where several parts of it do not hold, the documents do not say which one is reported.
pub(super) fn answers(act: &Act, card: &Card) -> Vec<Answer> {
    let step = act.deed.module().map(|module| &card.modules[module - 1]);
    if act.guard.attempt.is_some() && step.is_none() {
        return vec![Answer::Illegal];
    }
    let attempt = step.map_or(0, |step| step.attempt);
    let revision = card.version.revision;
    let parts = [
        (
            GuardKind::Run,
            act.guard.run.map(u64::from),
            u64::from(card.run),
        ),
        (
            GuardKind::Attempt,
            act.guard.attempt.map(u64::from),
            u64::from(attempt),
        ),
        (GuardKind::Revision, act.guard.revision, revision),
    ];
    let mut answers = Vec::new();
    for (kind, given, current) in parts {
        let Some(given) = given else { continue };
        if given > current {
            answers.push(Answer::Illegal);
        } else if given < current {
            let stands = match kind {
                GuardKind::Revision => effect_stands(act, card),
                _ => history_shows(act, card),
            };
            if stands != Some(false) {
                answers.push(Answer::NoChange);
            }
            if stands != Some(true) {
                answers.push(Answer::Stale(kind, given, current));
            }
        }
    }
    answers
}

/// Whether the run or attempt that was asked for ended in this very way; none where the documents leave
/// it open.
fn history_shows(act: &Act, card: &Card) -> Option<bool> {
    let guard = &act.guard;
    let shows = |index: usize, end: &AttemptEnd| {
        card.modules[index].past.iter().any(|past| {
            guard.attempt.is_none_or(|number| number == past.number)
                && guard.run.is_none_or(|run| run == past.run)
                && past.end == *end
        })
    };
    let failed =
        |module: usize, failure: &Failure| shows(module - 1, &AttemptEnd::Failed(failure.clone()));
    let retried =
        |module: usize, failure: &Failure| shows(module - 1, &AttemptEnd::Retried(failure.clone()));
    match &act.deed {
        // What is complete or skipped stays so, and keeps its attempt. Without an attempt in the guard
        // nothing tells in which run that was.
        Deed::Complete(module) | Deed::Skip(module, _) => {
            let step = &card.modules[module - 1];
            let done = match &act.deed {
                Deed::Complete(_) => matches!(step.state, ModuleState::Complete { .. }),
                _ => matches!(step.state, ModuleState::Skipped { .. }),
            };
            match guard.attempt {
                Some(attempt) => Some(done && attempt == step.attempt),
                None if done => None,
                None => Some(false),
            }
        }
        Deed::Fail(module, failure) => Some(failed(*module, failure)),
        Deed::Retry(module, failure) => Some(retried(*module, failure)),
        Deed::Cancel(_) => Some(card.modules.iter().any(|step| {
            step.past.iter().any(|past| {
                guard.run.is_none_or(|run| run == past.run)
                    && matches!(past.end, AttemptEnd::Cancelled(_))
            })
        })),
        Deed::Rerun => Some(true),
        Deed::Start(_)
        | Deed::Progress(..)
        | Deed::Update(_)
        | Deed::Erase
        | Deed::Create(_)
        | Deed::Claim(_)
        | Deed::Renew(_)
        | Deed::Release
        | Deed::Reap(..)
        | Deed::Wish(_)
        | Deed::Import(_) => Some(false),
    }
}

/// Whether what was to be done at a passed revision is done; none where the documents leave it open.
fn effect_stands(act: &Act, card: &Card) -> Option<bool> {
    let state = |module: usize| &card.modules[module - 1].state;
    match &act.deed {
        Deed::Update(renewal) => Some(card.renewed(renewal, act.at) == *card),
        Deed::Complete(module) => Some(matches!(state(*module), ModuleState::Complete { .. })),
        Deed::Skip(module, _) => Some(matches!(state(*module), ModuleState::Skipped { .. })),
        Deed::Fail(module, failure) => Some(
            matches!(state(*module), ModuleState::Failed { failure: standing, .. } if standing == failure),
        ),
        Deed::Cancel(_) => Some(card.status == OverallStatus::Cancelled),
        Deed::Claim(_) | Deed::Renew(_) | Deed::Reap(..) | Deed::Wish(_) => {
            leases::stands(act, card)
        }
        Deed::Erase | Deed::Release => Some(false),
        Deed::Start(_)
        | Deed::Progress(..)
        | Deed::Retry(..)
        | Deed::Rerun
        | Deed::Create(_)
        | Deed::Import(_) => None,
    }
}
