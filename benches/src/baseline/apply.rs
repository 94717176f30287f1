//! Applying ops within a transaction of the writing connection.

use rusqlite::types::FromSqlError;
use rusqlite::{Connection, Result, Row, params};

use super::connection::run;
use super::process::{
    Applied, Begin, Card, MODULES, Module, Op, Refused, Status, Step, Verdict, pack, unpack,
};
use super::{PURGED_AT_ONCE, sql};

/// Applies batches in one transaction; after an error nothing of it is kept.
pub(super) fn in_one_transaction<'a>(
    connection: &Connection,
    batches: impl Iterator<Item = &'a [Op]>,
) -> Result<Vec<Vec<Verdict>>> {
    transaction(connection, || {
        batches
            .map(|ops| ops.iter().map(|op| apply(connection, op)).collect())
            .collect()
    })
}

/// Runs `work` in a transaction.
pub(super) fn transaction<T>(
    connection: &Connection,
    work: impl FnOnce() -> Result<T>,
) -> Result<T> {
    run(connection, sql::BEGIN)?;
    let done = work().and_then(|value| run(connection, sql::COMMIT).map(|()| value));
    if done.is_err() && !connection.is_autocommit() {
        run(connection, sql::ROLLBACK)?;
    }
    done
}

/// Applies one op within a transaction, or as a transaction of its own if it is one statement.
pub(super) fn apply(connection: &Connection, op: &Op) -> Result<Verdict> {
    match op {
        Op::Begin(begin) => insert(connection, begin),
        Op::Advance(step) => advance(connection, step),
        Op::Purge { by } => {
            let mut purge = connection.prepare_cached(sql::PURGE)?;
            let purged = purge.execute(params![by, PURGED_AT_ONCE])?;
            Ok(Ok(Applied::Purged(purged)))
        }
    }
}

fn insert(connection: &Connection, begin: &Begin) -> Result<Verdict> {
    let mut insert = connection.prepare_cached(sql::INSERT)?;
    let inserted = insert.execute(params![
        begin.id.as_bytes(),
        begin.pipeline,
        begin.at,
        begin.expires_at,
        begin.file,
        pack(&[Module::PENDING; MODULES]),
    ])?;
    Ok(if inserted == 1 {
        Ok(Applied::Begun)
    } else {
        Err(Refused::Exists)
    })
}

fn advance(connection: &Connection, step: &Step) -> Result<Verdict> {
    let mut load = connection.prepare_cached(sql::LOAD)?;
    let mut rows = load.query([step.id.as_bytes()])?;
    let Some(found) = rows.next()? else {
        return Ok(Err(Refused::NotFound));
    };
    let row = found.get::<_, i64>(0)?;
    let before = status(found, 1)?;
    let mut card = Card {
        status: before,
        modules: modules(found, 2)?,
    };
    drop(rows);
    match card.advance(step) {
        Err(refused) => return Ok(Err(refused)),
        Ok(false) => return Ok(Ok(Applied::Unchanged)),
        Ok(true) => {}
    }
    let packed = pack(&card.modules);
    if card.status == before {
        let mut update = connection.prepare_cached(sql::UPDATE)?;
        update.execute(params![step.at, packed, row])?;
    } else {
        let mut update = connection.prepare_cached(sql::UPDATE_STATUS)?;
        update.execute(params![step.at, packed, row, card.status.code()])?;
    }
    Ok(Ok(Applied::Advanced(card.status)))
}

pub(super) fn status(row: &Row<'_>, column: usize) -> Result<Status> {
    let code = row.get::<_, i64>(column)?;
    Status::from_code(code).ok_or_else(|| FromSqlError::OutOfRange(code).into())
}

pub(super) fn modules(row: &Row<'_>, column: usize) -> Result<[Module; MODULES]> {
    let packed = row.get_ref(column)?.as_blob()?;
    unpack(packed).ok_or_else(|| FromSqlError::InvalidType.into())
}
