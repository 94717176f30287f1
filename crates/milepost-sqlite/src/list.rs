//! Lists: straight from the index of a pipeline in their order, gathered from those of all pipelines, or collected
//! from another index and sorted.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use milepost_core::{Found, Listing, Order, OverallStatus, Place, StoreError, Term, limits};
use rusqlite::fallible_streaming_iterator::FallibleStreamingIterator;
use rusqlite::{CachedStatement, Connection, OptionalExtension as _, params};

use crate::columns::{self, id_bytes, micros};
use crate::error::{corrupt, store_error};
use crate::rows::{Home, LastTable, Rows, Table};
use crate::source::Source;
use crate::sql;

/// How many rows of an index that is not in list order are collected and sorted. What matches more than
/// these is common enough to be met soon on a walk in list order.
const COLLECTED: usize = 10_000;

/// How many places are looked for at once, where pipelines are many.
const GATHERED: usize = 64;

/// Answers a listing within the read transaction that `connection` is in.
pub(crate) fn list(
    connection: &Connection,
    last: &LastTable,
    listing: &Listing,
) -> Result<Found, StoreError> {
    let source = Source::of(&listing.filter);
    match &source {
        Source::Pipeline(name) => return merge(connection, listing, name),
        Source::File(_) | Source::Stalled { .. } | Source::Directories(_) | Source::Settled(_) => {
            if let Some(places) = collect(connection, listing, &source)? {
                return pick(Rows::new(connection, last), listing, places);
            }
        }
        Source::All => {}
    }
    let pipeline = listing.filter.terms.iter().find_map(|term| match term {
        Term::Pipeline(name) => Some(name),
        _ => None,
    });
    match pipeline {
        Some(name) => merge(connection, listing, name),
        None => gather(Rows::new(connection, last), connection, listing),
    }
}

/// Merges what the index of a pipeline holds in order: a stream for each table and status.
fn merge(connection: &Connection, listing: &Listing, pipeline: &str) -> Result<Found, StoreError> {
    let statements = match listing.order {
        Order::NewestFirst => sql::NEWEST,
        Order::OldestFirst => sql::OLDEST,
    };
    let bounds = Bounds::of(listing);
    let mut prepared = Vec::new();
    for status in listing.filter.statuses() {
        for table in Table::BOTH {
            let statement = connection
                .prepare_cached(table.of(statements))
                .map_err(store_error)?;
            prepared.push((status, statement));
        }
    }
    let mut streams = Vec::with_capacity(prepared.len());
    for (status, statement) in &mut prepared {
        let rows = bounds.query(statement, pipeline, *status, NO_LIMIT)?;
        streams.push(Stream::open(rows, *status)?);
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
        let row = stream.rows.get();
        let row = row.ok_or_else(|| corrupt("a list lost its row"))?;
        let process = columns::listed(row, place, stream.status, pipeline)?;
        if listing.filter.matches(&process) {
            items.push(process);
        }
        stream.advance()?;
    }
    Ok(Found::new(items, last))
}

/// Lists over all pipelines: takes the first places of each, again and again, and reads those that come first
/// of all. Each pipeline costs a look into the index, whatever the number of its processes.
fn gather(
    mut rows: Rows<'_>,
    connection: &Connection,
    listing: &Listing,
) -> Result<Found, StoreError> {
    let pipelines = pipelines(connection)?;
    let mut items = Vec::new();
    let mut after = listing.after;
    let mut examined = 0;
    while examined < limits::LIST_EXAMINED {
        // One more than is wanted tells whether anything follows.
        let wanted = GATHERED.max(listing.limit - items.len() + 1);
        let wanted = wanted.min(limits::LIST_EXAMINED - examined);
        let places = first_places(connection, listing, after, &pipelines, wanted)?;
        let are_all = places.len() < wanted;
        examined += places.len();
        for (place, home) in places {
            if items.len() == listing.limit {
                return Ok(Found::new(items, after));
            }
            after = Some(place);
            let process = rows.at(home, place.request_id)?;
            if listing.filter.matches(&process) {
                items.push(process);
            }
        }
        if are_all {
            return Ok(Found::new(items, None));
        }
    }
    Ok(Found::new(items, after))
}

/// The names of all pipelines that have processes.
fn pipelines(connection: &Connection) -> Result<BTreeSet<String>, StoreError> {
    let mut names = BTreeSet::new();
    for table in Table::BOTH {
        let mut next = connection
            .prepare_cached(table.of(sql::NEXT_PIPELINE))
            .map_err(store_error)?;
        let mut name = String::new();
        while let Some(after) = next
            .query_row([&name], |row| row.get::<_, String>(0))
            .optional()
            .map_err(store_error)?
        {
            name.clone_from(&after);
            names.insert(after);
        }
    }
    Ok(names)
}

/// The first places of all pipelines together, in the order of the list.
fn first_places(
    connection: &Connection,
    listing: &Listing,
    after: Option<Place>,
    pipelines: &BTreeSet<String>,
    wanted: usize,
) -> Result<Vec<(Place, Home)>, StoreError> {
    let statements = match listing.order {
        Order::NewestFirst => sql::NEWEST_PLACES,
        Order::OldestFirst => sql::OLDEST_PLACES,
    };
    let mut bounds = Bounds::from(listing, after);
    let mut places = Vec::new();
    for table in Table::BOTH {
        let mut statement = connection
            .prepare_cached(table.of(statements))
            .map_err(store_error)?;
        for pipeline in pipelines {
            for status in listing.filter.statuses() {
                let mut rows = bounds.query(&mut statement, pipeline, status, wanted)?;
                while let Some(row) = rows.next().map_err(store_error)? {
                    let home = Home {
                        table,
                        row: row.get(2).map_err(store_error)?,
                    };
                    places.push((columns::place(row)?, home));
                }
                drop(rows);
                if places.len() >= 2 * wanted {
                    sort(&mut places, listing.order);
                    places.truncate(wanted);
                    // What lies behind the last of these is not among the first.
                    bounds.until_at(places[wanted - 1].0);
                }
            }
        }
    }
    sort(&mut places, listing.order);
    places.truncate(wanted);
    Ok(places)
}

fn sort(places: &mut [(Place, Home)], order: Order) {
    places.sort_unstable_by_key(|(place, _)| *place);
    if order == Order::NewestFirst {
        places.reverse();
    }
}

/// Rows in the order of the list, and the place of the one that comes next.
struct Stream<'s> {
    rows: rusqlite::Rows<'s>,
    status: OverallStatus,
    head: Option<Place>,
}

impl<'s> Stream<'s> {
    fn open(rows: rusqlite::Rows<'s>, status: OverallStatus) -> Result<Self, StoreError> {
        let mut stream = Stream {
            rows,
            status,
            head: None,
        };
        stream.advance()?;
        Ok(stream)
    }

    fn advance(&mut self) -> Result<(), StoreError> {
        self.head = self
            .rows
            .next()
            .map_err(store_error)?
            .map(columns::place)
            .transpose()?;
        Ok(())
    }
}

/// No limit at all, as SQLite has it.
const NO_LIMIT: usize = usize::MAX;

/// Where to begin, exclusively, and where to end.
struct Bounds {
    order: Order,
    micros: i64,
    /// Empty is less than any id: at the same time all ids lie behind it, seen from the oldest.
    id: Vec<u8>,
    until: i64,
}

impl Bounds {
    fn of(listing: &Listing) -> Self {
        Bounds::from(listing, listing.after)
    }

    fn from(listing: &Listing, after: Option<Place>) -> Self {
        let mut from = i64::MIN;
        let mut before = i64::MAX;
        for term in &listing.filter.terms {
            if let Term::Created(range) = term {
                from = from.max(range.from.map_or(i64::MIN, micros));
                before = before.min(range.before.map_or(i64::MAX, micros));
            }
        }
        let after = after.map(|place| {
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
        Bounds {
            order: listing.order,
            micros,
            id,
            until,
        }
    }

    /// Ends them where this place is, which still lies within.
    fn until_at(&mut self, place: Place) {
        let at = micros(place.created_at);
        self.until = match self.order {
            Order::NewestFirst => self.until.max(at),
            Order::OldestFirst => self.until.min(at.saturating_add(1)),
        };
    }

    fn query<'s>(
        &self,
        statement: &'s mut CachedStatement<'_>,
        pipeline: &str,
        status: OverallStatus,
        limit: usize,
    ) -> Result<rusqlite::Rows<'s>, StoreError> {
        let limit = i64::try_from(limit).unwrap_or(-1);
        let parameters = params![
            pipeline,
            status.code(),
            self.micros,
            self.id,
            self.until,
            limit
        ];
        statement.query(parameters).map_err(store_error)
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
    sort(&mut places, listing.order);
    Ok(Some(places))
}

/// Reads the first of these places that match.
fn pick(
    mut rows: Rows<'_>,
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
        let process = rows.at(home, place.request_id)?;
        if listing.filter.matches(&process) {
            items.push(process);
        }
    }
    Ok(Found::new(items, None))
}
