//! What is done while calls fail: scripts, each about one thing that a store does.

use std::time::Duration;

use milepost::chrono::{DateTime, Utc};
use milepost::uuid::Uuid;
use milepost::{
    Change, Clock, Failure, Guard, ManualClock, MemoryStore, NewProcess, Op, Pipeline, Progress,
    RequestId, Tracker, Update, WipeLevel,
};

use super::ledger::{Act, World, apply};
use crate::law::Broken;

/// What the names of those bear that are erased: to be looked for in the files.
const ERASED: &str = "to-be-erased";

/// What is done first, while everything works, and then, while something fails.
#[derive(Debug)]
pub(super) struct Scene {
    pub(super) name: &'static str,
    pub(super) wipe_level: WipeLevel,
    pub(super) begins: Begins,
    pub(super) steps: Vec<Step>,
    /// And afterwards, when everything works again.
    pub(super) service: Act,
}

/// What is there when calls begin to fail.
#[derive(Debug)]
pub(super) enum Begins {
    /// Nothing: the file is yet to be made.
    Nothing,
    /// A file of this older version, which is yet to be opened.
    Old(usize),
    /// An open store, with what this has made.
    Opened(Vec<Act>),
}

#[derive(Debug)]
pub(super) enum Step {
    Open,
    Close,
    Do(Act),
    /// Each list by a thread of its own, at once.
    Together(Vec<Vec<Act>>),
    /// Lists and counts.
    Ask,
    /// Again and again, until it is done.
    Wipe,
}

/// Scenes, and how many faults are asked for in them: a fifth more than there are, for some come twice.
#[derive(Debug)]
pub struct Plays {
    pub(super) asked: u64,
    scripts: &'static [Script],
}

type Script = fn(&mut Author) -> Result<Scene, Broken>;

/// Scenes of a few dozen calls of each kind.
pub const SHORT: Plays = Plays {
    asked: 10_000,
    scripts: &[
        making,
        upgrading_1,
        upgrading_2,
        ops,
        batches,
        erasing,
        overwriting,
        crowd,
    ],
};

/// Those of thousands.
pub const LONG: Plays = Plays {
    asked: 3_000,
    scripts: &[large],
};

/// All of them, the same every time but for what begins a process anew.
pub(super) fn scenes(plays: &Plays) -> Result<Vec<Scene>, Broken> {
    let scripts = plays.scripts.iter().zip(0..);
    scripts
        .map(|(write, seed)| write(&mut Author::new(fastrand::Rng::with_seed(seed))?))
        .collect()
}

fn making(author: &mut Author) -> Result<Scene, Broken> {
    let first = author.begin("first.pdf")?;
    author.scene(
        "making",
        Begins::Nothing,
        vec![
            Step::Open,
            Step::Do(Act::Write(vec![first])),
            Step::Ask,
            Step::Close,
            Step::Open,
            Step::Ask,
        ],
    )
}

fn upgrading_1(author: &mut Author) -> Result<Scene, Broken> {
    upgrading(author, "upgrading from 1", 1)
}

fn upgrading_2(author: &mut Author) -> Result<Scene, Broken> {
    upgrading(author, "upgrading from 2", 2)
}

fn upgrading(author: &mut Author, name: &'static str, version: usize) -> Result<Scene, Broken> {
    let new = author.begin("new.pdf")?;
    author.scene(
        name,
        Begins::Old(version),
        vec![
            Step::Open,
            Step::Ask,
            Step::Do(Act::Write(vec![new])),
            Step::Wipe,
        ],
    )
}

/// One op after the other, of every kind that a worker sends.
fn ops(author: &mut Author) -> Result<Scene, Broken> {
    let begun = author.begin("begun before.pdf")?;
    let id = begun.id;
    let other = author.begin("other.pdf")?;
    let failure = || Failure::new("BadInput", "page 4 is blank");
    let mut steps = vec![Step::Do(Act::Write(vec![other.clone()]))];
    let changes = [
        Change::start(1),
        Change::progress(1, Progress::of(3, 10).message("page 3")),
        Change::progress(1, Progress::of(4, 10)),
        Change::retry(1, failure()),
        Change::start(1),
        Change::complete(1),
        Change::start(2),
        Change::fail(2, failure()),
        Change::rerun(),
        Change::update(Update::new().file_name("renamed.pdf")),
        Change::cancel("nobody wants it"),
    ];
    for (number, change) in changes.into_iter().enumerate() {
        steps.push(Step::Do(Act::Write(vec![author.guarded(id, change)?])));
        if number == 5 {
            steps.push(Step::Ask);
            steps.push(author.doubling(other.id)?);
        }
    }
    author.scene("ops", Begins::Opened(vec![Act::Write(vec![begun])]), steps)
}

/// Batches of 100.
fn batches(author: &mut Author) -> Result<Scene, Broken> {
    let before = author.begin_many(40, "before.pdf")?;
    let more = author.begin_many(100, "more.pdf")?;
    let mut mixed = Vec::new();
    for op in before.iter().chain(&more[..20]) {
        mixed.push(author.guarded(op.id, Change::start(1))?);
    }
    for op in &before {
        mixed.push(author.guarded(op.id, Change::complete(1))?);
    }
    author.scene(
        "batches",
        Begins::Opened(vec![Act::Write(before)]),
        vec![
            Step::Do(Act::Write(more)),
            Step::Ask,
            Step::Do(Act::Write(mixed)),
        ],
    )
}

/// Batches that are larger than SQLite's cache, so that it writes before the commit, and a WAL that is long enough to
/// be carried over.
fn large(author: &mut Author) -> Result<Scene, Broken> {
    let mut steps = Vec::new();
    for _ in 0..4 {
        let mut ops = Vec::new();
        for _ in 0..16 {
            ops.push(author.begin_large()?);
        }
        steps.push(Step::Do(Act::Write(ops)));
    }
    // The WAL starts anew.
    for _ in 0..2 {
        steps.push(Step::Do(Act::Write(author.begin_many(3, "small.pdf")?)));
    }
    steps.push(Step::Close);
    steps.push(Step::Open);
    let before = Act::Write(author.begin_many(1, "before.pdf")?);
    author.scene("large", Begins::Opened(vec![before]), steps)
}

/// What settles, is erased, purged and wiped, among neighbours that stay.
fn erasing(author: &mut Author) -> Result<Scene, Broken> {
    let mut setup = Vec::new();
    for number in 0..60 {
        setup.push(match number % 3 {
            0 => author.begin(&format!("{ERASED}-{number}.pdf"))?,
            1 => author.begin("stays.pdf")?,
            _ => author.begin_for(&format!("{ERASED}-{number}.pdf"), Duration::from_mins(1))?,
        });
    }
    let ids = setup.iter().map(|op| op.id).collect::<Vec<_>>();
    let (mut settling, mut erasing) = (Vec::new(), Vec::new());
    for id in ids.iter().skip(1).step_by(3) {
        settling.push(author.guarded(*id, Change::complete(1))?);
        settling.push(author.guarded(*id, Change::skip(2, "not needed"))?);
    }
    for id in ids.iter().step_by(3) {
        erasing.push(author.guarded(*id, Change::erase())?);
    }
    let half = erasing.split_off(10);
    let purge = author.purge(Duration::from_mins(2));
    author.scene(
        "erasing",
        Begins::Opened(vec![Act::Write(setup)]),
        vec![
            Step::Do(Act::Write(settling)),
            Step::Do(Act::Write(erasing)),
            Step::Wipe,
            Step::Do(Act::Write(half)),
            Step::Do(purge),
            Step::Wipe,
            Step::Ask,
        ],
    )
}

/// The same where nothing is given back to the file system.
fn overwriting(author: &mut Author) -> Result<Scene, Broken> {
    Ok(Scene {
        name: "overwriting",
        wipe_level: WipeLevel::Media,
        ..erasing(author)?
    })
}

/// Several threads at once, whose batches are committed together.
fn crowd(author: &mut Author) -> Result<Scene, Broken> {
    let mut threads = Vec::new();
    for _ in 0..4 {
        let mut acts = Vec::new();
        for _ in 0..4 {
            let begun = author.begin_many(2, "crowd.pdf")?;
            let mut started = Vec::new();
            for op in &begun {
                started.push(author.guarded(op.id, Change::start(1))?);
            }
            acts.extend([Act::Write(begun), Act::Write(started)]);
        }
        threads.push(acts);
    }
    author.scene(
        "crowd",
        Begins::Opened(Vec::new()),
        vec![Step::Together(threads), Step::Ask],
    )
}

/// Writes ops, as they would come from an application in which everything goes well.
#[derive(Debug)]
pub(super) struct Author {
    random: fastrand::Rng,
    clock: ManualClock,
    tracker: Tracker,
    pipeline: Pipeline,
    /// What there would be by then.
    world: World,
}

impl Author {
    pub(super) fn new(random: fastrand::Rng) -> Result<Self, Broken> {
        let clock = ManualClock::new("2026-05-18T12:10:00Z".parse()?);
        Ok(Author {
            random,
            tracker: Tracker::with_clock(MemoryStore::new(), clock.clone()),
            clock,
            pipeline: Pipeline::new("invoice-ocr", ["ocr", "parser"])?,
            world: World::new(),
        })
    }

    fn scene(
        &mut self,
        name: &'static str,
        begins: Begins,
        steps: Vec<Step>,
    ) -> Result<Scene, Broken> {
        Ok(Scene {
            name,
            wipe_level: WipeLevel::Files,
            begins,
            steps,
            service: Act::Write(self.begin_many(3, "service.pdf")?),
        })
    }

    pub(super) fn begin(&mut self, name: &str) -> Result<Op, Broken> {
        let new = NewProcess::new(&self.pipeline).file_name(name);
        self.prepare(new)
    }

    pub(super) fn begin_for(&mut self, name: &str, span: Duration) -> Result<Op, Broken> {
        let new = NewProcess::new(&self.pipeline).file_name(name);
        self.prepare(new.expires_in(span))
    }

    pub(super) fn begin_many(&mut self, count: usize, name: &str) -> Result<Vec<Op>, Broken> {
        (0..count).map(|_| self.begin(name)).collect()
    }

    /// One that takes about 160 KiB.
    pub(super) fn begin_large(&mut self) -> Result<Op, Broken> {
        let mut new = NewProcess::new(&self.pipeline).file_name("large.pdf");
        let text = self.random.alphanumeric().to_string().repeat(4096);
        for number in 0..40 {
            new = new.tag(&format!("tag-{number}"), &text);
        }
        self.prepare(new)
    }

    fn prepare(&mut self, new: NewProcess) -> Result<Op, Broken> {
        let id = RequestId::from(Uuid::from_u128(self.random.u128(..)));
        let op = self.tracker.prepare(new.request_id(id))?;
        self.write(op)
    }

    /// Guarded, so that it may be sent again.
    pub(super) fn guarded(&mut self, id: RequestId, change: Change) -> Result<Op, Broken> {
        let process = self.world.get(&id).ok_or(Broken::new("a scene is wrong"))?;
        let guard = Guard::new().born(process.version().born);
        let attempt = |module| process.module(module).map_or(1, milepost::Module::attempt);
        let guard = match &change {
            Change::Start { module }
            | Change::Progress { module, .. }
            | Change::Complete { module }
            | Change::Fail { module, .. }
            | Change::Skip { module, .. }
            | Change::Retry { module, .. } => guard.attempt(attempt(*module)),
            Change::Cancel { .. } | Change::Rerun => guard.run(process.run()),
            Change::Update(_) => guard.revision(process.revision()),
            _ => guard,
        };
        let op = self.tracker.op(id, change).guarded(guard);
        self.write(op)
    }

    /// An attempt that is given up, and the next: twice, if it is sent twice.
    fn doubling(&mut self, id: RequestId) -> Result<Step, Broken> {
        let failure = Failure::new("TryAgain", "the service was down");
        let mut ops = Vec::new();
        for change in [
            Change::start(1),
            Change::retry(1, failure),
            Change::start(1),
        ] {
            let op = self.tracker.op(id, change);
            ops.push(self.write(op)?);
        }
        Ok(Step::Do(Act::WriteOnce(ops)))
    }

    /// Of what has expired after this time.
    pub(super) fn purge(&mut self, after: Duration) -> Act {
        self.clock.advance(after);
        let now: DateTime<Utc> = self.clock.now();
        Act::Purge(now)
    }

    fn write(&mut self, op: Op) -> Result<Op, Broken> {
        self.clock.advance(Duration::from_millis(1));
        let verdict = apply(&op, &mut self.world);
        verdict.map_err(|rejection| Broken::new(format!("a scene is wrong: {rejection}")))?;
        Ok(op)
    }
}
