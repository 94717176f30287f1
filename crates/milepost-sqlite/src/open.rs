//! Opening a file, and setting connections up.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use milepost_core::{StoreError, StoreErrorKind};
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use crate::config::{Durability, SqliteConfig};
use crate::error::{corrupt, store_error};
use crate::pool::Deadline;
use crate::{header, make, schema};

/// How many prepared statements a connection keeps: all that there are.
const STATEMENTS: usize = 64;
/// How large the WAL may stay once its content is in the main file.
const WAL_BYTES: i64 = 16 * 1024 * 1024;

/// The file that a configuration means: absolute, so that it is never taken for a URI.
pub(crate) fn resolve(config: &SqliteConfig) -> Result<PathBuf, StoreError> {
    let path = std::path::absolute(&config.path)
        .map_err(|error| unavailable("the path is empty", &error))?;
    let (Some(directory), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(refuse("the path names no file"));
    };
    let directory = fs::canonicalize(directory).map_err(|error| {
        unavailable(
            &format!("the directory {} cannot be used", directory.display()),
            &error,
        )
    })?;
    let path = directory.join(name);
    match fs::symlink_metadata(&path) {
        Ok(link) if link.is_symlink() && !config.follow_symlinks => Err(refuse(
            "the path is a symbolic link: give the file itself, or set `follow_symlinks`",
        )),
        Ok(link) if link.is_symlink() => fs::canonicalize(&path)
            .map_err(|error| unavailable("the symbolic link leads nowhere", &error)),
        Ok(_) => Ok(path),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(path),
        Err(error) => Err(unavailable("the path cannot be looked at", &error)),
    }
}

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

pub(crate) fn connect(path: &Path, config: &SqliteConfig) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_NO_MUTEX
        | OpenFlags::SQLITE_OPEN_NOFOLLOW;
    let connection = Connection::open_with_flags(path, flags).map_err(store_error)?;
    set_up(&connection, config)?;
    Ok(connection)
}

/// What every connection is set to. Nothing here writes to the file.
fn set_up(connection: &Connection, config: &SqliteConfig) -> Result<(), StoreError> {
    let set = || {
        // Waiting is ours: see `Deadline::retry`.
        connection.busy_timeout(Duration::ZERO)?;
        connection.set_prepared_statement_cache_capacity(STATEMENTS);
        // A hostile schema can run nothing, and our own statements cannot break the file.
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, false)?;
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DQS_DML, false)?;
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DQS_DDL, false)?;
        connection.pragma_update(None, "cell_size_check", true)?;
        // A mapped file turns an I/O error into a signal.
        connection.pragma_update(None, "mmap_size", 0)?;
        // No copy of anything in a temporary file.
        connection.pragma_update(None, "temp_store", "MEMORY")?;
        connection.pragma_update(None, "secure_delete", true)?;
        connection.pragma_update(None, "journal_size_limit", WAL_BYTES)?;
        connection.pragma_update(None, "synchronous", synchronous(config.durability))
    };
    set().map_err(store_error)
}

pub(crate) fn synchronous(durability: Durability) -> &'static str {
    match durability {
        Durability::Full => "FULL",
        Durability::Normal => "NORMAL",
    }
}

fn keep_wal_on_close(connection: &Connection, keep: bool) -> Result<(), StoreError> {
    let set = connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, keep);
    set.map(drop).map_err(store_error)
}

/// The path of a file that SQLite, or we, put beside another.
pub(crate) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    PathBuf::from(name)
}

pub(crate) fn refuse(why: &str) -> StoreError {
    StoreError::new(StoreErrorKind::Unavailable, why)
}

pub(crate) fn unavailable(what: &str, error: &io::Error) -> StoreError {
    StoreError::new(StoreErrorKind::Unavailable, format!("{what}: {error}"))
}
