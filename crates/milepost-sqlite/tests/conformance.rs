//! The SQLite store keeps the whole contract, reopened between steps.

use milepost_conformance::Subject;
use milepost_sqlite::SqliteStore;

milepost_conformance::laws!(Subject::durable(|| {
    let directory = tempfile::tempdir().expect("there is room for a directory");
    move || SqliteStore::open(directory.path().join("status.db")).expect("the file opens")
}));
