//! Any sequence of ops gives the same verdicts, processes, lists and counts on every store.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use milepost::{
    Change, Failure, Guard, ManualClock, MemoryStore, NewProcess, Op, OverallStatus, Pipeline,
    Process, Progress, Query, ReapPolicy, RequestId, SqliteStore, StatusStore, Tracker, Update,
    Verdict, WipeLevel,
};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

/// What is done to a store, as numbers that any shrinking keeps meaningful.
#[derive(Debug, Clone)]
enum Step {
    Write(Vec<Draft>),
    Purge { at: i64, limit: usize },
    Wipe,
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
    let step = prop_oneof![
        12 => proptest::collection::vec(draft, 1..6).prop_map(Step::Write),
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

fn run(steps: &[Step]) -> Result<(), TestCaseError> {
    let clock = ManualClock::new(time(0));
    let pipelines = [
        Pipeline::new("one", ["a", "b", "c"]).expect("a pipeline"),
        Pipeline::new("two", ["a", "b", "c", "d"])
            .expect("a pipeline")
            .parallel(),
        Pipeline::new("one", ["a"]).expect("a pipeline"),
    ];
    let directory = tempfile::tempdir().expect("there is room for a directory");
    let file = SqliteStore::open(directory.path().join("status.db")).expect("it opens");
    let stores: [Arc<dyn StatusStore>; 3] = [
        Arc::new(MemoryStore::new()),
        Arc::new(file),
        Arc::new(SqliteStore::in_memory().expect("it opens")),
    ];
    let trackers = stores
        .clone()
        .map(|store| Tracker::with_clock(store, clock.clone()));
    for step in steps {
        match step {
            Step::Write(drafts) => {
                let ops = drafts
                    .iter()
                    .filter_map(|draft| op(&clock, &pipelines, draft))
                    .collect::<Vec<_>>();
                let verdicts = stores
                    .iter()
                    .map(|store| store.write(&ops).expect("a write"))
                    .collect::<Vec<Vec<Verdict>>>();
                prop_assert_eq!(&verdicts[0], &verdicts[1], "memory and file");
                prop_assert_eq!(&verdicts[0], &verdicts[2], "memory and SQLite in memory");
            }
            Step::Purge { at, limit } => {
                // Which of several go first is each store's own affair, so it must be all or none.
                let limit = if *limit == 0 { 0 } else { PROCESSES };
                let purged = stores
                    .iter()
                    .map(|store| store.purge(time(*at), limit).expect("a purge"));
                let purged = purged.collect::<Vec<_>>();
                prop_assert_eq!(purged[0], purged[1]);
                prop_assert_eq!(purged[0], purged[2]);
            }
            Step::Wipe => {
                for store in &stores {
                    store.wipe(WipeLevel::Files).expect("a wipe");
                }
            }
        }
    }
    clock.set(time(150));
    let answers = trackers
        .iter()
        .zip(&stores)
        .map(|(tracker, store)| ask(tracker, store))
        .collect::<Vec<_>>();
    prop_assert_eq!(&answers[0], &answers[1], "memory and file");
    prop_assert_eq!(&answers[0], &answers[2], "memory and SQLite in memory");
    Ok(())
}

#[test]
fn every_store_gives_the_same_verdicts_processes_lists_and_counts() {
    let cases = std::env::var("MILEPOST_CASES")
        .ok()
        .and_then(|cases| cases.parse().ok())
        .unwrap_or(64);
    let config = Config {
        cases,
        failure_persistence: None,
        ..Config::default()
    };
    let outcome = TestRunner::new(config).run(&steps(), |steps| run(&steps));
    if let Err(error) = outcome {
        panic!("{error}");
    }
}
