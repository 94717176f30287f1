//! What would be left if nothing were decoded: SQLite reads the columns that milepost reads, and nobody looks at them.
//!
//! milepost's side is its statements for `get` and for a first page of 50, on a connection set as its own are, without
//! the store around it. The hand-written code answers whole processes, as in the other figures. Beside them, how long it
//! takes to make a process of what was read, and to drop it.

use std::hint::black_box;

use milepost::{OverallStatus, Process};
use rusqlite::{CachedStatement, Connection, ToSql};

use super::pages::{PAGE, their_page};
use super::reads::Ids;
use crate::rounds::{Compared, Outcome, in_turns, rate};
use crate::run::{Level, Pair, Run};
use crate::table::Target;
use crate::workload::PIPELINE;

pub(super) fn measure(run: &mut Run) -> Outcome<()> {
    let (small, large) = (run.scale.readable, run.scale.large);
    let read = |size| format!("SQLite get by id, of {size}, nothing decoded: reads/s");
    let page = format!("SQLite first page of {PAGE}, of {large}, nothing decoded: pages/s");
    for (figure, size) in [(read(small), small), (read(large), large)] {
        if run.wants(&figure) {
            let pair = run.pair(size, Level::Normal)?;
            let compared = reads(run, &pair)?;
            run.compared(&figure, compared, Target::Shown);
        }
    }
    if run.wants(&page) {
        let pair = run.pair(large, Level::Normal)?;
        let compared = pages(run, &pair)?;
        run.compared(&page, compared, Target::Shown);
    }
    let decoding = "decoding a process of 4 modules, and dropping it: us";
    if run.wants(decoding) {
        let pair = run.pair(small, Level::Normal)?;
        let micros = decoding_takes(run, &pair)?;
        run.alone(decoding, micros, Target::Shown);
    }
    Ok(())
}

fn reads(run: &Run, pair: &Pair) -> Outcome<Compared> {
    let connection = connection(pair)?;
    let read = format!(
        "SELECT row, created_at, status, settled_at, expires_at, leased_until, pipeline, file_id, directory, body
         FROM {} WHERE request_id = ?1",
        table(&connection)?
    );
    let (mut ours, mut theirs) = (Ids::of(&pair.our_ids), Ids::of(&pair.their_ids));
    in_turns(
        run.scale.rounds,
        || {
            rate(run.scale.turn, 16, || {
                let statement = connection.prepare_cached(&read)?;
                rows_of(statement, &[&ours.next().as_bytes()], 1)
            })
        },
        || {
            rate(run.scale.turn, 16, || {
                let found = pair.theirs.store.status(theirs.next())?;
                found.map(drop).ok_or_else(|| "it is not there".into())
            })
        },
    )
}

fn pages(run: &Run, pair: &Pair) -> Outcome<Compared> {
    let connection = connection(pair)?;
    let table = table(&connection)?;
    let page = format!(
        "SELECT request_id, created_at, settled_at, expires_at, leased_until, file_id, directory, body
         FROM {table} INDEXED BY {table}_by_pipeline WHERE pipeline = ?1 AND status = ?2
         ORDER BY created_at DESC, request_id DESC LIMIT ?3"
    );
    in_turns(
        run.scale.rounds,
        || {
            rate(run.scale.turn, 1, || {
                let statement = connection.prepare_cached(&page)?;
                let complete = OverallStatus::Complete.code();
                rows_of(statement, &[&PIPELINE, &complete, &PAGE], PAGE)
            })
        },
        || rate(run.scale.turn, 1, || their_page(pair, PAGE, None).map(drop)),
    )
}

fn decoding_takes(run: &Run, pair: &Pair) -> Outcome<f64> {
    let id = *pair.our_ids.first().ok_or("the file is empty")?;
    let mut record = Vec::new();
    pair.ours.tracker.get(id.into())?.to_record(&mut record);
    let decoded = rate(run.scale.turn, 64, || {
        black_box(Process::from_record(black_box(&record))?);
        Ok(())
    })?;
    Ok(1e6 / decoded)
}

/// Reads every column of as many rows.
fn rows_of(mut statement: CachedStatement<'_>, bound: &[&dyn ToSql], expected: u32) -> Outcome<()> {
    let columns = statement.column_count();
    let mut rows = statement.query(bound)?;
    let mut read = 0;
    while let Some(row) = rows.next()? {
        for column in 0..columns {
            black_box(row.get_ref(column)?);
        }
        read += 1;
    }
    if read == expected {
        return Ok(());
    }
    Err(format!("{read} rows instead of {expected}").into())
}

/// As the store sets its own, as far as reads go.
fn connection(pair: &Pair) -> Outcome<Connection> {
    let connection = Connection::open(&pair.our_path)?;
    let config = rusqlite::config::DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG;
    connection.set_db_config(config, true)?;
    connection.pragma_update(None, "cell_size_check", true)?;
    connection.pragma_update(None, "mmap_size", 0)?;
    Ok(connection)
}

/// The table that the rows are in.
fn table(connection: &Connection) -> Outcome<&'static str> {
    for table in ["process_a", "process_b"] {
        let any = format!("SELECT EXISTS (SELECT 1 FROM {table})");
        if connection.query_row(&any, [], |row| row.get(0))? {
            return Ok(table);
        }
    }
    Err("the file is empty".into())
}
