//! Processes from JSON lines.

use std::io::{self, BufRead, Read};

use milepost_core::{Change, Op, Process, Rejection, RequestId, TrackError, Tracker, limits};

/// A line is over this only if it is no record: escapes can make a record of [`limits::RECORD_BYTES`] six times as long,
/// and names of fields add to that.
const LINE_BYTES: usize = 16 * limits::RECORD_BYTES;
/// How many processes, and how many bytes of them, are sent at once.
const BATCH: usize = 500;
const BATCH_BYTES: usize = 4 * 1024 * 1024;

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
/// assert_eq!((imported.new, imported.present, imported.refused), (1, 0, 0));
/// assert_eq!(new.get(process.request_id())?, old.get(process.request_id())?);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait Import {
    /// Makes each process exist that stands in a line, as it stands there: with its version, its history and its claim.
    ///
    /// Nothing is overwritten, see [`Change::import`]. What is there already counts as present, so that an import that
    /// was broken off is taken up by importing again. `refused` is told of each process that is left out and why, such as
    /// one that has expired meanwhile, or whose id another process goes by; the import goes on. Empty lines are skipped.
    ///
    /// The lines come in batches, so that memory is bounded whatever their number.
    ///
    /// # Errors
    ///
    /// Of the store, or of the reader, or of a line that is no record; what stood in the lines before that is imported.
    fn import(
        &self,
        reader: impl BufRead,
        refused: impl FnMut(RequestId, &Rejection),
    ) -> Result<Imported, ImportError>;
}

/// What an import came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Imported {
    /// How many processes exist that did not before.
    pub new: u64,
    /// How many existed already, as they stand in their lines or further on.
    pub present: u64,
    /// How many were left out.
    pub refused: u64,
}

/// Why an import stopped. What came before is imported, and importing again goes on from there.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImportError {
    /// The processes could not be written.
    #[error(transparent)]
    Track(#[from] TrackError),
    /// The lines could not be read.
    #[error("line {line} cannot be read: see what its source says, and import again")]
    Read {
        /// Which, from 1.
        line: u64,
        /// What the reader says.
        #[source]
        source: io::Error,
    },
    /// A line is no record of a process, or not a lawful one.
    #[error("line {line} is no record of a process: mend it or take it out, and import again")]
    Line {
        /// Which, from 1.
        line: u64,
        /// What is wrong with it.
        #[source]
        source: serde_json::Error,
    },
    /// A line is far longer than any record can be.
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
        mut refused: impl FnMut(RequestId, &Rejection),
    ) -> Result<Imported, ImportError> {
        let mut lines = Lines {
            reader,
            number: 0,
            text: Vec::new(),
        };
        let mut imported = Imported::default();
        let (mut batch, mut bytes) = (Vec::with_capacity(BATCH), 0);
        loop {
            let next = lines.next();
            if let Ok(Some(process)) = next {
                let id = process.request_id();
                let op = self.op(id, Change::import(process));
                bytes += op.bytes();
                batch.push(op);
                if batch.len() < BATCH && bytes < BATCH_BYTES {
                    continue;
                }
                imported.send(self, &batch, &mut refused)?;
                (batch, bytes) = (Vec::with_capacity(BATCH), 0);
            } else {
                imported.send(self, &batch, &mut refused)?;
                return next.map(|_| imported);
            }
        }
    }
}

impl Imported {
    fn send(
        &mut self,
        tracker: &Tracker,
        ops: &[Op],
        refused: &mut impl FnMut(RequestId, &Rejection),
    ) -> Result<(), TrackError> {
        for (op, verdict) in ops.iter().zip(tracker.apply(ops)?) {
            match verdict {
                Ok(applied) if applied.changed => self.new += 1,
                Ok(_) => self.present += 1,
                Err(rejection) => {
                    self.refused += 1;
                    refused(op.id, &rejection);
                }
            }
        }
        Ok(())
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
