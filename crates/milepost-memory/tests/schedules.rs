//! The memory store under a scheduler that tries many orders of what its callers do. For itself, because the store
//! takes the scheduler's locks in place of std's:
//!
//! ```sh
//! RUSTFLAGS='--cfg milepost_shuttle' CARGO_TARGET_DIR=target/shuttle cargo test -p milepost-memory --test schedules
//! ```
#![cfg(milepost_shuttle)]

#[path = "../../../tests/src/race/linear.rs"]
#[allow(unreachable_pub, reason = "it is public where it lives")]
mod linear;
#[path = "../../../tests/src/race/register.rs"]
#[allow(unreachable_pub, reason = "it is public where it lives")]
mod register;

use std::collections::BTreeSet;
use std::panic::catch_unwind;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use milepost_core::{
    Applied, Change, Filter, Guard, Listing, NewProcess, Op, Order, Pipeline, Place, Process,
    Progress, Rejection, RequestId, StatusStore, Tracker, Update, Verdict,
};
use milepost_memory::MemoryStore;
use shuttle::rand::{Rng, thread_rng};
use shuttle::scheduler::{PctScheduler, RandomScheduler, Scheduler};
use shuttle::{Config, Runner, thread};
use uuid::Uuid;

use linear::{Event, linearize};
use register::{Answer, Call, Record, step};

const CALLERS: usize = 3;
const CALLS: u64 = 5;

type History = Vec<(u128, Event<(Call, Answer)>)>;

/// How the store is asked: as it is, or wrongly.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Way {
    Right,
    /// What is read is what the caller read before.
    Stale,
    /// It reads, decides, and writes whatever was decided.
    Overwrites,
}

struct Caller {
    store: Arc<MemoryStore>,
    tracker: Tracker,
    time: Arc<AtomicU64>,
    way: Way,
    number: usize,
    /// What it saw of each process last.
    seen: [Option<Record>; 2],
    history: History,
}

fn id(n: usize) -> RequestId {
    Uuid::from_u128(u128::try_from(n).expect("it is small")).into()
}

impl Caller {
    fn op(&self, process: usize, change: Change) -> Op {
        self.tracker.op(id(process), change)
    }

    fn work(mut self) -> History {
        for round in 0..CALLS {
            let process = thread_rng().gen_range(0..2);
            let own = 1 + u64::try_from(self.number).expect("it is small") + 10 * round;
            let call = match thread_rng().gen_range(0..10) {
                0..=2 => Call::Read,
                3 | 4 => Call::Begin,
                5 | 6 => Call::Advance(own),
                7 => Call::Note(own),
                8 => Call::Swap(self.seen[process].map_or(1, |seen| seen.revision), own),
                _ => Call::Erase,
            };
            let began = self.time.fetch_add(1, Ordering::SeqCst);
            let answer = self.call(process, call);
            let ended = self.time.fetch_add(1, Ordering::SeqCst);
            let what = (call, answer);
            let event = Event { began, ended, what };
            self.history.push((process as u128, event));
        }
        self.history
    }

    fn call(&mut self, process: usize, call: Call) -> Answer {
        let change = match call {
            Call::Read => {
                let seen = self.store.read(id(process)).expect("memory does not fail");
                let seen = seen.as_deref().map(record);
                let before = std::mem::replace(&mut self.seen[process], seen);
                let is_stale = self.way == Way::Stale && before.is_some();
                return Answer::Seen(if is_stale { before } else { seen });
            }
            Call::Begin => {
                let pipeline = Pipeline::new("p", ["only"]).expect("a short name");
                let new = NewProcess::new(&pipeline).request_id(id(process));
                let op = self.tracker.prepare(new).expect("it is valid");
                return answer(&self.apply(&op));
            }
            Call::Advance(done) => Change::progress(1, Progress::unbounded(done)),
            Call::Note(note) | Call::Swap(_, note) => {
                Change::update(Update::new().file_description(&note.to_string()))
            }
            Call::Erase => Change::erase(),
        };
        let op = self.op(process, change);
        let op = match call {
            Call::Swap(revision, _) => op.guarded(Guard::new().revision(revision)),
            _ => op,
        };
        answer(&self.apply(&op))
    }

    fn apply(&self, op: &Op) -> Verdict {
        if self.way == Way::Overwrites && !matches!(op.change, Change::Create(_) | Change::Erase) {
            // What a store does that decides outside its lock: here the answer alone shows it.
            let mut slot = self.store.read(op.id).expect("memory does not fail");
            let verdict = op.apply(&mut slot);
            let _ = self.store.write(std::slice::from_ref(op));
            return verdict;
        }
        let verdicts = self.store.write(std::slice::from_ref(op));
        verdicts.expect("memory does not fail").remove(0)
    }
}

fn record(process: &Process) -> Record {
    let done = process.modules()[0].progress().map_or(0, Progress::done);
    let note = process.file().description();
    Record {
        born: process.version().born,
        revision: process.revision(),
        done,
        note: note.map_or(0, |note| note.parse().expect("it was a number")),
    }
}

fn answer(verdict: &Verdict) -> Answer {
    match verdict {
        Ok(Applied {
            version,
            changed: true,
            ..
        }) => Answer::Changed(version.born, version.revision),
        Ok(Applied { version, .. }) => Answer::Same(version.born, version.revision),
        Err(Rejection::NotFound) => Answer::NotFound,
        Err(Rejection::Backwards { .. }) => Answer::Backwards,
        Err(Rejection::Stale { .. }) => Answer::Stale,
        Err(Rejection::Illegal { .. }) => Answer::Illegal,
        Err(other) => panic!("nothing here is refused so: {other}"),
    }
}

/// One schedule: some callers ask for this and that, and each process by itself must have answered as one that is
/// asked one thing after the other.
fn histories_are_linearizable(way: Way) {
    let store = Arc::new(MemoryStore::new());
    let tracker = Tracker::new(store.clone());
    let time = Arc::new(AtomicU64::new(0));
    let callers = (0..CALLERS).map(|number| {
        let caller = Caller {
            store: store.clone(),
            tracker: tracker.clone(),
            time: time.clone(),
            way,
            number,
            seen: [None; 2],
            history: Vec::new(),
        };
        thread::spawn(move || caller.work())
    });
    let callers = callers.collect::<Vec<_>>();
    let told = callers
        .into_iter()
        .flat_map(|caller| caller.join().expect("no panic"));
    let told = told.collect::<History>();
    for process in 0..2 {
        let own = told.iter().filter(|(of, _)| *of == process);
        let mut events = own.map(|(_, event)| event.clone()).collect::<Vec<_>>();
        let last = store.read(id(usize::try_from(process).expect("it is small")));
        let last = last.expect("memory does not fail").as_deref().map(record);
        events.push(Event {
            began: u64::MAX - 1,
            ended: u64::MAX,
            what: (Call::Read, Answer::Seen(last)),
        });
        let found = linearize(None, &events, |state, (call, answer)| {
            step(*state, *call, *answer)
        });
        if let Err(why) = found {
            panic!("{why}");
        }
    }
    check_index(&store);
}

/// When nobody is at work any more, lists and counts say the same as reads.
fn check_index(store: &MemoryStore) {
    let there = (0..2).filter(|n| store.read(id(*n)).is_ok_and(|process| process.is_some()));
    let there = there.map(id).collect::<BTreeSet<_>>();
    let listed = walk(store).into_iter().map(|process| process.request_id());
    assert_eq!(listed.collect::<BTreeSet<_>>(), there);
    let counted = store.count(&Filter::new()).expect("memory does not fail");
    assert_eq!(counted.total(), there.len() as u64);
}

/// All pages of a list, of one process each.
fn walk(store: &MemoryStore) -> Vec<Arc<Process>> {
    let mut items = Vec::new();
    let mut after: Option<Place> = None;
    loop {
        let listing = Listing {
            filter: Filter::new(),
            order: Order::OldestFirst,
            after,
            limit: 1,
        };
        let found = store.list(&listing).expect("memory does not fail");
        items.extend(found.items);
        after = found.next;
        if after.is_none() {
            return items;
        }
    }
}

/// While others begin, change and erase processes, a walk shows each that stays once, whole, and in its order.
fn walks_are_whole() {
    let store = Arc::new(MemoryStore::new());
    let tracker = Tracker::new(store.clone());
    let pipeline = Pipeline::new("p", ["a", "b"]).expect("short names");
    let begin = |n: usize| {
        let new = NewProcess::new(&pipeline).request_id(id(n));
        let op = tracker.prepare(new).expect("it is valid");
        store.write(&[op]).expect("memory does not fail");
    };
    (0..4).for_each(begin);
    let change = |n: usize, changes: Vec<Change>| {
        let (store, tracker) = (store.clone(), tracker.clone());
        thread::spawn(move || {
            for change in changes {
                store
                    .write(&[tracker.op(id(n), change)])
                    .expect("memory does not fail");
            }
        })
    };
    // One moves from status to status, one goes and comes again.
    let changing = [
        change(
            1,
            vec![
                Change::complete(1),
                Change::cancel("c"),
                Change::rerun(),
                Change::complete(2),
            ],
        ),
        change(2, vec![Change::erase()]),
    ];
    let walking = {
        let store = store.clone();
        thread::spawn(move || walk(&store))
    };
    begin(2);
    let walked = walking.join().expect("no panic");
    for thread in changing {
        thread.join().expect("no panic");
    }
    let ids = walked
        .iter()
        .map(|process| process.request_id())
        .collect::<Vec<_>>();
    for stays in [0, 1, 3] {
        assert_eq!(
            ids.iter().filter(|seen| **seen == id(stays)).count(),
            1,
            "{ids:?}"
        );
    }
    let places = walked
        .iter()
        .map(|process| Place::of(process))
        .collect::<Vec<_>>();
    assert!(places.is_sorted_by(|one, next| one < next), "{places:?}");
}

fn seed() -> u64 {
    std::env::var("MILEPOST_SEED").map_or(1, |seed| seed.parse().expect("a number"))
}

/// How many schedules are tried.
fn cases() -> usize {
    std::env::var("MILEPOST_CASES").map_or(1_500, |cases| cases.parse().expect("a number"))
}

fn run(scheduler: impl Scheduler + 'static, once: impl Fn() + Send + Sync + 'static) {
    Runner::new(scheduler, Config::new()).run(once);
}

#[test]
fn in_any_order_the_history_of_each_process_is_linearizable() {
    run(RandomScheduler::new_from_seed(seed(), cases()), || {
        histories_are_linearizable(Way::Right);
    });
    for depth in [2, 4] {
        run(
            PctScheduler::new_from_seed(seed(), depth, cases() / 2),
            || {
                histories_are_linearizable(Way::Right);
            },
        );
    }
}

#[test]
fn in_any_order_a_walk_shows_what_stays_once() {
    run(
        RandomScheduler::new_from_seed(seed(), cases()),
        walks_are_whole,
    );
    run(
        PctScheduler::new_from_seed(seed(), 3, cases() / 2),
        walks_are_whole,
    );
}

#[test]
fn a_store_that_reads_stale_or_decides_outside_its_lock_is_found_out() {
    for way in [Way::Stale, Way::Overwrites] {
        let tried = catch_unwind(|| {
            run(RandomScheduler::new_from_seed(seed(), 1_000), move || {
                histories_are_linearizable(way);
            });
        });
        assert!(tried.is_err(), "{way:?} was not noticed");
    }
}
