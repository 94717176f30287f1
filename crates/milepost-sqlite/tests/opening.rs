//! What may stand at a path when a store is opened there, and what becomes of it.

mod common;

use std::error::Error;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use common::{Place, SmallDisk, begin, foreign_connection, not_checked};
use milepost_core::{StoreError, StoreErrorKind, Tracker};
use milepost_sqlite::{SqliteConfig, SqliteStore};

fn source(error: &StoreError) -> String {
    error
        .source()
        .expect("every store error has a source")
        .to_string()
}

/// Opens what must be refused, and asserts that nothing in the directory has changed by it.
fn refused(place: &Place, kind: StoreErrorKind, says: &str) {
    // The shared memory beside a WAL is rebuilt from it, and holds nothing of its own.
    let kept = || {
        place
            .files()
            .into_iter()
            .filter(|(path, _)| !path.ends_with("status.db-shm"))
    };
    let before = kept().collect::<Vec<_>>();
    let error = SqliteStore::open(place.path()).expect_err("it is refused");
    assert_eq!(error.kind(), kind, "{error}: {}", source(&error));
    assert!(source(&error).contains(says), "{}", source(&error));
    assert!(before.into_iter().eq(kept()), "a refused file was touched");
}

/// Makes a store's file, closed and complete, with some processes in it.
fn some_file(place: &Place) {
    let tracker = Tracker::new(SqliteStore::open(place.path()).expect("it opens"));
    for n in 0..50 {
        begin(&tracker, &format!("file-{n}.txt"));
    }
}

/// Copies the file, or with a suffix one beside it, by another OS process: it may be open in this one.
fn copy_file(from: &Place, to: &Place, suffix: &str) {
    let name = |place: &Place| format!("{}{suffix}", place.path().display());
    let copied = Command::new("cp").args([name(from), name(to)]).status();
    assert!(copied.expect("cp runs").success());
}

fn edit(place: &Place, sql: &str) {
    foreign_connection(&place.path())
        .execute_batch(sql)
        .expect("an edit");
}

#[test]
fn a_missing_file_is_made_for_its_owner_only_and_nothing_is_left_beside_it() {
    let place = Place::new();
    let store = SqliteStore::open(place.path()).expect("it is made");
    begin(&Tracker::new(store), "a.txt");
    assert_eq!(place.files().len(), 1, "closing leaves the one file");
    let _store = SqliteStore::open(place.path()).expect("it opens again");
    for (path, _) in place.files() {
        let mode = std::fs::metadata(&path)
            .expect("it is there")
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600, "{}", path.display());
    }
}

const IN_A_CHILD: &str = "MILEPOST_TEST_IN_A_CHILD";

/// No test of its own: what the two below have another OS process do.
#[test]
fn in_a_child() {
    if let Some(path) = std::env::var_os(IN_A_CHILD)
        && let Err(error) = SqliteStore::open(path)
    {
        println!("refused: {:?}", error.kind());
    }
}

/// Opens a file in an OS process that is started this way. Why it was refused.
fn open_in_a_child(place: &Place, start: &[&str]) -> Option<String> {
    let (program, arguments) = start.split_first().expect("a program");
    let output = Command::new(program)
        .args(arguments)
        .arg(std::env::current_exe().expect("it runs"))
        .args(["--exact", "in_a_child", "--nocapture"])
        .env(IN_A_CHILD, place.path())
        .output()
        .expect("it starts");
    assert!(output.status.success(), "{output:?}");
    let printed = String::from_utf8(output.stdout).expect("it is text");
    let refused = printed.split_once("refused: ")?.1;
    refused.split_whitespace().next().map(str::to_owned)
}

/// The calls that the store makes itself, beside those of SQLite.
#[cfg(target_os = "linux")]
#[test]
fn whatever_fails_while_a_file_is_made_is_said_and_leaves_nothing_half_made() {
    let probe = "inject=/^f?sync$:error=EIO:when=1";
    let probe = Command::new("strace")
        .args(["-f", "-qq", "-o", "/dev/null", "-e", probe, "true"])
        .output();
    if !probe.is_ok_and(|probe| probe.status.success()) {
        not_checked("strace is not there, or may not trace");
        return;
    }
    for call in ["fsync", "linkat", "/f?chmod(at2?)?$"] {
        for (error, kind) in [("EIO", "Unavailable"), ("ENOSPC", "Full")] {
            let mut failed = 0;
            for nth in 1.. {
                let place = Place::new();
                let inject = format!("inject={call}:error={error}:when={nth}");
                let strace = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", &inject];
                let Some(refused) = open_in_a_child(&place, &strace) else {
                    break;
                };
                failed += 1;
                assert_eq!(refused, kind, "{inject}");
                let files = place.files().into_iter().map(|(path, _)| path);
                let left = files.filter(|path| *path != place.path());
                assert_eq!(left.collect::<Vec<_>>(), Vec::<PathBuf>::new(), "{inject}");
                SqliteStore::open(place.path()).expect("the next finds nothing in its way");
            }
            assert!(failed > 0, "{call} was not made to fail");
        }
    }
}

#[test]
fn a_file_is_made_for_its_owner_only_whatever_the_umask() {
    for umask in ["0", "777"] {
        let place = Place::new();
        let umasked = format!("umask {umask} && exec \"$0\" \"$@\"");
        assert_eq!(open_in_a_child(&place, &["sh", "-c", &umasked]), None);
        let metadata = std::fs::metadata(place.path()).expect("it is there");
        assert_eq!(metadata.permissions().mode() & 0o777, 0o600, "{umask}");
    }
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
    let made = Command::new("mkfifo")
        .arg(place.path())
        .status()
        .expect("mkfifo runs");
    assert!(made.success());
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
    let place = Place::new();
    let directory = place.path().with_file_name("disk");
    std::fs::create_dir(&directory).expect("a directory");
    let Some(disk) = SmallDisk::mount(&directory, "4m") else {
        return;
    };
    let path = directory.join("status.db");
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

#[test]
fn a_truncated_file_is_refused() {
    for bytes in [600, 4_000, 4_096, 8_192, 20_480, 40_000] {
        let place = Place::new();
        some_file(&place);
        let file = std::fs::OpenOptions::new()
            .write(true)
            .open(place.path())
            .expect("it is there");
        file.set_len(bytes).expect("it is cut");
        refused(&place, StoreErrorKind::Corrupt, "truncated");
    }
    let place = Place::new();
    some_file(&place);
    let file = std::fs::OpenOptions::new()
        .write(true)
        .open(place.path())
        .expect("it is there");
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

#[test]
fn an_empty_file_is_taken_as_a_new_one() {
    let place = Place::new();
    std::fs::write(place.path(), "").expect("a file");
    let tracker = Tracker::new(SqliteStore::open(place.path()).expect("it is made"));
    let id = begin(&tracker, "a.txt").request_id();
    drop(tracker);
    let tracker = Tracker::new(SqliteStore::open(place.path()).expect("it opens again"));
    assert_eq!(tracker.get(id).expect("it is there").file().name(), "a.txt");
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

/// A file that was there but empty once got its header first and its marks later, in the WAL: until that
/// was checkpointed, everybody else took it for another program's, and for good if its maker was killed.
#[test]
fn an_empty_file_is_ours_for_everybody_from_its_first_page_on() {
    let place = Place::new();
    std::fs::write(place.path(), "").expect("a file");
    let first = Tracker::new(SqliteStore::open(place.path()).expect("it is made"));
    let id = begin(&first, "a.txt").request_id();
    let second = Tracker::new(SqliteStore::open(place.path()).expect("it is ours"));
    assert!(second.get(id).is_ok());
    drop((first, second));

    for _ in 0..20 {
        let place = Place::new();
        std::fs::write(place.path(), "").expect("a file");
        std::thread::scope(|scope| {
            for n in 0..8 {
                let path = place.path();
                scope.spawn(move || {
                    let tracker = Tracker::new(SqliteStore::open(path).expect("it opens"));
                    begin(&tracker, &format!("{n}.txt"));
                });
            }
        });
    }
}

/// A new file's pages once stayed in the WAL of its temporary name when the disk had no room left for
/// them, and closing says nothing of that: the half that was linked was truncated for ever after.
#[test]
fn a_disk_without_room_is_full_and_leaves_no_half_made_file() {
    let place = Place::new();
    let directory = place.path().with_file_name("small");
    std::fs::create_dir(&directory).expect("a directory");
    let Some(_disk) = SmallDisk::mount(&directory, "1m") else {
        return;
    };
    let (path, ballast) = (directory.join("status.db"), directory.join("ballast"));
    let mut refusals = 0;
    for room in (0..64).map(|pages| pages * 4096) {
        let all = std::fs::write(&ballast, vec![7; 1024 * 1024 - room]);
        assert!(
            room > 0 || all.is_ok(),
            "the disk is smaller than it was made"
        );
        if let Err(error) = SqliteStore::open(&path) {
            assert_eq!(error.kind(), StoreErrorKind::Full, "{}", source(&error));
            refusals += 1;
        }
        std::fs::remove_file(&ballast).expect("the ballast goes");
        // A child that another test has forked and that has not become its program yet holds the ballast a while longer.
        let made = (0..500).find_map(|_| match SqliteStore::open(&path) {
            Ok(store) => Some(store),
            Err(error) => {
                assert_eq!(error.kind(), StoreErrorKind::Full, "{}", source(&error));
                std::thread::sleep(Duration::from_millis(10));
                None
            }
        });
        let store = made.expect("it opens, or is made, once there is room");
        begin(&Tracker::new(store), "a.txt");
        std::fs::remove_file(&path).expect("a new one for the next round");
    }
    assert!(refusals > 10, "{refusals}");
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

#[test]
fn many_may_open_a_missing_file_at_once() {
    let place = Place::new();
    std::thread::scope(|scope| {
        for n in 0..8 {
            let path = place.path();
            scope.spawn(move || {
                let tracker = Tracker::new(SqliteStore::open(path).expect("it opens"));
                begin(&tracker, &format!("{n}.txt"));
            });
        }
    });
    let tracker = Tracker::new(SqliteStore::open(place.path()).expect("it opens"));
    assert_eq!(
        tracker
            .count(&milepost_core::Query::new())
            .expect("a count")
            .ongoing,
        8
    );
    drop(tracker);
    assert_eq!(place.files().len(), 1);
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
