//! No ghosts: only a creation or an import makes a process, and never over another.

use milepost_core::{
    Change, Conflict, Failure, Filter, Guard, NewProcess, Op, Pipeline, Progress, Rejection, Update,
};

use crate::fixture::{at, chain, failure, file, id, module_guard, op, run_guard};
use crate::trial::Trial;

/// One op of each change but creating, importing and erasing.
fn one_of_each_change(n: u32, seconds: i64) -> Vec<Op> {
    let changes = [
        Change::start(1),
        Change::progress(1, Progress::of(1, 2)),
        Change::complete(1),
        Change::fail(1, failure()),
        Change::skip(1, "not needed"),
        Change::retry(1, failure()),
        Change::cancel("called off"),
        Change::rerun(),
        Change::update(Update::new().file_name("other.pdf").never_expires()),
    ];
    changes
        .into_iter()
        .map(|change| op(id(n), seconds, change))
        .collect()
}

pub(crate) fn create_never_overwrites(trial: &Trial<'_>) {
    let new = NewProcess::new(&chain()).request_id(id(1));
    trial.must(&trial.begin_at(new.clone().file_id(file(1)).file_name("first.pdf"), at(0)));
    trial.must(&op(id(1), 1, Change::start(1)));
    let first = trial.stored(id(1));

    let renamed = Pipeline::new("invoice-ocr-2", chain().modules()).expect("the names are fine");
    let longer = Pipeline::new("invoice-ocr", ["ocr", "parser", "keyword-db", "index"]);
    let conflicts = [
        (new.clone().file_id(file(2)), Conflict::File),
        (
            NewProcess::new(&renamed).request_id(id(1)),
            Conflict::Pipeline,
        ),
        (
            NewProcess::new(&longer.expect("the names are fine")).request_id(id(1)),
            Conflict::Pipeline,
        ),
        (
            NewProcess::new(&chain().parallel()).request_id(id(1)),
            Conflict::Pipeline,
        ),
    ];
    for (other, conflict) in conflicts {
        let verdict = trial.one(&trial.begin_at(other, at(2)));
        assert_eq!(verdict, Err(Rejection::AlreadyExists { conflict }));
        assert_eq!(
            trial.stored(id(1)),
            first,
            "left is stored after it was begun over, right before"
        );
    }
    // The same beginning answers what is there, and leaves it as it is, however far it has come.
    for done in [
        Change::cancel("called off"),
        Change::rerun(),
        Change::complete(1),
    ] {
        trial.must(&op(id(1), 3, done));
        let before = trial.stored(id(1));
        let verdict = trial.one(&trial.begin_at(new.clone().file_name("second.pdf"), at(4)));
        let applied = verdict.expect("the same beginning is no conflict");
        assert_eq!(
            (applied.changed, applied.version),
            (false, before.version())
        );
        assert_eq!(
            trial.stored(id(1)),
            before,
            "left is stored after it was begun again"
        );
    }
}

pub(crate) fn nothing_but_a_creation_or_an_import_makes_a_process_exist(trial: &Trial<'_>) {
    let mut ops = one_of_each_change(1, 0);
    ops.push(op(id(1), 0, Change::erase()));
    for op in &ops {
        assert_eq!(
            trial.one(op),
            Err(Rejection::NotFound),
            "on an id that never was: {op:?}"
        );
    }
    let guarded = ops
        .iter()
        .map(|op| op.clone().guarded(Guard::new().born(7).run(1)));
    ops.extend(guarded.collect::<Vec<_>>());
    trial.send(&ops);
    assert_eq!(trial.read(id(1)), None);
    trial.must_list_as_expected(&Filter::new());
}

pub(crate) fn a_late_op_for_an_erased_process_is_not_found(trial: &Trial<'_>) {
    trial.send(&[
        trial.begin(&chain(), id(1), 0),
        op(id(1), 1, Change::start(1)),
    ]);
    let last = trial.stored(id(1));
    let erased = trial
        .one(&op(id(1), 2, Change::erase()))
        .expect("it is there");
    assert_eq!(
        (erased.changed, erased.version),
        (true, last.version()),
        "an erasure's verdict"
    );
    let born = Guard::new().born(last.version().born);
    for op in one_of_each_change(1, 3) {
        for op in [op.clone(), op.guarded(born)] {
            assert_eq!(
                trial.one(&op),
                Err(Rejection::NotFound),
                "after the erasure: {op:?}"
            );
            assert_eq!(trial.read(id(1)), None, "a late op recreated it");
        }
    }
    trial.must_list_as_expected(&Filter::new());
}

pub(crate) fn late_ops_are_not_found_even_after_the_id_was_begun_anew(trial: &Trial<'_>) {
    trial.send(&[
        trial.begin(&chain(), id(1), 0),
        op(id(1), 1, Change::start(1)),
    ]);
    let erased = trial.stored(id(1));
    trial.send(&[
        op(id(1), 2, Change::erase()),
        trial.begin(&chain(), id(1), 3),
    ]);
    let anew = trial.stored(id(1));
    let mut late = one_of_each_change(1, 4);
    late.push(op(id(1), 4, Change::erase()));
    for op in late {
        let guard = match op.change {
            Change::Cancel { .. } | Change::Rerun | Change::Update(_) | Change::Erase => {
                run_guard(&erased)
            }
            _ => module_guard(&erased, 1),
        };
        let op = op.guarded(guard);
        assert_eq!(
            trial.one(&op),
            Err(Rejection::NotFound),
            "meant for one that was erased: {op:?}"
        );
        assert_eq!(
            trial.stored(id(1)),
            anew,
            "left is stored after a late op, right before it"
        );
    }
}

pub(crate) fn an_id_begun_anew_has_nothing_of_the_one_before(trial: &Trial<'_>) {
    let new = NewProcess::new(&chain()).request_id(id(1)).file_id(file(1));
    trial.send(&[
        trial.begin_at(new.clone().file_name("old.pdf").tag("state", "old"), at(0)),
        op(id(1), 1, Change::start(1)),
        op(id(1), 2, Change::retry(1, failure())),
        op(id(1), 3, Change::fail(1, Failure::new("Old", "old"))),
        op(id(1), 4, Change::rerun()),
    ]);
    let before = trial.stored(id(1));
    trial.must(&op(id(1), 5, Change::erase()));
    trial.must(&trial.begin_at(new.file_name("new.pdf"), at(-60)));
    let anew = trial.stored(id(1));
    assert_ne!(
        anew.version().born,
        before.version().born,
        "two processes bear one mark"
    );
    assert_eq!(
        (anew.revision(), anew.run(), anew.created_at()),
        (1, 1, at(-60))
    );
    assert_eq!(
        (anew.file().name(), anew.file().tags()),
        ("new.pdf", [].as_slice())
    );
    let module = &anew.modules()[0];
    assert_eq!(
        (module.attempt(), module.attempts(), module.progress()),
        (1, [].as_slice(), None)
    );
    trial.must_hold_exactly_what_is_expected();
}
