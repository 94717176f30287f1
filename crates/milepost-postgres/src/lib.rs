#![doc = include_str!("../README.md")]

mod columns;
mod config;
mod connections;
mod count;
mod erase;
mod error;
mod list;
mod narrow;
mod runtime;
mod schema;
mod sql;
mod tls;
mod transaction;
mod url;
mod write;

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use hashbrown::HashMap;
use milepost_core::{
    Counts, Filter, Found, GroupCommit, Listing, Op, Process, RequestId, StatusStore, StoreError,
    Verdict, Version, Wipe, WipeLevel, limits,
};
use tokio_postgres::types::Type;
use uuid::Uuid;

pub use crate::config::PostgresConfig;
use crate::config::SchemaName;
use crate::connections::{Connections, parameter};
use crate::erase::Vacuums;
use crate::runtime::Home;

/// Keeps processes on a PostgreSQL server, shared by any number of machines.
///
/// # Contract
///
/// That of [`StatusStore`]. `Ok` means that the server has it in its log, on its disk.
///
/// - Batches of all threads that wait at a time are written together, in one transaction: two round trips, whatever their
///   number. What stores of other machines change meanwhile is noticed, and all of it decided anew.
/// - A call waits at most [`busy_timeout`](PostgresConfig::busy_timeout) for a connection and for others, then it is `Busy`.
///   The server has [`answer_timeout`](PostgresConfig::answer_timeout) more to answer; a batch for which it has not is
///   `OutcomeUnknown`, any other call `Unavailable`. What is still on its way then is cancelled.
/// - A call blocks its thread, also within an async runtime: async hosts use `milepost-tokio`.
/// - Wipes are never more than [`Limited`](Wipe::Limited): a server keeps copies where none of its clients reaches.
/// - A list or count of processes by name, tag or time of change reads their records through the network.
/// - A batch takes as much memory as the records of its processes, twice: 256 KiB each at most, and some hundred bytes as a
///   rule.
/// - After `fork` a child gets `Unavailable` from a store that its parent opened. It may open one of its own.
/// - Whether the tables are of this version is looked at when a store is opened. Before a newer milepost brings them up to
///   date, end what runs an older one.
///
/// # Errors
///
/// | what happens | kind |
/// |---|---|
/// | the server cannot be reached, lets nobody in, starts, ends, or may only be read from | `Unavailable` |
/// | the connection breaks while a batch is being written, or a pooler says that it has | `OutcomeUnknown` |
/// | a deadlock, or a conflict of serializable transactions | none: it is tried again, until the deadline |
/// | another milepost's tables, others' under the same names, or none where none are to be made | `Incompatible` |
/// | a URL or a name of a schema that cannot be used | `Unsupported` |
/// | the server's disk is full | `Full` |
///
/// # Examples
///
/// ```no_run
/// use milepost_core::{NewProcess, Pipeline, Tracker};
/// use milepost_postgres::{PostgresConfig, PostgresStore};
///
/// let tracker = Tracker::new(PostgresStore::connect("postgres://app@db.internal/status?sslmode=verify-full")?);
/// let pipeline = Pipeline::new("invoice-ocr", ["ocr", "parser"])?;
/// let id = tracker.begin(NewProcess::new(&pipeline))?.request_id();
///
/// // On another machine:
/// let elsewhere = Tracker::new(PostgresStore::connect_with(PostgresConfig {
///     connections: 8,
///     ..PostgresConfig::new("host=db.internal dbname=status user=app sslmode=verify-full")
/// })?);
/// assert_eq!(elsewhere.get(id)?.pipeline(), "invoice-ocr");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct PostgresStore {
    config: PostgresConfig,
    home: Home,
    /// Joins the batches of callers that come while another's is on its way.
    group: GroupCommit,
    vacuums: Arc<Vacuums>,
}

impl PostgresStore {
    /// Connects to the server at `url` as [`PostgresConfig::new`] has it, and makes the tables if they are not there.
    pub fn connect(url: &str) -> Result<Self, StoreError> {
        PostgresStore::connect_with(PostgresConfig::new(url))
    }

    /// Connects as configured.
    pub fn connect_with(config: PostgresConfig) -> Result<Self, StoreError> {
        let schema = SchemaName::parse(&config.schema)?;
        let home =
            Home::start(|runtime| Connections::new(&config, &schema, runtime.handle().clone()))?;
        let create_if_missing = config.create_if_missing;
        let connections = home.connections().clone();
        home.wait(async move { schema::prepare(&connections, &schema, create_if_missing).await })?;
        Ok(PostgresStore {
            config,
            home,
            group: GroupCommit::new(),
            vacuums: Arc::new(Vacuums::new()),
        })
    }

    /// What an owner runs once to make the tables in the schema `milepost`; in another:
    /// [`PostgresConfig::schema_sql`].
    ///
    /// # Panics
    ///
    /// Never.
    #[must_use]
    pub fn schema_sql() -> String {
        let sql = PostgresConfig::new("").schema_sql();
        sql.expect(
            "the schema that is configured unless another is given has a name that can be used",
        )
    }

    fn config(&self) -> &PostgresConfig {
        &self.config
    }

    fn connections(&self) -> &Connections {
        self.home.connections()
    }

    fn home(&self) -> &Home {
        &self.home
    }

    /// Until when a call that begins now waits for others.
    fn deadline(&self) -> Option<Instant> {
        Instant::now().checked_add(self.config.busy_timeout)
    }

    /// What is left until then; none: as long as it takes.
    fn time_left(&self, deadline: Option<Instant>) -> Duration {
        deadline.map_or(self.config.busy_timeout, |deadline| {
            deadline.saturating_duration_since(Instant::now())
        })
    }

    /// Those of the processes that are stored.
    fn read_by_id(
        &self,
        ids: &[RequestId],
    ) -> Result<HashMap<RequestId, Arc<Process>>, StoreError> {
        if ids.is_empty() {
            return Ok(HashMap::new());
        }
        let ids = ids.iter().copied().map(Uuid::from).collect::<Vec<_>>();
        let connections = self.connections().clone();
        let rows = self.home.wait(async move {
            let read = &connections.statements().read;
            let ids = vec![parameter(ids, Type::UUID_ARRAY)];
            connections.query(read, ids).await
        })?;
        rows.iter()
            .map(|row| Ok((columns::id(row)?, columns::process(row)?)))
            .collect()
    }
}

impl StatusStore for PostgresStore {
    fn write(&self, ops: &[Op]) -> Result<Vec<Verdict>, StoreError> {
        limits::check_batch(ops)?;
        if ops.is_empty() {
            return Ok(Vec::new());
        }
        // Before joining a group: those who lead it in the parent do not run in a child.
        self.home.check()?;
        self.group
            .write_by(ops, self.deadline(), |batches| self.write_batches(batches))
    }

    fn read(&self, id: RequestId) -> Result<Option<Arc<Process>>, StoreError> {
        Ok(self.read_by_id(&[id])?.remove(&id))
    }

    fn read_many(&self, ids: &[RequestId]) -> Result<Vec<Option<Arc<Process>>>, StoreError> {
        limits::check_ids(ids)?;
        let found = self.read_by_id(ids)?;
        Ok(ids.iter().map(|id| found.get(id).cloned()).collect())
    }

    fn versions(&self, ids: &[RequestId]) -> Result<Vec<Option<Version>>, StoreError> {
        limits::check_ids(ids)?;
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let asked = ids.iter().copied().map(Uuid::from).collect::<Vec<_>>();
        let connections = self.connections().clone();
        let rows = self.home.wait(async move {
            let versions = &connections.statements().versions;
            let asked = vec![parameter(asked, Type::UUID_ARRAY)];
            connections.query(versions, asked).await
        })?;
        let found = rows
            .iter()
            .map(|row| Ok((columns::id(row)?, columns::version(row)?)))
            .collect::<Result<HashMap<_, _>, StoreError>>()?;
        Ok(ids.iter().map(|id| found.get(id).copied()).collect())
    }

    fn list(&self, listing: &Listing) -> Result<Found, StoreError> {
        listing.check()?;
        self.find(listing)
    }

    fn count(&self, filter: &Filter) -> Result<Counts, StoreError> {
        self.count_matching(filter)
    }

    fn purge(&self, expired_by: DateTime<Utc>, limit: usize) -> Result<usize, StoreError> {
        self.purge_expired(expired_by, limit)
    }

    fn wipe(&self, level: WipeLevel) -> Result<Wipe, StoreError> {
        self.wipe_what_can_be(level)
    }
}

impl fmt::Debug for PostgresStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresStore")
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}
