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

/// A set of places for each status, so that a list of the few that failed does not pass the many that
/// are complete; and those that will expire, and those that are leased, in the order in which that ends.
#[derive(Default)]
pub(crate) struct Index {
    by_status: [BTreeSet<Place>; OverallStatus::ALL.len()],
    expiring: BTreeSet<(DateTime<Utc>, RequestId)>,
    leased: BTreeSet<(DateTime<Utc>, Place)>,
}

impl Index {
    /// Puts `after` in the stead of `before`; none is a process that is not there.
    pub(crate) fn replace(&mut self, before: Option<Entry>, after: Option<Entry>) {
        if let Some(Entry {
            place,
            status,
            expires_at,
            leased_until,
        }) = before
        {
            self.by_status[usize::from(status.code())].remove(&place);
            if let Some(expiry) = expires_at {
                self.expiring.remove(&(expiry, place.request_id));
            }
            if let Some(until) = leased_until {
                self.leased.remove(&(until, place));
            }
        }
        if let Some(Entry {
            place,
            status,
            expires_at,
            leased_until,
        }) = after
        {
            self.by_status[usize::from(status.code())].insert(place);
            if let Some(expiry) = expires_at {
                self.expiring.insert((expiry, place.request_id));
            }
            if let Some(until) = leased_until {
                self.leased.insert((until, place));
            }
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
        let mut places = Vec::<Place>::new();
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
        places
    }

    /// The places of all processes whose leases had run out by `time`, in no order; none if they are more
    /// than `limit`.
    pub(crate) fn stalled(&self, time: DateTime<Utc>, limit: usize) -> Option<Vec<Place>> {
        let stalled = self.leased.iter().take_while(|(until, _)| *until <= time);
        let places = stalled.take(limit + 1).map(|(_, place)| *place);
        let places = places.collect::<Vec<_>>();
        (places.len() <= limit).then_some(places)
    }

    /// The first `limit` processes that expire at `time` or before.
    pub(crate) fn expired(&self, time: DateTime<Utc>, limit: usize) -> Vec<RequestId> {
        let expired = self
            .expiring
            .iter()
            .take_while(|(expiry, _)| *expiry <= time);
        expired.take(limit).map(|(_, id)| *id).collect()
    }
}
