//! Wiping at [`WipeLevel::Media`](milepost_core::WipeLevel::Media): nothing is given back to the file system, so that
//! nothing is there to be overwritten that no program can reach any more.
//!
//! The file keeps its free pages, and the WAL its length, when the store is closed too. A wipe overwrites both where they
//! stand. Free pages: a row of zeros takes them into use, page by page, and its deletion frees them overwritten. The
//! WAL: once all of it is in the file it starts anew, and rows of zeros come and go until it is as long as it was. A
//! reader keeps it from starting anew before that, so that others can write in between.
//!
//! A store that is opened otherwise does give back. So the file notes whether every store has kept to this since it was
//! made.

use std::fs;
use std::time::Duration;

use milepost_core::{StoreError, StoreErrorKind, Wipe, WipeLevel};
use rusqlite::Connection;

use crate::config::SqliteConfig;
use crate::connection::run;
use crate::error::{corrupt, store_error, unavailable};
use crate::medium;
use crate::path::beside;
use crate::pool::Deadline;
use crate::wipe::{BREATH, Progress, READERS_LEAVE, checkpoint, free_pages, move_some, pending};
use crate::{SqliteStore, sql};

/// How many pages one transaction overwrites: others write between two of them.
const FILLED_AT_ONCE: i64 = 256;
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

/// Notes that the file is opened by a store that gives blocks back, before it does.
pub(crate) fn note_opened(
    connection: &Connection,
    config: &SqliteConfig,
    deadline: Deadline,
) -> Result<(), StoreError> {
    if config.wipe_level == WipeLevel::Files && has_kept_blocks(connection)? {
        let note = deadline.retry(|| run(connection, sql::GIVES_BACK_BLOCKS));
        note.map_err(store_error)?;
    }
    Ok(())
}

/// Whether every store that had the file open since it was made gave nothing back.
fn has_kept_blocks(connection: &Connection) -> Result<bool, StoreError> {
    let kept = || {
        let is_noted = connection.prepare_cached(sql::HAS_MEDIA)?.exists([])?;
        Ok(is_noted
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

    /// Wipes without giving anything back.
    pub(crate) fn overwrite_within_budget(&self) -> Result<Wipe, StoreError> {
        let budget = Deadline::after(self.config().wipe_budget);
        // All that was erased before the call.
        let wanted = self.read_transaction(Progress::read)?.erased;
        if self.read_transaction(Progress::read)?.wiped >= wanted {
            return Ok(Wipe::Done);
        }
        self.write_transaction(|connection| {
            connection
                .execute_batch(sql::MAKE_MEDIA)
                .map_err(store_error)
        })?;
        loop {
            let progress = self.read_transaction(Progress::read)?;
            if progress.wiped >= wanted {
                return Ok(Wipe::Done);
            }
            let reason = if progress.compacted < wanted {
                self.write_transaction(move_some)?;
                "the file is being compacted, and is not through yet: call again"
            } else if self.write_transaction(|writer| overwrite_free_pages(writer, wanted))? {
                "the file's free pages are being overwritten: call again"
            } else if self.overwrite_wal(progress.compacted)? {
                continue;
            } else {
                // Writers have waited as long: they are to have their turn before they do again.
                std::thread::sleep(READERS_LEAVE);
                "somebody reads an older state of the file, or writes to it: call again once they have ended"
            };
            if budget.has_passed() {
                return Ok(pending(reason));
            }
            std::thread::sleep(BREATH);
        }
    }

    /// Tries to overwrite the WAL from its beginning to its end, and if it worked notes it in a commit that is synced.
    /// Once begun it is not broken off: whoever came next would begin anew.
    fn overwrite_wal(&self, compacted: i64) -> Result<bool, StoreError> {
        let Some(length) = self.start_wal_anew()? else {
            return Ok(false);
        };
        // From here on nothing but what is written from now on comes into the WAL, from its beginning on.
        let reader = self.reader(self.deadline())?;
        run(&reader, sql::BEGIN_READ).map_err(store_error)?;
        Progress::read(&reader)?;
        let mut fills = length / 200 + 16;
        while self.wal_length()?.is_none_or(|now| now < length) {
            if fills == 0 {
                // Others started it anew again and again: what was overwritten of it is not known.
                return Ok(false);
            }
            fills -= 1;
            self.write_transaction(fill)?;
            std::thread::sleep(BREATH);
        }
        drop(reader);
        self.write_transaction(unfill)?;
        self.note_wiped(compacted)?;
        Ok(true)
    }

    /// Starts the WAL anew; says how many pages long it is then to become until nothing old is in it. None if others
    /// are in the way.
    fn start_wal_anew(&self) -> Result<Option<u64>, StoreError> {
        // So that it can be told from one that did not start anew.
        let enough = FILLED_AT_ONCE.unsigned_abs();
        if self.wal_length()?.is_none_or(|now| now < enough) {
            self.write_transaction(fill)?;
        }
        let writer = self.writer(self.deadline())?;
        checkpoint(&writer, sql::CHECKPOINT)?;
        writer.busy_timeout(READERS_LEAVE).map_err(store_error)?;
        let restarted = checkpoint(&writer, sql::RESTART);
        writer.busy_timeout(Duration::ZERO).map_err(store_error)?;
        let Some(before) = restarted.map(|made| made.pages.filter(|_| made.is_whole))? else {
            return Ok(None);
        };
        drop(writer);
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

/// One step of overwriting the free pages; says whether there was something to do.
fn overwrite_free_pages(connection: &Connection, wanted: i64) -> Result<bool, StoreError> {
    let overwritten: i64 = connection
        .query_row(sql::OVERWRITTEN, [], |row| row.get(0))
        .map_err(store_error)?;
    if overwritten >= wanted {
        return unfill(connection);
    }
    match free_pages(connection)? {
        0 => {
            let noted = connection
                .prepare_cached(sql::NOTE_OVERWRITTEN)
                .and_then(|mut note| note.execute([wanted]));
            if noted.map_err(store_error)? != 1 {
                return Err(corrupt("the row of what was overwritten is missing"));
            }
        }
        free => fill_pages(connection, free.min(FILLED_AT_ONCE))?,
    }
    Ok(true)
}

/// Adds a row of zeros, or takes one away, which too is written as zeros.
fn fill(connection: &Connection) -> Result<(), StoreError> {
    if unfill(connection)? {
        return Ok(());
    }
    fill_pages(connection, FILLED_AT_ONCE)
}

fn fill_pages(connection: &Connection, pages: i64) -> Result<(), StoreError> {
    let bytes = pages * (page_size(connection)? - NEXT_PAGE);
    let filled = connection
        .prepare_cached(sql::FILL)
        .and_then(|mut fill| fill.execute([bytes]));
    filled.map(drop).map_err(store_error)
}

/// Whether there was a row of zeros to take away.
fn unfill(connection: &Connection) -> Result<bool, StoreError> {
    let taken = connection
        .prepare_cached(sql::UNFILL)
        .and_then(|mut unfill| unfill.execute([]));
    Ok(taken.map_err(store_error)? > 0)
}

fn page_size(connection: &Connection) -> Result<i64, StoreError> {
    let size = connection.query_row(sql::PAGE_SIZE, [], |row| row.get(0));
    size.map_err(store_error)
}
