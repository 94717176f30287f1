//! What the transition table does not say: the fold, cancel, rerun, times, progress, expiry, beginning.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use milepost_core::{
    AttemptEnd, Change, Conflict, Failure, FileId, Illegality, Invalid, ModuleState,
    ModuleStateKind as Kind, NewProcess, Op, OverallStatus, Pipeline, Progress, Rejection, Update,
};

use crate::common::{Slot, at, chain, creation, id, new};

fn failure() -> Failure {
    Failure::new("BadInput", "page 4 is blank")
}

fn kinds(slot: &Slot) -> Vec<Kind> {
    let modules = slot.process().modules().iter();
    modules.map(|module| module.state().kind()).collect()
}

fn attempts(slot: &Slot) -> Vec<u32> {
    let modules = slot.process().modules().iter();
    modules.map(milepost_core::Module::attempt).collect()
}

#[test]
fn nothing_but_create_makes_a_process_exist() {
    let changes = [
        Change::start(1),
        Change::progress(1, Progress::of(1, 2)),
        Change::complete(1),
        Change::fail(1, failure()),
        Change::skip(1, ""),
        Change::retry(1, failure()),
        Change::cancel(""),
        Change::rerun(),
        Change::update(Update::new().file_name("a")),
        Change::erase(),
    ];
    for change in changes {
        let mut slot = Slot(None);
        assert_eq!(slot.refused(1, change), Rejection::NotFound);
    }
}

#[test]
fn the_status_is_a_fold_over_the_modules() {
    let status = |slot: &Slot| slot.process().status();
    let mut slot = Slot::begun(&chain(2));
    assert_eq!(status(&slot), OverallStatus::Ongoing);
    slot.must(1, Change::skip(1, "not needed"));
    assert_eq!(status(&slot), OverallStatus::Ongoing);
    assert_eq!(slot.process().settled_at(), None);
    slot.must(2, Change::complete(2));
    assert_eq!(status(&slot), OverallStatus::Complete);
    assert_eq!(slot.process().settled_at(), Some(at(2)));

    let mut all_skipped = Slot::begun(&chain(2));
    all_skipped
        .must(1, Change::skip(1, ""))
        .must(1, Change::skip(2, ""));
    assert_eq!(status(&all_skipped), OverallStatus::Complete);
}

#[test]
fn a_failure_is_not_hidden_by_what_is_completed_after_it() {
    let mut slot = Slot::begun(&chain(2).parallel());
    slot.must(1, Change::start(1))
        .must(2, Change::fail(2, failure()))
        .must(3, Change::complete(1));
    assert_eq!(slot.process().status(), OverallStatus::Failed);
    assert_eq!(kinds(&slot), [Kind::Complete, Kind::Failed]);
}

#[test]
fn a_cancel_cancels_what_is_unfinished_and_blames_the_one_that_ran() {
    let mut slot = Slot::begun(&chain(3));
    slot.must(1, Change::complete(1)).must(2, Change::start(2));
    slot.must(3, Change::cancel("the user left"));
    assert_eq!(
        kinds(&slot),
        [Kind::Complete, Kind::Cancelled, Kind::Cancelled]
    );
    let blame = slot.process().blame().expect("it was cancelled");
    assert_eq!(blame.module.map(milepost_core::Module::position), Some(2));
    assert_eq!(
        (blame.reason, blame.message, blame.at),
        ("Cancelled", "the user left", at(3))
    );
    slot.same(4, Change::cancel("again"));
}

#[test]
fn a_cancel_blames_nobody_if_none_or_several_were_running() {
    for running in [&[][..], &[1, 3]] {
        let mut slot = Slot::begun(&chain(3).parallel());
        for module in running {
            slot.must(1, Change::start(*module));
        }
        slot.must(2, Change::cancel(""));
        assert_eq!(slot.process().status(), OverallStatus::Cancelled);
        assert_eq!(
            slot.process().blame().expect("it was cancelled").module,
            None
        );
    }
}

#[test]
fn a_process_that_is_complete_or_failed_cannot_be_cancelled() {
    let mut slot = Slot::begun(&chain(1));
    slot.must(1, Change::fail(1, failure()));
    let status = OverallStatus::Failed;
    assert_eq!(
        slot.refused(2, Change::cancel("")),
        Rejection::Settled { status }
    );
    let mut slot = Slot::begun(&chain(1));
    slot.must(1, Change::complete(1));
    let status = OverallStatus::Complete;
    assert_eq!(
        slot.refused(2, Change::cancel("")),
        Rejection::Settled { status }
    );
}

#[test]
fn a_rerun_keeps_what_is_done_and_tries_the_rest_again() {
    let mut slot = Slot::begun(&chain(5).parallel());
    slot.must(1, Change::complete(1))
        .must(2, Change::skip(2, "not needed"))
        .must(3, Change::progress(3, Progress::of(1, 2)))
        .must(4, Change::fail(4, failure()))
        .must(5, Change::rerun());
    let pending = Kind::Pending;
    assert_eq!(
        kinds(&slot),
        [Kind::Complete, Kind::Skipped, pending, pending, pending]
    );
    assert_eq!(
        attempts(&slot),
        [1, 1, 2, 2, 1],
        "what was pending keeps its attempt"
    );
    let process = slot.process();
    assert_eq!(
        (process.run(), process.status()),
        (2, OverallStatus::Ongoing)
    );
    assert_eq!((process.settled_at(), process.blame()), (None, None));
    let [interrupted, failed] = [&process.modules()[2], &process.modules()[3]];
    assert_eq!(interrupted.progress(), None);
    let attempt = &interrupted.attempts()[0];
    assert_eq!(*attempt.end(), AttemptEnd::Interrupted);
    assert_eq!((attempt.number(), attempt.run()), (1, 1));
    assert_eq!((attempt.started(), attempt.ended()), (Some(at(3)), at(5)));
    let attempt = &failed.attempts()[0];
    assert_eq!(*attempt.end(), AttemptEnd::Failed(failure()));
    assert_eq!((attempt.started(), attempt.ended()), (Some(at(4)), at(4)));
}

#[test]
fn a_rerun_of_a_cancelled_process_keeps_its_reason_in_the_attempts() {
    let mut slot = Slot::begun(&chain(2));
    slot.must(1, Change::start(1))
        .must(2, Change::cancel("the user left"))
        .must(3, Change::rerun());
    assert_eq!(attempts(&slot), [2, 2]);
    for (module, started) in slot.process().modules().iter().zip([Some(at(1)), None]) {
        let attempt = &module.attempts()[0];
        assert_eq!(
            *attempt.end(),
            AttemptEnd::Cancelled("the user left".into())
        );
        assert_eq!((attempt.started(), attempt.ended()), (started, at(2)));
        assert_eq!(attempt.failure(), None);
    }
}

#[test]
fn only_what_failed_or_was_cancelled_can_be_rerun() {
    let mut slot = Slot::begun(&chain(1));
    let illegal = |status| Rejection::Illegal {
        cause: Illegality::Status { status },
    };
    assert_eq!(
        slot.refused(1, Change::rerun()),
        illegal(OverallStatus::Ongoing)
    );
    slot.must(1, Change::complete(1));
    assert_eq!(
        slot.refused(2, Change::rerun()),
        illegal(OverallStatus::Complete)
    );
}

#[test]
fn a_retry_keeps_the_attempt_with_its_failure_and_counts_anew() {
    let mut slot = Slot::begun(&chain(1));
    slot.must(1, Change::progress(1, Progress::of(9, 10)))
        .must(2, Change::retry(1, failure()))
        .must(3, Change::progress(1, Progress::of(1, 10)));
    let module = &slot.process().modules()[0];
    assert_eq!((module.attempt(), module.attempts().len()), (2, 1));
    assert_eq!(module.attempts()[0].failure(), Some(&failure()));
    assert_eq!(module.attempts()[0].run(), 1);
    assert_eq!(module.progress(), Some(&Progress::of(1, 10)));
    assert_eq!(slot.process().run(), 1);
}

#[test]
fn the_newest_16_attempts_of_a_module_are_kept_and_how_many_there_were() {
    let mut slot = Slot::begun(&chain(1));
    for second in 0..20 {
        slot.must(second, Change::start(1))
            .must(second, Change::retry(1, failure()));
    }
    let module = &slot.process().modules()[0];
    let numbers = module.attempts().iter().map(milepost_core::Attempt::number);
    assert_eq!(numbers.collect::<Vec<_>>(), (5..=20).collect::<Vec<_>>());
    assert_eq!(module.attempt(), 21);
}

#[test]
fn the_newest_64_attempts_of_a_process_are_kept() {
    let mut slot = Slot::begun(&chain(10).parallel());
    for _ in 0..7 {
        for module in 1..=10 {
            slot.must(1, Change::start(module))
                .must(2, Change::retry(module, failure()));
        }
    }
    let kept = |module: usize| slot.process().modules()[module - 1].attempts().len();
    assert_eq!((1..=10).map(kept).sum::<usize>(), 64);
    assert_eq!(
        (kept(1), kept(6), kept(7)),
        (6, 6, 7),
        "the oldest went first"
    );
}

#[test]
fn updated_at_never_goes_back_and_module_times_are_as_reported() {
    let mut slot = Slot::begun(&chain(1));
    slot.must(60, Change::start(1))
        .must(-60, Change::complete(1));
    let process = slot.process();
    assert_eq!(process.updated_at(), at(60));
    assert_eq!(process.settled_at(), Some(at(-60)));
    let (started, ended) = (at(60), at(-60));
    assert_eq!(
        *process.modules()[0].state(),
        ModuleState::Complete { started, ended }
    );
    assert_eq!(process.created_at(), at(0));
}

#[test]
fn times_are_kept_to_the_microsecond_and_cut_towards_the_past() {
    let mut slot = Slot::begun(&chain(1));
    let time = at(1) + TimeDelta::nanoseconds(1_999);
    slot.apply(&Op::new(id(), time, Change::start(1)))
        .expect("it starts");
    let since = at(1) + TimeDelta::microseconds(1);
    assert_eq!(
        *slot.process().modules()[0].state(),
        ModuleState::Running { since }
    );
}

#[test]
fn equal_progress_changes_nothing_unless_it_says_something_new_later() {
    let mut slot = Slot::begun(&chain(1));
    slot.must(5, Change::progress(1, Progress::of(3, 10)));
    slot.same(9, Change::progress(1, Progress::of(3, 10)));
    slot.same(5, Change::progress(1, Progress::of(3, 10).message("now")));
    slot.same(4, Change::progress(1, Progress::of(3, 20)));
    slot.must(6, Change::progress(1, Progress::of(3, 20)));
    slot.must(7, Change::progress(1, Progress::unbounded(3).unit("pages")));
    let module = &slot.process().modules()[0];
    assert_eq!(
        module.progress(),
        Some(&Progress::unbounded(3).unit("pages"))
    );
    assert_eq!(module.progress_at(), Some(at(7)));
    assert_eq!(*module.state(), ModuleState::Running { since: at(5) });
}

#[test]
fn progress_never_goes_back_and_is_replaced_whole() {
    let mut slot = Slot::begun(&chain(1));
    slot.must(1, Change::progress(1, Progress::of(3, 10).message("old")));
    let backwards = Rejection::Backwards { done: 3, given: 2 };
    assert_eq!(
        slot.refused(2, Change::progress(1, Progress::of(2, 10))),
        backwards
    );
    slot.must(-5, Change::progress(1, Progress::of(4, 8)));
    let module = &slot.process().modules()[0];
    assert_eq!(
        module.progress(),
        Some(&Progress::of(4, 8)),
        "no message stays"
    );
    assert_eq!(module.progress_at(), Some(at(-5)));
}

#[test]
fn what_is_wrong_in_itself_is_illegal() {
    let mut slot = Slot::begun(&chain(2));
    let illegal = |invalid| Rejection::Illegal {
        cause: Illegality::Invalid(invalid),
    };
    let past_total = Invalid::PastTotal {
        done: 11,
        total: 10,
    };
    assert_eq!(
        slot.refused(1, Change::progress(1, Progress::of(11, 10))),
        illegal(past_total)
    );
    for position in [0, 3, 99, usize::MAX] {
        let no_such = Invalid::NoSuchModule {
            position,
            modules: 2,
        };
        assert_eq!(slot.refused(1, Change::start(position)), illegal(no_such));
    }
    let year_20000 = "+20000-01-01T00:00:00Z".parse().expect("chrono takes it");
    let year_0 = "0000-12-31T23:59:59.999999999Z"
        .parse()
        .expect("chrono takes it");
    for time in [
        year_20000,
        year_0,
        DateTime::<Utc>::MIN_UTC,
        DateTime::<Utc>::MAX_UTC,
    ] {
        for change in [Change::start(1), Change::cancel(""), Change::erase()] {
            let what = "time of the op";
            let verdict = slot.apply(&Op::new(id(), time, change));
            assert_eq!(verdict, Err(illegal(Invalid::TimeOutOfRange { what })));
        }
    }
}

#[test]
fn from_its_expiry_on_a_process_is_absent() {
    let expiring = new(&chain(1)).expires_in(Duration::from_secs(30));
    let slot = Slot::of(expiring.clone());
    slot.clone().must(29, Change::start(1));
    for change in [
        Change::start(1),
        Change::cancel(""),
        Change::update(Update::new().never_expires()),
    ] {
        assert_eq!(slot.clone().refused(30, change), Rejection::NotFound);
    }
    let mut erased = slot.clone();
    erased.must(99, Change::erase());
    assert!(erased.0.is_none(), "erase erases what has expired");

    let mut anew = slot.clone();
    let verdict = anew.apply(&creation(expiring, at(30)));
    assert!(verdict.expect("it begins anew").changed);
    assert_ne!(anew.born(), slot.born());
    assert_eq!(
        (anew.process().revision(), anew.process().created_at()),
        (1, at(30))
    );
}

#[test]
fn an_extension_from_before_the_expiry_wins() {
    let mut slot = Slot::of(new(&chain(1)).expires_in(Duration::from_secs(30)));
    slot.must(29, Change::update(Update::new().expires_at(at(60))));
    slot.must(59, Change::start(1));
    assert_eq!(slot.refused(60, Change::complete(1)), Rejection::NotFound);
    slot.must(59, Change::update(Update::new().never_expires()));
    slot.must(9_999, Change::complete(1));
}

#[test]
fn beginning_twice_is_the_same_beginning_if_chain_and_given_file_are_equal() {
    let file: FileId = crate::common::ID.parse().expect("it is a UUID");
    let mut slot = Slot::of(new(&chain(2)).file_id(file).file_name("a.pdf"));
    slot.must(1, Change::start(1));
    let before = slot.process().clone();
    for again in [
        new(&chain(2)),
        new(&chain(2)).file_id(file),
        new(&chain(2)).file_name("b.pdf").tag("a", "b"),
    ] {
        let applied = slot.apply(&creation(again, at(5))).expect("it is the same");
        assert!(!applied.changed);
        assert_eq!(applied.version, before.version());
    }
    let names = |name: &str, modules: [&str; 2]| Pipeline::new(name, modules).expect("valid");
    let conflict = |new: NewProcess| match slot.clone().apply(&creation(new, at(5))) {
        Err(Rejection::AlreadyExists { conflict }) => conflict,
        other => panic!("{other:?}"),
    };
    for other in [
        chain(2).parallel(),
        chain(3),
        names("other", ["step-1", "step-2"]),
        names("pipeline", ["step-2", "step-1"]),
    ] {
        assert_eq!(conflict(new(&other)), Conflict::Pipeline);
    }
    let other_file = FileId::from(uuid::Uuid::from_u128(7));
    assert_eq!(conflict(new(&chain(2)).file_id(other_file)), Conflict::File);
}

#[test]
fn an_update_replaces_what_it_names_and_leaves_the_rest() {
    let mut slot = Slot::of(new(&chain(1)).tag("a", "1").file_description("text"));
    assert!(slot.process().file().is_generated());
    slot.must(1, Change::update(Update::new().file_name("b.pdf")));
    let file = slot.process().file();
    assert!(!file.is_generated());
    assert_eq!((file.name(), file.description()), ("b.pdf", Some("text")));
    assert_eq!(
        (file.symbolic_directory_path(), file.tags().len()),
        ("/etc", 1)
    );
    slot.same(2, Change::update(Update::new().file_name("b.pdf")));
    slot.same(2, Change::update(Update::new()));
    let none: [(&str, &str); 0] = [];
    slot.must(
        3,
        Change::update(Update::new().tags(none).no_file_description()),
    );
    let file = slot.process().file();
    assert_eq!((file.tags().len(), file.description()), (0, None));
}

#[test]
fn a_settled_process_can_be_updated_and_keeps_its_status() {
    let mut slot = Slot::begun(&chain(1));
    slot.must(1, Change::complete(1))
        .must(2, Change::update(Update::new().file_name("b.pdf")));
    assert_eq!(slot.process().status(), OverallStatus::Complete);
    assert_eq!(slot.process().settled_at(), Some(at(1)));
    assert_eq!(slot.process().revision(), 3);
}
