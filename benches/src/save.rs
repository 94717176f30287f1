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
        format!("SQLite: {}", rusqlite::version()),
        "durability: synchronous FULL or NORMAL in WAL mode, as the figure's name says".to_owned(),
        format!("file system: {}", proc::file_system(&run.directory)),
        format!(
            "rounds: {} of {} ms a side, in turns; the ratio is their median",
            scale.rounds,
            scale.turn.as_millis()
        ),
        "limit: hand-written code over the same SQLite, or maps in memory, in the same run"
            .to_owned(),
    ]
}

/// Writes the table to a file of today's name; says where.
pub fn save(table: &Table, settings: &[String], directory: &Path) -> Outcome<PathBuf> {
    fs::create_dir_all(directory)?;
    let path = directory.join(format!("{}-figures.csv", SystemClock.now().date_naive()));
    fs::write(&path, table.csv(settings))?;
    Ok(path)
}
