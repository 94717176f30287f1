//! Files in which somebody has had a hand: they are refused as they are, and run nothing.

use std::error::Error;
use std::process::Command;
use std::time::Duration;

use milepost_core::{NewProcess, StoreErrorKind, Tracker, Wipe};
use milepost_sqlite::{SqliteConfig, SqliteStore};
use rusqlite::config::DbConfig;

use crate::common::{Place, begin, foreign_connection, pipeline, some_file, store_error_kind};

/// Opens what must be refused as corrupt, and asserts that nothing has changed by it.
#[track_caller]
fn refused(place: &Place, says: &str) {
    // A WAL of no bytes holds nothing.
    let kept = || {
        let files = place.kept_files().into_iter();
        files.filter(|(_, bytes)| !bytes.is_empty())
    };
    let before = kept().collect::<Vec<_>>();
    let error = SqliteStore::open(place.path()).expect_err("it is refused");
    let source = error.source().expect("it has a source").to_string();
    assert_eq!(error.kind(), StoreErrorKind::Corrupt, "{source}");
    assert!(source.contains(says), "{source}");
    let names = kept()
        .map(|(path, bytes)| (path, bytes.len()))
        .collect::<Vec<_>>();
    assert!(
        before.into_iter().eq(kept()),
        "a refused file was touched: {names:?}: {source}"
    );
}

/// What SQLite lets nobody do by mistake.
fn edit(place: &Place, sql: &str) {
    let connection = foreign_connection(&place.path());
    for config in [
        DbConfig::SQLITE_DBCONFIG_WRITABLE_SCHEMA,
        DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA,
    ] {
        connection.set_db_config(config, true).expect("it is set");
    }
    connection.execute_batch(sql).expect("an edit");
}

/// Copies a file that is open, by another OS process, and its WAL.
fn copy_with_wal(from: &Place, to: &Place) {
    for suffix in ["", "-wal"] {
        let name = |place: &Place| format!("{}{suffix}", place.path().display());
        let copied = Command::new("cp").args([name(from), name(to)]).status();
        assert!(copied.expect("cp runs").success());
    }
}

/// SQLite reads the schema for some of what a connection is set to. If that was damaged the connection was closed
/// before it had been told to keep the WAL, and a file that was refused had the WAL written into it.
#[test]
fn a_file_that_is_refused_while_a_connection_is_set_up_keeps_its_wal() {
    let (place, copy) = (Place::new(), Place::new());
    some_file(&place);
    let tracker = Tracker::new(SqliteStore::open(place.path()).expect("it opens"));
    begin(&tracker, "a.txt");
    copy_with_wal(&place, &copy);
    let mut main = std::fs::read(copy.path()).expect("it is there");
    // The kind of the first page: of no tree that there is.
    main[100] = 0xff;
    std::fs::write(copy.path(), main).expect("it is written");
    assert_eq!(copy.files().len(), 2);
    refused(&copy, "malformed");
}

/// A file that turned out to lack a table only after it had been brought up to date was refused with the new
/// version in its WAL.
#[test]
fn an_old_file_that_is_refused_is_not_brought_up_to_date() {
    let place = Place::new();
    std::fs::write(place.path(), include_bytes!("../golden/schema-2.sqlite")).expect("a file");
    edit(&place, "DROP TABLE wipe_progress");
    refused(&place, "tables and indexes are not");
}

/// A transaction that no cache holds is in the WAL before it is committed: of a large file that was refused half-way
/// through its upgrade, some was left beside it.
#[test]
fn an_old_file_that_is_refused_leaves_nothing_in_a_wal_however_large_it_is() {
    let place = Place::new();
    std::fs::write(place.path(), include_bytes!("../golden/schema-2.sqlite")).expect("a file");
    let memory = SqliteStore::in_memory().expect("it opens");
    let tracker = Tracker::new(memory);
    let old = foreign_connection(&place.path());
    old.execute_batch("BEGIN").expect("a transaction");
    let insert = "INSERT INTO process_a (request_id, born, revision, status, created_at, updated_at, pipeline, file_id,
                  directory, states, record) VALUES (?1, 1, 1, 0, 0, 0, 'p', x'00', '/', '', ?2)";
    for n in 0..1_000 {
        let new = NewProcess::new(&pipeline()).file_description(&"long ".repeat(800));
        let process = tracker
            .begin(new.file_name(&n.to_string()))
            .expect("it begins");
        let id = process.request_id();
        let mut record = Vec::new();
        tracker.get(id).expect("it is there").to_record(&mut record);
        let id = id.to_string().replace('-', "");
        let id = (0..16).map(|at| u8::from_str_radix(&id[2 * at..2 * at + 2], 16).expect("digits"));
        old.execute(insert, (id.collect::<Vec<u8>>(), record))
            .expect("a row");
    }
    old.execute_batch(
        "COMMIT; UPDATE process_a SET record = x'ff' WHERE row = (SELECT max(row) FROM process_a)",
    )
    .expect("an edit");
    drop(old);
    let error = SqliteStore::open(place.path()).expect_err("it is refused");
    assert_eq!(
        error.kind(),
        StoreErrorKind::Incompatible,
        "record of version 255"
    );
    let beside = place
        .files()
        .into_iter()
        .filter(|(path, _)| path.ends_with("status.db-wal"));
    assert_eq!(beside.map(|(_, bytes)| bytes.len()).sum::<usize>(), 0);
}

/// A second row of progress made a wipe panic in debug builds, and in others count for two.
#[test]
fn a_second_row_of_progress_is_corrupt() {
    let place = Place::new();
    some_file(&place);
    edit(
        &place,
        "PRAGMA ignore_check_constraints = ON; INSERT INTO wipe_progress VALUES (2, 1, 5, NULL, 1, 1)",
    );
    let store = SqliteStore::open_with(SqliteConfig {
        wipe_budget: Duration::from_secs(5),
        ..SqliteConfig::new(place.path())
    });
    let tracker = Tracker::new(store.expect("it opens"));
    let id = begin(&tracker, "a.txt").request_id();
    tracker
        .erase(id)
        .expect("erasing tells nothing of a wipe that failed");
    let error = tracker.wipe().expect_err("it is found");
    assert_eq!(store_error_kind(&error), StoreErrorKind::Corrupt);
}

/// A connection that was left within its snapshot could begin no other read.
#[test]
fn a_read_that_fails_leaves_no_snapshot_open() {
    let place = Place::new();
    let tracker = Tracker::new(SqliteStore::open(place.path()).expect("it opens"));
    let damaged = begin(&tracker, "a.txt").request_id();
    edit(&place, "UPDATE process_a SET body = substr(body, 1, 4)");
    let id = begin(&tracker, "b.txt").request_id();
    for _ in 0..3 {
        let both = tracker.get_many(&[id, damaged]);
        let error = both.expect_err("one is damaged");
        assert_eq!(store_error_kind(&error), StoreErrorKind::Corrupt);
        tracker.get(id).expect("it is as it was");
    }
    // Nor could a wipe go beyond it.
    tracker.erase(id).expect("it is erased");
    assert_eq!(tracker.wipe().expect("a wipe"), Wipe::Done);
}

/// `hex(zeroblob(200)) LIKE '%0%0..'` takes longer than anybody lives, and neither an untrusted schema nor
/// switching triggers off keeps SQLite from running it with each row. Such files were opened.
#[test]
fn a_schema_that_runs_anything_with_our_rows_is_refused() {
    const FOR_EVER: &str = "hex(zeroblob(200)) LIKE ''%0%0%0%0%0%0%0%0%0%0%0%0%1''";
    let replace = |from: &str, to: &str| {
        format!(
            "UPDATE sqlite_schema SET sql = replace(sql, '{from}', '{to}') WHERE name = 'process_a'"
        )
    };
    let edits = [
        replace("body BLOB NOT NULL", &format!("body BLOB NOT NULL CHECK (NOT {FOR_EVER})")),
        replace("settled_at INTEGER,", &format!("settled_at INTEGER AS ({FOR_EVER}),")),
        replace("settled_at INTEGER,", &format!("settled_at INTEGER DEFAULT ({FOR_EVER}),")),
        replace("TEXT NOT NULL,", "TEXT NOT NULL COLLATE NOCASE,"),
        replace(") STRICT", ")"),
        // In an empty table making the index takes no time.
        format!("CREATE INDEX evil ON process_b ({})", FOR_EVER.replace("''", "'")),
        format!("CREATE INDEX evil ON process_b (row) WHERE {}", FOR_EVER.replace("''", "'")),
        "CREATE TABLE evil (x REFERENCES process_a (request_id) ON DELETE RESTRICT)".to_owned(),
        // By any other name.
        "CREATE INDEX evil ON \"PROCESS_B\" (length(body)); UPDATE sqlite_schema SET tbl_name = 'x' WHERE name = 'evil'"
            .to_owned(),
        "DROP INDEX process_a_by_file".to_owned(),
        // In place of what only some files have.
        "CREATE VIEW wipe_media AS WITH RECURSIVE n (kept_blocks) AS (SELECT 2 UNION ALL SELECT kept_blocks + 1 FROM n) \
         SELECT * FROM n"
            .to_owned(),
        format!("CREATE TABLE \"Wipe_Media\" (id INTEGER, kept_blocks AS ({}))", FOR_EVER.replace("''", "'")),
        "CREATE TABLE wipe_filler (row INTEGER PRIMARY KEY, zeros BLOB)".to_owned(),
    ];
    for sql in edits {
        let place = Place::new();
        some_file(&place);
        edit(&place, &sql);
        refused(&place, "");
    }
    let old = [
        &include_bytes!("../golden/schema-1.sqlite")[..],
        &include_bytes!("../golden/schema-2.sqlite")[..],
    ];
    let edits = old
        .into_iter()
        .flat_map(|file| [(file, "AS"), (file, "CHECK")]);
    for (file, runs) in edits {
        let place = Place::new();
        std::fs::write(place.path(), file).expect("a file");
        let column = format!("settled_at INTEGER {runs} ({FOR_EVER})");
        edit(&place, &replace("settled_at INTEGER", &column));
        refused(&place, "more than any milepost");
    }
}

/// What is beside our tables is nobody's business but its maker's: it is left alone, and none of it runs.
#[test]
fn views_triggers_and_tables_of_others_run_nothing_and_harm_nothing() {
    let place = Place::new();
    some_file(&place);
    edit(
        &place,
        "CREATE TABLE notes (text); CREATE TABLE media (kept_blocks); CREATE TABLE filler (x);
         CREATE TRIGGER evil AFTER INSERT ON process_a BEGIN DELETE FROM process_a; INSERT INTO notes VALUES ('x'); END;
         CREATE TRIGGER evil_too BEFORE DELETE ON process_a BEGIN SELECT raise(ABORT, 'no'); END;
         CREATE TRIGGER evil_three BEFORE UPDATE ON process_a BEGIN SELECT load_extension('/tmp/evil.so'); END;
         DROP VIEW process_overview;
         CREATE VIEW process_overview AS WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n) SELECT * FROM n;
         ANALYZE; UPDATE sqlite_stat1 SET stat = '9223372036854775807 1 1 1 1'",
    );
    let tracker = Tracker::new(SqliteStore::open(place.path()).expect("it opens"));
    let process = begin(&tracker, "a.txt");
    process
        .module(1)
        .expect("it has one")
        .complete()
        .expect("it completes");
    assert_eq!(
        tracker
            .count(&milepost_core::Query::new())
            .expect("a count")
            .total(),
        51
    );
    tracker.erase(process.request_id()).expect("it is erased");
    let new = NewProcess::new(&pipeline());
    tracker.begin(new).expect("it begins");
    drop(tracker);
    let notes =
        foreign_connection(&place.path())
            .query_row("SELECT count(*) FROM notes", [], |row| row.get::<_, i64>(0));
    assert_eq!(notes.expect("their table is there"), 0, "a trigger ran");
}
