//! The schema: making it, bringing it up to date, and seeing that it is there.

use milepost_core::StoreError;
use rusqlite::Connection;

use crate::batch::note_erasure;
use crate::connection::check_writable;
use crate::error::{corrupt, refuse, store_error};
use crate::header::{Marks, check_marks};
use crate::ours;
use crate::pool::Deadline;
use crate::rows::Table;
use crate::sql;
use crate::upgrades::UPGRADES;

/// An integer key, so that ids of any kind, also random ones, cost an index entry and not a place in the
/// table. Times are microseconds since 1970. What is not in a column is in the body, which core alone reads
/// and writes. `directory` is NULL where it is the one that files have when they were given none. No
/// index is in the order of all lists together: that of pipelines serves for all, one after the other, and a process
/// that settles moves in one index less.
macro_rules! process_table {
    ($table:literal) => {
        concat!(
            "CREATE TABLE ", $table, " (
                row INTEGER PRIMARY KEY,
                request_id BLOB NOT NULL,
                created_at INTEGER NOT NULL,
                status INTEGER NOT NULL,
                settled_at INTEGER,
                expires_at INTEGER,
                leased_until INTEGER, -- there while it is ongoing under a claim that nobody has ended
                pipeline TEXT NOT NULL,
                file_id BLOB NOT NULL,
                directory TEXT,
                body BLOB NOT NULL
            ) STRICT;
            CREATE UNIQUE INDEX ", $table, "_by_id ON ", $table, " (request_id);
            CREATE INDEX ", $table, "_by_pipeline ON ", $table, " (pipeline, status, created_at, request_id);
            CREATE INDEX ", $table, "_by_file ON ", $table, " (file_id);
            CREATE INDEX ", $table, "_by_directory ON ", $table, " (directory) WHERE directory IS NOT NULL;
            CREATE INDEX ", $table, "_by_settling ON ", $table, " (settled_at) WHERE settled_at IS NOT NULL;
            CREATE INDEX ", $table, "_by_expiry ON ", $table, " (expires_at) WHERE expires_at IS NOT NULL;
            CREATE INDEX ", $table, "_by_lease ON ", $table, " (leased_until) WHERE leased_until IS NOT NULL;
            "
        )
    };
}

macro_rules! overview_of {
    ($table:literal) => {
        concat!(
            "SELECT hex(request_id) AS request_id, pipeline, status, hex(file_id) AS file_id,
            coalesce(directory, '/etc') AS directory, created_at, settled_at, expires_at, leased_until,
            CAST(substr(body, 2, instr(body, x'00') - 2) AS TEXT) AS states
            FROM ",
            $table
        )
    };
}

/// The tables of processes.
pub(crate) const TABLES: &str = concat!(process_table!("process_a"), process_table!("process_b"));

/// How far erasing and wiping have come, counted in erasures. One row. What may have been left in the WAL counts as one,
/// and `moving` and `compacted` are negative of a move that began where another program kept pages that may hold copies.
pub(crate) const WIPE_PROGRESS: &str = "
    CREATE TABLE wipe_progress (
        id INTEGER PRIMARY KEY CHECK (id = 1),
        current INTEGER NOT NULL CHECK (current IN (0, 1)), -- the table that takes new rows
        erased INTEGER NOT NULL,                            -- transactions that erased something
        moving INTEGER,                                     -- erased, when the move that is under way began
        compacted INTEGER NOT NULL,                         -- erased, when the last whole move began
        wiped INTEGER NOT NULL                              -- compacted, when the WAL was last cut off and synced
    ) STRICT;
    INSERT INTO wipe_progress VALUES (1, 0, 0, NULL, 0, 0);
    ";

/// For people. The states of the modules stand in the body as digits, or as letters where more is known, from its
/// second byte to a zero.
pub(crate) const OVERVIEW: &str = concat!(
    "CREATE VIEW process_overview AS
    SELECT
        lower(substr(request_id, 1, 8) || '-' || substr(request_id, 9, 4) || '-' || substr(request_id, 13, 4)
            || '-' || substr(request_id, 17, 4) || '-' || substr(request_id, 21)) AS request_id,
        pipeline,
        CASE status WHEN 0 THEN 'ongoing' WHEN 1 THEN 'complete' WHEN 2 THEN 'failed' ELSE 'cancelled' END
            AS status,
        rtrim(replace(replace(replace(replace(replace(replace(replace(replace(replace(replace(replace(replace(states,
            'A', '0'), 'B', '1'), 'C', '2'), 'D', '3'), 'E', '4'), 'F', '5'),
            '0', 'pending, '), '1', 'running, '), '2', 'complete, '), '3', 'failed, '), '4', 'skipped, '),
            '5', 'cancelled, '), ', ') AS modules,
        lower(substr(file_id, 1, 8) || '-' || substr(file_id, 9, 4) || '-' || substr(file_id, 13, 4)
            || '-' || substr(file_id, 17, 4) || '-' || substr(file_id, 21)) AS file_id,
        directory,
        strftime('%Y-%m-%d %H:%M:%fZ', created_at / 1e6, 'unixepoch') AS created_at,
        strftime('%Y-%m-%d %H:%M:%fZ', settled_at / 1e6, 'unixepoch') AS settled_at,
        strftime('%Y-%m-%d %H:%M:%fZ', expires_at / 1e6, 'unixepoch') AS expires_at,
        strftime('%Y-%m-%d %H:%M:%fZ', leased_until / 1e6, 'unixepoch') AS leased_until
    FROM (", overview_of!("process_a"), " UNION ALL ", overview_of!("process_b"), ")"
);

/// Marks a file as milepost's: "mile" in ASCII.
pub(crate) const APPLICATION_ID: i32 = 0x6d69_6c65;

/// The schema version that this library reads and writes.
pub(crate) const SCHEMA_VERSION: i32 = 3;

/// Brings the schema to this library's version; a new file is one at version 0.
pub(crate) fn upgrade(connection: &Connection, deadline: Deadline) -> Result<(), StoreError> {
    deadline.retry(|| {
        let run = |statement| connection.execute_batch(statement).map_err(store_error);
        run(sql::BEGIN_READ)?;
        let upgraded = upgrade_within(connection).and_then(|()| run(sql::COMMIT));
        if upgraded.is_err() && !connection.is_autocommit() {
            run(sql::ROLLBACK)?;
        }
        upgraded?;
        switch_to_wal(connection)?;
        // An upgrade that was rolled back, because others came first, may leave its own view of the schema.
        run(sql::RELOAD_SCHEMA)?;
        check_tables(connection)
    })
}

/// Reads what there is and makes what is missing, in one transaction, so that no header is ever without
/// its marks.
///
/// It takes the write lock only when it comes to write: taking it gives a new file its first page, after
/// which `auto_vacuum` cannot be chosen. If others write meanwhile it is busy, and done anew.
fn upgrade_within(connection: &Connection) -> Result<(), StoreError> {
    let marks = Marks::read(connection).map_err(store_error)?;
    check_writable(
        connection,
        "its header says that only a newer SQLite may write the file: use one",
    )?;
    if marks.application_id == 0 && marks.schema_version == 0 && is_blank(connection)? {
        connection
            .pragma_update(None, "auto_vacuum", "INCREMENTAL")
            .map_err(store_error)?;
    } else {
        // The marks may have changed in the WAL since the header was written.
        check_marks(&marks)?;
    }
    let run = |statements: &str| connection.execute_batch(statements).map_err(store_error);
    match usize::try_from(marks.schema_version) {
        Err(_) => return Err(corrupt("the schema version is negative")),
        Ok(0) => {
            run(TABLES)?;
            run(WIPE_PROGRESS)?;
            run(OVERVIEW)?;
            write_mark(connection).map_err(store_error)?;
        }
        Ok(version) => {
            let missing = UPGRADES.get(version - 1..).unwrap_or_default();
            if missing.is_empty() {
                return Ok(());
            }
            ours::check_before_upgrade(connection)?;
            missing.iter().try_for_each(|upgrade| upgrade(connection))?;
        }
    }
    // What cannot be used after all is to stay as it was.
    check_tables(connection)?;
    if marks.schema_version > 0 {
        // What an earlier version has wiped, it may not have wiped as far as this one does.
        note_erasure(connection)?;
    }
    connection
        .pragma_update(None, "user_version", SCHEMA_VERSION)
        .map_err(store_error)
}

/// Marks the file, also one that is: the first page is written in any case.
pub(crate) fn write_mark(connection: &Connection) -> rusqlite::Result<()> {
    connection.pragma_update(None, "application_id", APPLICATION_ID)
}

fn is_blank(connection: &Connection) -> Result<bool, StoreError> {
    let objects = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| {
        row.get::<_, i64>(0)
    });
    objects.map(|objects| objects == 0).map_err(store_error)
}

/// A file stays in WAL mode once it was set; memory has a journal of its own.
fn switch_to_wal(connection: &Connection) -> Result<(), StoreError> {
    let mode = connection.query_row("PRAGMA journal_mode = WAL", [], |row| {
        row.get::<_, String>(0)
    });
    match mode.map_err(store_error)?.as_str() {
        "wal" | "memory" => Ok(()),
        _ => Err(refuse(
            "the file cannot be put into WAL mode, which needs a local disk",
        )),
    }
}

/// Whether what we are going to ask for is there, as we made it: a damaged schema shows here and not later.
fn check_tables(connection: &Connection) -> Result<(), StoreError> {
    ours::check(connection)?;
    let mut statements = vec![sql::PROGRESS];
    for table in Table::BOTH {
        let of_table = [sql::LOAD, sql::NEWEST, sql::SCAN_STALLED, sql::PURGE];
        statements.extend(of_table.map(|statement| table.of(statement)));
    }
    let prepared = statements
        .into_iter()
        .try_for_each(|sql| connection.prepare(sql).map(drop));
    prepared.map_err(store_error)
}
