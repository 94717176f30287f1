//! Crowds: far more writers than a machine has cores, each with a process of its own and all with one in
//! common.
//!
//! A store may commit the batches of many callers together. Nobody must be able to tell.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, RwLock};
use std::thread;

use milepost_core::{
    Change, Failure, Op, RequestId, StatusStore, StoreError, StoreErrorKind, Update, Verdict,
    limits,
};

use crate::fixture::{chain, id, op};
use crate::trial::{Trial, must_be_over_the_limit, ok};

type Answer = Result<Vec<Verdict>, StoreError>;

const THOUSAND: u32 = 1_000;
/// How much stack each of a crowd has: so little that a thousand fit anywhere.
const STACK: usize = 128 * 1024;

/// The process that all of a crowd write to.
fn common() -> RequestId {
    id(u32::MAX)
}

/// A change of the process in common that no other has made.
fn note(text: &str) -> Op {
    let update = Update::new().file_description(text);
    op(common(), 1, Change::update(update))
}

/// Runs `work` in `count` threads at once, half of them on another store value, and answers what each came to.
///
/// What is wrong is better answered than asserted in there: a thousand panics are hard to read.
fn in_a_crowd<T: Send>(
    trial: &Trial<'_>,
    count: u32,
    work: impl Fn(u32, &dyn StatusStore) -> T + Sync,
) -> Vec<T> {
    let stores: [Arc<dyn StatusStore>; 2] = [trial.store(), trial.another()];
    // Unlike a barrier it opens, too, if there is no room for all the threads.
    let gate = RwLock::new(());
    thread::scope(|scope| {
        let closed = gate.write();
        let threads = (0..count)
            .map(|n| {
                let (work, gate) = (&work, &gate);
                let store = &*stores[(n % 2) as usize];
                let run = move || {
                    drop(gate.read());
                    work(n, store)
                };
                let thread = thread::Builder::new().stack_size(STACK);
                thread.spawn_scoped(scope, run).expect("there is room")
            })
            .collect::<Vec<_>>();
        drop(closed);
        threads
            .into_iter()
            .map(|thread| thread.join().expect("a thread finds nothing wrong"))
            .collect()
    })
}

/// Sees that what a crowd has sent is stored as if it had come one by one, and that each caller was answered
/// for its own ops.
///
/// In what order shows in the revisions of the process in common, to which each batch made one change, in its
/// first op. Who was `Busy` has left nothing, and is served when it comes again alone.
fn must_be_one_by_one(trial: &Trial<'_>, calls: Vec<(Vec<Op>, Answer)>) {
    let is_busy =
        |answer: &Answer| matches!(answer, Err(error) if error.kind() == StoreErrorKind::Busy);
    let (busy, done): (Vec<_>, Vec<_>) = calls.into_iter().partition(|(_, answer)| is_busy(answer));
    let mut served = Vec::new();
    for (ops, answer) in done {
        let verdicts = ok("write", answer);
        assert_eq!(verdicts.len(), ops.len(), "write: one verdict for each op");
        let first = verdicts[0].as_ref();
        let first = first.unwrap_or_else(|rejection| panic!("{rejection:?} came for {:?}", ops[0]));
        served.push((first.revision, ops, verdicts));
    }
    served.sort_by_key(|(revision, ..)| *revision);
    let revisions = served.iter().map(|(revision, ..)| *revision);
    let expected = (2..).take(served.len()).collect::<Vec<u64>>();
    assert_eq!(
        revisions.collect::<Vec<_>>(),
        expected,
        "left are the revisions that the callers were told of"
    );
    for (_, ops, verdicts) in served {
        assert_eq!(
            verdicts,
            trial.expect(&ops),
            "left is what the caller of {ops:?} was told"
        );
    }
    trial.must_hold_exactly_what_is_expected();
    for (ops, _) in busy {
        trial.send(&ops);
    }
    trial.reopen();
    trial.must_hold_exactly_what_is_expected();
}

pub(crate) fn of_a_thousand_writers_none_is_lost(trial: &Trial<'_>) {
    trial.must(&trial.begin(&chain(), common(), 0));
    let batches = (0..THOUSAND)
        .map(|n| {
            let first = [
                note(&format!("begins {n}")),
                trial.begin(&chain(), id(n), 0),
                op(id(n), 1, Change::start(1)),
            ];
            let second = [
                note(&format!("completes {n}")),
                op(id(n), 2, Change::complete(1)),
            ];
            [first.to_vec(), second.to_vec()]
        })
        .collect::<Vec<_>>();
    let calls = in_a_crowd(trial, THOUSAND, |n, store| {
        let write = |ops: &Vec<Op>| (ops.clone(), store.write(ops));
        batches[n as usize].each_ref().map(write)
    });
    must_be_one_by_one(trial, calls.into_iter().flatten().collect());
}

pub(crate) fn each_of_a_crowd_is_told_of_its_own_ops(trial: &Trial<'_>) {
    const COUNT: u32 = 120;
    trial.must(&trial.begin(&chain(), common(), 0));
    // Batches of different lengths, whose verdicts differ in each place.
    let batches = (0..COUNT)
        .map(|n| {
            let mut ops = vec![
                note(&n.to_string()),
                trial.begin(&chain(), id(n), 0),
                op(id(n), 1, Change::start(1)),
                op(id(n), 1, Change::start(2)),
                op(id(n), 2, Change::fail(1, Failure::new("Odd", "one out"))),
                op(id(n), 3, Change::cancel("called off")),
                op(id(COUNT + n), 3, Change::start(1)),
            ];
            ops.truncate(2 + n as usize % 6);
            ops
        })
        .collect::<Vec<_>>();
    let calls = in_a_crowd(trial, COUNT, |n, store| {
        let ops = &batches[n as usize];
        (ops.clone(), store.write(ops))
    });
    must_be_one_by_one(trial, calls);
}

pub(crate) fn what_begins_after_anothers_ok_follows_it(trial: &Trial<'_>) {
    const COUNT: u32 = 100;
    const ROUNDS: u32 = 4;
    trial.must(&trial.begin(&chain(), common(), 0));
    // The newest revision that anybody was told of.
    let told = AtomicU64::new(1);
    let wrong = in_a_crowd(trial, COUNT, |n, store| {
        let mut wrong = Vec::new();
        for round in 0..ROUNDS {
            let before = told.load(Ordering::SeqCst);
            let written = store.write(&[note(&format!("{round} of {n}"))]);
            if matches!(&written, Err(error) if error.kind() == StoreErrorKind::Busy) {
                continue;
            }
            let verdicts = ok("write", written);
            let revision = verdicts[0].as_ref().map_or(0, |applied| applied.revision);
            if revision <= before {
                wrong.push(format!("revision {revision} was made, after {before}"));
            }
            told.fetch_max(revision, Ordering::SeqCst);
            let before = told.load(Ordering::SeqCst);
            let read = ok("read", store.read(common())).map_or(0, |process| process.revision());
            if read < before {
                wrong.push(format!("revision {read} was read, after {before}"));
            }
        }
        wrong
    });
    let wrong = wrong.concat();
    let first = wrong.iter().take(5).collect::<Vec<_>>();
    assert!(
        wrong.is_empty(),
        "{} calls did not see what others had been told before they began: {first:#?}",
        wrong.len()
    );
}

pub(crate) fn a_refused_batch_in_a_crowd_spoils_no_other(trial: &Trial<'_>) {
    const COUNT: u32 = 60;
    trial.must(&trial.begin(&chain(), common(), 0));
    let batches = (0..COUNT)
        .map(|n| batch_of_its_kind(trial, n))
        .collect::<Vec<_>>();
    let calls = in_a_crowd(trial, COUNT, |n, store| {
        let ops = &batches[n as usize];
        (ops.clone(), store.write(ops))
    });
    let (over, within): (Vec<_>, Vec<_>) = calls
        .into_iter()
        .partition(|(ops, _)| limits::check_batch(ops).is_err());
    for (_, answer) in over {
        must_be_over_the_limit("write", answer);
    }
    must_be_one_by_one(trial, within);
}

/// Batches that are good, that have too much in them, that have just not too much, and that have ops which are
/// rejected.
fn batch_of_its_kind(trial: &Trial<'_>, n: u32) -> Vec<Op> {
    let start = op(id(n), 1, Change::start(1));
    let mut ops = vec![
        note(&n.to_string()),
        trial.begin(&chain(), id(n), 0),
        start.clone(),
    ];
    match n % 20 {
        3 | 13 => ops.resize(limits::BATCH_OPS + 1, start),
        7 => ops.resize(limits::BATCH_OPS, start),
        11 => {
            let text = "x".repeat(limits::MESSAGE_BYTES);
            let large = op(id(n), 2, Change::fail(1, Failure::new("", &text)));
            ops.resize(limits::BATCH_BYTES / limits::MESSAGE_BYTES, large);
        }
        even if even % 2 == 0 => ops.extend([
            op(id(n), 2, Change::complete(3)),
            op(id(THOUSAND + n), 2, Change::complete(1)),
        ]),
        _ => {}
    }
    ops
}
