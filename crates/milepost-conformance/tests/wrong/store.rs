//! The honest store with one fault.

use std::fmt;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use milepost_core::{
    Counts, Filter, Found, Listing, Op, Process, RequestId, StatusStore, StoreError, Verdict,
    Version, Wipe, WipeLevel, limits,
};

use crate::honest::{Honest, Records};

type Stored = Option<Arc<Process>>;
type Answer<T> = Result<T, StoreError>;
type Call<A, T> = Box<dyn Fn(&Honest, A) -> Answer<T> + Send + Sync>;
type CallBy<A, T> = Box<dyn Fn(&Honest, &A) -> Answer<T> + Send + Sync>;
type Purge = Box<dyn Fn(&Honest, DateTime<Utc>, usize) -> Answer<usize> + Send + Sync>;

/// The honest store, of which some calls are replaced.
#[derive(Default)]
pub(crate) struct Wrong {
    honest: Honest,
    write: Option<CallBy<[Op], Vec<Verdict>>>,
    read: Option<Call<RequestId, Stored>>,
    read_many: Option<CallBy<[RequestId], Vec<Stored>>>,
    versions: Option<CallBy<[RequestId], Vec<Option<Version>>>>,
    list: Option<CallBy<Listing, Found>>,
    count: Option<CallBy<Filter, Counts>>,
    purge: Option<Purge>,
    wipe: Option<Call<WipeLevel, Wipe>>,
}

impl Wrong {
    /// As yet without a fault.
    pub(crate) fn new() -> Self {
        Wrong::default()
    }

    /// As yet without a fault, on these records.
    pub(crate) fn on(honest: &Honest) -> Self {
        Wrong {
            honest: honest.clone(),
            ..Wrong::default()
        }
    }

    pub(crate) fn write(
        mut self,
        write: impl Fn(&Honest, &[Op]) -> Answer<Vec<Verdict>> + Send + Sync + 'static,
    ) -> Self {
        self.write = Some(Box::new(write));
        self
    }

    /// Judges each op of a batch in this way.
    pub(crate) fn each(
        self,
        apply: impl Fn(&mut Records, &Op) -> Verdict + Send + Sync + 'static,
    ) -> Self {
        self.write(move |honest, ops| {
            limits::check_batch(ops)?;
            let mut records = honest.records();
            Ok(ops.iter().map(|op| apply(&mut records, op)).collect())
        })
    }

    /// Applies other ops than those that were sent.
    pub(crate) fn altered(self, alter: impl Fn(Op) -> Op + Send + Sync + 'static) -> Self {
        self.each(move |records, op| crate::honest::apply(records, &alter(op.clone())))
    }

    pub(crate) fn read(
        mut self,
        read: impl Fn(&Honest, RequestId) -> Answer<Option<Arc<Process>>> + Send + Sync + 'static,
    ) -> Self {
        self.read = Some(Box::new(read));
        self
    }

    pub(crate) fn read_many(
        mut self,
        read: impl Fn(&Honest, &[RequestId]) -> Answer<Vec<Option<Arc<Process>>>>
        + Send
        + Sync
        + 'static,
    ) -> Self {
        self.read_many = Some(Box::new(read));
        self
    }

    pub(crate) fn versions(
        mut self,
        versions: impl Fn(&Honest, &[RequestId]) -> Answer<Vec<Option<Version>>> + Send + Sync + 'static,
    ) -> Self {
        self.versions = Some(Box::new(versions));
        self
    }

    pub(crate) fn list(
        mut self,
        list: impl Fn(&Honest, &Listing) -> Answer<Found> + Send + Sync + 'static,
    ) -> Self {
        self.list = Some(Box::new(list));
        self
    }

    pub(crate) fn count(
        mut self,
        count: impl Fn(&Honest, &Filter) -> Answer<Counts> + Send + Sync + 'static,
    ) -> Self {
        self.count = Some(Box::new(count));
        self
    }

    /// Lists and counts by another filter than the one that was asked for.
    pub(crate) fn filtered(self, alter: fn(Filter) -> Filter) -> Self {
        self.count(move |honest, filter| honest.count(&alter(filter.clone())))
            .list(move |honest, listing| {
                honest.list(&Listing {
                    filter: alter(listing.filter.clone()),
                    ..listing.clone()
                })
            })
    }

    /// Lists and counts what passes this, in place of the filter.
    pub(crate) fn matching(self, matches: fn(&Filter, &Process) -> bool) -> Self {
        self.count(move |honest, filter| {
            Ok(count_where(honest, filter, |process| {
                matches(filter, process)
            }))
        })
        .list(move |honest, listing| {
            list_where(honest, listing, |process| matches(&listing.filter, process))
        })
    }

    pub(crate) fn purge(
        mut self,
        purge: impl Fn(&Honest, DateTime<Utc>, usize) -> Answer<usize> + Send + Sync + 'static,
    ) -> Self {
        self.purge = Some(Box::new(purge));
        self
    }

    pub(crate) fn wipe(
        mut self,
        wipe: impl Fn(&Honest, WipeLevel) -> Answer<Wipe> + Send + Sync + 'static,
    ) -> Self {
        self.wipe = Some(Box::new(wipe));
        self
    }
}

/// The honest list of what passes another test than the listing's filter.
pub(crate) fn list_where(
    honest: &Honest,
    listing: &Listing,
    matches: impl Fn(&Process) -> bool,
) -> Answer<Found> {
    let some = Honest::new();
    let matching = honest
        .records()
        .clone()
        .into_iter()
        .filter(|(_, process)| matches(process));
    some.records().extend(matching);
    some.list(&Listing {
        filter: Filter::new(),
        ..listing.clone()
    })
}

/// The honest count of what passes another test than this filter, at its time.
pub(crate) fn count_where(
    honest: &Honest,
    filter: &Filter,
    matches: impl Fn(&Process) -> bool,
) -> Counts {
    let mut counts = Counts::new();
    for process in honest.records().values().filter(|process| matches(process)) {
        counts.add(process.status(), 1);
        let time = filter.visible_at;
        let stalled = time.is_some_and(|time| process.is_stalled(time));
        counts.add_stalled(u64::from(stalled));
    }
    counts
}

impl fmt::Debug for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wrong").finish_non_exhaustive()
    }
}

impl StatusStore for Wrong {
    fn write(&self, ops: &[Op]) -> Answer<Vec<Verdict>> {
        match &self.write {
            Some(write) => write(&self.honest, ops),
            None => self.honest.write(ops),
        }
    }

    fn read(&self, id: RequestId) -> Answer<Option<Arc<Process>>> {
        match &self.read {
            Some(read) => read(&self.honest, id),
            None => self.honest.read(id),
        }
    }

    fn read_many(&self, ids: &[RequestId]) -> Answer<Vec<Option<Arc<Process>>>> {
        match &self.read_many {
            Some(read_many) => read_many(&self.honest, ids),
            None => self.honest.read_many(ids),
        }
    }

    fn versions(&self, ids: &[RequestId]) -> Answer<Vec<Option<Version>>> {
        match &self.versions {
            Some(versions) => versions(&self.honest, ids),
            None => self.honest.versions(ids),
        }
    }

    fn list(&self, listing: &Listing) -> Answer<Found> {
        match &self.list {
            Some(list) => list(&self.honest, listing),
            None => self.honest.list(listing),
        }
    }

    fn count(&self, filter: &Filter) -> Answer<Counts> {
        match &self.count {
            Some(count) => count(&self.honest, filter),
            None => self.honest.count(filter),
        }
    }

    fn purge(&self, expired_by: DateTime<Utc>, limit: usize) -> Answer<usize> {
        match &self.purge {
            Some(purge) => purge(&self.honest, expired_by, limit),
            None => self.honest.purge(expired_by, limit),
        }
    }

    fn wipe(&self, level: WipeLevel) -> Answer<Wipe> {
        match &self.wipe {
            Some(wipe) => wipe(&self.honest, level),
            None => self.honest.wipe(level),
        }
    }
}
