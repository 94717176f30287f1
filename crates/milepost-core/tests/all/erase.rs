//! Erasing: what is gone, what is wiped, and that it comes to an end beside those who write.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use milepost_core::{
    Change, FileId, ManualClock, NewProcess, Op, OverallStatus, Place, Progress, Query, RequestId,
    StoreError, StoreErrorKind, TrackError, Tracker, Wipe,
};
use uuid::Uuid;

use crate::common::store::{Call, MapStore};
use crate::common::{at, chain, noon};

fn file() -> FileId {
    FileId::from(Uuid::from_u128(7))
}

struct Scene {
    store: Arc<MapStore>,
    tracker: Tracker,
    clock: ManualClock,
}

fn scene() -> Scene {
    let (store, clock) = (Arc::new(MapStore::new()), ManualClock::new(noon()));
    let tracker = Tracker::with_clock(store.clone(), clock.clone());
    Scene {
        store,
        tracker,
        clock,
    }
}

impl Scene {
    fn begin(&self) -> RequestId {
        let new = NewProcess::new(&chain(1)).file_id(file());
        self.tracker.begin(new).expect("it begins").request_id()
    }

    /// Reports progress of a process behind the tracker's back, once before every call of this kind.
    fn busy_worker(&self, before: Call, id: RequestId, times: usize) {
        let (left, done) = (AtomicUsize::new(times), AtomicUsize::new(0));
        self.store.script(move |call, store| {
            let goes_on = call == before
                && left
                    .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| {
                        left.checked_sub(1)
                    })
                    .is_ok();
            if goes_on {
                let done = done.fetch_add(1, Ordering::SeqCst) as u64;
                let change = Change::progress(1, Progress::unbounded(done));
                store.raw(&Op::new(id, noon(), change)).ok();
            }
            Ok(())
        });
    }
}

#[test]
fn an_erasure_says_how_many_and_wipes_once() {
    let scene = scene();
    let id = scene.begin();
    let erased = scene.tracker.erase(id).unwrap();
    assert_eq!((erased.processes, erased.wipe), (1, Wipe::Done));
    assert_eq!(scene.store.calls(Call::Wipe), 1);
    let again = scene.tracker.erase(id).unwrap();
    assert_eq!((again.processes, again.wipe), (0, Wipe::Done));
    assert_eq!(
        scene.store.calls(Call::Wipe),
        2,
        "what was erased before is wiped all the same"
    );
}

#[test]
fn the_erasure_stands_whatever_becomes_of_the_wipe() {
    let scene = scene();
    let id = scene.begin();
    scene.store.script(|call, _| match call {
        Call::Wipe => Err(StoreError::new(
            StoreErrorKind::Busy,
            "a reader is in the way",
        )),
        _ => Ok(()),
    });
    let erased = scene.tracker.erase(id).unwrap();
    assert_eq!(erased.processes, 1);
    let reason = "the store is busy: try again: a reader is in the way".to_owned();
    assert_eq!(erased.wipe, Wipe::Pending { reason });
    assert!(scene.tracker.get(id).unwrap_err().is_not_found());
    assert!(scene.tracker.wipe().is_err());
}

#[test]
fn erase_file_erases_all_of_a_file_expired_or_not_and_nothing_else() {
    let scene = scene();
    let expiring = NewProcess::new(&chain(1))
        .file_id(file())
        .expires_in(Duration::from_secs(1));
    scene.tracker.begin(expiring).unwrap();
    for _ in 0..2_500 {
        scene.begin();
    }
    let other = scene.tracker.begin(NewProcess::new(&chain(1))).unwrap();
    scene.clock.advance(Duration::from_secs(2));
    let erased = scene.tracker.erase_file(file()).unwrap();
    assert_eq!((erased.processes, erased.wipe), (2_501, Wipe::Done));
    assert_eq!((scene.store.len(), scene.store.calls(Call::Wipe)), (1, 1));
    assert!(scene.tracker.get(other.request_id()).is_ok());
    assert_eq!(scene.tracker.erase_file(file()).unwrap().processes, 0);
}

#[test]
fn erase_matching_erases_what_matches_whatever_the_page() {
    let scene = scene();
    let ids = (0..30).map(|_| scene.begin()).collect::<Vec<_>>();
    for id in &ids[..20] {
        scene.tracker.cancel(*id, "").unwrap();
    }
    scene.store.examined.store(7, Ordering::SeqCst);
    let query = Query::new().status(OverallStatus::Cancelled).limit(0);
    assert_eq!(scene.tracker.erase_matching(&query).unwrap().processes, 20);
    let left = scene.tracker.get_many(&ids).unwrap();
    assert_eq!(left.iter().filter(|process| process.is_some()).count(), 10);
}

#[test]
fn a_query_with_a_cursor_is_invalid_for_calls_that_take_all() {
    let scene = scene();
    for _ in 0..2 {
        scene.begin();
    }
    let next = scene.tracker.list(&Query::new().limit(1)).unwrap().next;
    let query = Query::new().after(next.unwrap());
    for error in [
        scene.tracker.erase_matching(&query).err(),
        scene.tracker.count(&query).err(),
    ] {
        let invalid = milepost_core::Invalid::UnexpectedCursor;
        assert!(matches!(error, Some(TrackError::Invalid(found)) if found == invalid));
    }
    assert_eq!(scene.store.len(), 2);
}

/// A change between list and erase could take a process out of the query: each is erased only as it was
/// listed, and judged again.
#[test]
fn erase_matching_does_not_erase_what_matches_no_more() {
    let scene = scene();
    let id = scene.begin();
    let start = Op::new(id, noon(), Change::complete(1));
    scene.store.script(move |call, store| {
        if call == Call::Write {
            store.raw(&start).ok();
        }
        Ok(())
    });
    let query = Query::new().status(OverallStatus::Ongoing);
    assert_eq!(scene.tracker.erase_matching(&query).unwrap().processes, 0);
    assert_eq!(scene.store.len(), 1);
}

#[test]
fn erase_matching_comes_back_for_what_was_changed_meanwhile() {
    let scene = scene();
    let id = scene.begin();
    scene.busy_worker(Call::Write, id, 5);
    assert_eq!(
        scene
            .tracker
            .erase_matching(&Query::new())
            .unwrap()
            .processes,
        1
    );
    assert_eq!(scene.store.len(), 0);
}

/// Whoever began the process had a clock that ran ahead: it looked begun after the call, and was once
/// left standing when it changed between list and erase.
#[test]
fn erase_matching_comes_back_also_for_what_another_clock_began_later() {
    let scene = scene();
    scene.clock.set(at(3_600));
    let id = scene.begin();
    scene.clock.set(noon());
    scene.busy_worker(Call::Write, id, 5);
    assert_eq!(
        scene
            .tracker
            .erase_matching(&Query::new())
            .unwrap()
            .processes,
        1
    );
    assert_eq!(scene.store.len(), 0);
}

#[test]
fn erase_matching_gives_up_as_busy_if_others_never_stop() {
    let scene = scene();
    let id = scene.begin();
    scene.busy_worker(Call::Write, id, usize::MAX);
    let error = scene.tracker.erase_matching(&Query::new()).unwrap_err();
    assert!(error.is_retryable());
    assert!(matches!(&error, TrackError::Store(error) if error.kind() == StoreErrorKind::Busy));
    assert_eq!(scene.store.len(), 1);
}

/// A worker that reports faster than the store answers once kept its process from being erased by its
/// file. A process never changes its file, so that none of its changes matters here.
#[test]
fn erase_file_is_not_held_up_by_a_busy_worker() {
    let scene = scene();
    let id = scene.begin();
    scene.busy_worker(Call::Write, id, usize::MAX);
    assert_eq!(scene.tracker.erase_file(file()).unwrap().processes, 1);
    assert_eq!(scene.store.len(), 0);
    assert!(scene.store.calls(Call::List) <= 3);
}

#[test]
fn an_erasure_ends_beside_a_host_that_keeps_beginning() {
    let scene = scene();
    for _ in 0..10 {
        scene.begin();
    }
    let host = Tracker::with_clock(MapStore::new(), scene.clock.clone());
    let clock = scene.clock.clone();
    scene.store.script(move |call, store| {
        if call == Call::List {
            clock.advance(Duration::from_millis(1));
            let new = NewProcess::new(&chain(1)).file_id(file());
            store
                .raw(&host.prepare(new).expect("it is valid"))
                .expect("it begins");
        }
        Ok(())
    });
    let erased = scene.tracker.erase_file(file()).unwrap();
    assert!(erased.processes >= 10);
    assert!(
        scene.store.calls(Call::List) < 10,
        "{}",
        scene.store.calls(Call::List)
    );
}

#[test]
fn a_failing_store_ends_an_erasure_with_its_error() {
    let scene = scene();
    scene.begin();
    scene.store.script(|call, _| match call {
        Call::Write => Err(StoreError::new(StoreErrorKind::Full, "no space")),
        _ => Ok(()),
    });
    let error = scene.tracker.erase_file(file()).unwrap_err();
    assert!(matches!(&error, TrackError::Store(error) if error.kind() == StoreErrorKind::Full));
    assert_eq!(scene.store.len(), 1);
}

/// A record at the end of its counters can change no more, but it can be erased.
#[test]
fn a_process_that_is_exhausted_can_still_be_erased() {
    let scene = scene();
    let id = scene.begin();
    let mut json = serde_json::to_value(&*scene.tracker.get(id).unwrap()).unwrap();
    json["revision"] = u64::MAX.into();
    scene.store.put(serde_json::from_value(json).unwrap());
    let module = scene.tracker.process(id).unwrap().module(1).unwrap();
    let claimed = scene.tracker.claim(id, "anna", Duration::from_mins(1));
    for error in [module.start().unwrap_err(), claimed.unwrap_err()] {
        assert_eq!(
            error.to_string(),
            "the process has used up its revisions: begin a new one"
        );
    }
    assert_eq!(scene.tracker.erase_file(file()).unwrap().processes, 1);
    assert_eq!(scene.store.len(), 0);
}

#[test]
fn what_is_erased_is_in_no_answer_from_that_moment() {
    let scene = scene();
    let id = scene.begin();
    let place = Place::of(&scene.tracker.get(id).unwrap());
    assert_eq!(place.request_id, id);
    scene.tracker.erase(id).unwrap();
    assert!(scene.tracker.get(id).unwrap_err().is_not_found());
    assert_eq!(scene.tracker.get_many(&[id]).unwrap(), [None]);
    assert!(scene.tracker.list(&Query::new()).unwrap().items.is_empty());
    assert_eq!(scene.tracker.count(&Query::new()).unwrap().total(), 0);
    assert!(scene.tracker.watch(id).unwrap_err().is_not_found());
    let late = scene.tracker.op(id, Change::start(1));
    assert_eq!(
        scene.tracker.apply(&[late]).unwrap(),
        [Err(milepost_core::Rejection::NotFound)]
    );
    assert_eq!(scene.store.len(), 0);
}
