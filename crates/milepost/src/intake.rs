//! Taking in processes that existed elsewhere, many at a time.

use std::fmt;
use std::sync::Arc;

use milepost_core::{Applied, Change, Op, Process, RequestId, TrackError, Tracker};

/// How many processes, and how many bytes of them, are sent at once.
const BATCH: usize = 500;
const BATCH_BYTES: usize = 4 * 1024 * 1024;

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

impl fmt::Display for Imported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Imported {
            new,
            present,
            ahead,
            refused,
        } = self;
        write!(
            f,
            "{new} new, {present} present, {ahead} ahead, {refused} refused"
        )
    }
}

/// Sends what is pushed, a batch at a time, and counts what becomes of it.
pub(crate) struct Intake<'t, R> {
    tracker: &'t Tracker,
    refused: R,
    batch: Vec<Op>,
    bytes: usize,
    imported: Imported,
}

impl<'t, R: FnMut(RequestId, &TrackError)> Intake<'t, R> {
    /// `refused` is told of each process that is left out.
    pub(crate) fn new(tracker: &'t Tracker, refused: R) -> Self {
        Intake {
            tracker,
            refused,
            batch: Vec::new(),
            bytes: 0,
            imported: Imported::default(),
        }
    }

    /// Takes a process in, with the next batch.
    pub(crate) fn push(&mut self, process: Arc<Process>) -> Result<(), TrackError> {
        let op = self
            .tracker
            .op(process.request_id(), Change::import(process));
        self.bytes += op.bytes();
        self.batch.push(op);
        if self.batch.len() < BATCH && self.bytes < BATCH_BYTES {
            return Ok(());
        }
        self.send()
    }

    /// Sends what has been pushed since the last batch.
    pub(crate) fn send(&mut self) -> Result<(), TrackError> {
        self.bytes = 0;
        let batch = std::mem::take(&mut self.batch);
        self.imported
            .take_in(self.tracker, batch, &mut self.refused)
    }

    /// What has become of those that were sent.
    pub(crate) fn imported(&self) -> Imported {
        self.imported
    }

    /// Sends the rest, and says what has become of all.
    pub(crate) fn finish(mut self) -> Result<Imported, TrackError> {
        self.send()?;
        Ok(self.imported)
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
