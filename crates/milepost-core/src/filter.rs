//! What a store is asked to filter by, and what each term means.

use std::ops::{Bound, RangeBounds};

use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::id::FileId;
use crate::invalid::{Field, Invalid};
use crate::process::{OverallStatus, Process};

/// What a store is asked to filter by: every term must hold.
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct Filter {
    /// What must hold.
    pub terms: Vec<Term>,
    /// When it is asked. Hides what has expired by then, and tells what has stalled by then. None hides
    /// nothing, and counts nothing as stalled.
    pub visible_at: Option<DateTime<Utc>>,
}

/// One condition of a filter. A store that does not know one answers
/// [`Unsupported`](crate::StoreErrorKind::Unsupported); it never ignores one.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub enum Term {
    /// The pipeline's name.
    Pipeline(String),
    /// Any of these overall statuses.
    Status(Vec<OverallStatus>),
    /// The file's id.
    FileId(FileId),
    /// The file's name.
    FileName(String),
    /// The beginning of the file's name.
    FileNamePrefix(String),
    /// The file's directory.
    Directory(String),
    /// The file's directory, or one above it.
    UnderDirectory(String),
    /// A tag of the file.
    Tag {
        /// The tag's name.
        name: String,
        /// The tag's value.
        value: String,
    },
    /// When the process began.
    Created(TimeRange),
    /// When it last changed.
    Updated(TimeRange),
    /// When it settled.
    Settled(TimeRange),
    /// Ongoing, under a lease that has run out: see [`Process::is_stalled`].
    Stalled {
        /// By when. The moment of asking, which is no part of what a cursor is bound to.
        #[serde(skip)]
        by: DateTime<Utc>,
    },
}

/// From one moment until before another, to the microsecond; either may be missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[non_exhaustive]
pub struct TimeRange {
    /// The first moment in it.
    pub from: Option<DateTime<Utc>>,
    /// The first moment after it.
    pub before: Option<DateTime<Utc>>,
}

impl TimeRange {
    /// The moments, counted in microseconds, that lie in `range`.
    #[must_use]
    pub fn new(range: impl RangeBounds<DateTime<Utc>>) -> Self {
        // The first whole microsecond at or after a time; `exclusive` asks for the one after it.
        let at = |time: &DateTime<Utc>, exclusive: bool| {
            let micros = time.timestamp_micros();
            let cut = DateTime::from_timestamp_micros(micros).is_some_and(|whole| whole < *time);
            DateTime::from_timestamp_micros(micros.saturating_add(i64::from(cut || exclusive)))
        };
        // What begins behind the last moment that there is holds nothing, not everything.
        let from = |time, exclusive| at(time, exclusive).or(Some(DateTime::<Utc>::MAX_UTC));
        TimeRange {
            from: match range.start_bound() {
                Bound::Included(time) => from(time, false),
                Bound::Excluded(time) => from(time, true),
                Bound::Unbounded => None,
            },
            before: match range.end_bound() {
                Bound::Included(time) => at(&crate::time::to_micros(*time), true),
                Bound::Excluded(time) => at(time, false),
                Bound::Unbounded => None,
            },
        }
    }

    /// Whether `time` lies in it.
    #[must_use]
    pub fn contains(&self, time: DateTime<Utc>) -> bool {
        self.from.is_none_or(|from| from <= time) && self.before.is_none_or(|before| time < before)
    }
}

/// What indexes hold of a process: enough to judge every [indexed](Term::is_indexed) term.
#[derive(Debug, Clone, Copy, PartialEq)]
#[expect(
    clippy::exhaustive_structs,
    reason = "stores build it from their columns"
)]
pub struct Indexed<'a> {
    /// The pipeline's name.
    pub pipeline: &'a str,
    /// The overall status.
    pub status: OverallStatus,
    /// The file's id.
    pub file_id: FileId,
    /// The file's directory.
    pub directory: &'a str,
    /// When the process began.
    pub created_at: DateTime<Utc>,
    /// When it settled.
    pub settled_at: Option<DateTime<Utc>>,
    /// When it expires.
    pub expires_at: Option<DateTime<Utc>>,
    /// When its lease runs out, or ran out: see [`Process::leased_until`].
    pub leased_until: Option<DateTime<Utc>>,
}

impl<'a> From<&'a Process> for Indexed<'a> {
    fn from(process: &'a Process) -> Self {
        Indexed {
            pipeline: process.pipeline(),
            status: process.status(),
            file_id: process.file().id(),
            directory: process.file().symbolic_directory_path(),
            created_at: process.created_at(),
            settled_at: process.settled_at(),
            expires_at: process.expires_at(),
            leased_until: process.leased_until(),
        }
    }
}

impl Term {
    /// Whether every store keeps an index for it, so that counting by it is exact.
    #[must_use]
    pub fn is_indexed(&self) -> bool {
        self.holds_for(&Indexed::NONE).is_some()
    }

    /// Whether it holds, if an index can tell.
    fn holds_for(&self, indexed: &Indexed<'_>) -> Option<bool> {
        Some(match self {
            Term::Pipeline(name) => indexed.pipeline == name,
            Term::Status(statuses) => statuses.contains(&indexed.status),
            Term::FileId(id) => indexed.file_id == *id,
            Term::Directory(path) => indexed.directory == path,
            Term::UnderDirectory(path) => is_under(indexed.directory, path),
            Term::Created(range) => range.contains(indexed.created_at),
            Term::Settled(range) => indexed.settled_at.is_some_and(|time| range.contains(time)),
            Term::Stalled { by } => indexed.is_stalled(*by),
            Term::FileName(_) | Term::FileNamePrefix(_) | Term::Tag { .. } | Term::Updated(_) => {
                return None;
            }
        })
    }

    fn matches(&self, process: &Process, indexed: &Indexed<'_>) -> bool {
        let file = process.file();
        match self {
            Term::FileName(name) => file.name() == name,
            Term::FileNamePrefix(prefix) => file.name().starts_with(prefix),
            Term::Tag { name, value } => file
                .tags()
                .iter()
                .any(|tag| tag.name() == name && tag.value() == value),
            Term::Updated(range) => range.contains(process.updated_at()),
            Term::Pipeline(_)
            | Term::Status(_)
            | Term::FileId(_)
            | Term::Directory(_)
            | Term::UnderDirectory(_)
            | Term::Created(_)
            | Term::Settled(_)
            | Term::Stalled { .. } => self.holds_for(indexed) == Some(true),
        }
    }

    pub(crate) fn check(&self) -> Result<(), Invalid> {
        match self {
            Term::Pipeline(name) => Field::PipelineName.check(name),
            Term::FileName(name) => Field::FileName.check(name),
            Term::FileNamePrefix(prefix) => Field::FileNamePrefix.check(prefix),
            Term::Directory(path) | Term::UnderDirectory(path) => Field::Directory.check(path),
            Term::Tag { name, value } => {
                Field::TagName.check(name)?;
                Field::TagValue.check(value)
            }
            Term::Status(_)
            | Term::FileId(_)
            | Term::Created(_)
            | Term::Updated(_)
            | Term::Settled(_)
            | Term::Stalled { .. } => Ok(()),
        }
    }
}

/// Whether `directory` is `path` or below it. A slash at the end of `path` says nothing more.
fn is_under(directory: &str, path: &str) -> bool {
    let path = path.trim_end_matches('/');
    directory
        .strip_prefix(path)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

impl Indexed<'_> {
    /// Nobody's: for asking a term what it is about.
    const NONE: Indexed<'static> = Indexed {
        pipeline: "",
        status: OverallStatus::Ongoing,
        file_id: FileId::NIL,
        directory: "",
        created_at: DateTime::UNIX_EPOCH,
        settled_at: None,
        expires_at: None,
        leased_until: None,
    };

    /// Whether its lease has run out by `time`.
    #[must_use]
    pub fn is_stalled(&self, time: DateTime<Utc>) -> bool {
        self.leased_until.is_some_and(|until| until <= time)
    }
}

impl Filter {
    /// A filter that lets everything pass.
    #[must_use]
    pub fn new() -> Self {
        Filter::default()
    }

    /// The filter that also asks for `term`.
    #[must_use]
    pub fn with(mut self, term: Term) -> Self {
        self.terms.push(term);
        self
    }

    /// The filter that hides what has expired at `time`.
    #[must_use]
    pub fn visible_at(self, time: DateTime<Utc>) -> Self {
        Filter {
            visible_at: Some(time),
            ..self
        }
    }

    /// Whether a process passes: the meaning of every term, for every store.
    #[must_use]
    pub fn matches(&self, process: &Process) -> bool {
        let indexed = Indexed::from(process);
        self.visible_at.is_none_or(|time| !process.is_expired(time))
            && self
                .terms
                .iter()
                .all(|term| term.matches(process, &indexed))
    }

    /// The statuses that can pass, each once, in the order of their codes: what an index by status has to
    /// be asked for.
    #[must_use]
    pub fn statuses(&self) -> Vec<OverallStatus> {
        let passes = |status: &OverallStatus| {
            let excludes = |term: &Term| match term {
                Term::Status(any) => !any.contains(status),
                // Only what is at work can stand still.
                Term::Stalled { .. } => *status != OverallStatus::Ongoing,
                Term::Pipeline(_)
                | Term::FileId(_)
                | Term::FileName(_)
                | Term::FileNamePrefix(_)
                | Term::Directory(_)
                | Term::UnderDirectory(_)
                | Term::Tag { .. }
                | Term::Created(_)
                | Term::Updated(_)
                | Term::Settled(_) => false,
            };
            !self.terms.iter().any(excludes)
        };
        OverallStatus::ALL.into_iter().filter(passes).collect()
    }

    /// Whether every term is indexed.
    #[must_use]
    pub fn is_indexed(&self) -> bool {
        self.terms.iter().all(Term::is_indexed)
    }

    /// Whether a process of which only this is known passes, as far as indexed terms and expiry go.
    #[must_use]
    pub fn matches_indexed(&self, indexed: &Indexed<'_>) -> bool {
        let expired = |time| indexed.expires_at.is_some_and(|expiry| expiry <= time);
        self.visible_at.is_none_or(|time| !expired(time))
            && self
                .terms
                .iter()
                .all(|term| term.holds_for(indexed).unwrap_or(true))
    }
}
