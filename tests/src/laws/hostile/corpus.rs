//! What the fuzz targets begin with: committed files, made by `hostile corpus`, and what once broke something.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use milepost::{Process, Query, Tracker};
use rusqlite::Connection;

use super::lives::{KINDS, SeededClock, lead, morning, samples};
use crate::law::Broken;

/// Where the corpus of a fuzz target is kept.
#[must_use]
pub fn directory(target: &str) -> PathBuf {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    tests.join("__fuzz__").join(target).join("corpus")
}

/// The corpus of a target, in the order of its files' names; empty if it cannot be read.
#[must_use]
pub fn read(target: &str) -> Vec<Vec<u8>> {
    let files = || {
        let mut paths = fs::read_dir(directory(target))?
            .map(|entry| Ok(entry?.path()))
            .collect::<io::Result<Vec<_>>>()?;
        paths.sort();
        paths.iter().map(fs::read).collect::<io::Result<Vec<_>>>()
    };
    files().unwrap_or_default()
}

/// A file of a corpus: its target, its name and its content.
pub type Entry = (&'static str, String, Vec<u8>);

/// What is made: real values of every kind, always the same. Their names begin with `made-`.
///
/// # Panics
///
/// If they are fewer, or more, than they are.
pub fn made() -> Result<Vec<Entry>, Broken> {
    let mut made = Vec::new();
    for (number, process) in samples().iter().enumerate() {
        let mut add = |target, bytes| made.push((target, format!("made-{number:02}"), bytes));
        let mut record = Vec::new();
        process.to_record(&mut record);
        add("record", record);
        let mut body = vec![u8::try_from(number).expect("there are a few")];
        process.to_body(&mut body);
        add("body", body);
        // The second of each kind differs in what JSON shows least.
        if number < KINDS {
            add("process_json", serde_json::to_vec(&**process)?);
            add_reports(process, number, &mut made)?;
        }
    }
    for (number, query) in [Query::new(), Query::new().pipeline("thumbnails")]
        .into_iter()
        .enumerate()
    {
        let page = sampled()?.list(&query.limit(1))?;
        let cursor = page.next.expect("there is more than one").to_string();
        made.push(("cursor", format!("made-{number:02}"), cursor.into_bytes()));
    }
    Ok(made)
}

fn sampled() -> Result<Tracker, Broken> {
    let clock = SeededClock::new(morning(), 7);
    let tracker = Tracker::with_clock(milepost::MemoryStore::new(), clock.clone());
    lead(
        &tracker,
        &clock,
        &mut fastrand::Rng::with_seed(7),
        2 * KINDS,
    )?;
    Ok(tracker)
}

fn add_reports(process: &Process, number: usize, made: &mut Vec<Entry>) -> Result<(), Broken> {
    let id = process.request_id();
    let mut add = |target, json| made.push((target, format!("made-{number:02}"), json));
    let tracker = sampled()?;
    add("report", serde_json::to_vec(&tracker.process_status(id)?)?);
    if number < 3 {
        add(
            "not_found",
            serde_json::to_vec(&tracker.not_found_report(id))?,
        );
        add(
            "receipt",
            serde_json::to_vec(&tracker.process(id)?.receipt())?,
        );
    }
    Ok(())
}

/// A database file of the smallest pages that there are, so that it is small.
pub fn small_database(path: &Path, processes: usize) -> Result<Vec<u8>, Broken> {
    let clock = SeededClock::new(morning(), 7);
    let store = milepost::SqliteStore::open(path)?;
    let tracker = Tracker::with_clock(store, clock.clone());
    lead(
        &tracker,
        &clock,
        &mut fastrand::Rng::with_seed(7),
        processes,
    )?;
    drop(tracker);
    let connection = Connection::open(path)?;
    connection.execute_batch(
        "PRAGMA journal_mode = DELETE; PRAGMA page_size = 512; VACUUM; PRAGMA journal_mode = WAL;",
    )?;
    connection.close().map_err(|(_, error)| error)?;
    Ok(fs::read(path)?)
}
