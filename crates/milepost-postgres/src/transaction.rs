//! Transactions that write: sent as a whole, and what is known of them afterwards.

use std::time::Duration;

use deadpool_postgres::Client;
use milepost_core::{StoreError, StoreErrorKind};
use tokio_postgres::error::SqlState;
use tokio_postgres::types::Type;
use tokio_postgres::{Error, Row};
use uuid::Uuid;

use crate::connections::{Connections, Parameter, borrowed, parameter};
use crate::error::{commit_error, is_broken, is_in_the_way, is_overtaken, silent, store_error};
use crate::sql;

/// What became of a transaction that nobody objects to.
pub(crate) enum Written<T> {
    Kept(T),
    /// Others were in the way, and nothing of it was kept.
    Overtaken,
}

/// A statement, and its parameters.
pub(crate) type Work<'s> = (&'s str, Vec<Parameter>);

/// A transaction that has not ended. Dropped, its connection is closed, and it undone.
pub(crate) struct Open {
    connections: Connections,
    client: Option<Client>,
}

impl Open {
    /// Takes a connection for one.
    async fn on(connections: &Connections, time_left: Duration) -> Result<Self, StoreError> {
        Ok(Open {
            client: Some(connections.get(time_left).await?),
            connections: connections.clone(),
        })
    }

    /// Begins one that locks these rows, in the order of their ids, and reads them.
    pub(crate) async fn locking(
        connections: &Connections,
        ids: Vec<Uuid>,
        time_left: Duration,
    ) -> Result<Written<(Vec<Row>, Self)>, StoreError> {
        let statements = connections.statements();
        let open = Open::on(connections, time_left).await?;
        let opening = sql::begin(time_left, connections.answer_timeout());
        let ids = [parameter(ids, Type::UUID_ARRAY)];
        let ids = borrowed(&ids);
        let asked = async {
            let client = open.client();
            tokio::join!(
                biased;
                client.batch_execute(&opening),
                client.execute_typed(&statements.lock, &ids),
                client.query_typed(&statements.read, &ids),
            )
        };
        let patience = patience(connections, time_left);
        let Ok((begun, locked, read)) = tokio::time::timeout(patience, asked).await else {
            return Err(silent(StoreErrorKind::Unavailable, patience));
        };
        let rows = begun.and(locked).and(read);
        match rows {
            Ok(rows) => Ok(Written::Kept((rows, open))),
            Err(error) if is_in_the_way(&error) => Ok(Written::Overtaken),
            Err(error) => Err(store_error(error)),
        }
    }

    fn client(&self) -> &Client {
        self.client
            .as_ref()
            .expect("it is taken out only when it goes")
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        if let Some(client) = self.client.take() {
            self.connections.break_off(client);
        }
    }
}

/// Does all of the work or nothing, in one transaction: the one that is open, or a new one. What each statement has answered.
pub(crate) async fn write(
    connections: &Connections,
    open: Option<Open>,
    time_left: Duration,
    work: Vec<Work<'_>>,
) -> Result<Written<Vec<Vec<Row>>>, StoreError> {
    let opening = match &open {
        Some(_) => None,
        None => Some(sql::begin(time_left, connections.answer_timeout())),
    };
    let mut open = match open {
        Some(open) => open,
        None => Open::on(connections, time_left).await?,
    };
    let patience = patience(connections, time_left);
    let sent = tokio::time::timeout(patience, send(open.client(), opening.as_deref(), &work)).await;
    let Ok((begun, worked, committed)) = sent else {
        // It may be waiting for somebody with the commit behind it: whoever reads now is to see what it comes to.
        if let Some(client) = open.client.take() {
            connections.break_off_now(client).await;
        }
        return Err(silent(StoreErrorKind::OutcomeUnknown, patience));
    };
    let rows = begun.and_then(|()| worked.into_iter().collect::<Result<Vec<_>, _>>());
    let written = match (rows, committed) {
        (Ok(rows), Ok(())) => Ok(Written::Kept(rows)),
        (Ok(_), Err(error)) => return Err(commit_error(error)),
        (Err(error), _) if !is_the_servers(&error) => return Err(commit_error(error)),
        // The server has said that a statement failed, so that nothing was there to commit.
        (Err(error), _) if is_overtaken(&error) || is_in_the_way(&error) => Ok(Written::Overtaken),
        (Err(error), _) => Err(store_error(error)),
    };
    // Its transaction has ended, one way or the other.
    drop(open.client.take());
    written
}

/// Sends all at once, the commit too: if anything before it fails, it undoes.
async fn send(
    client: &Client,
    begin: Option<&str>,
    work: &[Work<'_>],
) -> (
    Result<(), Error>,
    Vec<Result<Vec<Row>, Error>>,
    Result<(), Error>,
) {
    let begin = async {
        match begin {
            Some(begin) => client.batch_execute(begin).await,
            None => Ok(()),
        }
    };
    let work = work.iter().map(|(statement, parameters)| async {
        client.query_typed(statement, &borrowed(parameters)).await
    });
    tokio::join!(
        biased;
        begin,
        futures_util::future::join_all(work),
        client.batch_execute(sql::COMMIT),
    )
}

/// How long to wait for the server's last word: longer than it may itself take.
fn patience(connections: &Connections, time_left: Duration) -> Duration {
    time_left.saturating_add(connections.answer_timeout())
}

/// Whether it was the server that said that a statement has failed, and that it goes on, or goes down. Who says that the
/// connection is lost may be a pooler, behind which the server has committed meanwhile.
fn is_the_servers(error: &Error) -> bool {
    let goes_down = [
        SqlState::ADMIN_SHUTDOWN,
        SqlState::CRASH_SHUTDOWN,
        SqlState::CANNOT_CONNECT_NOW,
        SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT,
    ];
    !is_broken(error) || error.code().is_some_and(|code| goes_down.contains(code))
}
