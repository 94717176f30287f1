//! What was written and not acknowledged, by a commit that failed or an OS process that was killed: nothing is answered
//! about it before it is synced, and nothing is left of it after a wipe.

use std::process::Command;
use std::time::Duration;

use milepost_core::{
    Change, NewProcess, RequestId, StoreErrorKind, TrackError, Tracker, Wipe, WipeLevel,
};
use milepost_faults::{Call, Error, Fault, Faults, Lasts};
use milepost_sqlite::{Durability, SqliteConfig, SqliteStore};

use crate::common::{
    Place, as_after_a_kill, begin, begin_many, erase, faults_at, foreign_connection, found_in,
    marks, one_step_a_wipe, pipeline, wipe_until_done,
};

fn open(place: &Place) -> Tracker {
    Tracker::new(SqliteStore::open(place.path()).expect("it opens"))
}

/// How many syncs it takes.
fn syncs(faults: &Faults, work: impl FnOnce()) -> u64 {
    faults.disarm();
    work();
    faults.counts().of(Call::Sync)
}

#[test]
fn what_an_os_process_that_was_killed_has_written_is_synced_before_it_is_confirmed() {
    let place = Place::new();
    let killed = open(&place);
    let id = begin(&killed, "a.pdf").request_id();
    let start = |tracker: &Tracker| {
        let process = tracker.process(id).expect("it is there");
        process.module(1).and_then(|module| module.start())
    };
    assert!(start(&killed).expect("it starts").changed);
    let place = as_after_a_kill(&place);
    let faults = faults_at(&place);
    let tracker = open(&place);
    let again = || assert!(!start(&tracker).expect("it has started").changed);
    assert!(
        syncs(&faults, again) > 0,
        "it may be gone after a power cut"
    );
    assert_eq!(syncs(&faults, again), 0, "it is known to be synced");
}

#[test]
fn a_wipe_that_was_done_by_an_os_process_that_was_killed_is_synced_before_it_is_done() {
    for durability in [Durability::Full, Durability::Normal] {
        let place = Place::new();
        let killed = open(&place);
        let id = begin(&killed, "a.pdf").request_id();
        assert_eq!(killed.erase(id).expect("an erase").wipe, Wipe::Done);
        let place = as_after_a_kill(&place);
        let faults = faults_at(&place);
        let store = SqliteStore::open_with(SqliteConfig {
            durability,
            ..SqliteConfig::new(place.path())
        });
        let tracker = Tracker::new(store.expect("it opens"));
        // At `Normal` this is not synced.
        begin(&tracker, "b.pdf");
        let wipe = || wipe_until_done(&tracker);
        assert!(syncs(&faults, wipe) > 0, "{durability:?}");
        assert_eq!(syncs(&faults, wipe), 0, "{durability:?}");
    }
}

/// `erase` found nobody, and its wipe nothing to do.
#[test]
fn nothing_is_left_of_who_was_erased_after_a_begin_whose_outcome_was_unknown() {
    for lasts in [Lasts::Once, Lasts::UntilDisarmed, Lasts::WithAllThatWrite] {
        let place = Place::new();
        let faults = faults_at(&place);
        let tracker = open(&place);
        let other = begin(&tracker, "other.pdf").request_id();
        // From now on a connection is open that keeps the WAL where it is.
        tracker.get(other).expect("it is there");
        faults.arm(Fault {
            call: Call::Sync,
            nth: 1,
            lasts,
            error: Error::Io,
        });
        let id = RequestId::from(uuid::Uuid::from_u128(0x1234_5678_9abc_def0));
        let new = NewProcess::new(&pipeline()).request_id(id);
        let failed = tracker.begin(new.file_name("mark-unknown"));
        let is_unknown = matches!(&failed, Err(TrackError::Store(error))
            if error.kind() == StoreErrorKind::OutcomeUnknown);
        assert!(is_unknown, "{failed:?}");
        let marks = marks(id, "mark-unknown");
        assert!(!found_in(&place, &marks).is_empty(), "it was not written");
        faults.disarm();
        let erased = tracker.erase(id).expect("an erase");
        assert_eq!((erased.processes, erased.wipe), (0, Wipe::Done));
        assert_eq!(found_in(&place, &marks), Vec::<String>::new(), "{lasts:?}");
    }
}

/// SQLite puts what does not fit into its cache into the WAL, though it may be rolled back: and whoever erases by file or
/// by a query finds nobody.
#[test]
fn nothing_is_left_of_a_large_batch_that_failed() {
    let place = Place::new();
    let faults = faults_at(&place);
    let tracker = open(&place);
    let other = begin(&tracker, "other.pdf").request_id();
    // From now on a connection is open that keeps the WAL where it is.
    tracker.get(other).expect("it is there");
    let batch = (0..3_000).map(|n| {
        let new = NewProcess::new(&pipeline()).file_name(&format!("mark-spilled-{n}"));
        let new = new.file_description(&"x".repeat(2_000));
        tracker.prepare(new).expect("it is lawful")
    });
    let batch = batch.collect::<Vec<_>>();
    faults.arm(Fault {
        call: Call::Write,
        nth: 1_000,
        lasts: Lasts::Once,
        error: Error::Full,
    });
    let failed = tracker.apply(&batch);
    let is_full = matches!(&failed, Err(TrackError::Store(error))
        if error.kind() == StoreErrorKind::Full);
    assert!(is_full, "{failed:?}");
    faults.disarm();
    let marks = [b"mark-spilled".to_vec()];
    assert!(!found_in(&place, &marks).is_empty(), "it was not written");
    let file = milepost_core::FileId::from(uuid::Uuid::from_u128(5));
    let erased = tracker.erase_file(file).expect("an erase");
    assert_eq!((erased.processes, erased.wipe), (0, Wipe::Done));
    assert_eq!(found_in(&place, &marks), Vec::<String>::new());
}

/// Whoever knows no id erases by file, or by a query: a store that comes upon a WAL has it wiped once.
#[test]
fn nothing_is_left_by_an_os_process_that_was_killed_once_the_next_has_wiped() {
    let place = Place::new();
    let killed = open(&place);
    begin(&killed, "a.pdf");
    let place = as_after_a_kill(&place);
    let mark = append_to_wal(&place);
    let tracker = open(&place);
    let file = milepost_core::FileId::from(uuid::Uuid::from_u128(5));
    let erased = tracker.erase_file(file).expect("an erase");
    assert_eq!((erased.processes, erased.wipe), (0, Wipe::Done));
    assert_eq!(found_in(&place, &[mark]), Vec::<String>::new());
}

/// Who is begun in the same batch is there when it ends.
#[test]
fn nothing_is_left_of_an_earlier_begin_if_the_same_batch_begins_anew() {
    let place = Place::new();
    let tracker = open(&place);
    let new = NewProcess::new(&pipeline());
    let create = tracker.prepare(new).expect("it is lawful");
    let erase = tracker.op(create.id, Change::erase());
    for batch in [
        [erase.clone(), create.clone()],
        [create.clone(), erase.clone()],
    ] {
        let mark = append_to_wal(&place);
        tracker.apply(&batch).expect("a batch");
        wipe_until_done(&tracker);
        assert_eq!(found_in(&place, &[mark]), Vec::<String>::new());
        tracker.erase(create.id).expect("an erase");
        wipe_until_done(&tracker);
    }
}

/// Adds to the WAL what nothing refers to. By another OS process: closing the file in this one would drop SQLite's locks.
fn append_to_wal(place: &Place) -> Vec<u8> {
    let mark = "mark-of-a-killed-one";
    // Far behind what the test itself writes.
    let append = format!(
        "(head -c 1000000 /dev/zero; printf {mark}) >> {}-wal",
        place.path().display()
    );
    let status = Command::new("sh").args(["-c", &append]).status();
    assert!(status.expect("it runs").success());
    let mark = mark.as_bytes().to_vec();
    assert!(!found_in(place, std::slice::from_ref(&mark)).is_empty());
    mark
}

/// Another OS process was killed while it began somebody: this one knows nothing of it.
#[test]
fn nothing_is_left_of_who_was_erased_and_never_got_further_than_the_wal() {
    let place = Place::new();
    let tracker = open(&place);
    let other = begin(&tracker, "other.pdf").request_id();
    wipe_until_done(&tracker);
    let mark = append_to_wal(&place);
    let erased = tracker.erase(RequestId::from(uuid::Uuid::from_u128(5)));
    let erased = erased.expect("an erase");
    assert_eq!((erased.processes, erased.wipe), (0, Wipe::Done));
    assert_eq!(found_in(&place, &[mark]), Vec::<String>::new());
    tracker.get(other).expect("it stays");
}

/// What strayed is counted beside what was erased, and must not be taken for it.
#[test]
fn what_was_erased_before_is_compacted_all_the_same() {
    let place = Place::new();
    let tracker = one_step_a_wipe(&place);
    let ids = begin_many(&tracker, 500);
    let stray = || {
        let missing = RequestId::from(uuid::Uuid::from_u128(5));
        tracker.erase(missing).expect("an erase").wipe
    };
    erase(&tracker, &ids[..100]);
    // A move begins, and others are erased while it is under way.
    assert!(matches!(stray(), Wipe::Pending { .. }));
    erase(&tracker, &ids[100..200]);
    assert!(matches!(stray(), Wipe::Pending { .. }));
    wipe_until_done(&tracker);
    let marks = ids[..200].iter().flat_map(|id| marks(*id, "mark-none"));
    assert_eq!(
        found_in(&place, &marks.collect::<Vec<_>>()),
        Vec::<String>::new()
    );
}

/// A wipe commits its steps at levels of its own. One that failed must not leave the writer at another than the store's.
#[test]
fn a_wipe_that_failed_has_commits_synced_as_before() {
    for (durability, wipe_level) in [
        (Durability::Full, WipeLevel::Media),
        (Durability::Normal, WipeLevel::Files),
    ] {
        let place = Place::new();
        let faults = faults_at(&place);
        let store = SqliteStore::open_with(SqliteConfig {
            durability,
            wipe_level,
            ..SqliteConfig::new(place.path())
        });
        let tracker = Tracker::new(store.expect("it opens"));
        let ids = begin_many(&tracker, 100);
        let erase_one = |id: &RequestId| tracker.erase(*id).map(|erased| erased.wipe);
        // The first one has more to write than those to come.
        for id in &ids[..3] {
            faults.disarm();
            assert_eq!(erase_one(id).expect("an erase"), Wipe::Done);
        }
        let writes = faults.counts().of(Call::Write);
        let mut failed = 0;
        for (share, id) in (1..=60).zip(&ids[3..]) {
            faults.arm(Fault {
                call: Call::Write,
                nth: writes * share / 60,
                lasts: Lasts::Once,
                error: Error::Io,
            });
            failed += u32::from(erase_one(id).ok() != Some(Wipe::Done));
            faults.disarm();
            // Those are perhaps synced because of what failed, or of a checkpoint.
            begin_many(&tracker, 4);
            let is_synced = syncs(&faults, || drop(begin(&tracker, "last.pdf"))) > 0;
            assert_eq!(is_synced, durability == Durability::Full, "after {share}");
        }
        assert!(failed > 10, "{failed} wipes failed");
        wipe_until_done(&tracker);
    }
}

#[test]
fn a_wipe_that_finds_others_writing_keeps_its_connection() {
    let place = Place::new();
    let killed = open(&place);
    begin(&killed, "a.pdf");
    let place = as_after_a_kill(&place);
    let faults = faults_at(&place);
    let store = SqliteStore::open_with(SqliteConfig {
        busy_timeout: Duration::from_millis(20),
        ..SqliteConfig::new(place.path())
    });
    let tracker = Tracker::new(store.expect("it opens"));
    let others = foreign_connection(&place.path());
    others.execute_batch("BEGIN IMMEDIATE").expect("they write");
    let waits = tracker.wipe().expect("it says what it waits for");
    assert!(matches!(waits, Wipe::Pending { .. }), "{waits:?}");
    others.execute_batch("ROLLBACK").expect("they are done");
    faults.disarm();
    begin(&tracker, "b.pdf");
    assert_eq!(faults.counts().of(Call::Open), 0, "it was opened anew");
    wipe_until_done(&tracker);
}
