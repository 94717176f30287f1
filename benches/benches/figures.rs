//! Prints how fast milepost is beside hand-written code, on the same settings, in the same run.

use std::error::Error;
use std::path::Path;
use std::time::{Duration, Instant};

use milepost::{
    Change, Clock, Durability, FileId, MemoryStore, NewProcess, OverallStatus, Pipeline, Query,
    RequestId, SqliteConfig, SqliteStore, StatusStore, SystemClock, Tracker,
};
use milepost_benches::baseline::{HandWritten, MODULES};
use uuid::Uuid;

type Outcome<T> = Result<T, Box<dyn Error>>;

/// A process is begun once and moved on as often as this: each module starts and completes.
const STEPS: usize = 2 * MODULES;
const FILE: &str =
    "a-file-of-about-ninety-bytes-of-text-as-hosts-have-them-in-their-trackers-0123456789.pdf";

fn main() -> Outcome<()> {
    // `cargo bench` passes `--bench`; `cargo test --benches` does not, and wants to see it run, briefly.
    let brief = !std::env::args().any(|argument| argument == "--bench");
    let size = if brief { 90 } else { 20_000 };
    println!(
        "{:<46} {:>12} {:>12} {:>7}",
        "figure (a second)", "milepost", "by hand", "ratio"
    );
    for (durability, name) in [(Durability::Full, "FULL"), (Durability::Normal, "NORMAL")] {
        let processes = if name == "FULL" { size / 10 } else { size };
        for batch in [1, 100] {
            let directory = tempfile::tempdir()?;
            let ours = sqlite(&directory.path().join("ours.db"), durability)?;
            let theirs = HandWritten::create(&directory.path().join("theirs.db"), name)?;
            let figure = format!("SQLite lifecycle, {batch} a commit, {name}");
            let mut theirs_took = Duration::ZERO;
            let mut ours_took = Duration::ZERO;
            // In turns, so that a slow moment of the machine falls on both.
            for _ in 0..5 {
                ours_took += ours_lifecycle(&ours, processes / 5, batch)?;
                theirs_took += theirs_lifecycle(&theirs, processes / 5, batch)?;
            }
            let ops = processes / 5 * 5 * (STEPS + 1);
            row(&figure, ops, ours_took, theirs_took);
        }
    }
    let directory = tempfile::tempdir()?;
    reads(directory.path(), size)?;
    memory(size)
}

fn row(figure: &str, count: usize, ours: Duration, theirs: Duration) {
    #[expect(clippy::cast_precision_loss, reason = "figures for people")]
    let rate = |took: Duration| count as f64 / took.as_secs_f64();
    let ratio = theirs.as_secs_f64() / ours.as_secs_f64();
    println!(
        "{figure:<46} {:>12.0} {:>12.0} {ratio:>7.2}",
        rate(ours),
        rate(theirs)
    );
}

fn sqlite(path: &Path, durability: Durability) -> Outcome<Tracker> {
    let config = SqliteConfig {
        durability,
        ..SqliteConfig::new(path)
    };
    Ok(Tracker::new(SqliteStore::open_with(config)?))
}

fn pipeline() -> Outcome<Pipeline> {
    Ok(Pipeline::new(
        "bench",
        ["ocr", "parser", "summary", "keyword"],
    )?)
}

fn begin_op(tracker: &Tracker, pipeline: &Pipeline) -> Outcome<milepost::Op> {
    Ok(tracker.prepare(NewProcess::new(pipeline).file_id(file_id()).file_name(FILE))?)
}

fn file_id() -> FileId {
    Uuid::from_u128(SystemClock.random()).into()
}

/// The `step`th thing that happens to a process.
fn change(step: usize) -> Change {
    let module = step / 2 + 1;
    if step.is_multiple_of(2) {
        Change::start(module)
    } else {
        Change::complete(module)
    }
}

/// Whole lives of `processes`, `batch` side by side and as many ops a commit.
fn ours_lifecycle(tracker: &Tracker, processes: usize, batch: usize) -> Outcome<Duration> {
    let pipeline = pipeline()?;
    let began = Instant::now();
    for _ in 0..processes.div_ceil(batch) {
        let ops = (0..batch)
            .map(|_| begin_op(tracker, &pipeline))
            .collect::<Outcome<Vec<_>>>()?;
        let ids = ops.iter().map(|op| op.id).collect::<Vec<_>>();
        settle(tracker.apply(&ops)?)?;
        for step in 0..STEPS {
            let ops = ids
                .iter()
                .map(|id| tracker.op(*id, change(step)))
                .collect::<Vec<_>>();
            settle(tracker.apply(&ops)?)?;
        }
    }
    Ok(began.elapsed())
}

fn settle(verdicts: Vec<milepost::Verdict>) -> Outcome<()> {
    for verdict in verdicts {
        assert!(
            verdict?.changed,
            "every op of a lifecycle changes something"
        );
    }
    Ok(())
}

fn theirs_lifecycle(tracker: &HandWritten, processes: usize, batch: usize) -> Outcome<Duration> {
    let began = Instant::now();
    for _ in 0..processes.div_ceil(batch) {
        // Time and id as a host would take them: for each process and each step anew.
        let now = || SystemClock.now().timestamp_micros();
        let ids = (0..batch).map(|_| v7()).collect::<Vec<_>>();
        tracker.transaction(|tracker| {
            ids.iter()
                .try_for_each(|id| tracker.begin(*id, now(), FILE))
        })?;
        for _ in 0..STEPS {
            tracker
                .transaction(|tracker| ids.iter().try_for_each(|id| tracker.advance(*id, now())))?;
        }
    }
    Ok(began.elapsed())
}

fn v7() -> Uuid {
    let millis = u64::try_from(SystemClock.now().timestamp_millis()).unwrap_or_default();
    let mut random = [0; 10];
    random.copy_from_slice(&SystemClock.random().to_be_bytes()[..10]);
    uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid()
}

/// Reading from files of `size` settled processes.
fn reads(directory: &Path, size: usize) -> Outcome<()> {
    let path = directory.join("ours.db");
    let ours = sqlite(&path, Durability::Normal)?;
    let theirs = HandWritten::create(&directory.join("theirs.db"), "NORMAL")?;
    ours_lifecycle(&ours, size, 100)?;
    let mut ids = Vec::new();
    for _ in 0..size.div_ceil(100) {
        let some = (0..100).map(|_| v7()).collect::<Vec<_>>();
        theirs.transaction(|theirs| {
            for id in &some {
                theirs.begin(*id, SystemClock.now().timestamp_micros(), FILE)?;
                (0..STEPS)
                    .try_for_each(|_| theirs.advance(*id, SystemClock.now().timestamp_micros()))?;
            }
            Ok(())
        })?;
        ids.extend(some);
    }
    let mut our_ids = Vec::<RequestId>::new();
    let mut query = Some(Query::new().limit(1000));
    while let Some(asked) = query.take() {
        let page = ours.list(&asked)?;
        our_ids.extend(page.items.iter().map(|process| process.request_id()));
        query = page.next.map(|cursor| asked.after(cursor));
    }

    let began = Instant::now();
    for id in &our_ids {
        assert_eq!(
            ours.process_status(*id)?.overall_status,
            OverallStatus::Complete
        );
    }
    let ours_took = began.elapsed();
    let began = Instant::now();
    for id in &ids {
        assert_eq!(theirs.status(*id)?, MODULES);
    }
    row("SQLite status by id", ids.len(), ours_took, began.elapsed());

    let pages = size / 20;
    let wanted = size.min(50);
    let began = Instant::now();
    for _ in 0..pages {
        let query = Query::new()
            .pipeline("bench")
            .status(OverallStatus::Complete)
            .limit(50);
        assert_eq!(ours.list(&query)?.items.len(), wanted);
    }
    let ours_took = began.elapsed();
    let began = Instant::now();
    for _ in 0..pages {
        assert_eq!(theirs.page()?, wanted);
    }
    row(
        "SQLite page of 50 by pipeline and status",
        pages,
        ours_took,
        began.elapsed(),
    );

    drop(ours);
    let ours_bytes = std::fs::metadata(&path)?.len() / our_ids.len() as u64;
    let theirs_bytes = theirs.bytes()?.unsigned_abs() / ids.len() as u64;
    println!(
        "{:<46} {ours_bytes:>12} {theirs_bytes:>12}",
        "SQLite bytes a settled process"
    );
    Ok(())
}

/// Memory, beside the same work on a map behind one lock, which no index and no check slows down.
fn memory(size: usize) -> Outcome<()> {
    let store = std::sync::Arc::new(MemoryStore::new());
    let tracker = Tracker::new(store.clone());
    let took = ours_lifecycle(&tracker, size, 1)?;
    let ops = size * (STEPS + 1);
    #[expect(clippy::cast_precision_loss, reason = "figures for people")]
    let rate = |count: usize, took: Duration| count as f64 / took.as_secs_f64();
    println!(
        "{:<46} {:>12.0}",
        "memory lifecycle, 1 a call",
        rate(ops, took)
    );
    let pipeline = pipeline()?;
    let op = begin_op(&tracker, &pipeline)?;
    settle(tracker.apply(std::slice::from_ref(&op))?)?;
    let began = Instant::now();
    let reads = size * 20;
    for _ in 0..reads {
        assert!(store.read(op.id)?.is_some());
    }
    println!(
        "{:<46} {:>12.0}",
        "memory read, shared",
        rate(reads, began.elapsed())
    );
    let process = store.read(op.id)?.ok_or("it is there")?;
    let began = Instant::now();
    for _ in 0..reads {
        assert_eq!(milepost::Process::clone(&process).revision(), 1);
    }
    println!(
        "{:<46} {:>12.0}",
        "memory read, copied by hand",
        rate(reads, began.elapsed())
    );
    Ok(())
}
