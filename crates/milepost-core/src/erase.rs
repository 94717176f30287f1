//! Erasing, purging, and what concerns all processes of one file.

use std::collections::HashSet;
use std::sync::Arc;

use crate::error::TrackError;
use crate::filter::{Filter, Term};
use crate::guard::Guard;
use crate::id::{FileId, RequestId};
use crate::listing::{Found, Listing, Order};
use crate::op::{Change, Op};
use crate::process::Process;
use crate::query::{Asked, Query};
use crate::store::{StoreError, StoreErrorKind, Wipe, WipeLevel};
use crate::tracker::Tracker;
use crate::update::Update;
use crate::verdict::Rejection;
use crate::{limits, time};

/// What an erasure came to.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Erased {
    /// How many processes were erased. 0 is no error: what was to be gone is gone.
    pub processes: usize,
    /// Whether their bytes are gone from the store's files too. If that is pending, the erasure itself
    /// stands, and the next [`wipe`](Tracker::wipe) finishes it, whoever calls it.
    pub wipe: Wipe,
}

/// What an update of all processes of a file came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Updated {
    /// How many processes of the file were found.
    pub processes: usize,
    /// How many of them changed; the others were up to date.
    pub changed: usize,
    /// Those that refused the update, and why: their record would become too large.
    pub refused: Vec<(RequestId, Rejection)>,
}

/// How often an erasure walks its query again before it gives up: each walk after the first finds only
/// what others changed meanwhile.
const WALKS: usize = 1_000;

impl Tracker {
    /// Erases a process: it is not found from now on, and no trace of it is kept.
    ///
    /// Then wipes, for a short while. Erasing what is not there is `Ok`, with 0 processes; erasing what
    /// has expired but was not purged erases it.
    pub fn erase(&self, id: RequestId) -> Result<Erased, TrackError> {
        let processes = match self.write_one(&self.checked_op(id, Change::erase())?) {
            Ok(_) => 1,
            Err(error) if error.is_not_found() => 0,
            Err(error) => return Err(error),
        };
        Ok(self.wiped(processes))
    }

    /// Erases every process of a file, expired or not, and wipes.
    ///
    /// Each process is erased whole, all of them together are not. What is begun meanwhile may be missed.
    pub fn erase_file(&self, file_id: FileId) -> Result<Erased, TrackError> {
        // A process never changes its file, so that no change of it is in the way.
        self.erase_all(&Filter::new().with(Term::FileId(file_id)), |process| {
            Guard::new().born(process.version().born)
        })
    }

    /// Erases every process that a query asks for, expired or not, and wipes. Its limit and order say
    /// nothing here.
    ///
    /// Each process is erased only while it matches. What comes to match meanwhile may be missed.
    pub fn erase_matching(&self, query: &Query) -> Result<Erased, TrackError> {
        let at = self.clock().now();
        self.erase_all(&query.whole(Asked::All { at })?, |process| {
            Guard::new()
                .born(process.version().born)
                .revision(process.revision())
        })
    }

    fn erase_all(
        &self,
        filter: &Filter,
        guard: impl Fn(&Process) -> Guard,
    ) -> Result<Erased, TrackError> {
        let began = time::check(self.clock().now(), "clock's time")?;
        let mut erased = 0;
        // Found by the first walk, and changed before they could be erased: there when the call began,
        // whatever the clock says of whoever began them.
        let mut escaped = HashSet::new();
        for walk in 0..WALKS {
            // Whoever changed a process between list and erase made it stale here; the next walk judges
            // it as it then is.
            let mut found_old = false;
            self.walk(filter, |processes| {
                let erase = |process: &Arc<Process>| {
                    self.op(process.request_id(), Change::erase())
                        .guarded(guard(process))
                };
                let ops = processes.iter().map(erase).collect::<Vec<_>>();
                for (process, verdict) in processes.iter().zip(self.apply(&ops)?) {
                    let born = process.version().born;
                    erased += usize::from(verdict.is_ok());
                    if walk == 0 && verdict.is_err() {
                        escaped.insert(born);
                    }
                    found_old |= process.created_at() <= began || escaped.contains(&born);
                }
                Ok(())
            })?;
            if !found_old {
                return Ok(self.wiped(erased));
            }
        }
        let busy = "others kept changing what was to be erased";
        Err(StoreError::new(StoreErrorKind::Busy, busy).into())
    }

    /// Replaces what is known of a file, or the expiry, in every process of it.
    ///
    /// Each process is updated whole, all of them together are not. What is begun meanwhile may be missed.
    pub fn update_file(&self, file_id: FileId, update: Update) -> Result<Updated, TrackError> {
        let change = self.update_op(RequestId::NIL, update)?.change;
        let mut updated = Updated::default();
        self.walk(&Filter::new().with(Term::FileId(file_id)), |processes| {
            let op = |process: &Arc<Process>| {
                let born = Guard::new().born(process.version().born);
                self.op(process.request_id(), change.clone()).guarded(born)
            };
            let ops = processes.iter().map(op).collect::<Vec<_>>();
            // Updates may be large: as many together as a batch may hold.
            for batch in batches(&ops) {
                for (op, verdict) in batch.iter().zip(self.apply(batch)?) {
                    match verdict {
                        Ok(applied) => {
                            updated.processes += 1;
                            updated.changed += usize::from(applied.changed);
                        }
                        // Erased or expired meanwhile.
                        Err(Rejection::NotFound) => {}
                        Err(rejection) => {
                            updated.processes += 1;
                            updated.refused.push((op.id, rejection));
                        }
                    }
                }
            }
            Ok(())
        })?;
        Ok(updated)
    }

    /// Erases all that has expired by the tracker's clock, and says how many that were. Wiping their
    /// bytes is left to the next [`wipe`](Tracker::wipe).
    pub fn purge(&self) -> Result<usize, TrackError> {
        let now = self.clock().now();
        let mut purged = 0;
        loop {
            let some = self.store().purge(now, limits::PURGE)?;
            purged += some;
            if some < limits::PURGE {
                return Ok(purged);
            }
        }
    }

    /// The first page of a walk that is not empty: a page may be, and yet name where to go on.
    pub(crate) fn first_found(&self, mut listing: Listing) -> Result<Found, StoreError> {
        loop {
            let found = self.store().list(&listing)?;
            if !found.items.is_empty() || found.next.is_none() {
                return Ok(found);
            }
            listing.after = found.next;
        }
    }

    /// Hands every page of a whole walk to `take`, hiding nothing.
    fn walk(
        &self,
        filter: &Filter,
        mut take: impl FnMut(&[Arc<Process>]) -> Result<(), TrackError>,
    ) -> Result<(), TrackError> {
        let mut listing = Listing {
            filter: filter.clone(),
            order: Order::OldestFirst,
            after: None,
            limit: limits::PAGE,
        };
        loop {
            let found = self.store().list(&listing)?;
            if !found.items.is_empty() {
                take(&found.items)?;
            }
            if found.next.is_none() {
                return Ok(());
            }
            listing.after = found.next;
        }
    }

    /// The erasure stands, whatever becomes of the wipe.
    pub(crate) fn wiped(&self, processes: usize) -> Erased {
        let wipe = match self.store().wipe(WipeLevel::Files) {
            Ok(wipe) => wipe,
            Err(error) => {
                let because = std::error::Error::source(&error)
                    .map(ToString::to_string)
                    .unwrap_or_default();
                Wipe::Pending {
                    reason: format!("{error}: {because}"),
                }
            }
        };
        Erased { processes, wipe }
    }
}

/// Cuts ops into runs that one batch may hold.
fn batches(mut ops: &[Op]) -> impl Iterator<Item = &[Op]> {
    std::iter::from_fn(move || {
        let mut bytes = 0;
        let fits = |op: &&Op| {
            bytes += op.bytes();
            bytes <= limits::BATCH_BYTES
        };
        let len = ops.iter().take_while(fits).count();
        let (batch, rest) = ops.split_at(len);
        ops = rest;
        (!batch.is_empty()).then_some(batch)
    })
}
