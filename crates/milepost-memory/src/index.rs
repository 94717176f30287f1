//! The ordered index: which processes there are, in the order of every list.

use std::collections::BTreeSet;
use std::ops::Bound;

use chrono::{DateTime, Utc};
use milepost_core::{Order, OverallStatus, Place, Process, RequestId};

/// What the index holds of one process. As long as this stays the same, a change leaves the index alone.
#[derive(Clone, Copy, PartialEq)]
pub(crate) struct Entry {
    place: Place,
    status: OverallStatus,
    expires_at: Option<DateTime<Utc>>,
    leased_until: Option<DateTime<Utc>>,
}

impl Entry {
    pub(crate) fn of(process: &Process) -> Self {
        Entry {
            place: Place::of(process),
            status: process.status(),
            expires_at: process.expires_at(),
            leased_until: process.leased_until(),
        }
    }
}

/// A place as sets keep it: processes keep their times to the microsecond, and so ordered it is smaller and
/// compared in fewer steps.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    micros: i64,
    request_id: RequestId,
}

impl Key {
    fn new(time: DateTime<Utc>, request_id: RequestId) -> Self {
        Key {
            micros: time.timestamp_micros(),
            request_id,
        }
    }

    fn of(place: Place) -> Self {
        Key::new(place.created_at, place.request_id)
    }

    fn place(self) -> Place {
        let time = DateTime::from_timestamp_micros(self.micros);
        Place {
            created_at: time.expect("it was made of a time"),
            request_id: self.request_id,
        }
    }
}

/// A set of places for each status, so that a list of the few that failed does not pass the many that
/// are complete; and those that will expire, and those that are leased, in the order in which that ends.
#[derive(Default)]
pub(crate) struct Index {
    by_status: [BTreeSet<Key>; OverallStatus::ALL.len()],
    expiring: BTreeSet<Key>,
    leased: BTreeSet<(i64, Key)>,
}

impl Index {
    /// Puts `after` in the stead of `before`; none is a process that is not there.
    pub(crate) fn replace(&mut self, before: Option<Entry>, after: Option<Entry>) {
        if let Some(before) = before {
            self.remove(before);
        }
        if let Some(after) = after {
            self.insert(after);
        }
    }

    fn remove(&mut self, entry: Entry) {
        let key = Key::of(entry.place);
        self.by_status[usize::from(entry.status.code())].remove(&key);
        if let Some(expiry) = entry.expires_at {
            self.expiring.remove(&Key::new(expiry, key.request_id));
        }
        if let Some(until) = entry.leased_until {
            self.leased.remove(&(until.timestamp_micros(), key));
        }
    }

    fn insert(&mut self, entry: Entry) {
        let key = Key::of(entry.place);
        self.by_status[usize::from(entry.status.code())].insert(key);
        if let Some(expiry) = entry.expires_at {
            self.expiring.insert(Key::new(expiry, key.request_id));
        }
        if let Some(until) = entry.leased_until {
            self.leased.insert((until.timestamp_micros(), key));
        }
    }

    /// The first `limit` places behind `after`, of processes in one of `statuses`.
    pub(crate) fn places(
        &self,
        statuses: &[OverallStatus],
        order: Order,
        after: Option<Place>,
        limit: usize,
    ) -> Vec<Place> {
        let after = after.map(Key::of);
        let mut places = Vec::<Key>::new();
        for status in statuses {
            let set = &self.by_status[usize::from(status.code())];
            // The first places of all sets together are among the first of each.
            match order {
                Order::OldestFirst => {
                    let from = after.map_or(Bound::Unbounded, Bound::Excluded);
                    places.extend(set.range((from, Bound::Unbounded)).take(limit));
                }
                Order::NewestFirst => {
                    let to = after.map_or(Bound::Unbounded, Bound::Excluded);
                    places.extend(set.range((Bound::Unbounded, to)).rev().take(limit));
                }
            }
        }
        match order {
            Order::OldestFirst => places.sort_unstable(),
            Order::NewestFirst => places.sort_unstable_by(|one, other| other.cmp(one)),
        }
        places.truncate(limit);
        places.into_iter().map(Key::place).collect()
    }

    /// The places of all processes whose leases had run out by `time`, in no order; none if they are more
    /// than `limit`.
    pub(crate) fn stalled(&self, time: DateTime<Utc>, limit: usize) -> Option<Vec<Place>> {
        let time = time.timestamp_micros();
        let stalled = self.leased.iter().take_while(|(until, _)| *until <= time);
        let places = stalled.take(limit + 1).map(|(_, key)| key.place());
        let places = places.collect::<Vec<_>>();
        (places.len() <= limit).then_some(places)
    }

    /// The first `limit` processes that expire at `time` or before.
    pub(crate) fn expired(&self, time: DateTime<Utc>, limit: usize) -> Vec<RequestId> {
        let time = time.timestamp_micros();
        let expired = self.expiring.iter().take_while(|key| key.micros <= time);
        expired.take(limit).map(|key| key.request_id).collect()
    }
}
