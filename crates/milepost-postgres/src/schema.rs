//! The tables: making them, bringing them up to date, and seeing that they are there.

use deadpool_postgres::Client;
use milepost_core::{StoreError, StoreErrorKind};
use tokio_postgres::{IsolationLevel, Row};

use crate::config::SchemaName;
use crate::connections::Connections;
use crate::error::{commit_error, store_error};

/// What brings the tables from each version to the next; a schema without any is at version 0. Never changed once
/// published: what is new is a new one.
///
/// In the first, no column has statistics, which would keep copies of what was erased. Without them the server goes about
/// each statement in one way, whatever is in the table. Half of each page is left free, so that a row that changes finds room beside itself, and no
/// index need be touched: what changes often is in none.
const MIGRATIONS: [&str; 1] = [r#"
CREATE TABLE {schema}.process (
    request_id uuid PRIMARY KEY,
    created_at bigint NOT NULL,   -- times are microseconds since 1970
    settled_at bigint,
    expires_at bigint,
    leased_until bigint,          -- there while it is ongoing under a claim that nobody has ended
    born bigint NOT NULL,         -- with the revision: which state the body is of
    revision bigint NOT NULL,
    status smallint NOT NULL,     -- 0 ongoing, 1 complete, 2 failed, 3 cancelled
    file_id uuid NOT NULL,
    pipeline text COLLATE "C" NOT NULL,
    directory text COLLATE "C",   -- NULL: the one that files have when they were given none
    body bytea NOT NULL           -- all else, in milepost's record form
) WITH (fillfactor = 50);
CREATE INDEX process_by_pipeline ON {schema}.process (pipeline, status, created_at, request_id);
CREATE INDEX process_by_status ON {schema}.process (status, created_at, request_id);
CREATE INDEX process_by_file ON {schema}.process (file_id);
CREATE INDEX process_by_directory ON {schema}.process (directory) WHERE directory IS NOT NULL;
CREATE INDEX process_by_settling ON {schema}.process (settled_at) WHERE settled_at IS NOT NULL;
CREATE INDEX process_by_expiry ON {schema}.process (expires_at) WHERE expires_at IS NOT NULL;
ALTER TABLE {schema}.process
    ALTER request_id SET STATISTICS 0,
    ALTER created_at SET STATISTICS 0,
    ALTER settled_at SET STATISTICS 0,
    ALTER expires_at SET STATISTICS 0,
    ALTER leased_until SET STATISTICS 0,
    ALTER born SET STATISTICS 0,
    ALTER revision SET STATISTICS 0,
    ALTER status SET STATISTICS 0,
    ALTER file_id SET STATISTICS 0,
    ALTER pipeline SET STATISTICS 0,
    ALTER directory SET STATISTICS 0,
    ALTER body SET STATISTICS 0;
"#];

/// The version that this library reads and writes.
const SCHEMA_VERSION: usize = MIGRATIONS.len();

/// Held while the tables are made or changed, whatever their schema: "milepost" in ASCII.
const LOCK: i64 = 0x6d69_6c65_706f_7374;

/// Everything that makes the tables where there are none.
pub(crate) fn sql(schema: &SchemaName) -> String {
    let name = schema.quoted();
    let migrations = from_version(schema, 0);
    format!(
        "-- The tables of milepost, at version {SCHEMA_VERSION}. Run once, by their owner. The role that the store connects as
-- then needs no more than:
--   GRANT USAGE ON SCHEMA {name} TO its_name;
--   GRANT SELECT ON {name}.milepost_migration TO its_name;
--   GRANT SELECT, INSERT, UPDATE, DELETE ON {name}.process TO its_name;
BEGIN;
{migrations}COMMIT;\n"
    )
}

/// What is missing from a version on.
fn from_version(schema: &SchemaName, version: usize) -> String {
    let name = schema.quoted();
    let beginning = format!(
        "-- Also where it is there, and its owner may make no other.
DO $$ BEGIN IF to_regnamespace('{name}') IS NULL THEN CREATE SCHEMA {name}; END IF; END $$;
CREATE TABLE {name}.milepost_migration (version integer PRIMARY KEY);\n"
    );
    let migrations = (1..).zip(MIGRATIONS).skip(version);
    let migrations = migrations.map(|(number, migration)| {
        let migration = migration.replace("{schema}", &name);
        format!("{migration}INSERT INTO {name}.milepost_migration VALUES ({number});\n")
    });
    let beginning = Some(beginning).filter(|_| version == 0);
    beginning.into_iter().chain(migrations).collect()
}

/// Sees that the tables are there at this library's version; makes what is missing, if it is to.
pub(crate) async fn prepare(
    connections: &Connections,
    schema: &SchemaName,
    create_if_missing: bool,
) -> Result<(), StoreError> {
    let mut version = version(connections).await?;
    if version < SCHEMA_VERSION && create_if_missing {
        migrate(connections, schema).await?;
        version = self::version(connections).await?;
    }
    let name = schema.quoted();
    let why = match version {
        SCHEMA_VERSION => return Ok(()),
        0 => format!(
            "there are no tables of milepost in the schema {name}: have an owner run what PostgresConfig::schema_sql gives"
        ),
        older if older < SCHEMA_VERSION => format!(
            "the tables in the schema {name} are at version {older}, and this milepost needs {SCHEMA_VERSION}: open them once \
             with create_if_missing, as their owner"
        ),
        newer => format!(
            "the tables in the schema {name} are at version {newer}, and this milepost knows {SCHEMA_VERSION}: use a newer one"
        ),
    };
    Err(StoreError::new(StoreErrorKind::Incompatible, why))
}

/// The version of the tables; 0: there are none.
async fn version(connections: &Connections) -> Result<usize, StoreError> {
    let statements = connections.statements();
    let there = connections
        .query(&statements.has_schema, Vec::new())
        .await?;
    if !is_true(there.first()) {
        return Ok(0);
    }
    let found = connections
        .query(&statements.schema_version, Vec::new())
        .await?;
    number(found.first())
}

fn is_true(row: Option<&Row>) -> bool {
    row.is_some_and(|row| row.try_get(0).unwrap_or(false))
}

/// The version in a row.
fn number(row: Option<&Row>) -> Result<usize, StoreError> {
    let number = row.and_then(|row| row.try_get::<_, i32>(0).ok());
    number.map_or_else(
        || {
            let why = "the table milepost_migration is not milepost's: use another schema";
            Err(StoreError::new(StoreErrorKind::Incompatible, why))
        },
        // Below zero it is none of ours, either.
        |number| Ok(usize::try_from(number).unwrap_or(usize::MAX)),
    )
}

/// Makes what is missing, in one transaction; whoever comes at the same time waits, and finds it done.
async fn migrate(connections: &Connections, schema: &SchemaName) -> Result<(), StoreError> {
    let mut client = connections.get(connections.busy_timeout()).await?;
    let migrated = connections
        .answer(migrate_over(&mut client, connections, schema))
        .await;
    match migrated {
        Ok(migrated) => migrated,
        Err(silent) => {
            connections.break_off(client);
            Err(silent)
        }
    }
}

async fn migrate_over(
    client: &mut Client,
    connections: &Connections,
    schema: &SchemaName,
) -> Result<(), StoreError> {
    let statements = connections.statements();
    let transaction = client
        .build_transaction()
        .isolation_level(IsolationLevel::ReadCommitted)
        .start()
        .await
        .map_err(store_error)?;
    let lock = format!("SELECT pg_advisory_xact_lock({LOCK})");
    transaction
        .batch_execute(&lock)
        .await
        .map_err(store_error)?;
    let there = transaction
        .query_typed_opt(&statements.has_schema, &[])
        .await;
    let version = if is_true(there.map_err(store_error)?.as_ref()) {
        let found = transaction
            .query_typed_opt(&statements.schema_version, &[])
            .await;
        number(found.map_err(store_error)?.as_ref())?
    } else {
        0
    };
    let missing = from_version(schema, version);
    transaction
        .batch_execute(&missing)
        .await
        .map_err(store_error)?;
    transaction.commit().await.map_err(commit_error)
}
