//! Wiped: what a wipe answers, what it leaves alone, and what it leaves behind.

use milepost_core::{
    Change, Failure, NewProcess, Op, Progress, StoreErrorKind, Update, Wipe, WipeLevel,
};
use uuid::Uuid;

use crate::fixture::{at, chain, elsewhere, file, id, op};
use crate::trial::{Trial, ok};

/// Wipes until that is done or as far as it gets, and sees that it is so within a bounded number of calls.
///
/// None: the store does not know the level.
#[track_caller]
fn wipe(trial: &Trial<'_>, level: WipeLevel) -> Option<Wipe> {
    const CALLS: usize = 1_000;
    let mut reason = String::new();
    for _ in 0..CALLS {
        match trial.store().wipe(level) {
            Ok(Wipe::Pending { reason: why }) => reason = why,
            Ok(wipe @ (Wipe::Done | Wipe::Limited { .. })) => return Some(wipe),
            Ok(other) => panic!("wipe: an answer that the kit does not know: {other:?}"),
            Err(error) => {
                let unsupported = StoreErrorKind::Unsupported;
                let beyond = level != WipeLevel::Files && error.kind() == unsupported;
                assert!(
                    beyond,
                    "wipe: the store failed with {:?}: {error}",
                    error.kind()
                );
                return None;
            }
        }
    }
    panic!("wipe: after {CALLS} calls and with nobody reading it is still pending: {reason}");
}

pub(crate) fn a_wipe_comes_to_its_end(trial: &Trial<'_>) {
    wipe(trial, WipeLevel::Files);
    for round in 0..3 {
        let begins = (0..10)
            .map(|n| trial.begin(&chain(), id(n), round))
            .collect::<Vec<_>>();
        trial.send(&begins);
        let erased = (0..10)
            .step_by(2)
            .map(|n| op(id(n), round, Change::erase()));
        trial.send(&erased.collect::<Vec<_>>());
        wipe(trial, WipeLevel::Files);
        // What there is nothing to do for is answered too.
        wipe(trial, WipeLevel::Files);
        wipe(trial, WipeLevel::Media);
    }
}

pub(crate) fn a_wipe_takes_nothing_that_was_not_erased(trial: &Trial<'_>) {
    for n in 0..12 {
        trial.must(&trial.begin(&chain(), id(n), 0));
        trial.must(&op(id(n), 1, Change::start(1)));
    }
    let erased = (0..12).step_by(2).map(|n| op(id(n), 2, Change::erase()));
    trial.send(&erased.collect::<Vec<_>>());
    wipe(trial, WipeLevel::Files);
    trial.must_hold_exactly_what_is_expected();
    trial.reopen();
    trial.must_hold_exactly_what_is_expected();
    // And the store goes on as before.
    trial.send(&[
        op(id(1), 3, Change::complete(1)),
        trial.begin(&chain(), id(0), 3),
    ]);
    trial.must_hold_exactly_what_is_expected();
}

/// Everything that can be found of process `n` in a file: its id, and a word in each of its texts.
fn traces(n: u32) -> [Vec<u8>; 3] {
    let id = id(n);
    let word = format!("trace-of-{n:04}-");
    [
        Uuid::from(id).as_bytes().to_vec(),
        id.to_string().into_bytes(),
        word.into_bytes(),
    ]
}

/// A process that grows, so that its record moves about in the store's files.
fn growing(trial: &Trial<'_>, n: u32) -> Vec<Op> {
    let word = |what: &str| format!("trace-of-{n:04}-{what}");
    let new = NewProcess::new(&chain())
        .request_id(id(n))
        .file_id(file(n))
        .file_name(&word("name"))
        .symbolic_directory_path(&word("directory"))
        .tag(&word("tag"), &word("value"))
        .expires_at(at(1000 + i64::from(n)));
    let begin = trial.begin_at(new, at(i64::from(n)));
    let grow = |step: usize| {
        let message = word("message").repeat(8 * step);
        [
            op(
                id(n),
                60,
                Change::progress(1, Progress::of(1, 2).message(&message)),
            ),
            op(
                id(n),
                61,
                Change::retry(1, Failure::new(&word("reason"), &message)),
            ),
            op(
                id(n),
                62,
                Change::update(Update::new().file_description(&message)),
            ),
        ]
    };
    std::iter::once(begin)
        .chain((1..=3).flat_map(grow))
        .collect()
}

pub(crate) fn after_a_wipe_no_byte_of_the_erased_is_in_the_files(trial: &Trial<'_>) {
    const COUNT: u32 = 60;
    // Grown side by side, and every second one erased: its neighbours stay.
    let grown = (0..COUNT).map(|n| growing(trial, n)).collect::<Vec<_>>();
    for step in 0..grown[0].len() {
        let ops = grown.iter().map(|ops| ops[step].clone());
        trial.send(&ops.collect::<Vec<_>>());
    }
    let erased = (0..COUNT).step_by(2).collect::<Vec<_>>();
    let erasures = erased.iter().map(|n| op(id(*n), 70, Change::erase()));
    trial.send(&erasures.collect::<Vec<_>>());
    // The erasure is the last that was written: a store that keeps one generation more still has them.
    if !is_clean_after_wipe(
        trial,
        "erased",
        &erased.iter().flat_map(|n| traces(*n)).collect::<Vec<_>>(),
    ) {
        return;
    }

    let renamed = Update::new().file_name("renamed").tags([("none", "")]);
    trial.send(&[trial.begin(&chain(), id(COUNT), 71)]);
    trial.send(&[op(
        id(COUNT),
        72,
        Change::update(Update::new().file_name("trace-of-9999-name")),
    )]);
    trial.send(&[op(id(COUNT), 73, Change::update(renamed))]);
    is_clean_after_wipe(trial, "updated away", &[b"trace-of-9999-".to_vec()]);

    // Process n expires at 1000 + n.
    trial.expect_purged(at(1001));
    assert_eq!(ok("purge", trial.store().purge(at(1001), 10)), 1);
    is_clean_after_wipe(trial, "purged", &traces(1));

    trial.send(&[trial.begin(&chain(), id(3), 2000)]);
    let [_, _, word] = traces(3);
    is_clean_after_wipe(trial, "begun anew", &[word]);

    // Of the same file, so that nothing but the work differs.
    let new = NewProcess::new(&chain())
        .request_id(id(COUNT + 1))
        .file_id(file(COUNT + 1))
        .file_name("invoice.pdf");
    let message = Progress::of(1, 2).message("trace-of-8888-message");
    trial.send(&[
        trial.begin_at(new.clone().expires_at(at(100)), at(80)),
        op(id(COUNT + 1), 81, Change::progress(1, message)),
    ]);
    let process = elsewhere(&[trial.begin_at(new, at(100))]);
    trial.send(&[op(id(COUNT + 1), 100, Change::import(process))]);
    is_clean_after_wipe(trial, "imported over", &[b"trace-of-8888-".to_vec()]);
    trial.must_hold_exactly_what_is_expected();
}

/// Wipes, and sees that none of the traces is in a file; whether the store promises that at all.
#[track_caller]
fn is_clean_after_wipe(trial: &Trial<'_>, how: &str, traces: &[Vec<u8>]) -> bool {
    if wipe(trial, WipeLevel::Files) != Some(Wipe::Done) {
        return false;
    }
    let bytes = trial.bytes_at_rest();
    for trace in traces {
        let text = String::from_utf8_lossy(trace);
        let holds = bytes.windows(trace.len()).any(|window| window == trace);
        assert!(
            !holds,
            "after Done a file still holds {text:?}, which was {how}"
        );
    }
    true
}
