//! Every statement that is sent to PostgreSQL: constant text, but for the name of the schema, which is the host's and put in
//! once. Values are always bound.
//!
//! No statement is prepared under a name, and none relies on what an earlier one has set, unless both are in one
//! transaction: behind a pooler each transaction may go to another connection.

use std::fmt;
use std::time::Duration;

use crate::config::SchemaName;

/// Stands for the name of the schema, quoted, and as it is.
const SCHEMA: &str = "{schema}";
const NAME: &str = "{name}";

/// The columns of a process, in the order in which `columns.rs` reads them.
macro_rules! columns {
    () => {
        "request_id, created_at, status, settled_at, expires_at, leased_until, file_id, pipeline, directory, body"
    };
    ($table:literal) => {
        concat!(
            $table, ".request_id, ", $table, ".created_at, ", $table, ".status, ", $table, ".settled_at, ",
            $table, ".expires_at, ", $table, ".leased_until, ", $table, ".file_id, ", $table, ".pipeline, ",
            $table, ".directory, ", $table, ".body"
        )
    };
}

/// All but the body: what indexes hold, and what filters by indexed terms are judged by.
macro_rules! indexed {
    () => {
        "request_id, created_at, status, settled_at, expires_at, leased_until, file_id, pipeline, directory"
    };
}

// One process, or many.

const READ: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM {schema}.process WHERE request_id = ANY($1::uuid[])"
);

const VERSIONS: &str =
    "SELECT request_id, born, revision FROM {schema}.process WHERE request_id = ANY($1::uuid[])";

// Writes. What is written says what it was decided on: the very state that must still be there. A state is told by its
// version, its body and when it was created, for one that was erased and begun anew may come to an earlier version again.

/// Begins a transaction whatever the session's defaults are; the statements in it fail unless this one went well. Commits are
/// waited for, also where the session would not. The server waits no longer for others than there is time left. A batch is
/// looked up row by row: who reads the table in another order may wait for somebody who waits for them.
pub(crate) fn begin(time_left: Duration, answer_timeout: Duration) -> String {
    // As many as its settings take; 0 would be no limit.
    let millis = |time: Duration| time.as_millis().clamp(1, i32::MAX.unsigned_abs().into());
    // Nor is it to go on once nobody waits for its answer any more.
    let statement_timeout = time_left.saturating_add(answer_timeout / 2);
    format!(
        "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE;
         SET LOCAL milepost.batch = 'open';
         SET LOCAL lock_timeout = {};
         SET LOCAL statement_timeout = {};
         SET LOCAL enable_hashjoin = off;
         SET LOCAL enable_mergejoin = off;
         SELECT set_config('synchronous_commit', 'on', true) WHERE current_setting('synchronous_commit') = 'off'",
        millis(time_left),
        millis(statement_timeout)
    )
}

pub(crate) const COMMIT: &str = "COMMIT";

/// What a writing statement says of itself: that it has reached as many rows as it was meant to, in the transaction that was
/// begun for it. Else it divides by zero, which undoes the transaction.
macro_rules! all_or_nothing {
    ($count:literal, $($statement:expr),+) => {
        concat!(
            "WITH reached AS (", $($statement,)+ " RETURNING 1)
            SELECT CASE
                WHEN count(*) = ", $count, " AND current_setting('milepost.batch', true) = 'open' THEN 1
                ELSE 1 / (count(*) - count(*))
            END FROM reached"
        )
    };
}

const INSERT: &str = all_or_nothing!(
    "$13::bigint",
    "INSERT INTO {schema}.process (
        request_id, created_at, status, settled_at, expires_at, leased_until, file_id, pipeline, directory, body,
        born, revision)
     SELECT * FROM unnest($1::uuid[], $2::bigint[], $3::smallint[], $4::bigint[], $5::bigint[], $6::bigint[],
        $7::uuid[], $8::text[], $9::text[], $10::bytea[], $11::bigint[], $12::bigint[])
     ON CONFLICT (request_id) DO NOTHING"
);

/// Where a row is still what the write was decided on.
macro_rules! still {
    () => {
        " WHERE p.request_id = n.request_id AND p.created_at = n.was_created_at AND p.born = n.was_born
        AND p.revision = n.was_revision AND p.body = n.was_body"
    };
}

/// Replaces what no index holds: most changes are of this kind.
const ADVANCE: &str = all_or_nothing!(
    "$9::bigint",
    "UPDATE {schema}.process AS p
     SET leased_until = n.leased_until, body = n.body, revision = n.revision
     FROM unnest($1::uuid[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bytea[], $6::bigint[], $7::bytea[],
        $8::bigint[])
        AS n (request_id, was_created_at, was_born, was_revision, was_body, leased_until, body, revision)",
    still!()
);

/// Replaces everything. An id stays with its row.
const REPLACE: &str = all_or_nothing!(
    "$17::bigint",
    "UPDATE {schema}.process AS p
     SET created_at = n.created_at, status = n.status, settled_at = n.settled_at, expires_at = n.expires_at,
        leased_until = n.leased_until, file_id = n.file_id, pipeline = n.pipeline, directory = n.directory,
        body = n.body, born = n.born, revision = n.revision
     FROM unnest($1::uuid[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bytea[], $6::bigint[], $7::smallint[],
        $8::bigint[], $9::bigint[], $10::bigint[], $11::uuid[], $12::text[], $13::text[], $14::bytea[], $15::bigint[],
        $16::bigint[])
        AS n (request_id, was_created_at, was_born, was_revision, was_body, created_at, status, settled_at, expires_at,
        leased_until, file_id, pipeline, directory, body, born, revision)",
    still!()
);

const DELETE: &str = all_or_nothing!(
    "$6::bigint",
    "DELETE FROM {schema}.process AS p
     USING unnest($1::uuid[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bytea[])
        AS n (request_id, was_created_at, was_born, was_revision, was_body)",
    still!()
);

/// Takes the locks of rows, in the order of their ids, and changes nothing: for who was too late again and again.
const LOCK: &str = "UPDATE {schema}.process AS p SET revision = p.revision
     FROM unnest($1::uuid[]) AS n (request_id) WHERE p.request_id = n.request_id";

// Lists: from an index in their order, for each status that can pass, merged by the server.

/// Begins a transaction in which an index is walked along in its order. The server knows nothing of what is in the table,
/// and would take it for better, where many are asked for, to fetch and sort all that match.
pub(crate) const BEGIN_WALK: &str = "BEGIN ISOLATION LEVEL READ COMMITTED READ ONLY;
     SET LOCAL enable_bitmapscan = off;
     SET LOCAL enable_seqscan = off";

/// One status of a walk, in its order.
macro_rules! of_status {
    ($status:literal, $what:expr, $by:literal, $order:literal) => {
        concat!(
            "(SELECT ",
            $what,
            " FROM {schema}.process WHERE ",
            $by,
            " AND status = ",
            $status,
            " AND ",
            $status,
            " = ANY($1::smallint[]) AND ",
            $order,
            " LIMIT $5)"
        )
    };
}

macro_rules! walk {
    ($what:expr, $by:literal, newest) => {
        walk!(
            $what,
            $by,
            "(created_at, request_id) < ($2::bigint, $3::uuid) AND created_at >= $4::bigint
            ORDER BY created_at DESC, request_id DESC",
            "ORDER BY created_at DESC, request_id DESC"
        )
    };
    ($what:expr, $by:literal, oldest) => {
        walk!(
            $what,
            $by,
            "(created_at, request_id) > ($2::bigint, $3::uuid) AND created_at < $4::bigint
            ORDER BY created_at, request_id",
            "ORDER BY created_at, request_id"
        )
    };
    ($what:expr, $by:literal, $order:literal, $merged:literal) => {
        concat!(
            "SELECT ",
            $what,
            " FROM (",
            of_status!("0", $what, $by, $order),
            " UNION ALL ",
            of_status!("1", $what, $by, $order),
            " UNION ALL ",
            of_status!("2", $what, $by, $order),
            " UNION ALL ",
            of_status!("3", $what, $by, $order),
            ") AS walk ",
            $merged,
            " LIMIT $5"
        )
    };
}

const ALL_NEWEST: &str = walk!(columns!(), "TRUE", newest);
const ALL_OLDEST: &str = walk!(columns!(), "TRUE", oldest);
const PIPELINE_NEWEST: &str = walk!(columns!(), "pipeline = $6::text", newest);
const PIPELINE_OLDEST: &str = walk!(columns!(), "pipeline = $6::text", oldest);
const EXAMINE_ALL_NEWEST: &str = walk!(indexed!(), "TRUE", newest);
const EXAMINE_ALL_OLDEST: &str = walk!(indexed!(), "TRUE", oldest);
const EXAMINE_PIPELINE_NEWEST: &str = walk!(indexed!(), "pipeline = $6::text", newest);
const EXAMINE_PIPELINE_OLDEST: &str = walk!(indexed!(), "pipeline = $6::text", oldest);

// Lists by another index: what it leaves is collected, unless it is too much, and sorted.

macro_rules! some {
    ($condition:literal) => {
        concat!(
            "(SELECT ",
            indexed!(),
            " FROM {schema}.process WHERE ",
            $condition,
            " LIMIT $4)"
        )
    };
}

macro_rules! collect {
    ($some:expr, newest) => {
        collect!(
            $some,
            "(created_at, request_id) < ($1::bigint, $2::uuid) ORDER BY created_at DESC, request_id DESC",
            "ORDER BY rest.created_at DESC, rest.request_id DESC"
        )
    };
    ($some:expr, oldest) => {
        collect!(
            $some,
            "(created_at, request_id) > ($1::bigint, $2::uuid) ORDER BY created_at, request_id",
            "ORDER BY rest.created_at, rest.request_id"
        )
    };
    ($some:expr, $behind:literal, $order:literal) => {
        concat!(
            "WITH narrow AS MATERIALIZED (", $some, ")
            SELECT rest.*, found.count FROM (SELECT count(*) AS count FROM narrow) AS found
            LEFT JOIN (SELECT * FROM narrow WHERE ", $behind, " LIMIT $3) AS rest ON TRUE ",
            $order
        )
    };
}

macro_rules! of_file {
    () => {
        some!("file_id = $5::uuid")
    };
}
macro_rules! at_or_below {
    () => {
        concat!(
            some!("directory = $5::text"),
            " UNION ALL ",
            some!("directory >= $6::text AND directory < $7::text")
        )
    };
}
macro_rules! settled {
    () => {
        some!("settled_at >= $5::bigint AND settled_at < $6::bigint")
    };
}

const COLLECT_FILE_NEWEST: &str = collect!(of_file!(), newest);
const COLLECT_FILE_OLDEST: &str = collect!(of_file!(), oldest);
const COLLECT_DIRECTORY_NEWEST: &str = collect!(at_or_below!(), newest);
const COLLECT_DIRECTORY_OLDEST: &str = collect!(at_or_below!(), oldest);
const COLLECT_SETTLED_NEWEST: &str = collect!(settled!(), newest);
const COLLECT_SETTLED_OLDEST: &str = collect!(settled!(), oldest);

// Counts. What is not asked for is NULL, and falls away when the statement is planned.

/// What of a filter columns can tell, each at most once.
macro_rules! narrowed {
    () => {
        " FROM {schema}.process
        WHERE status = ANY($1::smallint[])
        AND ($2::bigint IS NULL OR expires_at IS NULL OR expires_at > $2::bigint)
        AND ($3::text IS NULL OR pipeline = $3::text)
        AND ($4::uuid IS NULL OR file_id = $4::uuid)
        AND ($5::text IS NULL OR directory = $5::text OR (directory >= $6::text AND directory < $7::text))
        AND ($8::bigint IS NULL OR created_at >= $8::bigint)
        AND ($9::bigint IS NULL OR created_at < $9::bigint)
        AND ($10::bigint IS NULL OR settled_at >= $10::bigint)
        AND ($11::bigint IS NULL OR settled_at < $11::bigint)
        AND ($12::bigint IS NULL OR leased_until <= $12::bigint)"
    };
}

const COUNT: &str = concat!(
    "SELECT status, count(*), count(*) FILTER (WHERE leased_until <= $2::bigint)",
    narrowed!(),
    " GROUP BY status"
);
const SCAN: &str = concat!("SELECT ", indexed!(), narrowed!());
const SCAN_RECORDS: &str = concat!("SELECT ", columns!(), narrowed!(), " LIMIT $13");

// Purging and wiping.

const EXPIRED: &str = "SELECT request_id FROM {schema}.process WHERE expires_at <= $1::bigint ORDER BY expires_at LIMIT $2";
/// Whether it has expired is judged on the row as it is once it is locked.
const PURGE: &str = "WITH gone AS (
        DELETE FROM {schema}.process AS p USING unnest($1::uuid[]) AS n (request_id)
        WHERE p.request_id = n.request_id AND p.expires_at <= $2::bigint RETURNING 1
     ) SELECT count(*) FROM gone";

const MAY_VACUUM: &str =
    "SELECT pg_has_role(relowner, 'USAGE') FROM pg_class WHERE oid = '{schema}.process'::regclass";
const VACUUM: &str = "VACUUM {schema}.process";

// The schema.

/// From the catalogue itself: what looks names up may still remember that there was none. The table has a name that others
/// hardly give to theirs.
const HAS_SCHEMA: &str = "SELECT EXISTS (
        SELECT FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
        WHERE relname = 'milepost_migration' AND nspname = '{name}'
    )";
const SCHEMA_VERSION: &str = "SELECT coalesce(max(version), 0) FROM {schema}.milepost_migration";

macro_rules! statements {
    ($($name:ident = $text:ident,)*) => {
        /// The statements, for tables in one schema.
        #[derive(Clone)]
        pub(crate) struct Statements {
            $(pub(crate) $name: Box<str>,)*
        }

        impl Statements {
            /// With the name of the schema put in.
            pub(crate) fn new(schema: &SchemaName) -> Self {
                let put_in = |text: &str| {
                    let text = text.replace(SCHEMA, &schema.quoted());
                    text.replace(NAME, schema.as_str()).into_boxed_str()
                };
                Statements { $($name: put_in($text),)* }
            }
        }
    };
}

statements! {
    read = READ,
    versions = VERSIONS,
    insert = INSERT,
    advance = ADVANCE,
    replace = REPLACE,
    delete = DELETE,
    lock = LOCK,
    all_newest = ALL_NEWEST,
    all_oldest = ALL_OLDEST,
    pipeline_newest = PIPELINE_NEWEST,
    pipeline_oldest = PIPELINE_OLDEST,
    examine_all_newest = EXAMINE_ALL_NEWEST,
    examine_all_oldest = EXAMINE_ALL_OLDEST,
    examine_pipeline_newest = EXAMINE_PIPELINE_NEWEST,
    examine_pipeline_oldest = EXAMINE_PIPELINE_OLDEST,
    collect_file_newest = COLLECT_FILE_NEWEST,
    collect_file_oldest = COLLECT_FILE_OLDEST,
    collect_directory_newest = COLLECT_DIRECTORY_NEWEST,
    collect_directory_oldest = COLLECT_DIRECTORY_OLDEST,
    collect_settled_newest = COLLECT_SETTLED_NEWEST,
    collect_settled_oldest = COLLECT_SETTLED_OLDEST,
    count = COUNT,
    scan = SCAN,
    scan_records = SCAN_RECORDS,
    expired = EXPIRED,
    purge = PURGE,
    may_vacuum = MAY_VACUUM,
    vacuum = VACUUM,
    has_schema = HAS_SCHEMA,
    schema_version = SCHEMA_VERSION,
}

impl fmt::Debug for Statements {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Statements").finish_non_exhaustive()
    }
}
