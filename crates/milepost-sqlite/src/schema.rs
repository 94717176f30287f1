//! The schema: making it, bringing it up to date, and seeing that it is there.

use milepost_core::StoreError;
use rusqlite::Connection;

use crate::error::{corrupt, refuse, store_error};
use crate::header::{Marks, check_marks};
use crate::pool::Deadline;
use crate::rows::Table;
use crate::{sql, upgrades};

/// Brings the schema to this library's version; a new file is one at version 0.
pub(crate) fn upgrade(connection: &Connection, deadline: Deadline) -> Result<(), StoreError> {
    deadline.retry(|| {
        let run = |statement| connection.execute_batch(statement).map_err(store_error);
        run(sql::BEGIN_READ)?;
        let upgraded = upgrade_within(connection).and_then(|()| run(sql::COMMIT));
        if upgraded.is_err() && !connection.is_autocommit() {
            run(sql::ROLLBACK)?;
        }
        upgraded?;
        switch_to_wal(connection)?;
        // An upgrade that was rolled back, because others came first, may leave its own view of the schema.
        run(sql::RELOAD_SCHEMA)?;
        check_tables(connection)
    })
}

/// Reads what there is and makes what is missing, in one transaction, so that no header is ever without
/// its marks.
///
/// It takes the write lock only when it comes to write: taking it gives a new file its first page, after
/// which `auto_vacuum` cannot be chosen. If others write meanwhile it is busy, and done anew.
fn upgrade_within(connection: &Connection) -> Result<(), StoreError> {
    let marks = Marks::read(connection).map_err(store_error)?;
    if marks.application_id == 0 && marks.schema_version == 0 && is_blank(connection)? {
        connection
            .pragma_update(None, "auto_vacuum", "INCREMENTAL")
            .map_err(store_error)?;
    } else {
        // The marks may have changed in the WAL since the header was written.
        check_marks(&marks)?;
    }
    let done = usize::try_from(marks.schema_version)
        .map_err(|_| corrupt("the schema version is negative"))?;
    let Some(upgrades) = upgrades::UPGRADES
        .get(done..)
        .filter(|upgrades| !upgrades.is_empty())
    else {
        return Ok(());
    };
    for upgrade in upgrades {
        connection.execute_batch(upgrade).map_err(store_error)?;
    }
    connection
        .pragma_update(None, "user_version", upgrades::SCHEMA_VERSION)
        .map_err(store_error)
}

fn is_blank(connection: &Connection) -> Result<bool, StoreError> {
    let objects = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| {
        row.get::<_, i64>(0)
    });
    objects.map(|objects| objects == 0).map_err(store_error)
}

/// A file stays in WAL mode once it was set; memory has a journal of its own.
fn switch_to_wal(connection: &Connection) -> Result<(), StoreError> {
    let mode = connection.query_row("PRAGMA journal_mode = WAL", [], |row| {
        row.get::<_, String>(0)
    });
    match mode.map_err(store_error)?.as_str() {
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
        let of_table = [sql::NEWEST_BY_STATUS, sql::SCAN_STALLED, sql::PURGE];
        statements.extend(of_table.map(|statement| table.of(statement)));
    }
    let prepared = statements
        .into_iter()
        .try_for_each(|sql| connection.prepare(sql).map(drop));
    prepared.map_err(store_error)
}
