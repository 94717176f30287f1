//! From a process to its body.

use chrono::{DateTime, Utc};
use postcard::Serializer;
use postcard::ser_flavors::Flavor;
use serde::Serialize;

use super::{
    BORN, CLAIMED, DESCRIBED, DETAILED, GENERATED, PARALLEL, PLAIN, TAGGED, WISHED, born_of, kind,
    reserve,
};
use crate::form::{AttemptForm, ClaimForm, FailureForm, ProgressForm, TagForm, WishForm};
use crate::module::{Module, ModuleState};
use crate::process::{Outcome, Process};
use crate::record::RECORD_VERSION;

impl Process {
    /// Appends the body to `out`: all of the record but the request id and what
    /// [`Indexed`](crate::Indexed) holds, for stores that keep those in columns.
    ///
    /// It ends in zeros, which keep its length the same while modules start and complete: a row that is
    /// replaced by one of the same length stays where it is.
    ///
    /// # Panics
    ///
    /// Never, unless memory runs out.
    pub fn to_body(&self, out: &mut Vec<u8>) {
        // What most bodies take, at once.
        let text = self.file.text_bytes() + self.pipeline.text_bytes();
        out.reserve(32 + text + self.modules.len() * (reserve::MODULE + 2));
        out.push(RECORD_VERSION);
        out.extend(self.modules.iter().map(state));
        let flags = flags(self);
        out.extend_from_slice(&[0, flags]);
        if flags & BORN != 0 {
            out.extend_from_slice(&self.version.born.to_le_bytes());
        }
        let mut writer = Writer {
            output: Serializer {
                output: Appended(out),
            },
            last: micros(self.created_at),
            unused: 0,
        };
        writer.process(self);
        let unused = writer.unused;
        out.resize(out.len() + unused, 0);
    }
}

/// The byte of a module's state.
fn state(module: &Module) -> u8 {
    let letters = if module.has_details() {
        DETAILED
    } else {
        PLAIN
    };
    letters + kind(&module.state)
}

fn flags(process: &Process) -> u8 {
    let flag = |is_set: bool, flag: u8| if is_set { flag } else { 0 };
    flag(process.pipeline.is_parallel(), PARALLEL)
        | flag(process.file.is_generated(), GENERATED)
        | flag(process.file.description().is_some(), DESCRIBED)
        | flag(!process.file.tags().is_empty(), TAGGED)
        | flag(process.claim.is_some(), CLAIMED)
        | flag(process.cancel_request.is_some(), WISHED)
        | flag(process.version.born != born_of(process.request_id), BORN)
}

/// Where postcard writes to.
struct Appended<'v>(&'v mut Vec<u8>);

impl Flavor for Appended<'_> {
    type Output = ();

    fn try_push(&mut self, byte: u8) -> postcard::Result<()> {
        self.0.push(byte);
        Ok(())
    }

    fn try_extend(&mut self, bytes: &[u8]) -> postcard::Result<()> {
        self.0.extend_from_slice(bytes);
        Ok(())
    }

    fn finalize(self) -> postcard::Result<()> {
        Ok(())
    }
}

struct Writer<'v> {
    output: Serializer<Appended<'v>>,
    /// The time that was written last.
    last: i64,
    /// How much of what is reserved is not used.
    unused: usize,
}

fn micros(time: DateTime<Utc>) -> i64 {
    time.timestamp_micros()
}

impl Writer<'_> {
    fn process(&mut self, process: &Process) {
        self.reserving(reserve::REVISION, |writer| {
            writer.write(process.version.revision);
        });
        self.write(process.run);
        let lengths = process.pipeline.module_lengths();
        self.output.output.0.extend(lengths);
        self.bytes(process.pipeline.module_names().as_bytes());
        self.write(process.file.name());
        if let Some(description) = process.file.description() {
            self.write(description);
        }
        if !process.file.tags().is_empty() {
            let tags = process.file.tags().iter().map(TagForm::of);
            self.write(tags.collect::<Vec<_>>());
        }
        for module in &process.modules {
            self.module(module);
        }
        self.time(process.updated_at);
        match &process.outcome {
            Outcome::Ongoing => self.unused += reserve::SETTLED_AT,
            Outcome::Complete { .. } => {}
            Outcome::Failed { index, .. } => self.write(process.modules[*index].details.index),
            Outcome::Cancelled { reason, .. } => self.write(&***reason),
        }
        if let Some(claim) = process.claim() {
            self.write(ClaimForm::of(claim, micros));
        }
        if let Some(wish) = process.cancel_requested() {
            self.write(WishForm::of(wish, micros));
        }
    }

    fn module(&mut self, module: &Module) {
        self.reserving(reserve::MODULE, |writer| writer.times(&module.state));
        match &module.state {
            ModuleState::Failed { failure, .. } => self.write(FailureForm::of(failure)),
            ModuleState::Skipped { reason, .. } => self.write(&**reason),
            ModuleState::Pending
            | ModuleState::Running { .. }
            | ModuleState::Complete { .. }
            | ModuleState::Cancelled { .. } => {}
        }
        if module.has_details() {
            self.write(module.attempt());
            let progress = module.details.progress.as_ref();
            self.write(progress.map(|standing| ProgressForm::of(standing, micros)));
            let attempts = module.attempts().iter();
            let attempts = attempts.map(|attempt| AttemptForm::of(attempt, micros));
            self.write(attempts.collect::<Vec<_>>());
        }
    }

    fn times(&mut self, state: &ModuleState) {
        match *state {
            ModuleState::Pending => {}
            ModuleState::Running { since: at } | ModuleState::Skipped { at, .. } => self.time(at),
            ModuleState::Complete { started, ended }
            | ModuleState::Failed { started, ended, .. } => {
                self.time(started);
                self.time(ended);
            }
            ModuleState::Cancelled { started, at } => {
                self.write(started.is_some());
                if let Some(started) = started {
                    self.time(started);
                }
                self.time(at);
            }
        }
    }

    fn time(&mut self, time: DateTime<Utc>) {
        let micros = micros(time);
        self.write(micros - self.last);
        self.last = micros;
    }

    /// Writes something that may take `bytes`, and notes how many it leaves.
    fn reserving(&mut self, bytes: usize, write: impl FnOnce(&mut Self)) {
        let before = self.len();
        write(self);
        self.unused += bytes.saturating_sub(self.len() - before);
    }

    fn write(&mut self, value: impl Serialize) {
        let written = value.serialize(&mut self.output);
        written.expect("a vector takes all that is written");
    }

    /// Appends bytes as they are.
    fn bytes(&mut self, bytes: &[u8]) {
        self.output.output.0.extend_from_slice(bytes);
    }

    fn len(&self) -> usize {
        self.output.output.0.len()
    }
}
