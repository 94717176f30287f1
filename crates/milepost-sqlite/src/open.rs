//! Opening a file, and making it if it is not there.

use std::fs;
use std::io;
use std::path::Path;

use milepost_core::{StoreError, StoreErrorKind};
use rusqlite::Connection;

use crate::config::SqliteConfig;
use crate::connection::{connect, keep_wal_on_close, set_up};
use crate::error::{corrupt, refuse, store_error, unavailable};
use crate::path::beside;
use crate::pool::Deadline;
use crate::{header, make, schema};

/// Makes the file if it is not there, refuses it untouched if it is not ours, and opens it.
pub(crate) fn open_file(path: &Path, config: &SqliteConfig) -> Result<Connection, StoreError> {
    let deadline = Deadline::after(config.busy_timeout);
    let is_empty = match fs::metadata(path) {
        Ok(file) if file.is_dir() => {
            return Err(refuse("the path is a directory: give a file in it"));
        }
        Ok(file) if !file.is_file() => return Err(refuse("the path is no regular file")),
        // SQLite takes what is shorter than its smallest page for a database with nothing in it.
        Ok(file) if (1..512).contains(&file.len()) => {
            let why = "the file is too short for a SQLite database: it is another program's, or truncated";
            return Err(StoreError::new(StoreErrorKind::Incompatible, why));
        }
        Ok(file) => file.len() == 0,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            make::make(path, config)?;
            false
        }
        Err(error) => return Err(unavailable("the file cannot be looked at", &error)),
    };
    if is_empty {
        if fs::metadata(beside(path, "-wal")).is_ok_and(|wal| wal.len() > 0) {
            return Err(corrupt(
                "the file is empty, but a WAL with content stands beside it",
            ));
        }
    } else {
        header::check(path)?;
    }
    let connection = connect(path, config)?;
    // A file that is not accepted after all keeps its WAL as it is.
    keep_wal_on_close(&connection, true)?;
    if connection.is_readonly("main").map_err(store_error)? {
        return Err(refuse("the file is read-only"));
    }
    schema::upgrade(&connection, deadline)?;
    keep_wal_on_close(&connection, false)?;
    Ok(connection)
}

/// A database of its own in memory.
pub(crate) fn open_memory(config: &SqliteConfig) -> Result<Connection, StoreError> {
    let connection = Connection::open_in_memory().map_err(store_error)?;
    set_up(&connection, config)?;
    schema::upgrade(&connection, Deadline::after(config.busy_timeout))?;
    Ok(connection)
}

/// Opens another connection to a file that was accepted, for reading.
pub(crate) fn open_reader(path: &Path, config: &SqliteConfig) -> Result<Connection, StoreError> {
    let connection = connect(path, config)?;
    connection
        .pragma_update(None, "query_only", true)
        .map_err(store_error)?;
    Ok(connection)
}
