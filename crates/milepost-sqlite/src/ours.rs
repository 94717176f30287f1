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
/// Those that only some files have: see `media`.
const NAMES_OF_MEDIA: [&str; 2] = ["wipe_media", "wipe_filler"];

/// Whether each table and index that is about our tables is one of ours.
pub(crate) fn check(connection: &Connection) -> Result<(), StoreError> {
    let made = statements_of(&format!("{TABLES}{WIPE_PROGRESS}"));
    let of_media = statements_of(sql::MAKE_MEDIA);
    let (mut of_media_found, mut found): (Vec<_>, Vec<_>) = statements(connection)?
        .into_iter()
        .partition(|sql| of_media.contains(sql));
    found.sort_unstable();
    of_media_found.sort_unstable();
    if found == made && (of_media_found.is_empty() || of_media_found == of_media) {
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
        let names_any = |names: &[&str]| names.iter().any(|name| text.contains(name));
        // Triggers are off, and views run when they are asked only: that happens where one has the name of a table
        // that need not be there.
        let is_trigger = text.starts_with("createtrigger");
        let is_view = text.starts_with("createview");
        if !is_trigger && (names_any(&NAMES_OF_MEDIA) || !is_view && names_any(&NAMES)) {
            ours.push(text);
        }
    }
    Ok(ours)
}

/// What of this SQLite keeps in its schema, in order.
fn statements_of(sql: &str) -> Vec<String> {
    let squeezed = squeeze(sql).replace("ifnotexists", "");
    let statements = squeezed.split(';').filter(|sql| sql.starts_with("create"));
    let mut statements = statements.map(str::to_owned).collect::<Vec<_>>();
    statements.sort_unstable();
    statements
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
