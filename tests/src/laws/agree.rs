//! One behaviour: any sequence of ops gives the same verdicts, processes, lists and counts on every store.

use std::cell::Cell;
use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use milepost::{
    Change, Failure, Guard, ManualClock, MemoryStore, NewProcess, Op, OverallStatus, Pipeline,
    Process, Progress, Query, ReapPolicy, RequestId, SqliteStore, StatusStore, Tracker, Update,
    WipeLevel,
};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use crate::bent::{Bend, Bent};
use crate::law::{Broken, Done, Law, Shard};

/// On memory, on a file of SQLite's, on one that two stores have open, and on SQLite in memory. That each of them does
/// what the contract says is shown by the kit, beside a model of its own.
pub const AGREE: Law = Law {
    name: "agree",
    says: "a sequence of ops gives the same verdicts, processes, lists and counts on every store",
    unit: "ops",
    shard: 5_000,
    asked: 100_000,
    run,
};

fn run(shard: &Shard<'_>) -> Result<Done, Broken> {
    on(shard, &stores)
}

/// The stores that are to agree, made anew in an empty directory.
type Stores<'a> = dyn Fn(&Path) -> Vec<Arc<dyn StatusStore>> + 'a;

fn stores(directory: &Path) -> Vec<Arc<dyn StatusStore>> {
    let open = |name: &str| SqliteStore::open(directory.join(name)).expect("it opens");
    vec![
        Arc::new(MemoryStore::new()),
        Arc::new(open("one.db")),
        Arc::new(Bent(Turns {
            stores: [open("two.db"), open("two.db")],
            calls: AtomicUsize::new(0),
        })),
        Arc::new(SqliteStore::in_memory().expect("it opens")),
    ]
}

/// Stores of one file, of which now one is called, now the other, a few times in a row.
#[derive(Debug)]
struct Turns {
    stores: [SqliteStore; 2],
    calls: AtomicUsize,
}

impl Bend for Turns {
    fn store(&self) -> &dyn StatusStore {
        let call = self.calls.fetch_add(1, Ordering::Relaxed);
        &self.stores[call / 4 % self.stores.len()]
    }
}

/// Tries sequences on these stores until as many ops as the shard asks for have been judged.
///
/// # Errors
///
/// If two stores differ: the shortest sequence on which they do.
pub fn on(shard: &Shard<'_>, stores: &Stores<'_>) -> Result<Done, Broken> {
    let ops = Cell::new(0);
    let mut number = 0;
    while shard.goes_on(ops.get()) {
        let mut seed = [0; 32];
        shard.random(number).fill(&mut seed);
        number += 1;
        let config = Config {
            cases: 1,
            failure_persistence: None,
            ..Config::default()
        };
        let random = TestRng::from_seed(RngAlgorithm::ChaCha, &seed);
        TestRunner::new_with_rng(config, random)
            .run(&steps(), |steps| agree(&steps, stores, &ops))
            .map_err(|error| Broken::new(error.to_string()))?;
    }
    // The last sequence may have gone beyond.
    Ok(Done::Tried(ops.get().min(shard.count)))
}

/// What is done to a store, as numbers that any shrinking keeps meaningful.
#[derive(Debug, Clone)]
enum Step {
    Write(Vec<Sending>),
    Purge { at: i64, limit: usize },
    Wipe,
}

/// What is sent, after what was sent before.
#[derive(Debug, Clone)]
enum Sending {
    New(Draft),
    /// The op that so many others came after, sent again.
    Again(usize),
    /// A process erased, and its creation sent again: its mark and its first revision come again.
    Anew {
        process: usize,
        at: i64,
    },
    /// A process as the ops before so many others would have left it, imported.
    Import {
        others: usize,
        process: usize,
        at: i64,
    },
}

/// An op before the ids and times are put in.
#[derive(Debug, Clone)]
struct Draft {
    process: usize,
    at: i64,
    change: Pick,
    guard: Option<(u32, u32)>,
    /// The revision that a claim may have made.
    token: u64,
}

#[derive(Debug, Clone)]
enum Pick {
    Begin {
        pipeline: usize,
        expires_in: Option<u64>,
    },
    Start(usize),
    Progress(usize, u64),
    Complete(usize),
    Fail(usize),
    Skip(usize),
    Retry(usize),
    Cancel,
    Rerun,
    Rename(u8),
    Erase,
    Claim {
        worker: usize,
        ttl: u64,
    },
    Renew(u64),
    Release,
    Reap(u32),
    Wish,
}

const PROCESSES: usize = 6;

fn pick() -> impl Strategy<Value = Pick> {
    let module = 0_usize..5;
    prop_oneof![
        4 => (0_usize..3, proptest::option::of(1_u64..200))
            .prop_map(|(pipeline, expires_in)| Pick::Begin { pipeline, expires_in }),
        3 => module.clone().prop_map(Pick::Start),
        3 => (module.clone(), 0_u64..6).prop_map(|(module, done)| Pick::Progress(module, done)),
        6 => module.clone().prop_map(Pick::Complete),
        1 => module.clone().prop_map(Pick::Fail),
        2 => module.clone().prop_map(Pick::Skip),
        2 => module.prop_map(Pick::Retry),
        1 => Just(Pick::Cancel),
        2 => Just(Pick::Rerun),
        1 => any::<u8>().prop_map(Pick::Rename),
        1 => Just(Pick::Erase),
        4 => (0_usize..3, 1_u64..200).prop_map(|(worker, ttl)| Pick::Claim { worker, ttl }),
        2 => (1_u64..200).prop_map(Pick::Renew),
        1 => Just(Pick::Release),
        2 => (0_u32..3).prop_map(Pick::Reap),
        1 => Just(Pick::Wish),
    ]
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let guard = proptest::option::of((1_u32..3, 1_u32..3));
    let draft = (0..PROCESSES, 0_i64..300, pick(), guard, 2_u64..6).prop_map(
        |(process, at, change, guard, token)| Draft {
            process,
            at,
            change,
            guard,
            token,
        },
    );
    let sending = prop_oneof![
        12 => draft.prop_map(Sending::New),
        1 => (0_usize..10).prop_map(Sending::Again),
        1 => (0..PROCESSES, 0_i64..300).prop_map(|(process, at)| Sending::Anew { process, at }),
        1 => (0_usize..10, 0..PROCESSES, 0_i64..300)
            .prop_map(|(others, process, at)| Sending::Import { others, process, at }),
    ];
    let step = prop_oneof![
        12 => proptest::collection::vec(sending, 1..6).prop_map(Step::Write),
        1 => (0_i64..300, 0_usize..4).prop_map(|(at, limit)| Step::Purge { at, limit }),
        1 => Just(Step::Wipe),
    ];
    proptest::collection::vec(step, 1..40)
}

fn time(seconds: i64) -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::days(20_000) + TimeDelta::seconds(seconds)
}

fn id(process: usize) -> RequestId {
    // The order of ids is not the order in which they come up.
    uuid::Uuid::from_u128(u128::MAX / (process as u128 + 2)).into()
}

fn ops(clock: &ManualClock, pipelines: &[Pipeline], sent: &[Op], sending: &Sending) -> Vec<Op> {
    match sending {
        Sending::New(draft) => op(clock, pipelines, draft).into_iter().collect(),
        Sending::Again(others) => sent
            .iter()
            .rev()
            .nth(*others)
            .cloned()
            .into_iter()
            .collect(),
        Sending::Anew { process, at } => {
            let id = id(*process);
            // The first is not one that was refused because there was one already.
            let creation = sent
                .iter()
                .find(|op| op.id == id && matches!(op.change, Change::Create(_)));
            let erase = Op::new(id, time(*at), Change::erase());
            [erase].into_iter().chain(creation.cloned()).collect()
        }
        Sending::Import {
            others,
            process,
            at,
        } => {
            let id = id(*process);
            let mut slot = None;
            for op in sent.iter().rev().skip(*others).rev() {
                if op.id == id {
                    // Refused or not, as it may be in the stores.
                    let _ = op.apply(&mut slot);
                }
            }
            let import = |process| Op::new(id, time(*at), Change::Import(process));
            slot.map(import).into_iter().collect()
        }
    }
}

fn op(clock: &ManualClock, pipelines: &[Pipeline], draft: &Draft) -> Option<Op> {
    let change = match &draft.change {
        Pick::Begin {
            pipeline,
            expires_in,
        } => {
            clock.set(time(draft.at));
            let new = NewProcess::new(&pipelines[*pipeline])
                .request_id(id(draft.process))
                .symbolic_directory_path(["/a", "/a/b", "/ab"][draft.process % 3]);
            let new = expires_in.map_or(new.clone(), |secs| {
                new.expires_in(Duration::from_secs(secs))
            });
            // The same op, with the same random mark, goes to every store.
            return Tracker::with_clock(MemoryStore::new(), clock.clone())
                .prepare(new)
                .ok();
        }
        Pick::Start(module) => Change::start(*module),
        Pick::Progress(module, done) => Change::progress(*module, Progress::of(*done, 4)),
        Pick::Complete(module) => Change::complete(*module),
        Pick::Fail(module) => Change::fail(*module, Failure::new("Bad", "input")),
        Pick::Skip(module) => Change::skip(*module, "not needed"),
        Pick::Retry(module) => Change::retry(*module, Failure::new("Again", "please")),
        Pick::Cancel => Change::cancel("no more"),
        Pick::Rerun => Change::rerun(),
        Pick::Rename(n) => Change::update(Update::new().file_name(&format!("file-{}", n % 3))),
        Pick::Erase => Change::erase(),
        Pick::Claim { worker, ttl } => {
            let mark = (*worker as u64) << 32 | *ttl;
            let name = ["ahab", "starbuck", "stubb"][*worker];
            Change::claim(name, Duration::from_secs(*ttl), mark)
        }
        Pick::Renew(ttl) => Change::renew(Duration::from_secs(*ttl)),
        Pick::Release => Change::release(),
        Pick::Reap(0) => Change::reap(draft.token, ReapPolicy::fail()),
        Pick::Reap(attempts) => Change::reap(draft.token, ReapPolicy::retry(*attempts)),
        Pick::Wish => Change::request_cancel("please"),
    };
    if let Pick::Renew(_) | Pick::Release = draft.change {
        let lease = Guard::new().lease(draft.token);
        return Some(Op::new(id(draft.process), time(draft.at), change).guarded(lease));
    }
    let module = !matches!(
        draft.change,
        Pick::Cancel
            | Pick::Rerun
            | Pick::Rename(_)
            | Pick::Erase
            | Pick::Claim { .. }
            | Pick::Reap(_)
            | Pick::Wish
    );
    let guard = draft.guard.map_or(Guard::new(), |(run, attempt)| {
        let guard = Guard::new().run(run);
        if module {
            guard.attempt(attempt)
        } else {
            guard
        }
    });
    Some(Op::new(id(draft.process), time(draft.at), change).guarded(guard))
}

/// All that can be asked of a store, in one value to compare.
#[derive(Debug, PartialEq)]
struct Answers {
    processes: Vec<Option<Arc<Process>>>,
    lists: Vec<Vec<RequestId>>,
    counts: Vec<milepost::Counts>,
}

fn queries() -> Vec<Query> {
    vec![
        Query::new(),
        Query::new().oldest_first().limit(2),
        Query::new().pipeline("one").limit(1),
        Query::new()
            .pipeline("two")
            .status(OverallStatus::Complete)
            .status(OverallStatus::Failed),
        Query::new()
            .status(OverallStatus::Ongoing)
            .created(time(50)..time(200)),
        Query::new().under_directory("/a").oldest_first(),
        Query::new().directory("/a/b"),
        Query::new().settled(time(100)..).limit(3),
        Query::new().updated(..=time(250)),
        Query::new().file_name("file-1"),
        Query::new().file_name_prefix("gen"),
        Query::new().stalled(),
        Query::new().stalled().oldest_first().limit(1),
        Query::new().stalled().pipeline("one"),
        Query::new().stalled().status(OverallStatus::Complete),
        Query::new().stalled().file_name_prefix("gen").limit(2),
    ]
}

fn ask(tracker: &Tracker, store: &dyn StatusStore) -> Answers {
    let ids = (0..PROCESSES).map(id).collect::<Vec<_>>();
    let mut answers = Answers {
        processes: store.read_many(&ids).expect("reads"),
        lists: Vec::new(),
        counts: Vec::new(),
    };
    for query in queries() {
        answers.counts.push(tracker.count(&query).expect("a count"));
        let mut walked = Vec::new();
        let mut next = Some(query);
        while let Some(query) = next.take() {
            let page = tracker.list(&query).expect("a page");
            walked.extend(page.items.iter().map(|process| process.request_id()));
            next = page.next.map(|cursor| query.after(cursor));
        }
        answers.lists.push(walked);
    }
    answers
}

fn agree(steps: &[Step], stores: &Stores<'_>, ops_judged: &Cell<u64>) -> Result<(), TestCaseError> {
    let clock = ManualClock::new(time(0));
    let pipelines = [
        Pipeline::new("one", ["a", "b", "c"]).expect("a pipeline"),
        Pipeline::new("two", ["a", "b", "c", "d"])
            .expect("a pipeline")
            .parallel(),
        Pipeline::new("one", ["a"]).expect("a pipeline"),
    ];
    let directory = tempfile::tempdir().expect("there is room for a directory");
    let stores = stores(directory.path());
    let mut sent = Vec::new();
    for step in steps {
        match step {
            Step::Write(sendings) => {
                let before = sent.len();
                for sending in sendings {
                    sent.extend(ops(&clock, &pipelines, &sent, sending));
                }
                let ops = &sent[before..];
                ops_judged.set(ops_judged.get() + ops.len() as u64);
                are_one(&stores, |store| store.write(ops).expect("a write"))?;
            }
            Step::Purge { at, limit } => {
                // Which of several go first is each store's own affair, so it must be all or none.
                let limit = if *limit == 0 { 0 } else { PROCESSES };
                are_one(&stores, |store| {
                    store.purge(time(*at), limit).expect("a purge")
                })?;
            }
            Step::Wipe => {
                for store in &stores {
                    store.wipe(WipeLevel::Files).expect("a wipe");
                }
            }
        }
    }
    clock.set(time(150));
    are_one(&stores, |store| {
        let tracker = Tracker::with_clock(Arc::clone(store), clock.clone());
        ask(&tracker, store)
    })
}

/// Whether all stores answer the same.
fn are_one<T: PartialEq + fmt::Debug>(
    stores: &[Arc<dyn StatusStore>],
    ask: impl Fn(&Arc<dyn StatusStore>) -> T,
) -> Result<(), TestCaseError> {
    let answers = stores.iter().map(ask).collect::<Vec<_>>();
    for (number, answer) in answers.iter().enumerate() {
        prop_assert_eq!(
            &answers[0],
            answer,
            "the first store and store {}",
            number + 1
        );
    }
    Ok(())
}
