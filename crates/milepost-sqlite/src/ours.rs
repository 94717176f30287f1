//! Whether the tables of a file are as milepost makes them, so that nothing of anybody else's runs in them.
//!
//! Triggers are off and no function of the schema is trusted, but SQLite runs more than that: each row that is
//! written or read may go through CHECK constraints, generated columns, and the expressions of indexes. `LIKE` alone
//! can be made to take for ever there, and nothing can interrupt it.

use milepost_core::StoreError;
use rusqlite::Connection;

use crate::error::{corrupt, store_error};
use crate::schema::{TABLES, WIPE_PROGRESS};
use crate::sql;

const NAMES: [&str; 3] = ["process_a", "process_b", "wipe_progress"];

/// Whether each table and index that is about our tables is one of ours.
pub(crate) fn check(connection: &Connection) -> Result<(), StoreError> {
    let made = squeeze(&format!("{TABLES}{WIPE_PROGRESS}"));
    let mut made = made
        .split(';')
        .filter(|sql| sql.starts_with("create"))
        .collect::<Vec<_>>();
    let mut found = statements(connection)?;
    made.sort_unstable();
    found.sort_unstable();
    if found == made {
        return Ok(());
    }
    Err(corrupt(
        "its tables and indexes are not the ones that milepost makes",
    ))
}

/// Whether the tables of an older version are such that nothing runs when they are read.
pub(crate) fn check_before_upgrade(connection: &Connection) -> Result<(), StoreError> {
    let runs_nothing = |sql: &String| {
        let known = sql
            .replace("check(id=1)", "")
            .replace("check(currentin(0,1))", "");
        let runs = ["check(", "as(", "/*", "'", "\"", "[", "`"];
        !sql.starts_with("createtable") || !runs.iter().any(|part| known.contains(part))
    };
    if statements(connection)?.iter().all(runs_nothing) {
        return Ok(());
    }
    Err(corrupt(
        "its tables hold more than any milepost puts into them",
    ))
}

/// What makes the tables and indexes that have to do with ours. Judged by the text alone, which is what SQLite goes
/// by: the other columns of its schema may lie.
fn statements(connection: &Connection) -> Result<Vec<String>, StoreError> {
    let mut statement = connection.prepare(sql::SCHEMA).map_err(store_error)?;
    let texts = statement.query_map([], |row| row.get::<_, String>(0));
    let mut ours = Vec::new();
    for text in texts.map_err(store_error)? {
        let text = squeeze(&text.map_err(store_error)?);
        // Views run when they are asked only, which we never do, and triggers are off.
        let runs = !text.starts_with("createview") && !text.starts_with("createtrigger");
        if runs && NAMES.iter().any(|name| text.contains(name)) {
            ours.push(text);
        }
    }
    Ok(ours)
}

/// A statement without its comments and white space, in small letters: two that differ in those are the same.
fn squeeze(sql: &str) -> String {
    let mut squeezed = String::with_capacity(sql.len());
    for line in sql.lines() {
        let code = line.split_once("--").map_or(line, |(code, _)| code);
        squeezed.extend(code.chars().filter(|c| !c.is_ascii_whitespace()));
    }
    squeezed.make_ascii_lowercase();
    squeezed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_that_differ_in_comments_and_white_space_are_the_same() {
        let one = "CREATE TABLE t (\n    a INTEGER, -- what; it is\n    b TEXT\n) STRICT";
        assert_eq!(
            squeeze(one),
            squeeze("CREATE TABLE t (a INTEGER, b text) strict")
        );
        assert_ne!(squeeze(one), squeeze("CREATE TABLE t (a INTEGER, b TEXT)"));
    }

    #[test]
    fn nothing_that_sqlite_runs_passes_for_a_comment() {
        let hidden = "CREATE TABLE t (a INTEGER \"-- \", b TEXT CHECK (f(b)) -- \"\n) STRICT";
        assert_ne!(
            squeeze(hidden),
            squeeze("CREATE TABLE t (a INTEGER) STRICT")
        );
    }
}
