//! Between a process and its row.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use milepost_core::{
    FileId, Indexed, ModuleStateKind, OverallStatus, Place, Process, RequestId, StoreError, Version,
};
use rusqlite::{Connection, Row, ToSql};
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

/// A stored process, where it is, and how many bytes its record has.
pub(crate) struct Loaded {
    pub(crate) home: Home,
    pub(crate) process: Arc<Process>,
    pub(crate) bytes: usize,
}

/// The stored process of this id.
pub(crate) fn load(connection: &Connection, id: RequestId) -> Result<Option<Loaded>, StoreError> {
    let mut statement = connection.prepare_cached(sql::LOAD).map_err(store_error)?;
    let mut rows = statement.query([id_bytes(id)]).map_err(store_error)?;
    let Some(row) = rows.next().map_err(store_error)? else {
        return Ok(None);
    };
    let table = Table::from_number(row.get(0).map_err(store_error)?)?;
    let home = Home {
        table,
        row: row.get(1).map_err(store_error)?,
    };
    let bytes = row
        .get_ref(2)
        .map_err(store_error)?
        .as_blob()
        .map_or(0, <[u8]>::len);
    Ok(Some(Loaded {
        home,
        process: decode(row, 2, id)?,
        bytes,
    }))
}

/// The process at a place that was read within the same transaction.
pub(crate) fn record(
    connection: &Connection,
    home: Home,
    id: RequestId,
) -> Result<Arc<Process>, StoreError> {
    let statement = connection.prepare_cached(home.table.of(sql::RECORD));
    let mut statement = statement.map_err(store_error)?;
    let mut rows = statement.query([home.row]).map_err(store_error)?;
    let row = rows
        .next()
        .map_err(store_error)?
        .ok_or(corrupt("an index names a row that is not there"))?;
    decode(row, 0, id)
}

/// The process in a row's column, which must be the one that its id column says.
pub(crate) fn decode(
    row: &Row<'_>,
    column: usize,
    id: RequestId,
) -> Result<Arc<Process>, StoreError> {
    let bytes = row.get_ref(column).map_err(store_error)?.as_blob();
    let process = Process::from_record(bytes.map_err(|_| corrupt("a record is no blob"))?)?;
    if process.request_id() != id {
        return Err(corrupt("a record belongs to another id than its row"));
    }
    Ok(Arc::new(process))
}

/// The stored version of this id.
pub(crate) fn version(
    connection: &Connection,
    id: RequestId,
) -> Result<Option<Version>, StoreError> {
    let mut statement = connection
        .prepare_cached(sql::VERSION)
        .map_err(store_error)?;
    let mut rows = statement.query([id_bytes(id)]).map_err(store_error)?;
    let Some(row) = rows.next().map_err(store_error)? else {
        return Ok(None);
    };
    let born = row.get::<_, i64>(0).map_err(store_error)?.cast_unsigned();
    let revision = row.get::<_, i64>(1).map_err(store_error)?.cast_unsigned();
    Ok(Some(Version { born, revision }))
}

/// Adds a process.
pub(crate) fn insert(
    connection: &Connection,
    table: Table,
    process: &Process,
) -> Result<(), StoreError> {
    with_columns(process, |columns| {
        connection
            .prepare_cached(table.of(sql::INSERT))?
            .execute(columns)
    })
}

/// Replaces a process, whatever has changed.
pub(crate) fn replace(
    connection: &Connection,
    home: Home,
    process: &Process,
) -> Result<(), StoreError> {
    with_columns(process, |columns| {
        let mut all = [&home.row as &dyn ToSql; 15];
        all[..14].copy_from_slice(columns);
        connection
            .prepare_cached(home.table.of(sql::REPLACE))?
            .execute(all)
    })
}

/// Replaces what no index holds of a process.
pub(crate) fn advance(
    connection: &Connection,
    home: Home,
    process: &Process,
) -> Result<(), StoreError> {
    with_progress(process, &home, |columns| {
        connection
            .prepare_cached(home.table.of(sql::ADVANCE))?
            .execute(columns)
    })
}

/// Replaces what no index but that of leases holds of a process.
pub(crate) fn lease(
    connection: &Connection,
    home: Home,
    process: &Process,
) -> Result<(), StoreError> {
    let leased_until = process.leased_until().map(micros);
    with_progress(
        process,
        &home,
        |&[revision, updated_at, states, record, row]| {
            connection
                .prepare_cached(home.table.of(sql::LEASE))?
                .execute([revision, updated_at, states, record, row, &leased_until])
        },
    )
}

pub(crate) fn delete(connection: &Connection, home: Home) -> Result<(), StoreError> {
    let deleted = connection
        .prepare_cached(home.table.of(sql::DELETE))
        .and_then(|mut statement| statement.execute([home.row]));
    exactly_one(deleted)
}

fn with_columns(
    process: &Process,
    execute: impl FnOnce(&[&dyn ToSql; 14]) -> rusqlite::Result<usize>,
) -> Result<(), StoreError> {
    let mut record = Vec::with_capacity(512);
    process.to_record(&mut record);
    let file = process.file();
    exactly_one(execute(&[
        &id_bytes(process.request_id()),
        &process.version().born.cast_signed(),
        &process.revision().cast_signed(),
        &process.status().code(),
        &micros(process.created_at()),
        &micros(process.updated_at()),
        &process.settled_at().map(micros),
        &process.expires_at().map(micros),
        &process.leased_until().map(micros),
        &process.pipeline(),
        &file_bytes(file.id()),
        &file.symbolic_directory_path(),
        &states(process),
        &record,
    ]))
}

fn with_progress(
    process: &Process,
    home: &Home,
    execute: impl FnOnce(&[&dyn ToSql; 5]) -> rusqlite::Result<usize>,
) -> Result<(), StoreError> {
    let mut record = Vec::with_capacity(512);
    process.to_record(&mut record);
    exactly_one(execute(&[
        &process.revision().cast_signed(),
        &micros(process.updated_at()),
        &states(process),
        &record,
        &home.row,
    ]))
}

fn exactly_one(changed: rusqlite::Result<usize>) -> Result<(), StoreError> {
    match changed.map_err(store_error)? {
        1 => Ok(()),
        _ => Err(corrupt("a row vanished within a transaction")),
    }
}

/// A digit per module, which the overview spells out.
fn states(process: &Process) -> String {
    let digit = |module: &milepost_core::Module| match module.state().kind() {
        ModuleStateKind::Pending => '0',
        ModuleStateKind::Running => '1',
        ModuleStateKind::Complete => '2',
        ModuleStateKind::Failed => '3',
        ModuleStateKind::Skipped => '4',
        ModuleStateKind::Cancelled => '5',
        // A state that this version of the schema has no word for.
        _ => '?',
    };
    process.modules().iter().map(digit).collect()
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
        let integer = |column: usize| row.get::<_, i64>(column).map_err(store_error);
        let optional = |column: usize| row.get::<_, Option<i64>>(column).map_err(store_error);
        let text = |column: usize| {
            let value = row.get_ref(column).map_err(store_error)?;
            value.as_str().map_err(|_| corrupt("a name is no text"))
        };
        let bytes = |column: usize| {
            let value = row.get_ref(column).map_err(store_error)?;
            value.as_blob().map_err(|_| corrupt("an id is no blob"))
        };
        let created_at = time(integer(1)?)?;
        Ok(Scanned {
            row: integer(0)?,
            place: Place {
                created_at,
                request_id: uuid(bytes(2)?)?.into(),
            },
            indexed: Indexed {
                pipeline: text(4)?,
                status: status(integer(3)?)?,
                file_id: uuid(bytes(5)?)?.into(),
                directory: text(6)?,
                created_at,
                settled_at: optional(7)?.map(time).transpose()?,
                expires_at: optional(8)?.map(time).transpose()?,
                leased_until: optional(9)?.map(time).transpose()?,
            },
        })
    }
}

/// The place in the first two columns.
pub(crate) fn place(row: &Row<'_>) -> Result<Place, StoreError> {
    let created_at = time(row.get(0).map_err(store_error)?)?;
    let id = row.get_ref(1).map_err(store_error)?.as_blob();
    let request_id = uuid(id.map_err(|_| corrupt("an id is no blob"))?)?.into();
    Ok(Place {
        created_at,
        request_id,
    })
}

pub(crate) fn status(code: i64) -> Result<OverallStatus, StoreError> {
    let known = OverallStatus::ALL
        .into_iter()
        .find(|status| i64::from(status.code()) == code);
    known.ok_or(corrupt("an overall status has an unknown code"))
}
