//! Lists: straight from an index in their order, or collected from another and sorted.

use std::ops::ControlFlow;

use milepost_core::{Found, Listing, Order, Place, StoreError, Term, limits};
use rusqlite::fallible_streaming_iterator::FallibleStreamingIterator;
use rusqlite::{Connection, Rows, ToSql};

use crate::error::{corrupt, store_error};
use crate::rows::{self, Home, Table, id_bytes, micros};
use crate::source::Source;
use crate::sql;

/// How many rows of an index that is not in list order are collected and sorted. What matches more than
/// these is common enough to be met soon on a walk in list order.
const COLLECTED: usize = 10_000;

/// Answers a listing within the read transaction that `connection` is in.
pub(crate) fn list(connection: &Connection, listing: &Listing) -> Result<Found, StoreError> {
    match Source::of(&listing.filter) {
        Source::Pipeline(_) | Source::All => merge(connection, listing),
        source @ (Source::File(_)
        | Source::Stalled { .. }
        | Source::Directories(_)
        | Source::Settled(_)) => match collect(connection, listing, &source)? {
            Some(places) => pick(connection, listing, places),
            None => merge(connection, listing),
        },
    }
}

/// Merges what the index holds in order: a stream for each table and status.
fn merge(connection: &Connection, listing: &Listing) -> Result<Found, StoreError> {
    let pipeline = listing.filter.terms.iter().find_map(|term| match term {
        Term::Pipeline(name) => Some(name),
        _ => None,
    });
    let statements = match (listing.order, pipeline) {
        (Order::NewestFirst, None) => sql::NEWEST_BY_STATUS,
        (Order::OldestFirst, None) => sql::OLDEST_BY_STATUS,
        (Order::NewestFirst, Some(_)) => sql::NEWEST_BY_PIPELINE,
        (Order::OldestFirst, Some(_)) => sql::OLDEST_BY_PIPELINE,
    };
    let bounds = Bounds::of(listing);
    let mut prepared = Vec::new();
    for status in listing.filter.statuses() {
        for table in Table::BOTH {
            let statement = connection
                .prepare_cached(table.of(statements))
                .map_err(store_error)?;
            prepared.push((status.code(), statement));
        }
    }
    let mut streams = Vec::with_capacity(prepared.len());
    for (status, statement) in &mut prepared {
        let mut parameters: Vec<&dyn ToSql> =
            vec![status, &bounds.micros, &bounds.id, &bounds.until];
        parameters.extend(pipeline.as_ref().map(|name| name as &dyn ToSql));
        streams.push(Stream::open(
            statement.query(&*parameters).map_err(store_error)?,
        )?);
    }

    let mut items = Vec::new();
    let mut last = listing.after;
    for _ in 0..limits::LIST_EXAMINED {
        let heads = streams.iter_mut().filter(|stream| stream.head.is_some());
        let next = match listing.order {
            Order::NewestFirst => heads.max_by_key(|stream| stream.head),
            Order::OldestFirst => heads.min_by_key(|stream| stream.head),
        };
        let Some((stream, place)) =
            next.and_then(|stream| stream.head.map(|place| (stream, place)))
        else {
            return Ok(Found::new(items, None));
        };
        if items.len() == listing.limit {
            return Ok(Found::new(items, last));
        }
        last = Some(place);
        let row = stream.rows.get().ok_or(corrupt("a list lost its row"))?;
        let process = rows::decode(row, 1, place.request_id)?;
        if listing.filter.matches(&process) {
            items.push(process);
        }
        stream.advance()?;
    }
    Ok(Found::new(items, last))
}

/// Rows in the order of the list, and the place of the one that comes next.
struct Stream<'s> {
    rows: Rows<'s>,
    head: Option<Place>,
}

impl<'s> Stream<'s> {
    fn open(rows: Rows<'s>) -> Result<Self, StoreError> {
        let mut stream = Stream { rows, head: None };
        stream.advance()?;
        Ok(stream)
    }

    fn advance(&mut self) -> Result<(), StoreError> {
        self.head = self
            .rows
            .next()
            .map_err(store_error)?
            .map(rows::place)
            .transpose()?;
        Ok(())
    }
}

/// Where the streams begin, exclusively, and where they end.
struct Bounds {
    micros: i64,
    /// Empty is less than any id: at the same time all ids lie behind it, seen from the oldest.
    id: Vec<u8>,
    until: i64,
}

impl Bounds {
    fn of(listing: &Listing) -> Self {
        let mut from = i64::MIN;
        let mut before = i64::MAX;
        for term in &listing.filter.terms {
            if let Term::Created(range) = term {
                from = from.max(range.from.map_or(i64::MIN, micros));
                before = before.min(range.before.map_or(i64::MAX, micros));
            }
        }
        let after = listing.after.map(|place| {
            (
                micros(place.created_at),
                id_bytes(place.request_id).to_vec(),
            )
        });
        let (edge, until) = match listing.order {
            Order::NewestFirst => ((before, Vec::new()), from),
            Order::OldestFirst => ((from, Vec::new()), before),
        };
        let (micros, id) = match (after, listing.order) {
            (None, _) => edge,
            (Some(after), Order::NewestFirst) => after.min(edge),
            (Some(after), Order::OldestFirst) => after.max(edge),
        };
        Bounds { micros, id, until }
    }
}

/// All places of a source that may match and lie behind the beginning, sorted; none if there are too many.
fn collect(
    connection: &Connection,
    listing: &Listing,
    source: &Source<'_>,
) -> Result<Option<Vec<(Place, Home)>>, StoreError> {
    let mut places = Vec::new();
    let mut examined = 0;
    let scanned = source.scan(connection, |table, scanned| {
        examined += 1;
        if examined > COLLECTED {
            return Ok(ControlFlow::Break(()));
        }
        let behind = listing
            .after
            .is_none_or(|after| scanned.place.is_behind(after, listing.order));
        if behind && listing.filter.matches_indexed(&scanned.indexed) {
            places.push((
                scanned.place,
                Home {
                    table,
                    row: scanned.row,
                },
            ));
        }
        Ok(ControlFlow::Continue(()))
    })?;
    if scanned.is_break() {
        return Ok(None);
    }
    places.sort_unstable_by_key(|(place, _)| *place);
    if listing.order == Order::NewestFirst {
        places.reverse();
    }
    Ok(Some(places))
}

/// Reads the first of these places that match.
fn pick(
    connection: &Connection,
    listing: &Listing,
    places: Vec<(Place, Home)>,
) -> Result<Found, StoreError> {
    let mut items = Vec::new();
    let mut last = listing.after;
    for (place, home) in places {
        if items.len() == listing.limit {
            return Ok(Found::new(items, last));
        }
        last = Some(place);
        let process = rows::record(connection, home, place.request_id)?;
        if listing.filter.matches(&process) {
            items.push(process);
        }
    }
    Ok(Found::new(items, None))
}
