//! Every field against the record, as its own calls and its own form show it.

use chrono::{DateTime, Utc};
use milepost_core::{
    AttemptEnd, ClaimEnd, Explanation, HolderState, Module, ModuleAttempt, ModuleStateKind,
    OverallStatus, PastAttempt, PastEnd, Process,
};

pub(crate) fn copies_the_record(explained: &Explanation, process: &Process, now: DateTime<Utc>) {
    assert_eq!(explained.request_id, process.request_id());
    assert_eq!(explained.pipeline, process.pipeline());
    assert_eq!(explained.status, process.status());
    assert_eq!(explained.run, process.run());
    assert_eq!(explained.at, now, "the times here are whole microseconds");
    assert_eq!(explained.created_at, process.created_at());
    assert_eq!(explained.settled_at, process.settled_at());
    assert_eq!(explained.last_heard, process.updated_at());
    assert_eq!(explained.expires_at, process.expires_at());
    let wish = process.cancel_requested();
    let told = explained.cancel_requested.as_ref();
    assert_eq!(
        told.map(|told| (&*told.reason, told.at)),
        wish.map(|wish| (wish.reason(), wish.at()))
    );
}

fn is(told: &ModuleAttempt, module: &Module) {
    let told = (told.position, &*told.name, told.attempt);
    assert_eq!(told, (module.position(), module.name(), module.attempt()));
}

pub(crate) fn names_the_modules(explained: &Explanation, process: &Process) {
    let modules = process.modules();
    let of = |kinds: &[ModuleStateKind]| {
        let modules = modules.iter();
        modules
            .filter(|module| kinds.contains(&module.state().kind()))
            .collect::<Vec<_>>()
    };
    assert_eq!(explained.modules, process.chain().len());
    let done = of(&[ModuleStateKind::Complete, ModuleStateKind::Skipped]);
    assert_eq!(explained.done, done.len());
    let running = of(&[ModuleStateKind::Running]);
    assert_eq!(explained.running.len(), running.len());
    for (told, module) in explained.running.iter().zip(running) {
        is(&told.module, module);
        assert_eq!(Some(told.since), module.state().started());
        assert_eq!(told.progress.as_ref(), module.progress());
        assert_eq!(told.progress_at, module.progress_at());
    }
    for told in &explained.ready {
        is(
            told,
            process.module(told.position).expect("it is in the chain"),
        );
    }
}

pub(crate) fn names_the_holder(explained: &Explanation, process: &Process) {
    let Some(claim) = process.claim() else {
        assert_eq!(explained.held, None);
        return;
    };
    let told = explained.held.as_ref().expect("it was claimed");
    assert_eq!((&*told.worker, told.token), (claim.worker(), claim.token()));
    let times = (told.since, told.until, told.heard_at);
    assert_eq!(times, (claim.claimed_at(), claim.until(), claim.heard_at()));
    assert!(
        told.heard_at <= explained.last_heard,
        "what the holder does changes the process"
    );
    let ended = match told.state {
        HolderState::Released { at } => Some(ClaimEnd::Released { at }),
        HolderState::Reaped { at } => Some(ClaimEnd::Reaped { at }),
        HolderState::Over => {
            assert!(process.is_settled() || process.is_expired(explained.at));
            None
        }
        HolderState::Live => {
            assert!(process.is_leased(explained.at));
            None
        }
        HolderState::RunOut => {
            assert!(process.is_stalled(explained.at));
            None
        }
        other => panic!("{other:?} is new"),
    };
    assert_eq!(ended, claim.end());
}

pub(crate) fn names_the_failure(explained: &Explanation, process: &Process) {
    let (told, blame) = match (&explained.failed, process.blame()) {
        (Some(told), Some(blame)) => (told, blame),
        (told, blame) => {
            assert_eq!((told.is_some(), blame.is_some()), (false, false));
            return;
        }
    };
    assert_eq!(told.module.is_some(), blame.module.is_some());
    if let (Some(told), Some(module)) = (&told.module, blame.module) {
        is(told, module);
    }
    assert_eq!(
        (&*told.reason, &*told.message, told.at),
        (blame.reason, blame.message, blame.at)
    );
    let mut failed = told
        .others
        .iter()
        .chain(&told.module)
        .map(|module| module.position)
        .collect::<Vec<_>>();
    failed.sort_unstable();
    if process.status() == OverallStatus::Failed {
        let modules = process.modules().iter();
        let all = modules.filter(|module| module.state().kind() == ModuleStateKind::Failed);
        assert_eq!(failed, all.map(Module::position).collect::<Vec<_>>());
    } else {
        assert!(told.others.is_empty());
    }
    for told in &told.others {
        is(
            told,
            process.module(told.position).expect("it is in the chain"),
        );
    }
}

/// The record's own form says at which revision an attempt was given up.
pub(crate) fn lists_the_attempts(explained: &Explanation, process: &Process) {
    let form = serde_json::to_value(process).expect("it has a form");
    let mut expected = Vec::new();
    for (index, module) in process.modules().iter().enumerate() {
        for (nth, past) in module.attempts().iter().enumerate() {
            let revision = form["modules"][index]["attempts"][nth]["revision"]
                .as_u64()
                .expect("it is a number");
            expected.push((revision, module, past));
        }
    }
    expected.sort_by_key(|(revision, module, _)| (*revision, module.position()));
    assert_eq!(explained.tried.len(), expected.len());
    for (told, (_, module, past)) in explained.tried.iter().zip(&expected) {
        let PastAttempt {
            module: told_of,
            run,
            started,
            ended,
            end,
            ..
        } = told;
        let named = (told_of.position, &*told_of.name, told_of.attempt);
        assert_eq!(named, (module.position(), module.name(), past.number()));
        assert_eq!(
            (*run, *started, *ended),
            (past.run(), past.started(), past.ended())
        );
        let texts = match (end, past.end()) {
            (PastEnd::Failed { reason, message }, AttemptEnd::Failed(failure))
            | (PastEnd::Retried { reason, message }, AttemptEnd::Retried(failure)) => {
                [(reason, failure.reason()), (message, failure.message())]
            }
            (PastEnd::Cancelled { reason }, AttemptEnd::Cancelled(given)) => {
                [(reason, &**given); 2]
            }
            (PastEnd::Interrupted, AttemptEnd::Interrupted) => continue,
            (told, past) => panic!("{told:?} is not {past:?}"),
        };
        assert!(texts.iter().all(|(told, past)| told == past), "{texts:?}");
    }
    let made = process
        .modules()
        .iter()
        .map(|module| u64::from(module.attempt()) - 1);
    assert_eq!(
        explained.no_longer_kept + expected.len() as u64,
        made.sum::<u64>()
    );
}
