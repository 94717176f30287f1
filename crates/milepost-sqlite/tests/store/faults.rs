//! What is answered while the disk fails, and what stands in the file then.

use milepost_core::{NewProcess, RequestId, StoreErrorKind, TrackError, Tracker};
use milepost_faults::{Call, Error, Fault, Lasts};
use milepost_sqlite::{Durability, SqliteConfig, SqliteStore};

use crate::common::{
    Place, as_after_a_kill, begin, erase, faults_at, pipeline, store_error_kind, wipe_until_done,
};

/// What the file would hold of a process if everything were killed now.
fn status_after_a_crash(place: &Place, id: RequestId) -> Result<String, TrackError> {
    let copy = as_after_a_kill(place);
    let tracker = Tracker::new(SqliteStore::open(copy.path()).expect("it opens"));
    let process = tracker.get(id)?;
    Ok(format!("{:?}", process.modules()[0].state()))
}

/// The sync of a commit failed, so its outcome was unknown, and reads found nothing of it; but all of it stood in the
/// WAL. What was then answered without having anything to write, that a module has not started for instance, was no
/// longer true once the file was opened after a crash.
#[test]
fn what_is_answered_after_a_commit_that_failed_still_holds_after_a_crash() {
    for lasts in [Lasts::Once, Lasts::UntilDisarmed, Lasts::WithAllThatWrite] {
        let place = Place::new();
        let faults = faults_at(&place);
        let tracker = Tracker::new(SqliteStore::open(place.path()).expect("it opens"));
        let process = begin(&tracker, "a.pdf");
        let id = process.request_id();
        let module = process.module(1).expect("a module");
        // From now on a connection is open that keeps the WAL from being read anew.
        tracker.get(id).expect("it is there");
        faults.arm(Fault {
            call: Call::Sync,
            nth: 1,
            lasts,
            error: Error::Io,
        });
        let failed = module.start().expect_err("it is not synced");
        assert_eq!(store_error_kind(&failed), StoreErrorKind::OutcomeUnknown);
        faults.disarm();
        let found = tracker.get(id).expect("it is there");
        let answered = format!("{:?}", found.modules()[0].state());
        let retried = module.retry(milepost_core::Failure::new("Again", ""));
        assert!(
            matches!(retried, Err(TrackError::Rejected(_))),
            "it has not started: {retried:?}"
        );
        let crashed = status_after_a_crash(&place, id).expect("it is there");
        assert_eq!(crashed, answered, "{lasts:?}");
        module.start().expect("sent again");
        assert_ne!(
            status_after_a_crash(&place, id).expect("it is there"),
            answered
        );
    }
}

/// A file that cannot be made for want of room showed as one that cannot be reached.
#[test]
fn a_file_that_cannot_be_made_for_want_of_room_is_full() {
    for error in [Error::Full, Error::Quota, Error::Io] {
        let place = Place::new();
        let faults = faults_at(&place);
        faults.arm(Fault {
            call: Call::Open,
            nth: 1,
            lasts: Lasts::UntilDisarmed,
            error,
        });
        let expected = if error.is_space() {
            StoreErrorKind::Full
        } else {
            StoreErrorKind::Unavailable
        };
        let refused = SqliteStore::open(place.path()).expect_err("no file can be made");
        assert_eq!(refused.kind(), expected, "{error:?}: {refused:?}");
        faults.disarm();
        let tracker = Tracker::new(SqliteStore::open(place.path()).expect("it opens"));
        tracker
            .begin(NewProcess::new(&pipeline()))
            .expect("it begins");
    }
}

/// At `Full` each commit is synced; at `Normal` none is but the last of a wipe, after which that holds again.
#[test]
fn the_durability_that_is_asked_for_is_what_commits_are_synced_by() {
    let default = SqliteConfig::new("status.db").durability;
    assert_eq!(default, Durability::Full);
    for (durability, syncs) in [(Durability::Full, true), (Durability::Normal, false)] {
        let place = Place::new();
        let faults = faults_at(&place);
        let store = SqliteStore::open_with(SqliteConfig {
            durability,
            ..SqliteConfig::new(place.path())
        });
        let tracker = Tracker::new(store.expect("it opens"));
        let first = begin(&tracker, "a.txt").request_id();
        let synced = |work: &dyn Fn()| {
            faults.disarm();
            work();
            faults.counts().of(Call::Sync) > 0
        };
        let begins = || drop(begin(&tracker, "b.txt"));
        for _ in 0..3 {
            assert_eq!(synced(&begins), syncs, "{durability:?}");
        }
        assert!(synced(&|| drop(tracker.erase(first).expect("an erase"))));
        for _ in 0..3 {
            assert_eq!(synced(&begins), syncs, "{durability:?}, after a wipe");
        }
    }
}

/// How many writes it takes that so many call for a wipe at once, each with a store of its own.
fn writes_of_wipes(callers: usize) -> u64 {
    let place = Place::new();
    let faults = faults_at(&place);
    let tracker = || Tracker::new(SqliteStore::open(place.path()).expect("it opens"));
    let first = tracker();
    let ids = (0..3_000).map(|n| begin(&first, &format!("{n}.pdf")).request_id());
    erase(&first, &ids.step_by(2).collect::<Vec<_>>());
    let trackers = (0..callers).map(|_| tracker()).collect::<Vec<_>>();
    faults.disarm();
    std::thread::scope(|scope| {
        for tracker in &trackers {
            scope.spawn(|| wipe_until_done(tracker));
        }
    });
    faults.counts().of(Call::Write)
}

#[test]
fn wipes_at_the_same_time_share_their_work() {
    let (alone, together) = (writes_of_wipes(1), writes_of_wipes(6));
    assert!(
        together < 2 * alone,
        "one wipe writes {alone} times, six write {together} times"
    );
}
