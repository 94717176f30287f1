//! Waiting and watching: no wake-up is lost, and nobody waits for nothing.
//!
//! Real time serves as a generous bound only: a law that is broken shows as a test that takes too long.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

use milepost_core::{
    Change, Failure, ManualClock, NewProcess, Op, OverallStatus, Process, Progress, RequestId,
    StoreError, StoreErrorKind, TrackError, Tracker, Update, Watch,
};

use crate::common::store::{Call, MapStore};
use crate::common::{chain, noon};

const NEVER: Duration = Duration::from_hours(1);
const SOON: Duration = Duration::from_millis(1);
const BOUND: Duration = Duration::from_mins(1);

/// Two trackers over one store, the first of which polls this often.
struct Pair {
    tracker: Tracker,
    other: Tracker,
    clock: ManualClock,
    store: Arc<MapStore>,
}

fn pair(interval: Duration) -> Pair {
    let (store, clock) = (Arc::new(MapStore::new()), ManualClock::new(noon()));
    let tracker = Tracker::with_clock(store.clone(), clock.clone()).poll_interval(interval);
    let other = Tracker::with_clock(store.clone(), clock.clone());
    Pair {
        tracker,
        other,
        clock,
        store,
    }
}

impl Pair {
    fn begin(&self) -> RequestId {
        let new = NewProcess::new(&chain(2));
        self.tracker.begin(new).expect("it begins").request_id()
    }
}

fn send(tracker: &Tracker, id: RequestId, changes: &[Change]) {
    let ops = changes.iter().map(|change| tracker.op(id, change.clone()));
    let verdicts = tracker.apply(&ops.collect::<Vec<_>>());
    for verdict in verdicts.expect("the store works") {
        assert!(verdict.expect("it is accepted").changed);
    }
}

fn failure() -> Failure {
    Failure::new("BadInput", "page 4 is blank")
}

fn shown(watch: &mut Watch) -> Arc<Process> {
    watch
        .next()
        .expect("it goes on")
        .expect("there is no trouble")
}

#[track_caller]
fn ends_not_found(watch: &mut Watch) {
    let news = watch.next().expect("it says so once");
    assert!(news.expect_err("it is gone").is_not_found());
    assert!(watch.next().is_none());
    assert!(watch.next().is_none());
}

/// Runs `work` beside the test, and fails if it does not come to an end.
fn beside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> mpsc::Receiver<T> {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || sender.send(work()).ok());
    receiver
}

#[test]
fn the_first_item_is_the_state_as_it_is_and_a_settled_one_is_the_last() {
    let pair = pair(NEVER);
    let id = pair.begin();
    send(
        &pair.tracker,
        id,
        &[Change::complete(1), Change::complete(2)],
    );
    let mut watch = pair.tracker.watch(id).unwrap();
    assert_eq!(shown(&mut watch).status(), OverallStatus::Complete);
    assert!(watch.next().is_none());
    let process = pair.tracker.wait(id, Duration::ZERO).unwrap();
    assert_eq!(process.status(), OverallStatus::Complete);
    assert_eq!(pair.store.calls(Call::Versions), 0, "nobody had to wait");
}

#[test]
fn watching_or_waiting_for_an_unknown_id_is_an_error_at_the_call() {
    let pair = pair(NEVER);
    let id = crate::common::id();
    assert!(pair.tracker.watch(id).unwrap_err().is_not_found());
    assert!(pair.tracker.wait(id, BOUND).unwrap_err().is_not_found());
}

#[test]
fn a_change_through_the_same_tracker_wakes_at_once() {
    let pair = pair(NEVER);
    let id = pair.begin();
    let (first, has_first) = mpsc::channel();
    let tracker = pair.tracker.clone();
    let last = beside(move || {
        let mut watch = tracker.watch(id).expect("it is there");
        first
            .send(shown(&mut watch).revision())
            .expect("the test listens");
        watch.map(|news| news.expect("no trouble")).last()
    });
    assert_eq!(has_first.recv_timeout(BOUND), Ok(1));
    let writer = pair.tracker.clone();
    send(&writer, id, &[Change::start(1)]);
    send(&writer, id, &[Change::complete(1), Change::complete(2)]);
    let process = last.recv_timeout(BOUND).unwrap().unwrap();
    assert_eq!(process.status(), OverallStatus::Complete);
    assert_eq!(pair.store.calls(Call::Versions), 0, "no poll was needed");
}

/// The seat is taken before the state is read: a change between the two is told, not lost.
#[test]
fn a_change_while_the_watch_begins_is_not_missed() {
    let pair = pair(NEVER);
    let id = pair.begin();
    let (tracker, done) = (pair.tracker.clone(), AtomicBool::new(false));
    let reading = AtomicBool::new(false);
    pair.store.script(move |call, _| {
        // Between taking the seat and reading: through the same tracker, which polls once an hour.
        if call == Call::Read && !reading.swap(true, Ordering::SeqCst) {
            if !done.swap(true, Ordering::SeqCst) {
                send(&tracker, id, &[Change::start(1)]);
            }
            reading.store(false, Ordering::SeqCst);
        }
        Ok(())
    });
    let mut watch = pair.tracker.watch(id).unwrap();
    assert_eq!(shown(&mut watch).revision(), 2);
    send(&pair.other, id, &[Change::complete(1)]);
    send(&pair.tracker, id, &[Change::fail(2, failure())]);
    assert_eq!(shown(&mut watch).status(), OverallStatus::Failed);
}

#[test]
fn a_change_by_another_tracker_is_polled() {
    let pair = pair(SOON);
    let id = pair.begin();
    let mut watch = pair.tracker.watch(id).unwrap();
    assert_eq!(shown(&mut watch).revision(), 1);
    send(&pair.other, id, &[Change::start(1)]);
    assert_eq!(shown(&mut watch).revision(), 2);
    send(&pair.other, id, &[Change::cancel("enough")]);
    assert_eq!(shown(&mut watch).status(), OverallStatus::Cancelled);
    assert!(watch.next().is_none());
}

#[test]
fn a_settled_state_is_shown_even_if_it_was_rerun_right_after() {
    let pair = pair(NEVER);
    let id = pair.begin();
    let mut watch = pair.tracker.watch(id).unwrap();
    send(&pair.tracker, id, &[Change::fail(1, failure())]);
    send(&pair.tracker, id, &[Change::rerun()]);
    send(&pair.tracker, id, &[Change::start(1)]);
    assert_eq!(shown(&mut watch).revision(), 1);
    let settled = shown(&mut watch);
    assert_eq!(
        (settled.status(), settled.revision()),
        (OverallStatus::Failed, 2)
    );
    assert!(watch.next().is_none());
}

#[test]
fn a_settled_state_is_shown_even_if_it_was_rerun_in_the_same_batch() {
    let pair = pair(NEVER);
    let id = pair.begin();
    let mut watch = pair.tracker.watch(id).unwrap();
    let reruns = [
        Change::start(1),
        Change::fail(1, failure()),
        Change::rerun(),
        Change::cancel("enough"),
        Change::rerun(),
        Change::start(1),
    ];
    send(&pair.tracker, id, &reruns);
    assert_eq!(shown(&mut watch).revision(), 1);
    let settled = shown(&mut watch);
    assert_eq!(
        (settled.status(), settled.revision()),
        (OverallStatus::Cancelled, 5)
    );
    assert!(watch.next().is_none());
}

#[test]
fn an_erased_process_is_not_found_once_and_then_nothing() {
    let pair = pair(SOON);
    for eraser in [&pair.tracker, &pair.other] {
        let id = pair.begin();
        let mut watch = pair.tracker.watch(id).unwrap();
        assert_eq!(shown(&mut watch).revision(), 1);
        eraser.erase(id).unwrap();
        ends_not_found(&mut watch);
    }
}

#[test]
fn a_process_begun_anew_under_the_id_is_another_one() {
    let pair = pair(SOON);
    for eraser in [&pair.tracker, &pair.other] {
        let new = || crate::common::new(&chain(2));
        let id = pair.tracker.begin(new()).unwrap().request_id();
        let mut watch = pair.tracker.watch(id).unwrap();
        assert_eq!(shown(&mut watch).revision(), 1);
        let mut ops = vec![
            eraser.op(id, Change::erase()),
            eraser.prepare(new()).unwrap(),
        ];
        ops.push(eraser.op(id, Change::cancel("enough")));
        eraser.apply(&ops).unwrap();
        ends_not_found(&mut watch);
        pair.tracker.erase(id).unwrap();
    }
}

#[test]
fn a_process_that_expires_by_the_trackers_clock_is_not_found() {
    let pair = pair(SOON);
    let new = NewProcess::new(&chain(1)).expires_in(Duration::from_secs(30));
    let id = pair.tracker.begin(new).unwrap().request_id();
    let mut watch = pair.tracker.watch(id).unwrap();
    assert_eq!(shown(&mut watch).revision(), 1);
    let extend = Update::new().expires_in(Duration::from_mins(1));
    pair.tracker.update(id, extend).unwrap();
    assert_eq!(shown(&mut watch).revision(), 2);
    pair.clock.advance(Duration::from_secs(59));
    assert!(matches!(
        pair.tracker.wait(id, Duration::from_millis(20)),
        Err(TrackError::Timeout)
    ));
    pair.clock.advance(Duration::from_secs(1));
    ends_not_found(&mut watch);
    assert!(pair.tracker.wait(id, BOUND).unwrap_err().is_not_found());
}

#[test]
fn a_wait_ends_at_its_timeout() {
    let pair = pair(SOON);
    let id = pair.begin();
    for timeout in [Duration::ZERO, Duration::from_millis(30)] {
        let began = Instant::now();
        let error = pair.tracker.wait(id, timeout).unwrap_err();
        assert!(matches!(error, TrackError::Timeout), "{error}");
        assert!(error.is_retryable());
        assert!((timeout..BOUND).contains(&began.elapsed()));
    }
}

#[test]
fn a_wait_for_ever_ends_when_the_process_settles() {
    let pair = pair(SOON);
    let id = pair.begin();
    let tracker = pair.tracker.clone();
    let waited = beside(move || {
        tracker
            .wait(id, Duration::MAX)
            .map(|process| process.status())
    });
    send(&pair.other, id, &[Change::cancel("")]);
    let status = waited.recv_timeout(BOUND).unwrap().unwrap();
    assert_eq!(status, OverallStatus::Cancelled);
}

/// A wait once looked at its deadline only when there was no news. Under a worker that reports without
/// a pause there always is: here, one more report for each time that the wait reads.
#[test]
fn a_wait_ends_at_its_timeout_under_a_worker_that_never_pauses() {
    let pair = pair(SOON);
    let id = pair.begin();
    let (tracker, done) = (pair.tracker.clone(), AtomicUsize::new(0));
    pair.store.script(move |call, store| {
        if call == Call::Read {
            let done = done.fetch_add(1, Ordering::SeqCst);
            let progress = Progress::unbounded(done as u64);
            send(&tracker, id, &[Change::progress(1, progress)]);
            assert!(
                store.calls(Call::Read) < 10_000_000,
                "the wait does not end"
            );
        }
        Ok(())
    });
    let tracker = pair.tracker.clone();
    let waited = beside(move || tracker.wait(id, Duration::from_millis(50)).map(drop));
    let error = waited.recv_timeout(BOUND).expect("it ends").unwrap_err();
    assert!(matches!(error, TrackError::Timeout), "{error}");
    pair.store.script(|_, _| Ok(()));
}

fn busy() -> StoreError {
    StoreError::new(StoreErrorKind::Busy, "somebody writes")
}

/// Fails the first `times` of these calls from now on.
fn fails(store: &MapStore, failing: Call, times: usize, error: StoreError) {
    let left = AtomicUsize::new(times);
    store.script(move |call, _| {
        let fails = call == failing
            && left
                .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| {
                    left.checked_sub(1)
                })
                .is_ok();
        if fails { Err(error.clone()) } else { Ok(()) }
    });
}

#[test]
fn trouble_that_may_pass_is_shown_and_watching_goes_on() {
    for failing in [Call::Versions, Call::Read] {
        let pair = pair(SOON);
        let id = pair.begin();
        let mut watch = pair.tracker.watch(id).unwrap();
        shown(&mut watch);
        // For as long as it takes until it is shown: what comes after it would be shown in its stead.
        fails(&pair.store, failing, usize::MAX, busy());
        send(&pair.other, id, &[Change::start(1)]);
        let trouble = watch.next().unwrap().unwrap_err();
        assert!(trouble.is_retryable(), "{trouble}");
        pair.store.script(|_, _| Ok(()));
        let now = watch.by_ref().find_map(Result::ok).unwrap();
        assert_eq!(now.revision(), 2, "{failing:?}");
    }
}

#[test]
fn trouble_that_stays_ends_the_watch() {
    for failing in [Call::Versions, Call::Read] {
        let pair = pair(SOON);
        let id = pair.begin();
        let mut watch = pair.tracker.watch(id).unwrap();
        shown(&mut watch);
        fails(
            &pair.store,
            failing,
            usize::MAX,
            StoreError::new(StoreErrorKind::Corrupt, "torn"),
        );
        send(&pair.other, id, &[Change::start(1)]);
        let trouble = watch.next().unwrap().unwrap_err();
        assert!(
            matches!(&trouble, TrackError::Store(error) if error.kind() == StoreErrorKind::Corrupt)
        );
        assert!(watch.next().is_none());
    }
}

#[test]
fn a_store_that_panics_while_it_is_polled_leaves_nobody_waiting() {
    let pair = pair(SOON);
    let id = pair.begin();
    let mut watch = pair.tracker.watch(id).unwrap();
    shown(&mut watch);
    let first = AtomicBool::new(true);
    pair.store.script(move |call, _| {
        assert!(
            call != Call::Versions || !first.swap(false, Ordering::SeqCst),
            "on purpose"
        );
        Ok(())
    });
    let trouble = watch.next().unwrap().unwrap_err();
    assert!(matches!(&trouble, TrackError::Store(error) if error.kind() == StoreErrorKind::Other));
    assert!(watch.next().is_none());
    // The poller lives on.
    let mut watch = pair.tracker.watch(id).unwrap();
    shown(&mut watch);
    send(&pair.other, id, &[Change::start(1)]);
    assert_eq!(shown(&mut watch).revision(), 2);
}

/// A wait once gave up when its very first read met a busy store, and answered a timeout with trouble
/// that had long passed. It waits trouble out, from beginning to end.
#[test]
fn a_wait_waits_trouble_out() {
    for failing in [Call::Read, Call::Versions] {
        let pair = pair(SOON);
        let id = pair.begin();
        fails(&pair.store, failing, 2, busy());
        let error = pair
            .tracker
            .wait(id, Duration::from_millis(300))
            .unwrap_err();
        assert!(matches!(error, TrackError::Timeout), "{failing:?}: {error}");

        fails(&pair.store, failing, 3, busy());
        let tracker = pair.tracker.clone();
        let waited = beside(move || tracker.wait(id, BOUND));
        send(&pair.other, id, &[Change::cancel("")]);
        let process = waited.recv_timeout(BOUND).unwrap().unwrap();
        assert_eq!(process.status(), OverallStatus::Cancelled);
    }
    let pair = pair(SOON);
    let id = pair.begin();
    fails(&pair.store, Call::Read, usize::MAX, busy());
    let error = pair
        .tracker
        .wait(id, Duration::from_millis(50))
        .unwrap_err();
    assert!(
        matches!(error, TrackError::Store(_)),
        "trouble to the end is said: {error}"
    );
}

#[test]
fn all_who_wait_share_one_query_and_one_poller() {
    let pair = pair(SOON);
    let ids = (0..20).map(|_| pair.begin()).collect::<Vec<_>>();
    let watch = |id: &RequestId| pair.tracker.watch(*id).unwrap();
    let watches = ids.iter().chain(&ids).map(watch).collect::<Vec<_>>();
    let ends = watches
        .into_iter()
        .map(|watch| beside(move || watch.last()))
        .collect::<Vec<_>>();
    while pair.store.polled().len() < 5 {
        std::thread::yield_now();
    }
    assert!(
        pair.store.polled().iter().all(|ids| *ids == 20),
        "{:?}",
        pair.store.polled()
    );
    for id in &ids {
        send(&pair.other, *id, &[Change::cancel("")]);
    }
    for end in ends {
        let last = end.recv_timeout(BOUND).unwrap().unwrap().unwrap();
        assert_eq!(last.status(), OverallStatus::Cancelled);
    }
}

/// A watch that had ended was once polled for as long as it was kept.
#[test]
fn nobody_polls_for_a_watch_that_has_ended() {
    let pair = pair(SOON);
    let (ended, going) = (pair.begin(), pair.begin());
    let mut kept = pair.tracker.watch(ended).unwrap();
    shown(&mut kept);
    send(&pair.tracker, ended, &[Change::cancel("")]);
    shown(&mut kept);
    let watch = pair.tracker.watch(going).unwrap();
    let end = beside(move || watch.last());
    while pair.store.polled().len() < 3 {
        std::thread::yield_now();
    }
    assert!(
        pair.store.polled().iter().all(|ids| *ids == 1),
        "{:?}",
        pair.store.polled()
    );
    assert!(kept.next().is_none());
    send(&pair.tracker, going, &[Change::cancel("")]);
    assert!(end.recv_timeout(BOUND).unwrap().unwrap().is_ok());
}

/// A shorter interval once took effect only after the pause that it was to shorten.
#[test]
fn a_new_poll_interval_holds_at_once_for_all_clones() {
    let pair = pair(NEVER);
    let id = pair.begin();
    // Somebody has waited, so that the poller runs and is in its pause.
    let waited = pair.tracker.wait(id, Duration::from_millis(50));
    assert!(matches!(waited, Err(TrackError::Timeout)));
    let mut watch = pair.tracker.watch(id).unwrap();
    shown(&mut watch);
    let end = beside(move || {
        watch
            .next()
            .map(|news| news.map(|process| process.revision()))
    });
    send(&pair.other, id, &[Change::start(1)]);
    let _ = pair.tracker.clone().poll_interval(SOON);
    let revision = end.recv_timeout(BOUND).unwrap().unwrap().unwrap();
    assert_eq!(revision, 2);
}

#[test]
fn dropping_the_last_handle_closes_the_store_before_the_drop_returns() {
    for round in 0..20 {
        let closed = Arc::new(AtomicBool::new(false));
        let tracker = Tracker::new(MapStore::closing(&closed)).poll_interval(SOON);
        let process = tracker.begin(NewProcess::new(&chain(1))).unwrap();
        let watch = tracker.watch(process.request_id()).unwrap();
        let timeout = Duration::from_millis(round % 4);
        assert!(tracker.wait(process.request_id(), timeout).is_err());
        let is_closed = || closed.load(Ordering::SeqCst);
        drop(tracker);
        assert!(!is_closed(), "a handle and a watch are left");
        if round % 2 == 0 {
            drop(process);
            assert!(!is_closed());
            drop(watch);
        } else {
            drop(watch);
            assert!(!is_closed());
            drop(process);
        }
        assert!(is_closed());
    }
}

/// The poller's own thread may be the one that lets the last tracker go, if a store keeps one: it must
/// not wait for itself.
#[test]
fn the_last_tracker_may_be_dropped_by_the_poller() {
    let store = Arc::new(MapStore::new());
    let tracker = Tracker::new(store.clone()).poll_interval(SOON);
    let id = tracker
        .begin(NewProcess::new(&chain(1)))
        .unwrap()
        .request_id();
    let (polls, is_polled) = mpsc::channel();
    let (go_on, may_go_on) = mpsc::channel::<Tracker>();
    let (told, is_told) = mpsc::channel();
    let may_go_on = Mutex::new(may_go_on);
    store.script(move |call, _| {
        if call == Call::Versions {
            polls.send(()).ok();
            let tracker = may_go_on.lock().expect("no panic").recv();
            drop(tracker.expect("the test hands it over"));
            told.send(()).ok();
        }
        Ok(())
    });
    // It polls while somebody waits, and may be late.
    loop {
        let error = tracker.wait(id, Duration::from_millis(20)).unwrap_err();
        assert!(matches!(error, TrackError::Timeout));
        if is_polled.try_recv().is_ok() {
            break;
        }
    }
    // Nobody is left but the poller, in the middle of a poll, and the tracker that it is handed.
    go_on.send(tracker).expect("it waits for it");
    is_told.recv_timeout(BOUND).expect("it let the tracker go");
}

#[test]
fn many_writers_and_watchers_lose_no_end() {
    let pair = pair(NEVER);
    let ids = (0..50).map(|_| pair.begin()).collect::<Vec<_>>();
    let ends = ids.iter().flat_map(|id| [*id, *id]).map(|id| {
        let tracker = pair.tracker.clone();
        beside(move || tracker.wait(id, BOUND * 2).map(|process| process.status()))
    });
    let ends = ends.collect::<Vec<_>>();
    let writers = ids.chunks(10).map(|ids| {
        let (tracker, ids) = (pair.tracker.clone(), ids.to_vec());
        beside(move || {
            for id in ids {
                send(&tracker, id, &[Change::complete(1)]);
                send(&tracker, id, &[Change::complete(2)]);
            }
        })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.recv_timeout(BOUND).unwrap();
    }
    for end in ends {
        assert_eq!(
            end.recv_timeout(BOUND).unwrap().unwrap(),
            OverallStatus::Complete
        );
    }
}

#[test]
fn a_batch_that_settles_many_wakes_all_of_them() {
    let pair = pair(NEVER);
    let ids = (0..10).map(|_| pair.begin()).collect::<Vec<_>>();
    let mut watches = ids
        .iter()
        .map(|id| pair.tracker.watch(*id).unwrap())
        .collect::<Vec<_>>();
    let cancels = ids
        .iter()
        .map(|id| Op::new(*id, noon(), Change::cancel("")));
    pair.tracker.apply(&cancels.collect::<Vec<_>>()).unwrap();
    for watch in &mut watches {
        shown(watch);
        assert_eq!(shown(watch).status(), OverallStatus::Cancelled);
    }
}
