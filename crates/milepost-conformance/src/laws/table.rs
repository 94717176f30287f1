//! The transition table of modules, cell by cell, in sequential and in parallel pipelines.

use std::sync::Arc;

use milepost_core::{
    AttemptEnd, Change, Failure, Module, ModuleState, Pipeline, Process, Progress, Rejection,
    RequestId,
};

use crate::fixture::{at, chain, failure, id, op, side_by_side};
use crate::trial::Trial;

/// The states that a module can be in when it is asked to change, as columns.
const STATES: [&str; 6] = [
    "pending",
    "running",
    "complete",
    "failed",
    "skipped",
    "cancelled",
];

/// When a module came into its state, and when it is asked to change.
const BEFORE: i64 = 10;
const NOW: i64 = 20;

/// What a change is to do to a module in one state.
enum Cell {
    /// It comes to be like this.
    Becomes(ModuleState),
    /// `Ok`, and not changed.
    Stays,
    /// `Rejection::Illegal`.
    Illegal,
}

use Cell::{Becomes, Illegal, Stays};

/// Brings a module of a new process into a state.
fn bring(trial: &Trial<'_>, pipeline: &Pipeline, process: RequestId, module: usize, state: &str) {
    let steps = match state {
        "pending" => vec![],
        "running" => vec![Change::start(module)],
        "complete" => vec![Change::start(module), Change::complete(module)],
        "failed" => vec![Change::start(module), Change::fail(module, failure())],
        "skipped" => vec![Change::skip(module, "not needed")],
        "cancelled" => vec![Change::start(module), Change::cancel("called off")],
        _ => unreachable!("the columns are those of STATES"),
    };
    trial.must(&trial.begin(pipeline, process, 0));
    for change in steps {
        trial.must(&op(process, BEFORE, change));
    }
}

/// Holds one row of the table against the store: in a chain its first module, side by side the second.
///
/// Answers the processes in the order of the columns, first those of the chain.
fn row(trial: &Trial<'_>, change: fn(usize) -> Change, cells: &[Cell; 6]) -> Vec<Arc<Process>> {
    let mut left = Vec::new();
    for (table, (pipeline, module)) in (0..).zip([(chain(), 1), (side_by_side(), 2)]) {
        for (column, (state, cell)) in (0..).zip(STATES.iter().zip(cells)) {
            let process = id(100 * table + column);
            bring(trial, &pipeline, process, module, state);
            let before = trial.stored(process);
            let verdict = trial.one(&op(process, NOW, change(module)));
            let after = trial.stored(process);
            let what = format!("{:?} of a module that is {state}", change(module).kind());
            let now = &after.modules()[module - 1];
            match cell {
                Becomes(state) => {
                    let applied = verdict.unwrap_or_else(|error| panic!("{what}: got {error:?}"));
                    assert!(applied.changed, "{what}: got Ok without a change");
                    assert_eq!(now.state(), state, "{what}: left is stored");
                    assert_eq!(
                        after.revision(),
                        before.revision() + 1,
                        "{what}: its revision"
                    );
                    assert_eq!(after.updated_at(), at(NOW), "{what}: updated_at");
                    assert_eq!(
                        applied.version,
                        after.version(),
                        "{what}: the verdict's version"
                    );
                    assert_eq!(
                        applied.status,
                        after.status(),
                        "{what}: the verdict's status"
                    );
                    assert_eq!(
                        applied.attempt,
                        now.attempt(),
                        "{what}: the verdict's attempt"
                    );
                }
                Stays => {
                    let applied = verdict.unwrap_or_else(|error| panic!("{what}: got {error:?}"));
                    assert!(!applied.changed, "{what}: got a change");
                    assert_eq!(
                        applied.version,
                        before.version(),
                        "{what}: the verdict's version"
                    );
                    assert_eq!(
                        after, before,
                        "{what}: left is stored after it, right before it"
                    );
                }
                Illegal => {
                    assert!(
                        matches!(verdict, Err(Rejection::Illegal { .. })),
                        "{what}: got {verdict:?}, expected Illegal"
                    );
                    assert_eq!(
                        after, before,
                        "{what}: left is stored after it, right before it"
                    );
                }
            }
            left.push(after);
        }
    }
    left
}

/// The module that was asked, in the process of this column: of the chain, and of the other.
fn asked(left: &[Arc<Process>], column: usize) -> [&Module; 2] {
    [&left[column].modules()[0], &left[6 + column].modules()[1]]
}

pub(crate) fn start_follows_the_table(trial: &Trial<'_>) {
    let running = ModuleState::Running { since: at(NOW) };
    let cells = [Becomes(running), Stays, Illegal, Illegal, Illegal, Illegal];
    row(trial, Change::start, &cells);
}

pub(crate) fn progress_follows_the_table(trial: &Trial<'_>) {
    let started = ModuleState::Running { since: at(NOW) };
    let went_on = ModuleState::Running { since: at(BEFORE) };
    let cells = [
        Becomes(started),
        Becomes(went_on),
        Illegal,
        Illegal,
        Illegal,
        Illegal,
    ];
    let change = |module| Change::progress(module, Progress::of(3, 10).unit("pages"));
    let left = row(trial, change, &cells);
    for module in [asked(&left, 0), asked(&left, 1)].concat() {
        assert_eq!(module.progress(), Some(&Progress::of(3, 10).unit("pages")));
        assert_eq!(module.progress_at(), Some(at(NOW)));
    }
}

pub(crate) fn complete_follows_the_table(trial: &Trial<'_>) {
    let complete = |started| ModuleState::Complete {
        started: at(started),
        ended: at(NOW),
    };
    let (at_once, at_last) = (Becomes(complete(NOW)), Becomes(complete(BEFORE)));
    row(
        trial,
        Change::complete,
        &[at_once, at_last, Stays, Illegal, Illegal, Illegal],
    );
}

pub(crate) fn fail_follows_the_table(trial: &Trial<'_>) {
    let failed = |started| ModuleState::Failed {
        started: at(started),
        ended: at(NOW),
        failure: failure(),
    };
    let (at_once, at_last) = (Becomes(failed(NOW)), Becomes(failed(BEFORE)));
    let cells = [at_once, at_last, Illegal, Stays, Illegal, Illegal];
    let left = row(trial, |module| Change::fail(module, failure()), &cells);
    // Another failure than the one that stands is no repeat of it.
    for (process, module) in [(&left[3], 1), (&left[9], 2)] {
        for other in [
            Failure::new("BadInput", "page 5 is blank"),
            Failure::new("Other", "page 4 is blank"),
        ] {
            let verdict = trial.one(&op(process.request_id(), 30, Change::fail(module, other)));
            assert!(
                matches!(verdict, Err(Rejection::Illegal { .. })),
                "another failure of a module that has failed: got {verdict:?}, expected Illegal"
            );
        }
    }
}

pub(crate) fn skip_follows_the_table(trial: &Trial<'_>) {
    let skipped = ModuleState::Skipped {
        at: at(NOW),
        reason: "no text".into(),
    };
    let cells = [Becomes(skipped), Illegal, Illegal, Illegal, Stays, Illegal];
    row(trial, |module| Change::skip(module, "no text"), &cells);
}

pub(crate) fn retry_follows_the_table(trial: &Trial<'_>) {
    let pending = Becomes(ModuleState::Pending);
    let cells = [Illegal, pending, Illegal, Illegal, Illegal, Illegal];
    let left = row(trial, |module| Change::retry(module, failure()), &cells);
    for module in asked(&left, 1) {
        assert_eq!(module.attempt(), 2, "a retry is another attempt");
        let [kept] = module.attempts() else {
            panic!(
                "one past attempt is to be kept, got {:?}",
                module.attempts()
            )
        };
        assert_eq!((kept.number(), kept.run()), (1, 1));
        assert_eq!((kept.started(), kept.ended()), (Some(at(BEFORE)), at(NOW)));
        assert_eq!(kept.end(), &AttemptEnd::Retried(failure()));
    }
}
