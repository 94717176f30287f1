//! How a store is opened.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use milepost_core::{StoreError, StoreErrorKind};

use crate::schema;

/// What a [`PostgresStore`](crate::PostgresStore) is opened with. [`new`](PostgresConfig::new) has a default for all but the
/// server.
///
/// Printed with `{:?}` it shows neither the URL nor anything in it.
///
/// ```
/// use milepost_postgres::PostgresConfig;
/// use std::time::Duration;
///
/// let config = PostgresConfig {
///     busy_timeout: Duration::from_secs(1),
///     ..PostgresConfig::new("postgres://app@db.internal/status?sslmode=verify-full")
/// };
/// assert!(!format!("{config:?}").contains("db.internal"));
/// ```
#[derive(Clone)]
#[expect(
    clippy::exhaustive_structs,
    reason = "hosts build it with struct update syntax"
)]
pub struct PostgresConfig {
    /// Where the server is, as a URL or as `key=value` pairs, with what libpq takes: `host`, `port`, `user`, `password`,
    /// `dbname`, `options`, `application_name`, `connect_timeout`, `tcp_user_timeout`, `keepalives_idle`, several hosts after
    /// commas; and `sslmode` and `sslrootcert`. Of several hosts the first is taken that may be written to.
    ///
    /// | `sslmode` | encrypted | the server's certificate |
    /// |---|---|---|
    /// | `disable` | no | |
    /// | `prefer`, the default, and `allow` | if the server can, which whoever stands between can prevent | not looked at |
    /// | `verify-ca` | yes | of an authority that is trusted, in whatever name |
    /// | `require`, `verify-full` | yes | of an authority that is trusted, in the name of the host |
    ///
    /// libpq does not look at the certificate for `require` as long as no authority is named; here it is always verified.
    /// Trusted are the authorities in the file `sslrootcert`, or those of
    /// [`root_certificates`](PostgresConfig::root_certificates), or the system's.
    pub url: String,
    /// The schema that the tables are in: `milepost`. ASCII letters, digits and underscores, 1 to 63 of them, no digit first.
    pub schema: String,
    /// Whether missing tables are made, and older ones brought up to date, when the store is opened: yes. That takes a role
    /// that may create them; one that may not need not, where they are there.
    pub create_if_missing: bool,
    /// How many connections are open at most, 2 or more: 4. Writes take one at a time, however many callers there are, each
    /// read that goes on takes one, and so does a wipe until the server is done.
    pub connections: usize,
    /// How long a call waits for a connection, and for others who write to the same processes; then it is
    /// [`Busy`](StoreErrorKind::Busy): 5 s.
    pub busy_timeout: Duration,
    /// How long the server may take to answer; then the connection is given up, and the call is
    /// [`Unavailable`](StoreErrorKind::Unavailable), or [`OutcomeUnknown`](StoreErrorKind::OutcomeUnknown) if it was
    /// committing: 10 s.
    pub answer_timeout: Duration,
    /// How long a wipe waits for the vacuum that it has begun, before it is [`Pending`](milepost_core::Wipe::Pending): 250 ms.
    pub wipe_budget: Duration,
    /// Certificates of authorities to trust in place of the system's, in PEM, unless the URL has an `sslrootcert`: none.
    pub root_certificates: Option<PathBuf>,
}

impl PostgresConfig {
    /// The server at `url`, with everything else as it is unless given.
    #[must_use]
    pub fn new(url: impl Into<String>) -> Self {
        PostgresConfig {
            url: url.into(),
            schema: "milepost".to_owned(),
            create_if_missing: true,
            connections: 4,
            busy_timeout: Duration::from_secs(5),
            answer_timeout: Duration::from_secs(10),
            wipe_budget: Duration::from_millis(250),
            root_certificates: None,
        }
    }

    /// What an owner runs once, where the store's own role may not make tables: `psql --file`.
    ///
    /// # Errors
    ///
    /// [`Unsupported`](StoreErrorKind::Unsupported) if the schema has a name that cannot be used.
    pub fn schema_sql(&self) -> Result<String, StoreError> {
        Ok(schema::sql(&SchemaName::parse(&self.schema)?))
    }
}

impl fmt::Debug for PostgresConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let PostgresConfig {
            url: _,
            schema,
            create_if_missing,
            connections,
            busy_timeout,
            answer_timeout,
            wipe_budget,
            root_certificates,
        } = self;
        f.debug_struct("PostgresConfig")
            .field("schema", schema)
            .field("create_if_missing", create_if_missing)
            .field("connections", connections)
            .field("busy_timeout", busy_timeout)
            .field("answer_timeout", answer_timeout)
            .field("wipe_budget", wipe_budget)
            .field("root_certificates", root_certificates)
            .finish_non_exhaustive()
    }
}

/// The name of a schema, which needs no quoting anywhere but for its case.
#[derive(Debug, Clone)]
pub(crate) struct SchemaName(String);

impl SchemaName {
    /// As many bytes as PostgreSQL keeps of a name; of a longer one it would take the beginning.
    const LONGEST: usize = 63;

    pub(crate) fn parse(name: &str) -> Result<Self, StoreError> {
        let is_name = (1..=SchemaName::LONGEST).contains(&name.len())
            && !name.starts_with(|first: char| first.is_ascii_digit())
            && name
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        if is_name {
            return Ok(SchemaName(name.to_owned()));
        }
        let why =
            "a schema is named by 1 to 63 ASCII letters, digits and underscores, no digit first";
        Err(StoreError::new(StoreErrorKind::Unsupported, why))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// As it stands in a statement.
    pub(crate) fn quoted(&self) -> String {
        format!("\"{}\"", self.0)
    }
}
