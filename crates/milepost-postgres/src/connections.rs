//! The connections, and asking for something over one.

use std::future::Future;
use std::time::Duration;

use deadpool_postgres::{Client, Manager, ManagerConfig, Pool, RecyclingMethod, Runtime, Timeouts};
use milepost_core::{StoreError, StoreErrorKind};
use tokio::time::timeout;
use tokio_postgres::Row;
use tokio_postgres::types::{ToSql, Type};

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

/// The connections of a store.
#[derive(Clone)]
pub(crate) struct Connections {
    pool: Pool,
    statements: Statements,
    answer_timeout: Duration,
}

impl Connections {
    /// Opens none yet. Within the runtime that they are to live in.
    pub(crate) fn new(config: &PostgresConfig, schema: &SchemaName) -> Result<Self, StoreError> {
        let server = Server::of(config)?;
        let tls = tls::connector(server.trust, server.root_certificates.as_deref())?;
        let manager = Manager::from_config(
            server.config,
            tls,
            ManagerConfig {
                // One that was closed shows on its own; one that broke silently shows when it is used.
                recycling_method: RecyclingMethod::Fast,
            },
        );
        let pool = Pool::builder(manager)
            .max_size(config.connections.max(1))
            .timeouts(Timeouts {
                wait: Some(config.busy_timeout),
                create: Some(config.busy_timeout),
                recycle: None,
            })
            .runtime(Runtime::Tokio1)
            .build()
            .map_err(|error| StoreError::new(StoreErrorKind::Other, error))?;
        Ok(Connections {
            pool,
            statements: Statements::new(schema),
            answer_timeout: config.answer_timeout,
        })
    }

    pub(crate) fn statements(&self) -> &Statements {
        &self.statements
    }

    pub(crate) fn answer_timeout(&self) -> Duration {
        self.answer_timeout
    }

    /// A connection, for as long as it is held.
    pub(crate) async fn get(&self) -> Result<Client, StoreError> {
        self.pool.get().await.map_err(pool_error)
    }

    /// Asks for rows, and changes nothing.
    pub(crate) async fn query(
        &self,
        statement: &str,
        parameters: Vec<Parameter>,
    ) -> Result<Vec<Row>, StoreError> {
        self.ask(How::AsPlanned, statement, &parameters).await
    }

    /// Asks for rows in the order of an index.
    pub(crate) async fn walk(
        &self,
        statement: &str,
        parameters: Vec<Parameter>,
    ) -> Result<Vec<Row>, StoreError> {
        self.ask(How::AlongAnIndex, statement, &parameters).await
    }

    /// Asks over a connection. One that was closed since it was used last is replaced, and what was in the way of the
    /// statement is waited for.
    async fn ask(
        &self,
        how: How,
        statement: &str,
        parameters: &[Parameter],
    ) -> Result<Vec<Row>, StoreError> {
        let parameters = borrowed(parameters);
        let mut tries = self.pool.status().max_size + 1;
        loop {
            let client = self.get().await?;
            let asked = how.ask(&client, statement, &parameters);
            let error = match self.answer(asked).await {
                Ok(Ok(rows)) => return Ok(rows),
                Ok(Err(error)) => error,
                Err(silent) => {
                    give_up(client);
                    return Err(silent);
                }
            };
            tries -= 1;
            if is_broken(&error) {
                give_up(client);
            } else if !is_in_the_way(&error) {
                return Err(store_error(error));
            }
            if tries == 0 {
                return Err(store_error(error));
            }
        }
    }

    /// Waits for the server, as long as it may take.
    pub(crate) async fn answer<T>(&self, asked: impl Future<Output = T>) -> Result<T, StoreError> {
        timeout(self.answer_timeout, asked)
            .await
            .map_err(|_| silent(StoreErrorKind::Unavailable, self.answer_timeout))
    }
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

/// Closes a connection, of which it is not known what the server makes of it.
pub(crate) fn give_up(client: Client) {
    drop(Client::take(client));
}
