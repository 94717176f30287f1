//! Which SQLite is linked: some can corrupt a file that two connections use.

use milepost_core::{StoreError, StoreErrorKind};

/// Refuses a SQLite whose WAL-reset race can corrupt a file that two connections use.
///
/// Source: <https://sqlite.org/wal.html#walresetbug>. Versions 3.7.0 to 3.51.2 have it, except the
/// backports 3.44.6 and 3.50.7 and what came after them in their lines.
pub(crate) fn check() -> Result<(), StoreError> {
    check_version(rusqlite::version_number())
}

fn check_version(version: i32) -> Result<(), StoreError> {
    if !has_wal_reset_bug(version) {
        return Ok(());
    }
    let (major, minor, patch) = (
        version / 1_000_000,
        version / 1_000 % 1_000,
        version % 1_000,
    );
    let why = format!(
        "SQLite {major}.{minor}.{patch} can corrupt a file that several connections use: link 3.51.3 or \
         later, or use the feature `bundled`"
    );
    Err(StoreError::new(StoreErrorKind::Incompatible, why))
}

fn has_wal_reset_bug(version: i32) -> bool {
    let fixed = matches!(version, 3_044_006..3_045_000 | 3_050_007..3_051_000 | 3_051_003..);
    !fixed && version >= 3_007_000
}

#[cfg(test)]
mod tests {
    use std::error::Error;

    use super::*;

    #[test]
    fn every_sqlite_with_the_wal_reset_bug_is_refused() {
        for (affected, name) in [
            (3_007_000, "3.7.0"),
            (3_044_005, "3.44.5"),
            (3_045_000, "3.45.0"),
            (3_050_006, "3.50.6"),
            (3_051_000, "3.51.0"),
            (3_051_002, "3.51.2"),
        ] {
            let error = check_version(affected).expect_err("it is refused");
            assert_eq!(error.kind(), StoreErrorKind::Incompatible, "{affected}");
            let why = error.source().expect("it has a cause").to_string();
            assert!(why.starts_with(&format!("SQLite {name} can")), "{why}");
        }
        for fixed in [
            3_006_023, 3_044_006, 3_050_007, 3_051_003, 3_054_001, 4_000_000,
        ] {
            assert!(check_version(fixed).is_ok(), "{fixed}");
        }
    }
}
