//! Files made by earlier schema versions: they are brought up to date, by whoever opens them first, and lose
//! nothing.
//!
//! `golden/schema-1.sqlite` was made by the last milepost of that version: processes in every state, and an
//! erasure that was not wiped. In `golden/schema-2.sqlite` one of them was claimed besides.

use std::time::Duration;

use milepost_core::{
    ManualClock, ModuleStateKind, OverallStatus, Progress, Query, RequestId, StoreErrorKind, Tag,
    Tracker,
};
use milepost_sqlite::{SqliteConfig, SqliteStore};

use crate::common::{Place, begin, foreign_connection, wipe_until_done};

const GOLDEN: [&[u8]; 2] = [
    include_bytes!("../golden/schema-1.sqlite"),
    include_bytes!("../golden/schema-2.sqlite"),
];

fn old_file(version: usize) -> Place {
    let place = Place::new();
    std::fs::write(place.path(), GOLDEN[version - 1]).expect("there is room for a file");
    place
}

/// A few minutes after the file was made.
fn clock() -> ManualClock {
    ManualClock::new("2026-05-18T12:10:00Z".parse().expect("a time"))
}

fn open(place: &Place) -> Tracker {
    let store = SqliteStore::open(place.path()).expect("an old file opens");
    Tracker::with_clock(store, clock())
}

fn id(n: u32) -> RequestId {
    let text = format!("00000000-0000-7000-8000-{n:012}");
    text.parse().expect("an id")
}

fn schema_version(place: &Place) -> i64 {
    foreign_connection(&place.path())
        .query_row("PRAGMA user_version", [], |row| row.get(0))
        .expect("a version")
}

/// Everything that the old file held, as it was.
#[track_caller]
fn assert_whole(tracker: &Tracker) {
    use OverallStatus::{Cancelled, Complete, Failed, Ongoing};
    let expected = [
        ("pending.pdf", Ongoing),
        ("running.pdf", Ongoing),
        ("complete.pdf", Complete),
        ("failed.pdf", Failed),
        ("cancelled.pdf", Cancelled),
        ("again.pdf", Ongoing),
        ("expiring.pdf", Ongoing),
        ("other.png", Ongoing),
    ];
    let page = tracker.list(&Query::new().oldest_first()).expect("a page");
    let found = page
        .items
        .iter()
        .map(|process| (process.file().name(), process.status()));
    assert_eq!(found.collect::<Vec<_>>(), expected);
    let counts = tracker.count(&Query::new()).expect("a count");
    let of_each = (
        counts.ongoing,
        counts.complete,
        counts.failed,
        counts.cancelled,
    );
    assert_eq!(of_each, (5, 1, 1, 1));
}

#[test]
fn an_old_file_is_upgraded_and_loses_nothing() {
    for version in [1, 2] {
        let place = old_file(version);
        assert_eq!(
            schema_version(&place),
            i64::try_from(version).expect("it is small")
        );
        let tracker = open(&place);
        assert_eq!(schema_version(&place), 3);
        assert_whole(&tracker);
        let running = tracker.get(id(2)).expect("it is there");
        let module = &running.modules()[1];
        assert_eq!(module.state().kind(), ModuleStateKind::Running);
        let progress = Progress::of(3, 10).unit("pages").message("page 3");
        assert_eq!(module.progress(), Some(&progress));
        assert_eq!(running.file().tags(), [Tag::new("customer", "ahab")]);
        let failed = tracker.get(id(4)).expect("it is there");
        assert_eq!(failed.modules()[0].attempts().len(), 1);
        assert_eq!(tracker.get(id(6)).expect("it is there").run(), 2);
    }
}

#[test]
fn what_an_old_file_held_can_be_claimed_and_found_once_it_stalls() {
    let place = old_file(1);
    let clock = clock();
    let store = SqliteStore::open(place.path()).expect("an old file opens");
    let tracker = Tracker::with_clock(store, clock.clone());
    let stalled = Query::new().stalled();
    assert_eq!(tracker.list(&stalled).expect("a page").items.len(), 0);
    tracker
        .claim(id(2), "worker 7", Duration::from_mins(1))
        .expect("it is claimed");
    clock.advance(Duration::from_mins(1));
    let page = tracker.list(&stalled).expect("a page");
    assert_eq!(page.items.len(), 1);
    assert_eq!(page.items[0].request_id(), id(2));
    assert_eq!(tracker.count(&Query::new()).expect("a count").stalled, 1);
}

#[test]
fn what_an_old_file_held_is_wiped_like_anything_else() {
    for version in [1, 2] {
        let place = old_file(version);
        let tracker = open(&place);
        wipe_until_done(&tracker);
        assert_whole(&tracker);
        tracker.erase(id(3)).expect("an erase");
        wipe_until_done(&tracker);
        for (path, content) in place.files() {
            let found = memchr::memmem::find(&content, b"complete.pdf");
            assert!(found.is_none(), "it is still in {}", path.display());
        }
        assert_eq!(tracker.count(&Query::new()).expect("a count").total(), 7);
    }
}

#[test]
fn an_upgraded_file_has_the_schema_of_a_new_one() {
    for version in [1, 2] {
        let schema = |place: &Place| {
            let connection = foreign_connection(&place.path());
            let check = connection
                .query_row("PRAGMA integrity_check", [], |row| row.get::<_, String>(0))
                .expect("a check");
            assert_eq!(check, "ok");
            let mut statement = connection
                .prepare("SELECT type, name, tbl_name, sql FROM sqlite_schema ORDER BY type, name")
                .expect("a statement");
            let rows = statement.query_map([], |row| {
                let text = |column| row.get::<_, Option<String>>(column);
                Ok([text(0)?, text(1)?, text(2)?, text(3)?])
            });
            rows.expect("a query")
                .collect::<Result<Vec<_>, _>>()
                .expect("rows")
        };
        let (old, new) = (old_file(version), Place::new());
        drop(open(&old));
        drop(open(&new));
        assert_eq!(schema(&old), schema(&new));
    }
}

#[test]
fn many_may_upgrade_a_file_at_once() {
    for version in [1, 2] {
        for _ in 0..10 {
            let place = old_file(version);
            std::thread::scope(|scope| {
                for n in 0..4 {
                    let path = place.path();
                    scope.spawn(move || {
                        let tracker = Tracker::new(SqliteStore::open(path).expect("it opens"));
                        begin(&tracker, &format!("{n}.txt"));
                    });
                }
            });
            let tracker = open(&place);
            assert_eq!(tracker.count(&Query::new()).expect("a count").total(), 12);
        }
    }
}

#[test]
fn an_upgrade_that_cannot_have_the_write_lock_is_busy_and_changes_nothing() {
    for version in [1, 2] {
        let place = old_file(version);
        let other = foreign_connection(&place.path());
        other
            .execute_batch("BEGIN IMMEDIATE")
            .expect("the write lock");
        let config = SqliteConfig {
            busy_timeout: Duration::from_millis(50),
            ..SqliteConfig::new(place.path())
        };
        let error = SqliteStore::open_with(config).expect_err("the lock is held");
        assert_eq!(error.kind(), StoreErrorKind::Busy);
        other.execute_batch("COMMIT").expect("the lock is free");
        drop(other);
        assert_eq!(
            schema_version(&place),
            i64::try_from(version).expect("it is small")
        );
        assert_whole(&open(&place));
    }
}

/// A wipe of version 1 was killed after it had begun to move rows.
#[test]
fn a_move_that_the_old_version_began_is_taken_up() {
    let place = old_file(1);
    foreign_connection(&place.path())
        .execute_batch("UPDATE wipe_progress SET current = 1 - current, compacting = erased")
        .expect("a move begins");
    let tracker = open(&place);
    begin(&tracker, "new.pdf");
    wipe_until_done(&tracker);
    let rows = foreign_connection(&place.path())
        .query_row(
            "SELECT (SELECT count(*) FROM process_a), (SELECT count(*) FROM process_b)",
            [],
            |row| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?)),
        )
        .expect("two counts");
    // And back again by the one that this version begins.
    assert_eq!(rows, (9, 0));
}

/// An OS process of version 1 that has the file open goes on with its own statements, which know no leases:
/// rows that it moved would no longer be found once they stall. So beginning to move is refused to it, and
/// beginning a process is not.
#[test]
fn who_still_has_the_old_version_open_can_move_no_rows() {
    let place = old_file(1);
    let old = foreign_connection(&place.path());
    let mut begin_move = old
        .prepare("UPDATE wipe_progress SET current = 1 - current, compacting = erased")
        .expect("it is of its version");
    let current = "SELECT current FROM wipe_progress";
    let mut current = old.prepare(current).expect("it is of its version");
    let tracker = open(&place);
    let refused = begin_move.execute([]).expect_err("it is refused");
    assert!(refused.to_string().contains("compacting"), "{refused}");
    let current = current.query_row([], |row| row.get::<_, i64>(0));
    assert_eq!(current.expect("it goes on"), 0);
    assert_whole(&tracker);
}

/// One that knows version 2 finds none of its columns any more: it can do nothing, and break nothing.
#[test]
fn who_still_has_version_2_open_can_write_nothing() {
    let place = old_file(2);
    let old = foreign_connection(&place.path());
    let advance = "UPDATE process_a SET revision = ?1, updated_at = ?2, states = ?3, record = ?4 WHERE row = ?5";
    let mut advance = old.prepare(advance).expect("it is of its version");
    let tracker = open(&place);
    let refused = advance
        .execute((9, 9, "1", [0_u8; 9], 1))
        .expect_err("it is refused");
    assert!(refused.to_string().contains("no such column"), "{refused}");
    assert_whole(&tracker);
}

#[test]
fn a_claim_is_kept() {
    let place = old_file(2);
    let tracker = open(&place);
    let page = tracker.list(&Query::new().stalled()).expect("a page");
    let stalled = page.items.iter().map(|process| process.request_id());
    assert_eq!(stalled.collect::<Vec<_>>(), [id(2)]);
    let claim = page.items[0].claim().expect("it was claimed").worker();
    assert_eq!(claim, "worker 7");
}

/// Nothing is thrown away, and nothing is half converted: the file stays what it was.
#[test]
fn a_damaged_record_in_an_old_file_is_said_and_the_file_is_left_alone() {
    let place = old_file(2);
    let edit = "UPDATE process_a SET record = x'0207' WHERE row = 5";
    foreign_connection(&place.path())
        .execute_batch(edit)
        .expect("an edit");
    let error = SqliteStore::open(place.path()).expect_err("it cannot be converted");
    assert_eq!(error.kind(), StoreErrorKind::Corrupt);
    assert_eq!(schema_version(&place), 2);
}

/// Renaming anything has SQLite read every view, and refuse if one of them is not as it should be.
#[test]
fn a_view_that_somebody_made_does_not_stand_in_the_way_of_an_upgrade() {
    let place = old_file(1);
    foreign_connection(&place.path())
        .execute_batch(
            r#"CREATE VIEW failed AS SELECT * FROM process_overview WHERE status = "failed";
               CREATE VIEW broken AS SELECT * FROM what_is_not_there;"#,
        )
        .expect("two views");
    assert_whole(&open(&place));
    let failed =
        foreign_connection(&place.path()).query_row("SELECT count(*) FROM failed", [], |row| {
            row.get::<_, i64>(0)
        });
    assert_eq!(failed.expect("it still serves"), 1);
}
