//! Guards: ops that were meant for another state.

use milepost_core::{Change, Failure, Guard, GuardKind, Op, Process, Progress, Rejection, Update};

use crate::fixture::{at, chain, failure, id, module_guard, op, run_guard};
use crate::trial::Trial;

/// Sees that the op is `Ok`, and changed nothing.
#[track_caller]
pub(super) fn changes_nothing(trial: &Trial<'_>, op: &Op) {
    let before = trial.stored(op.id);
    let applied = trial.must(op);
    assert!(!applied.changed, "got a change from {op:?}");
    assert_eq!(
        applied.version,
        before.version(),
        "the version that a no-change reports"
    );
    assert_eq!(
        trial.stored(op.id),
        before,
        "left is stored after no change, right before it"
    );
}

#[track_caller]
fn is_stale(trial: &Trial<'_>, op: &Op, guard: GuardKind, given: u64, current: u64) {
    let before = trial.stored(op.id);
    let stale = Rejection::Stale {
        guard,
        given,
        current,
    };
    assert_eq!(trial.one(op), Err(stale), "left is the verdict on {op:?}");
    assert_eq!(
        trial.stored(op.id),
        before,
        "left is stored after a rejection, right before it"
    );
}

#[track_caller]
fn is_illegal(trial: &Trial<'_>, op: &Op) {
    let before = trial.stored(op.id);
    let verdict = trial.one(op);
    let illegal = matches!(verdict, Err(Rejection::Illegal { .. }));
    assert!(illegal, "{op:?}: got {verdict:?}, expected Illegal");
    assert_eq!(
        trial.stored(op.id),
        before,
        "left is stored after a rejection, right before it"
    );
}

/// A process whose first module was retried in its first run, and which failed and was rerun.
fn in_its_second_run(trial: &Trial<'_>) -> std::sync::Arc<Process> {
    let steps = [
        Change::start(1),
        Change::retry(1, failure()),
        Change::complete(1),
        Change::fail(2, failure()),
        Change::rerun(),
    ];
    trial.must(&trial.begin(&chain(), id(1), 0));
    for (second, change) in (1..).zip(steps) {
        trial.must(&op(id(1), second, change));
    }
    trial.stored(id(1))
}

pub(crate) fn a_guard_that_holds_lets_the_op_pass(trial: &Trial<'_>) {
    let process = in_its_second_run(trial);
    let guard = module_guard(&process, 2).revision(process.revision());
    assert!(
        trial
            .must(&op(id(1), 10, Change::start(2)).guarded(guard))
            .changed
    );
    let process = trial.stored(id(1));
    let guard = run_guard(&process).revision(process.revision());
    assert!(
        trial
            .must(&op(id(1), 11, Change::cancel("")).guarded(guard))
            .changed
    );
    let guard = run_guard(&process);
    assert!(
        trial
            .must(&op(id(1), 12, Change::rerun()).guarded(guard))
            .changed
    );
    let update = Change::update(Update::new().file_name("new.pdf"));
    let guard = Guard::new().revision(trial.stored(id(1)).revision());
    assert!(trial.must(&op(id(1), 13, update).guarded(guard)).changed);
    assert!(
        trial
            .must(&op(id(1), 14, Change::erase()).guarded(run_guard(&trial.stored(id(1)))))
            .changed
    );
}

pub(crate) fn another_born_is_not_found(trial: &Trial<'_>) {
    let process = in_its_second_run(trial);
    let born = process.version().born.wrapping_add(1);
    let changes = [
        Change::start(2),
        Change::progress(2, Progress::of(1, 2)),
        // Illegal in itself, and in this state: the guard comes first.
        Change::complete(1),
        Change::rerun(),
        Change::cancel("called off"),
        Change::update(Update::new().file_name("new.pdf")),
        Change::erase(),
    ];
    for change in changes {
        for guard in [Guard::new().born(born), run_guard(&process).born(born)] {
            let op = op(id(1), 10, change.clone()).guarded(guard);
            assert_eq!(
                trial.one(&op),
                Err(Rejection::NotFound),
                "left is the verdict on {op:?}"
            );
            assert_eq!(
                trial.stored(id(1)),
                process,
                "left is stored after it, right before it"
            );
        }
    }
}

pub(crate) fn a_passed_attempt_changes_nothing(trial: &Trial<'_>) {
    in_its_second_run(trial);
    let first = |change| op(id(1), 10, change).guarded(Guard::new().attempt(1));
    // What history shows is a repeat: the retry of module 1, the failure of module 2.
    changes_nothing(trial, &first(Change::retry(1, failure())));
    changes_nothing(trial, &first(Change::fail(2, failure())));
    let other = Failure::new("Other", "");
    let overtaken = [
        Change::retry(1, other.clone()),
        Change::complete(1),
        Change::start(1),
        Change::fail(2, other),
        Change::start(2),
        Change::progress(2, Progress::of(1, 2)),
        Change::complete(2),
        Change::skip(2, ""),
    ];
    for change in overtaken {
        is_stale(trial, &first(change), GuardKind::Attempt, 1, 2);
    }
}

pub(crate) fn a_passed_run_changes_nothing(trial: &Trial<'_>) {
    in_its_second_run(trial);
    let first = |change| op(id(1), 10, change).guarded(Guard::new().run(1));
    changes_nothing(trial, &first(Change::rerun()));
    // Complete modules keep what they did through reruns.
    changes_nothing(trial, &first(Change::complete(1)));
    is_stale(
        trial,
        &first(Change::cancel("called off")),
        GuardKind::Run,
        1,
        2,
    );
    is_stale(trial, &first(Change::start(2)), GuardKind::Run, 1, 2);
    is_stale(trial, &first(Change::erase()), GuardKind::Run, 1, 2);
    let update = Change::update(Update::new().file_name("new.pdf"));
    is_stale(trial, &first(update), GuardKind::Run, 1, 2);

    trial.must(&op(id(1), 11, Change::cancel("called off")));
    trial.must(&op(id(1), 12, Change::rerun()));
    let second = op(id(1), 13, Change::cancel("called off")).guarded(Guard::new().run(2));
    changes_nothing(trial, &second);
}

pub(crate) fn a_passed_revision_changes_nothing(trial: &Trial<'_>) {
    trial.must(&trial.begin(&chain(), id(1), 0));
    trial.must(&op(id(1), 1, Change::progress(1, Progress::of(1, 2))));
    let named = Change::update(Update::new().file_name("new.pdf"));
    trial.must(&op(id(1), 2, named.clone()));
    let first = |change| op(id(1), 3, change).guarded(Guard::new().revision(1));
    for stands in [
        named,
        Change::start(1),
        Change::progress(1, Progress::of(1, 2)),
    ] {
        changes_nothing(trial, &first(stands));
    }
    let other = Change::update(Update::new().file_name("other.pdf"));
    let overtaken = [
        other,
        Change::complete(1),
        Change::cancel(""),
        Change::erase(),
    ];
    for change in overtaken {
        is_stale(trial, &first(change), GuardKind::Revision, 1, 3);
    }
}

pub(crate) fn a_guard_on_what_has_not_come_is_illegal(trial: &Trial<'_>) {
    let process = in_its_second_run(trial);
    let future = [
        Guard::new().run(process.run() + 1),
        Guard::new().attempt(3),
        Guard::new().revision(process.revision() + 1),
        Guard::new().run(u32::MAX).attempt(1),
    ];
    for guard in future {
        is_illegal(trial, &op(id(1), 10, Change::start(2)).guarded(guard));
        // What it asks for has been done, and the guard comes first.
        is_illegal(trial, &op(id(1), 10, Change::complete(1)).guarded(guard));
    }
    is_illegal(
        trial,
        &op(id(1), 10, Change::rerun()).guarded(Guard::new().run(3)),
    );
    is_illegal(
        trial,
        &op(id(1), 10, Change::erase()).guarded(Guard::new().revision(u64::MAX)),
    );
}

pub(crate) fn an_attempt_guard_on_a_change_of_the_whole_process_is_illegal(trial: &Trial<'_>) {
    let process = in_its_second_run(trial);
    let whole = [
        Change::cancel("called off"),
        Change::rerun(),
        Change::update(Update::new().file_name("new.pdf")),
        Change::erase(),
    ];
    for change in whole {
        for attempt in [1, 2] {
            is_illegal(
                trial,
                &op(id(1), 10, change.clone()).guarded(run_guard(&process).attempt(attempt)),
            );
        }
    }
}

pub(crate) fn guards_on_a_creation_are_ignored(trial: &Trial<'_>) {
    let guard = Guard::new().born(7).run(8).attempt(9).revision(10);
    let begin = trial.begin(&chain(), id(1), 0).guarded(guard);
    let applied = trial.must(&begin);
    assert_eq!((applied.changed, applied.revision), (true, 1));
    assert!(!trial.must(&begin).changed, "it was begun before");
    assert_eq!(trial.stored(id(1)).created_at(), at(0));
    trial.must_hold_exactly_what_is_expected();
}
