//! The figures of one side at one size.

use std::path::Path;
use std::time::{Duration, Instant};

use milepost::{Clock, SystemClock};
use milepost_benches::proc;
use milepost_benches::rounds::{Outcome, rate};
use milepost_benches::workload::{Ids, LIVE, Lives};
use uuid::Uuid;

use crate::sides::Side;

/// What is measured and what it is counted in, in the order in which [`measure`] answers.
pub(crate) const FIGURES: [(&str, &str); 10] = [
    ("lifecycle, 1 op a call", "ops/s"),
    ("lifecycle, 100 ops a call", "ops/s"),
    ("status by id", "reads/s"),
    ("first page of 50", "pages/s"),
    ("deep page of 50", "pages/s"),
    ("purge", "processes/s"),
    ("count by status", "ms"),
    ("open, and read one", "ms"),
    ("file", "bytes a process"),
    ("resident memory", "MiB"),
];

/// How long a rate is measured.
const TURN: Duration = Duration::from_secs(1);
const FILLED_AT_ONCE: u64 = 1000;
/// How many ids are kept for reading: memory stays bounded, and they are spread over the whole file. They are in
/// the figure of the memory, with 16 bytes each.
const SAMPLE: u64 = 100_000;
const PAGE: u32 = 50;
const WALKED_AT_ONCE: u32 = 1000;
/// How deep a walk goes for the places where deep pages begin, at most: to the middle of a million.
const DEPTH: u64 = 500_000;
/// After this the processes expire that are to be purged.
const EXPIRY: Duration = Duration::from_millis(500);

/// Fills a file, and measures everything on it.
pub(crate) fn measure<S: Side>(path: &Path, processes: u64) -> Outcome<Vec<f64>> {
    let ids = fill(&S::open(path)?, processes)?;
    let bytes = std::fs::metadata(path)?.len();
    let opening = open_and_read::<S>(path, &ids)?;

    let side = S::open(path)?;
    let mut random = ids.iter().cycle();
    let reads = rate(TURN, 1, || side.status(*random.next().ok_or("no id")?))?;
    let first = rate(TURN, 1, || full_page(&side, None))?;
    let places = places(&side, processes / 2)?;
    let mut deep = places.iter().cycle();
    let deep = rate(TURN, 1, || full_page(&side, deep.next()))?;
    let counting = 1000.0 / rate(TURN, 1, || count(&side, processes))?;
    // From here on the file grows, by little beside what is in it.
    let mut lives = Lives::start(&side, LIVE, Ids::Own)?;
    let alone = rate(TURN, 1, || lives.turn(&side))?;
    let together = 100.0 * rate(TURN, 1, || lives.batch(&side, 100))?;
    let purged = purge(&side, processes)?;
    let resident = proc::resident()? / f64::from(1 << 20);
    #[expect(clippy::cast_precision_loss, reason = "figures for people")]
    let bytes = bytes as f64 / processes as f64;
    Ok(vec![
        alone, together, reads, first, deep, purged, counting, opening, bytes, resident,
    ])
}

/// Fills the file; answers ids from all over it, in random order.
fn fill<S: Side>(side: &S, processes: u64) -> Outcome<Vec<Uuid>> {
    let stride = usize::try_from(processes.div_ceil(SAMPLE))?;
    let mut sample = Vec::new();
    let mut filled = 0;
    while filled < processes {
        let some = FILLED_AT_ONCE.min(processes - filled);
        let ids = side.settled(usize::try_from(some)?, Ids::Own, None)?;
        sample.extend(ids.iter().step_by(stride));
        filled += some;
    }
    sample.sort_by_cached_key(|_| SystemClock.random());
    Ok(sample)
}

/// The median of a few, in milliseconds; each closes the file again.
fn open_and_read<S: Side>(path: &Path, ids: &[Uuid]) -> Outcome<f64> {
    let mut took = Vec::new();
    for id in ids.iter().cycle().take(9) {
        let began = Instant::now();
        S::open(path)?.status(*id)?;
        took.push(began.elapsed());
    }
    took.sort_unstable();
    Ok(took[took.len() / 2].as_secs_f64() * 1000.0)
}

fn full_page<S: Side>(side: &S, after: Option<&S::Place>) -> Outcome<()> {
    let (found, _) = side.page(PAGE, after)?;
    assert_eq!(found, usize::try_from(PAGE)?, "the page is full");
    Ok(())
}

/// Places to go on from, spread from the newest process to the one at this depth.
fn places<S: Side>(side: &S, depth: u64) -> Outcome<Vec<S::Place>> {
    let mut places = Vec::<S::Place>::new();
    for _ in 0..depth.min(DEPTH).div_ceil(u64::from(WALKED_AT_ONCE)) {
        let (_, next) = side.page(WALKED_AT_ONCE, places.last())?;
        places.push(next.ok_or("the list ends before its middle")?);
    }
    Ok(places)
}

fn count<S: Side>(side: &S, processes: u64) -> Outcome<()> {
    assert_eq!(side.count()?, processes, "all are counted");
    Ok(())
}

/// Processes a second, of some that have just expired among all that stay.
fn purge<S: Side>(side: &S, processes: u64) -> Outcome<f64> {
    let expiring = (processes / 10).clamp(FILLED_AT_ONCE, 20 * FILLED_AT_ONCE) / FILLED_AT_ONCE;
    for _ in 0..expiring {
        side.settled(usize::try_from(FILLED_AT_ONCE)?, Ids::Own, Some(EXPIRY))?;
    }
    std::thread::sleep(EXPIRY);
    let began = Instant::now();
    let purged = side.purge()?;
    let took = began.elapsed().as_secs_f64();
    assert_eq!(
        u64::try_from(purged)?,
        expiring * FILLED_AT_ONCE,
        "all have gone"
    );
    #[expect(clippy::cast_precision_loss, reason = "figures for people")]
    let rate = purged as f64 / took;
    Ok(rate)
}
