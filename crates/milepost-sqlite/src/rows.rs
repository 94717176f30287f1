//! The rows of processes, in either of their two tables.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use milepost_core::{Process, RequestId, StoreError, Version};
use rusqlite::{CachedStatement, Connection, Params, Row, params};

use crate::columns::{blob, decode, id_bytes, micros, with_columns};
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

/// A stored process, where it is, and its body.
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
        see: &mut dyn FnMut(Home, &Row<'_>) -> Result<T, StoreError>,
    ) -> Result<Option<T>, StoreError> {
        let statement = self.statement(statement, table)?;
        let mut rows = statement.query([id_bytes(id)]).map_err(store_error)?;
        let Some(row) = rows.next().map_err(store_error)? else {
            return Ok(None);
        };
        let row_number = row.get(0).map_err(store_error)?;
        let home = Home {
            table,
            row: row_number,
        };
        see(home, row).map(Some)
    }

    /// Shows the row of this id to `see`, if there is one, first in the table in which something was found
    /// last. Within a transaction, for between the two looks a wipe could move it.
    fn in_either<T>(
        &mut self,
        statement: Statement,
        id: RequestId,
        mut see: impl FnMut(Home, &Row<'_>) -> Result<T, StoreError>,
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
        self.in_either(Statement::Load, id, |home, row| {
            Ok(Found {
                home,
                process: decode(row, 1, id)?,
                body: blob(row, 9)?.to_vec(),
            })
        })
    }

    /// Where the stored process of this id is, if that is its body. Within a transaction.
    pub(crate) fn find_body(
        &mut self,
        id: RequestId,
        body: &[u8],
    ) -> Result<Option<Home>, StoreError> {
        let same = self.in_either(Statement::Body, id, |home, row| {
            Ok((blob(row, 1)? == body).then_some(home))
        })?;
        Ok(same.flatten())
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
            Ok(Process::version_of_body(id, blob(row, 1)?)?)
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
    ) -> Result<(), StoreError> {
        let id = id_bytes(process.request_id());
        with_columns(process, body, &id, |columns| {
            self.write(Statement::Insert, table, columns)
        })
    }

    /// Replaces a process, whatever has changed.
    pub(crate) fn replace(
        &mut self,
        home: Home,
        process: &Process,
        body: &[u8],
    ) -> Result<(), StoreError> {
        with_columns(process, body, &home.row, |columns| {
            self.write(Statement::Replace, home.table, columns)
        })
    }

    /// Replaces a process that has settled or gone on again, and otherwise stands where it stood in every index.
    pub(crate) fn settle(
        &mut self,
        home: Home,
        process: &Process,
        body: &[u8],
    ) -> Result<(), StoreError> {
        let columns = params![
            process.status().code(),
            process.settled_at().map(micros),
            process.leased_until().map(micros),
            body,
            home.row
        ];
        self.write(Statement::Settle, home.table, columns)
    }

    /// Replaces what no index holds of a process.
    pub(crate) fn advance(&mut self, home: Home, body: &[u8]) -> Result<(), StoreError> {
        self.write(Statement::Advance, home.table, params![body, home.row])
    }

    /// Replaces what no index but that of leases holds of a process.
    pub(crate) fn lease(
        &mut self,
        home: Home,
        process: &Process,
        body: &[u8],
    ) -> Result<(), StoreError> {
        let until = process.leased_until().map(micros);
        let columns = params![body, home.row, until];
        self.write(Statement::Lease, home.table, columns)
    }

    pub(crate) fn delete(&mut self, home: Home) -> Result<(), StoreError> {
        self.write(Statement::Delete, home.table, [home.row])
    }

    fn write(
        &mut self,
        statement: Statement,
        table: Table,
        columns: impl Params,
    ) -> Result<(), StoreError> {
        let changed = self.statement(statement, table)?.execute(columns);
        match changed.map_err(store_error)? {
            1 => Ok(()),
            _ => Err(corrupt("a row vanished within a transaction")),
        }
    }
}
