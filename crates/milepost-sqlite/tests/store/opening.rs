//! What may stand at a path when a store is opened there, and what becomes of it.

use std::ffi::OsStr;
use std::fs::File;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

use milepost_core::{StoreErrorKind, Tracker};
use milepost_sqlite::{SqliteConfig, SqliteStore};

use crate::common::{Place, SmallDisk, begin, foreign_connection, some_file, source};

/// Opens what must be refused, and asserts that nothing in the directory has changed by it.
fn refused(place: &Place, kind: StoreErrorKind, says: &str) {
    let before = place.kept_files();
    let error = SqliteStore::open(place.path()).expect_err("it is refused");
    assert_eq!(error.kind(), kind, "{error}: {}", source(&error));
    assert!(source(&error).contains(says), "{}", source(&error));
    assert!(before == place.kept_files(), "a refused file was touched");
}

#[test]
fn a_store_says_which_file_it_is_over() {
    let place = Place::new();
    let store = SqliteStore::open(place.path()).expect("it opens");
    assert!(format!("{store:?}").contains("status.db"), "{store:?}");
}

/// Copies the file, or with a suffix one beside it, by another OS process: it may be open in this one.
fn copy_file(from: &Place, to: &Place, suffix: &str) {
    let name = |place: &Place| format!("{}{suffix}", place.path().display());
    let copied = Command::new("cp").args([name(from), name(to)]).status();
    assert!(copied.expect("cp runs").success());
}

/// The file itself, for a test that damages it.
fn writable(place: &Place) -> File {
    let file = File::options().write(true).open(place.path());
    file.expect("it is there")
}

fn make_pipe(path: &Path) {
    let made = Command::new("mkfifo").arg(path).status();
    assert!(made.expect("mkfifo runs").success());
}

fn edit(place: &Place, sql: &str) {
    foreign_connection(&place.path())
        .execute_batch(sql)
        .expect("an edit");
}

#[test]
fn a_directory_and_what_is_no_file_are_refused() {
    let place = Place::new();
    std::fs::create_dir(place.path()).expect("a directory");
    let error = SqliteStore::open(place.path()).expect_err("a directory is refused");
    assert_eq!(error.kind(), StoreErrorKind::Unavailable);
    assert!(
        source(&error).contains("is a directory"),
        "{}",
        source(&error)
    );

    let place = Place::new();
    make_pipe(&place.path());
    let error =
        SqliteStore::open(place.path()).expect_err("a pipe is refused, without waiting for it");
    assert!(
        source(&error).contains("no regular file"),
        "{}",
        source(&error)
    );
}

#[test]
fn a_missing_file_is_refused_to_whom_it_must_be_there() {
    let place = Place::new();
    let config = SqliteConfig {
        create_if_missing: false,
        ..SqliteConfig::new(place.path())
    };
    let error = SqliteStore::open_with(config.clone()).expect_err("there is no file");
    assert_eq!(error.kind(), StoreErrorKind::Unavailable);
    assert!(
        source(&error).contains("no such file"),
        "{}",
        source(&error)
    );
    assert_eq!(place.files().len(), 0, "nothing is made");
    some_file(&place);
    SqliteStore::open_with(config).expect("it is there now");
}

#[test]
fn a_missing_directory_is_named() {
    let place = Place::new();
    let path = place.path().join("deeper").join("status.db");
    let error = SqliteStore::open(path).expect_err("there is no such directory");
    assert_eq!(error.kind(), StoreErrorKind::Unavailable);
    assert!(source(&error).contains("deeper"), "{}", source(&error));
}

#[test]
fn an_unwritable_place_is_refused() {
    let error = SqliteStore::open("/proc/status.db").expect_err("nothing can be made there");
    assert_eq!(error.kind(), StoreErrorKind::Unavailable);
}

#[test]
fn a_file_that_its_mode_makes_read_only_is_refused() {
    let place = Place::new();
    some_file(&place);
    let read_only = std::fs::Permissions::from_mode(0o400);
    std::fs::set_permissions(place.path(), read_only).expect("its mode changes");
    if std::fs::OpenOptions::new()
        .append(true)
        .open(place.path())
        .is_ok()
    {
        // For root a mode is no obstacle: the next test has one that is.
        return;
    }
    let error = SqliteStore::open(place.path()).expect_err("it cannot be written to");
    assert_eq!(error.kind(), StoreErrorKind::Unavailable);
    assert!(source(&error).contains("read-only"), "{}", source(&error));
}

#[test]
fn a_file_on_a_read_only_disk_is_refused() {
    let Some(disk) = SmallDisk::mount("4m") else {
        return;
    };
    let path = disk.path();
    drop(Tracker::new(SqliteStore::open(&path).expect("it is made")));
    let before = std::fs::read(&path).expect("nobody has it open");
    disk.make_read_only();
    let error = SqliteStore::open(&path).expect_err("it cannot be written to");
    assert_eq!(error.kind(), StoreErrorKind::Unavailable);
    assert!(source(&error).contains("read-only"), "{}", source(&error));
    assert!(std::fs::read(&path).expect("it is there") == before);
}

#[test]
fn a_symbolic_link_is_refused_unless_it_is_allowed() {
    let place = Place::new();
    let target = place.path().with_file_name("target.db");
    some_file(&place);
    std::fs::rename(place.path(), &target).expect("it moves");
    symlink(&target, place.path()).expect("a link");
    refused(&place, StoreErrorKind::Unavailable, "symbolic link");
    let config = SqliteConfig {
        follow_symlinks: true,
        ..SqliteConfig::new(place.path())
    };
    SqliteStore::open_with(config).expect("it is allowed now");
}

#[test]
fn what_is_no_database_is_refused() {
    let place = Place::new();
    std::fs::write(place.path(), "Dear diary, ".repeat(1000)).expect("a file");
    refused(&place, StoreErrorKind::Incompatible, "no SQLite database");
    // What is encrypted looks like noise.
    let noise = (0..16_384_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8);
    std::fs::write(place.path(), noise.collect::<Vec<_>>()).expect("a file");
    refused(&place, StoreErrorKind::Incompatible, "encrypted");
}

#[test]
fn the_database_of_another_program_is_refused_and_its_wal_stays() {
    let place = Place::new();
    let theirs = foreign_connection(&place.path());
    theirs
        .execute_batch(
            "PRAGMA journal_mode = WAL; CREATE TABLE notes (text); INSERT INTO notes VALUES ('x')",
        )
        .expect("their table");
    // Copied while it is open: the copy's WAL has what the main file has not.
    let copy = Place::new();
    copy_file(&place, &copy, "");
    copy_file(&place, &copy, "-wal");
    assert_eq!(copy.files().len(), 2);
    refused(&copy, StoreErrorKind::Incompatible, "another program");
}

#[test]
fn a_newer_file_is_refused_whether_its_header_or_its_wal_says_so() {
    let place = Place::new();
    some_file(&place);
    edit(&place, "PRAGMA user_version = 99");
    refused(&place, StoreErrorKind::Incompatible, "schema version 99");

    let place = Place::new();
    some_file(&place);
    let newer = foreign_connection(&place.path());
    newer
        .execute_batch("PRAGMA user_version = 99")
        .expect("an upgrade that is in the WAL");
    let copy = Place::new();
    copy_file(&place, &copy, "");
    copy_file(&place, &copy, "-wal");
    refused(&copy, StoreErrorKind::Incompatible, "schema version 99");
}

/// Byte 18 is the version of the format that a writer has to know: 2 with a WAL, as of
/// <https://www.sqlite.org/fileformat2.html>.
#[test]
fn a_file_that_a_later_sqlite_alone_may_write_is_refused() {
    let place = Place::new();
    some_file(&place);
    let file = writable(&place);
    file.write_at(&[3], 18).expect("it is written");
    drop(file);
    let before = place.files();
    let error = SqliteStore::open(place.path()).expect_err("it cannot be written to");
    assert_eq!(error.kind(), StoreErrorKind::Unavailable);
    let why = source(&error);
    assert!(why.contains("newer SQLite"), "{why}");
    // SQLite may have begun a WAL, and has put nothing into it.
    let mut after = place.files();
    after.retain(|(path, _)| path == &place.path());
    assert_eq!(before, after);
}

#[test]
fn a_truncated_file_is_refused() {
    for bytes in [600, 4_000, 4_096, 8_192, 20_480, 40_000] {
        let place = Place::new();
        some_file(&place);
        let file = writable(&place);
        file.set_len(bytes).expect("it is cut");
        refused(&place, StoreErrorKind::Corrupt, "truncated");
    }
    let place = Place::new();
    some_file(&place);
    let file = writable(&place);
    file.set_len(60).expect("it is cut within its header");
    refused(&place, StoreErrorKind::Incompatible, "truncated");
}

#[test]
fn a_file_without_one_of_its_tables_is_corrupt() {
    let place = Place::new();
    some_file(&place);
    edit(
        &place,
        "PRAGMA writable_schema = ON; DELETE FROM sqlite_schema WHERE name = 'process_b'",
    );
    let error = SqliteStore::open(place.path()).expect_err("a table is missing");
    assert_eq!(error.kind(), StoreErrorKind::Corrupt, "{}", source(&error));
}

/// A new file was once made beside the WAL of a database that somebody had removed: SQLite took all its
/// processes into the new one, erased ones too. A journal left the new file damaged. Now both are refused.
#[test]
fn what_a_removed_database_has_left_behind_is_not_taken_into_a_new_one() {
    for suffix in ["-wal", "-journal"] {
        let gone = Place::new();
        let connection = {
            some_file(&gone);
            foreign_connection(&gone.path())
        };
        let left_over = if suffix == "-wal" {
            "UPDATE process_a SET pipeline = 'y'"
        } else {
            // Too many changed pages for the cache, so that the journal is hot.
            "PRAGMA journal_mode = DELETE; PRAGMA cache_size = 2; BEGIN; UPDATE process_a SET pipeline = 'x'"
        };
        connection.execute_batch(left_over).expect("an edit");
        let place = Place::new();
        copy_file(&gone, &place, suffix);
        refused(&place, StoreErrorKind::Corrupt, "stands beside it");
    }
}

#[test]
fn no_name_is_taken_for_anything_but_a_name() {
    let place = Place::new();
    let directory = place.path();
    let directory = directory.parent().expect("a directory");
    let names: [&[u8]; 5] = [
        b"a b?mode=memory#%41.db",
        b"file:x.db",
        b":memory:",
        b"-x",
        b"\xff\xfe.db",
    ];
    for name in names {
        let path = directory.join(OsStr::from_bytes(name));
        let tracker = Tracker::new(SqliteStore::open(&path).expect("it opens"));
        let id = begin(&tracker, "a.txt").request_id();
        drop(tracker);
        assert!(path.is_file(), "{}", path.display());
        let tracker = Tracker::new(SqliteStore::open(&path).expect("it opens again"));
        assert!(tracker.get(id).is_ok(), "{}", path.display());
    }
    assert_eq!(place.files().len(), names.len());
    assert!(SqliteStore::open("").is_err());
    assert!(SqliteStore::open("/").is_err());
}

/// SQLite opens a journal to see whether it is to be rolled back, and with a pipe that takes until somebody writes.
#[test]
fn a_pipe_beside_the_file_is_refused_and_nobody_waits_for_it() {
    for suffix in ["-journal", "-wal", "-shm"] {
        for is_there in [false, true] {
            let place = Place::new();
            if is_there {
                some_file(&place);
            }
            let pipe = format!("{}{suffix}", place.path().display());
            make_pipe(Path::new(&pipe));
            let error = SqliteStore::open(place.path()).expect_err("it is refused");
            assert_eq!(error.kind(), StoreErrorKind::Unavailable);
            let why = source(&error);
            assert!(why.contains(&pipe) && why.contains("remove"), "{why}");
            assert_eq!(place.path().exists(), is_there, "nothing is made");
        }
    }
    // Nor does a store that is open, once it needs another connection.
    let place = Place::new();
    let tracker = Tracker::new(SqliteStore::open(place.path()).expect("it opens"));
    let id = begin(&tracker, "a.txt").request_id();
    let pipe = format!("{}-journal", place.path().display());
    make_pipe(Path::new(&pipe));
    let refused = tracker.get(id).expect_err("no reader was open");
    assert!(refused.is_retryable(), "{refused:?}");
    std::fs::remove_file(&pipe).expect("it is removed");
    tracker.get(id).expect("it is read");
}

#[test]
fn opening_a_second_store_drops_no_lock_of_the_first() {
    let place = Place::new();
    some_file(&place);
    let writer = foreign_connection(&place.path());
    writer
        .execute_batch("BEGIN IMMEDIATE")
        .expect("the write lock");
    let _second = SqliteStore::open_with(SqliteConfig {
        busy_timeout: std::time::Duration::from_millis(50),
        ..SqliteConfig::new(place.path())
    });
    // Another OS process must still find the lock held.
    let script = "import sqlite3, sys\n\
        c = sqlite3.connect(sys.argv[1], timeout=0, isolation_level=None)\n\
        c.execute('BEGIN IMMEDIATE')";
    let other = Command::new("python3")
        .args(["-c", script])
        .arg(place.path())
        .output();
    let other = other.expect("python3 runs");
    let said = String::from_utf8_lossy(&other.stderr);
    assert!(said.contains("database is locked"), "{said}");
}
