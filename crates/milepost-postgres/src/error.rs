//! From PostgreSQL's errors to the kinds of the contract.

use std::time::Duration;

use deadpool_postgres::PoolError;
use milepost_core::{StoreError, StoreErrorKind};
use tokio_postgres::Error;
use tokio_postgres::error::{Severity, SqlState};

/// An error of a call of which nothing was kept: it read only, or was undone.
pub(crate) fn store_error(error: Error) -> StoreError {
    StoreError::new(kind(&error), error)
}

/// An error from the commit itself, or from a connection that broke while it was on its way.
pub(crate) fn commit_error(error: Error) -> StoreError {
    StoreError::new(StoreErrorKind::OutcomeUnknown, error)
}

/// There is no connection to be had.
pub(crate) fn pool_error(error: PoolError) -> StoreError {
    match error {
        PoolError::Timeout(deadpool_postgres::TimeoutType::Wait) => {
            busy("all connections were taken until the deadline: more may be configured")
        }
        PoolError::Timeout(_) => {
            let why = "the server did not take up a connection until the deadline";
            StoreError::new(StoreErrorKind::Unavailable, why)
        }
        // The server cannot be reached, or does not let us in.
        PoolError::Backend(error) => StoreError::new(StoreErrorKind::Unavailable, error),
        other => StoreError::new(StoreErrorKind::Unavailable, other),
    }
}

pub(crate) fn busy(why: &str) -> StoreError {
    StoreError::new(StoreErrorKind::Busy, why)
}

pub(crate) fn corrupt(what: &'static str) -> StoreError {
    StoreError::new(StoreErrorKind::Corrupt, what)
}

/// The server was asked, and has not answered for longer than it may take.
pub(crate) fn silent(kind: StoreErrorKind, after: Duration) -> StoreError {
    let why = format!("the server has not answered for {} s", after.as_secs_f64());
    StoreError::new(kind, why)
}

/// Whether the connection is of no more use. What the server says of itself, and goes on, is none of that.
pub(crate) fn is_broken(error: &Error) -> bool {
    match error.as_db_error() {
        Some(said) => match said.parsed_severity() {
            Some(severity) => matches!(severity, Severity::Fatal | Severity::Panic),
            // Poolers say it in one word, as servers did before 9.6.
            None => said.severity() != "ERROR",
        },
        None => true,
    }
}

/// Whether the same transaction may go through when it is sent again: others were in its way.
pub(crate) fn is_in_the_way(error: &Error) -> bool {
    matches!(
        error.code(),
        Some(&SqlState::T_R_SERIALIZATION_FAILURE | &SqlState::T_R_DEADLOCK_DETECTED)
    )
}

/// Whether a statement has not reached what it was meant to, and said so: see `sql.rs`.
pub(crate) fn is_overtaken(error: &Error) -> bool {
    error.code() == Some(&SqlState::DIVISION_BY_ZERO)
}

fn kind(error: &Error) -> StoreErrorKind {
    let Some(code) = error.code() else {
        // The connection broke, or what came through it makes no sense.
        return StoreErrorKind::Unavailable;
    };
    match *code {
        SqlState::LOCK_NOT_AVAILABLE
        | SqlState::QUERY_CANCELED
        | SqlState::T_R_SERIALIZATION_FAILURE
        | SqlState::T_R_DEADLOCK_DETECTED => StoreErrorKind::Busy,
        SqlState::DISK_FULL => StoreErrorKind::Full,
        // Another milepost's tables, or none: somebody has dropped or changed them since the store was opened.
        SqlState::UNDEFINED_TABLE
        | SqlState::UNDEFINED_COLUMN
        | SqlState::INVALID_SCHEMA_NAME
        | SqlState::DATATYPE_MISMATCH
        | SqlState::DUPLICATE_TABLE => StoreErrorKind::Incompatible,
        SqlState::DATA_CORRUPTED | SqlState::INDEX_CORRUPTED => StoreErrorKind::Corrupt,
        // The third is what a standby says to who would write.
        SqlState::INSUFFICIENT_PRIVILEGE
        | SqlState::READ_ONLY_SQL_TRANSACTION
        | SqlState::FEATURE_NOT_SUPPORTED
        | SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT => StoreErrorKind::Unavailable,
        // Class 08, of connections; 57, what an operator does; 58, of the system below; 53, of its resources.
        _ => match &code.code()[..2] {
            "08" | "53" | "57" | "58" => StoreErrorKind::Unavailable,
            _ => StoreErrorKind::Other,
        },
    }
}
