//! Wiping at [`WipeLevel::Media`](milepost_core::WipeLevel::Media): nothing is given back to the file system, so that
//! nothing is there to be overwritten that no program can reach any more.
//!
//! The file keeps its free pages, and the WAL its length, when the store is closed too. A wipe overwrites both where they
//! stand. Free pages: before a move a row of zeros takes them into use, and its deletion frees them overwritten. The
//! WAL: once all of it is in the file it starts anew, and rows of zeros come and go until it is as long as it was. A
//! reader keeps it from starting anew before that, so that others can write in between.
//!
//! A store that is opened otherwise does give back. So the file notes whether every store has kept to this since it was
//! made.

use std::fs;

use milepost_core::{StoreError, StoreErrorKind, WipeLevel};
use rusqlite::{Connection, OptionalExtension};

use crate::checkpoints::Checkpoints;
use crate::config::{Durability, SqliteConfig};
use crate::connection::run;
use crate::error::{store_error, unavailable};
use crate::medium;
use crate::moves::{Progress, gives_back_at_once};
use crate::path::beside;
use crate::pool::{Deadline, begin};
use crate::wipe::{BREATH, checkpoint};
use crate::{SqliteStore, sql};

/// How many pages one transaction overwrites: others write between two of them.
const FILLED_AT_ONCE: i64 = 256;
/// How many pages are more than others write between two of our steps, so that a WAL that was started anew is told from
/// one that was not.
const TOLD_APART: i64 = 64;
/// How many pages a transaction writes beside those of its row, at most: of the table, of the free list, of what points
/// to pages, and the first.
const BESIDE: i64 = 8;
/// How many pages before its end the WAL is filled up while others of this OS process wait: a few milliseconds' work.
const LAST_STRETCH: u64 = 300;
/// What a page has beside the rest of a long row.
const NEXT_PAGE: i64 = 4;
/// What the WAL has before its first page, and before each.
const WAL_HEADER: u64 = 32;
const FRAME_HEADER: u64 = 24;

/// Notes in a file that was just made that it has given nothing back.
pub(crate) fn note_made(connection: &Connection, config: &SqliteConfig) -> Result<(), StoreError> {
    if config.wipe_level == WipeLevel::Media {
        connection
            .execute_batch(sql::MAKE_MEDIA)
            .map_err(store_error)?;
        run(connection, sql::KEEPS_BLOCKS).map_err(store_error)?;
    }
    Ok(())
}

/// Notes that the file is opened by a store that gives blocks back, before it does, or has been by others.
pub(crate) fn note_opened(
    connection: &Connection,
    config: &SqliteConfig,
    deadline: Deadline,
) -> Result<(), StoreError> {
    if config.wipe_level == WipeLevel::Files && has_kept_blocks(connection)? {
        let note = deadline.retry(|| run(connection, sql::GIVES_BACK_BLOCKS));
        note.map_err(store_error)?;
    }
    deadline.retry(|| note_given_back(connection))
}

/// Notes that commits may have given blocks back at once, if another program turned that on, and turns it off.
fn note_given_back(connection: &Connection) -> Result<(), StoreError> {
    if !gives_back_at_once(connection)? {
        return Ok(());
    }
    if has_kept_blocks(connection)? {
        run(connection, sql::GIVES_BACK_BLOCKS).map_err(store_error)?;
    }
    let turned_off = connection.execute_batch(sql::GIVE_BACK_WHEN_ASKED);
    turned_off.map_err(store_error)
}

/// Whether the file has what only wipes of the medium need.
fn has_media(connection: &Connection) -> rusqlite::Result<bool> {
    connection.prepare_cached(sql::HAS_MEDIA)?.exists([])
}

/// Whether every store that had the file open since it was made gave nothing back.
fn has_kept_blocks(connection: &Connection) -> Result<bool, StoreError> {
    let kept = || {
        Ok(has_media(connection)?
            && connection
                .prepare_cached(sql::HAS_KEPT_BLOCKS)?
                .exists([])?)
    };
    kept().map_err(store_error)
}

impl SqliteStore {
    /// What a wipe of this level cannot have reached, though it is done.
    pub(crate) fn beyond_media(&self) -> Result<Option<String>, StoreError> {
        let Some(file) = &self.file else {
            return Ok(Some("memory that was freed is not overwritten".to_owned()));
        };
        if !self.read_transaction(has_kept_blocks)? {
            let why = "blocks that the file gave back to the file system while a store had it open with another \
                       wipe_level than Media: a file is rid of them only if it was made, and always opened, with that";
            return Ok(Some(why.to_owned()));
        }
        Ok(medium::limit(file.path()))
    }

    /// Makes what a wipe that gives nothing back works with, in a file that was made without.
    pub(crate) fn make_fillers(&self) -> Result<(), StoreError> {
        self.write_transaction(|connection| {
            note_given_back(connection)?;
            connection
                .execute_batch(sql::MAKE_MEDIA)
                .map_err(store_error)
        })
    }

    /// Tries to overwrite the WAL from its beginning to its end. Once begun it is not broken off: whoever came next would
    /// begin anew.
    pub(crate) fn overwrite_wal(&self, budget: Deadline) -> Result<bool, StoreError> {
        let Some(length) = self.start_overwriting(budget)? else {
            return Ok(false);
        };
        // From here on nothing but what is written from now on comes into the WAL, from its beginning on.
        let kept = self.checkpoints.as_ref().map(Checkpoints::keep_wal);
        let reader = self.reader(self.deadline())?;
        run(&reader, sql::BEGIN_READ).map_err(store_error)?;
        Progress::read(&reader)?;
        // Others start it anew again and again if this does not do: then it is not known what was overwritten.
        for _ in 0..length / 100 + 100 {
            match self.wal_length()?.map(|now| length.saturating_sub(now)) {
                Some(0) => {
                    drop((reader, kept));
                    self.clear_fillers()?;
                    return Ok(true);
                }
                Some(missing) if missing > LAST_STRETCH => {
                    self.write_transaction(|writer| fill_towards(writer, missing))?;
                }
                Some(_) => self.fill_last_stretch(length)?,
                None => {}
            }
            std::thread::sleep(BREATH);
        }
        Ok(false)
    }

    /// Fills the WAL up to its end and not beyond, while nobody else of this OS process writes: or it would become
    /// longer with each wipe.
    fn fill_last_stretch(&self, length: u64) -> Result<(), StoreError> {
        // Zeros may be lost: the note that follows syncs them. So others wait for no more than one sync.
        self.at_durability(Durability::Normal, |writer, deadline| {
            fill_up_to(writer, length, deadline)
        })
    }

    /// Takes all rows of zeros away, at the beginning of the WAL if nobody reads from it.
    fn clear_fillers(&self) -> Result<(), StoreError> {
        checkpoint(&*self.writer(self.deadline())?, sql::RESTART)?;
        while self.write_transaction(unfill)? {
            std::thread::sleep(BREATH);
        }
        Ok(())
    }

    /// Starts the WAL anew; says how many pages long it is then to become until nothing old is in it. None if others
    /// are in the way.
    fn start_overwriting(&self, budget: Deadline) -> Result<Option<u64>, StoreError> {
        // So that it can be told from one that did not start anew.
        if self
            .wal_length()?
            .is_none_or(|now| now < TOLD_APART.unsigned_abs())
        {
            self.write_transaction(|writer| fill_pages(writer, TOLD_APART))?;
        }
        let wal = self.carry_over(0, budget)?;
        let restarted = self.end_wal(&wal, sql::RESTART)?;
        let Some(before) = restarted.pages.filter(|_| restarted.is_whole) else {
            return Ok(None);
        };
        // Whoever writes next begins at its beginning.
        self.write_transaction(|writer| run(writer, sql::TURN).map_err(store_error))?;
        if self.wal_length()?.is_none_or(|now| now > before) {
            return Ok(None);
        }
        let Some(file) = &self.file else {
            return Err(StoreError::new(StoreErrorKind::Other, "memory has no WAL"));
        };
        let wal = fs::metadata(beside(file.path(), "-wal"));
        let wal = wal.map_err(|error| unavailable("the WAL cannot be looked at", &error))?;
        let page = page_size(&*self.writer(self.deadline())?)?.unsigned_abs();
        Ok(Some(
            wal.len()
                .saturating_sub(WAL_HEADER)
                .div_ceil(FRAME_HEADER + page),
        ))
    }

    /// How many pages the WAL has; none while that is not known.
    fn wal_length(&self) -> Result<Option<u64>, StoreError> {
        let writer = self.writer(self.deadline())?;
        Ok(checkpoint(&writer, sql::CHECKPOINT)?.pages)
    }
}

fn fill_up_to(writer: &Connection, length: u64, deadline: Deadline) -> Result<(), StoreError> {
    for _ in 0..LAST_STRETCH {
        let Some(now) = checkpoint(writer, sql::CHECKPOINT)?.pages else {
            return Ok(());
        };
        let missing = length.saturating_sub(now);
        if missing == 0 {
            return Ok(());
        }
        begin(writer, sql::BEGIN_WRITE, deadline)?;
        fill_towards(writer, missing)?;
        run(writer, sql::COMMIT).map_err(store_error)?;
    }
    Ok(())
}

/// Whether there are rows of zeros.
pub(crate) fn has_fillers(connection: &Connection) -> rusqlite::Result<bool> {
    Ok(has_media(connection)? && connection.prepare_cached(sql::NEWEST_FILLER)?.exists([])?)
}

/// Adds a row of zeros, or takes one away, which too is written as zeros: so many pages at most.
fn fill_towards(connection: &Connection, missing: u64) -> Result<(), StoreError> {
    let row = connection
        .query_row(sql::NEWEST_FILLER, [], |row| row.get::<_, i64>(0))
        .optional()
        .map_err(store_error)?;
    let missing = i64::try_from(missing).unwrap_or(i64::MAX);
    let page = page_size(connection)?;
    match row.map(|bytes| bytes / (page - NEXT_PAGE)) {
        Some(pages) if pages + BESIDE <= missing => unfill(connection).map(drop),
        _ if missing > 2 * BESIDE => fill_pages(connection, (missing - BESIDE).min(FILLED_AT_ONCE)),
        // One page.
        _ => run(connection, sql::TURN).map_err(store_error),
    }
}

/// Takes so many pages into use, as a row of zeros. Taken away again, it leaves them free and overwritten, whoever had
/// freed them before.
pub(crate) fn fill_pages(connection: &Connection, pages: i64) -> Result<(), StoreError> {
    let bytes = pages * (page_size(connection)? - NEXT_PAGE);
    let filled = connection
        .prepare_cached(sql::FILL)
        .and_then(|mut fill| fill.execute([bytes]));
    filled.map(drop).map_err(store_error)
}

/// Whether there was a row of zeros to take away.
pub(crate) fn unfill(connection: &Connection) -> Result<bool, StoreError> {
    let taken = connection
        .prepare_cached(sql::UNFILL)
        .and_then(|mut unfill| unfill.execute([]));
    Ok(taken.map_err(store_error)? > 0)
}

fn page_size(connection: &Connection) -> Result<i64, StoreError> {
    let size = connection.query_row(sql::PAGE_SIZE, [], |row| row.get(0));
    size.map_err(store_error)
}
