//! The schema, version by version.
//!
//! What brings a file to a version stays as it is: files of that version exist.

/// An integer key, so that ids of any kind, also random ones, cost an index entry and not a place in the
/// table. Times are microseconds since 1970, `born` is the bits of a `u64`, `states` has a digit per
/// module for the overview. What is not in a column is in the record, which core alone reads and writes.
macro_rules! process_table {
    ($table:literal) => {
        concat!(
            "CREATE TABLE ",
            $table,
            " (
                row INTEGER PRIMARY KEY,
                request_id BLOB NOT NULL,
                born INTEGER NOT NULL,
                revision INTEGER NOT NULL,
                status INTEGER NOT NULL,
                created_at INTEGER NOT NULL,
                updated_at INTEGER NOT NULL,
                settled_at INTEGER,
                expires_at INTEGER,
                pipeline TEXT NOT NULL,
                file_id BLOB NOT NULL,
                directory TEXT NOT NULL,
                states TEXT NOT NULL,
                record BLOB NOT NULL
            ) STRICT;
            CREATE UNIQUE INDEX ",
            $table,
            "_by_id ON ",
            $table,
            " (request_id);
            CREATE INDEX ",
            $table,
            "_by_status ON ",
            $table,
            " (status, created_at, request_id);
            CREATE INDEX ",
            $table,
            "_by_pipeline ON ",
            $table,
            " (pipeline, status, created_at, request_id);
            CREATE INDEX ",
            $table,
            "_by_file ON ",
            $table,
            " (file_id);
            CREATE INDEX ",
            $table,
            "_by_directory ON ",
            $table,
            " (directory);
            CREATE INDEX ",
            $table,
            "_by_settling ON ",
            $table,
            " (settled_at) WHERE settled_at IS NOT NULL;
            CREATE INDEX ",
            $table,
            "_by_expiry ON ",
            $table,
            " (expires_at) WHERE expires_at IS NOT NULL;
            "
        )
    };
}

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

/// Marks a file as milepost's: "mile" in ASCII.
pub(crate) const APPLICATION_ID: i32 = 0x6d69_6c65;

/// What brings a file from each schema version to the next. A new one goes through all of them, so the
/// overview, which nothing else needs, is made by the last.
pub(crate) const UPGRADES: [&str; 2] = [
    concat!(
        "PRAGMA application_id = 0x6d696c65;",
        process_table!("process_a"),
        process_table!("process_b"),
        r"
    -- How far erasing and wiping have come, counted in erasures. One row.
    CREATE TABLE wipe_progress (
        id INTEGER PRIMARY KEY CHECK (id = 1),
        current INTEGER NOT NULL CHECK (current IN (0, 1)), -- the table that takes new rows
        erased INTEGER NOT NULL,                            -- transactions that erased something
        compacting INTEGER,                                 -- erased, when the move that is under way began
        compacted INTEGER NOT NULL,                         -- erased, when the last whole move began
        wiped INTEGER NOT NULL                              -- compacted, when the WAL was last cut off and synced
    ) STRICT;
    INSERT INTO wipe_progress VALUES (1, 0, 0, NULL, 0, 0);
    "
    ),
    concat!(
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

    -- For people: SELECT * FROM process_overview;
    DROP VIEW IF EXISTS process_overview;
    CREATE VIEW process_overview AS
    SELECT
        lower(substr(request_id, 1, 8) || '-' || substr(request_id, 9, 4) || '-' || substr(request_id, 13, 4)
            || '-' || substr(request_id, 17, 4) || '-' || substr(request_id, 21)) AS request_id,
        pipeline,
        CASE status WHEN 0 THEN 'ongoing' WHEN 1 THEN 'complete' WHEN 2 THEN 'failed' ELSE 'cancelled' END
            AS status,
        rtrim(replace(replace(replace(replace(replace(replace(states,
            '0', 'pending, '), '1', 'running, '), '2', 'complete, '), '3', 'failed, '), '4', 'skipped, '),
            '5', 'cancelled, '), ', ') AS modules,
        lower(substr(file_id, 1, 8) || '-' || substr(file_id, 9, 4) || '-' || substr(file_id, 13, 4)
            || '-' || substr(file_id, 17, 4) || '-' || substr(file_id, 21)) AS file_id,
        directory,
        strftime('%Y-%m-%d %H:%M:%fZ', created_at / 1e6, 'unixepoch') AS created_at,
        strftime('%Y-%m-%d %H:%M:%fZ', updated_at / 1e6, 'unixepoch') AS updated_at,
        strftime('%Y-%m-%d %H:%M:%fZ', settled_at / 1e6, 'unixepoch') AS settled_at,
        strftime('%Y-%m-%d %H:%M:%fZ', expires_at / 1e6, 'unixepoch') AS expires_at,
        strftime('%Y-%m-%d %H:%M:%fZ', leased_until / 1e6, 'unixepoch') AS leased_until
    FROM (
        SELECT hex(request_id) AS request_id, pipeline, status, states, hex(file_id) AS file_id, directory,
            created_at, updated_at, settled_at, expires_at, leased_until FROM process_a
        UNION ALL
        SELECT hex(request_id), pipeline, status, states, hex(file_id), directory,
            created_at, updated_at, settled_at, expires_at, leased_until FROM process_b
    );
    "
    ),
];

/// The schema version that this library reads and writes.
pub(crate) const SCHEMA_VERSION: i32 = 2;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_upgrades_lead_to_the_schema_version() {
        assert_eq!(UPGRADES.len(), usize::try_from(SCHEMA_VERSION).unwrap());
    }
}
