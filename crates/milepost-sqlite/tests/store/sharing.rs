//! Several who use one file: deadlines, readers beside writers, and people with a shell.

use std::time::{Duration, Instant};

use milepost_core::{
    Change, Failure, NewProcess, Op, Query, Rejection, StoreErrorKind, Tracker, Update, Wipe,
};
use milepost_sqlite::{SqliteConfig, SqliteStore};

use crate::common::{Place, begin, foreign_connection, pipeline, store_error_kind};

fn tracker_that_waits(place: &Place, busy_timeout: Duration) -> Tracker {
    let config = SqliteConfig {
        busy_timeout,
        ..SqliteConfig::new(place.path())
    };
    Tracker::new(SqliteStore::open_with(config).expect("it opens"))
}

#[test]
fn a_call_is_busy_at_its_deadline_and_not_before_and_works_once_the_lock_is_free() {
    let place = Place::new();
    let busy_timeout = Duration::from_millis(200);
    let tracker = tracker_that_waits(&place, busy_timeout);
    let module = begin(&tracker, "a.txt").module(1).expect("a module");
    let other = foreign_connection(&place.path());
    other
        .execute_batch("BEGIN IMMEDIATE")
        .expect("the write lock");

    let began = Instant::now();
    let error = module.start().expect_err("the lock is held");
    assert_eq!(store_error_kind(&error), StoreErrorKind::Busy);
    assert!(error.is_retryable());
    assert!(began.elapsed() >= busy_timeout);
    // Reading goes on meanwhile.
    assert_eq!(tracker.count(&Query::new()).expect("a count").ongoing, 1);

    other.execute_batch("COMMIT").expect("the lock is free");
    assert!(module.start().expect("it starts").changed);
}

/// A store remembers what it wrote last, and must never believe it once another has written.
#[test]
fn an_op_is_decided_on_what_another_store_has_written_since() {
    let place = Place::new();
    let open = || Tracker::new(SqliteStore::open(place.path()).expect("it opens"));
    let (one, other) = (open(), open());
    let id = begin(&one, "a.txt").request_id();
    let apply = |tracker: &Tracker, change: Change| {
        let op = tracker.op(id, change);
        tracker.apply(&[op]).expect("an answer").remove(0)
    };
    let changed = |tracker: &Tracker, change: Change| {
        let applied = apply(tracker, change).expect("it is applied");
        (applied.changed, applied.revision)
    };
    assert_eq!(changed(&one, Change::start(1)), (true, 2));
    assert_eq!(changed(&other, Change::complete(1)), (true, 3));
    // Remembered as running: it would complete again, and undo the other's revision.
    assert_eq!(changed(&one, Change::complete(1)), (false, 3));
    assert_eq!(changed(&one, Change::start(2)), (true, 4));
    // Beside the body: what only a column holds.
    let update = Update::new().expires_in(Duration::from_hours(1));
    assert_eq!(changed(&other, Change::update(update)), (true, 5));
    assert_eq!(changed(&one, Change::start(2)), (false, 5));
    let expiry = |tracker: &Tracker| tracker.get(id).expect("it is there").expires_at();
    assert!(expiry(&one).is_some());
    assert_eq!(changed(&one, Change::complete(2)), (true, 6));
    assert!(expiry(&other).is_some());
    // The row goes to the other table.
    let moved = begin(&other, "b.txt").request_id();
    other.erase(moved).expect("an erase");
    while other.wipe().expect("an answer") != Wipe::Done {}
    assert_eq!(changed(&one, Change::start(3)), (true, 7));
    // Gone, and begun anew by the same id: the row may be the same.
    other.erase(id).expect("an erase");
    assert_eq!(apply(&one, Change::complete(3)), Err(Rejection::NotFound));
    let anew = NewProcess::new(&pipeline()).request_id(id);
    other.begin(anew).expect("it begins");
    assert_eq!(changed(&one, Change::start(1)), (true, 2));
}

#[test]
fn waiting_for_the_connection_counts_towards_the_deadline() {
    let place = Place::new();
    let busy_timeout = Duration::from_secs(1);
    let tracker = tracker_that_waits(&place, busy_timeout);
    let modules = (0..4)
        .map(|n| {
            begin(&tracker, &format!("{n}.txt"))
                .module(1)
                .expect("a module")
        })
        .collect::<Vec<_>>();
    let other = foreign_connection(&place.path());
    other
        .execute_batch("BEGIN IMMEDIATE")
        .expect("the write lock");
    let began = Instant::now();
    std::thread::scope(|scope| {
        for module in &modules {
            scope.spawn(|| {
                let error = module.start().expect_err("the lock is held");
                assert_eq!(store_error_kind(&error), StoreErrorKind::Busy);
            });
        }
    });
    // One after the other they would take four times as long.
    assert!(began.elapsed() < 3 * busy_timeout, "{:?}", began.elapsed());
}

#[test]
fn a_deadline_further_off_than_any_clock_counts_is_none() {
    let place = Place::new();
    let tracker = tracker_that_waits(&place, Duration::MAX);
    begin(&tracker, "a.txt");
}

/// A store whose file was removed once acknowledged writes that nobody could find again, and answered
/// from whatever file had come to the path since. Now it refuses both until it is opened again.
#[test]
fn a_file_that_was_removed_or_replaced_while_open_is_neither_written_nor_read() {
    let place = Place::new();
    let tracker = Tracker::new(SqliteStore::open(place.path()).expect("it opens"));
    let id = begin(&tracker, "a.txt").request_id();
    let refused = |says: &str| {
        let new = NewProcess::new(&pipeline());
        for error in [
            tracker.begin(new).expect_err("nothing is acknowledged"),
            tracker.get(id).expect_err("nothing is read"),
            tracker.count(&Query::new()).expect_err("nothing is read"),
        ] {
            assert_eq!(store_error_kind(&error), StoreErrorKind::Unavailable);
            let source = std::error::Error::source(&error).expect("a cause");
            let source = source.source().unwrap_or(source);
            assert!(source.to_string().contains(says), "{source}");
        }
    };
    for suffix in ["", "-wal", "-shm"] {
        let path = format!("{}{suffix}", place.path().display());
        std::fs::remove_file(path).expect("it was there");
    }
    // Reads look at the path now and then.
    std::thread::sleep(Duration::from_millis(20));
    refused("removed");
    let again = Tracker::new(SqliteStore::open(place.path()).expect("a new one"));
    begin(&again, "b.txt");
    refused("replaced");
    drop(tracker);
    begin(&again, "c.txt");
    assert_eq!(again.count(&Query::new()).expect("a count").total(), 2);
}

#[test]
fn a_person_can_read_the_overview() {
    let place = Place::new();
    let clock = milepost_core::ManualClock::new("2026-05-18T09:30:00.25Z".parse().expect("a time"));
    let store = SqliteStore::open(place.path()).expect("it opens");
    let tracker = Tracker::with_clock(store, clock.clone());
    let new = NewProcess::new(&pipeline())
        .request_id(
            "f948a6ad-0343-e743-2b3f-0df6bc732a3a"
                .parse()
                .expect("an id"),
        )
        .file_id(
            "596bf30e-c13d-41df-8cc8-b7e26709a468"
                .parse()
                .expect("an id"),
        )
        .symbolic_directory_path("/in")
        .expires_in(Duration::from_hours(1));
    let process = tracker.begin(new).expect("it begins");
    process
        .module(1)
        .expect("a module")
        .skip("no pages")
        .expect("it is skipped");
    clock.advance(Duration::from_secs(1));
    process
        .module(2)
        .expect("a module")
        .fail(Failure::new("Bad", "input"))
        .expect("it fails");

    let row = foreign_connection(&place.path())
        .query_row("SELECT * FROM process_overview", [], |row| {
            (0..9)
                .map(|column| row.get::<_, String>(column))
                .collect::<Result<Vec<_>, _>>()
        })
        .expect("one row");
    assert_eq!(
        row,
        [
            "f948a6ad-0343-e743-2b3f-0df6bc732a3a",
            "invoice-ocr",
            "failed",
            "skipped, failed, pending",
            "596bf30e-c13d-41df-8cc8-b7e26709a468",
            "/in",
            "2026-05-18 09:30:00.250Z",
            "2026-05-18 09:30:01.250Z",
            "2026-05-18 10:30:00.250Z",
        ]
    );
}

#[test]
fn a_database_in_memory_serves_many_threads() {
    let tracker = Tracker::new(SqliteStore::in_memory().expect("it opens"));
    std::thread::scope(|scope| {
        for n in 0..8 {
            let tracker = tracker.clone();
            scope.spawn(move || {
                let process = begin(&tracker, &format!("{n}.txt"));
                for module in process.modules() {
                    module.complete().expect("it completes");
                }
                assert!(
                    tracker
                        .get(process.request_id())
                        .expect("it is there")
                        .is_settled()
                );
            });
        }
    });
    assert_eq!(tracker.count(&Query::new()).expect("a count").complete, 8);
    assert_eq!(
        tracker
            .erase_matching(&Query::new())
            .expect("an erase")
            .processes,
        8
    );
}

/// An importer that keeps its ops sends a creation again behind an erasure: its mark and its first version come again. What
/// another store of the file remembers of the earlier process is not what is stored.
#[test]
fn nothing_is_decided_on_what_was_written_before_others_began_it_again() {
    let place = Place::new();
    let open = || SqliteStore::open(place.path()).expect("it opens");
    let (one, other) = (Tracker::new(open()), Tracker::new(open()));
    let apply = |tracker: &Tracker, ops: &[Op]| {
        let verdicts = tracker.apply(ops).expect("a batch");
        let changed = verdicts
            .into_iter()
            .map(|verdict| verdict.expect("lawful").changed);
        changed.collect::<Vec<_>>()
    };
    for (directory, earlier) in [("/b", 0), ("/a", 28), ("/b", 28)] {
        let create = one
            .prepare(NewProcess::new(&pipeline()))
            .expect("it is lawful");
        let id = create.id;
        let after = |seconds| create.at + Duration::from_secs(seconds);
        let moved = |directory: &str| {
            let update = Update::new().symbolic_directory_path(directory);
            Op::new(id, after(1), Change::update(update))
        };
        assert_eq!(apply(&one, &[create.clone(), moved("/a")]), [true; 2]);

        let mut again = create.clone();
        again.at -= Duration::from_secs(earlier);
        let erase = Op::new(id, after(1), Change::erase());
        let ops = [erase, again.clone(), moved(directory)];
        assert_eq!(apply(&other, &ops), [true; 3]);

        assert_eq!(apply(&one, &[moved("/a")]), [directory == "/b"]);
        let start = Op::new(id, after(2), Change::start(1));
        assert_eq!(apply(&one, std::slice::from_ref(&start)), [true]);
        let found = other.get(id).expect("it is there");
        assert_eq!(found.file().symbolic_directory_path(), "/a");
        let micros = [found.created_at(), found.updated_at()].map(|at| at.timestamp_micros());
        assert_eq!(micros, [again.at, start.at].map(|at| at.timestamp_micros()));
    }
}
