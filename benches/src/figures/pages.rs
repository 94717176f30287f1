//! SQLite pages and counts at the large size.
//!
//! Both sides: 50 complete processes of one pipeline, newest first, read whole; the first page, and pages that go on
//! behind places spread over the whole depth, by cursor beside a comparison of keys. The count by status stands beside
//! SQLite's own `SELECT status, count(*) .. GROUP BY status` over the hand-written table; its figure is the time taken.

use std::time::Instant;

use milepost::{Cursor, OverallStatus, Query};
use uuid::Uuid;

use crate::baseline::Status;
use crate::rounds::{Outcome, in_turns, rate};
use crate::run::{Level, Pair, Run};
use crate::table::Target;
use crate::workload::PIPELINE;

pub(super) const PAGE: u32 = 50;
const WALKED: u32 = 1000;
/// How many places deep pages begin at.
const PLACES: usize = 20;

type Place = (i64, Uuid);

pub(super) fn measure(run: &mut Run) -> Outcome<()> {
    let name = |which| {
        format!(
            "SQLite {which} page of {PAGE}, of {}: pages/s",
            run.scale.large
        )
    };
    let (first, deep) = (name("first"), name("deep"));
    let count = format!("SQLite count by status, of {}: ms", run.scale.large);
    if run.wants(&first) {
        pages(run, &first, &[None], &[None])?;
    }
    if run.wants(&deep) {
        let pair = run.pair(run.scale.large, Level::Normal)?;
        let (ours, theirs) = (our_places(&pair)?, their_places(&pair)?);
        pages(run, &deep, &ours, &theirs)?;
    }
    if run.wants(&count) {
        counts(run, &count)?;
    }
    Ok(())
}

fn pages(
    run: &mut Run,
    figure: &str,
    ours: &[Option<Cursor>],
    theirs: &[Option<Place>],
) -> Outcome<()> {
    let pair = run.pair(run.scale.large, Level::Normal)?;
    let (mut ours, mut theirs) = (ours.iter().cycle(), theirs.iter().cycle());
    let compared = in_turns(
        run.scale.rounds,
        || {
            rate(run.scale.turn, 1, || {
                let after = *ours.next().ok_or("no place")?;
                our_page(&pair, PAGE, after).map(drop)
            })
        },
        || {
            rate(run.scale.turn, 1, || {
                let after = *theirs.next().ok_or("no place")?;
                their_page(&pair, PAGE, after).map(drop)
            })
        },
    )?;
    run.compared(figure, compared, Target::AtLeast(0.7));
    Ok(())
}

/// A whole page, and where to go on.
fn our_page(pair: &Pair, limit: u32, after: Option<Cursor>) -> Outcome<Option<Cursor>> {
    let limit = usize::try_from(limit)?;
    let mut query = Query::new()
        .pipeline(PIPELINE)
        .status(OverallStatus::Complete)
        .limit(limit);
    if let Some(after) = after {
        query = query.after(after);
    }
    let page = pair.ours.tracker.list(&query)?;
    if page.items.len() != limit {
        return Err(format!("a page has {} processes", page.items.len()).into());
    }
    Ok(page.next)
}

pub(super) fn their_page(pair: &Pair, limit: u32, after: Option<Place>) -> Outcome<Option<Place>> {
    let page = pair
        .theirs
        .store
        .page(PIPELINE, Status::Complete, limit, after)?;
    if page.len() != usize::try_from(limit)? {
        return Err(format!("a page has {} processes", page.len()).into());
    }
    Ok(page.last().map(|last| (last.created_at, last.id)))
}

fn our_places(pair: &Pair) -> Outcome<Vec<Option<Cursor>>> {
    spread(pair.our_ids.len(), |after| our_page(pair, WALKED, after))
}

fn their_places(pair: &Pair) -> Outcome<Vec<Option<Place>>> {
    spread(pair.their_ids.len(), |after| {
        their_page(pair, WALKED, after)
    })
}

/// Walks over all but the last page, and keeps some of the places on the way.
fn spread<P: Copy>(
    processes: usize,
    mut next: impl FnMut(Option<P>) -> Outcome<Option<P>>,
) -> Outcome<Vec<Option<P>>> {
    // The last page may be short, and what lies behind a place must fill a page.
    let pages = (processes / usize::try_from(WALKED)?)
        .saturating_sub(1)
        .max(1);
    let (mut places, mut after) = (Vec::new(), None);
    for page in 1..=pages {
        after = next(after)?;
        if page % pages.div_ceil(PLACES) == 0 {
            places.push(after);
        }
    }
    if places.is_empty() {
        return Err("there is no deep page".into());
    }
    Ok(places)
}

fn counts(run: &mut Run, figure: &str) -> Outcome<()> {
    let pair = run.pair(run.scale.large, Level::Normal)?;
    let at_least = u64::try_from(run.scale.large)?;
    let compared = in_turns(
        run.scale.rounds,
        || {
            let began = Instant::now();
            let counts = pair.ours.tracker.count(&Query::new())?;
            let took = began.elapsed();
            if !counts.is_exact() || counts.total() < at_least {
                return Err("the count is not exact".into());
            }
            Ok(took.as_secs_f64() * 1e3)
        },
        || {
            let began = Instant::now();
            let counts = pair.theirs.store.counts()?;
            let took = began.elapsed();
            if counts.iter().map(|(_, count)| count).sum::<u64>() < at_least {
                return Err("the count is too small".into());
            }
            Ok(took.as_secs_f64() * 1e3)
        },
    )?;
    run.compared(figure, compared, Target::AtMost(1.5));
    Ok(())
}
