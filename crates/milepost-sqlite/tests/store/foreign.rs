//! Wipes of files that other programs read and write too.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use milepost_core::{NewProcess, Query, Tracker, Wipe, WipeLevel};
use milepost_sqlite::{Durability, SqliteConfig, SqliteStore};

use crate::common::{
    Place, begin, begin_many, busy_process, erase, foreign_connection, found_in, marks,
    one_step_a_wipe, overlap, pipeline, wipe_until_done,
};

#[test]
fn what_analyze_has_copied_is_wiped_too() {
    let place = Place::new();
    let tracker = Tracker::new(SqliteStore::open(place.path()).expect("it opens"));
    let ids = (0..200)
        .map(|n| busy_process(&tracker, &format!("mark-{n:03}")))
        .collect::<Vec<_>>();
    foreign_connection(&place.path())
        .execute_batch("ANALYZE")
        .expect("statistics");
    assert_eq!(
        tracker
            .erase_matching(&Query::new())
            .expect("an erase")
            .processes,
        ids.len()
    );
    wipe_until_done(&tracker);
    for (n, id) in ids.into_iter().enumerate() {
        assert_eq!(
            found_in(&place, &marks(id, &format!("mark-{n:03}"))),
            Vec::<String>::new()
        );
    }
}

/// Somebody copies the processes with a shell and drops the copy, which leaves its pages free but full.
fn copied_and_dropped(place: &Place) {
    foreign_connection(&place.path())
        .execute_batch(
            "PRAGMA secure_delete = OFF;
             CREATE TABLE copy AS SELECT a.* FROM process_a a, (VALUES (1), (2), (3), (4), (5), (6), (7), (8));
             DROP TABLE copy;",
        )
        .expect("a copy");
}

/// A wipe whose budget had passed once cut the WAL off with free pages still in the file. What milepost
/// frees it overwrites, but these were another program's, and the names in them outlived `Done`.
#[test]
fn what_another_program_left_in_free_pages_is_gone_before_a_wipe_is_done() {
    let place = Place::new();
    let tracker = one_step_a_wipe(&place);
    let id = busy_process(&tracker, "mark-copied");
    begin_many(&tracker, 1000);
    copied_and_dropped(&place);
    tracker.erase(id).expect("an erase");
    wipe_until_done(&tracker);
    assert_eq!(
        found_in(&place, &marks(id, "mark-copied")),
        Vec::<String>::new()
    );
}

/// Where somebody had turned `auto_vacuum` off, a wipe once tried to give pages back until its budget had
/// passed, for ever with a large one, and then said `Done` over pages that it had no hold of.
#[test]
fn free_pages_that_the_file_keeps_make_a_wipe_limited_and_not_endless() {
    let place = Place::new();
    drop(SqliteStore::open(place.path()).expect("it is made"));
    foreign_connection(&place.path())
        .execute_batch("PRAGMA journal_mode = DELETE; PRAGMA auto_vacuum = NONE; VACUUM;")
        .expect("it is turned off");
    let config = SqliteConfig {
        wipe_budget: Duration::MAX,
        ..SqliteConfig::new(place.path())
    };
    let tracker = Tracker::new(SqliteStore::open_with(config).expect("it opens"));
    let id = busy_process(&tracker, "mark-kept");
    copied_and_dropped(&place);
    let erased = tracker.erase(id).expect("an erase");
    let Wipe::Limited { remains } = &erased.wipe else {
        panic!("{:?}", erased.wipe)
    };
    assert!(remains.contains("auto_vacuum"), "{remains}");
    drop(tracker);
    foreign_connection(&place.path())
        .execute_batch("PRAGMA auto_vacuum = INCREMENTAL; VACUUM;")
        .expect("it is turned on");
    let tracker = Tracker::new(SqliteStore::open(place.path()).expect("it opens again"));
    wipe_until_done(&tracker);
    assert_eq!(
        found_in(&place, &marks(id, "mark-kept")),
        Vec::<String>::new()
    );
}

/// A table that is made without zeroing what is freed takes over a page of ours as it is, and no wipe comes there: the
/// law of mutated files found an erased id in such a page.
#[test]
fn tables_of_another_program_make_a_wipe_limited_until_they_are_gone() {
    for wipe_level in [WipeLevel::Files, WipeLevel::Media] {
        let place = Place::new();
        let (tracker, theirs, marks) = erased_beside_their_tables(&place, wipe_level);
        for _ in 0..2 {
            assert_limited_by_others(&tracker);
        }
        assert!(!found_in(&place, &marks).is_empty(), "nothing was taken");
        theirs.each("DROP TABLE theirs");
        wipe_until_done(&tracker);
        let found = found_in(&place, &marks);
        assert_eq!(found, Vec::<String>::new(), "{wipe_level:?}");
    }
}

/// What they held becomes free, and was not overwritten with what was free before.
#[test]
fn tables_of_another_program_that_go_while_a_wipe_waits_leave_nothing() {
    let place = Place::new();
    let (tracker, theirs, marks) = erased_beside_their_tables(&place, WipeLevel::Media);
    let reader = foreign_connection(&place.path());
    reader
        .execute_batch("BEGIN; SELECT count(*) FROM wipe_progress")
        .expect("it reads");
    for _ in 0..3 {
        let wipe = tracker.wipe().expect("a wipe");
        assert!(matches!(wipe, Wipe::Pending { .. }), "{wipe:?}");
    }
    theirs.each("DROP TABLE theirs");
    reader.execute_batch("COMMIT").expect("it ends");
    wipe_until_done(&tracker);
    assert_eq!(found_in(&place, &marks), Vec::<String>::new());
}

/// SQLite puts the end of a long row into a page that is free as it is, and does not overwrite the rest: what another
/// program had left there was still there after `Done`.
#[test]
fn nothing_is_left_behind_the_ends_of_long_rows() {
    for wipe_level in [WipeLevel::Files, WipeLevel::Media] {
        for length in (3_400..4_090).step_by(40) {
            let place = Place::new();
            let tracker = open(&place, wipe_level);
            begin_long(&tracker, 5, length);
            let ids = (0..4).map(|n| busy_process(&tracker, &format!("mark-behind-{n}")));
            let ids = ids.collect::<Vec<_>>();
            let theirs = Theirs::new(&place);
            theirs
                .0
                .execute_batch(
                    "CREATE TABLE copy AS SELECT * FROM process_a WHERE length(body) < 2000;
                     DROP TABLE copy;",
                )
                .expect("a copy");
            erase(&tracker, &ids);
            wipe_until_done(&tracker);
            let marks = ids.iter().flat_map(|id| marks(*id, "mark-behind"));
            let found = found_in(&place, &marks.collect::<Vec<_>>());
            assert_eq!(found, Vec::<String>::new(), "{wipe_level:?}, {length}");
        }
    }
}

/// The same where their table has gone only after a wipe that it limited, and a long row came before the next.
#[test]
fn nothing_is_left_behind_the_end_of_a_long_row_that_came_after_their_tables() {
    for wipe_level in [WipeLevel::Files, WipeLevel::Media] {
        for rows in 7..=9 {
            let place = Place::new();
            let (tracker, theirs, marks) = erased_beside_their_tables(&place, wipe_level);
            assert_limited_by_others(&tracker);
            theirs.each("DROP TABLE theirs");
            begin_long(&tracker, rows, 3_960);
            wipe_until_done(&tracker);
            let found = found_in(&place, &marks);
            assert_eq!(found, Vec::<String>::new(), "{wipe_level:?}, {rows}");
        }
    }
}

fn open(place: &Place, wipe_level: WipeLevel) -> Tracker {
    let config = SqliteConfig {
        wipe_level,
        // It takes a tenth of the time, and is the same for wipes.
        durability: Durability::Normal,
        ..SqliteConfig::new(place.path())
    };
    Tracker::new(SqliteStore::open_with(config).expect("it opens"))
}

/// So many processes with a description of this length.
fn begin_long(tracker: &Tracker, rows: usize, length: usize) {
    for _ in 0..rows {
        let new = NewProcess::new(&pipeline()).file_description(&"x".repeat(length));
        tracker.begin(new).expect("it begins");
    }
}

/// Processes that were erased, and not wiped, after another program has made tables; and the marks of some of them.
fn erased_beside_their_tables(
    place: &Place,
    wipe_level: WipeLevel,
) -> (Tracker, Theirs, Vec<Vec<u8>>) {
    let tracker = open(place, wipe_level);
    let ids = (0..100).map(|n| busy_process(&tracker, &format!("mark-taken-{n}")));
    let ids = ids.collect::<Vec<_>>();
    let theirs = Theirs::new(place);
    theirs.each("CREATE TABLE theirs (x)");
    erase(&tracker, &ids);
    let some = ids.iter().step_by(5);
    let marks = some.flat_map(|id| marks(*id, "mark-taken"));
    (tracker, theirs, marks.collect())
}

/// The text of a view may be long, and take over a page, too.
#[test]
fn a_view_of_another_program_makes_a_wipe_limited_until_it_is_gone() {
    let place = Place::new();
    let tracker = open(&place, WipeLevel::Files);
    let id = begin(&tracker, "a.txt").request_id();
    let theirs = Theirs::new(&place);
    theirs.each("CREATE VIEW theirs AS SELECT 1");
    erase(&tracker, &[id]);
    for _ in 0..2 {
        assert_limited_by_others(&tracker);
    }
    theirs.each("DROP VIEW theirs");
    wipe_until_done(&tracker);
}

/// That of numbers that are never given again cannot be dropped; a VACUUM takes it away.
#[test]
fn a_table_that_sqlite_has_made_for_another_program_is_one_of_its_own() {
    let place = Place::new();
    let tracker = Tracker::new(SqliteStore::open(place.path()).expect("it opens"));
    let id = begin(&tracker, "a.txt").request_id();
    let theirs = Theirs::new(&place);
    theirs.each("CREATE TABLE theirs (x INTEGER PRIMARY KEY AUTOINCREMENT)");
    theirs.each("DROP TABLE theirs");
    erase(&tracker, &[id]);
    assert_limited_by_others(&tracker);
    theirs.0.execute_batch("VACUUM").expect("nobody reads");
    wipe_until_done(&tracker);
}

fn assert_limited_by_others(tracker: &Tracker) {
    let deadline = Instant::now() + Duration::from_mins(1);
    let remains = loop {
        match tracker.wipe().expect("a wipe answers") {
            Wipe::Limited { remains } => break remains,
            wipe @ Wipe::Pending { .. } if Instant::now() < deadline => drop(wipe),
            wipe => panic!("{wipe:?}"),
        }
    };
    assert!(remains.contains("of its own"), "{remains}");
}

/// Another program, which does not zero what it frees, and has eight tables.
struct Theirs(rusqlite::Connection);

impl Theirs {
    fn new(place: &Place) -> Self {
        let foreign = foreign_connection(&place.path());
        foreign
            .execute_batch("PRAGMA secure_delete = OFF")
            .expect("it is off");
        Theirs(foreign)
    }

    /// With the number of each of them.
    fn each(&self, change: &str) {
        for number in 0..8 {
            let change = change.replace("theirs", &format!("theirs_{number}"));
            self.0.execute_batch(&change).expect("it is done");
        }
    }
}

/// There is always somebody who reads what is not in the file yet, until they pause.
#[test]
fn reads_that_overlap_while_others_write_make_a_wipe_pending_and_their_end_lets_it_be_done() {
    let place = Place::new();
    let tracker = Tracker::new(SqliteStore::open(place.path()).expect("it opens"));
    let over = AtomicBool::new(false);
    let mut wipes = Vec::new();
    std::thread::scope(|scope| {
        let readers = scope.spawn(|| overlap(&place.path(), Duration::from_millis(200), &over));
        let writer = scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                begin(&tracker, "b.txt");
            }
        });
        // The first of them may not have begun when the first wipe ends.
        for _ in 0..5 {
            erase(&tracker, &[begin(&tracker, "a.txt").request_id()]);
            wipes.push(tracker.wipe().expect("a wipe"));
        }
        over.store(true, Ordering::Relaxed);
        let read = readers.join().expect("no panic");
        read.expect("they read to the end");
        writer.join().expect("no panic");
    });
    let is_pending = |wipe: &Wipe| matches!(wipe, Wipe::Pending { .. });
    assert!(wipes.iter().any(is_pending), "{wipes:?}");
    wipe_until_done(&tracker);
}

/// Once such a wipe was `Busy`.
#[test]
fn whoever_holds_on_to_the_file_makes_a_wipe_pending() {
    for wipe_level in [WipeLevel::Files, WipeLevel::Media] {
        let place = Place::new();
        let config = SqliteConfig {
            busy_timeout: Duration::from_millis(50),
            wipe_level,
            ..SqliteConfig::new(place.path())
        };
        let first = Tracker::new(SqliteStore::open_with(config.clone()).expect("it opens"));
        let id = begin(&first, "a.txt").request_id();
        // Beside a WAL: perhaps of one that was killed.
        let tracker = Tracker::new(SqliteStore::open_with(config).expect("it opens"));
        erase(&first, &[id]);
        let foreign = foreign_connection(&place.path());
        foreign
            .execute_batch("BEGIN IMMEDIATE")
            .expect("it is held");
        for tracker in [&first, &tracker] {
            let wipe = tracker.wipe().expect("a wipe");
            assert!(matches!(wipe, Wipe::Pending { .. }), "{wipe:?}");
        }
        foreign.execute_batch("COMMIT").expect("it is let go");
        wipe_until_done(&tracker);
    }
}
