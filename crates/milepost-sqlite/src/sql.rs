//! Every statement that is sent to SQLite once the schema stands: constant text, values are always bound.
//!
//! Processes live in two tables of one shape. All new rows go into the current one; the other is empty,
//! except while a wipe moves every row over so that the old table's pages can be cleared: see `wipe.rs`.
//! So whatever looks for a process looks into both.

/// The first table and the second, wherever a statement names its table.
pub(crate) type PerTable = [&'static str; 2];

/// One statement for each table: the table's name goes between the parts.
macro_rules! per_table {
    ($first:expr $(, $rest:expr)*) => {
        [concat!($first $(, "process_a", $rest)*), concat!($first $(, "process_b", $rest)*)]
    };
}

pub(crate) const BEGIN_READ: &str = "BEGIN DEFERRED";
pub(crate) const BEGIN_WRITE: &str = "BEGIN IMMEDIATE";
pub(crate) const COMMIT: &str = "COMMIT";
pub(crate) const ROLLBACK: &str = "ROLLBACK";
pub(crate) const SAVEPOINT: &str = "SAVEPOINT batch";
pub(crate) const RELEASE: &str = "RELEASE batch";
pub(crate) const ROLLBACK_BATCH: &str = "ROLLBACK TO batch";

/// What makes each table and index, views and triggers too.
pub(crate) const SCHEMA: &str = "SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL";

// One process.

/// What a process is made of besides its request id, in the order in which `rows.rs` reads it.
macro_rules! columns {
    () => {
        "created_at, status, settled_at, expires_at, leased_until, pipeline, file_id, directory, body"
    };
}

/// From one of the tables.
pub(crate) const LOAD: PerTable = per_table!(
    concat!("SELECT row, ", columns!(), " FROM "),
    " WHERE request_id = ?1"
);

pub(crate) const BODY: PerTable = per_table!("SELECT body FROM ", " WHERE request_id = ?1");

pub(crate) const RECORD: PerTable =
    per_table!(concat!("SELECT ", columns!(), " FROM "), " WHERE row = ?1");

pub(crate) const INSERT: PerTable = per_table!(
    "INSERT INTO ",
    " (created_at, status, settled_at, expires_at, leased_until, pipeline, file_id, directory, body, request_id)
      VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)"
);

// What is written over a row says what it was decided on: the very body that must still be there.

macro_rules! over {
    ($first:expr $(, $rest:expr)*) => {
        per_table!($first, concat!($($rest,)* " WHERE row = ?1 AND request_id = ?2 AND body = ?3"))
    };
}

pub(crate) const IS_STILL: PerTable = over!("SELECT 1 FROM ", "");

/// Replaces everything, and touches every index. An id stays with its row.
pub(crate) const REPLACE: PerTable = over!(
    "UPDATE ",
    " SET created_at = ?4, status = ?5, settled_at = ?6, expires_at = ?7, leased_until = ?8, pipeline = ?9,
          file_id = ?10, directory = ?11, body = ?12"
);

/// Replaces what no index but those of status and settling holds: a process settles, or is rerun.
pub(crate) const SETTLE: PerTable = over!(
    "UPDATE ",
    " SET body = ?4, leased_until = ?5, status = ?6, settled_at = ?7"
);

/// Replaces what no index holds: most changes are of this kind.
pub(crate) const ADVANCE: PerTable = over!("UPDATE ", " SET body = ?4");

/// Replaces the same, and the lease: for who claims, renews or gives back, one entry of one index more.
pub(crate) const LEASE: PerTable = over!("UPDATE ", " SET body = ?4, leased_until = ?5");

pub(crate) const DELETE: PerTable = over!("DELETE FROM ", "");

// Lists of one pipeline and one status in their order, straight from the index. Bounds are places; an empty blob
// is less than any id.

macro_rules! in_order {
    ($what:expr, newest) => {
        in_order!(
            $what,
            "AND (created_at, request_id) < (?3, ?4) AND created_at >= ?5 ORDER BY created_at DESC, request_id DESC"
        )
    };
    ($what:expr, oldest) => {
        in_order!(
            $what,
            "AND (created_at, request_id) > (?3, ?4) AND created_at < ?5 ORDER BY created_at, request_id"
        )
    };
    ($what:expr, $order:literal) => {
        per_table!(
            concat!("SELECT ", $what, " FROM "),
            " INDEXED BY ",
            concat!("_by_pipeline WHERE pipeline = ?1 AND status = ?2 ", $order, " LIMIT ?6")
        )
    };
}

/// The processes themselves, but for what is asked for.
macro_rules! listed {
    () => {
        "request_id, created_at, settled_at, expires_at, leased_until, file_id, directory, body"
    };
}
pub(crate) const NEWEST: PerTable = in_order!(listed!(), newest);
pub(crate) const OLDEST: PerTable = in_order!(listed!(), oldest);

/// Only where they are: the index alone has that.
pub(crate) const NEWEST_PLACES: PerTable = in_order!("request_id, created_at, row", newest);
pub(crate) const OLDEST_PLACES: PerTable = in_order!("request_id, created_at, row", oldest);

/// The name after another, of those that any pipeline in the table has.
pub(crate) const NEXT_PIPELINE: PerTable = per_table!(
    "SELECT pipeline FROM ",
    " INDEXED BY ",
    "_by_pipeline WHERE pipeline > ?1 ORDER BY pipeline LIMIT 1"
);

// Rows in no order: what indexes hold of them, for counts and for lists by another index.

macro_rules! scan {
    ($($condition:literal),+) => {
        per_table!(
            "SELECT request_id, created_at, status, settled_at, expires_at, leased_until, pipeline, file_id, directory,
                 row
             FROM ",
            $($condition),+
        )
    };
}

pub(crate) const SCAN: PerTable = scan!(" NOT INDEXED");
pub(crate) const SCAN_FILE: PerTable = scan!(" INDEXED BY ", "_by_file WHERE file_id = ?1");
pub(crate) const SCAN_PIPELINE: PerTable =
    scan!(" INDEXED BY ", "_by_pipeline WHERE pipeline = ?1");
pub(crate) const SCAN_DIRECTORY: PerTable = scan!(
    " INDEXED BY ",
    "_by_directory WHERE directory >= ?1 AND directory < ?2"
);
pub(crate) const SCAN_SETTLED: PerTable = scan!(
    " INDEXED BY ",
    "_by_settling WHERE settled_at >= ?1 AND settled_at < ?2"
);
pub(crate) const SCAN_STALLED: PerTable =
    scan!(" INDEXED BY ", "_by_lease WHERE leased_until <= ?1");

// Counts that an index alone can answer: all, and those of them that have expired.

pub(crate) const COUNT: PerTable = per_table!(
    "SELECT status, count(*) FROM ",
    " INDEXED BY ",
    "_by_pipeline GROUP BY pipeline, status"
);
pub(crate) const COUNT_EXPIRED: PerTable = per_table!(
    "SELECT status, count(*) FROM ",
    " INDEXED BY ",
    "_by_expiry WHERE expires_at <= ?1 GROUP BY status"
);
pub(crate) const COUNT_PIPELINE: PerTable = per_table!(
    "SELECT status, count(*) FROM ",
    " INDEXED BY ",
    "_by_pipeline WHERE pipeline = ?1 GROUP BY status"
);
pub(crate) const COUNT_PIPELINE_EXPIRED: PerTable = per_table!(
    "SELECT status, count(*) FROM ",
    " INDEXED BY ",
    "_by_expiry WHERE expires_at <= ?2 AND pipeline = ?1 GROUP BY status"
);

// Those of them that are stalled and have not expired: few, unless nobody reaps.

pub(crate) const COUNT_STALLED: PerTable = per_table!(
    "SELECT count(*) FROM ",
    " INDEXED BY ",
    "_by_lease WHERE leased_until <= ?1 AND (expires_at IS NULL OR expires_at > ?1)"
);
pub(crate) const COUNT_PIPELINE_STALLED: PerTable = per_table!(
    "SELECT count(*) FROM ",
    " INDEXED BY ",
    "_by_lease WHERE leased_until <= ?2 AND (expires_at IS NULL OR expires_at > ?2) AND pipeline = ?1"
);

// Purging and wiping.

pub(crate) const PURGE: PerTable = per_table!(
    "DELETE FROM ",
    " WHERE row IN (SELECT row FROM ",
    " INDEXED BY ",
    "_by_expiry WHERE expires_at <= ?1 LIMIT ?2)"
);

pub(crate) const CURRENT: &str = "SELECT current FROM wipe_progress";
pub(crate) const ERASED: &str = "UPDATE wipe_progress SET erased = erased + 1";
/// The same of what is in no row: there is nothing to move, so a move that covers all else, or has, covers this too.
pub(crate) const STRAYED: &str = "
    UPDATE wipe_progress SET erased = erased + 1,
        compacted = compacted + (abs(compacted) = erased) * iif(compacted < 0, -1, 1),
        moving = moving + (abs(moving) = erased) * iif(moving < 0, -1, 1)";
pub(crate) const PROGRESS: &str =
    "SELECT current, erased, moving, compacted, wiped FROM wipe_progress";
/// By 1, or by -1 if it will not reach all.
pub(crate) const BEGIN_MOVE: &str =
    "UPDATE wipe_progress SET current = 1 - current, moving = ?1 * erased";
pub(crate) const END_MOVE: &str = "UPDATE wipe_progress SET compacted = moving, moving = NULL";
pub(crate) const WIPED: &str = "UPDATE wipe_progress SET wiped = max(wiped, ?1)";

/// The first rows of a table, and how large they are.
pub(crate) const FIRST_ROWS: PerTable =
    per_table!("SELECT row, length(body) FROM ", " ORDER BY row LIMIT ?1");

macro_rules! move_rows {
    ($from:literal, $to:literal) => {
        concat!(
            "INSERT INTO ",
            $to,
            " (request_id, created_at, status, settled_at, expires_at, leased_until, pipeline, file_id, directory, body)
             SELECT request_id, ",
            columns!(),
            " FROM ",
            $from,
            " WHERE row <= ?1 ORDER BY row"
        )
    };
}

/// Copies the rows up to one to the other table; by the table that they come from.
pub(crate) const COPY_ROWS: PerTable = [
    move_rows!("process_a", "process_b"),
    move_rows!("process_b", "process_a"),
];
pub(crate) const DELETE_ROWS: PerTable = per_table!("DELETE FROM ", " WHERE row <= ?1");

/// Without a condition SQLite clears whole pages, the root's too, which `secure_delete` overwrites.
pub(crate) const CLEAR: PerTable = per_table!("DELETE FROM ", "");

/// What `ANALYZE`, if somebody ran it, has copied out of the indexes.
pub(crate) const DROP_STATISTICS: &str = "
    DROP TABLE IF EXISTS sqlite_stat4; DROP TABLE IF EXISTS sqlite_stat3; DROP TABLE IF EXISTS sqlite_stat1;";

/// Whatever in the schema is neither milepost's nor statistics, which go with each move. The text of a view takes pages,
/// too.
pub(crate) const SCHEMA_OF_OTHERS: &str = "
    SELECT 1 FROM sqlite_schema WHERE name NOT IN (
        'process_a', 'process_b', 'process_overview', 'wipe_progress', 'wipe_media', 'wipe_filler',
        'sqlite_stat1', 'sqlite_stat3', 'sqlite_stat4')
    AND NOT (substr(name, 1, 13) IN ('process_a_by_', 'process_b_by_') AND substr(name, 14) IN (
        'id', 'pipeline', 'file', 'directory', 'settling', 'expiry', 'lease'))";

/// Forgets what the connection has read of the schema (SQLite's documentation of `writable_schema`).
pub(crate) const RELOAD_SCHEMA: &str = "PRAGMA writable_schema = RESET";

/// What wiping the medium needs: see `media`. Files that never asked for it have neither.
pub(crate) const MAKE_MEDIA: &str = "
    CREATE TABLE IF NOT EXISTS wipe_media (
        id INTEGER PRIMARY KEY CHECK (id = 1),
        kept_blocks INTEGER NOT NULL, -- 1: every store since the file was made has given nothing back
        turns INTEGER NOT NULL        -- how often the WAL was started anew for a wipe
    ) STRICT;
    CREATE TABLE IF NOT EXISTS wipe_filler (row INTEGER PRIMARY KEY, zeros BLOB NOT NULL) STRICT;
    INSERT OR IGNORE INTO wipe_media VALUES (1, 0, 0);";
pub(crate) const HAS_MEDIA: &str = "SELECT 1 FROM sqlite_schema WHERE name = 'wipe_media'";
pub(crate) const HAS_KEPT_BLOCKS: &str = "SELECT 1 FROM wipe_media WHERE kept_blocks = 1";
pub(crate) const KEEPS_BLOCKS: &str = "UPDATE wipe_media SET kept_blocks = 1";
pub(crate) const GIVES_BACK_BLOCKS: &str = "UPDATE wipe_media SET kept_blocks = 0";
pub(crate) const TURN: &str = "UPDATE wipe_media SET turns = (turns + 1) % 1000000";
pub(crate) const FILL: &str = "INSERT INTO wipe_filler (zeros) VALUES (zeroblob(?1))";
pub(crate) const NEWEST_FILLER: &str =
    "SELECT length(zeros) FROM wipe_filler ORDER BY row DESC LIMIT 1";
pub(crate) const UNFILL: &str =
    "DELETE FROM wipe_filler WHERE row = (SELECT row FROM wipe_filler ORDER BY row DESC LIMIT 1)";
pub(crate) const PAGE_SIZE: &str = "PRAGMA page_size";

/// A number that is another once anybody but this connection has committed.
pub(crate) const OTHERS_COMMITS: &str = "PRAGMA data_version";
pub(crate) const AUTO_VACUUM: &str = "PRAGMA auto_vacuum";
pub(crate) const GIVE_BACK_WHEN_ASKED: &str = "PRAGMA auto_vacuum = INCREMENTAL";
pub(crate) const FREE_PAGES: &str = "PRAGMA freelist_count";
/// So many free pages at most.
pub(crate) fn give_back(pages: i64) -> String {
    format!("PRAGMA incremental_vacuum({pages})")
}
pub(crate) const CHECKPOINT: &str = "PRAGMA wal_checkpoint(PASSIVE)";
/// Waits until nobody reads from the WAL, so that whoever writes next starts it anew. Holds writers up while it goes on.
pub(crate) const RESTART: &str = "PRAGMA wal_checkpoint(RESTART)";
pub(crate) const TRUNCATE: &str = "PRAGMA wal_checkpoint(TRUNCATE)";

#[cfg(test)]
mod tests {
    use rusqlite::Connection;

    use super::*;
    use crate::schema::TABLES;

    /// What SQLite means to do for a statement, a line per step.
    fn plan(connection: &Connection, statement: &str) -> String {
        let mut explain = connection
            .prepare(&format!("EXPLAIN QUERY PLAN {statement}"))
            .unwrap();
        for parameter in 1..=explain.parameter_count() {
            explain.raw_bind_parameter(parameter, 1).unwrap();
        }
        let mut rows = explain.raw_query();
        let mut plan = String::new();
        while let Some(row) = rows.next().unwrap() {
            plan += &row.get::<_, String>(3).unwrap();
            plan.push('\n');
        }
        plan
    }

    fn database() -> Connection {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch(TABLES).unwrap();
        connection
    }

    #[test]
    fn every_list_reads_its_index_in_order_and_sorts_nothing() {
        let connection = database();
        for (statements, covering) in [
            (NEWEST, ""),
            (OLDEST, ""),
            (NEWEST_PLACES, "COVERING "),
            (OLDEST_PLACES, "COVERING "),
        ] {
            for statement in statements {
                let plan = plan(&connection, statement);
                let uses = format!("USING {covering}INDEX");
                assert!(
                    plan.contains("SEARCH") && plan.contains(&uses),
                    "{statement}\n{plan}"
                );
                assert!(plan.contains("created_at"), "{statement}\n{plan}");
                assert!(!plan.contains("TEMP B-TREE"), "{statement}\n{plan}");
            }
        }
    }

    #[test]
    fn the_names_of_pipelines_are_found_by_leaps() {
        let connection = database();
        for statement in NEXT_PIPELINE {
            let plan = plan(&connection, statement);
            assert!(plan.contains("COVERING INDEX"), "{plan}");
            assert!(plan.contains("(pipeline>?)"), "{plan}");
        }
    }

    #[test]
    fn every_count_that_an_index_can_answer_touches_nothing_else() {
        let connection = database();
        for statement in [COUNT, COUNT_PIPELINE].concat() {
            let plan = plan(&connection, statement);
            assert!(plan.contains("USING COVERING INDEX"), "{statement}\n{plan}");
            assert!(!plan.contains("TEMP B-TREE"), "{statement}\n{plan}");
        }
    }

    #[test]
    fn what_is_stalled_is_found_by_when_its_lease_ran_out() {
        let connection = database();
        for statement in [SCAN_STALLED, COUNT_STALLED, COUNT_PIPELINE_STALLED].concat() {
            let plan = plan(&connection, statement);
            let by_lease = plan.contains("_by_lease (leased_until<?)");
            assert!(by_lease && !plan.contains("SCAN"), "{statement}\n{plan}");
        }
    }

    /// What an update opens to write is the table and each index that it may change.
    #[test]
    fn progress_writes_to_no_index_and_a_renewal_to_that_of_leases_only() {
        let connection = database();
        for (statements, indexes) in [(ADVANCE, 0), (LEASE, 1)] {
            for statement in statements {
                let mut explain = connection.prepare(&format!("EXPLAIN {statement}")).unwrap();
                for parameter in 1..=explain.parameter_count() {
                    explain.raw_bind_parameter(parameter, 1).unwrap();
                }
                let mut rows = explain.raw_query();
                let mut opened = 0;
                while let Some(row) = rows.next().unwrap() {
                    opened += usize::from(row.get::<_, String>(1).unwrap() == "OpenWrite");
                }
                assert_eq!(opened, 1 + indexes, "{statement}");
            }
        }
    }

    #[test]
    fn one_process_is_found_by_its_id() {
        let connection = database();
        for statement in [LOAD, BODY].concat() {
            let plan = plan(&connection, statement);
            assert!(plan.contains("_by_id (request_id=?)"), "{plan}");
        }
    }

    #[test]
    fn files_are_found_by_their_ids() {
        let connection = database();
        for statement in SCAN_FILE {
            let plan = plan(&connection, statement);
            assert!(plan.contains("_by_file (file_id=?)"), "{plan}");
        }
    }
}
