//! One by one: many threads at one store, and two store values at the same records.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;

use milepost_core::{
    Change, Filter, ModuleStateKind, NewProcess, Op, Pipeline, Progress, Rejection, StatusStore,
    Update, Verdict,
};

use crate::fixture::{at, chain, failure, id, op};
use crate::trial::{Trial, ok};

pub(super) const THREADS: u32 = 6;

/// Runs `work` in as many threads, half of them on another store value, and answers what each came to.
pub(super) fn at_once<T: Send>(
    trial: &Trial<'_>,
    work: impl Fn(u32, &dyn StatusStore) -> T + Sync,
) -> Vec<T> {
    let stores: [Arc<dyn StatusStore>; 2] = [trial.store(), trial.another()];
    let barrier = Barrier::new(THREADS as usize);
    thread::scope(|scope| {
        let threads = (0..THREADS)
            .map(|n| {
                let (work, barrier) = (&work, &barrier);
                let store = &*stores[(n % 2) as usize];
                scope.spawn(move || {
                    barrier.wait();
                    work(n, store)
                })
            })
            .collect::<Vec<_>>();
        threads
            .into_iter()
            .map(|thread| thread.join().expect("a thread finds nothing wrong"))
            .collect()
    })
}

/// Sends one op; whether it was the one that changed something.
pub(super) fn wins(store: &dyn StatusStore, op: &Op) -> bool {
    let verdicts = ok("write", store.write(std::slice::from_ref(op)));
    verdicts[0].as_ref().is_ok_and(|applied| applied.changed)
}

pub(crate) fn of_many_creations_of_one_id_one_wins(trial: &Trial<'_>) {
    for round in 0..10 {
        let begins = (0..THREADS)
            .map(|n| {
                let new = NewProcess::new(&chain()).request_id(id(round));
                trial.begin_at(new.file_name(&n.to_string()), at(0))
            })
            .collect::<Vec<_>>();
        let won = at_once(trial, |n, store| wins(store, &begins[n as usize]));
        let winners = won.iter().filter(|won| **won).count();
        assert_eq!(
            winners, 1,
            "of {THREADS} creations of one id so many changed something"
        );
        let winner = won.iter().position(|won| *won).unwrap_or_default();
        let stored = trial.stored(id(round));
        assert_eq!(
            stored.file().name(),
            winner.to_string(),
            "left is stored, right has won"
        );
        assert_eq!(stored.revision(), 1);
    }
}

pub(crate) fn each_transition_is_won_by_one(trial: &Trial<'_>) {
    let steps = [
        Change::start(1),
        Change::complete(1),
        Change::fail(2, failure()),
        Change::rerun(),
        Change::skip(2, "not needed"),
        Change::cancel("called off"),
        Change::erase(),
    ];
    for round in 0..5 {
        let begin = [trial.begin(&chain(), id(round), 0)];
        ok("write", trial.store().write(&begin));
        for (revision, change) in (2..).zip(&steps) {
            let op = op(id(round), 1, change.clone());
            let won = at_once(trial, |_, store| wins(store, &op));
            let winners = won.iter().filter(|won| **won).count();
            assert_eq!(
                winners, 1,
                "so many of {THREADS} changed something with {change:?}"
            );
            let stored = trial.read(id(round)).map(|process| process.revision());
            let gone = matches!(change, Change::Erase);
            assert_eq!(
                stored,
                (!gone).then_some(revision),
                "the revision after {change:?}"
            );
        }
    }
}

pub(crate) fn concurrent_changes_to_one_process_are_none_lost(trial: &Trial<'_>) {
    const REPORTS: u64 = 40;
    let modules = (0..THREADS).map(|n| format!("module {n}"));
    let pipeline = Pipeline::new("side by side", modules)
        .expect("the names are fine")
        .parallel();
    ok(
        "write",
        trial.store().write(&[trial.begin(&pipeline, id(1), 0)]),
    );
    let verdicts = at_once(trial, |n, store| {
        let module = n as usize + 1;
        let report = |done| {
            op(
                id(1),
                1,
                Change::progress(module, Progress::of(done, REPORTS)),
            )
        };
        let mut verdicts = Vec::new();
        for done in 1..=REPORTS / 2 {
            verdicts.extend(ok(
                "write",
                store.write(&[report(2 * done - 1), report(2 * done)]),
            ));
        }
        verdicts.extend(ok(
            "write",
            store.write(&[op(id(1), 2, Change::complete(module))]),
        ));
        verdicts
    });
    let stored = trial.stored(id(1));
    for module in stored.modules() {
        let done = module.progress().map(Progress::done);
        let state = module.state().kind();
        assert_eq!(
            (done, state),
            (Some(REPORTS), ModuleStateKind::Complete),
            "{}",
            module.name()
        );
    }
    let changes = u64::from(THREADS) * (REPORTS + 1);
    assert_eq!(
        stored.revision(),
        1 + changes,
        "left is stored, right counts every change"
    );
    // Each change saw the one before it: no two report one revision.
    let revisions = verdicts
        .into_iter()
        .flatten()
        .map(|verdict| {
            verdict
                .expect("each thread has a module of its own")
                .revision
        })
        .collect::<BTreeSet<_>>();
    assert_eq!(
        revisions.len() as u64,
        changes,
        "two changes report one revision"
    );
}

pub(crate) fn concurrent_changes_to_many_processes_are_none_lost(trial: &Trial<'_>) {
    const EACH: u32 = 20;
    let begins = (0..THREADS * EACH)
        .map(|n| trial.begin(&chain(), id(n), i64::from(n)))
        .collect::<Vec<_>>();
    at_once(trial, |thread, store| {
        for n in thread * EACH..(thread + 1) * EACH {
            let last = if n % 4 == 0 {
                Change::erase()
            } else {
                Change::complete(1)
            };
            let batch = [
                begins[n as usize].clone(),
                op(id(n), 500, Change::start(1)),
                op(id(n), 501, last),
            ];
            let verdicts = ok("write", store.write(&batch));
            assert!(
                verdicts.iter().all(Verdict::is_ok),
                "nobody else is at it: {verdicts:?}"
            );
        }
    });
    for n in 0..THREADS * EACH {
        let revision = trial.read(id(n)).map(|process| process.revision());
        assert_eq!(revision, (n % 4 != 0).then_some(3), "process {n}");
    }
    let counts = ok("count", trial.store().count(&Filter::new()));
    assert_eq!(
        counts.total(),
        u64::from(THREADS * EACH * 3 / 4),
        "counted after all is written"
    );
}

pub(crate) fn verdicts_are_decided_on_the_state_that_is_stored_now(trial: &Trial<'_>) {
    let (ours, theirs) = (trial.store(), trial.another());
    let send = |store: &Arc<dyn StatusStore>, op: &Op| {
        let ops = std::slice::from_ref(op);
        let verdicts = ok("write", store.write(ops));
        assert_eq!(verdicts, trial.expect(ops), "left is the verdict on {op:?}");
        let read = ok("read", store.read(op.id));
        assert_eq!(read, trial.expected(op.id), "left is stored after {op:?}");
    };
    send(&ours, &trial.begin(&chain(), id(1), 0));
    send(&ours, &op(id(1), 1, Change::start(1)));
    // Ours has seen it running. Theirs retries it, so ours starts it again, which is a change.
    send(&theirs, &op(id(1), 2, Change::retry(1, failure())));
    send(&ours, &op(id(1), 3, Change::start(1)));
    // Theirs has seen it pending. Ours completes it: for theirs that is no change, and then illegal.
    send(&ours, &op(id(1), 4, Change::complete(1)));
    send(&theirs, &op(id(1), 5, Change::complete(1)));
    send(&theirs, &op(id(1), 5, Change::start(1)));
    send(
        &theirs,
        &op(id(1), 6, Change::update(Update::new().file_name("new.pdf"))),
    );
    // Ours has seen the old name.
    send(
        &ours,
        &op(
            id(1),
            7,
            Change::update(Update::new().file_name("invoice.pdf")),
        ),
    );
    send(&theirs, &op(id(1), 8, Change::erase()));
    send(&ours, &op(id(1), 9, Change::start(2)));
    send(&theirs, &trial.begin(&chain(), id(1), 10));
    send(&ours, &op(id(1), 11, Change::start(2)));
    send(&ours, &op(id(1), 11, Change::start(1)));
    send(&theirs, &op(id(1), 12, Change::start(1)));
}

pub(crate) fn a_process_that_many_begin_and_erase_is_never_half_there(trial: &Trial<'_>) {
    const ROUNDS: usize = 50;
    // Each beginning bears a mark of its own.
    let begins = (0..ROUNDS * THREADS as usize)
        .map(|_| trial.begin(&chain(), id(1), 0))
        .collect::<Vec<_>>();
    // Orders what the threads see: what ends at a lower tick ended before what starts at a higher.
    let clock = AtomicU64::new(0);
    let tick = || clock.fetch_add(1, Ordering::SeqCst);
    let seen = at_once(trial, |n, store| {
        let (mut begun, mut erased) = (Vec::new(), Vec::new());
        for begin in &begins[n as usize * ROUNDS..][..ROUNDS] {
            let mark = mark_if_won(store, begin);
            begun.extend(mark.map(|mark| (mark, tick())));
            let verdicts = ok("write", store.write(&[op(id(1), 1, Change::start(2))]));
            let verdict = &verdicts[0];
            let lawful = matches!(
                verdict,
                Err(Rejection::NotFound | Rejection::OutOfOrder { .. })
            );
            assert!(
                lawful,
                "no state of it makes this of starting module 2: {verdict:?}"
            );
            let sent = tick();
            let mark = mark_if_won(store, &op(id(1), 2, Change::erase()));
            erased.extend(mark.map(|mark| (mark, sent)));
        }
        (begun, erased)
    });
    let (begun, erased): (Vec<_>, Vec<_>) = seen.into_iter().unzip();
    let (mut begun, mut erased) = (begun.concat(), erased.concat());
    begun.sort_unstable();
    erased.sort_unstable();
    let marks = |seen: &[(u64, u64)]| seen.iter().map(|(mark, _)| *mark).collect::<Vec<_>>();
    // Each thread ends by erasing, so nothing is left.
    assert_eq!(
        marks(&begun),
        marks(&erased),
        "left are the marks of what was begun, right of what was erased"
    );
    // From when it was surely there to when it may first have been gone.
    let mut lives = std::iter::zip(&begun, &erased)
        .map(|((_, from), (_, until))| (*from, *until))
        .filter(|(from, until)| from < until)
        .collect::<Vec<_>>();
    lives.sort_unstable();
    for pair in lives.windows(2) {
        let [(_, until), (from, _)] = [pair[0], pair[1]];
        assert!(
            until < from,
            "one id bore two processes at once: one until {until}, one from {from}"
        );
    }
    assert_eq!(trial.read(id(1)), None);
    assert_eq!(ok("count", trial.store().count(&Filter::new())).total(), 0);
}

/// Sends one op; the mark of the process that it changed.
fn mark_if_won(store: &dyn StatusStore, op: &Op) -> Option<u64> {
    let verdicts = ok("write", store.write(std::slice::from_ref(op)));
    let applied = verdicts[0].as_ref().ok()?;
    applied.changed.then_some(applied.version.born)
}
