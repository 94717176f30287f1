//! The tracker that a host would write by hand over SQLite: one row a process, modules packed into a
//! blob, the checks that keep a status honest, and nothing else. It may only get faster.

use std::path::Path;

use rusqlite::{Connection, OptionalExtension, Result, params};
use uuid::Uuid;

/// How many modules each process has.
pub const MODULES: usize = 4;
/// What a module takes: a state, and when it started and ended.
const MODULE_BYTES: usize = 17;

/// A hand-written tracker over one connection.
#[derive(Debug)]
pub struct HandWritten {
    connection: Connection,
}

impl HandWritten {
    /// Makes a file, with `synchronous` at `FULL` or `NORMAL`.
    pub fn create(path: &Path, synchronous: &str) -> Result<Self> {
        let connection = Connection::open(path)?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", synchronous)?;
        connection.pragma_update(None, "secure_delete", true)?;
        connection.execute_batch(
            "CREATE TABLE process (
                 row INTEGER PRIMARY KEY, id BLOB NOT NULL, pipeline TEXT NOT NULL, status INTEGER NOT NULL,
                 created_at INTEGER NOT NULL, updated_at INTEGER NOT NULL, file TEXT NOT NULL,
                 modules BLOB NOT NULL) STRICT;
             CREATE UNIQUE INDEX process_by_id ON process (id);
             CREATE INDEX process_by_pipeline ON process (pipeline, status, created_at, id);",
        )?;
        Ok(HandWritten { connection })
    }

    /// Runs `work` in one transaction.
    pub fn transaction(&self, work: impl FnOnce(&Self) -> Result<()>) -> Result<()> {
        self.connection
            .prepare_cached("BEGIN IMMEDIATE")?
            .execute([])?;
        work(self)?;
        self.connection.prepare_cached("COMMIT")?.execute([])?;
        Ok(())
    }

    /// Begins a process, within a transaction.
    pub fn begin(&self, id: Uuid, now: i64, file: &str) -> Result<()> {
        let modules = [0_u8; MODULES * MODULE_BYTES];
        let mut insert = self.connection.prepare_cached(
            "INSERT INTO process (id, pipeline, status, created_at, updated_at, file, modules)
             VALUES (?1, 'bench', 0, ?2, ?2, ?3, ?4)",
        )?;
        insert.execute(params![id.as_bytes(), now, file, modules])?;
        Ok(())
    }

    /// Moves a process one step on, within a transaction: the next module starts, or completes.
    pub fn advance(&self, id: Uuid, now: i64) -> Result<()> {
        let mut select = self
            .connection
            .prepare_cached("SELECT row, status, modules FROM process WHERE id = ?1")?;
        let found = select.query_row([id.as_bytes()], |row| {
            let modules: [u8; MODULES * MODULE_BYTES] = row.get(2)?;
            Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?, modules))
        });
        let Some((row, status, mut modules)) = found.optional()? else {
            return Ok(());
        };
        if status != 0 {
            return Ok(());
        }
        let next = modules
            .chunks_exact_mut(MODULE_BYTES)
            .find(|module| module[0] < 2);
        let Some(module) = next else { return Ok(()) };
        module[0] += 1;
        let time = if module[0] == 1 { 1..9 } else { 9..17 };
        module[time].copy_from_slice(&now.to_le_bytes());
        let done = modules
            .chunks_exact(MODULE_BYTES)
            .all(|module| module[0] == 2);
        if done {
            let mut update = self.connection.prepare_cached(
                "UPDATE process SET status = 1, updated_at = ?1, modules = ?2 WHERE row = ?3",
            )?;
            update.execute(params![now, modules, row])?;
        } else {
            let mut update = self.connection.prepare_cached(
                "UPDATE process SET updated_at = ?1, modules = ?2 WHERE row = ?3",
            )?;
            update.execute(params![now, modules, row])?;
        }
        Ok(())
    }

    /// Reads a whole process; answers how many modules are complete.
    pub fn status(&self, id: Uuid) -> Result<usize> {
        let mut select = self.connection.prepare_cached(
            "SELECT pipeline, status, created_at, updated_at, file, modules FROM process WHERE id = ?1",
        )?;
        select.query_row([id.as_bytes()], |row| {
            let texts = row.get::<_, String>(0)?.len() + row.get::<_, String>(4)?.len();
            let modules: [u8; MODULES * MODULE_BYTES] = row.get(5)?;
            let done = modules
                .chunks_exact(MODULE_BYTES)
                .filter(|module| module[0] == 2)
                .count();
            Ok(done + usize::from(texts == 0))
        })
    }

    /// Reads the newest 50 complete processes of the pipeline; answers how many there were.
    pub fn page(&self) -> Result<usize> {
        let mut select = self.connection.prepare_cached(
            "SELECT id, created_at, updated_at, file, modules FROM process
             WHERE pipeline = 'bench' AND status = 1 ORDER BY created_at DESC, id DESC LIMIT 50",
        )?;
        let mut rows = select.query([])?;
        let mut read = 0;
        while let Some(row) = rows.next()? {
            let (_file, _modules) = (row.get::<_, String>(3)?, row.get::<_, Vec<u8>>(4)?);
            read += 1;
        }
        Ok(read)
    }

    /// How large the file is once everything is in it.
    pub fn bytes(&self) -> Result<i64> {
        let of = |pragma| {
            self.connection
                .pragma_query_value(None, pragma, |row| row.get::<_, i64>(0))
        };
        Ok(of("page_count")? * of("page_size")?)
    }
}
