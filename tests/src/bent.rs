//! Stores that do one thing otherwise than the store behind them: what a law is to notice.

use std::fmt;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use milepost::{
    Counts, Filter, Found, Listing, Op, Process, RequestId, StatusStore, StoreError, Verdict, Wipe,
    WipeLevel,
};

/// What is done otherwise; the rest is as the store behind does it. Calls that [`StatusStore`] makes of others, such as
/// `read_many`, are made of these.
#[expect(missing_docs, reason = "the same calls as those of `StatusStore`")]
pub trait Bend: fmt::Debug + Send + Sync + 'static {
    /// The store behind.
    fn store(&self) -> &dyn StatusStore;

    fn write(&self, ops: &[Op]) -> Result<Vec<Verdict>, StoreError> {
        self.store().write(ops)
    }

    fn read(&self, id: RequestId) -> Result<Option<Arc<Process>>, StoreError> {
        self.store().read(id)
    }

    fn list(&self, listing: &Listing) -> Result<Found, StoreError> {
        self.store().list(listing)
    }

    fn purge(&self, expired_by: DateTime<Utc>, limit: usize) -> Result<usize, StoreError> {
        self.store().purge(expired_by, limit)
    }

    fn wipe(&self, level: WipeLevel) -> Result<Wipe, StoreError> {
        self.store().wipe(level)
    }
}

/// The store that this makes.
#[derive(Debug)]
#[expect(clippy::exhaustive_structs, reason = "it is only a way to call it")]
pub struct Bent<B>(pub B);

impl<B: Bend> StatusStore for Bent<B> {
    fn write(&self, ops: &[Op]) -> Result<Vec<Verdict>, StoreError> {
        self.0.write(ops)
    }

    fn read(&self, id: RequestId) -> Result<Option<Arc<Process>>, StoreError> {
        self.0.read(id)
    }

    fn list(&self, listing: &Listing) -> Result<Found, StoreError> {
        self.0.list(listing)
    }

    fn count(&self, filter: &Filter) -> Result<Counts, StoreError> {
        self.0.store().count(filter)
    }

    fn purge(&self, expired_by: DateTime<Utc>, limit: usize) -> Result<usize, StoreError> {
        self.0.purge(expired_by, limit)
    }

    fn wipe(&self, level: WipeLevel) -> Result<Wipe, StoreError> {
        self.0.wipe(level)
    }
}

/// A store that purges what expires within so long too.
#[derive(Debug)]
#[expect(clippy::exhaustive_structs, reason = "it is only a way to call it")]
pub struct Hasty<S>(pub S, pub TimeDelta);

impl<S: StatusStore + fmt::Debug> Bend for Hasty<S> {
    fn store(&self) -> &dyn StatusStore {
        &self.0
    }

    fn purge(&self, expired_by: DateTime<Utc>, limit: usize) -> Result<usize, StoreError> {
        let later = expired_by.checked_add_signed(self.1);
        self.0.purge(later.unwrap_or(expired_by), limit)
    }
}

/// A store that wipes in another way.
#[derive(Debug)]
#[expect(clippy::exhaustive_structs, reason = "it is only a way to call it")]
pub struct Wipes<S>(pub S, pub fn(&S, WipeLevel) -> Result<Wipe, StoreError>);

impl<S: StatusStore + fmt::Debug> Bend for Wipes<S> {
    fn store(&self) -> &dyn StatusStore {
        &self.0
    }

    fn wipe(&self, level: WipeLevel) -> Result<Wipe, StoreError> {
        (self.1)(&self.0, level)
    }
}
