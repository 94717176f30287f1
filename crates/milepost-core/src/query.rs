//! Which processes a host asks for.

use std::ops::RangeBounds;
use std::sync::Arc;

use chrono::{DateTime, Utc};

use crate::cursor::Cursor;
use crate::filter::{Filter, Term, TimeRange};
use crate::id::FileId;
use crate::invalid::Invalid;
use crate::limits;
use crate::listing::{Listing, Order};
use crate::process::{OverallStatus, Process};

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
    stalled: bool,
}

impl Default for Query {
    fn default() -> Self {
        Query {
            terms: Vec::new(),
            statuses: Vec::new(),
            order: Order::NewestFirst,
            limit: limits::DEFAULT_PAGE,
            after: None,
            stalled: false,
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

    /// Standing still: ongoing, under a lease that has run out by the clock of the tracker that is asked.
    pub fn stalled(self) -> Self {
        Query {
            stalled: true,
            ..self
        }
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

    /// The checked filter.
    fn filter(&self, asked: Asked) -> Result<Filter, Invalid> {
        let mut terms = self.terms.clone();
        if self.stalled {
            terms.push(Term::Stalled { by: asked.at() });
        }
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
        let visible_at = match asked {
            Asked::Visible { at } => Some(at),
            Asked::All { .. } => None,
        };
        Ok(Filter { terms, visible_at })
    }

    /// The same filter, for a call that takes all that is found.
    pub(crate) fn whole(&self, asked: Asked) -> Result<Filter, Invalid> {
        if self.after.is_some() {
            return Err(Invalid::UnexpectedCursor);
        }
        self.filter(asked)
    }

    /// The checked request for one page.
    pub(crate) fn listing(&self, asked: Asked) -> Result<Listing, Invalid> {
        if !(1..=limits::PAGE).contains(&self.limit) {
            return Err(Invalid::PageSize { given: self.limit });
        }
        let filter = self.filter(asked)?;
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

/// When a query is asked, and whether it sees what has expired by then.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Asked {
    /// Hides what has expired.
    Visible { at: DateTime<Utc> },
    /// Hides nothing.
    All { at: DateTime<Utc> },
}

impl Asked {
    fn at(self) -> DateTime<Utc> {
        match self {
            Asked::Visible { at } | Asked::All { at } => at,
        }
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
