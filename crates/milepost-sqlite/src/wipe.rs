//! Wiping: how bytes that were erased leave the files.
//!
//! `secure_delete` overwrites what is deleted, but a page that was split keeps copies of rows in the gap
//! between its cell pointers and its cells, where no deletion finds them. So a wipe moves every row to the
//! other table, a few at a time: each old page is emptied, freed and thereby overwritten, and at the end the
//! old table is cleared. Then the WAL, which holds older images of the pages, is cut off, and a last small
//! commit is synced, because SQLite does not sync the WAL after cutting it.
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
use crate::connection::waiting;
use crate::error::{Busy, store_error};
use crate::media::{has_fillers, unfill};
use crate::moves::{
    FREED_AT_ONCE, Pace, Progress, free_to_give_back, give_back, move_some, obstacle,
};
use crate::pool::{Deadline, begin, try_lock};
use crate::{Durability, SqliteStore, sql};

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
                note_stray(writer)?;
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
        let (progress, obstacle, has_fillers, free) = self.read_transaction(|reader| {
            Ok((
                Progress::read(reader)?,
                obstacle(reader, overwrites)?,
                has_fillers(reader).map_err(store_error)?,
                if overwrites {
                    0
                } else {
                    free_to_give_back(reader)?
                },
            ))
        })?;
        if progress.wiped >= wanted {
            return Ok(Step::Done(None));
        }
        let is_compacted = progress.is_compacted(wanted, obstacle);
        // Others may free as many as each step gives back: nothing of what is to be wiped is in them.
        let gives_back = 0 < free && free < pace.free;
        if !is_compacted || has_fillers || gives_back {
            if !self.keep_wal_short(budget)? {
                return Ok(Step::Waits);
            }
            return Ok(Step::Goes(if !is_compacted {
                self.write_transaction(|writer| move_some(writer, overwrites, pace))?;
                "the file is being compacted, and is not through yet: call again"
            } else if has_fillers {
                self.write_transaction(unfill)?;
                "the file's free pages are being overwritten: call again"
            } else {
                pace.free = free;
                self.give_back_pages()?;
                "the file's free pages are being given back: call again"
            }));
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

/// Makes a checkpoint as far as nobody else is in the way.
pub(crate) fn checkpoint(connection: &Connection, how: &str) -> Result<Wal, StoreError> {
    match checkpoints::run(connection, how) {
        Err(error) if error.is_busy() => Ok(Wal::UNKNOWN),
        outcome => outcome,
    }
}
