//! What brings a file of an older schema version to the next. It stays as it is: files of that version exist.

use milepost_core::{Process, StoreError};
use rusqlite::Connection;

use crate::columns::{blob, id_bytes};
use crate::error::{corrupt, store_error};
use crate::rows::{LastTable, Rows, Table};
use crate::schema::{OVERVIEW, TABLES};

/// Brings a file to the next version, within a transaction.
type Upgrade = fn(&Connection) -> Result<(), StoreError>;

/// From version 1 on.
pub(crate) const UPGRADES: [Upgrade; 2] = [to_2, to_3];

/// When a row's lease runs out: there while it is ongoing under a claim that nobody has ended.
macro_rules! lease_column {
    ($table:literal) => {
        concat!(
            "ALTER TABLE ",
            $table,
            " ADD COLUMN leased_until INTEGER;
            CREATE INDEX ",
            $table,
            "_by_lease ON ",
            $table,
            " (leased_until) WHERE leased_until IS NOT NULL;
            "
        )
    };
}

/// Leases.
fn to_2(connection: &Connection) -> Result<(), StoreError> {
    let statements = concat!(
        lease_column!("process_a"),
        lease_column!("process_b"),
        r"
    -- An OS process that knows version 1 only may have the file open. It would move rows without their leases,
    -- so what it reads before it moves any has another name now. The table is made anew, because SQLite renames
    -- nothing in a file that has a view it cannot read.
    CREATE TEMP TABLE kept AS SELECT id, current, erased, compacting, compacted, wiped FROM wipe_progress;
    DROP TABLE wipe_progress;
    CREATE TABLE wipe_progress (
        id INTEGER PRIMARY KEY CHECK (id = 1),
        current INTEGER NOT NULL CHECK (current IN (0, 1)), -- the table that takes new rows
        erased INTEGER NOT NULL,                            -- transactions that erased something
        moving INTEGER,                                     -- erased, when the move that is under way began
        compacted INTEGER NOT NULL,                         -- erased, when the last whole move began
        wiped INTEGER NOT NULL                              -- compacted, when the WAL was last cut off and synced
    ) STRICT;
    INSERT INTO wipe_progress SELECT * FROM kept;
    DROP TABLE kept;
    "
    );
    connection.execute_batch(statements).map_err(store_error)
}

/// Rows of about half the size: what stands in a column is no longer in the record too, and what no index
/// needs has no column.
fn to_3(connection: &Connection) -> Result<(), StoreError> {
    let run = |statements: &str| connection.execute_batch(statements).map_err(store_error);
    // What is refused is to stay as it is. A transaction that no cache holds is in the WAL before it is committed, so
    // whatever could stop this one is looked for before anything is written.
    for table in ["process_a", "process_b"] {
        each_record(connection, table, |_| Ok(()))?;
    }
    // Otherwise SQLite renames nothing in a file that has a view it cannot read.
    run("PRAGMA legacy_alter_table = ON; DROP VIEW IF EXISTS process_overview;")?;
    for table in ["process_a", "process_b"] {
        run(&format!("ALTER TABLE {table} RENAME TO old_{table}"))?;
        for index in [
            "id",
            "status",
            "pipeline",
            "file",
            "directory",
            "settling",
            "expiry",
            "lease",
        ] {
            run(&format!("DROP INDEX {table}_by_{index}"))?;
        }
    }
    run(TABLES)?;
    for (old, table) in [("old_process_a", Table::A), ("old_process_b", Table::B)] {
        copy(connection, old, table)?;
        run(&format!("DROP TABLE {old}"))?;
    }
    run(OVERVIEW)?;
    run("PRAGMA legacy_alter_table = OFF")
}

/// Copies the rows of a table of version 2.
fn copy(connection: &Connection, old: &str, table: Table) -> Result<(), StoreError> {
    let (mut body, last) = (Vec::new(), LastTable::default());
    let mut new = Rows::new(connection, &last);
    each_record(connection, old, |process| {
        body.clear();
        process.to_body(&mut body);
        new.insert(table, process, &body).map(drop)
    })
}

/// Shows each process of a table of version 2 to `see`.
fn each_record(
    connection: &Connection,
    table: &str,
    mut see: impl FnMut(&Process) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let records = format!("SELECT request_id, record FROM {table} ORDER BY row");
    let mut records = connection.prepare(&records).map_err(store_error)?;
    let mut records = records.query([]).map_err(store_error)?;
    while let Some(row) = records.next().map_err(store_error)? {
        let process = Process::from_record(blob(row, 1)?)?;
        if id_bytes(process.request_id()) != *blob(row, 0)? {
            return Err(corrupt("a record belongs to another id than its row"));
        }
        see(&process)?;
    }
    Ok(())
}
