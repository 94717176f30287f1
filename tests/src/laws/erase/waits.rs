//! Who writes while a wipe goes on waits for it for moments only.

use std::io::{BufRead, BufReader, Lines};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::ScopedJoinHandle;
use std::time::{Duration, Instant};

use milepost::{
    Change, Durability, NewProcess, Op, Pipeline, Progress, RequestId, Tracker, WipeLevel,
};

use super::kills::{open, wipe_until_done, words};
use crate::law::{Broken, Done, Law, Shard, ensure, program};
use crate::reads::hold_snapshot;

/// How long others wait for a wipe.
pub static WIPE_WAITS: Law = Law {
    name: "wipe-waits",
    says: "while a large file is wiped, and perhaps read for a tenth of a second at a time, ops that are due every \
           millisecond wait 50 ms at most at p99, and never 500 ms: with the same store, another one or in another OS \
           process, and however many wipe at once",
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
        let beside = Beside {
            writer: [Writer::Same, Writer::Another, Writer::OsProcess][random.usize(..3)],
            is_read: random.bool(),
            wipers: [1, 1, 4][random.usize(..3)],
        };
        // What is left of the making, and of files that were removed, is not the wipe's work.
        let synced = Command::new("sync").status()?;
        ensure(synced.success(), || format!("sync: {synced}"))?;
        let stays = ids.iter().skip(1).step_by(2).map(|op| op.id);
        let stays = stays.collect::<Vec<_>>();
        let mut waits = beside.wipe(&tracker, (&file, level, durability), &stays, wipe)?;
        let (p99, most) = p99_and_most(&mut waits);
        println!(
            "wipe-waits: {processes} processes, {level:?}, {durability:?}, {beside:?}: {} ops, p99 {p99:?}, most {most:?}",
            waits.len(),
        );
        let holds =
            p99 <= Duration::from_millis(bounds.p99) && most <= Duration::from_millis(bounds.most);
        ensure(holds, || {
            format!("others waited {p99:?} at p99 and {most:?} at most, allowed is {bounds:?}")
        })?;
        drop(tracker);
        std::fs::remove_dir_all(directory)?;
        wipes += 1;
    }
    Ok(Done::Tried(wipes))
}

/// What goes on at the same time.
#[derive(Debug)]
struct Beside {
    writer: Writer,
    /// Whether somebody reads for a tenth of a second again and again.
    is_read: bool,
    /// How many ask for a wipe at once.
    wipers: usize,
}

/// Who writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Writer {
    /// Somebody with the store of whoever wipes.
    Same,
    /// Somebody with one of its own.
    Another,
    OsProcess,
}

impl Beside {
    /// Wipes; how long each op of whoever writes took from when it was due.
    fn wipe(
        &self,
        tracker: &Tracker,
        (file, level, durability): (&Path, WipeLevel, Durability),
        ids: &[RequestId],
        wipe: fn(&Tracker) -> Result<(), Broken>,
    ) -> Result<Vec<Duration>, Broken> {
        let as_opened = (level, durability);
        let stop = AtomicBool::new(false);
        let child = match self.writer {
            Writer::OsProcess => Some(WritingChild::start(file, as_opened, ids)?),
            Writer::Same | Writer::Another => None,
        };
        let other = match self.writer {
            Writer::Another => Some(open(file, durability, level)?),
            Writer::Same | Writer::OsProcess => None,
        };
        std::thread::scope(|scope| {
            let writer = scope.spawn(|| match child {
                Some(child) => child.write_until(&stop),
                None => write_on_time(other.as_ref().unwrap_or(tracker), ids, &stop),
            });
            let reader = self
                .is_read
                .then(|| scope.spawn(|| read_for_long(file, &stop)));
            let wipers = (0..self.wipers).map(|_| scope.spawn(|| wipe(tracker)));
            let wipers = wipers.collect::<Vec<_>>();
            let ended = wipers.into_iter().map(joined).collect::<Vec<_>>();
            stop.store(true, Ordering::Relaxed);
            let waits = joined(writer);
            reader.map_or(Ok(()), joined)?;
            ended.into_iter().collect::<Result<Vec<_>, _>>()?;
            waits
        })
    }
}

fn joined<T>(thread: ScopedJoinHandle<'_, Result<T, Broken>>) -> Result<T, Broken> {
    thread.join().expect("no thread of these panics")
}

/// Another OS process that writes.
struct WritingChild {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl WritingChild {
    fn start(
        file: &Path,
        as_opened: (WipeLevel, Durability),
        ids: &[RequestId],
    ) -> Result<Self, Broken> {
        let list = file.with_extension("list");
        let lines = ids.iter().map(|id| format!("{id}\n"));
        std::fs::write(&list, lines.collect::<String>())?;
        let mut child = program("erase")
            .arg("write")
            .args([file, &list])
            .args(words(as_opened))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let lines = BufReader::new(child.stdout.take().expect("it is piped")).lines();
        let mut writer = WritingChild { child, lines };
        let said = writer.lines.next().transpose()?;
        ensure(said.as_deref() == Some("writes"), || {
            format!("the child said {said:?}")
        })?;
        Ok(writer)
    }

    fn write_until(mut self, stop: &AtomicBool) -> Result<Vec<Duration>, Broken> {
        while !stop.load(Ordering::Relaxed) {
            std::thread::sleep(Duration::from_millis(5));
        }
        drop(self.child.stdin.take());
        let mut waits = Vec::new();
        for line in self.lines {
            waits.push(Duration::from_micros(line?.parse()?));
        }
        let ended = self.child.wait()?;
        ensure(ended.success() && !waits.is_empty(), || {
            format!("the child that writes ended with {ended}")
        })?;
        Ok(waits)
    }
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
pub fn write_on_time(
    tracker: &Tracker,
    ids: &[RequestId],
    stop: &AtomicBool,
) -> Result<Vec<Duration>, Broken> {
    let began = Instant::now();
    let mut waits = Vec::new();
    while waits.is_empty() || !stop.load(Ordering::Relaxed) {
        let number = u32::try_from(waits.len()).expect("a wipe ends");
        let due = began + Duration::from_millis(1) * number;
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        let id = ids[waits.len() % ids.len()];
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
