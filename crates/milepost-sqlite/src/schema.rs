//! The schema: making it, bringing it up to date, and seeing that it is there.

use milepost_core::StoreError;
use rusqlite::Connection;

use crate::error::{corrupt, refuse, store_error};
use crate::header::{Marks, check_marks};
use crate::pool::{Deadline, begin};
use crate::rows::Table;
use crate::sql;

/// Brings the schema to this library's version, in one transaction; a new file is one at version 0.
pub(crate) fn upgrade(connection: &Connection, deadline: Deadline) -> Result<(), StoreError> {
    let read_marks = || Marks::read(connection);
    let marks = deadline.retry(read_marks).map_err(store_error)?;
    if marks.application_id == 0 && marks.schema_version == 0 && is_blank(connection, deadline)? {
        // Only while the file has no pages yet.
        connection
            .pragma_update(None, "auto_vacuum", "INCREMENTAL")
            .map_err(store_error)?;
    } else {
        // The marks may have changed in the WAL since the header was written.
        check_marks(&marks)?;
    }
    switch_to_wal(connection, deadline)?;
    begin(connection, sql::BEGIN_WRITE, deadline)?;
    let upgraded = upgrade_within(connection);
    let end = if upgraded.is_ok() {
        sql::COMMIT
    } else {
        sql::ROLLBACK
    };
    let ended = connection.execute_batch(end).map_err(store_error);
    upgraded.and(ended)?;
    check_tables(connection)
}

fn is_blank(connection: &Connection, deadline: Deadline) -> Result<bool, StoreError> {
    let count = || {
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| {
            row.get::<_, i64>(0)
        })
    };
    deadline
        .retry(count)
        .map(|objects| objects == 0)
        .map_err(store_error)
}

fn upgrade_within(connection: &Connection) -> Result<(), StoreError> {
    // Read again under the lock: another OS process may have upgraded meanwhile.
    let Marks { schema_version, .. } = Marks::read(connection).map_err(store_error)?;
    let done =
        usize::try_from(schema_version).map_err(|_| corrupt("the schema version is negative"))?;
    let Some(upgrades) = sql::UPGRADES
        .get(done..)
        .filter(|upgrades| !upgrades.is_empty())
    else {
        return Ok(());
    };
    for upgrade in upgrades {
        connection.execute_batch(upgrade).map_err(store_error)?;
    }
    connection
        .pragma_update(None, "user_version", sql::SCHEMA_VERSION)
        .map_err(store_error)
}

/// A file stays in WAL mode once it was set; memory has a journal of its own.
fn switch_to_wal(connection: &Connection, deadline: Deadline) -> Result<(), StoreError> {
    let set = || {
        connection.query_row("PRAGMA journal_mode = WAL", [], |row| {
            row.get::<_, String>(0)
        })
    };
    match deadline.retry(set).map_err(store_error)?.as_str() {
        "wal" | "memory" => Ok(()),
        _ => Err(refuse(
            "the file cannot be put into WAL mode, which needs a local disk",
        )),
    }
}

/// Whether what we are going to ask for is there: a damaged schema shows here and not later.
fn check_tables(connection: &Connection) -> Result<(), StoreError> {
    let mut statements = vec![sql::PROGRESS, sql::LOAD];
    for table in Table::BOTH {
        statements.extend([table.of(sql::NEWEST_BY_STATUS), table.of(sql::PURGE)]);
    }
    let prepared = statements
        .into_iter()
        .try_for_each(|sql| connection.prepare(sql).map(drop));
    prepared.map_err(store_error)
}
