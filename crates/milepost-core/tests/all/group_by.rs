//! Group commit for stores that see all batches of a group before they write any.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use milepost_core::{
    Batch, GroupCommit, NewProcess, Op, Process, StoreError, StoreErrorKind, Verdict,
};
use uuid::Uuid;

use crate::common::{chain, creation, noon};

type Answer = Result<Vec<Verdict>, StoreError>;

/// A batch of `n` and one more: so many verdicts tell whose they are.
fn batch(n: usize) -> Vec<Op> {
    let create = |n: u128| {
        let new = NewProcess::new(&chain(1)).request_id(Uuid::from_u128(n).into());
        creation(new, noon())
    };
    (0..).take(n + 1).map(create).collect()
}

fn answer(batch: &Batch<'_>) -> Answer {
    let slot = || None::<Arc<Process>>;
    batch
        .ops
        .iter()
        .map(|op| Ok(op.apply(&mut slot())))
        .collect()
}

fn is_of(answer: &Answer, n: usize) -> bool {
    answer.as_ref().expect("it is written").len() == n + 1
}

/// Has batches come while the first is being written, and then be written together by `write`: what each caller was told, a
/// panic among it.
fn together(
    write: impl Fn(&[Batch<'_>]) -> Vec<Answer> + Sync,
) -> (Vec<thread::Result<Answer>>, Vec<usize>) {
    let group = GroupCommit::new();
    let (begun, wait_until_begun) = channel();
    let (go, wait_until_told) = channel::<()>();
    let wait_until_told = Mutex::new(wait_until_told);
    let sizes = Arc::new(Mutex::new(Vec::new()));
    let answers = thread::scope(|scope| {
        let (group, sizes) = (&group, &sizes);
        let first = scope.spawn(move || {
            group.write_by(&batch(0), None, |batches| {
                sizes.lock().expect("no panic").push(batches.len());
                begun.send(()).expect("it is waited for");
                let told = wait_until_told.lock().expect("no panic");
                told.recv().expect("it is told");
                batches.iter().map(answer).collect()
            })
        });
        wait_until_begun.recv().expect("the first has begun");
        let write = &write;
        let others = [1, 2, 3].map(|n| {
            let other = scope.spawn(move || {
                catch_unwind(AssertUnwindSafe(|| {
                    group.write_by(&batch(n), None, |batches| {
                        sizes.lock().expect("no panic").push(batches.len());
                        write(batches)
                    })
                }))
            });
            // Each takes its place before the next.
            thread::sleep(Duration::from_millis(30));
            other
        });
        go.send(()).expect("it waits");
        let first = first.join().expect("no panic");
        assert!(is_of(&first, 0));
        others.map(|other| other.join().expect("what panics is caught"))
    });
    let sizes = sizes.lock().expect("no panic").clone();
    (answers.into(), sizes)
}

#[test]
fn who_waits_is_written_with_the_others_and_gets_its_own_answer() {
    let (answers, sizes) = together(|batches| batches.iter().map(answer).collect());
    assert_eq!(sizes, [1, 3]);
    for (n, answer) in (1..).zip(answers) {
        assert!(is_of(&answer.expect("no panic"), n), "batch {n}");
    }
}

#[test]
fn an_error_of_one_is_nobody_elses() {
    let (answers, _) = together(|batches| {
        let busy = || Err(StoreError::new(StoreErrorKind::Busy, "one"));
        let one = |(place, batch)| if place == 1 { busy() } else { answer(batch) };
        batches.iter().enumerate().map(one).collect()
    });
    let kinds = answers.into_iter().map(|answer| {
        answer
            .expect("no panic")
            .map_err(|error| error.kind())
            .err()
    });
    let kinds = kinds.collect::<Vec<_>>();
    assert_eq!(kinds, [None, Some(StoreErrorKind::Busy), None]);
}

#[test]
fn a_store_that_does_not_answer_each_leaves_the_outcome_unknown() {
    let (answers, _) = together(|batches| batches.iter().skip(1).map(answer).collect());
    for answer in answers {
        let error = answer.expect("no panic").expect_err("it has no answer");
        assert_eq!(error.kind(), StoreErrorKind::OutcomeUnknown);
    }
    // Alone, too.
    let error = GroupCommit::new().write_by(&batch(1), None, |_| Vec::new());
    let error = error.expect_err("it has no answer");
    assert_eq!(error.kind(), StoreErrorKind::OutcomeUnknown);
}

#[test]
fn a_panic_reaches_who_wrote_and_leaves_the_outcome_unknown_to_the_others() {
    let (answers, sizes) = together(|_| panic!("the store panics"));
    assert_eq!(sizes, [1, 3]);
    let mut answers = answers.into_iter();
    assert!(answers.next().expect("there are three").is_err());
    for answer in answers {
        let error = answer.expect("they only waited").expect_err("unknown");
        assert_eq!(error.kind(), StoreErrorKind::OutcomeUnknown);
    }
}
