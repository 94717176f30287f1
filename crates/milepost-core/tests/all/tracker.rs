//! The tracker over a small store: what each call answers, and what becomes of a store's answers.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use milepost_core::{
    Change, Counts, Failure, FileId, Guard, Illegality, ManualClock, NewProcess, OverallStatus,
    Query, Rejection, RequestId, StoreError, StoreErrorKind, TrackError, Tracker, Update, Wipe,
    WipeLevel,
};
use uuid::Uuid;

use crate::common::store::{Call, MapStore};
use crate::common::{at, chain, noon};

fn over(store: &Arc<MapStore>) -> (Tracker, ManualClock) {
    let clock = ManualClock::new(noon());
    (Tracker::with_clock(store.clone(), clock.clone()), clock)
}

fn nobody() -> RequestId {
    RequestId::from(Uuid::from_u128(1))
}

#[test]
fn begin_answers_a_new_handle_and_the_same_beginning_an_old_one() {
    let (tracker, clock) = crate::common::tracker();
    let new = || crate::common::new(&chain(2)).file_name("a.pdf");
    let process = tracker.begin(new()).unwrap();
    assert!(process.is_new());
    process.module(1).unwrap().complete().unwrap();
    clock.advance(Duration::from_secs(1));
    let again = tracker.begin(new().file_name("b.pdf")).unwrap();
    assert!(!again.is_new());
    assert_eq!(again.file_id(), process.file_id());
    assert_eq!(
        again.receipt().file_name,
        "a.pdf",
        "the handle shows what is stored"
    );
    let error = tracker.begin(crate::common::new(&chain(3))).unwrap_err();
    assert!(matches!(
        error,
        TrackError::Rejected(Rejection::AlreadyExists { .. })
    ));
    assert!(!error.is_not_found() && !error.is_retryable());
}

/// Between the answer that a process is there and reading it, it may be erased: then it begins.
#[test]
fn begin_racing_with_an_erasure_begins_anew() {
    let store = Arc::new(MapStore::new());
    let (tracker, _) = over(&store);
    let first = tracker.begin(crate::common::new(&chain(1))).unwrap();
    let erase = tracker.op(first.request_id(), Change::erase());
    let once = AtomicBool::new(true);
    store.script(move |call, store| {
        if call == Call::Read && once.swap(false, Ordering::SeqCst) {
            store.raw(&erase).expect("it is there");
        }
        Ok(())
    });
    let process = tracker.begin(crate::common::new(&chain(1))).unwrap();
    assert!(process.is_new());
    let stored = tracker.get(process.request_id()).unwrap();
    assert_eq!(stored.revision(), 1);
}

/// A process that expired between the two was once asked for again as of before it did, until the call
/// gave up.
#[test]
fn begin_racing_with_an_expiry_begins_anew() {
    let store = Arc::new(MapStore::new());
    let (tracker, clock) = over(&store);
    let new = || crate::common::new(&chain(1));
    tracker
        .begin(new().expires_in(Duration::from_secs(1)))
        .unwrap();
    store.script(move |call, _| {
        if call == Call::Read {
            clock.advance(Duration::from_secs(1));
        }
        Ok(())
    });
    assert!(tracker.begin(new()).unwrap().is_new());
}

#[test]
fn begin_gives_up_as_busy_if_others_keep_beginning_and_erasing() {
    let store = Arc::new(MapStore::new());
    let (tracker, _) = over(&store);
    let begin = tracker.prepare(crate::common::new(&chain(1))).unwrap();
    let erase = tracker.op(begin.id, Change::erase());
    store.script(move |call, store| {
        match call {
            Call::Write => store.raw(&begin).map(drop).expect("it begins"),
            Call::Read => store.raw(&erase).map(drop).expect("it is there"),
            _ => {}
        }
        Ok(())
    });
    let error = tracker.begin(crate::common::new(&chain(1))).unwrap_err();
    assert!(matches!(&error, TrackError::Store(error) if error.kind() == StoreErrorKind::Busy));
    assert!(error.is_retryable());
}

#[test]
fn what_is_not_there_is_not_found_by_every_call() {
    let (tracker, _) = crate::common::tracker();
    let id = nobody();
    let errors = [
        tracker.get(id).err(),
        tracker.process(id).err(),
        tracker.process_status(id).err(),
        tracker.cancel(id, "").err(),
        tracker.rerun(id).err(),
        tracker.update(id, Update::new()).err(),
        tracker.wait(id, Duration::ZERO).err(),
        tracker.watch(id).err(),
    ];
    for error in errors {
        assert!(error.unwrap().is_not_found());
    }
    assert_eq!(tracker.erase(id).unwrap().processes, 0);
}

#[test]
fn an_expired_process_is_not_found_by_this_trackers_clock_and_listed_by_none() {
    let store = Arc::new(MapStore::new());
    let (tracker, clock) = over(&store);
    let new = crate::common::new(&chain(1)).expires_in(Duration::from_secs(30));
    let process = tracker.begin(new).unwrap();
    let id = process.request_id();
    let all = Query::new();
    clock.set(at(29));
    assert!(tracker.get(id).is_ok());
    assert_eq!(tracker.list(&all).unwrap().items.len(), 1);
    clock.set(at(30));
    assert!(tracker.get(id).unwrap_err().is_not_found());
    assert!(process.status().unwrap_err().is_not_found());
    assert!(
        process
            .module(1)
            .unwrap()
            .start()
            .unwrap_err()
            .is_not_found()
    );
    assert_eq!(tracker.get_many(&[id]).unwrap(), [None]);
    assert!(tracker.list(&all).unwrap().items.is_empty());
    assert_eq!(tracker.count(&all).unwrap().total(), 0);
    let (late, _) = over(&store);
    assert!(
        late.get(id).is_ok(),
        "expiry is judged by the clock of who asks"
    );
    assert_eq!(
        tracker.erase(id).unwrap().processes,
        1,
        "erase erases what has expired"
    );
}

#[test]
fn get_many_answers_in_the_order_asked_for() {
    let (tracker, _) = crate::common::tracker();
    let begin = || {
        tracker
            .begin(NewProcess::new(&chain(1)))
            .unwrap()
            .request_id()
    };
    let (a, b) = (begin(), begin());
    let found = tracker.get_many(&[b, nobody(), a, b]).unwrap();
    let ids = found
        .iter()
        .map(|process| process.as_ref().map(|process| process.request_id()));
    assert_eq!(ids.collect::<Vec<_>>(), [Some(b), None, Some(a), Some(b)]);
}

#[test]
fn cancel_and_rerun_read_first_and_act_once() {
    let (tracker, _) = crate::common::tracker();
    let id = tracker
        .begin(crate::common::new(&chain(1)))
        .unwrap()
        .request_id();
    assert!(tracker.cancel(id, "enough").unwrap().changed);
    assert!(!tracker.cancel(id, "again").unwrap().changed);
    let applied = tracker.rerun(id).unwrap();
    assert_eq!(
        (applied.changed, applied.run, applied.attempt),
        (true, 2, 0)
    );
    assert_eq!(applied.status, OverallStatus::Ongoing);
    let error = tracker.rerun(id).unwrap_err();
    let status = OverallStatus::Ongoing;
    let cause = Illegality::Status { status };
    assert!(matches!(error, TrackError::Rejected(Rejection::Illegal { cause: c }) if c == cause));
}

/// Two calls at once read the same run, and the second finds it done.
#[test]
fn two_reruns_at_once_rerun_once() {
    let store = Arc::new(MapStore::new());
    let (tracker, _) = over(&store);
    let id = tracker
        .begin(crate::common::new(&chain(1)))
        .unwrap()
        .request_id();
    tracker.cancel(id, "").unwrap();
    let rerun = tracker.op(id, Change::rerun());
    let once = AtomicBool::new(true);
    store.script(move |call, store| {
        if call == Call::Write && once.swap(false, Ordering::SeqCst) {
            store.raw(&rerun).expect("it was cancelled");
        }
        Ok(())
    });
    let applied = tracker.rerun(id).unwrap();
    assert_eq!((applied.changed, applied.run), (false, 2));
}

#[test]
fn a_list_is_walked_page_by_page_showing_each_process_once() {
    let store = Arc::new(MapStore::new());
    let (tracker, clock) = over(&store);
    let mut ids = (0..25).map(|k| {
        // Several begin at one moment.
        clock.set(at(k / 3));
        tracker
            .begin(NewProcess::new(&chain(1)))
            .unwrap()
            .request_id()
    });
    let begun = ids.by_ref().collect::<Vec<_>>();
    for examined in [0, 1, 7] {
        store.examined.store(examined, Ordering::SeqCst);
        for query in [Query::new(), Query::new().oldest_first()] {
            let mut query = query.limit(4);
            let mut seen = Vec::new();
            loop {
                let page = tracker.list(&query).unwrap();
                assert!(page.items.len() <= 4);
                seen.extend(page.items.iter().map(|process| process.request_id()));
                let Some(next) = page.next else { break };
                // As a web page would: printed and parsed.
                query = query.after(next.to_string().parse().unwrap());
            }
            assert_eq!(seen.len(), begun.len());
            let mut sorted = seen.clone();
            sorted.sort_unstable();
            let mut expected = begun.clone();
            expected.sort_unstable();
            assert_eq!(sorted, expected);
        }
    }
}

#[test]
fn counts_are_by_status() {
    let (tracker, _) = crate::common::tracker();
    let begin = || tracker.begin(NewProcess::new(&chain(1))).unwrap();
    begin();
    begin().module(1).unwrap().complete().unwrap();
    begin()
        .module(1)
        .unwrap()
        .fail(Failure::new("R", "m"))
        .unwrap();
    for _ in 0..2 {
        begin().cancel("").unwrap();
    }
    let counts = tracker.count(&Query::new()).unwrap();
    let by = (
        counts.ongoing,
        counts.complete,
        counts.failed,
        counts.cancelled,
    );
    assert_eq!(
        (by, counts.total(), counts.is_exact()),
        ((1, 1, 1, 2), 5, true)
    );
    let some = Query::new()
        .status(OverallStatus::Failed)
        .status(OverallStatus::Complete);
    assert_eq!(tracker.count(&some).unwrap().total(), 2);
    assert!(!Counts::new().partial().is_exact());
}

#[test]
fn an_update_reaches_one_process_and_update_file_all_of_a_file() {
    let (tracker, clock) = crate::common::tracker();
    let file = FileId::from(Uuid::from_u128(7));
    let begin = || {
        tracker
            .begin(NewProcess::new(&chain(1)).file_id(file))
            .unwrap()
            .request_id()
    };
    let ids = (0..5).map(|_| begin()).collect::<Vec<_>>();
    let rename = || Update::new().file_name("b.pdf");
    assert!(tracker.update(ids[0], rename()).unwrap().changed);
    assert!(!tracker.update(ids[0], rename()).unwrap().changed);
    let updated = tracker.update_file(file, rename()).unwrap();
    assert_eq!(
        (updated.processes, updated.changed, updated.refused.len()),
        (5, 4, 0)
    );
    for id in &ids {
        assert_eq!(tracker.get(*id).unwrap().file().name(), "b.pdf");
    }
    let tags = (0..64).map(|_| ("n", "v".repeat(4096)));
    let updated = tracker.update_file(file, Update::new().tags(tags)).unwrap();
    assert_eq!(
        (updated.processes, updated.changed, updated.refused.len()),
        (5, 0, 5)
    );
    assert!(matches!(updated.refused[0].1, Rejection::TooLarge { .. }));
    tracker
        .update_file(file, Update::new().expires_at(at(9)))
        .unwrap();
    clock.set(at(9));
    assert!(tracker.get(ids[4]).unwrap_err().is_not_found());
    assert_eq!(tracker.update_file(file, rename()).unwrap().processes, 0);
}

/// Large updates of many processes are more than one batch may hold.
#[test]
fn update_file_splits_what_is_over_16_mib() {
    let store = Arc::new(MapStore::new());
    let (tracker, _) = over(&store);
    let file = FileId::from(Uuid::from_u128(7));
    for _ in 0..200 {
        tracker
            .begin(NewProcess::new(&chain(1)).file_id(file))
            .unwrap();
    }
    let writes = store.calls(Call::Write);
    let tags = (0..40).map(|_| ("n", "v".repeat(4096)));
    let updated = tracker.update_file(file, Update::new().tags(tags)).unwrap();
    assert_eq!((updated.processes, updated.changed), (200, 200));
    assert_eq!(store.calls(Call::Write) - writes, 2);
}

#[test]
fn purge_repeats_until_nothing_expired_is_left() {
    let store = Arc::new(MapStore::new());
    let (tracker, clock) = over(&store);
    let new = || NewProcess::new(&chain(1)).expires_in(Duration::from_secs(1));
    let ops = (0..10_001).map(|_| tracker.prepare(new()).unwrap());
    let ops = ops.collect::<Vec<_>>();
    tracker.apply(&ops[..10_000]).unwrap();
    tracker.apply(&ops[10_000..]).unwrap();
    tracker.begin(NewProcess::new(&chain(1))).unwrap();
    assert_eq!(tracker.purge().unwrap(), 0);
    clock.advance(Duration::from_secs(1));
    assert_eq!(tracker.purge().unwrap(), 10_001);
    assert_eq!(store.calls(Call::Purge), 3);
    assert_eq!(store.len(), 1);
}

#[test]
fn each_op_of_a_batch_is_judged_apart() {
    let (tracker, _) = crate::common::tracker();
    let create = tracker.prepare(crate::common::new(&chain(2))).unwrap();
    let id = create.id;
    let op = |change| tracker.op(id, change);
    let guarded = op(Change::complete(2)).guarded(Guard::new().run(7));
    let batch = [
        create,
        op(Change::start(2)),
        op(Change::complete(1)),
        guarded,
        op(Change::start(2)),
    ];
    let verdicts = tracker.apply(&batch).unwrap();
    let accepted = verdicts.iter().map(Result::is_ok).collect::<Vec<_>>();
    assert_eq!(accepted, [true, false, true, false, true]);
    assert_eq!(tracker.get(id).unwrap().revision(), 3);
}

#[test]
fn a_stores_errors_come_through_with_kind_and_source() {
    use StoreErrorKind as Kind;
    let store = Arc::new(MapStore::new());
    let (tracker, _) = over(&store);
    let process = tracker.begin(crate::common::new(&chain(1))).unwrap();
    for kind in [
        Kind::Busy,
        Kind::Full,
        Kind::Unavailable,
        Kind::Corrupt,
        Kind::Incompatible,
        Kind::OutcomeUnknown,
        Kind::Limit,
        Kind::Unsupported,
        Kind::Other,
    ] {
        store.script(move |_, _| Err(StoreError::new(kind, "the disk says no")));
        let errors = [
            tracker.begin(NewProcess::new(&chain(1))).err(),
            process.module(1).unwrap().start().err(),
            tracker.get(process.request_id()).err(),
            tracker.get_many(&[process.request_id()]).err(),
            tracker.list(&Query::new()).err(),
            tracker.count(&Query::new()).err(),
            tracker.purge().err(),
            tracker.wipe().err(),
            tracker.erase(process.request_id()).err(),
            tracker.erase_matching(&Query::new()).err(),
            tracker.watch(process.request_id()).err(),
        ];
        for error in errors {
            let error = error.unwrap();
            assert_eq!(
                error.is_retryable(),
                matches!(kind, Kind::Busy | Kind::Unavailable)
            );
            let TrackError::Store(error) = error else {
                panic!("{error}")
            };
            assert_eq!(error.kind(), kind);
            let source = std::error::Error::source(&error).unwrap();
            assert_eq!(source.to_string(), "the disk says no");
        }
    }
}

/// A store that forgets a verdict would make a caller believe the wrong one.
#[test]
fn a_store_that_answers_too_few_or_too_many_verdicts_is_an_error() {
    #[derive(Debug)]
    struct Odd(usize);
    impl milepost_core::StatusStore for Odd {
        fn write(
            &self,
            _: &[milepost_core::Op],
        ) -> Result<Vec<milepost_core::Verdict>, StoreError> {
            Ok(vec![Err(Rejection::NotFound); self.0])
        }
        fn read(&self, _: RequestId) -> Result<Option<Arc<milepost_core::Process>>, StoreError> {
            Ok(None)
        }
        fn list(&self, _: &milepost_core::Listing) -> Result<milepost_core::Found, StoreError> {
            Ok(milepost_core::Found::new(Vec::new(), None))
        }
        fn count(&self, _: &milepost_core::Filter) -> Result<Counts, StoreError> {
            Ok(Counts::new())
        }
        fn purge(&self, _: chrono::DateTime<chrono::Utc>, _: usize) -> Result<usize, StoreError> {
            Ok(0)
        }
        fn wipe(&self, _: WipeLevel) -> Result<Wipe, StoreError> {
            Ok(Wipe::Done)
        }
    }
    for verdicts in [0, 2] {
        let tracker = Tracker::new(Odd(verdicts));
        let error = tracker.begin(NewProcess::new(&chain(1))).unwrap_err();
        assert!(
            matches!(&error, TrackError::Store(error) if error.kind() == StoreErrorKind::OutcomeUnknown)
        );
    }
    let tracker = Tracker::new(Odd(1));
    assert!(tracker.erase(nobody()).unwrap().processes == 0);
}

#[test]
fn clones_are_one_tracker_and_may_be_used_from_any_thread() {
    let (tracker, _) = crate::common::tracker();
    let id = tracker
        .begin(crate::common::new(&chain(8).parallel()))
        .unwrap()
        .request_id();
    let changed = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let process = tracker.clone().process(id).unwrap();
                for module in process.modules() {
                    let applied = module.complete().unwrap();
                    changed.fetch_add(usize::from(applied.changed), Ordering::SeqCst);
                }
            });
        }
    });
    assert_eq!(changed.into_inner(), 8, "each module completes once");
    assert_eq!(tracker.get(id).unwrap().revision(), 9);
}
