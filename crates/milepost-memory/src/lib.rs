#![doc = include_str!("../README.md")]

mod index;
mod sync;

use std::fmt;
use std::hash::BuildHasher;
use std::sync::{Arc, PoisonError};

use chrono::{DateTime, Utc};
use hashbrown::{DefaultHashBuilder, HashTable};
use milepost_core::{
    Counts, Filter, Found, Listing, Op, Order, Place, Process, RequestId, StatusStore, StoreError,
    StoreErrorKind, Term, Verdict, Version, Wipe, WipeLevel, limits,
};

use crate::index::{Entry, Index};
use crate::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};

/// How many locks the processes are spread over. More than any machine has cores that would wait.
const SHARDS: usize = 64;

/// How many stalled processes are collected and sorted for one page.
const COLLECTED: usize = 10_000;

/// Keeps processes in memory: they are gone when it is dropped.
///
/// # Contract
///
/// That of [`StatusStore`]. "Durable" here means until the last handle is dropped.
///
/// - [`read`](StatusStore::read) hands out the stored process behind an `Arc`, without copying, and
///   locks nothing but one of 64 shards.
/// - A write copies the process only while a reader holds on to it.
/// - A list examines the index, and holds its lock only while it picks places.
/// - `wipe` is `Done` at [`WipeLevel::Files`], for there are none, and `Limited` at [`WipeLevel::Media`]: memory that
///   was freed is not overwritten, and may reach a swap file or a core dump.
///
/// # Examples
///
/// ```
/// use milepost_core::{NewProcess, Pipeline, Tracker};
/// use milepost_memory::MemoryStore;
///
/// let tracker = Tracker::new(MemoryStore::new());
/// let pipeline = Pipeline::new("invoice-ocr", ["ocr", "parser"])?;
/// let process = tracker.begin(NewProcess::new(&pipeline))?;
/// process.module(1)?.start()?;
/// # Ok::<(), milepost_core::TrackError>(())
/// ```
pub struct MemoryStore {
    /// The processes. A writer that changes what the index holds locks its shard first, then the index;
    /// nobody who holds the index asks for a shard.
    shards: Box<[RwLock<Shard>]>,
    index: RwLock<Index>,
    /// Keyed at random: hosts bring ids that others chose for them.
    hasher: DefaultHashBuilder,
}

/// The slots that ops are applied to, found by the id that stands in the process: it is kept once. None of
/// them is empty for longer than an op takes.
type Shard = HashTable<Slot>;
type Slot = Option<Arc<Process>>;

impl MemoryStore {
    /// A store with nothing in it.
    #[must_use]
    pub fn new() -> Self {
        MemoryStore {
            shards: (0..SHARDS).map(|_| RwLock::default()).collect(),
            index: RwLock::default(),
            hasher: DefaultHashBuilder::default(),
        }
    }

    fn hash(&self, id: RequestId) -> u64 {
        self.hasher.hash_one(uuid::Uuid::from(id).as_u128())
    }

    /// The shard of an id of this hash. By bits that its table makes no use of, or half of every table would
    /// stay empty.
    fn shard(&self, hash: u64) -> &RwLock<Shard> {
        let bits = usize::try_from((hash >> 32) % SHARDS as u64);
        &self.shards[bits.expect("a remainder of 64 fits")]
    }

    /// What `get` makes of the process of this id, under the lock of its shard.
    fn with<T>(&self, id: RequestId, get: impl FnOnce(&Arc<Process>) -> T) -> Option<T> {
        let hash = self.hash(id);
        let shard = read(self.shard(hash));
        let slot = shard.find(hash, |slot| is(slot, id))?;
        slot.as_ref().map(get)
    }

    /// Applies one op under the lock of its shard: what `Op::apply` sees is what it changes.
    fn apply(&self, op: &Op) -> Verdict {
        let hash = self.hash(op.id);
        let mut shard = write(self.shard(hash));
        let Some(slot) = shard.find_mut(hash, |slot| is(slot, op.id)) else {
            let mut slot = None;
            let verdict = op.apply(&mut slot);
            if let Some(process) = &slot {
                write(&self.index).replace(None, Some(Entry::of(process)));
                self.insert(&mut shard, hash, slot);
            }
            return verdict;
        };
        let before = slot.as_deref().map(Entry::of);
        let verdict = op.apply(slot);
        let after = slot.as_deref().map(Entry::of);
        if before != after {
            write(&self.index).replace(before, after);
        }
        if after.is_none()
            && let Ok(emptied) = shard.find_entry(hash, Option::is_none)
        {
            emptied.remove();
        }
        verdict
    }

    fn insert(&self, shard: &mut Shard, hash: u64, slot: Slot) {
        let hash_again = |slot: &Slot| {
            let id = slot.as_deref().map(Process::request_id);
            id.map_or(0, |id| self.hash(id))
        };
        shard.insert_unique(hash, slot, hash_again);
    }

    /// The places of all that a filter for what stands still may let pass; none if it asks for something
    /// else, or if they are so many that a walk over all who are at work meets them soon.
    fn stalled(&self, filter: &Filter) -> Option<Vec<Place>> {
        let by = filter.terms.iter().find_map(|term| match term {
            Term::Stalled { by } => Some(*by),
            _ => None,
        })?;
        read(&self.index).stalled(by, COLLECTED)
    }

    /// The process at this place, if it matches.
    fn matching(&self, place: Place, filter: &Filter) -> Result<Option<Arc<Process>>, StoreError> {
        // What was begun anew since the index was read stands at another place now.
        let matches = |now: &Arc<Process>| Place::of(now) == place && filter.matches(now);
        Ok(self.read(place.request_id)?.filter(matches))
    }

    /// A page of these places, which are all that can be in the list.
    fn pick(&self, listing: &Listing, mut places: Vec<Place>) -> Result<Found, StoreError> {
        let after = listing.after;
        places.retain(|place| after.is_none_or(|after| place.is_behind(after, listing.order)));
        places.sort_unstable();
        if listing.order == Order::NewestFirst {
            places.reverse();
        }
        let mut items = Vec::new();
        let mut last = after;
        for place in places {
            if items.len() == listing.limit {
                return Ok(Found::new(items, last));
            }
            last = Some(place);
            items.extend(self.matching(place, &listing.filter)?);
        }
        Ok(Found::new(items, None))
    }

    /// Erases the process if it has expired, judged under the lock that erases it.
    fn purge_one(&self, id: RequestId, expired_by: DateTime<Utc>) -> bool {
        let hash = self.hash(id);
        let mut shard = write(self.shard(hash));
        let has_expired = |slot: &Slot| {
            let process = slot.as_deref().filter(|_| is(slot, id));
            process.is_some_and(|process| process.is_expired(expired_by))
        };
        let Ok(expired) = shard.find_entry(hash, has_expired) else {
            return false;
        };
        let (process, _) = expired.remove();
        write(&self.index).replace(process.as_deref().map(Entry::of), None);
        true
    }
}

impl StatusStore for MemoryStore {
    fn write(&self, ops: &[Op]) -> Result<Vec<Verdict>, StoreError> {
        limits::check_batch(ops)?;
        // Memory cannot fail half-way, so a batch needs no more than each op for itself.
        Ok(ops.iter().map(|op| self.apply(op)).collect())
    }

    fn read(&self, id: RequestId) -> Result<Option<Arc<Process>>, StoreError> {
        Ok(self.with(id, Arc::clone))
    }

    fn versions(&self, ids: &[RequestId]) -> Result<Vec<Option<Version>>, StoreError> {
        limits::check_ids(ids)?;
        let version = |id: &RequestId| self.with(*id, |process| process.version());
        Ok(ids.iter().map(version).collect())
    }

    fn list(&self, listing: &Listing) -> Result<Found, StoreError> {
        listing.check()?;
        if let Some(stalled) = self.stalled(&listing.filter) {
            return self.pick(listing, stalled);
        }
        let statuses = listing.filter.statuses();
        let mut items = Vec::new();
        let mut after = listing.after;
        let mut examined = 0;
        while examined < limits::LIST_EXAMINED {
            let wanted = listing.limit.min(limits::LIST_EXAMINED - examined);
            let places = read(&self.index).places(&statuses, listing.order, after, wanted);
            // Fewer places than asked for: there are no more behind them.
            let last_round = places.len() < wanted;
            for (index, place) in places.iter().enumerate() {
                if items.len() == listing.limit {
                    return Ok(Found::new(items, after));
                }
                after = Some(*place);
                examined += 1;
                items.extend(self.matching(*place, &listing.filter)?);
                if last_round && index + 1 == places.len() {
                    return Ok(Found::new(items, None));
                }
            }
            if places.is_empty() {
                return Ok(Found::new(items, None));
            }
        }
        Ok(Found::new(items, after))
    }

    fn count(&self, filter: &Filter) -> Result<Counts, StoreError> {
        let bound = if filter.is_indexed() {
            usize::MAX
        } else {
            limits::COUNT_EXAMINED
        };
        let mut counts = Counts::new();
        if let Some(stalled) = self.stalled(filter) {
            for place in stalled {
                let process = self.matching(place, filter)?;
                process.inspect(|process| counts.tally(process, filter));
            }
            return Ok(counts);
        }
        let mut examined = 0;
        for shard in &self.shards {
            for process in read(shard).iter().flatten() {
                if examined == bound {
                    return Ok(counts.partial());
                }
                examined += 1;
                counts.tally(process, filter);
            }
        }
        Ok(counts)
    }

    fn purge(&self, expired_by: DateTime<Utc>, limit: usize) -> Result<usize, StoreError> {
        limits::check_purge(limit)?;
        let mut purged = 0;
        while purged < limit {
            let expired = read(&self.index).expired(expired_by, limit - purged);
            if expired.is_empty() {
                break;
            }
            purged += expired
                .iter()
                .filter(|id| self.purge_one(**id, expired_by))
                .count();
        }
        Ok(purged)
    }

    fn wipe(&self, level: WipeLevel) -> Result<Wipe, StoreError> {
        match level {
            // There are none.
            WipeLevel::Files => Ok(Wipe::Done),
            WipeLevel::Media => Ok(Wipe::Limited {
                remains: "memory that was freed is not overwritten".to_owned(),
            }),
            _ => Err(StoreError::new(
                StoreErrorKind::Unsupported,
                "this wipe level is unknown here",
            )),
        }
    }
}

impl Default for MemoryStore {
    fn default() -> Self {
        MemoryStore::new()
    }
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let processes = self
            .shards
            .iter()
            .map(|shard| read(shard).len())
            .sum::<usize>();
        f.debug_struct("MemoryStore")
            .field("processes", &processes)
            .finish_non_exhaustive()
    }
}

fn is(slot: &Slot, id: RequestId) -> bool {
    slot.as_ref()
        .is_some_and(|process| process.request_id() == id)
}

/// A panic elsewhere leaves no process half-changed, so its lock is still good.
fn read<T>(lock: &RwLock<T>) -> RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}

fn write<T>(lock: &RwLock<T>) -> RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(PoisonError::into_inner)
}
