//! A process as plain data: what the record form and the JSON form are made of.
//!
//! What is read has every field that is written, but for those that a version added, and no other: a field that was lost
//! on the way, or that only a newer milepost knows, would be missed by nobody.

mod read;

pub(crate) use read::BAD_FILE;

use std::borrow::Cow;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Deserializer, Serialize};

use crate::claim::{CancelRequest, Claim, ClaimEnd};
use crate::file::Tag;
use crate::id::{FileId, RequestId};
use crate::module::{Attempt, AttemptEnd, Module, ModuleState, Standing};
use crate::process::{Outcome, Process};
use crate::work::Failure;

/// A process as plain data, with times of type `T`. The order of the fields is the record form's; what a
/// version adds comes last.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, bound(deserialize = "T: Deserialize<'de>"))]
pub(crate) struct Form<'a, T> {
    request_id: RequestId,
    born: u64,
    revision: u64,
    run: u32,
    created_at: T,
    updated_at: T,
    #[serde(deserialize_with = "nullable")]
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
    // Since version 2.
    #[serde(borrow, default)]
    claim: Option<ClaimForm<'a, T>>,
    #[serde(borrow, default)]
    cancel_request: Option<WishForm<'a, T>>,
}

/// A field that may be null and must be there.
fn nullable<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    Option::deserialize(deserializer)
}

#[derive(Serialize, Deserialize)]
#[serde(
    rename_all = "lowercase",
    deny_unknown_fields,
    bound(deserialize = "T: Deserialize<'de>")
)]
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
#[serde(deny_unknown_fields)]
struct FileForm<'a> {
    id: FileId,
    generated: bool,
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(borrow)]
    directory: Cow<'a, str>,
    #[serde(borrow)]
    tags: Vec<TagForm<'a>>,
    #[serde(borrow, deserialize_with = "nullable")]
    description: Option<TextForm<'a>>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TagForm<'a> {
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
#[serde(deny_unknown_fields, bound(deserialize = "T: Deserialize<'de>"))]
struct ModuleForm<'a, T> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    attempt: u32,
    #[serde(borrow)]
    state: StateForm<'a, T>,
    #[serde(borrow, deserialize_with = "nullable")]
    progress: Option<ProgressForm<'a, T>>,
    #[serde(borrow)]
    attempts: Vec<AttemptForm<'a, T>>,
}

#[derive(Serialize, Deserialize)]
#[serde(
    rename_all = "lowercase",
    deny_unknown_fields,
    bound(deserialize = "T: Deserialize<'de>")
)]
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
        #[serde(deserialize_with = "nullable")]
        started: Option<T>,
        at: T,
    },
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FailureForm<'a> {
    #[serde(borrow)]
    reason: Cow<'a, str>,
    #[serde(borrow)]
    message: Cow<'a, str>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, bound(deserialize = "T: Deserialize<'de>"))]
pub(crate) struct ProgressForm<'a, T> {
    done: u64,
    #[serde(deserialize_with = "nullable")]
    total: Option<u64>,
    #[serde(borrow, deserialize_with = "nullable")]
    unit: Option<TextForm<'a>>,
    #[serde(borrow, deserialize_with = "nullable")]
    message: Option<TextForm<'a>>,
    at: T,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, bound(deserialize = "T: Deserialize<'de>"))]
pub(crate) struct AttemptForm<'a, T> {
    number: u32,
    run: u32,
    revision: u64,
    #[serde(deserialize_with = "nullable")]
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

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, bound(deserialize = "T: Deserialize<'de>"))]
pub(crate) struct ClaimForm<'a, T> {
    token: u64,
    mark: u64,
    #[serde(borrow)]
    worker: Cow<'a, str>,
    claimed_at: T,
    heard_at: T,
    until: T,
    #[serde(deserialize_with = "nullable")]
    end: Option<ClaimEndForm<T>>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
enum ClaimEndForm<T> {
    Released { at: T },
    Reaped { at: T },
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, bound(deserialize = "T: Deserialize<'de>"))]
pub(crate) struct WishForm<'a, T> {
    #[serde(borrow)]
    reason: Cow<'a, str>,
    at: T,
}

// From a process to its form: nothing is copied but the lists.

impl<'a, T> Form<'a, T> {
    pub(crate) fn of(process: &'a Process, time: impl Fn(DateTime<Utc>) -> T + Copy) -> Self {
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
                    index: process.modules[*index].details.index,
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
                name: Cow::Borrowed(file.name),
                directory: Cow::Borrowed(file.directory),
                tags: process.file.tags().iter().map(TagForm::of).collect(),
                description: TextForm::of(file.description),
            },
            modules: process
                .modules
                .iter()
                .map(|module| ModuleForm::of(module, time))
                .collect(),
            claim: process.claim().map(|claim| ClaimForm::of(claim, time)),
            cancel_request: process
                .cancel_requested()
                .map(|wish| WishForm::of(wish, time)),
        }
    }
}

impl<'a> TagForm<'a> {
    pub(crate) fn of(tag: &'a Tag) -> Self {
        TagForm {
            name: Cow::Borrowed(tag.name()),
            value: Cow::Borrowed(tag.value()),
        }
    }
}

impl<'a, T> WishForm<'a, T> {
    pub(crate) fn of(wish: &'a CancelRequest, time: impl Fn(DateTime<Utc>) -> T) -> Self {
        WishForm {
            reason: Cow::Borrowed(wish.reason()),
            at: time(wish.at()),
        }
    }
}

impl<'a, T> ProgressForm<'a, T> {
    pub(crate) fn of(standing: &'a Standing, time: impl Fn(DateTime<Utc>) -> T) -> Self {
        ProgressForm {
            done: standing.progress.done,
            total: standing.progress.total,
            unit: TextForm::of(standing.progress.unit.as_deref()),
            message: TextForm::of(standing.progress.message.as_deref()),
            at: time(standing.at),
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
            attempt: module.attempt(),
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
            progress: module
                .details
                .progress
                .as_ref()
                .map(|standing| ProgressForm::of(standing, time)),
            attempts: module
                .attempts()
                .iter()
                .map(|attempt| AttemptForm::of(attempt, time))
                .collect(),
        }
    }
}

impl<'a> FailureForm<'a> {
    pub(crate) fn of(failure: &'a Failure) -> Self {
        FailureForm {
            reason: Cow::Borrowed(failure.reason()),
            message: Cow::Borrowed(failure.message()),
        }
    }

    pub(crate) fn into_failure(self) -> Failure {
        Failure::new(&self.reason, &self.message)
    }
}

impl<'a, T> AttemptForm<'a, T> {
    pub(crate) fn of(attempt: &'a Attempt, time: impl Fn(DateTime<Utc>) -> T + Copy) -> Self {
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

impl<'a, T> ClaimForm<'a, T> {
    pub(crate) fn of(claim: &'a Claim, time: impl Fn(DateTime<Utc>) -> T) -> Self {
        ClaimForm {
            token: claim.token,
            mark: claim.mark,
            worker: Cow::Borrowed(&claim.worker),
            claimed_at: time(claim.claimed_at),
            heard_at: time(claim.heard_at),
            until: time(claim.until),
            end: claim.end.map(|end| match end {
                ClaimEnd::Released { at } => ClaimEndForm::Released { at: time(at) },
                ClaimEnd::Reaped { at } => ClaimEndForm::Reaped { at: time(at) },
            }),
        }
    }
}
