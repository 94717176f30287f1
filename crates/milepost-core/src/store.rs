//! The contract between the tracker and whatever keeps its processes.

use std::error::Error;
use std::fmt;
use std::sync::Arc;

use chrono::{DateTime, Utc};

use crate::filter::Filter;
use crate::id::RequestId;
use crate::limits;
use crate::listing::{Counts, Found, Listing};
use crate::op::Op;
use crate::process::{Process, Version};
use crate::record::RecordError;
use crate::verdict::Verdict;

/// Keeps processes: in memory, in a file, on a server.
///
/// Synchronous and object-safe, so that a host needs no runtime and can swap its store by changing one
/// line. A store loads, calls [`Op::apply`], and saves, within one transaction of its own; it spells no
/// rule of the state machine again. `milepost-memory` is the worked example, and the
/// `milepost-conformance` kit has at least one test for each sentence below.
///
/// # Contract
///
/// 1. **In order.** A batch equals its ops applied one by one, in their order. Another reader may see a
///    part of a batch, but never half an op.
/// 2. **Apart.** A rejected op changes nothing and spoils nothing else in its batch.
/// 3. **Durable.** `Ok`, changed or not, means that the state it reports is durable at the level that
///    the store was configured with, and visible to every later read by anyone.
/// 4. **All or none.** `Err` means that nothing of the batch was kept nor ever will be; with kind
///    [`OutcomeUnknown`](StoreErrorKind::OutcomeUnknown), all or none was kept.
/// 5. **Sent again.** Sending a guarded batch again leaves the record that sending it once would
///    (guarded: with `born`, and with `attempt` on a module's change, `run` on cancel, its request and
///    rerun, `revision` on update and claim, `lease` on renew and release; a reap names its claim
///    itself). An op whose effect stands is `Ok` with `changed: false`; one that was
///    overtaken changes nothing and may be rejected, and one that was rejected the first time is
///    judged anew. Erasing what is absent is `NotFound`.
/// 6. **No ghosts.** A creation or an import never overwrites, and nothing else makes a process exist: a
///    late op for an erased process is `NotFound`, also once its id was begun anew.
/// 7. **One by one.** Concurrent writes to one process come one after the other, and none is lost. Every
///    verdict, rejections and no-changes included, is decided on the state within the call, never on a
///    remembered copy.
/// 8. **No clock.** Nothing that is stored or decided comes from a clock, ids or randomness of the
///    store's own: all of it arrives in arguments. Monotonic time and jitter serve deadlines, budgets
///    and back-off only.
/// 9. **Bounded.** The limits in [`limits`] hold for every call, equally for every store; what crosses
///    one is an error of kind [`Limit`](StoreErrorKind::Limit) before anything happens. A `list`, and a
///    `count` of unindexed filters, examine a bounded number of rows and say so.
/// 10. **Gone.** What is erased is in no list, count, read or version from that moment on.
/// 11. **Expired only.** `purge` erases nothing but what has expired by the time it is given, judged
///     under the same lock that deletes it, and at most `limit` of that.
/// 12. **Wiped.** `wipe` answers [`Wipe::Done`] only if at some moment after the call began no byte of
///     anything erased before it was in the store's files, and that state is synced. Else it answers
///     [`Wipe::Pending`], or [`Wipe::Limited`] for what is beyond the store's reach.
///
/// Dropping the last handle of a store closes it before the drop returns.
///
/// # Examples
///
/// A store can be handed on behind a pointer, and several trackers may share one:
///
/// ```
/// use milepost_core::{StatusStore, Tracker};
/// use std::sync::Arc;
///
/// fn two_trackers<S: StatusStore>(store: S) -> (Tracker, Tracker) {
///     let store = Arc::new(store);
///     (Tracker::new(store.clone()), Tracker::new(store))
/// }
/// ```
pub trait StatusStore: fmt::Debug + Send + Sync + 'static {
    /// Applies a batch of 1 to 10,000 ops of at most 16 MiB together; one verdict per op, in order.
    ///
    /// Call [`limits::check_batch`] first. An empty batch is `Ok` and empty.
    fn write(&self, ops: &[Op]) -> Result<Vec<Verdict>, StoreError>;

    /// The process as it is stored, expired or not; the tracker judges.
    fn read(&self, id: RequestId) -> Result<Option<Arc<Process>>, StoreError>;

    /// The processes as they are stored, in the order of at most 10,000 `ids`.
    ///
    /// Call [`limits::check_ids`] first. Unless overridden, one [`read`](StatusStore::read) each.
    fn read_many(&self, ids: &[RequestId]) -> Result<Vec<Option<Arc<Process>>>, StoreError> {
        limits::check_ids(ids)?;
        ids.iter().map(|id| self.read(*id)).collect()
    }

    /// The versions of the processes, in the order of at most 10,000 `ids`: what waiting polls.
    ///
    /// Call [`limits::check_ids`] first. Unless overridden, from
    /// [`read_many`](StatusStore::read_many).
    fn versions(&self, ids: &[RequestId]) -> Result<Vec<Option<Version>>, StoreError> {
        let processes = self.read_many(ids)?;
        Ok(processes
            .iter()
            .map(|process| process.as_ref().map(|process| process.version()))
            .collect())
    }

    /// Some of the processes that match, in order, from a place on.
    ///
    /// Ordered by `(created_at, request_id)`, ids compared as 16 bytes. A page may be short or empty while
    /// [`Found::next`] says where to go on: at most [`limits::LIST_EXAMINED`] rows are examined. Call
    /// [`Listing::check`] first.
    fn list(&self, listing: &Listing) -> Result<Found, StoreError>;

    /// How many processes match, by overall status, and how many of them stand still at
    /// [`visible_at`](Filter::visible_at): what [`Counts::tally`] counts of each.
    ///
    /// Exact if every term is [indexed](crate::Term::is_indexed); else at most
    /// [`limits::COUNT_EXAMINED`] rows are examined, and [`Counts::is_exact`] says whether that was all.
    fn count(&self, filter: &Filter) -> Result<Counts, StoreError>;

    /// Erases at most `limit` of the processes that have expired by `expired_by`; says how many.
    ///
    /// `limit` is at most [`limits::PURGE`]; call [`limits::check_purge`] first. Fewer than `limit` means
    /// that no more had expired. A store may purge in steps: an `Err` leaves those of the earlier ones purged.
    fn purge(&self, expired_by: DateTime<Utc>, limit: usize) -> Result<usize, StoreError>;

    /// Removes every byte of what was erased, as far as `level` asks; waits a short while at most.
    ///
    /// Concurrent wipes share their work, and one that finds nothing to do costs next to nothing.
    fn wipe(&self, level: WipeLevel) -> Result<Wipe, StoreError>;
}

macro_rules! forward {
    ($($pointer:ident),*) => {$(
        impl<S: StatusStore + ?Sized> StatusStore for $pointer<S> {
            fn write(&self, ops: &[Op]) -> Result<Vec<Verdict>, StoreError> {
                (**self).write(ops)
            }

            fn read(&self, id: RequestId) -> Result<Option<Arc<Process>>, StoreError> {
                (**self).read(id)
            }

            fn read_many(&self, ids: &[RequestId]) -> Result<Vec<Option<Arc<Process>>>, StoreError> {
                (**self).read_many(ids)
            }

            fn versions(&self, ids: &[RequestId]) -> Result<Vec<Option<Version>>, StoreError> {
                (**self).versions(ids)
            }

            fn list(&self, listing: &Listing) -> Result<Found, StoreError> {
                (**self).list(listing)
            }

            fn count(&self, filter: &Filter) -> Result<Counts, StoreError> {
                (**self).count(filter)
            }

            fn purge(&self, expired_by: DateTime<Utc>, limit: usize) -> Result<usize, StoreError> {
                (**self).purge(expired_by, limit)
            }

            fn wipe(&self, level: WipeLevel) -> Result<Wipe, StoreError> {
                (**self).wipe(level)
            }
        }
    )*};
}

forward!(Arc, Box);

/// What a store answered, if it is one answer for each of the `asked`.
pub(crate) fn one_each<T>(asked: usize, answers: Vec<T>) -> Result<Vec<T>, StoreError> {
    if answers.len() == asked {
        return Ok(answers);
    }
    let wrong = format!("the store gave {} answers to {asked}", answers.len());
    Err(StoreError::new(StoreErrorKind::Other, wrong))
}

impl From<limits::Crossed> for StoreError {
    fn from(crossed: limits::Crossed) -> Self {
        StoreError::new(StoreErrorKind::Limit, crossed)
    }
}

/// How far a wipe goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum WipeLevel {
    /// The store's files.
    Files,
    /// Also the blocks that the files gave back to the file system, as far as a program can reach them: it must have
    /// overwritten them before.
    ///
    /// Beyond any program are copy-on-write and log-structured file systems, snapshots, a journal that holds data,
    /// flash that remaps what is written, backups, swap, and what other programs copied. What a store can tell of this
    /// it answers as [`Wipe::Limited`]; what it cannot see, such as the flash below a file system, it cannot.
    Media,
}

/// What a wipe came to.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Wipe {
    /// No byte of what was erased before the call is left, and that is synced.
    Done,
    /// Not yet: call again. The erasure itself stands, and the next wipe finishes it, whoever calls it.
    Pending {
        /// What stands in the way.
        reason: String,
    },
    /// All that is within the store's reach is done.
    Limited {
        /// What may remain elsewhere.
        remains: String,
    },
}

/// Why a store could not answer.
///
/// Says one thing and what to do next; what the driver said is its
/// [`source`](std::error::Error::source). Compare [kinds](StoreError::kind), never texts.
#[derive(Debug, Clone)]
pub struct StoreError {
    kind: StoreErrorKind,
    source: Arc<dyn Error + Send + Sync>,
}

impl StoreError {
    /// An error of `kind`, caused by `source`: another error, or a sentence.
    #[must_use]
    pub fn new(kind: StoreErrorKind, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        StoreError {
            kind,
            source: Arc::from(source.into()),
        }
    }

    /// What kind of trouble it is.
    #[must_use]
    pub fn kind(&self) -> StoreErrorKind {
        self.kind
    }

    /// Whether the same call may succeed later: `Busy` by itself, `Unavailable` once what its source names
    /// has passed or was mended. `OutcomeUnknown` is not: see there.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        matches!(
            self.kind,
            StoreErrorKind::Busy | StoreErrorKind::Unavailable
        )
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.kind, f)
    }
}

impl Error for StoreError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&*self.source)
    }
}

impl From<RecordError> for StoreError {
    fn from(error: RecordError) -> Self {
        let kind = match error {
            RecordError::Incompatible { .. } => StoreErrorKind::Incompatible,
            RecordError::Corrupt { .. } => StoreErrorKind::Corrupt,
        };
        StoreError::new(kind, error)
    }
}

/// The kinds of trouble that a store can be in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum StoreErrorKind {
    /// Others were writing until the deadline. Nothing was done.
    #[error("the store is busy: try again")]
    Busy,
    /// There is no room left. Nothing was done.
    #[error("the store has no room left: free some, then try again")]
    Full,
    /// The store cannot be reached, opened or written to. Nothing was done.
    #[error("the store is unavailable: see that it exists and may be written to, then try again")]
    Unavailable,
    /// What is stored is damaged.
    #[error("what is stored is damaged: restore it from a backup")]
    Corrupt,
    /// What is stored is not milepost's, or of a newer one; it was not touched.
    #[error(
        "what is stored is not for this version of milepost: use another path or another version"
    )]
    Incompatible,
    /// The connection broke, or a sync failed, while the batch was being committed: all of it was kept, or
    /// nothing. Read, or send a guarded batch again: [contract](StatusStore), sentence 5.
    #[error("whether the change was kept is unknown: read, or send the guarded ops again")]
    OutcomeUnknown,
    /// A limit of [`limits`] was crossed. Nothing was done.
    #[error("the call is over a limit: split it")]
    Limit,
    /// This store does not know the filter term or the level. Nothing was done.
    #[error("the store does not support this: use another filter or level")]
    Unsupported,
    /// None of the above.
    #[error("the store failed: its source says why")]
    Other,
}

impl StoreErrorKind {
    /// Whether trouble with a batch may be the fault of one process in it, and none of the store's at large: then the
    /// ops of the others may go through without it.
    #[must_use]
    pub fn may_concern_one(self) -> bool {
        match self {
            StoreErrorKind::Busy
            | StoreErrorKind::Full
            | StoreErrorKind::Unavailable
            | StoreErrorKind::OutcomeUnknown => false,
            StoreErrorKind::Corrupt
            | StoreErrorKind::Incompatible
            | StoreErrorKind::Limit
            | StoreErrorKind::Unsupported
            | StoreErrorKind::Other => true,
        }
    }
}
