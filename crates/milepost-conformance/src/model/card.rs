//! What the model knows of a process, and what can be done to one.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use milepost_core::{
    AttemptEnd, ClaimEnd, Conflict, Failure, FileId, ModuleState, OverallStatus, Process, Progress,
    ReapPolicy, Version,
};

use super::{Answer, Entry};

/// A process, as plain as can be. What a store holds is brought into this form by its getters.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Card {
    pub(crate) version: Version,
    pub(crate) run: u32,
    pub(crate) pipeline: String,
    pub(crate) parallel: bool,
    pub(crate) modules: Vec<Step>,
    pub(crate) file_id: FileId,
    pub(crate) file_name: String,
    pub(crate) directory: String,
    pub(crate) tags: Vec<(String, String)>,
    pub(crate) description: Option<String>,
    pub(crate) created_at: DateTime<Utc>,
    pub(crate) updated_at: DateTime<Utc>,
    pub(crate) expires_at: Option<DateTime<Utc>>,
    pub(crate) status: OverallStatus,
    pub(crate) settled_at: Option<DateTime<Utc>>,
    /// The module at fault, if there is one, with reason and message.
    pub(crate) blame: Option<(Option<usize>, String, String)>,
    pub(crate) hold: Option<Hold>,
    /// Why it is to be cancelled, and since when, where somebody wishes that.
    pub(crate) wish: Option<(String, DateTime<Utc>)>,
}

/// Who has claimed a process last.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Hold {
    pub(crate) token: u64,
    pub(crate) mark: u64,
    pub(crate) worker: String,
    pub(crate) since: DateTime<Utc>,
    pub(crate) heard: DateTime<Utc>,
    pub(crate) until: DateTime<Utc>,
    pub(crate) end: Option<ClaimEnd>,
}

/// A module.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Step {
    pub(crate) name: String,
    pub(crate) attempt: u32,
    pub(crate) state: ModuleState,
    pub(crate) progress: Option<(Progress, DateTime<Utc>)>,
    pub(crate) past: Vec<Past>,
}

/// A past attempt.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Past {
    pub(crate) number: u32,
    pub(crate) run: u32,
    pub(crate) started: Option<DateTime<Utc>>,
    pub(crate) ended: DateTime<Utc>,
    pub(crate) end: AttemptEnd,
}

/// What can be done to a process. Modules are given by position.
#[derive(Debug, Clone)]
pub(crate) enum Deed {
    Create(Box<Fresh>),
    Start(usize),
    Progress(usize, Progress),
    Complete(usize),
    Fail(usize, Failure),
    Skip(usize, String),
    Retry(usize, Failure),
    Cancel(String),
    Rerun,
    Update(Renewal),
    Erase,
    Claim(Claiming),
    Renew(Duration),
    Release,
    Reap(u64, ReapPolicy),
    Wish(String),
    /// A process as it stood once.
    Import(Box<Entry>),
}

/// A claim that is to be made.
#[derive(Debug, Clone)]
pub(crate) struct Claiming {
    pub(crate) worker: String,
    pub(crate) ttl: Duration,
    pub(crate) mark: u64,
}

/// A process that is to begin.
#[derive(Debug, Clone)]
pub(crate) struct Fresh {
    pub(crate) card: Card,
    /// Whether the host gave the file's id.
    pub(crate) file_is_given: bool,
}

/// What is to be replaced.
#[derive(Debug, Clone, Default)]
pub(crate) struct Renewal {
    pub(crate) file_name: Option<String>,
    pub(crate) directory: Option<String>,
    pub(crate) tags: Option<Vec<(String, String)>>,
    /// Empty: there is to be none.
    pub(crate) description: Option<String>,
    pub(crate) expiry: Option<Until>,
}

/// A new expiry.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Until {
    At(DateTime<Utc>),
    Seconds(i64),
    Never,
}

/// A condition on cards.
#[derive(Debug, Clone)]
pub(crate) enum Term {
    Pipeline(String),
    Status(Vec<OverallStatus>),
    FileId(FileId),
    FileName(String),
    Prefix(String),
    Directory(String),
    Under(String),
    Tag(String, String),
    Created(DateTime<Utc>, DateTime<Utc>),
    Updated(DateTime<Utc>, DateTime<Utc>),
    Settled(DateTime<Utc>, DateTime<Utc>),
    Stalled(DateTime<Utc>),
}

impl Card {
    /// What the getters show of a process.
    pub(crate) fn of(process: &Process) -> Self {
        let step = |module: &milepost_core::Module| Step {
            name: module.name().to_owned(),
            attempt: module.attempt(),
            state: module.state().clone(),
            progress: module.progress().cloned().zip(module.progress_at()),
            past: module.attempts().iter().map(Past::of).collect(),
        };
        let file = process.file();
        let blame = process.blame().map(|blame| {
            let module = blame.module.map(milepost_core::Module::position);
            (module, blame.reason.to_owned(), blame.message.to_owned())
        });
        let tag = |tag: &milepost_core::Tag| (tag.name().to_owned(), tag.value().to_owned());
        Card {
            version: process.version(),
            run: process.run(),
            pipeline: process.pipeline().to_owned(),
            parallel: process.chain().is_parallel(),
            modules: process.modules().iter().map(step).collect(),
            file_id: file.id(),
            file_name: file.name().to_owned(),
            directory: file.symbolic_directory_path().to_owned(),
            tags: file.tags().iter().map(tag).collect(),
            description: file.description().map(str::to_owned),
            created_at: process.created_at(),
            updated_at: process.updated_at(),
            expires_at: process.expires_at(),
            status: process.status(),
            settled_at: process.settled_at(),
            blame,
            hold: process.claim().map(Hold::of),
            wish: process
                .cancel_requested()
                .map(|wish| (wish.reason().to_owned(), wish.at())),
        }
    }

    pub(crate) fn is_expired(&self, time: DateTime<Utc>) -> bool {
        self.expires_at.is_some_and(|expiry| time >= expiry)
    }

    /// What beginning it again comes to: the same beginning has the same pipeline and any given file.
    pub(super) fn begun_again(&self, fresh: &Fresh) -> Vec<Answer> {
        let other = &fresh.card;
        let names = |card: &Card| {
            card.modules
                .iter()
                .map(|step| step.name.clone())
                .collect::<Vec<_>>()
        };
        let pipeline = self.pipeline != other.pipeline
            || self.parallel != other.parallel
            || names(self) != names(other);
        let file = fresh.file_is_given && self.file_id != other.file_id;
        let mut answers = Vec::new();
        if pipeline {
            answers.push(Answer::Exists(Conflict::Pipeline));
        }
        if file {
            answers.push(Answer::Exists(Conflict::File));
        }
        if answers.is_empty() {
            answers.push(Answer::NoChange);
        }
        answers
    }

    /// Replaces what a renewal names.
    pub(super) fn renewed(&self, renewal: &Renewal, at: DateTime<Utc>) -> Card {
        let mut card = self.clone();
        if let Some(name) = &renewal.file_name {
            card.file_name.clone_from(name);
        }
        if let Some(directory) = &renewal.directory {
            card.directory.clone_from(directory);
        }
        if let Some(tags) = &renewal.tags {
            card.tags.clone_from(tags);
        }
        if let Some(description) = &renewal.description {
            card.description = Some(description.clone()).filter(|text| !text.is_empty());
        }
        match renewal.expiry {
            Some(Until::At(time)) => card.expires_at = Some(time),
            Some(Until::Seconds(span)) => card.expires_at = Some(at + TimeDelta::seconds(span)),
            Some(Until::Never) => card.expires_at = None,
            None => {}
        }
        card
    }
}

impl Hold {
    fn of(claim: &milepost_core::Claim) -> Self {
        Hold {
            token: claim.token(),
            mark: claim.mark(),
            worker: claim.worker().to_owned(),
            since: claim.claimed_at(),
            heard: claim.heard_at(),
            until: claim.until(),
            end: claim.end(),
        }
    }
}

impl Past {
    fn of(attempt: &milepost_core::Attempt) -> Self {
        Past {
            number: attempt.number(),
            run: attempt.run(),
            started: attempt.started(),
            ended: attempt.ended(),
            end: attempt.end().clone(),
        }
    }
}

impl Deed {
    /// The position of the module that it changes.
    pub(crate) fn module(&self) -> Option<usize> {
        match self {
            Deed::Start(module)
            | Deed::Progress(module, _)
            | Deed::Complete(module)
            | Deed::Fail(module, _)
            | Deed::Skip(module, _)
            | Deed::Retry(module, _) => Some(*module),
            Deed::Create(_)
            | Deed::Import(_)
            | Deed::Cancel(_)
            | Deed::Rerun
            | Deed::Update(_)
            | Deed::Erase
            | Deed::Claim(_)
            | Deed::Renew(_)
            | Deed::Release
            | Deed::Reap(..)
            | Deed::Wish(_) => None,
        }
    }

    /// Whether it is wrong in itself, for a process of so many modules.
    pub(super) fn is_wrong(&self, modules: usize) -> bool {
        let nowhere = self
            .module()
            .is_some_and(|module| module == 0 || module > modules);
        let over = matches!(self, Deed::Progress(_, progress) if progress.total.is_some_and(|total| progress.done > total));
        nowhere || over
    }
}

impl Term {
    pub(super) fn takes(&self, card: &Card) -> bool {
        let within = |time: DateTime<Utc>, from: &DateTime<Utc>, before: &DateTime<Utc>| {
            *from <= time && time < *before
        };
        match self {
            Term::Pipeline(name) => card.pipeline == *name,
            Term::Status(any) => any.contains(&card.status),
            Term::FileId(id) => card.file_id == *id,
            Term::FileName(name) => card.file_name == *name,
            Term::Prefix(prefix) => card
                .file_name
                .as_bytes()
                .iter()
                .take(prefix.len())
                .eq(prefix.as_bytes()),
            Term::Directory(path) => card.directory == *path,
            Term::Under(path) => {
                card.directory == *path || card.directory.starts_with(&format!("{path}/"))
            }
            Term::Tag(name, value) => card.tags.contains(&(name.clone(), value.clone())),
            Term::Created(from, before) => within(card.created_at, from, before),
            Term::Updated(from, before) => within(card.updated_at, from, before),
            Term::Settled(from, before) => card
                .settled_at
                .is_some_and(|time| within(time, from, before)),
            Term::Stalled(by) => card.is_stalled(*by),
        }
    }
}
