//! Which processes are wanted: what hosts build, and what stores are asked.

use std::ops::{Bound, RangeBounds};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::cursor::Cursor;
use crate::id::{FileId, RequestId};
use crate::invalid::{Field, Invalid};
use crate::limits;
use crate::process::{OverallStatus, Process};
use crate::store::StoreError;

/// Asks for processes: builders by value, each narrowing what is found.
///
/// All that is asked must hold, with one exception: [`status`](Query::status) given twice means any of
/// them. Texts are compared byte by byte. What is wrong in it is reported by the call that takes it.
///
/// Pipeline, status, file id, directory, created and settled are indexed. The others filter what those
/// leave, and each call examines a bounded number of rows: a page may then be short, or even empty,
/// while it names a cursor to go on with.
///
/// ```
/// use milepost_core::{OverallStatus, Query};
/// use chrono::{DateTime, Utc};
///
/// let since: DateTime<Utc> = "2026-05-18T00:00:00Z".parse()?;
/// let query = Query::new()
///     .pipeline("invoice-ocr")
///     .status(OverallStatus::Failed)
///     .created(since..)
///     .limit(50);
/// # Ok::<(), chrono::ParseError>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
#[must_use]
pub struct Query {
    terms: Vec<Term>,
    statuses: Vec<OverallStatus>,
    order: Order,
    limit: usize,
    after: Option<Cursor>,
}

impl Default for Query {
    fn default() -> Self {
        Query {
            terms: Vec::new(),
            statuses: Vec::new(),
            order: Order::NewestFirst,
            limit: limits::DEFAULT_PAGE,
            after: None,
        }
    }
}

impl Query {
    /// Asks for all processes, newest first.
    pub fn new() -> Self {
        Query::default()
    }

    fn with(mut self, term: Term) -> Self {
        self.terms.push(term);
        self
    }

    /// Of the pipeline of this name.
    pub fn pipeline(self, name: &str) -> Self {
        self.with(Term::Pipeline(name.into()))
    }

    /// In this overall status; given twice, in either.
    pub fn status(mut self, status: OverallStatus) -> Self {
        self.statuses.push(status);
        self
    }

    /// Working on this file.
    pub fn file_id(self, id: FileId) -> Self {
        self.with(Term::FileId(id))
    }

    /// Whose file has exactly this name.
    pub fn file_name(self, name: &str) -> Self {
        self.with(Term::FileName(name.into()))
    }

    /// Whose file's name begins with this.
    pub fn file_name_prefix(self, prefix: &str) -> Self {
        self.with(Term::FileNamePrefix(prefix.into()))
    }

    /// Whose file lies in exactly this directory.
    pub fn directory(self, path: &str) -> Self {
        self.with(Term::Directory(path.into()))
    }

    /// Whose file lies in this directory or below it: `/a` takes `/a` and `/a/b`, not `/ab`.
    pub fn under_directory(self, path: &str) -> Self {
        self.with(Term::UnderDirectory(path.into()))
    }

    /// Whose file has this tag; given twice, both.
    pub fn tag(self, name: &str, value: &str) -> Self {
        self.with(Term::Tag {
            name: name.into(),
            value: value.into(),
        })
    }

    /// Begun in this range of time.
    pub fn created(self, range: impl RangeBounds<DateTime<Utc>>) -> Self {
        self.with(Term::Created(TimeRange::new(range)))
    }

    /// Last changed in this range of time.
    pub fn updated(self, range: impl RangeBounds<DateTime<Utc>>) -> Self {
        self.with(Term::Updated(TimeRange::new(range)))
    }

    /// Settled in this range of time; what is ongoing is not.
    pub fn settled(self, range: impl RangeBounds<DateTime<Utc>>) -> Self {
        self.with(Term::Settled(TimeRange::new(range)))
    }

    /// Lists the oldest first, in place of the newest.
    pub fn oldest_first(self) -> Self {
        Query {
            order: Order::OldestFirst,
            ..self
        }
    }

    /// Asks for pages of 1 to 1,000 processes; 100 unless given.
    pub fn limit(self, limit: usize) -> Self {
        Query { limit, ..self }
    }

    /// Goes on after a page: with its [`next`](crate::Page::next), and otherwise the same query.
    pub fn after(self, cursor: Cursor) -> Self {
        Query {
            after: Some(cursor),
            ..self
        }
    }

    /// The checked filter, which hides what has expired at `visible_at`.
    pub(crate) fn filter(&self, visible_at: Option<DateTime<Utc>>) -> Result<Filter, Invalid> {
        let mut terms = self.terms.clone();
        if !self.statuses.is_empty() {
            let mut statuses = self.statuses.clone();
            statuses.sort_unstable();
            statuses.dedup();
            terms.push(Term::Status(statuses));
        }
        if terms.len() > limits::TERMS {
            return Err(Invalid::TooManyTerms { given: terms.len() });
        }
        terms.iter().try_for_each(Term::check)?;
        Ok(Filter { terms, visible_at })
    }

    /// The same filter, for a call that takes all that is found.
    pub(crate) fn whole(&self, visible_at: Option<DateTime<Utc>>) -> Result<Filter, Invalid> {
        if self.after.is_some() {
            return Err(Invalid::UnexpectedCursor);
        }
        self.filter(visible_at)
    }

    /// The checked request for one page.
    pub(crate) fn listing(&self, visible_at: Option<DateTime<Utc>>) -> Result<Listing, Invalid> {
        if !(1..=limits::PAGE).contains(&self.limit) {
            return Err(Invalid::PageSize { given: self.limit });
        }
        let filter = self.filter(visible_at)?;
        let after = match &self.after {
            Some(cursor) => Some(cursor.open(&filter, self.order)?),
            None => None,
        };
        Ok(Listing {
            filter,
            order: self.order,
            after,
            limit: self.limit,
        })
    }
}

/// One page of a list.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Page {
    /// The processes, in the order of the query.
    pub items: Vec<Arc<Process>>,
    /// Where to go on, with [`Query::after`]. None: there is nothing more.
    ///
    /// A page may be short, even empty, while this is given.
    pub next: Option<Cursor>,
}

/// Which way a list goes, by `(created_at, request_id)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[expect(
    clippy::exhaustive_enums,
    reason = "there is no third way through a line"
)]
pub enum Order {
    /// The latest begun first.
    NewestFirst,
    /// The first begun first.
    OldestFirst,
}

/// What a store is asked to filter by: every term must hold.
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct Filter {
    /// What must hold.
    pub terms: Vec<Term>,
    /// Hides what has expired at this time; none hides nothing.
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
            Term::FileName(_) | Term::FileNamePrefix(_) | Term::Tag { .. } | Term::Updated(_) => {
                return None;
            }
        })
    }

    fn matches(&self, process: &Process) -> bool {
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
            | Term::Settled(_) => self.holds_for(&process.into()) == Some(true),
        }
    }

    fn check(&self) -> Result<(), Invalid> {
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
            | Term::Settled(_) => Ok(()),
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
    };
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
        self.visible_at.is_none_or(|time| !process.is_expired(time))
            && self.terms.iter().all(|term| term.matches(process))
    }

    /// The statuses that can pass, each once, in the order of their codes: what an index by status has to
    /// be asked for.
    #[must_use]
    pub fn statuses(&self) -> Vec<OverallStatus> {
        let passes = |status: &OverallStatus| {
            self.terms
                .iter()
                .all(|term| !matches!(term, Term::Status(any) if !any.contains(status)))
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

/// What a store's `list` is asked for.
#[derive(Debug, Clone, PartialEq)]
#[expect(
    clippy::exhaustive_structs,
    reason = "authors of stores build it in their tests"
)]
pub struct Listing {
    /// Which processes.
    pub filter: Filter,
    /// In which order.
    pub order: Order,
    /// From behind which place; none: from the beginning.
    pub after: Option<Place>,
    /// How many at most: 1 to 1,000.
    pub limit: usize,
}

impl Listing {
    /// What every store's `list` calls first.
    ///
    /// # Errors
    ///
    /// Of kind [`Limit`](crate::StoreErrorKind::Limit) if the page is of none or too many.
    pub fn check(&self) -> Result<(), StoreError> {
        Ok(limits::check_page(self.limit)?)
    }
}

/// Where a process stands in every list; it never moves. Places compare as lists are ordered, oldest
/// first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[expect(
    clippy::exhaustive_structs,
    reason = "stores build it from their columns"
)]
pub struct Place {
    /// When the process began.
    pub created_at: DateTime<Utc>,
    /// Its id, which decides between two that began at once.
    pub request_id: RequestId,
}

impl Place {
    /// Where this process stands.
    #[must_use]
    pub fn of(process: &Process) -> Self {
        Place {
            created_at: process.created_at(),
            request_id: process.request_id(),
        }
    }

    /// Whether a list in `order` comes to this place later than to `other`.
    #[must_use]
    pub fn is_behind(self, other: Place, order: Order) -> bool {
        match order {
            Order::NewestFirst => self < other,
            Order::OldestFirst => self > other,
        }
    }
}

/// What a store's `list` answers.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Found {
    /// What was found, in order; at most as many as were asked for.
    pub items: Vec<Arc<Process>>,
    /// The place that was examined last, if there may be more behind it.
    pub next: Option<Place>,
}

impl Found {
    /// What was found, and where to go on.
    #[must_use]
    pub fn new(items: Vec<Arc<Process>>, next: Option<Place>) -> Self {
        Found { items, next }
    }
}

/// How many processes match, by overall status.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Counts {
    /// Still at work.
    pub ongoing: u64,
    /// Complete.
    pub complete: u64,
    /// Failed.
    pub failed: u64,
    /// Cancelled.
    pub cancelled: u64,
    /// Whether the count gave up after a bounded number of rows: the figures are then lower bounds.
    pub partial: bool,
}

impl Counts {
    /// Nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Counts::default()
    }

    /// Adds `more` processes in `status`.
    pub fn add(&mut self, status: OverallStatus, more: u64) {
        match status {
            OverallStatus::Ongoing => self.ongoing += more,
            OverallStatus::Complete => self.complete += more,
            OverallStatus::Failed => self.failed += more,
            OverallStatus::Cancelled => self.cancelled += more,
        }
    }

    /// The same figures, as lower bounds.
    #[must_use]
    pub fn partial(self) -> Self {
        Counts {
            partial: true,
            ..self
        }
    }

    /// All of them together.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.ongoing + self.complete + self.failed + self.cancelled
    }

    /// Whether every process that matches was counted; if not, the figures are lower bounds.
    #[must_use]
    pub fn is_exact(&self) -> bool {
        !self.partial
    }
}
