//! The SQLite store keeps the whole contract, however it is set: reopened between steps, opened twice at once, and its
//! files searched after a wipe.

use std::path::Path;

use milepost_conformance::Subject;
use milepost_core::WipeLevel;
use milepost_sqlite::{Durability, SqliteConfig, SqliteStore};

/// A store in each directory, set up by this.
fn subject(set: fn(SqliteConfig) -> SqliteConfig) -> Subject {
    Subject::in_directory(
        || tempfile::tempdir().expect("there is room for a directory"),
        move |directory: &Path| {
            let config = set(SqliteConfig::new(directory.join("status.db")));
            SqliteStore::open_with(config).expect("the file opens")
        },
    )
}

milepost_conformance::laws!(subject(|config| config));

mod at_normal {
    use super::*;

    milepost_conformance::laws!(subject(|config| SqliteConfig {
        durability: Durability::Normal,
        ..config
    }));
}

mod without_giving_back {
    use super::*;

    milepost_conformance::laws!(subject(|config| SqliteConfig {
        wipe_level: WipeLevel::Media,
        ..config
    }));
}
