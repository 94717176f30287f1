//! What holds of whole processes: order, status, cancel, rerun, update, history.

use std::slice;

use milepost_core::{
    AttemptEnd, Change, Failure, ModuleState, ModuleStateKind, OverallStatus, Pipeline, Progress,
    Rejection, RequestId, Update, limits,
};

use crate::fixture::{at, chain, failure, id, op, side_by_side, time};
use crate::trial::Trial;

/// Begins a process, and brings it where a law starts.
fn begun(trial: &Trial<'_>, pipeline: &Pipeline, n: u32, changes: &[Change]) -> RequestId {
    trial.must(&trial.begin(pipeline, id(n), 0));
    for (second, change) in (1..).zip(changes) {
        trial.must(&op(id(n), second, change.clone()));
    }
    id(n)
}

fn kinds(trial: &Trial<'_>, id: RequestId) -> Vec<ModuleStateKind> {
    trial.stored(id).modules().iter().map(|module| module.state().kind()).collect()
}

/// Sees that each change is rejected with this, and nothing else happens.
#[track_caller]
fn all_are_rejected(trial: &Trial<'_>, id: RequestId, changes: &[Change], rejection: &Rejection) {
    let before = trial.stored(id);
    for change in changes {
        let verdict = trial.one(&op(id, 100, change.clone()));
        assert_eq!(verdict.as_ref(), Err(rejection), "left is the verdict on {change:?}");
        assert_eq!(trial.stored(id), before, "left is stored after a rejection, right before it");
    }
}

#[track_caller]
fn all_are_illegal(trial: &Trial<'_>, id: RequestId, changes: &[Change]) {
    let before = trial.stored(id);
    for change in changes {
        let verdict = trial.one(&op(id, 100, change.clone()));
        let illegal = matches!(verdict, Err(Rejection::Illegal { .. }));
        assert!(illegal, "{change:?}: got {verdict:?}, expected Illegal");
        assert_eq!(trial.stored(id), before, "left is stored after a rejection, right before it");
    }
}

/// Every change that takes a module out of pending.
fn out_of_pending(module: usize) -> [Change; 5] {
    [
        Change::start(module),
        Change::progress(module, Progress::unbounded(1)),
        Change::complete(module),
        Change::fail(module, failure()),
        Change::skip(module, "not needed"),
    ]
}

pub(crate) fn a_module_waits_for_those_before_it(trial: &Trial<'_>) {
    let id = begun(trial, &chain(), 1, &[]);
    let waits = |module, waits_for| Rejection::OutOfOrder { module, waits_for };
    all_are_rejected(trial, id, &out_of_pending(2), &waits(2, 1));
    all_are_rejected(trial, id, &out_of_pending(3), &waits(3, 1));
    trial.must(&op(id, 1, Change::start(1)));
    all_are_rejected(trial, id, &out_of_pending(2), &waits(2, 1));
    trial.must(&op(id, 2, Change::complete(1)));
    all_are_rejected(trial, id, &out_of_pending(3), &waits(3, 2));
    trial.must(&op(id, 3, Change::skip(2, "not needed")));
    trial.must(&op(id, 4, Change::start(3)));
}

pub(crate) fn a_parallel_module_waits_for_none(trial: &Trial<'_>) {
    for (n, change) in (1..).zip(out_of_pending(3)) {
        let id = begun(trial, &side_by_side(), n, &[Change::start(2)]);
        let applied = trial.must(&op(id, 5, change.clone()));
        assert!(applied.changed, "{change:?} changed nothing");
    }
}

pub(crate) fn the_overall_status_folds_the_modules(trial: &Trial<'_>) {
    let done = [Change::complete(1), Change::skip(2, "not needed"), Change::complete(3)];
    let id = begun(trial, &side_by_side(), 1, &done[..2]);
    let ongoing = trial.stored(id);
    assert_eq!((ongoing.status(), ongoing.settled_at()), (OverallStatus::Ongoing, None));
    let applied = trial.must(&op(id, 3, done[2].clone()));
    assert_eq!(applied.status, OverallStatus::Complete);
    assert_eq!(trial.stored(id).settled_at(), Some(at(3)));

    let id = begun(trial, &side_by_side(), 2, &[Change::start(1), Change::complete(3)]);
    let applied = trial.must(&op(id, 4, Change::fail(2, failure())));
    assert_eq!(applied.status, OverallStatus::Failed);
    trial.must(&op(id, 5, Change::complete(1)));
    let failed = trial.stored(id);
    assert_eq!((failed.status(), failed.settled_at()), (OverallStatus::Failed, Some(at(4))));

    let id = begun(trial, &chain(), 3, &[Change::complete(1), Change::cancel("called off")]);
    let cancelled = trial.stored(id);
    assert_eq!((cancelled.status(), cancelled.settled_at()), (OverallStatus::Cancelled, Some(at(2))));
    trial.must_hold_exactly_what_is_expected();
}

pub(crate) fn in_a_settled_process_nothing_starts_skips_or_retries(trial: &Trial<'_>) {
    let failed = [Change::start(2), Change::fail(1, failure())];
    let id = begun(trial, &side_by_side(), 1, &failed);
    let status = OverallStatus::Failed;
    let mut late = out_of_pending(3).to_vec();
    late.push(Change::retry(2, failure()));
    all_are_rejected(trial, id, &late, &Rejection::Settled { status });
    // What was still running may end, which settles nothing anew.
    trial.must(&op(id, 5, Change::progress(2, Progress::of(1, 2))));
    trial.must(&op(id, 6, Change::complete(2)));
    let process = trial.stored(id);
    assert_eq!((process.status(), process.settled_at()), (status, Some(at(2))));

    // The table comes before that, and that before the order of the chain.
    all_are_illegal(trial, id, &[Change::start(1), Change::complete(1), Change::skip(2, "")]);
    let id = begun(trial, &chain(), 2, &[Change::fail(1, failure())]);
    all_are_rejected(trial, id, &[Change::start(3)], &Rejection::Settled { status });
}

pub(crate) fn the_first_failure_is_the_one_that_is_blamed(trial: &Trial<'_>) {
    let first = Failure::new("First", "the first to be applied");
    let changes = [Change::start(1), Change::start(2), Change::fail(2, first)];
    let id = begun(trial, &side_by_side(), 1, &changes);
    // Reported for an earlier time, and of an earlier module.
    trial.must(&op(id, -5, Change::fail(1, Failure::new("Second", "applied later"))));
    let process = trial.stored(id);
    let blame = process.blame().expect("it has failed");
    assert_eq!((blame.reason, blame.message), ("First", "the first to be applied"));
    assert_eq!((blame.module.map(|module| module.position()), blame.at), (Some(2), at(3)));
}

pub(crate) fn cancel_calls_off_what_is_unfinished(trial: &Trial<'_>) {
    let changes = [Change::complete(1), Change::start(2)];
    let id = begun(trial, &chain(), 1, &changes);
    let applied = trial.must(&op(id, 5, Change::cancel("no longer wanted")));
    assert_eq!((applied.changed, applied.attempt), (true, 0), "an op on the whole process");
    let process = trial.stored(id);
    let cancelled = |started| ModuleState::Cancelled { started, at: at(5) };
    assert_eq!(process.modules()[0].state().kind(), ModuleStateKind::Complete);
    assert_eq!(process.modules()[1].state(), &cancelled(Some(at(2))));
    assert_eq!(process.modules()[2].state(), &cancelled(None));
    let blame = process.blame().expect("it was cancelled");
    assert_eq!((blame.reason, blame.message), ("Cancelled", "no longer wanted"));
    assert_eq!(blame.module.map(|module| module.position()), Some(2), "the one that was running");

    let again = trial.must(&op(id, 6, Change::cancel("for another reason")));
    assert_eq!((again.changed, again.version), (false, process.version()));
    assert_eq!(trial.stored(id), process, "left is stored after a second cancel, right before it");

    let two = begun(trial, &side_by_side(), 2, &[Change::start(1), Change::start(2)]);
    trial.must(&op(two, 5, Change::cancel("")));
    let two = trial.stored(two);
    let blame = two.blame().expect("it was cancelled");
    assert_eq!(blame.module, None, "two were running: neither is to blame");
}

pub(crate) fn what_is_complete_or_failed_cannot_be_cancelled(trial: &Trial<'_>) {
    let complete = [1, 2, 3].map(Change::complete);
    let id = begun(trial, &chain(), 1, &complete);
    let status = OverallStatus::Complete;
    all_are_rejected(trial, id, &[Change::cancel("")], &Rejection::Settled { status });
    let id = begun(trial, &side_by_side(), 2, &[Change::start(2), Change::fail(1, failure())]);
    let status = OverallStatus::Failed;
    all_are_rejected(trial, id, &[Change::cancel("")], &Rejection::Settled { status });
}

pub(crate) fn rerun_takes_up_what_did_not_get_done(trial: &Trial<'_>) {
    let names = ["done", "left out", "failed", "at work", "not begun"];
    let pipeline = Pipeline::new("all states", names).expect("the names are fine").parallel();
    let changes = [
        Change::complete(1),
        Change::skip(2, "not needed"),
        Change::start(4),
        Change::fail(3, failure()),
    ];
    let id = begun(trial, &pipeline, 1, &changes);
    let applied = trial.must(&op(id, 9, Change::rerun()));
    assert_eq!((applied.run, applied.status), (2, OverallStatus::Ongoing));
    use ModuleStateKind::{Complete, Pending, Skipped};
    assert_eq!(kinds(trial, id), [Complete, Skipped, Pending, Pending, Pending]);
    let process = trial.stored(id);
    let attempts = process.modules().iter().map(|module| module.attempt()).collect::<Vec<_>>();
    assert_eq!(attempts, [1, 1, 2, 2, 1], "failed and running modules are in another attempt");
    let end = |index: usize| process.modules()[index].attempts().first().map(|past| past.end());
    assert_eq!(end(2), Some(&AttemptEnd::Failed(failure())));
    assert_eq!(end(3), Some(&AttemptEnd::Interrupted));
    assert_eq!((process.settled_at(), process.blame()), (None, None));

    trial.must(&op(id, 10, Change::cancel("called off")));
    trial.must(&op(id, 11, Change::rerun()));
    let process = trial.stored(id);
    let attempts = process.modules().iter().map(|module| module.attempt()).collect::<Vec<_>>();
    assert_eq!(attempts, [1, 1, 3, 3, 2], "cancelled modules are in another attempt");
    let past = process.modules()[4].attempts().first().expect("the cancelled attempt is kept");
    assert_eq!(past.end(), &AttemptEnd::Cancelled("called off".into()));
    assert_eq!((past.started(), past.run(), process.run()), (None, 2, 3));
}

pub(crate) fn nothing_but_a_failed_or_cancelled_process_is_rerun(trial: &Trial<'_>) {
    let id = begun(trial, &chain(), 1, &[Change::start(1)]);
    all_are_illegal(trial, id, &[Change::rerun()]);
    let id = begun(trial, &chain(), 2, &[1, 2, 3].map(Change::complete));
    all_are_illegal(trial, id, &[Change::rerun()]);
}

pub(crate) fn progress_is_replaced_whole_and_never_goes_back(trial: &Trial<'_>) {
    let report = |progress: &Progress| Change::progress(1, progress.clone());
    let first = Progress::of(5, 10).unit("pages").message("half of it");
    let id = begun(trial, &chain(), 1, &[report(&first)]);
    let back = Rejection::Backwards { done: 5, given: 4 };
    let less = [report(&Progress::of(4, 10)), report(&Progress::unbounded(4))];
    all_are_rejected(trial, id, &less, &back);
    all_are_illegal(trial, id, &[report(&Progress::of(11, 10))]);

    // As much again is news only if something else is new, and it was said later.
    let (stands, news) = (trial.stored(id), Progress::of(5, 20));
    for (seconds, progress) in [(50, &first), (1, &news), (0, &news)] {
        let applied = trial.must(&op(id, seconds, report(progress)));
        assert!(!applied.changed, "{progress:?} changed something");
        assert_eq!(trial.stored(id), stands, "left is stored after no news, right before it");
    }
    for (seconds, progress) in [(2, news), (1, Progress::unbounded(6)), (0, Progress::of(7, 7))] {
        let applied = trial.must(&op(id, seconds, report(&progress)));
        assert!(applied.changed, "{progress:?} changed nothing");
        assert_eq!(trial.stored(id).modules()[0].progress(), Some(&progress));
    }
}

pub(crate) fn an_update_replaces_what_it_names_and_nothing_else(trial: &Trial<'_>) {
    let id = begun(trial, &chain(), 1, &[Change::start(1)]);
    let before = trial.stored(id);
    let named = Update::new().file_name("new.pdf").tags([("a", "1"), ("a", "2")]);
    trial.must(&op(id, 5, Change::update(named.clone())));
    let after = trial.stored(id);
    assert_eq!((after.file().name(), after.file().tags().len()), ("new.pdf", 2));
    assert_eq!(after.file().id(), before.file().id());
    let directory = before.file().symbolic_directory_path();
    assert_eq!(after.file().symbolic_directory_path(), directory);
    assert_eq!((after.modules(), after.status()), (before.modules(), before.status()));

    let again = trial.must(&op(id, 6, Change::update(named)));
    assert_eq!((again.changed, again.version), (false, after.version()));
    let rest = Update::new()
        .symbolic_directory_path("/invoices/2026")
        .file_description("scanned\ntwice")
        .expires_at(at(1000));
    trial.must(&op(id, 7, Change::update(rest)));
    let more = trial.stored(id);
    assert_eq!((more.file().name(), more.expires_at()), ("new.pdf", Some(at(1000))));
    let none: [(&str, &str); 0] = [];
    let away = Update::new().tags(none).no_file_description().never_expires();
    trial.must(&op(id, 8, Change::update(away)));
    let last = trial.stored(id);
    assert_eq!((last.file().tags(), last.file().description()), ([].as_slice(), None));
    assert_eq!(last.expires_at(), None);
    trial.must_hold_exactly_what_is_expected();
}

pub(crate) fn what_is_wrong_in_itself_is_illegal(trial: &Trial<'_>) {
    let id = begun(trial, &chain(), 1, &[Change::start(1)]);
    let long = |bytes: usize| "x".repeat(bytes + 1);
    let wrong = [
        Change::progress(1, Progress::of(11, 10)),
        Change::progress(1, Progress::of(1, 10).message(&long(limits::PROGRESS_MESSAGE_BYTES))),
        Change::complete(0),
        Change::complete(4),
        Change::complete(usize::MAX),
        Change::fail(1, Failure::new(&long(limits::REASON_BYTES), "")),
        Change::fail(1, Failure::new("", "a NUL: \0")),
        Change::cancel(&long(limits::REASON_BYTES)),
        Change::update(Update::new().file_name("")),
        Change::update(Update::new().file_name("a\tb")),
        Change::update(Update::new().symbolic_directory_path(&long(limits::DIRECTORY_BYTES))),
        Change::update(Update::new().tags((0..=limits::TAGS).map(|n| (n.to_string(), "")))),
        Change::update(Update::new().expires_at(time("+20000-01-01T00:00:00Z"))),
    ];
    all_are_illegal(trial, id, &wrong);
    let mut late = op(id, 0, Change::complete(1));
    for year in ["+20000-01-01T00:00:00Z", "-0001-12-31T23:59:59Z"] {
        late.at = time(year);
        let verdicts = trial.send(slice::from_ref(&late));
        let illegal = matches!(verdicts[0], Err(Rejection::Illegal { .. }));
        assert!(illegal, "an op of {year}: got {verdicts:?}, expected Illegal");
    }
}

pub(crate) fn the_newest_attempts_are_kept(trial: &Trial<'_>) {
    let modules = (1..=5).map(|n| format!("module {n}"));
    let five = Pipeline::new("five", modules).expect("the names are fine").parallel();
    let id = begun(trial, &five, 1, &[]);
    let retries = |module: usize, times: u32| {
        (0..times).flat_map(move |_| [Change::start(module), Change::retry(module, failure())])
    };
    let batch = |changes: &mut dyn Iterator<Item = Change>| {
        let ops = changes.map(|change| op(id, 1, change)).collect::<Vec<_>>();
        trial.send(&ops);
    };
    batch(&mut retries(1, 20));
    let process = trial.stored(id);
    let module = &process.modules()[0];
    let numbers = module.attempts().iter().map(|past| past.number()).collect::<Vec<_>>();
    assert_eq!(numbers, (5..=20).collect::<Vec<_>>(), "of 20 past attempts the newest 16");
    assert_eq!(module.attempt(), 21);

    batch(&mut (2..=5).flat_map(|module| retries(module, 16)));
    let process = trial.stored(id);
    let kept = process.modules().iter().map(|module| module.attempts().len()).collect::<Vec<_>>();
    assert_eq!(kept, [0, 16, 16, 16, 16], "of a whole process the newest 64");
    assert_eq!(process.modules()[0].attempt(), 21, "how many there were is kept");
}
