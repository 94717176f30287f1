//! What a writer does, step by step, all of it from a seed: so whoever knows the seed and how far the writer
//! came knows what must be in the file, without being told more.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use fastrand::Rng;
use milepost::{
    Change, Clock, Failure, Guard, MemoryStore, ModuleStateKind, NewProcess, Op, OverallStatus,
    Pipeline, Process, Progress, ReapPolicy, RequestId, Tracker, Update, Verdict,
};

/// How many ongoing processes a writer works on at once.
const HELD: usize = 8;
/// How many of those that it erased it remembers, to send late ops to.
const REMEMBERED: usize = 8;

/// One thing that a writer does.
#[derive(Debug)]
#[expect(clippy::exhaustive_enums, reason = "child and parent agree on them")]
pub enum Step {
    /// Writes a batch.
    Write(Batch),
    /// Purges what has expired by then.
    Purge(DateTime<Utc>),
    /// Wipes.
    Wipe,
}

/// Ops, and what becomes of them.
#[derive(Debug)]
#[expect(clippy::exhaustive_structs, reason = "child and parent agree on it")]
pub struct Batch {
    /// What is sent.
    pub ops: Vec<Op>,
    /// What must be answered.
    pub verdicts: Vec<Verdict>,
    /// How it leaves each process that it touched.
    pub leaves: Vec<(RequestId, Option<Arc<Process>>)>,
}

/// What one writer does, from a seed and the processes that it goes on with. No other writer touches them.
#[derive(Debug)]
pub struct Plan {
    random: Rng,
    clock: Arc<PlannedClock>,
    /// Prepares creations; its store stays empty.
    tracker: Tracker,
    state: BTreeMap<RequestId, Arc<Process>>,
    erased: Vec<RequestId>,
}

impl Plan {
    /// The plan of this seed, whose first step is at `begins` (microseconds since 1970).
    #[must_use]
    pub fn new(seed: u64, begins: i64, inherited: impl IntoIterator<Item = Arc<Process>>) -> Self {
        let clock = Arc::new(PlannedClock {
            micros: AtomicI64::new(begins),
            random: Mutex::new(Rng::with_seed(!seed)),
        });
        let inherited = inherited
            .into_iter()
            .map(|process| (process.request_id(), process));
        Plan {
            random: Rng::with_seed(seed),
            tracker: Tracker::with_clock(MemoryStore::new(), Arc::clone(&clock)),
            clock,
            state: inherited.collect(),
            erased: Vec::new(),
        }
    }

    /// The next step. The plan goes on as if it had been taken.
    pub fn step(&mut self) -> Step {
        // Now and then so long that leases run out.
        let pause = if self.random.u8(..) < 24 {
            5_000_000
        } else {
            700
        };
        self.clock.micros.fetch_add(pause, Ordering::Relaxed);
        match self.random.u16(..1_000) {
            0..6 => Step::Wipe,
            6..30 => Step::Purge(doomsday(self.random.u8(..12))),
            _ => Step::Write(self.batch()),
        }
    }

    fn batch(&mut self) -> Batch {
        let count = match self.random.u8(..10) {
            0..7 => 1,
            7..9 => self.random.usize(2..6),
            _ => self.random.usize(6..24),
        };
        let mut batch = Batch {
            ops: Vec::new(),
            verdicts: Vec::new(),
            leaves: Vec::new(),
        };
        let mut touched = BTreeMap::new();
        for _ in 0..count {
            let op = self.op();
            let mut slot = self.state.get(&op.id).cloned();
            let verdict = op.apply(&mut slot);
            self.remember(op.id, slot.clone());
            if verdict.is_ok() {
                touched.insert(op.id, slot);
            }
            batch.verdicts.push(verdict);
            batch.ops.push(op);
        }
        batch.leaves.extend(touched);
        batch
    }

    /// Goes on with what is still to do; what is at its end, or will be purged, it leaves to itself.
    fn remember(&mut self, id: RequestId, slot: Option<Arc<Process>>) {
        match slot {
            Some(process) if is_worked_on(&process) => {
                self.state.insert(id, process);
            }
            Some(_) => {
                self.state.remove(&id);
            }
            None if self.state.remove(&id).is_some() => {
                self.erased.truncate(REMEMBERED - 1);
                self.erased.insert(0, id);
            }
            None => {}
        }
    }

    fn op(&mut self) -> Op {
        let drawn = self.random.u8(..100);
        if !self.erased.is_empty() && drawn < 2 {
            // Late, for what is no more.
            let id = self.erased[self.random.usize(..self.erased.len())];
            return self.tracker.op(id, Change::start(1));
        }
        let begin = if self.state.len() < HELD { 25 } else { 3 };
        if self.state.is_empty() || drawn < begin {
            return self.create();
        }
        let place = self.random.usize(..self.state.len());
        let chosen = self.state.values().nth(place).expect("it is one of them");
        let process = Arc::clone(chosen);
        let change = self.change(&process, drawn);
        let op = self.tracker.op(process.request_id(), change);
        let guard = Guard::new().born(process.version().born);
        match (&op.change, process.claim()) {
            (Change::Renew { .. } | Change::Release, Some(claim)) => {
                op.guarded(guard.lease(claim.token()))
            }
            _ => op.guarded(guard),
        }
    }

    fn create(&mut self) -> Op {
        let modules = self.random.usize(1..7);
        let chain = (1..=modules).map(|module| format!("step {module}"));
        let pipeline = Pipeline::new(format!("crash {modules}"), chain).expect("a pipeline");
        let pipeline = if self.random.bool() {
            pipeline.parallel()
        } else {
            pipeline
        };
        let mut new = NewProcess::new(&pipeline).file_name(&self.text(40));
        for tag in 0..self.random.usize(..4) {
            new = new.tag(&format!("tag {tag}"), &self.text(200));
        }
        if self.random.u8(..8) == 0 {
            new = new.expires_at(doomsday(self.random.u8(..12)));
        } else if !self.erased.is_empty() && self.random.u8(..4) == 0 {
            let again = self.random.usize(..self.erased.len());
            new = new.request_id(self.erased.remove(again));
        }
        self.tracker
            .prepare(new)
            .expect("what is prepared is within the limits")
    }

    fn change(&mut self, process: &Process, drawn: u8) -> Change {
        let now = self.clock.now();
        if process.is_settled() {
            return if drawn.is_multiple_of(3) {
                Change::erase()
            } else {
                Change::rerun()
            };
        }
        match drawn {
            60..64 => Change::erase(),
            64..66 => Change::cancel(&self.text(80)),
            66..68 => Change::request_cancel(&self.text(80)),
            68..78 => self.update(),
            78..86 if process.is_stalled(now) => {
                let token = process.claim().expect("it stalled under it").token();
                Change::reap(token, ReapPolicy::retry(3))
            }
            78..84 if process.is_leased(now) => Change::renew(Duration::from_secs(2)),
            84..86 if process.is_leased(now) => Change::release(),
            78..86 => Change::claim(&self.text(20), Duration::from_secs(1), self.random.u64(..)),
            _ => self.work(process),
        }
    }

    fn update(&mut self) -> Change {
        let update = Update::new().file_name(&self.text(60));
        Change::update(match self.random.u8(..3) {
            0 => update.file_description(&self.text(4_000)),
            1 => {
                update.tags((0..self.random.usize(..6)).map(|tag| (format!("new {tag}"), "value")))
            }
            _ => update.symbolic_directory_path(&self.text(500)),
        })
    }

    /// Something that a worker does to a module that is not done.
    fn work(&mut self, process: &Process) -> Change {
        let open = process
            .modules()
            .iter()
            .find(|module| !module.state().is_settled());
        let module = open.expect("what is ongoing has a module to go on with");
        let position = module.position();
        let running = module.state().kind() == ModuleStateKind::Running;
        match self.random.u8(..20) {
            0 if !running => Change::skip(position, &self.text(30)),
            _ if !running => Change::start(position),
            0..10 => {
                let done = module.progress().map_or(0, Progress::done) + 1;
                Change::progress(position, Progress::unbounded(done).message(&self.text(900)))
            }
            10 => Change::fail(position, Failure::new("Planned", &self.text(3_000))),
            11..13 => Change::retry(position, Failure::new("Again", &self.text(1_000))),
            _ => Change::complete(position),
        }
    }

    /// A text of up to so many bytes, most of them short.
    fn text(&mut self, most: usize) -> String {
        let most = if self.random.u8(..4) == 0 {
            most
        } else {
            most.min(24)
        };
        let length = self.random.usize(1..=most);
        (0..length).map(|_| self.random.lowercase()).collect()
    }
}

/// Whether a writer goes on with a process: not with what is complete, nor with what a purge may take.
#[must_use]
pub fn is_worked_on(process: &Process) -> bool {
    process.status() != OverallStatus::Complete && process.expires_at().is_none()
}

/// One of the times at which what expires does: long after all that is done, so that nothing but a purge asks.
fn doomsday(number: u8) -> DateTime<Utc> {
    let first = DateTime::from_timestamp_secs(4_000_000_000).expect("a time in the year 2096");
    first + TimeDelta::days(i64::from(number))
}

/// Time and randomness that follow from the seed.
#[derive(Debug)]
struct PlannedClock {
    micros: AtomicI64,
    random: Mutex<Rng>,
}

impl Clock for PlannedClock {
    fn now(&self) -> DateTime<Utc> {
        let micros = self.micros.load(Ordering::Relaxed);
        DateTime::from_timestamp_micros(micros).expect("a plan is short")
    }

    fn random(&self) -> u128 {
        let mut random = self.random.lock().unwrap_or_else(PoisonError::into_inner);
        random.u128(..)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_plans_of_one_seed_are_one_and_do_all_that_can_be_done() {
        let (mut one, mut other) = (Plan::new(7, 0, []), Plan::new(7, 0, []));
        let mut done = BTreeMap::new();
        for _ in 0..3_000 {
            let step = one.step();
            assert_eq!(format!("{step:?}"), format!("{:?}", other.step()));
            let Step::Write(batch) = step else { continue };
            for (op, verdict) in batch.ops.iter().zip(&batch.verdicts) {
                if verdict.as_ref().is_ok_and(|applied| applied.changed) {
                    *done.entry(op.change.kind().to_string()).or_insert(0) += 1;
                }
            }
        }
        assert_eq!(done.len(), 16, "{done:?}");
    }
}
