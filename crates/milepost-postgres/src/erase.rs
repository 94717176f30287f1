//! Purging what has expired, and wiping as far as a client of a server can.

use std::sync::mpsc::{Receiver, RecvTimeoutError};

use chrono::{DateTime, Utc};
use milepost_core::{StoreError, StoreErrorKind, Wipe, WipeLevel, limits};
use tokio_postgres::error::SqlState;
use tokio_postgres::types::Type;
use uuid::Uuid;

use crate::PostgresStore;
use crate::columns::micros;
use crate::connections::{Connections, borrowed, give_up, parameter};
use crate::error::{is_in_the_way, store_error};

/// How many processes one statement of a purge deletes: others write between two of them.
const PURGED_AT_ONCE: usize = 500;

/// What no client of a server can reach.
const REMAINS: &str = "what was erased may be left in the server's write-ahead log, its archives, replicas and backups, and in \
     parts of its tables' and indexes' pages that are free, until they are written over";

impl PostgresStore {
    pub(crate) fn purge_expired(
        &self,
        expired_by: DateTime<Utc>,
        limit: usize,
    ) -> Result<usize, StoreError> {
        limits::check_purge(limit)?;
        let mut purged = 0;
        while purged < limit {
            let some = PURGED_AT_ONCE.min(limit - purged);
            let connections = self.connections().clone();
            let (found, gone) = self
                .home()
                .wait(async move { purge_some(&connections, micros(expired_by), some).await })?;
            purged += gone;
            // What was found and is not gone was extended, or erased by others: there may be more behind it.
            if found < some && gone == found {
                break;
            }
        }
        Ok(purged)
    }

    pub(crate) fn wipe_what_can_be(&self, level: WipeLevel) -> Result<Wipe, StoreError> {
        match level {
            WipeLevel::Files | WipeLevel::Media => {}
            _ => {
                let why = "this wipe level is unknown here";
                return Err(StoreError::new(StoreErrorKind::Unsupported, why));
            }
        }
        let mut vacuum = self.vacuum();
        let under_way = if let Some(under_way) = vacuum.take() {
            under_way
        } else {
            let connections = self.connections().clone();
            self.home()
                .spawn(async move { clear_pages(&connections).await })?
        };
        match under_way.recv_timeout(self.config().wipe_budget) {
            Ok(outcome) => outcome,
            Err(RecvTimeoutError::Timeout) => {
                *vacuum = Some(under_way);
                let reason = "the server is still clearing its pages".to_owned();
                Ok(Wipe::Pending { reason })
            }
            Err(RecvTimeoutError::Disconnected) => {
                let why = "the vacuum was broken off";
                Err(StoreError::new(StoreErrorKind::Other, why))
            }
        }
    }
}

/// A vacuum that is under way, and what it comes to: whoever wipes next waits for the same.
pub(crate) type Vacuum = Receiver<Result<Wipe, StoreError>>;

/// How many of the first that have expired there are, and how many are gone now.
async fn purge_some(
    connections: &Connections,
    expired_by: i64,
    limit: usize,
) -> Result<(usize, usize), StoreError> {
    let limit = i64::try_from(limit).expect("a purge has a limit");
    let statements = connections.statements();
    let first = vec![
        parameter(expired_by, Type::INT8),
        parameter(limit, Type::INT8),
    ];
    let rows = connections.query(&statements.expired, first).await?;
    let mut ids = rows
        .iter()
        .map(|row| row.get::<_, Uuid>(0))
        .collect::<Vec<_>>();
    if ids.is_empty() {
        return Ok((0, 0));
    }
    // In the order in which everyone takes locks.
    ids.sort_unstable();
    let found = ids.len();
    let expired = [
        parameter(ids, Type::UUID_ARRAY),
        parameter(expired_by, Type::INT8),
    ];
    let expired = borrowed(&expired);
    loop {
        let client = connections.get().await?;
        let asked = client.execute_typed(&statements.purge, &expired);
        match connections.answer(asked).await {
            Ok(Ok(gone)) => return Ok((found, usize::try_from(gone).unwrap_or(found))),
            Ok(Err(error)) if is_in_the_way(&error) => {}
            Ok(Err(error)) => return Err(store_error(error)),
            Err(silent) => {
                give_up(client);
                return Err(silent);
            }
        }
    }
}

/// Has the server clear its pages of what is dead, if that is ours to ask.
async fn clear_pages(connections: &Connections) -> Result<Wipe, StoreError> {
    let statements = connections.statements();
    let asked = connections
        .query(&statements.may_vacuum, Vec::new())
        .await?;
    let limited = |why: &str| {
        Ok(Wipe::Limited {
            remains: format!("{why}{REMAINS}"),
        })
    };
    if !asked.first().is_some_and(|row| row.get::<_, bool>(0)) {
        return limited("this role does not own the table, and leaves clearing it to autovacuum; ");
    }
    // As long as it takes.
    let client = connections.get().await?;
    match client.batch_execute(&statements.vacuum).await {
        Ok(()) => limited(""),
        Err(error) if error.code() == Some(&SqlState::QUERY_CANCELED) => Ok(Wipe::Pending {
            reason: "the server's vacuum was cancelled, or over the time that the role may take"
                .to_owned(),
        }),
        Err(error) => Err(store_error(error)),
    }
}
