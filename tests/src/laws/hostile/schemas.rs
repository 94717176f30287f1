//! Mutations that SQLite itself writes: a hostile schema, and rows that lie.

use fastrand::Rng;

/// Takes for ever on what is not short, and is never true.
const FOR_EVER: &str = "hex(zeroblob(200)) LIKE '%0%0%0%0%0%0%0%0%0%0%0%0%1'";

/// An edit of the schema, or of what the store keeps beside its rows; the family it belongs to.
pub(super) fn any_edit(random: &mut Rng) -> (&'static str, String) {
    let table = [
        "process_a",
        "process_b",
        "wipe_progress",
        "wipe_media",
        "wipe_filler",
    ][random.usize(..5)];
    match random.u8(..4) {
        0 => ("schema", text_of(table, random)),
        1 => ("schema", added(table, random)),
        2 => ("schema", replaced(table, random)),
        _ => ("progress", progress(random)),
    }
}

/// The text of a table, in `sqlite_schema`.
fn text_of(table: &str, random: &mut Rng) -> String {
    let replace = |from: &str, to: &str| {
        let to = to.replace('\'', "''");
        format!(
            "UPDATE sqlite_schema SET sql = replace(sql, '{from}', '{to}') WHERE name = '{table}'"
        )
    };
    let update = |set: &str| format!("UPDATE sqlite_schema SET {set} WHERE name = '{table}'");
    match random.u8(..16) {
        0 => replace(
            "body BLOB NOT NULL",
            &format!("body BLOB NOT NULL CHECK (NOT {FOR_EVER})"),
        ),
        1 => replace(
            "status INTEGER NOT NULL",
            "status INTEGER NOT NULL CHECK (status < 0)",
        ),
        2 => replace(
            "settled_at INTEGER,",
            &format!("settled_at INTEGER AS ({FOR_EVER}),"),
        ),
        3 => replace(
            "settled_at INTEGER,",
            "settled_at INTEGER AS (randomblob(900000000) = 7),",
        ),
        4 => replace(
            "directory TEXT",
            "directory TEXT DEFAULT (load_extension('/tmp/evil'))",
        ),
        5 => replace(
            "pipeline TEXT NOT NULL",
            "pipeline TEXT NOT NULL COLLATE NOCASE",
        ),
        6 => replace("row INTEGER PRIMARY KEY", "row INTEGER PRIMARY KEY DESC"),
        7 => replace(") STRICT", ") STRICT, WITHOUT ROWID"),
        8 => replace(") STRICT", ")"),
        9 => replace(
            "file_id BLOB NOT NULL",
            "file_id BLOB NOT NULL UNIQUE ON CONFLICT REPLACE",
        ),
        10 => update("rootpage = rootpage + 1"),
        11 => update("rootpage = 1"),
        12 => update("sql = 'CREATE TABLE ' || name || ' (row)'"),
        13 => update("sql = substr(sql, 1, 60)"),
        14 => update("type = 'index'"),
        _ => update("sql = sql || hex(zeroblob(500000)) || char(0) || '''', tbl_name = 'x'"),
    }
}

/// Something of somebody else's.
fn added(table: &str, random: &mut Rng) -> String {
    match random.u8(..12) {
        0 => format!("CREATE TRIGGER evil AFTER INSERT ON {table} BEGIN DELETE FROM process_a; DELETE FROM process_b; END"),
        1 => format!("CREATE TRIGGER evil BEFORE UPDATE ON {table} BEGIN SELECT load_extension('/tmp/evil'); END"),
        2 => format!("CREATE TRIGGER evil BEFORE DELETE ON {table} BEGIN INSERT INTO {table} SELECT * FROM {table}; END"),
        3 => index(&format!("{table} ({FOR_EVER})")),
        4 => index(&format!("process_a (created_at) WHERE {FOR_EVER}")),
        5 => format!("CREATE TABLE evil (x BLOB REFERENCES {table} ON DELETE CASCADE ON UPDATE CASCADE)"),
        6 => "CREATE TABLE evil (x BLOB REFERENCES process_a (request_id) ON DELETE RESTRICT);
              INSERT INTO evil SELECT request_id FROM process_a".to_owned(),
        7 => "CREATE VIEW evil AS WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n) SELECT * FROM n;
              DROP VIEW IF EXISTS process_overview;
              CREATE VIEW process_overview AS SELECT * FROM evil".to_owned(),
        8 => format!("ANALYZE; UPDATE sqlite_stat1 SET stat = '{0} {0} 1 0'", random.i64(..)),
        9 => format!("CREATE UNIQUE INDEX evil ON {table} (length(hex(zeroblob(400000))))"),
        10 => format!(
            "UPDATE sqlite_schema SET sql = replace(sql, ') STRICT', ', evil TEXT AS (hex(zeroblob(90000000)))) STRICT')
             WHERE name = '{table}'"
        ),
        _ => "CREATE VIRTUAL TABLE evil USING fts5 (x)".to_owned(),
    }
}

/// An index whose expression SQLite has not run yet, as it would while making it.
fn index(on: &str) -> String {
    let on = on.replace('\'', "''");
    format!(
        "CREATE TABLE kept (x); CREATE INDEX evil ON kept (x);
         UPDATE sqlite_schema SET sql = 'CREATE INDEX evil ON {on}', tbl_name = 'process_a' WHERE name = 'evil'"
    )
}

/// Something else by a name of ours.
fn replaced(table: &str, random: &mut Rng) -> String {
    match random.u8(..10) {
        0 => format!("DROP TABLE {table}; CREATE VIEW {table} AS SELECT * FROM sqlite_schema"),
        1 => format!("CREATE TABLE kept AS SELECT * FROM {table}; DROP TABLE {table}; ALTER TABLE kept RENAME TO {table}"),
        2 => format!("DROP TABLE {table}"),
        3 => format!("DELETE FROM sqlite_schema WHERE name = '{table}'"),
        4 => "UPDATE sqlite_schema SET name = CASE name WHEN 'process_a' THEN 'process_b' ELSE 'process_a' END,
              tbl_name = CASE name WHEN 'process_a' THEN 'process_b' ELSE 'process_a' END
              WHERE name IN ('process_a', 'process_b')".to_owned(),
        5 => {
            let index = ["id", "pipeline", "file", "directory", "settling", "expiry", "lease"][random.usize(..7)];
            format!("DROP INDEX process_a_by_{index}; CREATE INDEX process_a_by_{index} ON process_a (row)")
        }
        6 => "DROP INDEX process_a_by_id; CREATE INDEX process_a_by_id ON process_a (request_id);
              INSERT INTO process_a SELECT NULL, request_id, created_at, status, settled_at, expires_at, leased_until,
              pipeline, file_id, directory, body FROM process_a".to_owned(),
        7 => "UPDATE sqlite_schema SET rootpage = (SELECT rootpage FROM sqlite_schema WHERE name = 'process_a_by_file')
              WHERE name = 'process_a_by_id'".to_owned(),
        8 => format!(
            "DROP TABLE IF EXISTS {table};
             CREATE VIEW {table} AS WITH RECURSIVE n (kept_blocks) AS
                 (SELECT 2 UNION ALL SELECT kept_blocks + 1 FROM n) SELECT * FROM n"
        ),
        _ => format!("DROP TABLE {table}; CREATE VIRTUAL TABLE {table} USING fts5 (request_id, body)"),
    }
}

fn progress(random: &mut Rng) -> String {
    let column = ["id", "current", "erased", "moving", "compacted", "wiped"][random.usize(..6)];
    let value = [
        "-1".to_owned(),
        "2".to_owned(),
        i64::MAX.to_string(),
        "NULL".to_owned(),
        random.i64(..).to_string(),
        "erased + 1".to_owned(),
    ];
    match random.u8(..9) {
        0 => "DELETE FROM wipe_progress".to_owned(),
        1 => "INSERT INTO wipe_progress VALUES (2, 1, 5, NULL, 1, 1)".to_owned(),
        2 => "PRAGMA auto_vacuum = NONE; VACUUM".to_owned(),
        3 => "PRAGMA journal_mode = DELETE; PRAGMA page_size = 65536; VACUUM".to_owned(),
        4 | 5 => format!(
            "UPDATE OR IGNORE wipe_media SET {} = {}",
            ["kept_blocks", "turns"][random.usize(..2)],
            ["-1", "2", "1000000", "9223372036854775807"][random.usize(..4)]
        ),
        6 => format!(
            "INSERT INTO wipe_filler (zeros) VALUES (zeroblob({}))",
            random.u32(..3_000_000)
        ),
        _ => format!(
            "UPDATE OR IGNORE wipe_progress SET {column} = {}",
            value[random.usize(..value.len())]
        ),
    }
}

/// A row that says in a column, or in its body, what is not so.
pub(super) fn lying_row(random: &mut Rng) -> String {
    let table = ["process_a", "process_b"][random.usize(..2)];
    let row = random.u8(1..40);
    let any = random.i64(..);
    let set = match random.u8(..14) {
        0 => "status = (status + 1) % 4".to_owned(),
        1 => "status = 77".to_owned(),
        2 => format!("created_at = {any}"),
        3 => format!("settled_at = {any}"),
        4 => format!("expires_at = {any}"),
        5 => format!("leased_until = {any}"),
        6 => "pipeline = pipeline || char(0)".to_owned(),
        7 => "pipeline = CAST(x'c080ff' AS TEXT)".to_owned(),
        8 => "request_id = randomblob(16)".to_owned(),
        9 => "request_id = x'00'".to_owned(),
        10 => "body = randomblob(length(body))".to_owned(),
        11 => format!(
            "body = (SELECT body FROM {table} AS other WHERE other.row <> {table}.row ORDER BY row DESC)"
        ),
        12 => "body = zeroblob(300000)".to_owned(),
        _ => "directory = hex(zeroblob(600))".to_owned(),
    };
    format!("UPDATE OR IGNORE {table} SET {set} WHERE row % 40 = {row}")
}
