//! Purging: deleting what has expired.

use chrono::{DateTime, Utc};
use milepost_core::{StoreError, limits};
use rusqlite::{Connection, params};

use crate::batch::note_erasure;
use crate::columns::micros;
use crate::error::store_error;
use crate::rows::Table;
use crate::{SqliteStore, sql};

/// How many processes one transaction of a purge deletes: others write between two of them. The fewer the longer
/// others wait, or who has an op to write every millisecond falls behind by as much with each transaction.
const PURGED_AT_ONCE: usize = 500;
const PURGED_BESIDE_OTHERS: usize = 50;

impl SqliteStore {
    pub(crate) fn purge_expired(
        &self,
        expired_by: DateTime<Utc>,
        limit: usize,
    ) -> Result<usize, StoreError> {
        limits::check_purge(limit)?;
        let mut purged = 0;
        let mut at_once = PURGED_AT_ONCE;
        while purged < limit {
            let some = at_once.min(limit - purged);
            let (count, others_wait) = self.write_transaction(|connection| {
                let count = purge_some(connection, expired_by, some)?;
                Ok((count, self.writer.is_waited_for()))
            })?;
            purged += count;
            if count < some {
                break;
            }
            at_once = if others_wait {
                (at_once / 2).max(PURGED_BESIDE_OTHERS)
            } else {
                (at_once * 2).min(PURGED_AT_ONCE)
            };
        }
        Ok(purged)
    }
}

fn purge_some(
    connection: &Connection,
    expired_by: DateTime<Utc>,
    limit: usize,
) -> Result<usize, StoreError> {
    let mut purged = 0;
    for table in Table::BOTH {
        let mut statement = connection
            .prepare_cached(table.of(sql::PURGE))
            .map_err(store_error)?;
        let left = i64::try_from(limit - purged).unwrap_or(i64::MAX);
        purged += statement
            .execute(params![micros(expired_by), left])
            .map_err(store_error)?;
    }
    if purged > 0 {
        note_erasure(connection)?;
    }
    Ok(purged)
}
