//! What ops bring to a process: progress, updates, what is wrong in itself; and how much history is kept.

use std::slice;

use milepost_core::{Change, Failure, Pipeline, Progress, Rejection, Update, limits};

use super::machine::{all_are_illegal, all_are_rejected, begun};
use crate::fixture::{at, chain, failure, op, time};
use crate::trial::Trial;

pub(crate) fn progress_is_replaced_whole_and_never_goes_back(trial: &Trial<'_>) {
    let report = |progress: &Progress| Change::progress(1, progress.clone());
    let first = Progress::of(5, 10).unit("pages").message("half of it");
    let id = begun(trial, &chain(), 1, &[report(&first)]);
    let back = Rejection::Backwards { done: 5, given: 4 };
    let less = [
        report(&Progress::of(4, 10)),
        report(&Progress::unbounded(4)),
    ];
    all_are_rejected(trial, id, &less, &back);
    all_are_illegal(trial, id, &[report(&Progress::of(11, 10))]);

    // As much again is news only if something else is new, and it was said later.
    let (stands, news) = (trial.stored(id), Progress::of(5, 20));
    for (seconds, progress) in [(50, &first), (1, &news), (0, &news)] {
        let applied = trial.must(&op(id, seconds, report(progress)));
        assert!(!applied.changed, "{progress:?} changed something");
        assert_eq!(
            trial.stored(id),
            stands,
            "left is stored after no news, right before it"
        );
    }
    for (seconds, progress) in [
        (2, news),
        (1, Progress::unbounded(6)),
        (0, Progress::of(7, 7)),
    ] {
        let applied = trial.must(&op(id, seconds, report(&progress)));
        assert!(applied.changed, "{progress:?} changed nothing");
        assert_eq!(trial.stored(id).modules()[0].progress(), Some(&progress));
    }
}

pub(crate) fn an_update_replaces_what_it_names_and_nothing_else(trial: &Trial<'_>) {
    let id = begun(trial, &chain(), 1, &[Change::start(1)]);
    let before = trial.stored(id);
    let named = Update::new()
        .file_name("new.pdf")
        .tags([("a", "1"), ("a", "2")]);
    trial.must(&op(id, 5, Change::update(named.clone())));
    let after = trial.stored(id);
    assert_eq!(
        (after.file().name(), after.file().tags().len()),
        ("new.pdf", 2)
    );
    assert_eq!(after.file().id(), before.file().id());
    let directory = before.file().symbolic_directory_path();
    assert_eq!(after.file().symbolic_directory_path(), directory);
    assert_eq!(
        (after.modules(), after.status()),
        (before.modules(), before.status())
    );

    let again = trial.must(&op(id, 6, Change::update(named)));
    assert_eq!((again.changed, again.version), (false, after.version()));
    let rest = Update::new()
        .symbolic_directory_path("/invoices/2026")
        .file_description("scanned\ntwice")
        .expires_at(at(1000));
    trial.must(&op(id, 7, Change::update(rest)));
    let more = trial.stored(id);
    assert_eq!(
        (more.file().name(), more.expires_at()),
        ("new.pdf", Some(at(1000)))
    );
    let none: [(&str, &str); 0] = [];
    let away = Update::new()
        .tags(none)
        .no_file_description()
        .never_expires();
    trial.must(&op(id, 8, Change::update(away)));
    let last = trial.stored(id);
    assert_eq!(
        (last.file().tags(), last.file().description()),
        ([].as_slice(), None)
    );
    assert_eq!(last.expires_at(), None);
    trial.must_hold_exactly_what_is_expected();
}

pub(crate) fn what_is_wrong_in_itself_is_illegal(trial: &Trial<'_>) {
    let id = begun(trial, &chain(), 1, &[Change::start(1)]);
    let long = |bytes: usize| "x".repeat(bytes + 1);
    let wrong = [
        Change::progress(1, Progress::of(11, 10)),
        Change::progress(
            1,
            Progress::of(1, 10).message(&long(limits::PROGRESS_MESSAGE_BYTES)),
        ),
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
        assert!(
            illegal,
            "an op of {year}: got {verdicts:?}, expected Illegal"
        );
    }
}

pub(crate) fn the_newest_attempts_are_kept(trial: &Trial<'_>) {
    let modules = (1..=5).map(|n| format!("module {n}"));
    let five = Pipeline::new("five", modules)
        .expect("the names are fine")
        .parallel();
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
    let numbers = module
        .attempts()
        .iter()
        .map(milepost_core::Attempt::number)
        .collect::<Vec<_>>();
    assert_eq!(
        numbers,
        (5..=20).collect::<Vec<_>>(),
        "of 20 past attempts the newest 16"
    );
    assert_eq!(module.attempt(), 21);

    batch(&mut (2..=5).flat_map(|module| retries(module, 16)));
    let process = trial.stored(id);
    let kept = process
        .modules()
        .iter()
        .map(|module| module.attempts().len())
        .collect::<Vec<_>>();
    assert_eq!(
        kept,
        [0, 16, 16, 16, 16],
        "of a whole process the newest 64"
    );
    assert_eq!(
        process.modules()[0].attempt(),
        21,
        "how many there were is kept"
    );
}
