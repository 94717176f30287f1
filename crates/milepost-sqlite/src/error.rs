//! From SQLite's errors to the kinds of the contract.

use std::io;

use milepost_core::{StoreError, StoreErrorKind};
use rusqlite::ErrorCode;
use rusqlite::ffi;

/// What `ENOSPC` and `EDQUOT` are on Linux, the BSDs and macOS.
const NO_SPACE: [i32; 3] = [28, 122, 69];

/// An error before anything was committed: nothing of the call was kept.
pub(crate) fn store_error(error: rusqlite::Error) -> StoreError {
    StoreError::new(kind(&error), error)
}

/// An error from the commit itself: SQLite cannot say whether it was kept.
pub(crate) fn commit_error(error: rusqlite::Error) -> StoreError {
    StoreError::new(StoreErrorKind::OutcomeUnknown, error)
}

/// What stands at the path cannot be used as it is.
pub(crate) fn refuse(why: &str) -> StoreError {
    StoreError::new(StoreErrorKind::Unavailable, why)
}

pub(crate) fn unavailable(what: &str, error: &io::Error) -> StoreError {
    let kind = match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => StoreErrorKind::Full,
        _ => StoreErrorKind::Unavailable,
    };
    StoreError::new(kind, format!("{what}: {error}"))
}

pub(crate) fn corrupt(what: &'static str) -> StoreError {
    StoreError::new(StoreErrorKind::Corrupt, what)
}

/// Whether somebody else held a lock, so that the same call may go through a moment later.
pub(crate) trait Busy {
    fn is_busy(&self) -> bool;
}

impl Busy for rusqlite::Error {
    fn is_busy(&self) -> bool {
        let code = self.sqlite_error_code();
        code.is_some_and(is_lock)
    }
}

impl Busy for StoreError {
    fn is_busy(&self) -> bool {
        self.kind() == StoreErrorKind::Busy
    }
}

/// The last is what SQLite says once it has tried a hundred times to read while others locked and unlocked.
fn is_lock(code: ErrorCode) -> bool {
    matches!(
        code,
        ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked | ErrorCode::FileLockingProtocolFailed
    )
}

fn kind(error: &rusqlite::Error) -> StoreErrorKind {
    // Asked at once, before anything else can set it.
    let errno = std::io::Error::last_os_error().raw_os_error();
    let rusqlite::Error::SqliteFailure(failure, _) = error else {
        return match error {
            // A column that does not hold what was written into it, a missing or second row of progress, or
            // a statement, all of which are constant, that does not fit the schema.
            rusqlite::Error::QueryReturnedNoRows
            | rusqlite::Error::FromSqlConversionFailure(..)
            | rusqlite::Error::IntegralValueOutOfRange(..)
            | rusqlite::Error::InvalidColumnType(..)
            | rusqlite::Error::StatementChangedRows(..)
            | rusqlite::Error::Utf8Error(..)
            | rusqlite::Error::SqlInputError { .. } => StoreErrorKind::Corrupt,
            _ => StoreErrorKind::Other,
        };
    };
    match failure.code {
        code if is_lock(code) => StoreErrorKind::Busy,
        ErrorCode::DiskFull => StoreErrorKind::Full,
        // A full disk also shows as a failed write, when a file cannot be made, or the shared memory cannot grow.
        ErrorCode::SystemIoFailure | ErrorCode::CannotOpen => match failure.extended_code {
            ffi::SQLITE_IOERR_SHMSIZE => StoreErrorKind::Full,
            _ if errno.is_some_and(|errno| NO_SPACE.contains(&errno)) => StoreErrorKind::Full,
            _ => StoreErrorKind::Unavailable,
        },
        ErrorCode::ReadOnly | ErrorCode::PermissionDenied => StoreErrorKind::Unavailable,
        ErrorCode::NotADatabase => StoreErrorKind::Incompatible,
        ErrorCode::TooBig => StoreErrorKind::Limit,
        // "no such table" and the like come as an unknown error. What we write breaks no constraint:
        // only an index that does not fit its table makes it seem so.
        ErrorCode::DatabaseCorrupt | ErrorCode::ConstraintViolation | ErrorCode::Unknown => {
            StoreErrorKind::Corrupt
        }
        _ => StoreErrorKind::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(code: i32) -> rusqlite::Error {
        rusqlite::Error::SqliteFailure(ffi::Error::new(code), None)
    }

    #[test]
    fn a_lock_that_somebody_else_holds_is_busy_however_sqlite_says_it() {
        for code in [
            ffi::SQLITE_BUSY,
            ffi::SQLITE_BUSY_SNAPSHOT,
            ffi::SQLITE_LOCKED,
            ffi::SQLITE_PROTOCOL,
        ] {
            assert!(failure(code).is_busy(), "{code}");
            let kind = store_error(failure(code)).kind();
            assert_eq!(kind, StoreErrorKind::Busy, "{code}");
        }
        assert!(!failure(ffi::SQLITE_IOERR).is_busy());
    }

    #[test]
    fn each_code_is_said_by_its_kind() {
        for (code, kind) in [
            (ffi::SQLITE_FULL, StoreErrorKind::Full),
            (ffi::SQLITE_IOERR_SHMSIZE, StoreErrorKind::Full),
            (ffi::SQLITE_READONLY_DBMOVED, StoreErrorKind::Unavailable),
            (ffi::SQLITE_PERM, StoreErrorKind::Unavailable),
            (ffi::SQLITE_NOTADB, StoreErrorKind::Incompatible),
            (ffi::SQLITE_TOOBIG, StoreErrorKind::Limit),
            (ffi::SQLITE_CORRUPT_INDEX, StoreErrorKind::Corrupt),
            (ffi::SQLITE_CONSTRAINT_UNIQUE, StoreErrorKind::Corrupt),
            (ffi::SQLITE_ERROR, StoreErrorKind::Corrupt),
            (ffi::SQLITE_NOMEM, StoreErrorKind::Other),
        ] {
            assert_eq!(store_error(failure(code)).kind(), kind, "{code}");
        }
    }
}
