//! The files that a store leaves behind, looked at from outside.

use std::fs;
use std::path::Path;

use memchr::memmem;
use milepost::{Filter, Listing, Order, SqliteStore};

use super::ledger::Ledger;
use crate::law::{Broken, ensure};

/// What the file is called.
pub(super) const NAME: &str = "status.db";

/// A listing of all that there is.
pub(super) fn everything() -> Listing {
    Listing {
        filter: Filter::new(),
        order: Order::OldestFirst,
        after: None,
        limit: 1000,
    }
}

/// Opens what a crash would leave of the files in a directory, and compares it with what was answered.
///
/// The files are read while they are open here, which costs their locks against other OS processes: there are none.
pub(super) fn compare_after_crash(
    directory: &Path,
    crashed: &Path,
    ledgers: &[&Ledger],
) -> Result<(), Broken> {
    for suffix in ["", "-wal", "-journal", "-shm"] {
        let name = format!("{NAME}{suffix}");
        let (original, copy) = (directory.join(&name), crashed.join(&name));
        let _ = fs::remove_file(&copy);
        if suffix != "-shm" && original.exists() {
            fs::copy(original, copy)?;
        }
    }
    let path = crashed.join(NAME);
    if !path.exists() {
        return Ok(());
    }
    let opened = SqliteStore::open(&path);
    let store = opened.map_err(|error| Broken::new(format!("after a crash: {error:?}")))?;
    for ledger in ledgers {
        ledger.compare_after_crash(&store)?;
    }
    drop(store);
    is_whole(&path)
}

/// That no id and no name of what is gone is left in the files.
pub(super) fn nothing_is_left(directory: &Path, ledger: &Ledger) -> Result<(), Broken> {
    let gone = ledger.gone();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        let bytes = fs::read(&path)?;
        for mark in &gone {
            let left = memmem::find(&bytes, mark);
            ensure(left.is_none(), || {
                let mark = mark.escape_ascii();
                format!("wiped, and yet {mark} is in {}", path.display())
            })?;
        }
    }
    Ok(())
}

pub(super) fn is_whole(path: &Path) -> Result<(), Broken> {
    let database = rusqlite::Connection::open(path)?;
    let check = database.query_row("PRAGMA integrity_check", [], |row| row.get::<_, String>(0))?;
    ensure(check == "ok", || format!("the file is damaged: {check}"))
}
