//! The statements.

/// One row a process. The key is an integer, so that ids of any kind append to the table.
pub(super) const SCHEMA: &str = "
    CREATE TABLE process (
        row INTEGER PRIMARY KEY, id BLOB NOT NULL, pipeline TEXT NOT NULL, status INTEGER NOT NULL,
        created_at INTEGER NOT NULL, updated_at INTEGER NOT NULL, expires_at INTEGER, file TEXT NOT NULL,
        modules BLOB NOT NULL) STRICT;
    CREATE UNIQUE INDEX process_by_id ON process (id);
    CREATE INDEX process_by_pipeline ON process (pipeline, status, created_at, id);
    CREATE INDEX process_by_expiry ON process (expires_at) WHERE expires_at IS NOT NULL;";

pub(super) const BEGIN: &str = "BEGIN IMMEDIATE";
pub(super) const BEGIN_READ: &str = "BEGIN";
pub(super) const COMMIT: &str = "COMMIT";
pub(super) const ROLLBACK: &str = "ROLLBACK";

pub(super) const INSERT: &str =
    "INSERT INTO process (id, pipeline, status, created_at, updated_at, expires_at, file, modules)
     VALUES (?1, ?2, 0, ?3, ?3, ?4, ?5, ?6) ON CONFLICT (id) DO NOTHING";
pub(super) const LOAD: &str = "SELECT row, status, modules FROM process WHERE id = ?1";
/// Names no indexed column: no index is looked at.
pub(super) const UPDATE: &str = "UPDATE process SET updated_at = ?1, modules = ?2 WHERE row = ?3";
pub(super) const UPDATE_STATUS: &str =
    "UPDATE process SET updated_at = ?1, modules = ?2, status = ?4 WHERE row = ?3";
pub(super) const PURGE: &str = "DELETE FROM process WHERE row IN
     (SELECT row FROM process WHERE expires_at <= ?1 ORDER BY expires_at LIMIT ?2)";

pub(super) const READ: &str =
    "SELECT id, pipeline, status, created_at, updated_at, expires_at, file, modules
     FROM process WHERE id = ?1";
pub(super) const NEWEST: &str =
    "SELECT id, pipeline, status, created_at, updated_at, expires_at, file, modules FROM process
     WHERE pipeline = ?1 AND status = ?2 ORDER BY created_at DESC, id DESC LIMIT ?3";
/// Goes on behind a place, however deep it is, without walking there.
pub(super) const NEWEST_AFTER: &str =
    "SELECT id, pipeline, status, created_at, updated_at, expires_at, file, modules FROM process
     WHERE pipeline = ?1 AND status = ?2 AND (created_at, id) < (?4, ?5)
     ORDER BY created_at DESC, id DESC LIMIT ?3";
pub(super) const COUNT: &str = "SELECT status, count(*) FROM process GROUP BY status";
pub(super) const CHECKPOINT: &str = "PRAGMA wal_checkpoint(PASSIVE)";
