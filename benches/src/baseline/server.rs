//! The hand-written code over tokio-postgres: a statement that is prepared once, and sent again and again.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::runtime::{Builder, Runtime};
use tokio_postgres::{Client, NoTls, Statement};
use uuid::Uuid;

use crate::rounds::Outcome;

/// How many bytes a row's body has: about what milepost's has in the same work.
const BODY: usize = 160;

/// One connection, and a table of rows that only their author changes.
pub struct OnServer {
    runtime: Runtime,
    client: Client,
    read: Statement,
    lock: Statement,
    update: Statement,
    ids: Vec<Uuid>,
    next: AtomicUsize,
}

impl OnServer {
    /// Makes a table with as many rows.
    pub fn connect(url: &str, table: &str, rows: usize) -> Outcome<Self> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()?;
        let (client, connection) = runtime.block_on(tokio_postgres::connect(url, NoTls))?;
        runtime.spawn(connection);
        let ids = (0..rows).map(|_| Uuid::now_v7()).collect::<Vec<_>>();
        let body = vec![b'x'; BODY];
        let (read, lock, update) = runtime.block_on(async {
            client
                .batch_execute(&format!(
                    "CREATE TABLE {table} (id uuid PRIMARY KEY, revision bigint NOT NULL, body bytea NOT NULL)
                     WITH (fillfactor = 50)"
                ))
                .await?;
            let fill = format!("INSERT INTO {table} SELECT id, 1, $2 FROM unnest($1::uuid[]) AS id");
            client.execute(&fill, &[&ids, &body]).await?;
            let read = format!("SELECT revision, body FROM {table} WHERE id = $1");
            let lock = format!("SELECT revision FROM {table} WHERE id = $1 FOR UPDATE");
            let update = format!("UPDATE {table} SET revision = revision + 1, body = $2 WHERE id = $1");
            Ok::<_, tokio_postgres::Error>((
                client.prepare(&read).await?,
                client.prepare(&lock).await?,
                client.prepare(&update).await?,
            ))
        })?;
        Ok(OnServer {
            runtime,
            client,
            read,
            lock,
            update,
            ids,
            next: AtomicUsize::new(0),
        })
    }

    fn next(&self) -> Uuid {
        let next = self.next.fetch_add(1, Ordering::Relaxed);
        self.ids[next % self.ids.len()]
    }

    /// Updates the next row, unchecked, in a transaction of its own.
    pub fn update(&self) -> Outcome<()> {
        let body = vec![b'y'; BODY];
        let parameters: [&(dyn tokio_postgres::types::ToSql + Sync); 2] = [&self.next(), &body];
        let updated = self.client.execute(&self.update, &parameters);
        match self.runtime.block_on(updated)? {
            1 => Ok(()),
            _ => Err("a row is not there".into()),
        }
    }

    /// Reads the next row.
    pub fn read(&self) -> Outcome<()> {
        let id = self.next();
        let parameters: [&(dyn tokio_postgres::types::ToSql + Sync); 1] = [&id];
        let read = self.client.query_one(&self.read, &parameters);
        Ok(self.runtime.block_on(read).map(drop)?)
    }

    /// Updates a row as one does who decides on what is there: reads it for update, checks, and writes.
    pub fn read_check_write(&mut self) -> Outcome<()> {
        let id = self.next();
        let body = vec![b'z'; BODY];
        let (client, lock, update) = (&mut self.client, &self.lock, &self.update);
        self.runtime.block_on(async {
            let transaction = client.transaction().await?;
            let row = transaction.query_one(lock, &[&id]).await?;
            if row.get::<_, i64>(0) > 0 {
                transaction.execute(update, &[&id, &body]).await?;
            }
            transaction.commit().await
        })?;
        Ok(())
    }
}

impl fmt::Debug for OnServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OnServer").finish_non_exhaustive()
    }
}
