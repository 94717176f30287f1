//! Counts: by the server where columns tell all that is asked, and row by row where not.

use std::pin::pin;

use futures_util::TryStreamExt as _;
use milepost_core::{Counts, Filter, StoreError, limits};
use tokio_postgres::RowStream;
use tokio_postgres::types::Type;

use crate::PostgresStore;
use crate::columns::{indexed, number, process, status};
use crate::connections::{Connections, borrowed, close, parameter};
use crate::error::{is_broken, store_error};
use crate::narrow::Narrowed;

impl PostgresStore {
    pub(crate) fn count_matching(&self, filter: &Filter) -> Result<Counts, StoreError> {
        let narrowed = Narrowed::of(filter);
        let connections = self.connections().clone();
        if !narrowed.is_all {
            let filter = filter.clone();
            return self
                .home()
                .wait(async move { one_by_one(&connections, narrowed, &filter).await });
        }
        let rows = self.home().wait(async move {
            let count = &connections.statements().count;
            connections.query(count, narrowed.parameters()).await
        })?;
        let mut counts = Counts::new();
        for row in &rows {
            counts.add(status(row, 0)?, number(row, 1)?);
            counts.add_stalled(number(row, 2)?);
        }
        Ok(counts)
    }
}

/// Judges each row as it comes in, by its columns if they hold all that is asked, and else by its record.
async fn one_by_one(
    connections: &Connections,
    narrowed: Narrowed,
    filter: &Filter,
) -> Result<Counts, StoreError> {
    let by_columns = filter.is_indexed();
    let statements = connections.statements();
    let mut parameters = narrowed.parameters();
    let statement = if by_columns {
        &statements.scan
    } else {
        // One more tells that there are more.
        let most = i64::try_from(limits::COUNT_EXAMINED + 1).expect("it is small");
        parameters.push(parameter(most, Type::INT8));
        &statements.scan_records
    };
    let parameters = borrowed(&parameters);
    let mut tries = connections.tries();
    loop {
        let client = connections.get(connections.busy_timeout()).await?;
        let asked = client.query_typed_raw(statement, parameters.iter().cloned());
        tries -= 1;
        match connections.answer(asked).await {
            // It was closed since it was used last.
            Ok(Err(error)) if is_broken(&error) && tries > 0 => close(client),
            Ok(Err(error)) => return Err(store_error(error)),
            Err(silent) => {
                connections.break_off(client);
                return Err(silent);
            }
            Ok(Ok(rows)) => {
                let counted = add_up(connections, rows, filter, by_columns).await;
                if counted.is_err() {
                    // Rows may still be on their way.
                    connections.break_off(client);
                }
                return counted;
            }
        }
    }
}

async fn add_up(
    connections: &Connections,
    rows: RowStream,
    filter: &Filter,
    by_columns: bool,
) -> Result<Counts, StoreError> {
    let mut rows = pin!(rows);
    let mut counts = Counts::new();
    let mut examined = 0;
    while let Some(row) = connections
        .answer(rows.try_next())
        .await?
        .map_err(store_error)?
    {
        if by_columns {
            let indexed = indexed(&row)?;
            if filter.matches_indexed(&indexed) {
                counts.add(indexed.status, 1);
                let is_stalled = |time| indexed.is_stalled(time);
                counts.add_stalled(filter.visible_at.is_some_and(is_stalled).into());
            }
            continue;
        }
        if examined == limits::COUNT_EXAMINED {
            return Ok(counts.partial());
        }
        examined += 1;
        counts.tally(&*process(&row)?, filter);
    }
    Ok(counts)
}
