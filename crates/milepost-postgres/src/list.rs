//! Lists: straight from an index in their order, or collected from another one and sorted.

use std::sync::Arc;

use milepost_core::{Found, Listing, Order, Place, Process, StoreError, limits};
use tokio_postgres::Row;
use tokio_postgres::types::Type;
use uuid::Uuid;

use crate::PostgresStore;
use crate::columns::{indexed, micros, place, process};
use crate::connections::{Parameter, parameter};
use crate::narrow::Narrowed;
use crate::sql::Statements;

/// How many rows of an index that is not in list order are collected and sorted. What matches more than
/// these is common enough to be met soon on a walk in list order.
const COLLECTED: usize = 10_000;

/// How many rows are asked for at once: of a walk that has found little so far the more.
const LARGEST_STEP: usize = 10_000;
/// The same where rows come whole, of which each may be as large as a record.
const LARGEST_STEP_OF_RECORDS: usize = 2_000;

/// Where a list has come, and what was found.
struct Walk<'l> {
    store: &'l PostgresStore,
    listing: &'l Listing,
    items: Vec<Arc<Process>>,
    after: Option<Place>,
}

/// Whether a walk has come to its end.
enum Step {
    /// The page is full, and more follows; or nothing does.
    Ended(Option<Place>),
    GoesOn,
}

impl PostgresStore {
    pub(crate) fn find(&self, listing: &Listing) -> Result<Found, StoreError> {
        let narrowed = Narrowed::of(&listing.filter);
        let mut walk = Walk {
            store: self,
            listing,
            items: Vec::new(),
            after: listing.after,
        };
        let next = match walk.collect(&narrowed)? {
            Step::Ended(next) => next,
            Step::GoesOn if narrowed.asks_for_more() => walk.examine(&narrowed)?,
            Step::GoesOn => walk.read(&narrowed)?,
        };
        Ok(Found::new(walk.items, next))
    }

    fn walk(&self, statement: Which, parameters: Vec<Parameter>) -> Result<Vec<Row>, StoreError> {
        let connections = self.connections().clone();
        self.home().wait(async move {
            let statement = statement(connections.statements());
            connections.walk(statement, parameters).await
        })
    }
}

/// Tells which statement.
type Which = fn(&Statements) -> &str;

impl Walk<'_> {
    /// Walks over whole processes in list order.
    fn read(&mut self, narrowed: &Narrowed) -> Result<Option<Place>, StoreError> {
        let statement: Which = match (narrowed.pipeline.is_some(), self.listing.order) {
            (false, Order::NewestFirst) => |statements| &statements.all_newest,
            (false, Order::OldestFirst) => |statements| &statements.all_oldest,
            (true, Order::NewestFirst) => |statements| &statements.pipeline_newest,
            (true, Order::OldestFirst) => |statements| &statements.pipeline_oldest,
        };
        // One more than is wanted tells whether anything follows.
        let mut wanted = self.listing.limit + 1;
        let mut examined = 0;
        while examined < limits::LIST_EXAMINED {
            wanted = wanted.min(limits::LIST_EXAMINED - examined);
            let rows = self.store.walk(statement, self.bounds(narrowed, wanted))?;
            examined += rows.len();
            for row in &rows {
                let place = place(row)?;
                if let Some(next) = self.full() {
                    return Ok(Some(next));
                }
                self.after = Some(place);
                self.take(process(row)?);
            }
            if rows.len() < wanted {
                return Ok(None);
            }
            wanted = (wanted * 4).min(LARGEST_STEP_OF_RECORDS);
        }
        Ok(self.after)
    }

    /// Walks over what indexes hold in list order, and reads what that lets pass.
    fn examine(&mut self, narrowed: &Narrowed) -> Result<Option<Place>, StoreError> {
        let statement: Which = match (narrowed.pipeline.is_some(), self.listing.order) {
            (false, Order::NewestFirst) => |statements| &statements.examine_all_newest,
            (false, Order::OldestFirst) => |statements| &statements.examine_all_oldest,
            (true, Order::NewestFirst) => |statements| &statements.examine_pipeline_newest,
            (true, Order::OldestFirst) => |statements| &statements.examine_pipeline_oldest,
        };
        let mut examined = 0;
        while examined < limits::LIST_EXAMINED {
            let wanted = LARGEST_STEP.min(limits::LIST_EXAMINED - examined);
            let rows = self.store.walk(statement, self.bounds(narrowed, wanted))?;
            examined += rows.len();
            if let Step::Ended(next) = self.pick(&rows)? {
                return Ok(next);
            }
            if rows.len() < wanted {
                return Ok(None);
            }
        }
        Ok(self.after)
    }

    /// Lists by an index that leaves few; does nothing if it leaves many, or there is none for what is asked.
    fn collect(&mut self, narrowed: &Narrowed) -> Result<Step, StoreError> {
        loop {
            let wanted = LARGEST_STEP.min((self.listing.limit + 1).max(256));
            let Some((statement, conditions)) = source(narrowed, self.listing.order) else {
                return Ok(Step::GoesOn);
            };
            let (micros, id) = self.edge((i64::MIN, i64::MAX));
            let mut parameters = vec![
                parameter(micros, Type::INT8),
                parameter(id, Type::UUID),
                number(wanted),
                number(COLLECTED + 1),
            ];
            parameters.extend(conditions);
            let rows = self.store.walk(statement, parameters)?;
            let collected = rows.first().map_or(0, |row| row.get::<_, i64>(9));
            if usize::try_from(collected).is_ok_and(|collected| collected > COLLECTED) {
                return Ok(Step::GoesOn);
            }
            // Where nothing is left, the number of those collected stands alone.
            let rows = rows
                .into_iter()
                .filter(|row| row.get::<_, Option<Uuid>>(0).is_some())
                .collect::<Vec<_>>();
            if let Step::Ended(next) = self.pick(&rows)? {
                return Ok(Step::Ended(next));
            }
            if rows.len() < wanted {
                return Ok(Step::Ended(None));
            }
        }
    }

    /// Goes over rows in their order, and reads those that may be in the list, as many at a time as the page has room for.
    fn pick(&mut self, rows: &[Row]) -> Result<Step, StoreError> {
        let mut rest = rows;
        while !rest.is_empty() {
            if let Some(next) = self.full() {
                return Ok(Step::Ended(Some(next)));
            }
            let room = self.listing.limit - self.items.len();
            let mut examined = 0;
            let mut passing = Vec::new();
            while passing.len() < room && examined < rest.len() {
                let row = &rest[examined];
                if self.listing.filter.matches_indexed(&indexed(row)?) {
                    passing.push(place(row)?.request_id);
                }
                examined += 1;
            }
            let mut found = self.store.read_by_id(&passing)?;
            for row in &rest[..examined] {
                let place = place(row)?;
                self.after = Some(place);
                // What was begun anew meanwhile stands at another place now.
                let now = found.remove(&place.request_id);
                if let Some(now) = now.filter(|now| Place::of(now) == place) {
                    self.take(now);
                }
            }
            rest = &rest[examined..];
        }
        Ok(Step::GoesOn)
    }

    /// Where to go on, if the page is full.
    fn full(&self) -> Option<Place> {
        self.after
            .filter(|_| self.items.len() == self.listing.limit)
    }

    fn take(&mut self, process: Arc<Process>) {
        if self.listing.filter.matches(&process) {
            self.items.push(process);
        }
    }

    /// The parameters of a walk.
    fn bounds(&self, narrowed: &Narrowed, wanted: usize) -> Vec<Parameter> {
        let (from, before) = narrowed.created();
        let (micros, id) = self.edge((from, before));
        let until = match self.listing.order {
            Order::NewestFirst => from,
            Order::OldestFirst => before,
        };
        let mut bounds = vec![
            parameter(narrowed.statuses.clone(), Type::INT2_ARRAY),
            parameter(micros, Type::INT8),
            parameter(id, Type::UUID),
            parameter(until, Type::INT8),
            number(wanted),
        ];
        bounds.extend(
            narrowed
                .pipeline
                .clone()
                .map(|name| parameter(name, Type::TEXT)),
        );
        bounds
    }

    /// The place behind which the next row is, of those created from one time until before another.
    fn edge(&self, (from, before): (i64, i64)) -> (i64, Uuid) {
        let after = self
            .after
            .map(|place| (micros(place.created_at), Uuid::from(place.request_id)));
        match self.listing.order {
            Order::NewestFirst => {
                let edge = (before, Uuid::nil());
                after.map_or(edge, |after| after.min(edge))
            }
            Order::OldestFirst => {
                let edge = (from.saturating_sub(1), Uuid::max());
                after.map_or(edge, |after| after.max(edge))
            }
        }
    }
}

/// The index that leaves fewest, of those that are not in list order, and what it is asked.
fn source(narrowed: &Narrowed, order: Order) -> Option<(Which, Vec<Parameter>)> {
    if let Some(id) = narrowed.file_id {
        let statement: Which = match order {
            Order::NewestFirst => |statements| &statements.collect_file_newest,
            Order::OldestFirst => |statements| &statements.collect_file_oldest,
        };
        return Some((statement, vec![parameter(Uuid::from(id), Type::UUID)]));
    }
    if let Some(directories) = &narrowed.directories {
        let statement: Which = match order {
            Order::NewestFirst => |statements| &statements.collect_directory_newest,
            Order::OldestFirst => |statements| &statements.collect_directory_oldest,
        };
        return Some((statement, directories.clone().parameters().into()));
    }
    let settled = narrowed.settled.filter(|_| narrowed.pipeline.is_none())?;
    let statement: Which = match order {
        Order::NewestFirst => |statements| &statements.collect_settled_newest,
        Order::OldestFirst => |statements| &statements.collect_settled_oldest,
    };
    let range = [
        settled.from.map_or(i64::MIN, micros),
        settled.before.map_or(i64::MAX, micros),
    ];
    Some((
        statement,
        range.map(|edge| parameter(edge, Type::INT8)).into(),
    ))
}

fn number(of: usize) -> Parameter {
    let number = i64::try_from(of).expect("steps are small");
    parameter(number, Type::INT8)
}
