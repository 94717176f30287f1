//! What holds of whole processes: order, status, cancel, rerun.

use milepost_core::ModuleStateKind::{Complete, Pending, Skipped};
use milepost_core::{
    AttemptEnd, Change, Failure, ModuleState, ModuleStateKind, OverallStatus, Pipeline, Progress,
    Rejection, RequestId,
};

use crate::fixture::{at, chain, failure, id, op, side_by_side};
use crate::trial::Trial;

/// Begins a process, and brings it where a law starts.
pub(super) fn begun(
    trial: &Trial<'_>,
    pipeline: &Pipeline,
    n: u32,
    changes: &[Change],
) -> RequestId {
    trial.must(&trial.begin(pipeline, id(n), 0));
    for (second, change) in (1..).zip(changes) {
        trial.must(&op(id(n), second, change.clone()));
    }
    id(n)
}

fn kinds(trial: &Trial<'_>, id: RequestId) -> Vec<ModuleStateKind> {
    trial
        .stored(id)
        .modules()
        .iter()
        .map(|module| module.state().kind())
        .collect()
}

/// Sees that each change is rejected with this, and nothing else happens.
#[track_caller]
pub(super) fn all_are_rejected(
    trial: &Trial<'_>,
    id: RequestId,
    changes: &[Change],
    rejection: &Rejection,
) {
    let before = trial.stored(id);
    for change in changes {
        let verdict = trial.one(&op(id, 100, change.clone()));
        assert_eq!(
            verdict.as_ref(),
            Err(rejection),
            "left is the verdict on {change:?}"
        );
        assert_eq!(
            trial.stored(id),
            before,
            "left is stored after a rejection, right before it"
        );
    }
}

#[track_caller]
pub(super) fn all_are_illegal(trial: &Trial<'_>, id: RequestId, changes: &[Change]) {
    let before = trial.stored(id);
    for change in changes {
        let verdict = trial.one(&op(id, 100, change.clone()));
        let illegal = matches!(verdict, Err(Rejection::Illegal { .. }));
        assert!(illegal, "{change:?}: got {verdict:?}, expected Illegal");
        assert_eq!(
            trial.stored(id),
            before,
            "left is stored after a rejection, right before it"
        );
    }
}

/// Every change that takes a module out of pending.
fn out_of_pending(module: usize) -> [Change; 5] {
    [
        Change::start(module),
        Change::progress(module, Progress::unbounded(1)),
        Change::complete(module),
        Change::fail(module, failure()),
        Change::skip(module, "not needed"),
    ]
}

pub(crate) fn a_module_waits_for_those_before_it(trial: &Trial<'_>) {
    let id = begun(trial, &chain(), 1, &[]);
    let waits = |module, waits_for| Rejection::OutOfOrder { module, waits_for };
    all_are_rejected(trial, id, &out_of_pending(2), &waits(2, 1));
    all_are_rejected(trial, id, &out_of_pending(3), &waits(3, 1));
    trial.must(&op(id, 1, Change::start(1)));
    all_are_rejected(trial, id, &out_of_pending(2), &waits(2, 1));
    trial.must(&op(id, 2, Change::complete(1)));
    all_are_rejected(trial, id, &out_of_pending(3), &waits(3, 2));
    trial.must(&op(id, 3, Change::skip(2, "not needed")));
    trial.must(&op(id, 4, Change::start(3)));
}

pub(crate) fn a_parallel_module_waits_for_none(trial: &Trial<'_>) {
    for (n, change) in (1..).zip(out_of_pending(3)) {
        let id = begun(trial, &side_by_side(), n, &[Change::start(2)]);
        let applied = trial.must(&op(id, 5, change.clone()));
        assert!(applied.changed, "{change:?} changed nothing");
    }
}

pub(crate) fn the_overall_status_folds_the_modules(trial: &Trial<'_>) {
    let done = [
        Change::complete(1),
        Change::skip(2, "not needed"),
        Change::complete(3),
    ];
    let id = begun(trial, &side_by_side(), 1, &done[..2]);
    let ongoing = trial.stored(id);
    assert_eq!(
        (ongoing.status(), ongoing.settled_at()),
        (OverallStatus::Ongoing, None)
    );
    let applied = trial.must(&op(id, 3, done[2].clone()));
    assert_eq!(applied.status, OverallStatus::Complete);
    assert_eq!(trial.stored(id).settled_at(), Some(at(3)));

    let id = begun(
        trial,
        &side_by_side(),
        2,
        &[Change::start(1), Change::complete(3)],
    );
    let applied = trial.must(&op(id, 4, Change::fail(2, failure())));
    assert_eq!(applied.status, OverallStatus::Failed);
    trial.must(&op(id, 5, Change::complete(1)));
    let failed = trial.stored(id);
    assert_eq!(
        (failed.status(), failed.settled_at()),
        (OverallStatus::Failed, Some(at(4)))
    );

    let id = begun(
        trial,
        &chain(),
        3,
        &[Change::complete(1), Change::cancel("called off")],
    );
    let cancelled = trial.stored(id);
    assert_eq!(
        (cancelled.status(), cancelled.settled_at()),
        (OverallStatus::Cancelled, Some(at(2)))
    );
    trial.must_hold_exactly_what_is_expected();
}

pub(crate) fn in_a_settled_process_nothing_starts_skips_or_retries(trial: &Trial<'_>) {
    let failed = [Change::start(2), Change::fail(1, failure())];
    let id = begun(trial, &side_by_side(), 1, &failed);
    let status = OverallStatus::Failed;
    let mut late = out_of_pending(3).to_vec();
    late.push(Change::retry(2, failure()));
    all_are_rejected(trial, id, &late, &Rejection::Settled { status });
    // What was still running may end, which settles nothing anew.
    trial.must(&op(id, 5, Change::progress(2, Progress::of(1, 2))));
    trial.must(&op(id, 6, Change::complete(2)));
    let process = trial.stored(id);
    assert_eq!(
        (process.status(), process.settled_at()),
        (status, Some(at(2)))
    );

    // The table comes before that, and that before the order of the chain.
    all_are_illegal(
        trial,
        id,
        &[Change::start(1), Change::complete(1), Change::skip(2, "")],
    );
    let id = begun(trial, &chain(), 2, &[Change::fail(1, failure())]);
    all_are_rejected(
        trial,
        id,
        &[Change::start(3)],
        &Rejection::Settled { status },
    );
}

pub(crate) fn the_first_failure_is_the_one_that_is_blamed(trial: &Trial<'_>) {
    let first = Failure::new("First", "the first to be applied");
    let changes = [Change::start(1), Change::start(2), Change::fail(2, first)];
    let id = begun(trial, &side_by_side(), 1, &changes);
    // Reported for an earlier time, and of an earlier module.
    trial.must(&op(
        id,
        -5,
        Change::fail(1, Failure::new("Second", "applied later")),
    ));
    let process = trial.stored(id);
    let blame = process.blame().expect("it has failed");
    assert_eq!(
        (blame.reason, blame.message),
        ("First", "the first to be applied")
    );
    assert_eq!(
        (blame.module.map(milepost_core::Module::position), blame.at),
        (Some(2), at(3))
    );
}

pub(crate) fn cancel_calls_off_what_is_unfinished(trial: &Trial<'_>) {
    let changes = [Change::complete(1), Change::start(2)];
    let id = begun(trial, &chain(), 1, &changes);
    let applied = trial.must(&op(id, 5, Change::cancel("no longer wanted")));
    assert_eq!(
        (applied.changed, applied.attempt),
        (true, 0),
        "an op on the whole process"
    );
    let process = trial.stored(id);
    let cancelled = |started| ModuleState::Cancelled { started, at: at(5) };
    assert_eq!(
        process.modules()[0].state().kind(),
        ModuleStateKind::Complete
    );
    assert_eq!(process.modules()[1].state(), &cancelled(Some(at(2))));
    assert_eq!(process.modules()[2].state(), &cancelled(None));
    let blame = process.blame().expect("it was cancelled");
    assert_eq!(
        (blame.reason, blame.message),
        ("Cancelled", "no longer wanted")
    );
    assert_eq!(
        blame.module.map(milepost_core::Module::position),
        Some(2),
        "the one that was running"
    );

    let again = trial.must(&op(id, 6, Change::cancel("for another reason")));
    assert_eq!((again.changed, again.version), (false, process.version()));
    assert_eq!(
        trial.stored(id),
        process,
        "left is stored after a second cancel, right before it"
    );

    let two = begun(
        trial,
        &side_by_side(),
        2,
        &[Change::start(1), Change::start(2)],
    );
    trial.must(&op(two, 5, Change::cancel("")));
    let two = trial.stored(two);
    let blame = two.blame().expect("it was cancelled");
    assert_eq!(blame.module, None, "two were running: neither is to blame");
}

pub(crate) fn what_is_complete_or_failed_cannot_be_cancelled(trial: &Trial<'_>) {
    let complete = [1, 2, 3].map(Change::complete);
    let id = begun(trial, &chain(), 1, &complete);
    let status = OverallStatus::Complete;
    all_are_rejected(
        trial,
        id,
        &[Change::cancel("")],
        &Rejection::Settled { status },
    );
    let id = begun(
        trial,
        &side_by_side(),
        2,
        &[Change::start(2), Change::fail(1, failure())],
    );
    let status = OverallStatus::Failed;
    all_are_rejected(
        trial,
        id,
        &[Change::cancel("")],
        &Rejection::Settled { status },
    );
}

pub(crate) fn rerun_takes_up_what_did_not_get_done(trial: &Trial<'_>) {
    let names = ["done", "left out", "failed", "at work", "not begun"];
    let pipeline = Pipeline::new("all states", names)
        .expect("the names are fine")
        .parallel();
    let changes = [
        Change::complete(1),
        Change::skip(2, "not needed"),
        Change::start(4),
        Change::fail(3, failure()),
    ];
    let id = begun(trial, &pipeline, 1, &changes);
    let applied = trial.must(&op(id, 9, Change::rerun()));
    assert_eq!((applied.run, applied.status), (2, OverallStatus::Ongoing));
    assert_eq!(
        kinds(trial, id),
        [Complete, Skipped, Pending, Pending, Pending]
    );
    let process = trial.stored(id);
    let attempts = process
        .modules()
        .iter()
        .map(milepost_core::Module::attempt)
        .collect::<Vec<_>>();
    assert_eq!(
        attempts,
        [1, 1, 2, 2, 1],
        "failed and running modules are in another attempt"
    );
    let end = |index: usize| {
        process.modules()[index]
            .attempts()
            .first()
            .map(milepost_core::Attempt::end)
    };
    assert_eq!(end(2), Some(&AttemptEnd::Failed(failure())));
    assert_eq!(end(3), Some(&AttemptEnd::Interrupted));
    assert_eq!((process.settled_at(), process.blame()), (None, None));

    trial.must(&op(id, 10, Change::cancel("called off")));
    trial.must(&op(id, 11, Change::rerun()));
    let process = trial.stored(id);
    let attempts = process
        .modules()
        .iter()
        .map(milepost_core::Module::attempt)
        .collect::<Vec<_>>();
    assert_eq!(
        attempts,
        [1, 1, 3, 3, 2],
        "cancelled modules are in another attempt"
    );
    let past = process.modules()[4]
        .attempts()
        .first()
        .expect("the cancelled attempt is kept");
    assert_eq!(past.end(), &AttemptEnd::Cancelled("called off".into()));
    assert_eq!((past.started(), past.run(), process.run()), (None, 2, 3));
}

pub(crate) fn nothing_but_a_failed_or_cancelled_process_is_rerun(trial: &Trial<'_>) {
    let id = begun(trial, &chain(), 1, &[Change::start(1)]);
    all_are_illegal(trial, id, &[Change::rerun()]);
    let id = begun(trial, &chain(), 2, &[1, 2, 3].map(Change::complete));
    all_are_illegal(trial, id, &[Change::rerun()]);
}
