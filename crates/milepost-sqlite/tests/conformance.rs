//! The SQLite store keeps the whole contract: reopened between steps, opened twice at once, and its files
//! searched after a wipe.

use milepost_conformance::Subject;
use milepost_sqlite::SqliteStore;

milepost_conformance::laws!(Subject::in_directory(
    || tempfile::tempdir().expect("there is room for a directory"),
    |directory| SqliteStore::open(directory.join("status.db")).expect("the file opens"),
));
