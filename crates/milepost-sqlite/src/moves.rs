//! Moving: how every row comes to the other table, so that the pages it stood in are overwritten. See `wipe`.
//!
//! What another program frees it may not have overwritten, and SQLite can put the end of a long row into such a page as
//! it is. So a move begins in a transaction that has just given back all free pages, or at
//! [`WipeLevel::Media`](milepost_core::WipeLevel::Media) has taken all into use.

use milepost_core::StoreError;
use rusqlite::Connection;

use crate::connection::run;
use crate::error::{corrupt, store_error};
use crate::media::{fill_pages, has_fillers, unfill};
use crate::rows::Table;
use crate::sql;

/// How many rows, and bytes of records, one transaction of a wipe moves.
const MOVED_AT_ONCE: i64 = 200;
const MOVED_BYTES: i64 = 1024 * 1024;
/// How many free pages one transaction gives back, or overwrites; and the most, which is as many as one batch can free.
pub(crate) const FREED_AT_ONCE: i64 = 256;
const MOST_FREED_AT_ONCE: i64 = 8_192;

const SCHEMA_OF_OTHERS: &str = "another program has tables, views or triggers of its own in the file, and what it does \
                                not zero may be in their pages: drop them, and wipe again";
const KEPT_PAGES: &str = "another program turned the file's auto_vacuum off, so that it keeps its free pages, and what \
                          that program may have left in them: VACUUM it with auto_vacuum = INCREMENTAL";

/// The row of `wipe_progress`: each number counts erasures.
pub(crate) struct Progress {
    current: Table,
    pub(crate) erased: i64,
    /// What `erased` was when the move that is under way began, or what it is if no row was erased since. Negative: it
    /// began where another program kept pages that may hold copies.
    moving: Option<i64>,
    /// The same of the last whole move.
    pub(crate) compacted: i64,
    pub(crate) wiped: i64,
}

impl Progress {
    pub(crate) fn read(connection: &Connection) -> Result<Self, StoreError> {
        let mut statement = connection
            .prepare_cached(sql::PROGRESS)
            .map_err(store_error)?;
        let row = statement.query_row([], |row| {
            Ok((
                row.get(0)?,
                row.get(1)?,
                row.get(2)?,
                row.get(3)?,
                row.get(4)?,
            ))
        });
        let (current, erased, moving, compacted, wiped) = row.map_err(store_error)?;
        // A damaged count could have a wipe say that it is done, now and ever after.
        let (compacted, moving): (i64, Option<i64>) = (compacted, moving);
        let covered = [compacted, moving.unwrap_or(compacted)].map(i64::saturating_abs);
        if ![0, wiped, covered[0], covered[1], erased].is_sorted() {
            return Err(corrupt("the progress of wiping contradicts itself"));
        }
        Ok(Progress {
            current: Table::from_number(current)?,
            erased,
            moving,
            compacted,
            wiped,
        })
    }

    /// Up to which erasure all rows were moved.
    pub(crate) fn moved(&self) -> i64 {
        self.compacted.saturating_abs()
    }

    /// Whether the last whole move left nothing behind.
    pub(crate) fn reached_all(&self) -> bool {
        self.compacted >= 0
    }

    /// Whether the file is compacted as far as is `wanted`, and as far as can be.
    pub(crate) fn is_compacted(&self, wanted: i64, obstacle: Option<&str>) -> bool {
        // A move that is under way may reach what the last did not.
        let gets_no_further = obstacle.is_some() && self.moving.is_none_or(|moving| moving < 0);
        (self.moved() >= wanted || self.goes_first()) && (self.reached_all() || gets_no_further)
    }

    /// Whether what is compacted is to be wiped before more is: others may erase as fast as moves come to an end.
    fn goes_first(&self) -> bool {
        self.moving.is_none() && self.compacted > self.wiped
    }
}

/// Why a move that began now would not reach all that was erased; none if it would.
pub(crate) fn obstacle(
    connection: &Connection,
    overwrites: bool,
) -> Result<Option<&'static str>, StoreError> {
    Ok(if has_schema_of_others(connection).map_err(store_error)? {
        Some(SCHEMA_OF_OTHERS)
    } else if !overwrites && keeps_free_pages(connection)? {
        Some(KEPT_PAGES)
    } else {
        None
    })
}

/// Gives so many free pages back at most.
pub(crate) fn give_back(connection: &Connection, pages: i64) -> rusqlite::Result<()> {
    let mut statement = connection.prepare(&sql::give_back(pages))?;
    let mut rows = statement.query([])?;
    // The pragma takes a step for each page.
    while rows.next()?.is_some() {}
    Ok(())
}

/// Whoever does not zero what is freed may have taken pages of ours for them as they were.
fn has_schema_of_others(connection: &Connection) -> rusqlite::Result<bool> {
    connection.prepare_cached(sql::SCHEMA_OF_OTHERS)?.exists([])
}

fn free_pages(connection: &Connection) -> Result<i64, StoreError> {
    let free = connection.query_row(sql::FREE_PAGES, [], |row| row.get(0));
    free.map_err(store_error)
}

fn auto_vacuum(connection: &Connection) -> Result<i64, StoreError> {
    let mode = connection.query_row(sql::AUTO_VACUUM, [], |row| row.get(0));
    mode.map_err(store_error)
}

/// Whether each commit gives free pages back, because somebody turned that on.
pub(crate) fn gives_back_at_once(connection: &Connection) -> Result<bool, StoreError> {
    Ok(auto_vacuum(connection)? == 1)
}

/// Whether there are free pages that the file cannot give back, because somebody turned that off.
fn keeps_free_pages(connection: &Connection) -> Result<bool, StoreError> {
    Ok(auto_vacuum(connection)? == 0 && free_pages(connection)? > 0)
}

/// How many free pages the file can give back to the file system.
pub(crate) fn free_to_give_back(connection: &Connection) -> Result<i64, StoreError> {
    if keeps_free_pages(connection)? {
        return Ok(0);
    }
    free_pages(connection)
}

/// One step of a move, begun if none is under way and something was erased since the last.
pub(crate) fn move_some(
    connection: &Connection,
    overwrites: bool,
    pace: &mut Pace,
) -> Result<(), StoreError> {
    let mut progress = Progress::read(connection)?;
    if progress.moving.is_none() {
        let obstacle = obstacle(connection, overwrites)?;
        if progress.is_compacted(progress.erased, obstacle) {
            return Ok(());
        }
        // Which may name what was erased, and be freed by others while rows move.
        connection
            .execute_batch(sql::DROP_STATISTICS)
            .map_err(store_error)?;
        // A page that a transaction gave back would come back to it as it was: rows are for the next.
        if obstacle.is_none() && free_pages(connection)? > 0 {
            return begin_without_free_pages(connection, overwrites, pace);
        }
        begin_move(connection, obstacle.is_none(), pace)?;
        progress.current = progress.current.other();
    }
    if has_fillers(connection).map_err(store_error)? {
        return unfill(connection).map(drop);
    }
    let old = progress.current.other();
    let (rows, last) = first_rows(connection, old)?;
    if let Some(last) = last {
        for statement in [sql::COPY_ROWS, sql::DELETE_ROWS] {
            let mut statement = connection
                .prepare_cached(old.of(statement))
                .map_err(store_error)?;
            // Rows that are not in the order of their keys would be passed over, by every wipe again.
            if statement.execute([last]).map_err(store_error)? != rows {
                return Err(corrupt("a table's rows are not in the order of their keys"));
            }
        }
    }
    let mut next = connection
        .prepare_cached(old.of(sql::FIRST_ROWS))
        .map_err(store_error)?;
    if !next.exists([1]).map_err(store_error)? {
        run(connection, old.of(sql::CLEAR)).map_err(store_error)?;
        run(connection, sql::END_MOVE).map_err(store_error)?;
    }
    Ok(())
}

/// Begins a move once nothing is left of what others have freed.
fn begin_without_free_pages(
    connection: &Connection,
    overwrites: bool,
    pace: &mut Pace,
) -> Result<(), StoreError> {
    let free = free_pages(connection)?;
    let pages = pace.pages_of(free);
    if overwrites {
        fill_pages(connection, pages.min(free))?;
    } else {
        give_back(connection, pages).map_err(store_error)?;
    }
    if free_pages(connection)? > 0 {
        return Ok(());
    }
    begin_move(connection, true, pace)?;
    if overwrites {
        // While no page is free, the file grows by what others write.
        unfill(connection)?;
    }
    Ok(())
}

/// How many free pages a step takes: more while others free as many in the meantime.
#[derive(Debug)]
pub(crate) struct Pace {
    pages: i64,
    /// How many were free before the last step.
    pub(crate) free: i64,
}

impl Default for Pace {
    fn default() -> Self {
        Pace {
            pages: FREED_AT_ONCE,
            free: i64::MAX,
        }
    }
}

impl Pace {
    fn pages_of(&mut self, free: i64) -> i64 {
        if free >= self.free {
            self.pages = (2 * self.pages).min(MOST_FREED_AT_ONCE);
        }
        self.free = free;
        self.pages
    }
}

fn begin_move(
    connection: &Connection,
    reaches_all: bool,
    pace: &mut Pace,
) -> Result<(), StoreError> {
    // The pages that it frees are none of those that were free before it.
    *pace = Pace::default();
    let sign = if reaches_all { 1 } else { -1 };
    let begun = connection
        .prepare_cached(sql::BEGIN_MOVE)
        .and_then(|mut begin| begin.execute([sign]));
    begun.map(drop).map_err(store_error)
}

/// How many rows the next step moves, and the last of them.
fn first_rows(connection: &Connection, table: Table) -> Result<(usize, Option<i64>), StoreError> {
    let mut statement = connection
        .prepare_cached(table.of(sql::FIRST_ROWS))
        .map_err(store_error)?;
    let mut rows = statement.query([MOVED_AT_ONCE]).map_err(store_error)?;
    let (mut count, mut bytes, mut last) = (0, 0, None);
    while let Some(row) = rows.next().map_err(store_error)? {
        count += 1;
        last = Some(row.get(0).map_err(store_error)?);
        bytes += row.get::<_, i64>(1).map_err(store_error)?;
        if bytes > MOVED_BYTES {
            break;
        }
    }
    Ok((count, last))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Or no move would ever begin where each commit of others frees more than a step takes.
    #[test]
    fn a_step_takes_more_free_pages_while_they_do_not_become_fewer() {
        let mut pace = Pace::default();
        let taken = [900, 644, 900, 900, 388, 388].map(|free| pace.pages_of(free));
        assert_eq!(taken, [256, 256, 512, 1_024, 1_024, 2_048]);
        let most = (0..20).map(|_| pace.pages_of(100_000)).max();
        assert_eq!(most, Some(MOST_FREED_AT_ONCE));
    }
}
