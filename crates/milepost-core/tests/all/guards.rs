//! Guards: what an op made for another state comes to.

use std::time::Duration;

use milepost_core::{
    Change, ChangeKind, Failure, Guard, GuardKind, Illegality, Progress, Rejection, Update,
};

use crate::common::{Slot, at, chain, creation, new};

fn failure() -> Failure {
    Failure::new("BadInput", "page 4 is blank")
}

fn other_failure() -> Failure {
    Failure::new("BadInput", "page 5 is blank")
}

#[track_caller]
fn unchanged(slot: &mut Slot, change: Change, guard: Guard) {
    let verdict = slot.guarded(99, change, guard);
    assert!(
        matches!(&verdict, Ok(applied) if !applied.changed),
        "{verdict:?}"
    );
}

#[track_caller]
fn stale(slot: &mut Slot, change: Change, guard: Guard, kind: GuardKind, given: u64, current: u64) {
    let stale = Rejection::Stale {
        guard: kind,
        given,
        current,
    };
    assert_eq!(slot.guarded(99, change, guard), Err(stale));
}

/// Module 1 complete, module 2 failed once and pending again, in run 2.
fn rerun() -> Slot {
    let mut slot = Slot::begun(&chain(3));
    slot.must(1, Change::complete(1))
        .must(2, Change::fail(2, failure()))
        .must(3, Change::rerun());
    slot
}

#[test]
fn another_birth_is_not_found_whatever_else_is_wrong() {
    let mut slot = Slot::begun(&chain(1));
    let guard = Guard::new().born(slot.born().wrapping_add(1));
    for change in [
        Change::start(1),
        Change::start(99),
        Change::cancel(""),
        Change::rerun(),
        Change::update(Update::new()),
        Change::erase(),
    ] {
        assert_eq!(
            slot.guarded(1, change, guard.run(9)),
            Err(Rejection::NotFound)
        );
    }
    let right = Guard::new().born(slot.born());
    assert!(slot.guarded(1, Change::start(1), right).is_ok());
}

#[test]
fn a_late_op_for_an_erased_process_is_not_found_also_after_its_id_was_begun_anew() {
    let mut slot = Slot::begun(&chain(1));
    let guard = Guard::new().born(slot.born());
    slot.must(1, Change::erase());
    let late = |slot: &mut Slot| slot.guarded(2, Change::complete(1), guard);
    assert_eq!(late(&mut slot), Err(Rejection::NotFound));
    slot.apply(&creation(new(&chain(1)), at(3)))
        .expect("it begins anew");
    assert_eq!(late(&mut slot), Err(Rejection::NotFound));
}

#[test]
fn a_guard_that_has_not_come_yet_is_illegal() {
    let mut slot = rerun();
    let revision = slot.process().revision();
    let cases = [
        (Guard::new().run(3), GuardKind::Run, 3, 2),
        (Guard::new().attempt(3), GuardKind::Attempt, 3, 2),
        (
            Guard::new().revision(revision + 1),
            GuardKind::Revision,
            revision + 1,
            revision,
        ),
        (Guard::new().run(1).attempt(3), GuardKind::Attempt, 3, 2),
    ];
    for (guard, kind, given, current) in cases {
        let cause = Illegality::FutureGuard {
            guard: kind,
            given,
            current,
        };
        let verdict = slot.guarded(99, Change::start(2), guard);
        assert_eq!(verdict, Err(Rejection::Illegal { cause }));
    }
}

#[test]
fn an_attempt_guard_on_a_change_of_the_whole_process_is_illegal() {
    let mut slot = Slot::begun(&chain(1));
    for (change, kind) in [
        (Change::cancel(""), ChangeKind::Cancel),
        (Change::rerun(), ChangeKind::Rerun),
        (Change::update(Update::new()), ChangeKind::Update),
        (Change::erase(), ChangeKind::Erase),
    ] {
        let cause = Illegality::AttemptGuard { change: kind };
        let verdict = slot.guarded(1, change, Guard::new().attempt(1));
        assert_eq!(verdict, Err(Rejection::Illegal { cause }));
    }
}

#[test]
fn guards_on_a_creation_are_ignored() {
    let guard = Guard::new().born(1).run(7).attempt(7).revision(7);
    let op = creation(new(&chain(1)), at(0)).guarded(guard);
    let mut slot = Slot(None);
    assert!(slot.apply(&op).expect("it begins").changed);
    assert!(!slot.apply(&op).expect("it is the same").changed);
}

#[test]
fn a_passed_attempt_changes_nothing_if_history_shows_this_very_outcome() {
    let first = Guard::new().attempt(1);
    let mut slot = rerun();
    unchanged(&mut slot, Change::fail(2, failure()), first);
    unchanged(&mut slot, Change::fail(2, failure()), first.run(1));
    let attempt = GuardKind::Attempt;
    stale(
        &mut slot,
        Change::fail(2, other_failure()),
        first,
        attempt,
        1,
        2,
    );
    stale(&mut slot, Change::retry(2, failure()), first, attempt, 1, 2);
    for change in [
        Change::start(2),
        Change::progress(2, Progress::of(1, 2)),
        Change::complete(2),
        Change::skip(2, ""),
    ] {
        stale(&mut slot, change, first, attempt, 1, 2);
    }

    let mut slot = Slot::begun(&chain(1));
    slot.must(1, Change::start(1))
        .must(2, Change::retry(1, failure()));
    unchanged(&mut slot, Change::retry(1, failure()), first);
    stale(
        &mut slot,
        Change::retry(1, other_failure()),
        first,
        attempt,
        1,
        2,
    );
    stale(&mut slot, Change::fail(1, failure()), first, attempt, 1, 2);
}

#[test]
fn a_passed_attempt_whose_history_was_dropped_is_stale() {
    let mut slot = Slot::begun(&chain(1));
    for _ in 0..17 {
        slot.must(1, Change::start(1))
            .must(2, Change::retry(1, failure()));
    }
    let retry = || Change::retry(1, failure());
    stale(
        &mut slot,
        retry(),
        Guard::new().attempt(1),
        GuardKind::Attempt,
        1,
        18,
    );
    unchanged(&mut slot, retry(), Guard::new().attempt(2));
}

#[test]
fn a_passed_run_changes_nothing_if_history_shows_this_very_outcome() {
    let first = Guard::new().run(1);
    let run = GuardKind::Run;
    let mut slot = rerun();
    unchanged(&mut slot, Change::rerun(), first);
    unchanged(&mut slot, Change::complete(1), first.attempt(1));
    unchanged(&mut slot, Change::fail(2, failure()), first.attempt(1));
    stale(&mut slot, Change::cancel(""), first, run, 1, 2);
    // The attempts that stand now have not ended so.
    stale(&mut slot, Change::complete(2), first.attempt(2), run, 1, 2);
    stale(&mut slot, Change::skip(2, ""), first.attempt(2), run, 1, 2);
    stale(&mut slot, Change::skip(1, ""), first.attempt(1), run, 1, 2);
    stale(&mut slot, Change::start(3), first.attempt(1), run, 1, 2);
    stale(&mut slot, Change::start(1), first.attempt(1), run, 1, 2);
    stale(&mut slot, Change::erase(), first, run, 1, 2);
    stale(&mut slot, Change::update(Update::new()), first, run, 1, 2);

    let mut slot = Slot::begun(&chain(2));
    slot.must(1, Change::cancel("enough"))
        .must(2, Change::rerun());
    unchanged(&mut slot, Change::cancel("enough"), first);
    stale(&mut slot, Change::skip(1, ""), first, run, 1, 2);
}

#[test]
fn a_cancel_of_a_later_run_is_not_taken_for_that_of_an_earlier_one() {
    let mut slot = rerun();
    slot.must(4, Change::cancel("enough"))
        .must(5, Change::rerun());
    let attempts = slot.process().modules()[1].attempts();
    let runs = attempts.iter().map(milepost_core::Attempt::run);
    assert_eq!(runs.collect::<Vec<_>>(), [1, 2]);
    stale(
        &mut slot,
        Change::cancel("enough"),
        Guard::new().run(1),
        GuardKind::Run,
        1,
        3,
    );
    unchanged(&mut slot, Change::cancel("enough"), Guard::new().run(2));
}

#[test]
fn a_passed_revision_changes_nothing_if_the_effect_stands() {
    let revision = GuardKind::Revision;
    let born = Guard::new().revision(1);
    let mut slot = Slot::begun(&chain(2));
    slot.must(1, Change::progress(1, Progress::of(1, 2)));
    unchanged(&mut slot, Change::start(1), born);
    unchanged(&mut slot, Change::progress(1, Progress::of(1, 2)), born);
    stale(
        &mut slot,
        Change::progress(1, Progress::of(2, 2)),
        born,
        revision,
        1,
        2,
    );
    stale(&mut slot, Change::request_cancel(""), born, revision, 1, 2);
    stale(&mut slot, Change::complete(1), born, revision, 1, 2);
    stale(&mut slot, Change::skip(2, ""), born, revision, 1, 2);
    stale(&mut slot, Change::retry(1, failure()), born, revision, 1, 2);
    stale(&mut slot, Change::cancel(""), born, revision, 1, 2);
    stale(&mut slot, Change::rerun(), born, revision, 1, 2);
    stale(&mut slot, Change::erase(), born, revision, 1, 2);

    slot.must(2, Change::retry(1, failure()));
    unchanged(&mut slot, Change::retry(1, failure()), born);
    // Nobody is asked, so it is cancelled at once; a claim has it asked for.
    let mut wished = Slot::begun(&chain(2));
    wished
        .must(1, Change::claim("worker", Duration::from_mins(1), 7))
        .must(2, Change::request_cancel("enough"));
    unchanged(&mut wished, Change::request_cancel("enough"), born);
    wished.must(3, Change::cancel("enough"));
    unchanged(&mut wished, Change::request_cancel("enough"), born);
    stale(
        &mut slot,
        Change::retry(1, other_failure()),
        born,
        revision,
        1,
        3,
    );
    stale(
        &mut slot,
        Change::retry(1, failure()),
        born.attempt(2),
        revision,
        1,
        3,
    );

    slot.must(3, Change::skip(1, "x"))
        .must(4, Change::fail(2, failure()));
    unchanged(&mut slot, Change::skip(1, "y"), born);
    unchanged(&mut slot, Change::fail(2, failure()), born);
    stale(
        &mut slot,
        Change::fail(2, other_failure()),
        born,
        revision,
        1,
        5,
    );

    slot.must(5, Change::rerun());
    unchanged(&mut slot, Change::rerun(), born);
    stale(&mut slot, Change::rerun(), born.run(2), revision, 1, 6);
    slot.must(6, Change::cancel("enough"));
    unchanged(&mut slot, Change::cancel("enough"), born);
}

#[test]
fn an_update_at_a_passed_revision_changes_nothing_if_the_process_is_as_it_says() {
    let first = Guard::new().revision(1);
    let mut slot = Slot::begun(&chain(1));
    let rename = || Change::update(Update::new().file_name("b.pdf"));
    let extend = || Change::update(Update::new().expires_in(Duration::from_hours(1)));
    assert!(slot.guarded(1, rename(), first).expect("it holds").changed);
    unchanged(&mut slot, rename(), first);
    let second = Guard::new().revision(2);
    assert!(slot.guarded(2, extend(), second).expect("it holds").changed);
    let again = slot
        .guarded(2, extend(), second)
        .expect("its effect stands");
    assert!(!again.changed, "a span counts from the op's own time");
    stale(&mut slot, extend(), second, GuardKind::Revision, 2, 3);
    unchanged(&mut slot, rename(), first);
}

#[test]
fn guards_come_before_the_table_and_before_what_is_wrong_in_itself() {
    let mut slot = rerun();
    let passed = Guard::new().attempt(1);
    let wrong = Change::progress(2, Progress::of(11, 10));
    stale(&mut slot, wrong, passed, GuardKind::Attempt, 1, 2);
    let illegal = slot.guarded(99, Change::retry(2, failure()), Guard::new().attempt(2));
    let from = milepost_core::ModuleStateKind::Pending;
    let cause = Illegality::State {
        module: 2,
        from,
        change: ChangeKind::Retry,
    };
    assert_eq!(illegal, Err(Rejection::Illegal { cause }));
}
