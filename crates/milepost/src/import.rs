//! Processes from JSON lines.

use std::io::{self, BufRead, Read};

use milepost_core::{Applied, Change, Op, Process, RequestId, TrackError, Tracker, limits};

/// A line is over this, its end included, only if it is no record: escapes can make a record of [`limits::RECORD_BYTES`]
/// six times as long, and names of fields add to that.
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
/// assert_eq!((imported.new, imported.refused), (1, 0));
/// assert_eq!(new.get(process.request_id())?, old.get(process.request_id())?);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait Import {
    /// Makes each process exist that stands in a line, as it stands there: with its version, its history and its claim.
    ///
    /// Nothing is overwritten, see [`Change::import`], which says too what to see to where processes had gone on, had
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

/// What an import came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Imported {
    /// How many processes exist that did not before.
    pub new: u64,
    /// How many existed already, as they stand in their lines.
    pub present: u64,
    /// How many existed already, and further on than in their lines: the same process has gone on in this store.
    pub ahead: u64,
    /// How many were left out.
    pub refused: u64,
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
        let mut imported = Imported::default();
        let (mut batch, mut bytes) = (Vec::new(), 0);
        loop {
            let next = lines.next();
            if let Ok(Some(process)) = next {
                let op = self.op(process.request_id(), Change::import(process));
                bytes += op.bytes();
                batch.push(op);
                if batch.len() < BATCH && bytes < BATCH_BYTES {
                    continue;
                }
                imported.take_in(self, std::mem::take(&mut batch), &mut refused)?;
                bytes = 0;
            } else {
                imported.take_in(self, batch, &mut refused)?;
                return next.map(|_| imported);
            }
        }
    }
}

impl Imported {
    fn take_in(
        &mut self,
        tracker: &Tracker,
        batch: Vec<Op>,
        refused: &mut impl FnMut(RequestId, &TrackError),
    ) -> Result<(), TrackError> {
        if batch.is_empty() {
            return Ok(());
        }
        // The first of them may have waited long for the reader.
        let ops = batch.into_iter().map(|op| tracker.op(op.id, op.change));
        let ops = ops.collect::<Vec<_>>();
        match tracker.apply(&ops) {
            Ok(verdicts) => {
                for (op, verdict) in ops.iter().zip(verdicts) {
                    self.count(op, verdict.map_err(TrackError::from), refused);
                }
                Ok(())
            }
            Err(TrackError::Store(error)) if error.kind().may_concern_one() => {
                if let [op] = &*ops {
                    self.count(op, Err(error.into()), refused);
                    return Ok(());
                }
                // One that is damaged here keeps no other back.
                ops.into_iter()
                    .try_for_each(|op| self.take_in(tracker, vec![op], refused))
            }
            Err(error) => Err(error),
        }
    }

    fn count(
        &mut self,
        op: &Op,
        verdict: Result<Applied, TrackError>,
        refused: &mut impl FnMut(RequestId, &TrackError),
    ) {
        let Change::Import(process) = &op.change else {
            unreachable!("nothing else is sent")
        };
        match verdict {
            Ok(applied) if applied.changed => self.new += 1,
            Ok(applied) if applied.version == process.version() => self.present += 1,
            Ok(_) => self.ahead += 1,
            Err(error) => {
                self.refused += 1;
                refused(op.id, &error);
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
