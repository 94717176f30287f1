//! Batches: in order, apart, all or none.

use milepost_core::{
    Change, Failure, NewProcess, Op, Pipeline, Progress, Rejection, StatusStore, Update, limits,
};

use crate::fixture::{at, chain, failure, id, op, side_by_side};
use crate::trial::{Trial, must_be_over_the_limit, ok};

/// The work of a whole process: begin, fail, rerun, finish, with what gets rejected on the way.
fn a_life(trial: &Trial<'_>, n: u32) -> Vec<Op> {
    let id = id(n);
    let changes = [
        Change::start(1),
        Change::progress(1, Progress::of(3, 10).unit("pages")),
        Change::progress(1, Progress::of(2, 10)),
        Change::start(2),
        Change::retry(1, failure()),
        Change::start(1),
        Change::complete(1),
        Change::complete(1),
        Change::skip(2, "nothing to parse"),
        Change::fail(3, Failure::new("Timeout", "")),
        Change::cancel("too late"),
        Change::rerun(),
        Change::update(Update::new().tags([("n", n.to_string())])),
        Change::complete(3),
    ];
    let mut ops = vec![trial.begin(&chain(), id, 0)];
    ops.extend(
        (1..)
            .zip(changes)
            .map(|(second, change)| op(id, second, change)),
    );
    ops
}

pub(crate) fn a_batch_is_its_ops_one_by_one(trial: &Trial<'_>) {
    // Three lives, dealt like cards: the ops of one process are apart, and in order.
    let lives = [1, 2, 3].map(|n| a_life(trial, n));
    let dealt = (0..lives[0].len())
        .flat_map(|turn| lives.iter().map(move |life| life[turn].clone()))
        .collect::<Vec<_>>();
    trial.send(&dealt);
    trial.must_hold_exactly_what_is_expected();

    // Erased, and begun again by the op that was sent before, at another time.
    let mut again = lives[1][0].clone();
    again.at = at(200);
    trial.send(&[op(again.id, 100, Change::erase()), again]);
    trial.must_hold_exactly_what_is_expected();

    // The same life, op by op, comes to the same.
    let alone = a_life(trial, 4);
    for op in &alone {
        trial.send(std::slice::from_ref(op));
    }
    let (batched, alone) = (trial.stored(id(1)), trial.stored(id(4)));
    assert_eq!(
        (
            batched.revision(),
            batched.run(),
            batched.status(),
            batched.updated_at()
        ),
        (
            alone.revision(),
            alone.run(),
            alone.status(),
            alone.updated_at()
        ),
        "left is what a batch came to, right what its ops came to one by one"
    );
}

pub(crate) fn there_is_one_verdict_for_each_op_in_order(trial: &Trial<'_>) {
    let absent = |n| op(id(n), 1, Change::start(1));
    let batch = [
        absent(1),
        trial.begin(&chain(), id(1), 0),
        op(id(1), 1, Change::start(2)),
        op(id(1), 1, Change::start(1)),
        absent(2),
        op(id(1), 2, Change::progress(1, Progress::of(5, 9))),
        op(id(1), 2, Change::progress(1, Progress::of(4, 9))),
        op(id(1), 3, Change::rerun()),
        op(id(1), 3, Change::complete(1)),
        op(id(1), 3, Change::complete(1)),
    ];
    let verdicts = trial.send(&batch);
    let said = verdicts
        .iter()
        .map(|verdict| match verdict {
            Ok(applied) if applied.changed => "changed",
            Ok(_) => "no change",
            Err(Rejection::NotFound) => "not found",
            Err(Rejection::OutOfOrder { .. }) => "out of order",
            Err(Rejection::Backwards { .. }) => "backwards",
            Err(Rejection::Illegal { .. }) => "illegal",
            Err(_) => "another rejection",
        })
        .collect::<Vec<_>>();
    let expected = [
        "not found",
        "changed",
        "out of order",
        "changed",
        "not found",
        "changed",
        "backwards",
        "illegal",
        "changed",
        "no change",
    ];
    assert_eq!(said, expected, "left is what the store said, op by op");
}

pub(crate) fn a_process_may_live_and_die_in_one_batch(trial: &Trial<'_>) {
    let erase = |seconds| op(id(1), seconds, Change::erase());
    let batch = [
        trial.begin(&chain(), id(1), 0),
        op(id(1), 1, Change::start(1)),
        erase(2),
        op(id(1), 3, Change::complete(1)),
        erase(4),
        trial.begin(&side_by_side(), id(1), 5),
        op(id(1), 6, Change::complete(3)),
        trial.begin(&chain(), id(2), 5),
        op(id(2), 6, Change::erase()),
    ];
    let verdicts = trial.send(&batch);
    for late in [3, 4] {
        assert_eq!(
            verdicts[late],
            Err(Rejection::NotFound),
            "op {late} came after the erasure"
        );
    }
    let begun_anew = trial.stored(id(1));
    assert_eq!(
        (begun_anew.pipeline(), begun_anew.revision()),
        ("thumbnails", 2)
    );
    assert_eq!(
        trial.read(id(2)),
        None,
        "it was begun and erased in one batch"
    );
    trial.must_hold_exactly_what_is_expected();

    // What stood before the batch is the one that the batch erases.
    let again = [
        erase(7),
        trial.begin(&chain(), id(1), 8),
        erase(9),
        trial.begin(&chain(), id(1), 10),
    ];
    trial.send(&again);
    assert_eq!(trial.stored(id(1)).created_at(), at(10));
    trial.must_hold_exactly_what_is_expected();
}

pub(crate) fn a_later_op_sees_what_an_earlier_one_of_its_batch_did(trial: &Trial<'_>) {
    trial.must(&trial.begin(&chain(), id(1), 0));
    let batch = (1..=3)
        .flat_map(|module| [Change::start(module), Change::complete(module)])
        .map(|change| op(id(1), 1, change))
        .collect::<Vec<_>>();
    let verdicts = trial.send(&batch);
    for (revision, verdict) in (2..).zip(verdicts) {
        let applied = verdict.expect("each op is legal once the one before it is applied");
        assert_eq!((applied.changed, applied.revision), (true, revision));
    }
}

pub(crate) fn an_empty_batch_is_answered_by_no_verdicts(trial: &Trial<'_>) {
    trial.must(&trial.begin(&chain(), id(1), 0));
    assert_eq!(trial.send(&[]), []);
    trial.must_hold_exactly_what_is_expected();
}

pub(crate) fn a_rejected_op_spoils_nothing_else_in_its_batch(trial: &Trial<'_>) {
    let rejected = |n| op(id(n), 1, Change::complete(99));
    trial.must(&trial.begin(&chain(), id(1), 0));
    let batch = [
        rejected(9),
        op(id(1), 1, Change::start(1)),
        rejected(1),
        trial.begin(&chain(), id(2), 1),
        op(id(2), 2, Change::start(3)),
        op(id(1), 3, Change::complete(1)),
        rejected(2),
    ];
    let kept = trial
        .send(&batch)
        .iter()
        .map(Result::is_ok)
        .collect::<Vec<_>>();
    assert_eq!(
        kept,
        [false, true, false, true, false, true, false],
        "left is what was kept"
    );
    assert_eq!(
        trial.stored(id(1)).revision(),
        3,
        "two ops of the batch were legal"
    );
    assert_eq!(trial.stored(id(2)).revision(), 1, "it was begun");
    trial.must_hold_exactly_what_is_expected();
}

pub(crate) fn a_rejected_op_leaves_the_record_untouched(trial: &Trial<'_>) {
    trial.send(&[
        trial.begin(&chain(), id(1), 0),
        op(id(1), 1, Change::start(1)),
        op(id(1), 2, Change::progress(1, Progress::of(5, 9))),
        op(id(1), 3, Change::retry(1, failure())),
        op(id(1), 4, Change::start(1)),
        op(id(1), 5, Change::progress(1, Progress::of(5, 9))),
    ]);
    let before = trial.stored(id(1));
    let stale = milepost_core::Guard::new().attempt(1);
    let another = Pipeline::new("another", ["module"]).expect("the names are fine");
    let rejected = [
        op(id(1), 100, Change::start(2)),
        op(id(1), 100, Change::progress(1, Progress::of(4, 9))),
        op(id(1), 100, Change::progress(1, Progress::of(10, 9))),
        op(id(1), 100, Change::skip(1, "it runs")),
        op(id(1), 100, Change::start(0)),
        op(id(1), 100, Change::start(4)),
        op(id(1), 100, Change::rerun()),
        op(id(1), 100, Change::fail(1, failure())).guarded(stale),
        op(
            id(1),
            100,
            Change::update(Update::new().file_name("line\nbreak")),
        ),
        trial.begin(&another, id(1), 100),
    ];
    for op in &rejected {
        let verdict = trial.one(op);
        assert!(
            verdict.is_err(),
            "a rejection was to be expected, got {verdict:?} on {op:?}"
        );
        assert_eq!(
            trial.stored(id(1)),
            before,
            "left is stored after a rejection, right before it"
        );
    }
    trial.send(&rejected);
    trial.must_hold_exactly_what_is_expected();
}

pub(crate) fn a_refused_batch_is_kept_in_no_part(trial: &Trial<'_>) {
    trial.must(&trial.begin(&chain(), id(1), 0));
    let mut batch = vec![
        op(id(1), 1, Change::start(1)),
        trial.begin(&chain(), id(2), 1),
    ];
    batch.resize(limits::BATCH_OPS + 1, op(id(1), 2, Change::complete(1)));
    must_be_over_the_limit("write", trial.store().write(&batch));
    trial.reopen();
    trial.must_hold_exactly_what_is_expected();

    // Nor does any part of it turn up when the next batch is kept.
    trial.send(&[trial.begin_at(NewProcess::new(&chain()).request_id(id(3)), at(3))]);
    trial.must_hold_exactly_what_is_expected();
    let versions = ok("versions", trial.store().versions(&[id(1), id(2)]));
    assert_eq!(versions[1], None, "a process of a refused batch exists");
}
