//! A store that gives nothing back to the file system, and what it says where another has.

mod common;

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use common::{Place, begin, begin_many, erase, foreign_connection, wipe_until_done};
use milepost_core::{Tracker, Update, Wipe, WipeLevel};
use milepost_sqlite::{Durability, Mark, SqliteConfig, SqliteStore, verify_erased};

fn keeping(path: PathBuf) -> SqliteConfig {
    SqliteConfig {
        wipe_level: WipeLevel::Media,
        ..SqliteConfig::new(path)
    }
}

fn open(config: SqliteConfig) -> Tracker {
    Tracker::new(SqliteStore::open_with(config).expect("it opens"))
}

/// Wipes until it is not pending any more.
fn wiped(tracker: &Tracker) -> Wipe {
    let deadline = Instant::now() + Duration::from_mins(1);
    loop {
        match tracker.wipe_at(WipeLevel::Media).expect("a wipe answers") {
            wipe @ Wipe::Pending { .. } => assert!(Instant::now() < deadline, "{wipe:?}"),
            wipe => return wipe,
        }
    }
}

/// Done, or limited by the file system that the tests run on.
fn is_done(wipe: &Wipe) -> bool {
    match wipe {
        Wipe::Done => true,
        Wipe::Limited { remains } => remains.contains("the file system keeps"),
        _ => false,
    }
}

/// Asserts it of the files of a store that is closed.
fn nothing_is_left(place: &Place, marks: impl IntoIterator<Item = Mark>) {
    let marks = marks.into_iter().collect::<Vec<_>>();
    let traces = verify_erased(place.path(), &marks).expect("looked through");
    assert!(traces.is_clean(), "{traces}");
}

/// How many rows of zeros are in the file.
fn fillers(place: &Place) -> i64 {
    foreign_connection(&place.path())
        .query_row("SELECT count(*) FROM wipe_filler", [], |row| row.get(0))
        .expect("they are counted")
}

fn lengths(place: &Place) -> [u64; 2] {
    ["status.db", "status.db-wal"].map(|name| {
        fs::metadata(place.path().with_file_name(name))
            .expect("it is there")
            .len()
    })
}

#[test]
fn nothing_is_given_back_and_nothing_is_left() {
    for durability in [Durability::Full, Durability::Normal] {
        let place = Place::new();
        let config = SqliteConfig {
            durability,
            ..keeping(place.path())
        };
        let tracker = open(config.clone());
        let ids = (0..3_000)
            .map(|n| begin(&tracker, &format!("mark-{n:04}.pdf")).request_id())
            .collect::<Vec<_>>();
        let mut erased = ids.clone();
        erased.retain(|id| {
            ids.iter()
                .position(|other| other == id)
                .is_some_and(|at| at % 2 == 0)
        });
        let before = lengths(&place);
        erase(&tracker, &erased);
        let wipe = wiped(&tracker);
        assert!(is_done(&wipe), "{wipe:?}");
        assert_eq!(fillers(&place), 0);
        drop(tracker);
        let after = lengths(&place);
        assert!(
            before[0] <= after[0] && before[1] <= after[1],
            "{before:?} {after:?}"
        );
        let marks = ids
            .iter()
            .enumerate()
            .filter(|(n, _)| n % 2 == 0)
            .flat_map(|(n, id)| [Mark::id(*id), Mark::text(format!("mark-{n:04}.pdf"))]);
        nothing_is_left(&place, marks);
        // What stays is found by the file alone too.
        let alone = Place::new();
        fs::copy(place.path(), alone.path()).expect("a copy");
        for place in [&place, &alone] {
            let tracker = open(keeping(place.path()));
            assert!(tracker.get(ids[1]).is_ok());
            assert!(tracker.get(ids[0]).is_err());
        }
        let check: String = foreign_connection(&place.path())
            .query_row("PRAGMA integrity_check", [], |row| row.get(0))
            .expect("a check");
        assert_eq!(check, "ok");
    }
}

#[test]
fn once_the_store_is_closed_the_file_alone_is_whole() {
    for durability in [Durability::Full, Durability::Normal] {
        let place = Place::new();
        let tracker = open(SqliteConfig {
            durability,
            ..keeping(place.path())
        });
        let id = begin(&tracker, "kept.pdf").request_id();
        drop(tracker);
        let alone = Place::new();
        fs::copy(place.path(), alone.path()).expect("a copy");
        let tracker = open(keeping(alone.path()));
        assert_eq!(tracker.get(id).expect("it is there").request_id(), id);
    }
}

#[test]
fn an_erase_wipes_as_far_as_the_store_was_opened_to() {
    let place = Place::new();
    let tracker = open(keeping(place.path()));
    let id = begin(&tracker, "only-one.pdf").request_id();
    let before = lengths(&place);
    assert_eq!(tracker.erase(id).expect("an erase").wipe, Wipe::Done);
    assert!(lengths(&place)[1] >= before[1]);
    assert!(is_done(&wiped(&tracker)));
}

/// Of a wipe that was killed.
#[test]
fn rows_of_zeros_that_were_left_go_with_the_next_wipe() {
    let place = Place::new();
    let tracker = open(keeping(place.path()));
    let id = begin(&tracker, "erased.pdf").request_id();
    drop(tracker);
    foreign_connection(&place.path())
        .execute_batch(&"INSERT INTO wipe_filler (zeros) VALUES (zeroblob(50000));".repeat(3))
        .expect("they are written");
    let tracker = open(keeping(place.path()));
    assert_eq!(fillers(&place), 3);
    erase(&tracker, &[id]);
    assert!(is_done(&wiped(&tracker)));
    assert_eq!(fillers(&place), 0);
}

/// Each wipe once wrote a megabyte past the end of the WAL, which never became shorter: a small disk was full after forty
/// erasures. Found by the law that looks through a disk.
#[test]
fn neither_file_grows_with_the_number_of_wipes() {
    let place = Place::new();
    let tracker = open(keeping(place.path()));
    let mut after = Vec::new();
    for n in 0..60 {
        let id = begin(&tracker, &format!("mark-{n:04}.pdf")).request_id();
        tracker.erase(id).expect("an erase");
        assert!(is_done(&wiped(&tracker)));
        after.push(lengths(&place));
    }
    for (late, early) in after[59].iter().zip(after[20]) {
        assert!(*late <= early + 256 * 1024, "{after:?}");
    }
}

#[test]
fn where_a_store_has_given_something_back_a_wipe_of_the_medium_is_limited() {
    let place = Place::new();
    drop(open(SqliteConfig::new(place.path())));
    let remains = |tracker: &Tracker| match wiped(tracker) {
        Wipe::Limited { remains } => remains,
        wipe => panic!("{wipe:?}"),
    };
    assert!(remains(&open(keeping(place.path()))).contains("wipe_level"));

    let place = Place::new();
    assert!(is_done(&wiped(&open(keeping(place.path())))));
    let otherwise = open(SqliteConfig::new(place.path()));
    assert!(remains(&otherwise).contains("wipe_level"));
    drop(otherwise);
    assert!(remains(&open(keeping(place.path()))).contains("wipe_level"));
}

/// `auto_vacuum = FULL` has each commit give its free pages back. Another program may set it at any time.
#[test]
fn where_another_program_has_commits_give_blocks_back_a_wipe_of_the_medium_is_limited() {
    let mode = |place: &Place, pragma: &str| {
        let other = foreign_connection(&place.path());
        other.execute_batch(pragma).expect("it is set");
        let mode = other.query_row("PRAGMA auto_vacuum", [], |row| row.get::<_, i64>(0));
        mode.expect("it is known")
    };
    for is_open in [true, false] {
        let place = Place::new();
        let mut tracker = open(keeping(place.path()));
        let id = begin(&tracker, "a.txt").request_id();
        if is_open {
            assert_eq!(mode(&place, "PRAGMA auto_vacuum = FULL"), 1);
        } else {
            drop(tracker);
            assert_eq!(mode(&place, "PRAGMA auto_vacuum = FULL"), 1);
            tracker = open(keeping(place.path()));
        }
        erase(&tracker, &[id]);
        let limited = wiped(&tracker);
        assert!(
            matches!(&limited, Wipe::Limited { remains } if remains.contains("gave back")),
            "{limited:?}"
        );
        drop(tracker);
        assert_eq!(mode(&place, ""), 2, "no commit gives back any more");
    }
}

/// How many pages were written one by one.
fn turns(place: &Place) -> i64 {
    foreign_connection(&place.path())
        .query_row("SELECT turns FROM wipe_media", [], |row| row.get(0))
        .expect("they are counted")
}

/// Rows of zeros take most of it: a page at a time would be a commit each.
#[test]
fn a_long_wal_is_overwritten_in_few_steps_and_to_its_end() {
    let place = Place::new();
    let tracker = open(keeping(place.path()));
    let mut ids = begin_many(&tracker, 3_000);
    // The first wipes move much; then the WAL is as long as it will be.
    for round in 0..6 {
        let id = ids.swap_remove(1_000);
        erase(&tracker, &[id]);
        let (before, turned) = (lengths(&place), turns(&place));
        assert!(is_done(&wiped(&tracker)));
        assert_eq!(fillers(&place), 0);
        let turned = turns(&place) - turned;
        assert!(turned <= 16, "{turned} commits of a page");
        if round > 2 {
            assert_eq!(lengths(&place), before, "it has grown");
        }
    }
}

#[test]
fn a_reader_makes_it_pending_and_what_was_broken_off_is_taken_up() {
    let place = Place::new();
    let config = SqliteConfig {
        wipe_budget: Duration::ZERO,
        ..keeping(place.path())
    };
    let tracker = open(config.clone());
    let ids = (0..1_000).map(|n| begin(&tracker, &format!("mark-{n:04}.pdf")).request_id());
    let ids = ids.collect::<Vec<_>>();
    let reader = foreign_connection(&place.path());
    reader
        .execute_batch("BEGIN; SELECT count(*) FROM process_overview;")
        .expect("a snapshot");
    erase(&tracker, &ids[..500]);
    for _ in 0..100 {
        let wipe = tracker.wipe().expect("it answers");
        assert!(matches!(wipe, Wipe::Pending { .. }), "{wipe:?}");
    }
    reader.execute_batch("COMMIT").expect("it ends");
    drop(tracker);
    let tracker = open(config);
    assert!(is_done(&wiped(&tracker)));
    drop((tracker, reader));
    nothing_is_left(&place, ids[..500].iter().map(|id| Mark::id(*id)));
}

#[test]
fn stores_that_wipe_at_once_get_done_and_leave_nothing() {
    let place = Place::new();
    let stores = [(); 3].map(|()| open(keeping(place.path())));
    let mut gone = Vec::new();
    for round in 0..5 {
        let ids = (0..60)
            .map(|n| begin(&stores[n % 3], &format!("mark-{round}-{n:04}.pdf")).request_id());
        let ids = ids.collect::<Vec<_>>();
        std::thread::scope(|scope| {
            for (tracker, ids) in stores.iter().zip(ids[..30].chunks(10)) {
                scope.spawn(move || {
                    erase(tracker, ids);
                    let wipe = wiped(tracker);
                    assert!(is_done(&wipe), "{wipe:?}");
                });
            }
        });
        gone.extend(ids[..30].iter().map(|id| Mark::id(*id)));
    }
    drop(stores);
    nothing_is_left(&place, gone);
}

#[test]
fn memory_that_was_freed_limits_a_wipe_of_the_medium() {
    let tracker = Tracker::new(SqliteStore::in_memory().expect("it opens"));
    let id = begin(&tracker, "a.txt").request_id();
    assert_eq!(tracker.erase(id).expect("an erase").wipe, Wipe::Done);
    let Wipe::Limited { remains } = wiped(&tracker) else {
        panic!("memory is no medium")
    };
    assert!(remains.contains("memory"), "{remains}");
}

#[test]
fn one_reader_is_enough() {
    let place = Place::new();
    let tracker = open(SqliteConfig {
        readers: 1,
        busy_timeout: Duration::from_secs(2),
        ..keeping(place.path())
    });
    let ids = (0..1_000).map(|n| begin(&tracker, &format!("{n}.pdf")).request_id());
    erase(&tracker, &ids.collect::<Vec<_>>());
    assert!(is_done(&wiped(&tracker)));
}

/// Wipes that carried the WAL over until nobody had written beside it came to no end, now and then.
#[test]
fn it_comes_to_an_end_while_others_write_and_read() {
    for durability in [Durability::Full, Durability::Normal] {
        let place = Place::new();
        let config = SqliteConfig {
            durability,
            ..keeping(place.path())
        };
        let tracker = open(config.clone());
        let ids = (0..500).map(|n| begin(&tracker, &format!("mark-{n:04}.pdf")).request_id());
        let ids = ids.collect::<Vec<_>>();
        let stop = AtomicBool::new(false);
        let goes_on = || !stop.load(Ordering::Relaxed);
        std::thread::scope(|scope| {
            let others = [
                scope.spawn(|| {
                    let other = open(config.clone());
                    while goes_on() {
                        begin(&other, "steady");
                    }
                }),
                scope.spawn(|| {
                    while goes_on() {
                        tracker.process_status(ids[499]).expect("it answers");
                    }
                }),
                scope.spawn(|| {
                    while goes_on() {
                        let reader = foreign_connection(&place.path());
                        reader
                            .execute_batch("BEGIN; SELECT * FROM wipe_progress;")
                            .expect("a snapshot");
                        std::thread::sleep(Duration::from_millis(50));
                        drop(reader);
                        std::thread::sleep(Duration::from_millis(10));
                    }
                }),
            ];
            for ids in ids[..250].chunks(125) {
                erase(&tracker, ids);
                let wipe = wiped(&tracker);
                assert!(is_done(&wipe), "{wipe:?}");
            }
            stop.store(true, Ordering::Relaxed);
            for other in others {
                other.join().expect("it ends");
            }
        });
        drop(tracker);
        nothing_is_left(&place, ids[..250].iter().map(|id| Mark::id(*id)));
    }
}

/// Whoever writes a long row anew frees pages with each commit: so the free pages were never all overwritten, and with
/// each try the file grew.
#[test]
fn it_comes_to_an_end_while_others_write_long_rows_anew() {
    for wipe_level in [WipeLevel::Files, WipeLevel::Media] {
        let place = Place::new();
        let config = SqliteConfig {
            wipe_level,
            ..SqliteConfig::new(place.path())
        };
        let tracker = open(config.clone());
        let ids = begin_many(&tracker, 200);
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let writer = scope.spawn(|| {
                let other = open(config.clone());
                let id = begin(&other, "long").request_id();
                for n in 0.. {
                    if stop.load(Ordering::Relaxed) {
                        return;
                    }
                    let long = "x".repeat(2_000 + n % 3 * 1_000);
                    let update = Update::new().file_description(&long);
                    let update = update.tags([("more", "y".repeat(n % 2 * 4_000))]);
                    other.update(id, update).expect("an update");
                }
            });
            let wipes = ids[..100].chunks(5).map(|ids| {
                erase(&tracker, ids);
                wipe_until_done(&tracker);
                lengths(&place)[0]
            });
            let after = wipes.collect::<Vec<_>>();
            stop.store(true, Ordering::Relaxed);
            writer.join().expect("no panic");
            // Now and then, where the WAL has become longer.
            let grown = after.windows(2).filter(|two| two[0] < two[1]).count();
            assert!(grown <= 10, "{after:?}");
        });
    }
}
