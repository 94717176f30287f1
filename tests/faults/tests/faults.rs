//! That calls fail where they are asked to, and nowhere else.

use std::path::Path;

use milepost_faults::{Call, Error, Fault, Faults, Lasts};
use rusqlite::{Connection, ErrorCode};

/// A database in WAL mode, whose WAL has something in it.
fn database(directory: &Path) -> Connection {
    let database = Connection::open(directory.join("a.db")).expect("it opens");
    let set_up = "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; CREATE TABLE t (x);";
    database.execute_batch(set_up).expect("it is set up");
    database
}

fn insert(database: &Connection) -> Result<(), ErrorCode> {
    let inserted = database.execute_batch("INSERT INTO t VALUES (1)");
    inserted.map_err(|error| error.sqlite_error_code().expect("an error of SQLite's"))
}

#[test]
fn the_nth_call_fails_with_what_was_asked_for_and_those_before_and_after_it_do_not() {
    let directory = tempfile::tempdir().expect("a directory");
    let faults = Faults::below(directory.path()).expect("faults");
    let database = database(directory.path());
    faults.arm(Fault {
        call: Call::Sync,
        nth: 2,
        lasts: Lasts::Once,
        error: Error::Io,
    });
    assert_eq!(insert(&database), Ok(()));
    assert_eq!(insert(&database), Err(ErrorCode::SystemIoFailure));
    assert_eq!(insert(&database), Ok(()));
    assert_eq!(faults.failed(), 1);
    assert_eq!(faults.counts().of(Call::Sync), 3);
    assert_eq!(faults.counts().of(Call::Truncate), 0);
}

#[test]
fn a_fault_that_lasts_does_until_it_is_disarmed() {
    let directory = tempfile::tempdir().expect("a directory");
    let faults = Faults::below(directory.path()).expect("faults");
    let database = database(directory.path());
    faults.arm(Fault {
        call: Call::Write,
        nth: 1,
        lasts: Lasts::UntilDisarmed,
        error: Error::Full,
    });
    for _ in 0..3 {
        assert_eq!(insert(&database), Err(ErrorCode::DiskFull));
        let errno = std::io::Error::last_os_error();
        assert_eq!(errno.kind(), std::io::ErrorKind::StorageFull);
    }
    faults.disarm();
    assert_eq!(insert(&database), Ok(()));
}

#[test]
fn a_disk_that_takes_nothing_any_more_fails_whatever_writes_and_nothing_else() {
    let directory = tempfile::tempdir().expect("a directory");
    let faults = Faults::below(directory.path()).expect("faults");
    let database = database(directory.path());
    faults.arm(Fault {
        call: Call::Sync,
        nth: 1,
        lasts: Lasts::WithAllThatWrite,
        error: Error::Io,
    });
    for failed in 1..4 {
        assert_eq!(insert(&database), Err(ErrorCode::SystemIoFailure));
        assert_eq!(faults.failed(), failed);
        let read = database.query_row("SELECT count(*) FROM t", [], |row| row.get::<_, i64>(0));
        assert_eq!(read, Ok(0));
    }
    assert_eq!(faults.counts().of(Call::Sync), 1);
}

#[test]
fn a_torn_write_leaves_half_of_its_bytes() {
    let directory = tempfile::tempdir().expect("a directory");
    let faults = Faults::below(directory.path()).expect("faults");
    let database = database(directory.path());
    let length = || {
        let wal = std::fs::metadata(directory.path().join("a.db-wal"));
        wal.expect("a WAL").len()
    };
    let before = length();
    faults.arm(Fault {
        call: Call::Write,
        nth: 2,
        lasts: Lasts::Once,
        error: Error::Torn,
    });
    assert_eq!(insert(&database), Err(ErrorCode::DiskFull));
    // A header of 24 bytes, and half of the page behind it.
    assert_eq!(length(), before + 24 + 2048);
}

#[test]
fn files_grow_no_larger_than_they_may() {
    let directory = tempfile::tempdir().expect("a directory");
    let faults = Faults::below(directory.path()).expect("faults");
    let database = database(directory.path());
    faults.let_files_grow_to(64 * 1024);
    let failed = (0..100).find_map(|_| insert(&database).err());
    assert_eq!(failed, Some(ErrorCode::DiskFull));
    faults.disarm();
    assert_eq!(insert(&database), Ok(()));
}

#[test]
fn files_elsewhere_are_left_alone() {
    let (here, elsewhere) = (tempfile::tempdir(), tempfile::tempdir());
    let (here, elsewhere) = (here.expect("a directory"), elsewhere.expect("a directory"));
    let faults = Faults::below(here.path()).expect("faults");
    for call in Call::ALL {
        faults.arm(Fault {
            call,
            nth: 1,
            lasts: Lasts::UntilDisarmed,
            error: Error::Io,
        });
        assert_eq!(insert(&database(elsewhere.path())), Ok(()), "{call:?}");
        std::fs::remove_file(elsewhere.path().join("a.db")).expect("it is there");
        assert_eq!(faults.failed(), 0, "{call:?}");
    }
}
