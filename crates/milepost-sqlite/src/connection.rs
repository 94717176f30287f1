//! Connections, and what each is set to.

use std::path::Path;
use std::time::Duration;

use milepost_core::{StoreError, WipeLevel};
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use crate::config::{Durability, SqliteConfig};
use crate::error::{refuse, store_error};
use crate::path::check_beside;
use crate::pool::Deadline;

/// How many prepared statements a connection keeps: all that there are.
const STATEMENTS: usize = 80;
/// How large the WAL may stay once its content is in the main file.
const WAL_BYTES: i64 = 16 * 1024 * 1024;

/// Opens a connection that leaves the WAL as it is when it is closed, until whoever accepts the file says otherwise:
/// even setting it up may find that the file is damaged.
pub(crate) fn connect(
    path: &Path,
    config: &SqliteConfig,
    deadline: Deadline,
) -> Result<Connection, StoreError> {
    check_beside(path)?;
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_NO_MUTEX
        | OpenFlags::SQLITE_OPEN_NOFOLLOW;
    let connection = Connection::open_with_flags(path, flags).map_err(store_error)?;
    check_writable(
        &connection,
        "the file is read-only: see its mode, and how its disk is mounted",
    )?;
    keep_wal_on_close(&connection, true)?;
    set_up(&connection, config, deadline)?;
    Ok(connection)
}

/// SQLite opens what it may not write to as well, and fails later without saying why. Once it has read the header it also
/// knows of a format that only a newer SQLite may write.
pub(crate) fn check_writable(connection: &Connection, else_why: &str) -> Result<(), StoreError> {
    if connection.is_readonly("main").map_err(store_error)? {
        return Err(refuse(else_why));
    }
    Ok(())
}

/// What every connection is set to. Nothing here writes to the file.
pub(crate) fn set_up(
    connection: &Connection,
    config: &SqliteConfig,
    deadline: Deadline,
) -> Result<(), StoreError> {
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
        // Plans never depend on what is bound. Otherwise a statement with a bound LIMIT is prepared anew each time it
        // comes out of the cache, which took a third of a page's time (`sqlite3_clear_bindings` in SQLite 3.54).
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
        connection.pragma_update(None, "cell_size_check", true)?;
        // A mapped file turns an I/O error into a signal.
        connection.pragma_update(None, "mmap_size", 0)?;
        // No copy of anything in a temporary file.
        connection.pragma_update(None, "temp_store", "MEMORY")?;
        connection.pragma_update(None, "secure_delete", true)?;
        let wal_bytes = if keeps_wal(config) { -1 } else { WAL_BYTES };
        connection.pragma_update(None, "journal_size_limit", wal_bytes)?;
        connection.pragma_update(None, "synchronous", synchronous(config.durability))
    };
    deadline.retry(set).map_err(store_error)
}

/// Runs one of our statements that takes nothing and answers nothing.
pub(crate) fn run(connection: &Connection, statement: &str) -> rusqlite::Result<()> {
    connection.prepare_cached(statement)?.execute([]).map(drop)
}

/// Does `work` with SQLite itself waiting for others, which else is ours to do: see `Deadline::retry`.
pub(crate) fn waiting<T>(
    connection: &Connection,
    patience: Duration,
    work: impl FnOnce() -> T,
) -> Result<T, StoreError> {
    connection.busy_timeout(patience).map_err(store_error)?;
    let done = work();
    connection
        .busy_timeout(Duration::ZERO)
        .map_err(store_error)?;
    Ok(done)
}

pub(crate) fn synchronous(durability: Durability) -> &'static str {
    match durability {
        Durability::Full => "FULL",
        Durability::Normal => "NORMAL",
    }
}

/// Accepts the file that it is a connection to: closing it may change its WAL as the host wants it.
pub(crate) fn accept(connection: &Connection, config: &SqliteConfig) -> Result<(), StoreError> {
    keep_wal_on_close(connection, keeps_wal(config))
}

/// Whether no block of the WAL is given back to the file system.
fn keeps_wal(config: &SqliteConfig) -> bool {
    config.wipe_level == WipeLevel::Media
}

pub(crate) fn keep_wal_on_close(connection: &Connection, keep: bool) -> Result<(), StoreError> {
    let set = connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, keep);
    set.map(drop).map_err(store_error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::open::{find_file, open_file, open_reader};

    #[test]
    fn every_connection_runs_nothing_that_a_file_brings() {
        let directory = tempfile::tempdir().expect("there is room for a directory");
        let path = directory.path().join("status.db");
        let config = SqliteConfig::new(&path);
        let deadline = Deadline::after(Duration::from_secs(5));
        find_file(&path, &config, deadline).expect("it is made");
        let (writer, _) = open_file(&path, &config, deadline).expect("it opens");
        let reader = open_reader(&path, &config, deadline).expect("it opens");
        for connection in [writer, reader] {
            let pragma = |name| {
                connection
                    .pragma_query_value(None, name, |row| row.get::<_, i64>(0))
                    .expect("a number")
            };
            let in_memory = 2;
            for (name, value) in [
                ("trusted_schema", 0),
                ("cell_size_check", 1),
                ("secure_delete", 1),
                ("temp_store", in_memory),
                ("mmap_size", 0),
            ] {
                assert_eq!(pragma(name), value, "{name}");
            }
            for (config, on) in [
                (DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true),
                (DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false),
                (DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, false),
                (DbConfig::SQLITE_DBCONFIG_DQS_DML, false),
                (DbConfig::SQLITE_DBCONFIG_DQS_DDL, false),
                (DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, false),
            ] {
                assert_eq!(connection.db_config(config), Ok(on), "{config:?}");
            }
            for refused in [
                "SELECT \"taken for a text\"",
                "UPDATE sqlite_schema SET sql = ''",
                "PRAGMA writable_schema = ON; UPDATE sqlite_schema SET sql = ''",
            ] {
                assert!(connection.execute_batch(refused).is_err(), "{refused}");
            }
            // And not only because there is no such file.
            let loaded = connection.execute_batch("SELECT load_extension('evil')");
            let refused = loaded.expect_err("it is refused").to_string();
            assert!(refused.contains("not authorized"), "{refused}");
        }
    }
}
