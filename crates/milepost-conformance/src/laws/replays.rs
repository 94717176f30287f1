//! Sent again: what a host does when it lost an answer.

use std::sync::Arc;

use milepost_core::{Change, Failure, Guard, NewProcess, Op, Process, Progress, Rejection, Update};

use crate::fixture::{at, chain, failure, file, id, module_guard, op, run_guard};
use crate::trial::Trial;

/// Two runs of one process, each op guarded with what a handle would have seen.
fn history(trial: &Trial<'_>, n: u32) -> Vec<Op> {
    let changes = [
        Change::start(1),
        Change::progress(1, Progress::of(1, 3)),
        Change::progress(1, Progress::of(2, 3).message("page 2")),
        Change::retry(1, failure()),
        Change::start(1),
        Change::progress(1, Progress::of(3, 3)),
        Change::complete(1),
        Change::update(Update::new().file_name("renamed.pdf")),
        Change::skip(2, "not needed"),
        Change::start(3),
        Change::fail(3, failure()),
        Change::rerun(),
        Change::cancel("called off"),
        Change::rerun(),
        Change::start(3),
        Change::retry(3, failure()),
        Change::progress(3, Progress::unbounded(7)),
        Change::update(Update::new().tags([("state", "done")])),
        Change::complete(3),
    ];
    // A rehearsal on a slot of our own tells what each handle had seen.
    let begin = trial.begin(&chain(), id(n), 0);
    let mut slot: Option<Arc<Process>> = None;
    let mut ops = vec![begin];
    ops[0].apply(&mut slot).expect("nothing is there yet");
    for (second, change) in (1..).zip(changes) {
        let process = slot.as_ref().expect("it was begun");
        let guard = match &change {
            Change::Start { module }
            | Change::Progress { module, .. }
            | Change::Complete { module }
            | Change::Fail { module, .. }
            | Change::Skip { module, .. }
            | Change::Retry { module, .. } => module_guard(process, *module),
            Change::Update(_) => {
                let version = process.version();
                Guard::new().born(version.born).revision(version.revision)
            }
            _ => run_guard(process),
        };
        let op = op(id(n), second, change).guarded(guard);
        op.apply(&mut slot)
            .expect("each step is legal after the one before");
        ops.push(op);
    }
    ops
}

pub(crate) fn every_op_sent_twice_counts_once(trial: &Trial<'_>) {
    for op in history(trial, 1) {
        let verdict = trial.one(&op);
        let before = trial.stored(id(1));
        let again = trial.one(&op);
        assert_eq!(
            trial.stored(id(1)),
            before,
            "left is stored after {op:?} came again"
        );
        if verdict.is_ok() {
            let applied = again.unwrap_or_else(|error| panic!("again: got {error:?} on {op:?}"));
            assert!(
                !applied.changed,
                "its effect stands, and yet it changed: {op:?}"
            );
            assert_eq!(
                applied.version,
                before.version(),
                "the version that a no-change reports"
            );
        }
    }
}

pub(crate) fn a_batch_sent_twice_leaves_what_sending_it_once_does(trial: &Trial<'_>) {
    let (first, second) = (history(trial, 1), history(trial, 2));
    let batch = first
        .into_iter()
        .zip(second)
        .flat_map(|(a, b)| [a, b])
        .collect::<Vec<_>>();
    for part in [&batch[..7], &batch[7..20], &batch[20..], &batch[..]] {
        trial.send(part);
        let after_one = [trial.read(id(1)), trial.read(id(2))];
        trial.send(part);
        let twice = [trial.read(id(1)), trial.read(id(2))];
        assert_eq!(
            twice, after_one,
            "left is stored after the batch came again, right before it"
        );
    }
    let doubled = batch
        .iter()
        .flat_map(|op| [op.clone(), op.clone()])
        .collect::<Vec<_>>();
    let before = trial.stored(id(1));
    trial.send(&doubled);
    assert_eq!(
        trial.stored(id(1)),
        before,
        "left is stored after each op came twice in a batch"
    );
}

pub(crate) fn late_repeats_between_retries_and_reruns_change_nothing(trial: &Trial<'_>) {
    let ops = history(trial, 1);
    for sent in 0..ops.len() {
        trial.send(&ops[sent..=sent]);
        let before = trial.stored(id(1));
        // Everything that was ever sent comes again, the newest first and then the oldest first.
        for late in ops[..=sent].iter().rev().chain(&ops[..=sent]) {
            let verdict = trial.one(late);
            let changed = verdict.is_ok_and(|applied| applied.changed);
            assert!(
                !changed,
                "a repeat changed something after op {sent}: {late:?}"
            );
        }
        assert_eq!(
            trial.stored(id(1)),
            before,
            "left is stored after repeats, right before them"
        );
    }
}

pub(crate) fn beginning_twice_is_beginning_once(trial: &Trial<'_>) {
    let new = NewProcess::new(&chain()).request_id(id(1)).file_id(file(1));
    let begin = trial.begin_at(new.clone().file_name("first.pdf"), at(0));
    assert!(trial.must(&begin).changed, "it begins");
    // The same op, another beginning by the same words, one that leaves the file to chance, and one later.
    let again = [
        begin.clone(),
        trial.begin_at(
            new.clone().file_name("second.pdf").expires_at(at(900)),
            at(0),
        ),
        trial.begin_at(NewProcess::new(&chain()).request_id(id(1)), at(1)),
        trial.begin_at(new, at(-9)),
    ];
    let first = trial.stored(id(1));
    for begin in &again {
        let applied = trial.must(begin);
        assert_eq!((applied.changed, applied.version), (false, first.version()));
        assert_eq!(
            trial.stored(id(1)),
            first,
            "left is stored after it was begun again"
        );
    }
    trial.send(&again);
    trial.must_hold_exactly_what_is_expected();
}

pub(crate) fn an_erasure_sent_again_is_not_found(trial: &Trial<'_>) {
    trial.must(&trial.begin(&chain(), id(1), 0));
    let erase = op(id(1), 1, Change::erase()).guarded(run_guard(&trial.stored(id(1))));
    assert!(trial.must(&erase).changed, "an erasure changes something");
    assert_eq!(trial.one(&erase), Err(Rejection::NotFound));
    trial.must(&trial.begin(&chain(), id(1), 2));
    let anew = trial.stored(id(1));
    assert_eq!(
        trial.one(&erase),
        Err(Rejection::NotFound),
        "it was meant for the one before"
    );
    assert_eq!(trial.stored(id(1)), anew);
}

pub(crate) fn no_change_reports_the_state_that_is_stored(trial: &Trial<'_>) {
    trial.must(&trial.begin(&chain(), id(1), 0));
    let changes = [
        Change::start(1),
        Change::progress(1, Progress::of(1, 2)),
        Change::retry(1, Failure::new("Again", "")),
        Change::start(1),
        Change::fail(1, failure()),
    ];
    for (second, change) in (1..).zip(changes) {
        let guard = module_guard(&trial.stored(id(1)), 1);
        let op = op(id(1), second, change).guarded(guard);
        trial.must(&op);
        let stored = trial.stored(id(1));
        let again = trial.must(&op);
        let reported = (
            again.changed,
            again.version,
            again.revision,
            again.status,
            again.run,
        );
        let state = (
            false,
            stored.version(),
            stored.revision(),
            stored.status(),
            stored.run(),
        );
        assert_eq!(
            reported, state,
            "left is what a no-change reports, right what is stored"
        );
        assert_eq!(
            again.attempt,
            stored.modules()[0].attempt(),
            "the attempt that it reports"
        );
    }
}
