//! Who writes while a wipe goes on waits for it for moments only.

use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use milepost::{Change, Durability, NewProcess, Op, Pipeline, Progress, Tracker, WipeLevel};

use super::kills::{open, wipe_until_done};
use crate::law::{Broken, Done, Law, Shard, ensure};
use crate::reads::hold_snapshot;

/// How long others wait for a wipe.
pub static WIPE_WAITS: Law = Law {
    name: "wipe-waits",
    says: "while a large file is wiped, and perhaps read for a tenth of a second at a time, ops that are due every \
           millisecond wait 50 ms at most at p99, and never 500 ms",
    unit: "wipes",
    shard: 5,
    asked: 20,
    run: |shard| {
        if shard.until.is_some() {
            // Briefly, on whatever machine, and in a debug build.
            wipe_waits(
                shard,
                1_500,
                Bounds {
                    p99: 500,
                    most: 5_000,
                },
                wipe_until_done,
            )
        } else {
            wipe_waits(
                shard,
                200_000,
                Bounds { p99: 50, most: 500 },
                wipe_until_done,
            )
        }
    },
};

/// What is allowed, in milliseconds.
#[derive(Debug, Clone, Copy)]
#[expect(clippy::exhaustive_structs, reason = "a test builds it")]
pub struct Bounds {
    /// For all but one of a hundred.
    pub p99: u64,
    /// For every one.
    pub most: u64,
}

/// Wipes files of as many processes, in this way.
pub fn wipe_waits(
    shard: &Shard<'_>,
    processes: usize,
    bounds: Bounds,
    wipe: fn(&Tracker) -> Result<(), Broken>,
) -> Result<Done, Broken> {
    let mut wipes = 0;
    while shard.goes_on(wipes) {
        let mut random = shard.random(wipes);
        let directory = shard.scratch.join(wipes.to_string());
        std::fs::create_dir(&directory)?;
        let file = directory.join("status.db");
        let level = [WipeLevel::Files, WipeLevel::Media][random.usize(..2)];
        let tracker = open(&file, Durability::Normal, level)?;
        let ids = begin(&tracker, processes)?;
        // Only so that it wipes: milepost itself erases in steps too.
        let erase = ids
            .iter()
            .step_by(2)
            .map(|op| tracker.op(op.id, Change::erase()));
        for some in erase.collect::<Vec<_>>().chunks(500) {
            tracker.apply(some)?;
        }
        drop(tracker);
        let durability = [Durability::Full, Durability::Normal][random.usize(..2)];
        let tracker = open(&file, durability, level)?;
        // Whoever wipes shares its store with those who write, or the file alone.
        let other = if random.bool() {
            tracker.clone()
        } else {
            open(&file, durability, level)?
        };
        let is_read = random.bool();
        // What is left of the making, and of files that were removed, is not the wipe's work.
        let synced = Command::new("sync").status()?;
        ensure(synced.success(), || format!("sync: {synced}"))?;
        let stop = AtomicBool::new(false);
        let mut waits = std::thread::scope(|scope| {
            let writer = scope.spawn(|| write_on_time(&other, &ids, &stop));
            let reader = is_read.then(|| scope.spawn(|| read_for_long(&file, &stop)));
            let outcome = wipe(&tracker);
            stop.store(true, Ordering::Relaxed);
            let waits = writer.join().expect("the writer does not panic");
            let read = reader.map(|reader| reader.join().expect("the reader does not panic"));
            outcome.and(read.transpose()).and(waits)
        })?;
        let (p99, most) = p99_and_most(&mut waits);
        println!(
            "wipe-waits: {processes} processes, {level:?}, {durability:?}, read: {is_read}: {} ops, p99 {p99:?}, most {most:?}",
            waits.len(),
        );
        let holds =
            p99 <= Duration::from_millis(bounds.p99) && most <= Duration::from_millis(bounds.most);
        ensure(holds, || {
            format!("others waited {p99:?} at p99 and {most:?} at most, allowed is {bounds:?}")
        })?;
        drop((tracker, other));
        std::fs::remove_dir_all(directory)?;
        wipes += 1;
    }
    Ok(Done::Tried(wipes))
}

/// How long all but one of a hundred waited at most, and how long each did.
fn p99_and_most(waits: &mut [Duration]) -> (Duration, Duration) {
    waits.sort_unstable();
    (waits[waits.len() * 99 / 100], waits[waits.len() - 1])
}

/// Reads for a tenth of a second, again and again.
fn read_for_long(file: &Path, stop: &AtomicBool) -> Result<(), Broken> {
    while !stop.load(Ordering::Relaxed) {
        hold_snapshot(file, Duration::from_millis(100))?;
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

fn begin(tracker: &Tracker, processes: usize) -> Result<Vec<Op>, Broken> {
    let pipeline = Pipeline::new("large", ["ocr", "parser"])?;
    let new = NewProcess::new(&pipeline).file_description(&"+".repeat(200));
    let mut all = Vec::new();
    while all.len() < processes {
        let some = (0..500.min(processes - all.len())).map(|_| tracker.prepare(new.clone()));
        let some = some.collect::<Result<Vec<_>, _>>()?;
        for verdict in tracker.apply(&some)? {
            verdict?;
        }
        all.extend(some);
    }
    Ok(all)
}

/// Sends an op each millisecond, late ones at once; how long each took from when it was due.
fn write_on_time(
    tracker: &Tracker,
    ids: &[Op],
    stop: &AtomicBool,
) -> Result<Vec<Duration>, Broken> {
    let began = Instant::now();
    let mut waits = Vec::new();
    while waits.is_empty() || !stop.load(Ordering::Relaxed) {
        let number = u32::try_from(waits.len()).expect("a wipe ends");
        let due = began + Duration::from_millis(1) * number;
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        // Those that stay.
        let id = ids[((waits.len() * 2) % ids.len()) | 1].id;
        let done = u64::from(number);
        let verdicts =
            tracker.apply(&[tracker.op(id, Change::progress(1, Progress::unbounded(done)))])?;
        verdicts
            .into_iter()
            .next()
            .expect("one op has one verdict")?;
        waits.push(due.elapsed());
    }
    Ok(waits)
}
