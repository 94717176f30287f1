//! Purging what has expired, and wiping as far as a client of a server can.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use chrono::{DateTime, Utc};
use milepost_core::{StoreError, StoreErrorKind, Wipe, WipeLevel, limits};
use tokio_postgres::error::SqlState;
use tokio_postgres::types::Type;
use uuid::Uuid;

use crate::PostgresStore;
use crate::columns::{self, micros};
use crate::connections::{Connections, parameter};
use crate::error::{busy, store_error};
use crate::transaction::{self, Written};

/// How many processes one transaction of a purge deletes: others write between two of them.
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
            let expired = self.first_expired(expired_by, some)?;
            let found = expired.len();
            let gone = self.purge_some(&expired, expired_by)?;
            purged += gone;
            // What was found and is not gone was extended, or erased by others: there may be more behind it.
            if found < some && gone == found {
                break;
            }
        }
        Ok(purged)
    }

    /// Some of those that have expired, in the order in which everybody takes locks.
    fn first_expired(&self, by: DateTime<Utc>, limit: usize) -> Result<Vec<Uuid>, StoreError> {
        let limit = i64::try_from(limit).expect("a purge has a limit");
        let first = vec![
            parameter(micros(by), Type::INT8),
            parameter(limit, Type::INT8),
        ];
        let connections = self.connections().clone();
        let rows = self.home().wait(async move {
            let expired = &connections.statements().expired;
            connections.walk(expired, first).await
        })?;
        let ids = rows.iter().map(|row| columns::id(row).map(Uuid::from));
        let mut ids = ids.collect::<Result<Vec<_>, _>>()?;
        ids.sort_unstable();
        Ok(ids)
    }

    /// How many of these are gone now: whether they have expired is judged anew.
    fn purge_some(&self, ids: &[Uuid], by: DateTime<Utc>) -> Result<usize, StoreError> {
        if ids.is_empty() {
            return Ok(0);
        }
        let deadline = self.deadline();
        loop {
            let expired = vec![
                parameter(ids.to_vec(), Type::UUID_ARRAY),
                parameter(micros(by), Type::INT8),
            ];
            let time_left = self.time_left(deadline);
            let connections = self.connections().clone();
            let written = self.home().commit(async move {
                let purge = vec![(&*connections.statements().purge, expired)];
                transaction::write(&connections, None, time_left, purge).await
            })?;
            match written {
                Written::Kept(answers) => {
                    let row = answers.first().and_then(|rows| rows.first());
                    let gone = row.map_or(Ok(0), |row| columns::number(row, 0))?;
                    return Ok(usize::try_from(gone).unwrap_or(ids.len()));
                }
                Written::Overtaken if time_left.is_zero() => {
                    return Err(busy("others wrote to what has expired until the deadline"));
                }
                Written::Overtaken => {}
            }
        }
    }

    pub(crate) fn wipe_what_can_be(&self, level: WipeLevel) -> Result<Wipe, StoreError> {
        match level {
            WipeLevel::Files | WipeLevel::Media => {}
            _ => {
                let why = "this wipe level is unknown here";
                return Err(StoreError::new(StoreErrorKind::Unsupported, why));
            }
        }
        let until = Instant::now() + self.config().wipe_budget;
        let mut vacuums = self.vacuums.lock();
        // One that has begun already may have passed by what was erased since.
        let own = vacuums.begun + 1;
        loop {
            if vacuums.ended >= own {
                return vacuums.outcome.clone();
            }
            if vacuums.ended == vacuums.begun {
                vacuums.begun += 1;
                let (connections, done) = (self.connections().clone(), Arc::clone(&self.vacuums));
                self.home().spawn(async move {
                    done.end(clear_pages(&connections).await);
                })?;
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let reason = "the server is still clearing its pages".to_owned();
                return Ok(Wipe::Pending { reason });
            }
            let waited = self.vacuums.ended.wait_timeout(vacuums, left);
            vacuums = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

/// The vacuums of a store: those who wipe at the same time wait for the same one.
#[derive(Debug)]
pub(crate) struct Vacuums {
    state: Mutex<State>,
    ended: Condvar,
}

#[derive(Debug)]
pub(crate) struct State {
    /// How many have begun, and how many of them are at their end.
    begun: u64,
    ended: u64,
    /// Of the last that has ended.
    outcome: Result<Wipe, StoreError>,
}

impl Vacuums {
    pub(crate) fn new() -> Self {
        let outcome = Ok(Wipe::Pending {
            reason: String::new(),
        });
        Vacuums {
            state: Mutex::new(State {
                begun: 0,
                ended: 0,
                outcome,
            }),
            ended: Condvar::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn end(&self, outcome: Result<Wipe, StoreError>) {
        let mut state = self.lock();
        state.ended += 1;
        state.outcome = outcome;
        self.ended.notify_all();
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
    let may = asked
        .first()
        .is_some_and(|row| row.try_get(0).unwrap_or(false));
    if !may {
        return limited("this role does not own the table, and leaves clearing it to autovacuum; ");
    }
    // As long as it takes.
    let client = connections.get(connections.busy_timeout()).await?;
    match client.batch_execute(&statements.vacuum).await {
        Ok(()) => limited(""),
        Err(error) if error.code() == Some(&SqlState::QUERY_CANCELED) => Ok(Wipe::Pending {
            reason: "the server's vacuum was cancelled, or over the time that the role may take"
                .to_owned(),
        }),
        Err(error) => Err(store_error(error)),
    }
}
