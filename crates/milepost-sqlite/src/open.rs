//! Opening a file, and making it if it is not there.

use std::fs;
use std::io;
use std::path::Path;

use milepost_core::{StoreError, StoreErrorKind};
use rusqlite::Connection;

use crate::config::SqliteConfig;
use crate::connection::{accept, connect, set_up};
use crate::error::{corrupt, refuse, store_error, unavailable};
use crate::path::{beside, check_beside};
use crate::pool::Deadline;
use crate::{header, make, media, schema};

/// Makes the file if it is not there, and refuses it untouched if it is not ours.
pub(crate) fn find_file(
    path: &Path,
    config: &SqliteConfig,
    deadline: Deadline,
) -> Result<(), StoreError> {
    check_beside(path)?;
    let at_path = AtPath::look(path)?;
    if at_path == AtPath::Nothing && !config.create_if_missing {
        return Err(refuse("there is no such file"));
    }
    check_nothing_is_left_over(path, at_path)?;
    match at_path {
        AtPath::Nothing => make::make(path, config, deadline),
        AtPath::EmptyFile => Ok(()),
        AtPath::Content => {
            header::check(path)?;
            // Who may not look into the directory may have the file all the same.
            let _ = make::remove_temporary_name(path);
            Ok(())
        }
    }
}

/// Opens what was found, for writing; says whether a WAL with content stood beside it.
pub(crate) fn open_file(
    path: &Path,
    config: &SqliteConfig,
    deadline: Deadline,
) -> Result<(Connection, bool), StoreError> {
    // Before SQLite takes from it what stands there whole.
    let has_wal = has_content(path, "-wal");
    let connection = connect(path, config, deadline)?;
    schema::upgrade(&connection, deadline)?;
    media::note_opened(&connection, config, deadline)?;
    accept(&connection, config)?;
    Ok((connection, has_wal))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum AtPath {
    Nothing,
    EmptyFile,
    Content,
}

impl AtPath {
    fn look(path: &Path) -> Result<Self, StoreError> {
        match fs::metadata(path) {
            Ok(file) if file.is_dir() => Err(refuse("the path is a directory: give a file in it")),
            Ok(file) if !file.is_file() => Err(refuse("the path is no regular file")),
            // SQLite takes what is shorter than its smallest page for a database with nothing in it.
            Ok(file) if (1..512).contains(&file.len()) => {
                let why = "the file is too short for a SQLite database: it is another program's, or truncated";
                Err(StoreError::new(StoreErrorKind::Incompatible, why))
            }
            Ok(file) if file.len() == 0 => Ok(AtPath::EmptyFile),
            Ok(_) => Ok(AtPath::Content),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(AtPath::Nothing),
            Err(error) => Err(unavailable("the file cannot be looked at", &error)),
        }
    }
}

/// Whether something stands beside a file.
fn has_content(path: &Path, suffix: &str) -> bool {
    fs::metadata(beside(path, suffix)).is_ok_and(|file| file.len() > 0)
}

/// SQLite would put what it finds beside a new file into it: processes of a database that is gone, or
/// half of them.
fn check_nothing_is_left_over(path: &Path, at_path: AtPath) -> Result<(), StoreError> {
    let left_over = match at_path {
        AtPath::Nothing => has_content(path, "-wal") || has_content(path, "-journal"),
        // A journal beside an empty file is of somebody who is filling it, or SQLite removes it.
        AtPath::EmptyFile => has_content(path, "-wal"),
        AtPath::Content => false,
    };
    // Looked at again: somebody else may have made the file meanwhile, and what is beside it is theirs.
    if left_over && AtPath::look(path)? == at_path {
        return Err(corrupt(
            "the file is missing or empty, but a WAL or journal with content stands beside it: bring the \
             file back, or remove those too",
        ));
    }
    Ok(())
}

/// A database of its own in memory.
pub(crate) fn open_memory(config: &SqliteConfig) -> Result<Connection, StoreError> {
    let deadline = Deadline::after(config.busy_timeout);
    let connection = Connection::open_in_memory().map_err(store_error)?;
    set_up(&connection, config, deadline)?;
    schema::upgrade(&connection, deadline)?;
    Ok(connection)
}

/// Opens another connection to a file that was accepted, for reading.
pub(crate) fn open_reader(
    path: &Path,
    config: &SqliteConfig,
    deadline: Deadline,
) -> Result<Connection, StoreError> {
    let connection = connect(path, config, deadline)?;
    connection
        .pragma_update(None, "query_only", true)
        .map_err(store_error)?;
    accept(&connection, config)?;
    Ok(connection)
}
