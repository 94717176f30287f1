//! How processes stand in rows, and rows in parameters.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use milepost_core::{
    File, FileId, Indexed, OverallStatus, Place, Process, RequestId, StoreError, Version,
};
use tokio_postgres::Row;
use tokio_postgres::types::FromSql;
use uuid::Uuid;

use crate::error::corrupt;

/// A time as a column holds it: microseconds since 1970.
pub(crate) fn micros(time: DateTime<Utc>) -> i64 {
    time.timestamp_micros()
}

/// A status as a column holds it.
pub(crate) fn code(status: OverallStatus) -> i16 {
    status.code().into()
}

/// A directory as its column holds it: NULL, of which the index holds nothing, for the one that all files have
/// that were given none.
pub(crate) fn directory(file: &File) -> Option<&str> {
    Some(file.symbolic_directory_path()).filter(|path| *path != File::DEFAULT_DIRECTORY)
}

/// What PostgreSQL has no type for: 64 bits without a sign, kept bit by bit.
pub(crate) fn signed(bits: u64) -> i64 {
    bits.cast_signed()
}

fn time(micros: i64) -> Result<DateTime<Utc>, StoreError> {
    DateTime::from_timestamp_micros(micros).ok_or_else(|| corrupt("a time is out of range"))
}

fn column<'r, T: FromSql<'r>>(row: &'r Row, index: usize) -> Result<T, StoreError> {
    row.try_get(index)
        .map_err(|_| corrupt("a column does not hold what was written into it"))
}

fn optional_time(row: &Row, index: usize) -> Result<Option<DateTime<Utc>>, StoreError> {
    column::<Option<i64>>(row, index)?.map(time).transpose()
}

pub(crate) fn id(row: &Row) -> Result<RequestId, StoreError> {
    Ok(column::<Uuid>(row, 0)?.into())
}

pub(crate) fn status(row: &Row, index: usize) -> Result<OverallStatus, StoreError> {
    let known = u8::try_from(column::<i16>(row, index)?)
        .ok()
        .and_then(OverallStatus::from_code);
    known.ok_or_else(|| corrupt("an overall status has an unknown code"))
}

pub(crate) fn number(row: &Row, index: usize) -> Result<u64, StoreError> {
    column::<i64>(row, index).map(i64::unsigned_abs)
}

/// What a version column pair holds, behind the id.
pub(crate) fn version(row: &Row) -> Result<Version, StoreError> {
    Ok(Version {
        born: column::<i64>(row, 1)?.cast_unsigned(),
        revision: column::<i64>(row, 2)?.cast_unsigned(),
    })
}

/// Where the process of a row stands in lists.
pub(crate) fn place(row: &Row) -> Result<Place, StoreError> {
    Ok(Place {
        request_id: id(row)?,
        created_at: time(column(row, 1)?)?,
    })
}

/// What indexes hold of the process of a row.
pub(crate) fn indexed(row: &Row) -> Result<Indexed<'_>, StoreError> {
    Ok(Indexed {
        created_at: time(column(row, 1)?)?,
        status: status(row, 2)?,
        settled_at: optional_time(row, 3)?,
        expires_at: optional_time(row, 4)?,
        leased_until: optional_time(row, 5)?,
        file_id: FileId::from(column::<Uuid>(row, 6)?),
        pipeline: column(row, 7)?,
        directory: column::<Option<&str>>(row, 8)?.unwrap_or(File::DEFAULT_DIRECTORY),
    })
}

pub(crate) fn body(row: &Row) -> Result<&[u8], StoreError> {
    column(row, 9)
}

/// The whole process.
pub(crate) fn process(row: &Row) -> Result<Arc<Process>, StoreError> {
    let process = Process::from_body(id(row)?, &indexed(row)?, body(row)?)?;
    Ok(Arc::new(process))
}
