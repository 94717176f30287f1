//! Imports: what stood elsewhere stands here as it was there, and never over anything that lasts.

use std::sync::Arc;

use milepost_core::{
    Change, Conflict, Filter, Invalid, NewProcess, Op, OverallStatus, Process, Progress, Rejection,
    Term, Update,
};

use crate::fixture::{
    at, chain, claim, elsewhere, failure, file, id, lease_guard, micros_after, module_guard, op,
    side_by_side,
};
use crate::trial::Trial;

/// Sees that it is stored as it was imported.
#[track_caller]
fn must_stand(trial: &Trial<'_>, process: &Arc<Process>) {
    assert_eq!(
        trial.stored(process.request_id()),
        *process,
        "left is stored, right was imported"
    );
}

fn import(process: &Arc<Process>, seconds: i64) -> Op {
    op(
        process.request_id(),
        seconds,
        Change::import(Arc::clone(process)),
    )
}

/// Processes that differ in whatever a record can hold.
fn of_every_kind(trial: &Trial<'_>) -> Vec<Arc<Process>> {
    let retried = [
        op(id(2), 1, Change::progress(1, Progress::of(1, 2))),
        op(id(2), 2, Change::retry(1, failure())),
        op(
            id(2),
            3,
            Change::progress(1, Progress::of(7, 9).message("page 7")),
        ),
    ];
    let rerun = [
        op(id(3), 1, Change::fail(1, failure())),
        op(id(3), 2, Change::rerun()),
        op(id(3), 3, Change::complete(1)),
        op(id(3), 4, Change::skip(2, "not needed")),
        op(id(3), 5, Change::complete(3)),
    ];
    let claimed = [
        claim(id(4), 1, "anna", 600, 77),
        op(id(4), 2, Change::start(1)),
        op(id(4), 3, Change::request_cancel("no longer wanted")),
    ];
    let cancelled = [
        op(id(5), 1, Change::start(2)),
        op(id(5), 2, Change::cancel("called off")),
    ];
    let failed = [
        op(id(6), 1, Change::fail(1, failure())),
        op(
            id(6),
            2,
            Change::update(Update::new().file_description("it failed")),
        ),
    ];
    let begin = |n: u32, new: NewProcess| trial.begin_at(new.request_id(id(n)), at(i64::from(n)));
    let plain = || NewProcess::new(&chain());
    let named = plain()
        .file_id(file(2))
        .file_name("invoice.pdf")
        .symbolic_directory_path("/inbox/today")
        .tag("customer", "4711")
        .expires_at(at(100_000));
    vec![
        elsewhere(&[begin(1, plain())]),
        elsewhere(&[&[begin(2, named)][..], &retried].concat()),
        elsewhere(&[&[begin(3, plain())][..], &rerun].concat()),
        elsewhere(&[&[begin(4, plain())][..], &claimed].concat()),
        elsewhere(
            &[
                &[begin(5, NewProcess::new(&side_by_side()))][..],
                &cancelled,
            ]
            .concat(),
        ),
        elsewhere(&[&[begin(6, plain())][..], &failed].concat()),
    ]
}

pub(crate) fn what_is_imported_is_kept_whole(trial: &Trial<'_>) {
    let processes = of_every_kind(trial);
    let (first, others) = processes.split_at(2);
    for process in first {
        let applied = trial.must(&import(process, 50));
        assert_eq!(
            (applied.changed, applied.version),
            (true, process.version())
        );
        must_stand(trial, process);
    }
    let ops = others.iter().map(|process| import(process, 50));
    trial.send(&ops.collect::<Vec<_>>());
    trial.reopen();
    for process in &processes {
        must_stand(trial, process);
    }
    trial.must_hold_exactly_what_is_expected();
    for term in [
        Term::Pipeline("thumbnails".into()),
        Term::Status(vec![OverallStatus::Ongoing]),
        Term::FileId(file(2)),
        Term::UnderDirectory("/inbox".into()),
        Term::Stalled { by: at(5000) },
    ] {
        trial.must_list_as_expected(&Filter::new().with(term));
    }
}

pub(crate) fn work_goes_on_after_an_import(trial: &Trial<'_>) {
    let processes = of_every_kind(trial);
    for process in &processes {
        trial.must(&import(process, 20));
    }
    // Guarded with what was read where they came from.
    let [_, retried, _, claimed, cancelled, _] = &processes[..] else {
        unreachable!("there are six")
    };
    let done = op(id(2), 30, Change::complete(1)).guarded(module_guard(retried, 1));
    let held = op(id(4), 30, Change::progress(1, Progress::of(1, 1)));
    for op in [
        done,
        held.guarded(lease_guard(claimed)),
        op(id(5), 30, Change::rerun()),
    ] {
        assert!(trial.must(&op).changed, "{op:?}");
    }
    let run = trial.stored(id(5));
    assert_eq!(
        (run.run(), run.revision()),
        (cancelled.run() + 1, cancelled.revision() + 1)
    );
    let taken = trial.one(&claim(id(4), 31, "bert", 60, 78));
    assert!(matches!(taken, Err(Rejection::Held { .. })), "{taken:?}");
    trial.must_hold_exactly_what_is_expected();
}

pub(crate) fn an_import_never_overwrites(trial: &Trial<'_>) {
    let begin = trial.begin(&chain(), id(1), 0);
    let [started, completed] =
        [Change::start(1), Change::complete(1)].map(|change| op(id(1), 1, change));
    let skipped = op(id(1), 1, Change::skip(1, "not needed"));
    trial.send(&[begin.clone(), started.clone()]);
    let standing = trial.stored(id(1));

    let other = elsewhere(&[trial.begin(&chain(), id(1), 0), started.clone()]);
    let further = elsewhere(&[begin.clone(), started, completed]);
    let apart = elsewhere(&[begin.clone(), skipped]);
    for (process, conflict) in [
        (other, Conflict::Process),
        (further, Conflict::State),
        (apart, Conflict::State),
    ] {
        let verdict = trial.one(&import(&process, 2));
        assert_eq!(verdict, Err(Rejection::AlreadyExists { conflict }));
        assert_eq!(
            trial.stored(id(1)),
            standing,
            "left is stored after the import, right before it"
        );
    }
    // Nor is anything imported under another's id.
    let mut misled = import(&elsewhere(&[begin]), 2);
    misled.id = id(2);
    let cause = Invalid::OtherId.into();
    assert_eq!(
        trial.one(&misled),
        Err(Rejection::Illegal { cause }),
        "left is the verdict on an import under another id"
    );
    trial.must_hold_exactly_what_is_expected();
}

pub(crate) fn an_import_sent_again_is_made_once(trial: &Trial<'_>) {
    let process = &of_every_kind(trial)[1];
    let op = import(process, 20);
    assert!(trial.must(&op).changed);
    for change in [None, Some(Change::complete(1)), Some(Change::start(2))] {
        if let Some(change) = change {
            trial.must(&crate::fixture::op(id(2), 21, change));
        }
        let standing = trial.stored(id(2));
        let again = trial.must(&op);
        assert_eq!(
            (again.changed, again.version),
            (false, standing.version()),
            "it stands already, or further on"
        );
        assert_eq!(trial.stored(id(2)), standing);
    }
    // Two at once, in one batch.
    let process = &of_every_kind(trial)[5];
    let twice = [import(process, 20), import(process, 30)];
    let changed = trial
        .send(&twice)
        .into_iter()
        .map(|verdict| verdict.expect("it is there from the first one on").changed);
    assert_eq!(changed.collect::<Vec<_>>(), [true, false]);
    trial.must_hold_exactly_what_is_expected();
}

pub(crate) fn what_has_expired_gives_way_to_an_import_and_is_not_imported(trial: &Trial<'_>) {
    let expiring = |n: u32, seconds: i64| {
        NewProcess::new(&chain())
            .request_id(id(n))
            .expires_at(at(seconds))
    };
    trial.must(&trial.begin_at(expiring(1, 100).file_name("old.pdf"), at(0)));
    let old = trial.stored(id(1));
    let new = elsewhere(&[trial.begin_at(expiring(1, 200).file_name("new.pdf"), at(0))]);

    let mut early = import(&new, 0);
    early.at = micros_after(at(100), -1);
    let conflict = Conflict::Process;
    assert_eq!(
        trial.one(&early),
        Err(Rejection::AlreadyExists { conflict })
    );
    assert_eq!(trial.stored(id(1)), old);
    assert!(trial.must(&import(&new, 100)).changed);
    must_stand(trial, &new);
    trial.must_hold_exactly_what_is_expected();

    // The same process as it was before it came to expire earlier: what has expired keeps nothing back.
    let begin = trial.begin_at(NewProcess::new(&chain()).request_id(id(3)), at(0));
    let lasting = elsewhere(std::slice::from_ref(&begin));
    let shortened = Change::update(Update::new().expires_at(at(50)));
    trial.send(&[begin, op(id(3), 1, shortened)]);
    let ahead = trial.must(&import(&lasting, 49));
    assert_eq!((ahead.changed, ahead.revision), (false, 2));
    assert_eq!(trial.must(&import(&lasting, 50)).revision, 1);
    must_stand(trial, &lasting);

    let late = elsewhere(&[trial.begin_at(expiring(2, 300), at(0))]);
    for seconds in [300, 301] {
        let cause = Invalid::HasExpired.into();
        assert_eq!(
            trial.one(&import(&late, seconds)),
            Err(Rejection::Illegal { cause })
        );
        assert_eq!(trial.read(id(2)), None);
    }
    assert!(trial.must(&import(&late, 299)).changed);
    trial.must_hold_exactly_what_is_expected();
}

pub(crate) fn an_erased_process_comes_back_as_it_was_when_it_is_imported(trial: &Trial<'_>) {
    let begin = trial.begin(&chain(), id(1), 0);
    trial.send(&[begin, op(id(1), 1, Change::complete(1))]);
    let kept = trial.stored(id(1));
    trial.send(&[
        op(id(1), 2, Change::start(2)),
        claim(id(1), 3, "anna", 60, 77),
        op(id(1), 4, Change::erase()),
    ]);
    assert_eq!(trial.read(id(1)), None);
    assert!(trial.must(&import(&kept, 5)).changed);
    must_stand(trial, &kept);
    // Nothing is left of what came after it was kept.
    let held = op(id(1), 6, Change::complete(2)).guarded(milepost_core::Guard::new().lease(4));
    assert!(trial.one(&held).is_err());
    assert!(trial.must(&claim(id(1), 6, "bert", 60, 78)).changed);
    trial.must_hold_exactly_what_is_expected();
}

pub(crate) fn an_import_at_a_time_that_cannot_be_kept_is_illegal(trial: &Trial<'_>) {
    let process = elsewhere(&[trial.begin(&chain(), id(1), 0)]);
    for time in [
        chrono::DateTime::<chrono::Utc>::MIN_UTC,
        chrono::DateTime::<chrono::Utc>::MAX_UTC,
    ] {
        let mut op = import(&process, 0);
        op.at = time;
        let verdict = trial.one(&op);
        assert!(
            matches!(verdict, Err(Rejection::Illegal { .. })),
            "{verdict:?}"
        );
        assert_eq!(trial.read(id(1)), None);
    }
}
