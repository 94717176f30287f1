//! The connections, and asking for something over one.

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use deadpool_postgres::{Client, Manager, ManagerConfig, Pool, RecyclingMethod, Timeouts};
use milepost_core::{StoreError, StoreErrorKind};
use tokio::runtime::Handle;
use tokio::time::timeout;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{CancelToken, Row};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::config::{PostgresConfig, SchemaName};
use crate::error::{is_broken, is_in_the_way, pool_error, silent, store_error};
use crate::sql::{self, Statements};
use crate::tls;
use crate::url::Server;

/// A parameter, owned, and of which type it is.
pub(crate) type Parameter = (Box<dyn ToSql + Sync + Send>, Type);

/// Boxes a parameter.
pub(crate) fn parameter(value: impl ToSql + Sync + Send + 'static, of: Type) -> Parameter {
    (Box::new(value), of)
}

/// The least time that a connection is given to come about.
pub(crate) const SHORTEST_CONNECT: Duration = Duration::from_secs(1);

/// How long it may take to tell the server that an answer is no longer waited for.
const CANCEL: Duration = Duration::from_secs(1);

/// The connections of a store.
#[derive(Clone)]
pub(crate) struct Connections {
    pool: Pool,
    tls: MakeRustlsConnect,
    statements: Arc<Statements>,
    busy_timeout: Duration,
    answer_timeout: Duration,
    /// Where they live.
    runtime: Handle,
}

impl Connections {
    /// One is always there for others while a vacuum takes one.
    const FEWEST: usize = 2;

    /// Opens none yet.
    pub(crate) fn new(
        config: &PostgresConfig,
        schema: &SchemaName,
        runtime: Handle,
    ) -> Result<Self, StoreError> {
        let server = Server::of(config)?;
        let tls = tls::connector(server.trust, server.root_certificates.as_deref())?;
        let manager = Manager::from_config(
            server.config,
            tls.clone(),
            ManagerConfig {
                // One that was closed shows on its own; one that broke silently shows when it is used.
                recycling_method: RecyclingMethod::Fast,
            },
        );
        let pool = Pool::builder(manager)
            .max_size(config.connections.max(Connections::FEWEST))
            .runtime(deadpool_postgres::Runtime::Tokio1)
            .build()
            .map_err(|error| StoreError::new(StoreErrorKind::Other, error))?;
        Ok(Connections {
            pool,
            tls,
            statements: Arc::new(Statements::new(schema)),
            busy_timeout: config.busy_timeout,
            answer_timeout: config.answer_timeout,
            runtime,
        })
    }

    pub(crate) fn statements(&self) -> &Statements {
        &self.statements
    }

    pub(crate) fn busy_timeout(&self) -> Duration {
        self.busy_timeout
    }

    pub(crate) fn answer_timeout(&self) -> Duration {
        self.answer_timeout
    }

    /// A connection, for as long as it is held.
    pub(crate) async fn get(&self, time_left: Duration) -> Result<Client, StoreError> {
        let timeouts = Timeouts {
            wait: Some(time_left),
            create: Some(time_left.max(SHORTEST_CONNECT)),
            recycle: None,
        };
        self.pool.timeout_get(&timeouts).await.map_err(pool_error)
    }

    /// Asks for rows, and changes nothing.
    pub(crate) async fn query(
        &self,
        statement: &str,
        parameters: Vec<Parameter>,
    ) -> Result<Vec<Row>, StoreError> {
        self.query_within(self.busy_timeout, statement, parameters)
            .await
    }

    /// The same, waiting for a connection no longer than this.
    pub(crate) async fn query_within(
        &self,
        time_left: Duration,
        statement: &str,
        parameters: Vec<Parameter>,
    ) -> Result<Vec<Row>, StoreError> {
        let parameters = borrowed(&parameters);
        self.ask(How::AsPlanned, time_left, statement, &parameters)
            .await
    }

    /// Asks for rows along an index.
    pub(crate) async fn walk(
        &self,
        statement: &str,
        parameters: Vec<Parameter>,
    ) -> Result<Vec<Row>, StoreError> {
        let parameters = borrowed(&parameters);
        self.ask(How::AlongAnIndex, self.busy_timeout, statement, &parameters)
            .await
    }

    /// Asks over a connection. One that was closed since it was used last is replaced, and what was in the way of the
    /// statement is waited for.
    async fn ask(
        &self,
        how: How,
        time_left: Duration,
        statement: &str,
        parameters: &[(&(dyn ToSql + Sync), Type)],
    ) -> Result<Vec<Row>, StoreError> {
        let began = Instant::now();
        let mut tries = self.tries();
        loop {
            let client = self.get(time_left.saturating_sub(began.elapsed())).await?;
            let asked = how.ask(&client, statement, parameters);
            let error = match self.answer(asked).await {
                Ok(Ok(rows)) => return Ok(rows),
                Ok(Err(error)) => error,
                Err(silent) => {
                    self.break_off(client);
                    return Err(silent);
                }
            };
            tries -= 1;
            if is_broken(&error) {
                close(client);
            } else if !is_in_the_way(&error) {
                return Err(store_error(error));
            }
            if tries == 0 {
                return Err(store_error(error));
            }
        }
    }

    /// How often to ask until a connection must be a new one.
    pub(crate) fn tries(&self) -> usize {
        self.pool.status().max_size + 1
    }

    /// Waits for the server, as long as it may take.
    pub(crate) async fn answer<T>(&self, asked: impl Future<Output = T>) -> Result<T, StoreError> {
        timeout(self.answer_timeout, asked)
            .await
            .map_err(|_| silent(StoreErrorKind::Unavailable, self.answer_timeout))
    }

    /// Closes a connection of which it is not known what the server makes of it, and tells the server that nobody waits for
    /// it any more: it would not notice by itself while it waits for others.
    pub(crate) fn break_off(&self, client: Client) {
        let token = client.cancel_token();
        close(client);
        let tls = self.tls.clone();
        self.runtime.spawn(cancel(token, tls));
    }

    /// The same, and waits until it is told.
    pub(crate) async fn break_off_now(&self, client: Client) {
        let token = client.cancel_token();
        close(client);
        cancel(token, self.tls.clone()).await;
    }
}

/// Who cannot be told goes on, until it is at its own limits.
async fn cancel(token: CancelToken, tls: MakeRustlsConnect) {
    let _ = timeout(CANCEL, token.cancel_query(tls)).await;
}

/// How the server is to go about a statement.
#[derive(Clone, Copy)]
enum How {
    /// As it thinks best.
    AsPlanned,
    /// In the order of an index, and no further than rows are asked for.
    AlongAnIndex,
}

impl How {
    async fn ask(
        self,
        client: &Client,
        statement: &str,
        parameters: &[(&(dyn ToSql + Sync), Type)],
    ) -> Result<Vec<Row>, tokio_postgres::Error> {
        match self {
            How::AsPlanned => client.query_typed(statement, parameters).await,
            How::AlongAnIndex => {
                let (begun, rows, ended) = tokio::join!(
                    biased;
                    client.batch_execute(sql::BEGIN_WALK),
                    client.query_typed(statement, parameters),
                    client.batch_execute(sql::COMMIT),
                );
                begun?;
                let rows = rows?;
                ended.map(|()| rows)
            }
        }
    }
}

/// What the driver takes.
pub(crate) fn borrowed(parameters: &[Parameter]) -> Vec<(&(dyn ToSql + Sync), Type)> {
    parameters
        .iter()
        .map(|(value, of)| (&**value as &(dyn ToSql + Sync), of.clone()))
        .collect()
}

/// Closes a connection for good.
pub(crate) fn close(client: Client) {
    drop(Client::take(client));
}
