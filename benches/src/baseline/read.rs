//! Reading, on connections of the readers' own.

use rusqlite::{Connection, Result, Row, Rows, params};
use uuid::Uuid;

use super::apply::{modules, status};
use super::connection::run;
use super::process::{Process, Status};
use super::sql;

pub(super) fn one(connection: &Connection, id: Uuid) -> Result<Option<Process>> {
    let mut select = connection.prepare_cached(sql::READ)?;
    let mut rows = select.query([id.as_bytes()])?;
    rows.next()?.map(process).transpose()
}

/// Reads in one transaction, which takes SQLite's read lock once.
pub(super) fn many(connection: &Connection, ids: &[Uuid]) -> Result<Vec<Option<Process>>> {
    run(connection, sql::BEGIN_READ)?;
    let found = ids.iter().map(|id| one(connection, *id)).collect();
    run(connection, sql::COMMIT)?;
    found
}

pub(super) fn page(
    connection: &Connection,
    pipeline: &str,
    status: Status,
    limit: u32,
    after: Option<(i64, Uuid)>,
) -> Result<Vec<Process>> {
    let code = status.code();
    match after {
        None => {
            let mut select = connection.prepare_cached(sql::NEWEST)?;
            collect(select.query(params![pipeline, code, limit])?)
        }
        Some((created_at, id)) => {
            let mut select = connection.prepare_cached(sql::NEWEST_AFTER)?;
            let id = id.as_bytes();
            collect(select.query(params![pipeline, code, limit, created_at, id])?)
        }
    }
}

pub(super) fn counts(connection: &Connection) -> Result<Vec<(Status, u64)>> {
    let mut select = connection.prepare_cached(sql::COUNT)?;
    let counts = select.query_map([], |row| {
        Ok((status(row, 0)?, row.get::<_, i64>(1)?.unsigned_abs()))
    })?;
    counts.collect()
}

fn collect(mut rows: Rows<'_>) -> Result<Vec<Process>> {
    let mut processes = Vec::new();
    while let Some(row) = rows.next()? {
        processes.push(process(row)?);
    }
    Ok(processes)
}

fn process(row: &Row<'_>) -> Result<Process> {
    Ok(Process {
        id: Uuid::from_bytes(row.get(0)?),
        pipeline: row.get(1)?,
        status: status(row, 2)?,
        created_at: row.get(3)?,
        updated_at: row.get(4)?,
        expires_at: row.get(5)?,
        file: row.get(6)?,
        modules: modules(row, 7)?,
    })
}
