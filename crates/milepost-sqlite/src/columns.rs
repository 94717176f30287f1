//! Between a process and the columns of its row.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use milepost_core::{File, FileId, Indexed, OverallStatus, Place, Process, RequestId, StoreError};
use rusqlite::types::ValueRef;
use rusqlite::{Row, ToSql};
use uuid::Uuid;

use crate::error::{corrupt, store_error};

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
    DateTime::from_timestamp_micros(micros).ok_or_else(|| corrupt("a time is out of range"))
}

fn uuid(bytes: &[u8]) -> Result<Uuid, StoreError> {
    Uuid::from_slice(bytes).map_err(|_| corrupt("an id has not 16 bytes"))
}

/// Shows the columns of a process, in the order of `sql::columns`, to `bind`.
pub(crate) fn each_column(
    process: &Process,
    body: &[u8],
    mut bind: impl FnMut(&dyn ToSql) -> rusqlite::Result<()>,
) -> rusqlite::Result<()> {
    let file = process.file();
    bind(&micros(process.created_at()))?;
    bind(&process.status().code())?;
    bind(&process.settled_at().map(micros))?;
    bind(&process.expires_at().map(micros))?;
    bind(&process.leased_until().map(micros))?;
    bind(&process.pipeline())?;
    bind(&file_bytes(file.id()))?;
    bind(&directory(file))?;
    bind(&body)
}

/// A directory as its column holds it: NULL, of which the index holds nothing, for the one that all files have
/// that were given none.
fn directory(file: &File) -> Option<&str> {
    Some(file.symbolic_directory_path()).filter(|path| *path != File::DEFAULT_DIRECTORY)
}

/// The process in the columns from `first` on.
pub(crate) fn decode(
    row: &Row<'_>,
    first: usize,
    id: RequestId,
) -> Result<Arc<Process>, StoreError> {
    let created_at = time(integer(value(row, first)?)?)?;
    let indexed = indexed(row, first, created_at)?;
    let process = Process::from_body(id, &indexed, blob(row, first + 8)?)?;
    Ok(Arc::new(process))
}

/// What the indexes hold of a row, in its columns from `first` on; when it was created has been read already.
fn indexed<'r>(
    row: &'r Row<'_>,
    first: usize,
    created_at: DateTime<Utc>,
) -> Result<Indexed<'r>, StoreError> {
    Ok(Indexed {
        created_at,
        status: status(integer(value(row, first + 1)?)?)?,
        settled_at: optional_time(row, first + 2)?,
        expires_at: optional_time(row, first + 3)?,
        leased_until: optional_time(row, first + 4)?,
        pipeline: text(value(row, first + 5)?)?,
        file_id: uuid(blob(row, first + 6)?)?.into(),
        directory: directory_in(row, first + 7)?,
    })
}

/// The process in a row of a list in order, of which the index has told the rest: each column costs about 200
/// instructions of the 11,000 that a row takes.
pub(crate) fn listed(
    row: &Row<'_>,
    place: Place,
    status: OverallStatus,
    pipeline: &str,
) -> Result<Arc<Process>, StoreError> {
    let indexed = Indexed {
        created_at: place.created_at,
        status,
        settled_at: optional_time(row, 2)?,
        expires_at: optional_time(row, 3)?,
        leased_until: optional_time(row, 4)?,
        pipeline,
        file_id: uuid(blob(row, 5)?)?.into(),
        directory: directory_in(row, 6)?,
    };
    let process = Process::from_body(place.request_id, &indexed, blob(row, 7)?)?;
    Ok(Arc::new(process))
}

fn optional_time(row: &Row<'_>, column: usize) -> Result<Option<DateTime<Utc>>, StoreError> {
    match value(row, column)? {
        ValueRef::Null => Ok(None),
        micros => integer(micros).and_then(time).map(Some),
    }
}

fn directory_in<'r>(row: &'r Row<'_>, column: usize) -> Result<&'r str, StoreError> {
    match value(row, column)? {
        ValueRef::Null => Ok(File::DEFAULT_DIRECTORY),
        directory => text(directory),
    }
}

fn value<'r>(row: &'r Row<'_>, column: usize) -> Result<ValueRef<'r>, StoreError> {
    row.get_ref(column).map_err(store_error)
}

fn integer(value: ValueRef<'_>) -> Result<i64, StoreError> {
    value.as_i64().map_err(|_| corrupt("a number is none"))
}

fn text(value: ValueRef<'_>) -> Result<&str, StoreError> {
    value.as_str().map_err(|_| corrupt("a name is no text"))
}

pub(crate) fn blob<'r>(row: &'r Row<'_>, column: usize) -> Result<&'r [u8], StoreError> {
    let bytes = value(row, column)?.as_blob();
    bytes.map_err(|_| corrupt("bytes are no blob"))
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
        let place = place(row)?;
        Ok(Scanned {
            row: row.get(9).map_err(store_error)?,
            place,
            indexed: indexed(row, 1, place.created_at)?,
        })
    }
}

/// The place in the first two columns: the id, and when it was created.
pub(crate) fn place(row: &Row<'_>) -> Result<Place, StoreError> {
    Ok(Place {
        request_id: uuid(blob(row, 0)?)?.into(),
        created_at: time(integer(value(row, 1)?)?)?,
    })
}

pub(crate) fn status(code: i64) -> Result<OverallStatus, StoreError> {
    let known = u8::try_from(code).ok().and_then(OverallStatus::from_code);
    known.ok_or_else(|| corrupt("an overall status has an unknown code"))
}
