//! Connections, set as milepost sets its own.

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, Result};

use super::sql;

/// More than there are statements.
const STATEMENTS: usize = 32;
const WAL_BYTES: i64 = 16 * 1024 * 1024;

/// What survives a power cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Synchronous {
    /// Every commit.
    Full,
    /// All but the newest commits.
    Normal,
}

impl Synchronous {
    fn name(self) -> &'static str {
        match self {
            Synchronous::Full => "FULL",
            Synchronous::Normal => "NORMAL",
        }
    }
}

/// Opens a file, and makes it if it is not there.
pub(super) fn open(path: &Path, synchronous: Synchronous) -> Result<Connection> {
    let connection = connect(path, synchronous)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    if !connection.table_exists(None, "process")? {
        connection.execute_batch(sql::SCHEMA)?;
    }
    Ok(connection)
}

pub(super) fn connect(path: &Path, synchronous: Synchronous) -> Result<Connection> {
    let connection = Connection::open(path)?;
    connection.busy_timeout(Duration::from_secs(5))?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    connection.pragma_update(None, "mmap_size", 0)?;
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    connection.pragma_update(None, "secure_delete", true)?;
    connection.pragma_update(None, "journal_size_limit", WAL_BYTES)?;
    connection.pragma_update(None, "synchronous", synchronous.name())?;
    Ok(connection)
}

/// Runs a statement that takes nothing and answers nothing.
pub(super) fn run(connection: &Connection, statement: &str) -> Result<()> {
    connection.prepare_cached(statement)?.execute([]).map(drop)
}
