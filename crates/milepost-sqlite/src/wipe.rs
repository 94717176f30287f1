//! Wiping: how bytes that were erased leave the files.
//!
//! `secure_delete` overwrites what is deleted, but a page that was split keeps copies of rows in the gap
//! between its cell pointers and its cells, where no deletion finds them. So a wipe moves every row to the
//! other table, a few at a time: each old page is emptied, freed and thereby overwritten, and at the end the
//! old table is cleared. Then the WAL, which holds older images of the pages, is cut off, and a last small
//! commit is synced, because SQLite does not sync the WAL after cutting it.
//!
//! What another program frees it may not have overwritten, and SQLite can put the end of a long row into such a page as
//! it is. So a move begins in a transaction that has just given back all free pages.
//!
//! At [`WipeLevel::Media`] nothing is given back or cut off: see `media`.
//!
//! How far this has come is kept in the file, as counts of erasures: so wipes by any number of OS
//! processes share their work, one that was killed is taken up again, and one that finds nothing erased
//! since the last is free, unless it is the first after something that may have left bytes in the WAL: a begin or
//! a commit that failed, a writer that was lost, a WAL that the store came upon.

use std::sync::atomic::Ordering;
use std::time::Duration;

use milepost_core::{StoreError, StoreErrorKind, Wipe, WipeLevel};
use rusqlite::Connection;

use crate::batch::note_stray;
use crate::checkpoints::{self, Checkpoints, Wal};
use crate::connection::{run, waiting};
use crate::error::{Busy, corrupt, store_error};
use crate::media::{fill_pages, has_fillers, unfill};
use crate::pool::{Deadline, begin, try_lock};
use crate::rows::Table;
use crate::{Durability, SqliteStore, sql};

/// How many rows, and bytes of records, one transaction of a wipe moves.
const MOVED_AT_ONCE: i64 = 200;
const MOVED_BYTES: i64 = 1024 * 1024;
/// How many free pages one transaction gives back, or overwrites; and the most, which is as many as one batch can free.
const FREED_AT_ONCE: i64 = 256;
const MOST_FREED_AT_ONCE: i64 = 8_192;
/// How long it may take until nobody holds on to the rest of the WAL; other writers wait as long.
const READERS_LEAVE: Duration = Duration::from_millis(20);
/// By how much longer after each time in a row that it did not do, by how many pages more may be left then, and of how
/// many such times.
const READERS_LEAVE_LATER: Duration = Duration::from_millis(5);
const LITTLE_MORE: u64 = checkpoints::LITTLE / 2;
const MOST_WAITS: u32 = 3;
/// How long a wipe leaves the writer to others between two steps.
pub(crate) const BREATH: Duration = Duration::from_millis(1);
/// How long a wipe that waits for another leaves it alone.
const ANOTHERS_STEP: Duration = Duration::from_millis(5);
/// How long it leaves it to them where they may have waited for readers, before they do again.
const OTHERS_CATCH_UP: Duration = Duration::from_millis(60);
/// From how many pages on a wipe has the WAL start anew: half as long as what has others stand still.
const GROWN: u64 = 3_000;
/// How long it watches for a moment in which nobody reads an older state: as long as a read of a tenth of a second.
const READERS_PAUSE: Duration = Duration::from_millis(130);

const SCHEMA_OF_OTHERS: &str = "another program has tables, views or triggers of its own in the file, and what it does \
                                not zero may be in their pages: drop them, and wipe again";
const KEPT_PAGES: &str = "another program turned the file's auto_vacuum off, so that it keeps its free pages, and what \
                          that program may have left in them: VACUUM it with auto_vacuum = INCREMENTAL";
const IN_THE_WAY: &str = "somebody reads an older state of the file, writes to it, or wipes it too: call again once \
                          they have ended";

/// What a step of a wipe came to.
enum Step {
    /// There may be more to do, of which this is to be said.
    Goes(&'static str),
    /// Others are in the way.
    Waits,
    /// It was the last. None, or what it did not come to.
    Done(Option<&'static str>),
}

fn pending(reason: &str) -> Wipe {
    let reason = reason.to_owned();
    Wipe::Pending { reason }
}

/// The row of `wipe_progress`: each number counts erasures.
pub(crate) struct Progress {
    current: Table,
    erased: i64,
    /// What `erased` was when the move that is under way began, or what it is if no row was erased since. Negative: it
    /// began where another program kept pages that may hold copies.
    moving: Option<i64>,
    /// The same of the last whole move.
    compacted: i64,
    wiped: i64,
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
    fn moved(&self) -> i64 {
        self.compacted.saturating_abs()
    }

    /// Whether the last whole move left nothing behind.
    fn reached_all(&self) -> bool {
        self.compacted >= 0
    }

    /// Whether the file is compacted as far as is `wanted`, and as far as can be.
    fn is_compacted(&self, wanted: i64, obstacle: Option<&str>) -> bool {
        // A move that is under way may reach what the last did not.
        let gets_no_further = obstacle.is_some() && self.moving.is_none_or(|moving| moving < 0);
        (self.moved() >= wanted || self.goes_first()) && (self.reached_all() || gets_no_further)
    }

    /// Whether what is compacted is to be wiped before more is: others may erase as fast as moves come to an end.
    fn goes_first(&self) -> bool {
        self.moving.is_none() && self.compacted > self.wiped
    }
}

impl SqliteStore {
    pub(crate) fn wipe_files(&self, level: WipeLevel) -> Result<Wipe, StoreError> {
        self.check_process()?;
        let budget = Deadline::after(self.config().wipe_budget);
        let overwrites = match (level, self.config().wipe_level) {
            (WipeLevel::Files, WipeLevel::Files) => false,
            (WipeLevel::Files | WipeLevel::Media, _) => true,
            _ => {
                let why = "this wipe level is unknown to the SQLite store";
                return Err(StoreError::new(StoreErrorKind::Unsupported, why));
            }
        };
        match self.wipe_at(level, overwrites, budget) {
            Err(error) if error.is_busy() => Ok(pending(IN_THE_WAY)),
            wiped => wiped,
        }
    }

    fn wipe_at(
        &self,
        level: WipeLevel,
        overwrites: bool,
        budget: Deadline,
    ) -> Result<Wipe, StoreError> {
        let wiped = if self.is_in_memory() {
            Wipe::Done
        } else {
            self.wipe_within(budget, overwrites)?
        };
        if wiped != Wipe::Done {
            return Ok(wiped);
        }
        let beyond = match level {
            WipeLevel::Media => self.beyond_media()?,
            _ => None,
        };
        Ok(beyond.map_or(Wipe::Done, |remains| Wipe::Limited { remains }))
    }

    /// Compacts the file and wipes its free pages, and then the WAL, until all that was erased before the call is wiped
    /// or the budget is used up. With `overwrites` nothing is given back to the file system.
    fn wipe_within(&self, budget: Deadline, overwrites: bool) -> Result<Wipe, StoreError> {
        if self.is_unsynced.load(Ordering::Relaxed) {
            // That all is wiped, for instance. And a begin may have got no further than the WAL.
            self.at_durability(Durability::Full, |writer, deadline| {
                begin(writer, sql::BEGIN_WRITE, deadline)?;
                note_stray(writer).map_err(store_error)?;
                self.commit(writer, deadline)?;
                // While nobody else can have something to be synced.
                self.is_unsynced.store(false, Ordering::Relaxed);
                Ok(())
            })?;
        }
        let progress = self.read_transaction(Progress::read)?;
        let wanted = progress.erased;
        if overwrites && progress.wiped < wanted {
            self.make_fillers()?;
        }
        let mut turn = None;
        loop {
            // One at a time, or each would have the others stand.
            turn = turn.or_else(|| try_lock(&self.wiping));
            let step = match &mut turn {
                Some(pace) => self.wipe_step(wanted, budget, overwrites, pace),
                None => self.watch_another(wanted),
            };
            let (reason, pause) = match step {
                Ok(Step::Goes(reason)) if turn.is_none() => (reason, ANOTHERS_STEP),
                Ok(Step::Goes(reason)) => (reason, BREATH),
                Ok(Step::Waits) => (IN_THE_WAY, OTHERS_CATCH_UP),
                Err(error) if error.is_busy() => (IN_THE_WAY, OTHERS_CATCH_UP),
                Err(error) => return Err(error),
                Ok(Step::Done(remains)) => {
                    return Ok(remains.map_or(Wipe::Done, |remains| Wipe::Limited {
                        remains: remains.to_owned(),
                    }));
                }
            };
            // Also before an answer: whoever gets it may call again at once.
            std::thread::sleep(pause);
            if budget.has_passed() {
                return Ok(pending(reason));
            }
        }
    }

    /// In the place of a step, while somebody else has the turn.
    fn watch_another(&self, wanted: i64) -> Result<Step, StoreError> {
        if self.read_transaction(Progress::read)?.wiped >= wanted {
            return Ok(Step::Done(None));
        }
        Ok(Step::Goes("another wipe of this store goes on: call again"))
    }

    fn wipe_step(
        &self,
        wanted: i64,
        budget: Deadline,
        overwrites: bool,
        pace: &mut Pace,
    ) -> Result<Step, StoreError> {
        let (progress, obstacle, has_fillers) = self.read_transaction(|reader| {
            Ok((
                Progress::read(reader)?,
                obstacle(reader, overwrites)?,
                has_fillers(reader).map_err(store_error)?,
            ))
        })?;
        if progress.wiped >= wanted {
            return Ok(Step::Done(None));
        }
        let is_compacted = progress.is_compacted(wanted, obstacle);
        // Others may free as many as each step gives back: nothing of what is to be wiped is in them.
        let free = if overwrites {
            0
        } else {
            self.free_to_give_back()?
        };
        let gives_back = 0 < free && free < pace.free;
        if !is_compacted || has_fillers || gives_back {
            if !self.keep_wal_short(budget)? {
                return Ok(Step::Waits);
            }
            let reason = if !is_compacted {
                self.write_transaction(|writer| move_some(writer, overwrites, pace))?;
                Some("the file is being compacted, and is not through yet: call again")
            } else if has_fillers {
                self.write_transaction(unfill)?;
                Some("the file's free pages are being overwritten: call again")
            } else {
                pace.free = free;
                self.give_back_pages()?;
                Some("the file's free pages are being given back: call again")
            };
            if let Some(reason) = reason {
                return Ok(Step::Goes(reason));
            }
        }
        let is_whole = if overwrites {
            self.overwrite_wal(budget)?
        } else {
            self.cut_wal_off(budget)?
        };
        if !is_whole {
            return Ok(Step::Waits);
        }
        self.note_wiped(&progress)?;
        Ok(if progress.moved() >= wanted {
            Step::Done(obstacle.filter(|_| !progress.reached_all()))
        } else {
            Step::Goes("more was erased meanwhile: call again")
        })
    }

    /// How many free pages the file can give back to the file system.
    fn free_to_give_back(&self) -> Result<i64, StoreError> {
        self.read_transaction(|reader| {
            let keeps = keeps_free_pages(reader)?;
            if keeps { Ok(0) } else { free_pages(reader) }
        })
    }

    /// Gives some free pages back to the file system.
    fn give_back_pages(&self) -> Result<(), StoreError> {
        let deadline = self.deadline();
        let writer = self.writer(deadline)?;
        let give_back = || give_back(&writer, FREED_AT_ONCE);
        deadline.retry(give_back).map_err(store_error)?;
        self.note_commit(&writer);
        Ok(())
    }

    /// Has the WAL start anew once a wipe has made it long. Others hardly notice: longer still, and whoever commits stands
    /// until those who read have ended. Whether it is short; not while somebody reads what is in it.
    fn keep_wal_short(&self, budget: Deadline) -> Result<bool, StoreError> {
        // As our last step left it, whoever else has written by then.
        let seen = self.checkpoints.as_ref().map_or(0, Checkpoints::pages);
        if seen < GROWN {
            return Ok(true);
        }
        let wal = self.carry_over(GROWN, budget)?;
        let is_short = wal.pages.is_some_and(|pages| pages < GROWN);
        Ok(is_short || self.end_wal(&wal, sql::RESTART)?.is_whole)
    }

    /// Carries the WAL over into the file while others write, unless it has fewer pages than so many, and for so long that
    /// nobody reads an older state, if that comes.
    pub(crate) fn carry_over(&self, short: u64, budget: Deadline) -> Result<Wal, StoreError> {
        let patience = Deadline::after(READERS_PAUSE);
        loop {
            // Not the writer: those who write with this store need it.
            let reader = self.reader(self.deadline())?;
            let wal = self.carry_with(&reader, sql::CHECKPOINT)?;
            drop(reader);
            // What was known before is no more so: others would stand for too much.
            let wal = wal.unwrap_or(Wal::UNKNOWN);
            let is_enough = |pages| pages < short || wal.left() == 0;
            if wal.pages.is_some_and(is_enough) || patience.has_passed() || budget.has_passed() {
                return Ok(wal);
            }
            std::thread::sleep(BREATH);
        }
    }

    /// Makes a checkpoint of the rest of the WAL, and of all of it: in a moment in which others stand still, and which
    /// only comes if little was left of it. The more often in a row it did not come, the more is asked of the others.
    pub(crate) fn end_wal(&self, wal: &Wal, how: &str) -> Result<Wal, StoreError> {
        if wal.pages.is_none() {
            return Ok(Wal::UNKNOWN);
        }
        let waits = self.wipe_waits.load(Ordering::Relaxed).min(MOST_WAITS);
        let mut ended = Wal::UNKNOWN;
        if wal.left() < checkpoints::LITTLE + LITTLE_MORE * u64::from(waits) {
            let writer = self.writer(self.deadline())?;
            let patience = READERS_LEAVE + READERS_LEAVE_LATER * waits;
            match waiting(&writer, patience, || self.carry_with(&writer, how))?? {
                Some(wal) => ended = wal,
                None => return Ok(ended),
            }
        }
        let waits = if ended.is_whole { 0 } else { waits + 1 };
        self.wipe_waits.store(waits, Ordering::Relaxed);
        Ok(ended)
    }

    /// Makes a checkpoint; none while somebody of this store makes one.
    fn carry_with(&self, connection: &Connection, how: &str) -> Result<Option<Wal>, StoreError> {
        match self.checkpoints.as_ref().map(Checkpoints::try_carrying) {
            Some(None) => Ok(None),
            _carrying => checkpoint(connection, how).map(Some),
        }
    }

    /// Tries to cut the WAL off.
    fn cut_wal_off(&self, budget: Deadline) -> Result<bool, StoreError> {
        let wal = self.carry_over(0, budget)?;
        Ok(self.end_wal(&wal, sql::TRUNCATE)?.is_whole)
    }

    /// In a commit that is synced, and with it all that was written before. Where something may be left it notes nothing
    /// new, so that the next wipe looks again.
    fn note_wiped(&self, progress: &Progress) -> Result<(), StoreError> {
        self.synced_transaction(|connection| {
            let wiped = progress.compacted.max(progress.wiped);
            let noted = connection.prepare_cached(sql::WIPED)?.execute([wiped])?;
            // A file of somebody else's making may have none or several.
            match noted {
                1 => Ok(()),
                rows => Err(rusqlite::Error::StatementChangedRows(rows)),
            }
        })
    }
}

/// Why a move that began now would not reach all that was erased; none if it would.
fn obstacle(connection: &Connection, overwrites: bool) -> Result<Option<&'static str>, StoreError> {
    Ok(if has_schema_of_others(connection).map_err(store_error)? {
        Some(SCHEMA_OF_OTHERS)
    } else if !overwrites && keeps_free_pages(connection)? {
        Some(KEPT_PAGES)
    } else {
        None
    })
}

/// Gives so many free pages back at most.
fn give_back(connection: &Connection, pages: i64) -> rusqlite::Result<()> {
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

pub(crate) fn free_pages(connection: &Connection) -> Result<i64, StoreError> {
    let free = connection.query_row(sql::FREE_PAGES, [], |row| row.get(0));
    free.map_err(store_error)
}

/// Whether there are free pages that the file cannot give back, because somebody turned that off.
fn keeps_free_pages(connection: &Connection) -> Result<bool, StoreError> {
    let mode = connection.query_row(sql::AUTO_VACUUM, [], |row| row.get::<_, i64>(0));
    Ok(mode.map_err(store_error)? == 0 && free_pages(connection)? > 0)
}

/// Makes a checkpoint as far as nobody else is in the way.
pub(crate) fn checkpoint(connection: &Connection, how: &str) -> Result<Wal, StoreError> {
    match checkpoints::run(connection, how) {
        Err(error) if error.is_busy() => Ok(Wal::UNKNOWN),
        outcome => outcome,
    }
}

/// One step of a move, begun if none is under way and something was erased since the last.
fn move_some(connection: &Connection, overwrites: bool, pace: &mut Pace) -> Result<(), StoreError> {
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
        begin_move(connection, obstacle.is_none())?;
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
    begin_move(connection, true)?;
    *pace = Pace::default();
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
    free: i64,
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

fn begin_move(connection: &Connection, reaches_all: bool) -> Result<(), StoreError> {
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
