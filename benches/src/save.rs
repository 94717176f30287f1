//! Keeping the figures of a run.

use std::fs;
use std::path::{Path, PathBuf};

use milepost::{Clock, SystemClock};

use crate::proc;
use crate::rounds::Outcome;
use crate::run::Run;
use crate::table::Table;

/// The settings of a run: what figures mean nothing without.
#[must_use]
pub fn settings(run: &Run) -> Vec<String> {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let scale = &run.scale;
    vec![
        format!("cores: {cores}"),
        format!("file system: {}", proc::file_system(&run.directory)),
        format!(
            "rounds: {} of {} ms a side, in turns; the ratio is their median",
            scale.rounds,
            scale.turn.as_millis()
        ),
    ]
}

/// The same of figures of SQLite and of memory.
#[must_use]
pub fn of_sqlite() -> Vec<String> {
    vec![
        format!("SQLite: {}", rusqlite::version()),
        "durability: synchronous FULL or NORMAL in WAL mode, as the figure's name says".to_owned(),
        "limit: hand-written code over the same SQLite, or maps in memory, in the same run"
            .to_owned(),
    ]
}

/// Writes the table to a file of today's; says where.
pub fn save(table: &Table, settings: &[String], directory: &Path, name: &str) -> Outcome<PathBuf> {
    fs::create_dir_all(directory)?;
    let path = directory.join(format!("{}-{name}.csv", SystemClock.now().date_naive()));
    fs::write(&path, table.csv(settings))?;
    Ok(path)
}
