//! The transition table, cell by cell, as the specification prints it.

use milepost_core::{
    Change, ChangeKind, Failure, Illegality, ModuleState, ModuleStateKind as Kind, OverallStatus,
    Pipeline, Progress, Rejection,
};

use crate::common::{Slot, at, chain};

const STATES: [Kind; 6] = [
    Kind::Pending,
    Kind::Running,
    Kind::Complete,
    Kind::Failed,
    Kind::Skipped,
    Kind::Cancelled,
];

/// What stands in a cell.
#[derive(Debug, Clone, Copy)]
enum Cell {
    To(Kind),
    Same,
    Illegal,
}

use Cell::{Illegal, Same, To};

#[rustfmt::skip]
const TABLE: [(ChangeKind, [Cell; 6]); 6] = [
    //                      pending              running              complete failed   skipped  cancelled
    (ChangeKind::Start,    [To(Kind::Running),   Same,                Illegal, Illegal, Illegal, Illegal]),
    (ChangeKind::Progress, [To(Kind::Running),   To(Kind::Running),   Illegal, Illegal, Illegal, Illegal]),
    (ChangeKind::Complete, [To(Kind::Complete),  To(Kind::Complete),  Same,    Illegal, Illegal, Illegal]),
    (ChangeKind::Fail,     [To(Kind::Failed),    To(Kind::Failed),    Illegal, Same,    Illegal, Illegal]),
    (ChangeKind::Skip,     [To(Kind::Skipped),   Illegal,             Illegal, Illegal, Same,    Illegal]),
    (ChangeKind::Retry,    [Illegal,             To(Kind::Pending),   Illegal, Illegal, Illegal, Illegal]),
];

fn failure() -> Failure {
    Failure::new("BadInput", "page 4 is blank")
}

fn change(kind: ChangeKind, module: usize) -> Change {
    match kind {
        ChangeKind::Start => Change::start(module),
        ChangeKind::Progress => Change::progress(module, Progress::of(3, 10)),
        ChangeKind::Complete => Change::complete(module),
        ChangeKind::Fail => Change::fail(module, failure()),
        ChangeKind::Skip => Change::skip(module, "not needed"),
        ChangeKind::Retry => Change::retry(module, failure()),
        other => panic!("{other} changes no module"),
    }
}

/// Module 2 of 3 in this state; in a sequential pipeline module 1 is complete.
fn with_module_2(pipeline: &Pipeline, state: Kind) -> Slot {
    let mut slot = Slot::begun(pipeline);
    if !pipeline.is_parallel() {
        slot.must(1, Change::complete(1));
    }
    match state {
        Kind::Pending => &mut slot,
        Kind::Running => slot.must(2, Change::start(2)),
        Kind::Complete => slot.must(2, Change::start(2)).must(3, Change::complete(2)),
        Kind::Failed => slot.must(2, Change::fail(2, failure())),
        Kind::Skipped => slot.must(2, Change::skip(2, "not needed")),
        Kind::Cancelled => slot.must(2, Change::cancel("enough")),
        other => panic!("{other} is no state of the table"),
    };
    slot
}

fn check_table(pipeline: &Pipeline) {
    let mut cells = 0;
    for (kind, row) in TABLE {
        for (state, cell) in STATES.into_iter().zip(row) {
            let mut slot = with_module_2(pipeline, state);
            let before = slot.process().clone();
            let verdict = slot.change(10, change(kind, 2));
            let after = slot.process();
            let name = format!("{kind} on {state}: {verdict:?}");
            match cell {
                To(to) => {
                    let applied = verdict.expect(&name);
                    let attempt = if kind == ChangeKind::Retry { 2 } else { 1 };
                    assert!(applied.changed, "{name}");
                    assert_eq!(applied.revision, before.revision() + 1, "{name}");
                    assert_eq!(applied.version, after.version(), "{name}");
                    assert_eq!(applied.status, after.status(), "{name}");
                    assert_eq!((applied.run, applied.attempt), (1, attempt), "{name}");
                    assert_eq!(after.modules()[1].state().kind(), to, "{name}");
                    assert_eq!(after.modules()[0], before.modules()[0], "{name}");
                    assert_eq!(after.modules()[2], before.modules()[2], "{name}");
                }
                Same => {
                    assert!(!verdict.expect(&name).changed, "{name}");
                    assert_eq!(*after, before, "{name}");
                }
                Illegal => {
                    let cause = Illegality::State {
                        module: 2,
                        from: state,
                        change: kind,
                    };
                    assert_eq!(verdict, Err(Rejection::Illegal { cause }), "{name}");
                    assert_eq!(*after, before, "{name}");
                }
            }
            cells += 1;
        }
    }
    assert_eq!(cells, 36);
}

#[test]
fn a_sequential_pipeline_follows_the_table() {
    check_table(&chain(3));
}

#[test]
fn a_parallel_pipeline_follows_the_table() {
    check_table(&chain(3).parallel());
}

#[test]
fn another_failure_of_a_failed_module_is_illegal() {
    let mut slot = with_module_2(&chain(3), Kind::Failed);
    for other in [
        Failure::new("BadInput", "page 5 is blank"),
        Failure::new("Timeout", "page 4 is blank"),
    ] {
        let rejection = slot.refused(10, Change::fail(2, other));
        let cause = Illegality::State {
            module: 2,
            from: Kind::Failed,
            change: ChangeKind::Fail,
        };
        assert_eq!(rejection, Rejection::Illegal { cause });
    }
}

#[test]
fn what_ends_before_it_was_started_has_started_and_ended_now() {
    let mut slot = Slot::begun(&chain(2));
    slot.must(5, Change::complete(1))
        .must(7, Change::fail(2, failure()));
    let modules = slot.process().modules();
    assert_eq!(
        *modules[0].state(),
        ModuleState::Complete {
            started: at(5),
            ended: at(5)
        }
    );
    assert_eq!(modules[1].state().started(), Some(at(7)));
    assert_eq!(modules[1].state().ended(), Some(at(7)));
}

#[test]
fn progress_on_a_pending_module_starts_it_at_that_progress() {
    let mut slot = Slot::begun(&chain(1));
    slot.must(4, Change::progress(1, Progress::unbounded(0)));
    let module = &slot.process().modules()[0];
    assert_eq!(*module.state(), ModuleState::Running { since: at(4) });
    assert_eq!(module.progress(), Some(&Progress::unbounded(0)));
    assert_eq!(module.progress_at(), Some(at(4)));
}

/// In a settled process nothing starts, skips or retries; the table comes before that.
#[test]
fn a_settled_process_refuses_what_would_start_skip_or_retry() {
    let mut failed = Slot::begun(&chain(3).parallel());
    failed
        .must(1, Change::start(1))
        .must(2, Change::fail(2, failure()));
    let status = OverallStatus::Failed;
    for kind in [
        ChangeKind::Start,
        ChangeKind::Progress,
        ChangeKind::Complete,
        ChangeKind::Fail,
        ChangeKind::Skip,
    ] {
        let rejection = failed.refused(9, change(kind, 3));
        assert_eq!(rejection, Rejection::Settled { status }, "{kind}");
    }
    let rejection = failed.refused(9, change(ChangeKind::Retry, 1));
    assert_eq!(rejection, Rejection::Settled { status });
    let rejection = failed.refused(9, change(ChangeKind::Retry, 3));
    assert!(
        matches!(rejection, Rejection::Illegal { .. }),
        "the table comes first"
    );
}

#[test]
fn a_module_still_running_in_a_failed_process_may_go_on() {
    let mut slot = Slot::begun(&chain(4).parallel());
    for module in 1..=3 {
        slot.must(1, Change::start(module));
    }
    slot.must(2, Change::fail(2, failure()))
        .must(3, Change::progress(1, Progress::of(1, 2)))
        .must(4, Change::complete(1))
        .must(5, Change::fail(3, Failure::new("Second", "later")));
    let process = slot.process();
    assert_eq!(process.status(), OverallStatus::Failed);
    assert_eq!(
        process.settled_at(),
        Some(at(2)),
        "it settled at the first failure"
    );
    let blame = process.blame().expect("it failed");
    assert_eq!(blame.module.map(milepost_core::Module::position), Some(2));
    assert_eq!((blame.reason, blame.at), ("BadInput", at(2)));
}

#[test]
fn order_is_judged_after_settled() {
    let mut slot = Slot::begun(&chain(3));
    let rejection = slot.refused(1, Change::start(3));
    let out_of_order = Rejection::OutOfOrder {
        module: 3,
        waits_for: 1,
    };
    assert_eq!(rejection, out_of_order);
    slot.must(1, Change::skip(1, ""));
    for kind in [
        ChangeKind::Start,
        ChangeKind::Progress,
        ChangeKind::Complete,
        ChangeKind::Fail,
        ChangeKind::Skip,
    ] {
        let out_of_order = Rejection::OutOfOrder {
            module: 3,
            waits_for: 2,
        };
        assert_eq!(slot.refused(2, change(kind, 3)), out_of_order, "{kind}");
    }
    slot.must(3, Change::fail(2, failure()));
    let status = OverallStatus::Failed;
    assert_eq!(
        slot.refused(4, Change::start(3)),
        Rejection::Settled { status }
    );
}
