//! The record form: how a process is kept as bytes, and how it is written as JSON.
//!
//! Both are one [`Form`], spelled once; they differ in how a time is written. What is read back is
//! checked against the laws of the machine, whoever wrote it.

use std::borrow::Cow;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::file::{File, FileText, Tag};
use crate::id::{FileId, RequestId};
use crate::laws;
use crate::limits::RECORD_BYTES;
use crate::pipeline::Pipeline;
use crate::process::{
    Attempt, AttemptEnd, Module, ModuleState, Outcome, Process, Standing, Version,
};
use crate::time;
use crate::work::{Failure, Progress};

/// The version of the record form that is written: the first byte of every record.
pub const RECORD_VERSION: u8 = 1;

/// Why bytes are no record.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RecordError {
    /// A newer milepost wrote it. It is never rewritten: read it with that one.
    #[error(
        "the record has version {version}, and this milepost reads up to {RECORD_VERSION}: use a newer one"
    )]
    Incompatible {
        /// The version it says.
        version: u8,
    },
    /// It was damaged, or never was one.
    #[error("the record is damaged: {broken}")]
    Corrupt {
        /// What does not hold.
        broken: &'static str,
    },
}

fn corrupt(broken: &'static str) -> RecordError {
    RecordError::Corrupt { broken }
}

impl Process {
    /// Appends the record form to `out`: what stores keep. At most 256 KiB.
    ///
    /// Compact and versioned: the first byte is the version, the rest
    /// [postcard](https://postcard.jamesmunns.com/wire-format).
    ///
    /// # Panics
    ///
    /// Never, unless memory runs out.
    pub fn to_record(&self, out: &mut Vec<u8>) {
        let base = self.created_at.timestamp_micros();
        let form = Form::of(self, |time| time.timestamp_micros() - base);
        out.push(RECORD_VERSION);
        let head = (base, form);
        let written = postcard::to_extend(&head, std::mem::take(out));
        *out = written.expect("a vector takes all that is written");
    }

    /// Reads the record form, and checks it against the laws of the machine.
    ///
    /// # Errors
    ///
    /// [`RecordError::Incompatible`] for a newer version, [`RecordError::Corrupt`] for whatever else is
    /// not what [`to_record`](Process::to_record) writes.
    pub fn from_record(bytes: &[u8]) -> Result<Self, RecordError> {
        match bytes.first() {
            None => return Err(corrupt("it is empty")),
            Some(&RECORD_VERSION) => {}
            Some(0) => return Err(corrupt("there is no version 0")),
            Some(&version) => return Err(RecordError::Incompatible { version }),
        }
        if bytes.len() > RECORD_BYTES {
            return Err(corrupt("it is over 256 KiB"));
        }
        let read = postcard::take_from_bytes::<(i64, Form<'_, i64>)>(&bytes[1..]);
        let ((base, form), rest) = read.map_err(|_| corrupt("its form cannot be read"))?;
        if !rest.is_empty() {
            return Err(corrupt("something follows it"));
        }
        let base =
            DateTime::from_timestamp_micros(base).ok_or(corrupt("a time is out of range"))?;
        let time = |delta| base.checked_add_signed(TimeDelta::microseconds(delta));
        form.into_process(time).map_err(corrupt)
    }
}

/// The native JSON form: every field of the record, times in RFC 3339. Not the wire form of a report.
impl Serialize for Process {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Form::of(self, |time| time).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Process {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let form = Form::<DateTime<Utc>>::deserialize(deserializer)?;
        form.into_process(Some).map_err(serde::de::Error::custom)
    }
}

/// A process as plain data, with times of type `T`. The order of the fields is the record form's.
#[derive(Serialize, Deserialize)]
#[serde(bound(deserialize = "T: Deserialize<'de>"))]
struct Form<'a, T> {
    request_id: RequestId,
    born: u64,
    revision: u64,
    run: u32,
    created_at: T,
    updated_at: T,
    expires_at: Option<T>,
    #[serde(borrow)]
    outcome: OutcomeForm<'a, T>,
    #[serde(borrow)]
    pipeline: Cow<'a, str>,
    parallel: bool,
    #[serde(borrow)]
    file: FileForm<'a>,
    #[serde(borrow)]
    modules: Vec<ModuleForm<'a, T>>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase", bound(deserialize = "T: Deserialize<'de>"))]
enum OutcomeForm<'a, T> {
    Ongoing,
    Complete {
        at: T,
    },
    Failed {
        at: T,
        index: u16,
    },
    Cancelled {
        at: T,
        #[serde(borrow)]
        reason: Cow<'a, str>,
    },
}

#[derive(Serialize, Deserialize)]
struct FileForm<'a> {
    id: FileId,
    generated: bool,
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(borrow)]
    directory: Cow<'a, str>,
    #[serde(borrow)]
    tags: Vec<TagForm<'a>>,
    #[serde(borrow)]
    description: Option<TextForm<'a>>,
}

#[derive(Serialize, Deserialize)]
struct TagForm<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(borrow)]
    value: Cow<'a, str>,
}

/// A text inside an option: serde borrows it only when it has a type of its own.
#[derive(Serialize, Deserialize)]
#[serde(transparent)]
struct TextForm<'a>(#[serde(borrow)] Cow<'a, str>);

#[derive(Serialize, Deserialize)]
#[serde(bound(deserialize = "T: Deserialize<'de>"))]
struct ModuleForm<'a, T> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    attempt: u32,
    #[serde(borrow)]
    state: StateForm<'a, T>,
    #[serde(borrow)]
    progress: Option<ProgressForm<'a, T>>,
    #[serde(borrow)]
    attempts: Vec<AttemptForm<'a, T>>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase", bound(deserialize = "T: Deserialize<'de>"))]
enum StateForm<'a, T> {
    Pending,
    Running {
        since: T,
    },
    Complete {
        started: T,
        ended: T,
    },
    Failed {
        started: T,
        ended: T,
        #[serde(borrow)]
        failure: FailureForm<'a>,
    },
    Skipped {
        at: T,
        #[serde(borrow)]
        reason: Cow<'a, str>,
    },
    Cancelled {
        started: Option<T>,
        at: T,
    },
}

#[derive(Serialize, Deserialize)]
struct FailureForm<'a> {
    #[serde(borrow)]
    reason: Cow<'a, str>,
    #[serde(borrow)]
    message: Cow<'a, str>,
}

#[derive(Serialize, Deserialize)]
#[serde(bound(deserialize = "T: Deserialize<'de>"))]
struct ProgressForm<'a, T> {
    done: u64,
    total: Option<u64>,
    #[serde(borrow)]
    unit: Option<TextForm<'a>>,
    #[serde(borrow)]
    message: Option<TextForm<'a>>,
    at: T,
}

#[derive(Serialize, Deserialize)]
#[serde(bound(deserialize = "T: Deserialize<'de>"))]
struct AttemptForm<'a, T> {
    number: u32,
    run: u32,
    revision: u64,
    started: Option<T>,
    ended: T,
    #[serde(borrow)]
    end: EndForm<'a>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum EndForm<'a> {
    Failed(#[serde(borrow)] FailureForm<'a>),
    Retried(#[serde(borrow)] FailureForm<'a>),
    Cancelled(#[serde(borrow)] Cow<'a, str>),
    Interrupted,
}

// From a process to its form: nothing is copied but the lists.

impl<'a, T> Form<'a, T> {
    fn of(process: &'a Process, time: impl Fn(DateTime<Utc>) -> T + Copy) -> Self {
        let file = process.file.text();
        Form {
            request_id: process.request_id,
            born: process.version.born,
            revision: process.version.revision,
            run: process.run,
            created_at: time(process.created_at),
            updated_at: time(process.updated_at),
            expires_at: process.expires_at.map(time),
            outcome: match &process.outcome {
                Outcome::Ongoing => OutcomeForm::Ongoing,
                Outcome::Complete { at } => OutcomeForm::Complete { at: time(*at) },
                Outcome::Failed { at, index } => OutcomeForm::Failed {
                    at: time(*at),
                    index: process.modules[*index].index,
                },
                Outcome::Cancelled { at, reason } => OutcomeForm::Cancelled {
                    at: time(*at),
                    reason: Cow::Borrowed(reason),
                },
            },
            pipeline: Cow::Borrowed(process.pipeline.name()),
            parallel: process.pipeline.is_parallel(),
            file: FileForm {
                id: file.id,
                generated: file.generated,
                name: Cow::Borrowed(&file.name),
                directory: Cow::Borrowed(&file.directory),
                tags: file
                    .tags
                    .iter()
                    .map(|tag| TagForm {
                        name: Cow::Borrowed(tag.name()),
                        value: Cow::Borrowed(tag.value()),
                    })
                    .collect(),
                description: TextForm::of(file.description.as_deref()),
            },
            modules: process
                .modules
                .iter()
                .map(|module| ModuleForm::of(module, time))
                .collect(),
        }
    }
}

impl<'a> TextForm<'a> {
    fn of(text: Option<&'a str>) -> Option<Self> {
        text.map(|text| TextForm(Cow::Borrowed(text)))
    }
}

impl<'a, T> ModuleForm<'a, T> {
    fn of(module: &'a Module, time: impl Fn(DateTime<Utc>) -> T + Copy) -> Self {
        ModuleForm {
            name: Cow::Borrowed(module.name()),
            attempt: module.attempt,
            state: match &module.state {
                ModuleState::Pending => StateForm::Pending,
                ModuleState::Running { since } => StateForm::Running {
                    since: time(*since),
                },
                ModuleState::Complete { started, ended } => StateForm::Complete {
                    started: time(*started),
                    ended: time(*ended),
                },
                ModuleState::Failed {
                    started,
                    ended,
                    failure,
                } => StateForm::Failed {
                    started: time(*started),
                    ended: time(*ended),
                    failure: FailureForm::of(failure),
                },
                ModuleState::Skipped { at, reason } => StateForm::Skipped {
                    at: time(*at),
                    reason: Cow::Borrowed(reason),
                },
                ModuleState::Cancelled { started, at } => StateForm::Cancelled {
                    started: started.map(time),
                    at: time(*at),
                },
            },
            progress: module.progress.as_ref().map(|standing| ProgressForm {
                done: standing.progress.done,
                total: standing.progress.total,
                unit: TextForm::of(standing.progress.unit.as_deref()),
                message: TextForm::of(standing.progress.message.as_deref()),
                at: time(standing.at),
            }),
            attempts: module
                .attempts
                .iter()
                .map(|attempt| AttemptForm::of(attempt, time))
                .collect(),
        }
    }
}

impl<'a> FailureForm<'a> {
    fn of(failure: &'a Failure) -> Self {
        FailureForm {
            reason: Cow::Borrowed(failure.reason()),
            message: Cow::Borrowed(failure.message()),
        }
    }

    fn into_failure(self) -> Failure {
        Failure::new(&self.reason, &self.message)
    }
}

impl<'a, T> AttemptForm<'a, T> {
    fn of(attempt: &'a Attempt, time: impl Fn(DateTime<Utc>) -> T + Copy) -> Self {
        AttemptForm {
            number: attempt.number,
            run: attempt.run,
            revision: attempt.revision,
            started: attempt.started.map(time),
            ended: time(attempt.ended),
            end: match &attempt.end {
                AttemptEnd::Failed(failure) => EndForm::Failed(FailureForm::of(failure)),
                AttemptEnd::Retried(failure) => EndForm::Retried(FailureForm::of(failure)),
                AttemptEnd::Cancelled(reason) => EndForm::Cancelled(Cow::Borrowed(reason)),
                AttemptEnd::Interrupted => EndForm::Interrupted,
            },
        }
    }
}

// From a form to a process: `time` turns one of the form's times into a real one, or into nothing if it
// is out of range.

impl<T> Form<'_, T> {
    fn into_process(
        self,
        time: impl Fn(T) -> Option<DateTime<Utc>>,
    ) -> Result<Process, laws::Broken> {
        let time = |at: T| {
            time(at)
                .map(time::to_micros)
                .ok_or("a time is out of range")
        };
        let names = self.modules.iter().map(|module| &*module.name);
        let chain =
            Pipeline::new(&self.pipeline, names).map_err(|_| "the pipeline cannot be built")?;
        let pipeline = if self.parallel {
            chain.parallel()
        } else {
            chain
        };
        let modules = self
            .modules
            .into_iter()
            .enumerate()
            .map(|(index, module)| module.into_module(&pipeline, index, &time))
            .collect::<Result<_, _>>()?;
        let process = Process {
            request_id: self.request_id,
            version: Version {
                born: self.born,
                revision: self.revision,
            },
            run: self.run,
            file: self.file.into_file(),
            created_at: time(self.created_at)?,
            updated_at: time(self.updated_at)?,
            expires_at: self.expires_at.map(&time).transpose()?,
            outcome: match self.outcome {
                OutcomeForm::Ongoing => Outcome::Ongoing,
                OutcomeForm::Complete { at } => Outcome::Complete { at: time(at)? },
                OutcomeForm::Failed { at, index } => Outcome::Failed {
                    at: time(at)?,
                    index: index.into(),
                },
                OutcomeForm::Cancelled { at, reason } => Outcome::Cancelled {
                    at: time(at)?,
                    reason: reason.into(),
                },
            },
            modules,
            pipeline,
        };
        laws::check(&process)?;
        Ok(process)
    }
}

impl FileForm<'_> {
    fn into_file(self) -> File {
        File::from_text(FileText {
            id: self.id,
            name: self.name.into(),
            directory: self.directory.into(),
            tags: self
                .tags
                .iter()
                .map(|tag| Tag::new(&tag.name, &tag.value))
                .collect(),
            description: self.description.map(|text| text.0.into()),
            generated: self.generated,
        })
    }
}

impl<T> ModuleForm<'_, T> {
    fn into_module(
        self,
        pipeline: &Pipeline,
        index: usize,
        time: &impl Fn(T) -> Result<DateTime<Utc>, laws::Broken>,
    ) -> Result<Module, laws::Broken> {
        let state = match self.state {
            StateForm::Pending => ModuleState::Pending,
            StateForm::Running { since } => ModuleState::Running {
                since: time(since)?,
            },
            StateForm::Complete { started, ended } => ModuleState::Complete {
                started: time(started)?,
                ended: time(ended)?,
            },
            StateForm::Failed {
                started,
                ended,
                failure,
            } => ModuleState::Failed {
                started: time(started)?,
                ended: time(ended)?,
                failure: failure.into_failure(),
            },
            StateForm::Skipped { at, reason } => ModuleState::Skipped {
                at: time(at)?,
                reason: Arc::from(&*reason),
            },
            StateForm::Cancelled { started, at } => ModuleState::Cancelled {
                started: started.map(time).transpose()?,
                at: time(at)?,
            },
        };
        let progress = self.progress.map(|form| {
            let progress = Progress {
                done: form.done,
                total: form.total,
                unit: form.unit.map(|text| text.0.into()),
                message: form.message.map(|text| text.0.into()),
            };
            Ok::<_, laws::Broken>(Box::new(Standing {
                progress,
                at: time(form.at)?,
            }))
        });
        let attempts = self
            .attempts
            .into_iter()
            .map(|attempt| attempt.into_attempt(time));
        Ok(Module {
            state,
            attempt: self.attempt,
            progress: progress.transpose()?,
            attempts: attempts.collect::<Result<_, _>>()?,
            ..Module::pending(pipeline, index)
        })
    }
}

impl<T> AttemptForm<'_, T> {
    fn into_attempt(
        self,
        time: &impl Fn(T) -> Result<DateTime<Utc>, laws::Broken>,
    ) -> Result<Attempt, laws::Broken> {
        Ok(Attempt {
            number: self.number,
            run: self.run,
            revision: self.revision,
            started: self.started.map(time).transpose()?,
            ended: time(self.ended)?,
            end: match self.end {
                EndForm::Failed(failure) => AttemptEnd::Failed(failure.into_failure()),
                EndForm::Retried(failure) => AttemptEnd::Retried(failure.into_failure()),
                EndForm::Cancelled(reason) => AttemptEnd::Cancelled(Arc::from(&*reason)),
                EndForm::Interrupted => AttemptEnd::Interrupted,
            },
        })
    }
}
