//! What a store is asked to list and count, and what it answers.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::filter::Filter;
use crate::id::RequestId;
use crate::limits;
use crate::process::{OverallStatus, Process};
use crate::store::StoreError;

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
    /// Of those at work, how many stand still: their lease had run out when it was asked.
    pub stalled: u64,
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

    /// Adds `more` of those at work that stand still. They are among the ongoing, which must be added too.
    pub fn add_stalled(&mut self, more: u64) {
        self.stalled += more;
    }

    /// Counts a process if it passes `filter`: the meaning of every figure, for every store.
    pub fn tally(&mut self, process: &Process, filter: &Filter) {
        if filter.matches(process) {
            self.add(process.status(), 1);
            let stalled = filter
                .visible_at
                .is_some_and(|time| process.is_stalled(time));
            self.add_stalled(u64::from(stalled));
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
