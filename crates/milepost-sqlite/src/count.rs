//! Counts: from an index where one can answer, row by row where not.

use std::ops::ControlFlow;

use milepost_core::{Counts, Filter, OverallStatus, StoreError, Term, limits};
use rusqlite::{Connection, ToSql};

use crate::columns::{self, micros};
use crate::error::store_error;
use crate::rows::{Home, LastTable, Rows, Table};
use crate::source::Source;
use crate::sql;

/// Counts within the read transaction that `connection` is in.
pub(crate) fn count(
    connection: &Connection,
    last: &LastTable,
    filter: &Filter,
) -> Result<Counts, StoreError> {
    match Grouped::of(filter) {
        Some(grouped) => grouped.count(connection, filter),
        None => one_by_one(connection, last, filter),
    }
}

/// A filter by one pipeline, or none, and by status: SQLite counts those within an index.
struct Grouped<'f> {
    pipeline: Option<&'f str>,
}

impl<'f> Grouped<'f> {
    fn of(filter: &'f Filter) -> Option<Self> {
        let mut pipeline = None;
        for term in &filter.terms {
            match term {
                Term::Status(_) => {}
                Term::Pipeline(name) if pipeline.is_none() => pipeline = Some(name.as_str()),
                _ => return None,
            }
        }
        Some(Grouped { pipeline })
    }

    /// All, less those that have expired; and how many of them are stalled.
    fn count(&self, connection: &Connection, filter: &Filter) -> Result<Counts, StoreError> {
        let visible_at = filter.visible_at.map(micros);
        let mut groups = [0_u64; OverallStatus::ALL.len()];
        let mut run = |statements: sql::PerTable, parameters: &[&dyn ToSql], expired: bool| {
            for table in Table::BOTH {
                let mut statement = connection
                    .prepare_cached(table.of(statements))
                    .map_err(store_error)?;
                let mut rows = statement.query(parameters).map_err(store_error)?;
                while let Some(row) = rows.next().map_err(store_error)? {
                    let status = columns::status(row.get(0).map_err(store_error)?)?;
                    let count = row.get::<_, i64>(1).map_err(store_error)?.unsigned_abs();
                    let group = &mut groups[usize::from(status.code())];
                    *group = if expired {
                        group.saturating_sub(count)
                    } else {
                        *group + count
                    };
                }
            }
            Ok::<_, StoreError>(())
        };
        match (&self.pipeline, &visible_at) {
            (None, None) => run(sql::COUNT, &[], false)?,
            (None, Some(time)) => {
                run(sql::COUNT, &[], false)?;
                run(sql::COUNT_EXPIRED, &[time], true)?;
            }
            (Some(name), None) => run(sql::COUNT_PIPELINE, &[name], false)?,
            (Some(name), Some(time)) => {
                run(sql::COUNT_PIPELINE, &[name], false)?;
                run(sql::COUNT_PIPELINE_EXPIRED, &[name, time], true)?;
            }
        }
        let mut counts = Counts::new();
        let statuses = filter.statuses();
        for status in &statuses {
            counts.add(*status, groups[usize::from(status.code())]);
        }
        if let Some(time) = visible_at
            && statuses.contains(&OverallStatus::Ongoing)
        {
            counts.add_stalled(self.stalled(connection, time)?);
        }
        Ok(counts)
    }

    fn stalled(&self, connection: &Connection, visible_at: i64) -> Result<u64, StoreError> {
        let mut stalled = 0;
        for table in Table::BOTH {
            let counted = match &self.pipeline {
                None => connection
                    .prepare_cached(table.of(sql::COUNT_STALLED))
                    .and_then(|mut count| count.query_row([visible_at], |row| row.get(0))),
                Some(name) => connection
                    .prepare_cached(table.of(sql::COUNT_PIPELINE_STALLED))
                    .and_then(|mut count| count.query_row((name, visible_at), |row| row.get(0))),
            };
            stalled += counted.map(i64::unsigned_abs).map_err(store_error)?;
        }
        Ok(stalled)
    }
}

/// Judges each row, by its columns if the indexes hold all that is asked, and else by its record.
fn one_by_one(
    connection: &Connection,
    last: &LastTable,
    filter: &Filter,
) -> Result<Counts, StoreError> {
    let mut rows = Rows::new(connection, last);
    let by_columns = filter.is_indexed();
    let bound = if by_columns {
        usize::MAX
    } else {
        limits::COUNT_EXAMINED
    };
    let mut counts = Counts::new();
    let mut examined = 0;
    let scanned = Source::of(filter).scan(connection, |table, scanned| {
        if examined == bound {
            return Ok(ControlFlow::Break(()));
        }
        examined += 1;
        let passes = filter.matches_indexed(&scanned.indexed)
            && (by_columns || {
                let home = Home {
                    table,
                    row: scanned.row,
                };
                filter.matches(&*rows.at(home, scanned.place.request_id)?)
            });
        if passes {
            counts.add(scanned.indexed.status, 1);
            let is_stalled = |time| scanned.indexed.is_stalled(time);
            counts.add_stalled(filter.visible_at.is_some_and(is_stalled).into());
        }
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(if scanned.is_break() {
        counts.partial()
    } else {
        counts
    })
}
