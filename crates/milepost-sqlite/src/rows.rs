//! The rows of processes, in either of their two tables.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use milepost_core::{Process, RequestId, StoreError, Version};
use rusqlite::{CachedStatement, Connection, Row, ToSql, params};

use crate::columns::{blob, decode, each_column, id_bytes, micros};
use crate::error::{corrupt, store_error};
use crate::sql;

/// The two tables of one shape.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Table {
    A,
    B,
}

impl Table {
    pub(crate) const BOTH: [Table; 2] = [Table::A, Table::B];

    pub(crate) fn from_number(number: i64) -> Result<Self, StoreError> {
        match number {
            0 => Ok(Table::A),
            1 => Ok(Table::B),
            _ => Err(corrupt("there is no third table of processes")),
        }
    }

    pub(crate) fn other(self) -> Self {
        match self {
            Table::A => Table::B,
            Table::B => Table::A,
        }
    }

    /// The statement for this table.
    pub(crate) fn of(self, statements: sql::PerTable) -> &'static str {
        match self {
            Table::A => statements[0],
            Table::B => statements[1],
        }
    }
}

/// Where a row is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Home {
    pub(crate) table: Table,
    pub(crate) row: i64,
}

/// The table in which something was found last: where to look first.
#[derive(Debug, Default)]
pub(crate) struct LastTable(AtomicBool);

impl LastTable {
    pub(crate) fn get(&self) -> Table {
        if self.0.load(Ordering::Relaxed) {
            Table::B
        } else {
            Table::A
        }
    }

    pub(crate) fn set(&self, table: Table) {
        self.0.store(table == Table::B, Ordering::Relaxed);
    }
}

/// A stored process: where it is, and the body that it was decoded from or encoded to.
pub(crate) struct Found {
    pub(crate) home: Home,
    pub(crate) process: Arc<Process>,
    pub(crate) body: Vec<u8>,
}

/// What is done with a row.
#[derive(Clone, Copy)]
enum Statement {
    Load,
    Body,
    Record,
    IsStill,
    Insert,
    Replace,
    Settle,
    Advance,
    Lease,
    Delete,
}

impl Statement {
    const COUNT: usize = Statement::Delete as usize + 1;

    fn sql(self) -> sql::PerTable {
        match self {
            Statement::Load => sql::LOAD,
            Statement::Body => sql::BODY,
            Statement::Record => sql::RECORD,
            Statement::IsStill => sql::IS_STILL,
            Statement::Insert => sql::INSERT,
            Statement::Replace => sql::REPLACE,
            Statement::Settle => sql::SETTLE,
            Statement::Advance => sql::ADVANCE,
            Statement::Lease => sql::LEASE,
            Statement::Delete => sql::DELETE,
        }
    }
}

/// The rows, through statements that are taken from the connection when they are first needed and kept as long
/// as this lives: each time costs about as much as a small statement.
pub(crate) struct Rows<'c> {
    connection: &'c Connection,
    last: &'c LastTable,
    kept: [[Option<CachedStatement<'c>>; 2]; Statement::COUNT],
}

impl<'c> Rows<'c> {
    pub(crate) fn new(connection: &'c Connection, last: &'c LastTable) -> Self {
        Rows {
            connection,
            last,
            kept: [const { [None, None] }; Statement::COUNT],
        }
    }

    fn statement(
        &mut self,
        statement: Statement,
        table: Table,
    ) -> Result<&mut CachedStatement<'c>, StoreError> {
        let kept = &mut self.kept[statement as usize][table as usize];
        if kept.is_none() {
            let prepared = self.connection.prepare_cached(table.of(statement.sql()));
            *kept = Some(prepared.map_err(store_error)?);
        }
        Ok(kept.as_mut().expect("it was just prepared"))
    }

    /// Shows the row of this id in a table to `see`, if it is there.
    fn in_table<T>(
        &mut self,
        statement: Statement,
        table: Table,
        id: RequestId,
        see: &mut dyn FnMut(Table, &Row<'_>) -> Result<T, StoreError>,
    ) -> Result<Option<T>, StoreError> {
        let statement = self.statement(statement, table)?;
        let mut rows = statement.query([id_bytes(id)]).map_err(store_error)?;
        let row = rows.next().map_err(store_error)?;
        row.map(|row| see(table, row)).transpose()
    }

    /// Shows the row of this id to `see`, if there is one, first in the table in which something was found
    /// last. Within a transaction, for between the two looks a wipe could move it.
    fn in_either<T>(
        &mut self,
        statement: Statement,
        id: RequestId,
        mut see: impl FnMut(Table, &Row<'_>) -> Result<T, StoreError>,
    ) -> Result<Option<T>, StoreError> {
        let first = self.last.get();
        if let Some(seen) = self.in_table(statement, first, id, &mut see)? {
            return Ok(Some(seen));
        }
        let other = first.other();
        let seen = self.in_table(statement, other, id, &mut see)?;
        if seen.is_some() {
            self.last.set(other);
        }
        Ok(seen)
    }

    /// The stored process of this id, where it is, and its body. Within a transaction.
    pub(crate) fn find(&mut self, id: RequestId) -> Result<Option<Found>, StoreError> {
        self.in_either(Statement::Load, id, |table, row| {
            Ok(Found {
                home: Home {
                    table,
                    row: row.get(0).map_err(store_error)?,
                },
                process: decode(row, 1, id)?,
                body: blob(row, 9)?.to_vec(),
            })
        })
    }

    /// Whether this is what is stored.
    pub(crate) fn is_still(&mut self, id: RequestId, was: &Was<'_>) -> Result<bool, StoreError> {
        let statement = self.statement(Statement::IsStill, was.home.table)?;
        let row = params![was.home.row, id_bytes(id), was.body];
        statement.exists(row).map_err(store_error)
    }

    /// The stored process of this id. Within a transaction.
    pub(crate) fn load(&mut self, id: RequestId) -> Result<Option<Arc<Process>>, StoreError> {
        self.in_either(Statement::Load, id, |_, row| decode(row, 1, id))
    }

    /// The stored process of this id, if it is in the table in which something was found last.
    pub(crate) fn load_where_last(
        &mut self,
        id: RequestId,
    ) -> Result<Option<Arc<Process>>, StoreError> {
        let table = self.last.get();
        let mut see = |_, row: &Row<'_>| decode(row, 1, id);
        self.in_table(Statement::Load, table, id, &mut see)
    }

    /// The stored version of this id. Within a transaction.
    pub(crate) fn version(&mut self, id: RequestId) -> Result<Option<Version>, StoreError> {
        self.in_either(Statement::Body, id, |_, row| {
            Ok(Process::version_of_body(id, blob(row, 0)?)?)
        })
    }

    /// The process at a place that was read within the same transaction.
    pub(crate) fn at(&mut self, home: Home, id: RequestId) -> Result<Arc<Process>, StoreError> {
        let statement = self.statement(Statement::Record, home.table)?;
        let mut rows = statement.query([home.row]).map_err(store_error)?;
        let row = rows.next().map_err(store_error)?;
        let row = row.ok_or_else(|| corrupt("an index names a row that is not there"))?;
        decode(row, 0, id)
    }

    /// Adds a process, whose body is given.
    pub(crate) fn insert(
        &mut self,
        table: Table,
        process: &Process,
        body: &[u8],
    ) -> Result<Home, StoreError> {
        let statement = self.statement(Statement::Insert, table)?;
        let id = id_bytes(process.request_id());
        let mut parameter = 0;
        let mut bind = |value: &dyn ToSql| {
            parameter += 1;
            statement.raw_bind_parameter(parameter, value)
        };
        each_column(process, body, &mut bind)
            .and_then(|()| bind(&id))
            .and_then(|()| statement.raw_execute())
            .map_err(store_error)?;
        Ok(Home {
            table,
            row: self.connection.last_insert_rowid(),
        })
    }

    /// Writes a process over what it was, touching no index that holds the same of both. False, and nothing is
    /// written, if that is not what is stored.
    pub(crate) fn replace(
        &mut self,
        was: &Was<'_>,
        process: &Process,
        body: &[u8],
        change: Change,
    ) -> Result<bool, StoreError> {
        let (statement, columns) = match change {
            Change::Anything => (Statement::Replace, 0),
            Change::Settling => (Statement::Settle, 4),
            Change::Lease => (Statement::Lease, 2),
            Change::Work => (Statement::Advance, 1),
        };
        let leased_until = process.leased_until().map(micros);
        let settled_at = process.settled_at().map(micros);
        let some: [&dyn ToSql; 4] = [&body, &leased_until, &process.status().code(), &settled_at];
        self.write_over(statement, process.request_id(), was, |bind| match change {
            Change::Anything => each_column(process, body, bind),
            Change::Settling | Change::Lease | Change::Work => {
                some[..columns].iter().try_for_each(|column| bind(*column))
            }
        })
    }

    /// Deletes a row. False, and nothing is deleted, if that is not what is stored.
    pub(crate) fn delete(&mut self, id: RequestId, was: &Was<'_>) -> Result<bool, StoreError> {
        self.write_over(Statement::Delete, id, was, |_| Ok(()))
    }

    fn write_over(
        &mut self,
        statement: Statement,
        id: RequestId,
        was: &Was<'_>,
        columns: impl FnOnce(&mut dyn FnMut(&dyn ToSql) -> rusqlite::Result<()>) -> rusqlite::Result<()>,
    ) -> Result<bool, StoreError> {
        let statement = self.statement(statement, was.home.table)?;
        let mut parameter = 0;
        let mut bind = |value: &dyn ToSql| {
            parameter += 1;
            statement.raw_bind_parameter(parameter, value)
        };
        let written = bind(&was.home.row)
            .and_then(|()| bind(&id_bytes(id)))
            .and_then(|()| bind(&was.body))
            .and_then(|()| columns(&mut bind))
            .and_then(|()| statement.raw_execute());
        Ok(written.map_err(store_error)? == 1)
    }
}

/// What a write was decided on: the body that must still be in its row.
pub(crate) struct Was<'b> {
    pub(crate) home: Home,
    pub(crate) body: &'b [u8],
}

/// What has changed of a process, as far as indexes go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    Anything,
    /// The status, the time at which it settled, and the lease.
    Settling,
    Lease,
    /// Nothing that an index holds.
    Work,
}
