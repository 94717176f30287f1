//! Processes from JSON lines.

use std::io::{self, BufRead, Read};
use std::sync::Arc;

use milepost_core::{Process, RequestId, TrackError, Tracker, limits};

use crate::intake::{Imported, Intake};

/// A line is over this, its end included, only if it is no record: escapes can make a record of [`limits::RECORD_BYTES`]
/// six times as long, and names of fields add to that.
const LINE_BYTES: usize = 16 * limits::RECORD_BYTES;

/// Takes in what [`export`](crate::Export::export) wrote: from an archive, or from another store.
///
/// # Examples
///
/// ```
/// # use milepost::{MemoryStore, NewProcess, Pipeline, Query, Tracker};
/// use milepost::{Export, Import};
///
/// # let old = Tracker::new(MemoryStore::new());
/// # let new = Tracker::new(MemoryStore::new());
/// # let pipeline = Pipeline::new("invoice-ocr", ["ocr", "parser"])?;
/// # let process = old.begin(NewProcess::new(&pipeline))?;
/// let mut lines = Vec::new();
/// old.export(&Query::new(), &mut lines)?;
///
/// let imported = new.import(&*lines, |id, why| eprintln!("{id} is left out: {why}"))?;
/// assert_eq!((imported.new, imported.refused), (1, 0));
/// assert_eq!(new.get(process.request_id())?, old.get(process.request_id())?);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait Import {
    /// Makes each process exist that stands in a line, as it stands there: with its version, its history and its claim.
    ///
    /// Nothing is overwritten, see [`Change::import`](milepost_core::Change::import), which says too what to see to where processes had gone on, had
    /// expired or were erased since they were exported. What is there already counts as present, so that an import that was
    /// broken off is taken up by importing the same lines again; of two states of one process the first one counts, so
    /// import the newest export first.
    ///
    /// `refused` is told of each process that is left out and why: it has expired meanwhile, another goes by its id, or what
    /// the store has of it is damaged. The import goes on. Empty lines are skipped.
    ///
    /// The lines come in batches, so that memory is bounded whatever their number. They are checked as any input, and still
    /// import none from whom you would not let write: they say who holds a process, and until when.
    ///
    /// # Errors
    ///
    /// Of the store, or of the reader, or of a line that is no record.
    fn import(
        &self,
        reader: impl BufRead,
        refused: impl FnMut(RequestId, &TrackError),
    ) -> Result<Imported, ImportError>;
}

/// Why an import stopped. Importing the same lines again goes on from there.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImportError {
    /// Processes could not be written. What stands in the lines before, but for some hundreds at most, is imported.
    #[error(transparent)]
    Track(#[from] TrackError),
    /// The lines could not be read. What stands in those before is imported.
    #[error("line {line} cannot be read: see what its source says, and import again")]
    Read {
        /// Which, from 1.
        line: u64,
        /// What the reader says.
        #[source]
        source: io::Error,
    },
    /// A line is no record of a process, or not a lawful one. What stands in the lines before is imported.
    #[error("line {line} is no record of a process: mend it or take it out, and import again")]
    Line {
        /// Which, from 1.
        line: u64,
        /// What is wrong with it.
        #[source]
        source: serde_json::Error,
    },
    /// A line is far longer than any record can be. What stands in the lines before is imported.
    #[error("line {line} is over {LINE_BYTES} bytes: take it out, and import again")]
    TooLong {
        /// Which, from 1.
        line: u64,
    },
}

impl Import for Tracker {
    fn import(
        &self,
        reader: impl BufRead,
        mut refused: impl FnMut(RequestId, &TrackError),
    ) -> Result<Imported, ImportError> {
        let mut lines = Lines {
            reader,
            number: 0,
            text: Vec::new(),
        };
        let mut intake = Intake::new(self, &mut refused);
        loop {
            match lines.next() {
                Ok(Some(process)) => intake.push(Arc::new(process))?,
                Ok(None) => return Ok(intake.finish()?),
                Err(error) => {
                    intake.finish()?;
                    return Err(error);
                }
            }
        }
    }
}

/// Lines of which each is a process.
struct Lines<R> {
    reader: R,
    number: u64,
    text: Vec<u8>,
}

impl<R: BufRead> Lines<R> {
    /// The process in the next line that is not empty; none at the end.
    fn next(&mut self) -> Result<Option<Process>, ImportError> {
        loop {
            self.number += 1;
            let line = self.number;
            self.text.clear();
            let mut reader = self.reader.by_ref().take(LINE_BYTES as u64 + 1);
            let read = reader.read_until(b'\n', &mut self.text);
            if read.map_err(|source| ImportError::Read { line, source })? == 0 {
                return Ok(None);
            }
            if self.text.len() > LINE_BYTES {
                return Err(ImportError::TooLong { line });
            }
            if !self.text.trim_ascii().is_empty() {
                let process = serde_json::from_slice(&self.text);
                return process
                    .map(Some)
                    .map_err(|source| ImportError::Line { line, source });
            }
        }
    }
}
