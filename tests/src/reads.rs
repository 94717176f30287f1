//! Those who read from a database file for long, as other programs may.

use std::path::Path;
use std::time::Duration;

/// Holds on to one state of the file for so long.
///
/// # Errors
///
/// If SQLite cannot open or read it.
pub fn hold_snapshot(file: &Path, span: Duration) -> rusqlite::Result<()> {
    let mut connection = rusqlite::Connection::open(file)?;
    let snapshot = connection.transaction()?;
    snapshot.query_row("SELECT count(*) FROM wipe_progress", [], |_| Ok(()))?;
    std::thread::sleep(span);
    Ok(())
}
