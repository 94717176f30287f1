//! One host, two stores: nothing but the line that makes the store differs, and so does nothing that the
//! host sees.

use std::error::Error;

use milepost::{
    Failure, MemoryStore, NewProcess, OverallStatus, Pipeline, Query, SqliteStore, StatusStore,
    Tracker,
};

fn main() -> Result<(), Box<dyn Error>> {
    let directory = tempfile::tempdir()?;

    let in_memory = host(MemoryStore::new())?;
    let in_a_file = host(SqliteStore::open(directory.path().join("status.db"))?)?;

    println!("{in_memory}");
    assert_eq!(in_memory, in_a_file);
    println!("The same from memory and from a SQLite file.");
    Ok(())
}

/// A host that knows of no store in particular: two invoices, of which one is blank.
fn host(store: impl StatusStore) -> Result<String, Box<dyn Error>> {
    let tracker = Tracker::new(store);
    let pipeline = Pipeline::new("invoice-ocr", ["ocr", "parser"])?;

    for name in ["june.pdf", "july.pdf"] {
        let process = tracker.begin(NewProcess::new(&pipeline).file_name(name))?;
        process.module(1)?.complete()?;
        let parser = process.module(2)?;
        if name == "july.pdf" {
            parser.fail(Failure::new("BadInput", "page 1 is blank"))?;
        } else {
            parser.complete()?;
        }
    }

    let mut seen = Vec::new();
    for process in tracker.list(&Query::new().oldest_first())?.items {
        seen.push(format!("{}: {}", process.file().name(), process.status()));
    }
    let failed = tracker.count(&Query::new().status(OverallStatus::Failed))?;
    seen.push(format!("{} failed", failed.total()));
    Ok(seen.join("\n"))
}
