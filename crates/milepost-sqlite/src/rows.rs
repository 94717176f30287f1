//! Between a process and its row.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use chrono::{DateTime, Utc};
use milepost_core::{
    File, FileId, Indexed, OverallStatus, Place, Process, RequestId, StoreError, Version,
};
use rusqlite::types::ValueRef;
use rusqlite::{CachedStatement, Connection, Row, ToSql, params};
use uuid::Uuid;

use crate::error::{corrupt, store_error};
use crate::sql;

/// The two tables of one shape.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Table {
    A,
    B,
}

impl Table {
    pub(crate) const BOTH: [Table; 2] = [Table::A, Table::B];

    pub(crate) fn from_number(number: i64) -> Result<Self, StoreError> {
        match number {
            0 => Ok(Table::A),
            1 => Ok(Table::B),
            _ => Err(corrupt("there is no third table of processes")),
        }
    }

    pub(crate) fn other(self) -> Self {
        match self {
            Table::A => Table::B,
            Table::B => Table::A,
        }
    }

    /// The statement for this table.
    pub(crate) fn of(self, statements: sql::PerTable) -> &'static str {
        match self {
            Table::A => statements[0],
            Table::B => statements[1],
        }
    }
}

/// Where a row is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Home {
    pub(crate) table: Table,
    pub(crate) row: i64,
}

pub(crate) fn id_bytes(id: RequestId) -> [u8; 16] {
    Uuid::from(id).into_bytes()
}

pub(crate) fn file_bytes(id: FileId) -> [u8; 16] {
    Uuid::from(id).into_bytes()
}

/// A time as a column holds it.
pub(crate) fn micros(time: DateTime<Utc>) -> i64 {
    time.timestamp_micros()
}

fn time(micros: i64) -> Result<DateTime<Utc>, StoreError> {
    DateTime::from_timestamp_micros(micros).ok_or(corrupt("a time is out of range"))
}

fn uuid(bytes: &[u8]) -> Result<Uuid, StoreError> {
    Uuid::from_slice(bytes).map_err(|_| corrupt("an id has not 16 bytes"))
}

/// A row with all of a process: where it is, what its columns hold, and its body.
pub(crate) struct Found<'r> {
    pub(crate) home: Home,
    pub(crate) indexed: Indexed<'r>,
    pub(crate) body: &'r [u8],
}

impl<'r> Found<'r> {
    /// From the columns of the `LOAD` statements.
    fn of(table: Table, row: &'r Row<'_>) -> Result<Self, StoreError> {
        Ok(Found {
            home: Home {
                table,
                row: row.get(0).map_err(store_error)?,
            },
            indexed: indexed(row, 1)?,
            body: blob(row, 9)?,
        })
    }
}

/// Shows the stored process of this id to `see`, if there is one. It is looked for in the table in which
/// something was found last, and then, seen at one moment, in both.
pub(crate) fn find<T>(
    connection: &Connection,
    last: &LastTable,
    id: RequestId,
    see: impl FnOnce(Found<'_>) -> Result<T, StoreError>,
) -> Result<Option<T>, StoreError> {
    let table = last.get();
    let mut statement = prepared(connection, table.of(sql::LOAD))?;
    let mut rows = statement.query([id_bytes(id)]).map_err(store_error)?;
    if let Some(row) = rows.next().map_err(store_error)? {
        return see(Found::of(table, row)?).map(Some);
    }
    let mut statement = prepared(connection, sql::LOAD_ANY)?;
    let mut rows = statement.query([id_bytes(id)]).map_err(store_error)?;
    let Some(row) = rows.next().map_err(store_error)? else {
        return Ok(None);
    };
    let table = Table::from_number(row.get(10).map_err(store_error)?)?;
    last.set(table);
    see(Found::of(table, row)?).map(Some)
}

/// The table in which something was found last: where to look first.
#[derive(Debug, Default)]
pub(crate) struct LastTable(AtomicBool);

impl LastTable {
    fn get(&self) -> Table {
        if self.0.load(Ordering::Relaxed) {
            Table::B
        } else {
            Table::A
        }
    }

    fn set(&self, table: Table) {
        self.0.store(table == Table::B, Ordering::Relaxed);
    }
}

/// The stored process of this id.
pub(crate) fn load(
    connection: &Connection,
    last: &LastTable,
    id: RequestId,
) -> Result<Option<Arc<Process>>, StoreError> {
    find(connection, last, id, |found| {
        let process = Process::from_body(id, &found.indexed, found.body)?;
        Ok(Arc::new(process))
    })
}

/// The process at a place that was read within the same transaction.
pub(crate) fn record(
    connection: &Connection,
    home: Home,
    id: RequestId,
) -> Result<Arc<Process>, StoreError> {
    let mut statement = prepared(connection, home.table.of(sql::RECORD))?;
    let mut rows = statement.query([home.row]).map_err(store_error)?;
    let row = rows
        .next()
        .map_err(store_error)?
        .ok_or(corrupt("an index names a row that is not there"))?;
    decode(row, 0, id)
}

/// The process in the columns from `first` on.
pub(crate) fn decode(
    row: &Row<'_>,
    first: usize,
    id: RequestId,
) -> Result<Arc<Process>, StoreError> {
    let process = Process::from_body(id, &indexed(row, first)?, blob(row, first + 8)?)?;
    Ok(Arc::new(process))
}

/// The stored version of this id.
pub(crate) fn version(
    connection: &Connection,
    id: RequestId,
) -> Result<Option<Version>, StoreError> {
    let mut statement = prepared(connection, sql::VERSION)?;
    let mut rows = statement.query([id_bytes(id)]).map_err(store_error)?;
    let Some(row) = rows.next().map_err(store_error)? else {
        return Ok(None);
    };
    Ok(Some(Process::version_of_body(id, blob(row, 0)?)?))
}

fn prepared<'c>(
    connection: &'c Connection,
    statement: &str,
) -> Result<CachedStatement<'c>, StoreError> {
    connection.prepare_cached(statement).map_err(store_error)
}

/// Adds a process, whose body is given.
pub(crate) fn insert(
    connection: &Connection,
    table: Table,
    process: &Process,
    body: &[u8],
) -> Result<(), StoreError> {
    let id = id_bytes(process.request_id());
    let statement = table.of(sql::INSERT);
    with_columns(process, body, &id, |columns| {
        connection.prepare_cached(statement)?.execute(columns)
    })
}

/// Replaces a process, whatever has changed.
pub(crate) fn replace(
    connection: &Connection,
    home: Home,
    process: &Process,
    body: &[u8],
) -> Result<(), StoreError> {
    let statement = home.table.of(sql::REPLACE);
    with_columns(process, body, &home.row, |columns| {
        connection.prepare_cached(statement)?.execute(columns)
    })
}

/// Replaces a process that has settled or gone on again, and is otherwise at the same places in every index.
pub(crate) fn settle(
    connection: &Connection,
    home: Home,
    process: &Process,
    body: &[u8],
) -> Result<(), StoreError> {
    let parameters = params![
        process.status().code(),
        process.settled_at().map(micros),
        process.leased_until().map(micros),
        body,
        home.row
    ];
    let mut statement = prepared(connection, home.table.of(sql::SETTLE))?;
    exactly_one(statement.execute(parameters))
}

/// Replaces what no index holds of a process.
pub(crate) fn advance(connection: &Connection, home: Home, body: &[u8]) -> Result<(), StoreError> {
    let mut statement = prepared(connection, home.table.of(sql::ADVANCE))?;
    exactly_one(statement.execute(params![body, home.row]))
}

/// Replaces what no index but that of leases holds of a process.
pub(crate) fn lease(
    connection: &Connection,
    home: Home,
    process: &Process,
    body: &[u8],
) -> Result<(), StoreError> {
    let mut statement = prepared(connection, home.table.of(sql::LEASE))?;
    let until = process.leased_until().map(micros);
    exactly_one(statement.execute(params![body, home.row, until]))
}

pub(crate) fn delete(connection: &Connection, home: Home) -> Result<(), StoreError> {
    let mut statement = prepared(connection, home.table.of(sql::DELETE))?;
    exactly_one(statement.execute([home.row]))
}

fn with_columns(
    process: &Process,
    body: &[u8],
    last: &dyn ToSql,
    execute: impl FnOnce(&[&dyn ToSql; 10]) -> rusqlite::Result<usize>,
) -> Result<(), StoreError> {
    let file = process.file();
    exactly_one(execute(&[
        &micros(process.created_at()),
        &process.status().code(),
        &process.settled_at().map(micros),
        &process.expires_at().map(micros),
        &process.leased_until().map(micros),
        &process.pipeline(),
        &file_bytes(file.id()),
        &directory(file),
        &body,
        last,
    ]))
}

/// A directory as its column holds it: NULL, of which the index holds nothing, for the one that all files have
/// that were given none.
fn directory(file: &File) -> Option<&str> {
    Some(file.symbolic_directory_path()).filter(|path| *path != File::DEFAULT_DIRECTORY)
}

fn exactly_one(changed: rusqlite::Result<usize>) -> Result<(), StoreError> {
    match changed.map_err(store_error)? {
        1 => Ok(()),
        _ => Err(corrupt("a row vanished within a transaction")),
    }
}

/// What the indexes hold of a row, in its columns from `first` on.
fn indexed<'r>(row: &'r Row<'_>, first: usize) -> Result<Indexed<'r>, StoreError> {
    let optional = |column| {
        let micros = row.get::<_, Option<i64>>(first + column);
        micros.map_err(store_error)?.map(time).transpose()
    };
    Ok(Indexed {
        created_at: time(row.get(first).map_err(store_error)?)?,
        status: status(row.get(first + 1).map_err(store_error)?)?,
        settled_at: optional(2)?,
        expires_at: optional(3)?,
        leased_until: optional(4)?,
        pipeline: text(row, first + 5)?,
        file_id: uuid(blob(row, first + 6)?)?.into(),
        directory: match row.get_ref(first + 7).map_err(store_error)? {
            ValueRef::Null => File::DEFAULT_DIRECTORY,
            _ => text(row, first + 7)?,
        },
    })
}

fn text<'r>(row: &'r Row<'_>, column: usize) -> Result<&'r str, StoreError> {
    let value = row.get_ref(column).map_err(store_error)?;
    value.as_str().map_err(|_| corrupt("a name is no text"))
}

pub(crate) fn blob<'r>(row: &'r Row<'_>, column: usize) -> Result<&'r [u8], StoreError> {
    let value = row.get_ref(column).map_err(store_error)?;
    value.as_blob().map_err(|_| corrupt("bytes are no blob"))
}

/// What a scan reads of a row.
pub(crate) struct Scanned<'r> {
    pub(crate) row: i64,
    pub(crate) place: Place,
    pub(crate) indexed: Indexed<'r>,
}

impl<'r> Scanned<'r> {
    /// From the columns of the `SCAN` statements.
    pub(crate) fn of(row: &'r Row<'_>) -> Result<Self, StoreError> {
        Ok(Scanned {
            row: row.get(9).map_err(store_error)?,
            place: place(row)?,
            indexed: indexed(row, 1)?,
        })
    }
}

/// The place in the first two columns: the id, and when it was created.
pub(crate) fn place(row: &Row<'_>) -> Result<Place, StoreError> {
    Ok(Place {
        request_id: uuid(blob(row, 0)?)?.into(),
        created_at: time(row.get(1).map_err(store_error)?)?,
    })
}

pub(crate) fn status(code: i64) -> Result<OverallStatus, StoreError> {
    let known = u8::try_from(code).ok().and_then(OverallStatus::from_code);
    known.ok_or(corrupt("an overall status has an unknown code"))
}
