//! Rivals: threads and OS processes that share one file. Nothing is lost between them, nobody waits longer than it
//! allowed, a fork harms nobody, and the WAL stays small.
//!
//! That at most 1,024 calls wait and the next is busy at once is a law of group commit, in
//! `crates/milepost-core/tests/group.rs`; every order of its callers is tried in `group_schedules.rs` there.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdout, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use milepost::{Query, SqliteStore, StatusStore, Tracker};

use crate::law::{Broken, Done, Law, Shard, ensure, program};
use crate::race::client::{id, record};
use crate::race::faulty::Fault;
use crate::race::history::Entry;
use crate::race::linear::{Event, linearize};
use crate::race::register::{Answer, Call, Record, step};

/// Eight threads in each of four OS processes on one file, two at `Durability::Full` and two at `Durability::Normal`,
/// while one of them wipes.
pub static RIVALS: Law = Law {
    name: "rivals",
    says: "of what 8 threads in each of 4 OS processes change in one file nothing is lost, no call is busy before its \
           deadline, and the history of each process is linearizable",
    unit: "calls",
    shard: 10_000,
    // Of which 100,000 and more are ops, and the rest reads.
    asked: 160_000,
    run: |shard| rivals(shard, Fault::None),
};

/// Forks while threads are at work.
pub static FORKS: Law = Law {
    name: "forks",
    says: "a child of fork gets a typed error for every call on what its parent opened, and drops it without harm to \
           the parent or to other OS processes",
    unit: "forks",
    shard: 100,
    asked: 1_000,
    run: |shard| forks(shard, "guarded"),
};

/// The WAL under readers that overlap, at `Durability::Full`.
pub static WAL_SIZE_FULL: Law = Law {
    name: "wal-size-full",
    says: "at Durability::Full the WAL stays under 64 MiB while reads overlap",
    unit: "seconds",
    shard: 600,
    asked: 600,
    run: |shard| wal_size(shard, "write", "full"),
};

/// The WAL under readers that overlap, at `Durability::Normal`.
pub static WAL_SIZE_NORMAL: Law = Law {
    name: "wal-size-normal",
    says: "at Durability::Normal the WAL stays under 64 MiB while reads overlap",
    unit: "seconds",
    shard: 600,
    asked: 600,
    run: |shard| wal_size(shard, "write", "normal"),
};

/// How large the WAL may become.
const ALLOWED: u64 = 64 * 1024 * 1024;
const OS_PROCESSES: u64 = 4;
/// How many calls are made before histories are looked at.
const ROUND: u64 = 2_500;
/// How many of them concern one process, about.
const HISTORY: u64 = 250;
/// How long the stores of the OS processes wait, in milliseconds: one of them has calls end at their deadlines.
const PATIENCE: [u64; 4] = [150, 30_000, 30_000, 30_000];

/// One of the OS processes that a law runs.
struct Rival {
    child: Child,
    output: BufReader<ChildStdout>,
}

impl Rival {
    /// Starts `race` with these arguments.
    fn start(arguments: &[&str]) -> Result<Self, Broken> {
        let mut race = program("race");
        race.args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut child = race.spawn()?;
        let output = BufReader::new(child.stdout.take().expect("it is piped"));
        Ok(Rival { child, output })
    }

    /// Waits until it is ready.
    fn ready(&mut self) -> Result<(), Broken> {
        let mut line = String::new();
        self.output.read_line(&mut line)?;
        ensure(line == "ready\n", || format!("a rival said: {line}"))
    }

    fn go(&mut self) -> Result<(), Broken> {
        let input = self.child.stdin.as_mut().expect("it is piped");
        Ok(input.write_all(b"go\n")?)
    }

    /// What it says until it ends, its input having ended.
    fn end(&mut self) -> Result<String, Broken> {
        self.child.stdin = None;
        let mut said = String::new();
        self.output.read_to_string(&mut said)?;
        let status = self.child.wait()?;
        ensure(status.success(), || {
            format!("a rival ended with {status}: {said}")
        })?;
        Ok(said)
    }
}

/// Whatever happens to a law, nobody goes on writing.
impl Drop for Rival {
    fn drop(&mut self) {
        // It has ended as a rule.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn plain(path: &Path) -> Result<&str, Broken> {
    path.to_str()
        .ok_or_else(|| Broken::new("the scratch directory has no plain name"))
}

/// The law `rivals`, on stores with a fault.
pub fn rivals(shard: &Shard<'_>, fault: Fault) -> Result<Done, Broken> {
    let file = shard.scratch.join("rivals.db");
    // There before they come, so that they do not compete for making it.
    drop(SqliteStore::open(&file)?);
    let mut done = 0;
    while shard.goes_on(done) {
        let calls = ROUND.min(shard.count - done);
        let seed = shard.random(done).u64(..);
        let histories = play(&file, seed, calls, fault)?;
        let told = histories.values().map(Vec::len).sum::<usize>();
        ensure(told as u64 == calls, || {
            format!("{told} of {calls} calls were answered")
        })?;
        judge(&file, seed, histories)?;
        done += calls;
    }
    Ok(Done::Tried(done))
}

type Histories = BTreeMap<u64, Vec<Event<(Call, Answer)>>>;

/// Has all of them call, and answers the history of each process.
fn play(file: &Path, seed: u64, calls: u64, fault: Fault) -> Result<Histories, Broken> {
    let file = plain(file)?;
    let processes = (calls / HISTORY).max(1).to_string();
    let mut rivals = Vec::new();
    for (number, patience) in (0..OS_PROCESSES).zip(PATIENCE) {
        let share = calls / OS_PROCESSES + u64::from(number < calls % OS_PROCESSES);
        let (seed, number, share) = (seed.to_string(), number.to_string(), share.to_string());
        // One of them is wrong.
        let fault = if number == "1" { fault } else { Fault::None }.to_string();
        let patience = patience.to_string();
        let arguments = [
            "call", file, &seed, &number, &share, &processes, &patience, &fault,
        ];
        rivals.push(Rival::start(&arguments)?);
    }
    rivals.iter_mut().try_for_each(Rival::ready)?;
    rivals.iter_mut().try_for_each(Rival::go)?;
    let mut histories = Histories::new();
    for mut rival in rivals {
        for line in rival.end()?.lines() {
            let entry = line.parse::<Entry>().map_err(Broken::new)?;
            histories
                .entry(entry.process)
                .or_default()
                .push(entry.event);
        }
    }
    Ok(histories)
}

fn judge(file: &Path, seed: u64, histories: Histories) -> Result<(), Broken> {
    let store = SqliteStore::open(file)?;
    for (process, mut events) in histories {
        let last = store.read(id(seed, process))?.as_deref().map(record);
        let about = |how: String| Broken::new(format!("process {process}: {how}"));
        each_change_is_one_revision(&events, last).map_err(about)?;
        events.push(Event {
            began: u64::MAX - 1,
            ended: u64::MAX,
            what: (Call::Read, Answer::Seen(last)),
        });
        let step = |state: &Option<Record>, (call, answer): &_| step(*state, *call, *answer);
        linearize(None, &events, step).map_err(about)?;
    }
    Ok(())
}

/// Whether the changes that were acknowledged of each process that went by the id are its revisions from 1 to the
/// last, once each.
fn each_change_is_one_revision(
    events: &[Event<(Call, Answer)>],
    last: Option<Record>,
) -> Result<(), String> {
    let mut made = BTreeMap::<u64, Vec<u64>>::new();
    let mut ends = last
        .map(|last| (last.born, last.revision))
        .into_iter()
        .collect::<Vec<_>>();
    for Event { what, .. } in events {
        match *what {
            (Call::Erase, Answer::Changed(born, revision)) => ends.push((born, revision)),
            (_, Answer::Changed(born, revision)) => made.entry(born).or_default().push(revision),
            _ => {}
        }
    }
    ends.sort_unstable();
    if ends.len() != made.len() {
        return Err(format!(
            "{} processes began and {} ended or are there",
            made.len(),
            ends.len()
        ));
    }
    for (end, (born, mut revisions)) in ends.into_iter().zip(made) {
        revisions.sort_unstable();
        let expected = (1..=end.1).collect::<Vec<_>>();
        if end.0 != born || revisions != expected {
            return Err(format!(
                "acknowledged as {born:x} were the revisions {revisions:?}, the last state of {:x} is {}",
                end.0, end.1
            ));
        }
    }
    Ok(())
}

/// The law `forks`, of stores of which the child is told `guarded`, or `bare`.
pub fn forks(shard: &Shard<'_>, guarded: &str) -> Result<Done, Broken> {
    const TOGETHER: u64 = 25;
    let mut done = 0;
    while shard.goes_on(done) {
        let count = TOGETHER.min(shard.count - done);
        let level = if shard.random(done).bool() {
            "full"
        } else {
            "normal"
        };
        let path = shard.scratch.join(format!("forks-{done}.db"));
        let file = plain(&path)?;
        // Another OS process writes all the while.
        let mut other = Rival::start(&["write", file, level])?;
        other.ready()?;
        other.go()?;
        let forked = Rival::start(&["fork", file, level, &count.to_string(), guarded])?.end()?;
        let written = other.end()?.trim().parse::<u64>()?;
        let forked = forked.trim().parse::<u64>()?;
        let changes = |pipeline: &str| revisions_beyond_the_first(&path, pipeline);
        for (pipeline, acknowledged) in [("pressing", written), ("forking", forked)] {
            let stored = changes(pipeline)?;
            ensure(stored == acknowledged, || {
                format!(
                    "{acknowledged} changes of {pipeline} were acknowledged, {stored} are there"
                )
            })?;
        }
        done += count;
    }
    Ok(Done::Tried(done))
}

/// How many changes the processes of a pipeline have seen since they began.
fn revisions_beyond_the_first(file: &Path, pipeline: &str) -> Result<u64, Broken> {
    let tracker = Tracker::new(SqliteStore::open(file)?);
    let mut changes = 0;
    let mut query = Query::new().pipeline(pipeline).limit(1_000);
    loop {
        let page = tracker.list(&query)?;
        changes += page
            .items
            .iter()
            .map(|process| process.revision() - 1)
            .sum::<u64>();
        let Some(next) = page.next else {
            return Ok(changes);
        };
        query = query.after(next);
    }
}

/// The laws of the WAL's size, with somebody who writes in this way.
pub fn wal_size(shard: &Shard<'_>, writer: &str, level: &str) -> Result<Done, Broken> {
    let path = shard.scratch.join("wal-size.db");
    let file = plain(&path)?;
    let wal = shard.scratch.join("wal-size.db-wal");
    // Lists, and snapshots of a tenth of a second that overlap.
    let mut rivals = Vec::new();
    for arguments in [&[writer, file, level][..], &["read", file]] {
        let mut rival = Rival::start(arguments)?;
        rival.ready()?;
        rivals.push(rival);
    }
    rivals.iter_mut().try_for_each(Rival::go)?;
    let began = Instant::now();
    let mut longest = 0;
    let passed = |began: Instant| began.elapsed().as_secs();
    while shard.goes_on(passed(began)) && longest <= ALLOWED {
        thread::sleep(Duration::from_millis(20));
        longest = longest.max(fs::metadata(&wal).map_or(0, |wal| wal.len()));
    }
    let seconds = passed(began).min(shard.count);
    ensure(longest <= ALLOWED, || {
        format!("the WAL has grown to {longest} bytes in {seconds} s")
    })?;
    for rival in &mut rivals {
        let done = rival.end()?.trim().parse::<u64>()?;
        ensure(done > seconds, || {
            format!("writes or reads were {done} in {seconds} s")
        })?;
    }
    println!("{level}: the WAL had {longest} bytes at most in {seconds} s");
    Ok(Done::Tried(seconds))
}
