//! Group commit: who commits for whom, and that nobody is harmed by another.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, ThreadId};
use std::time::{Duration, Instant};

use milepost_core::{
    Change, GroupCommit, Op, Process, RequestId, StoreError, StoreErrorKind, Transaction,
    Transactions, Verdict, limits,
};
use uuid::Uuid;

use crate::common::{chain, creation, noon};

/// A store of which every step is written down, and can be held up or made to fail.
#[derive(Default)]
struct Bench {
    log: Mutex<Vec<Step>>,
    /// Asked before each step.
    script: Mutex<Option<Arc<Script>>>,
    transactions: AtomicUsize,
}

type Script = dyn Fn(&Step) -> Result<(), StoreError> + Send + Sync;
type Answer = Result<Vec<Verdict>, StoreError>;

#[derive(Debug, Clone, PartialEq)]
enum Step {
    Begin,
    /// By which thread, and how many ops of the first process of the batch.
    Apply(RequestId, ThreadId),
    Apart(RequestId, ThreadId),
    Commit(Vec<RequestId>),
}

struct Writing<'b> {
    bench: &'b Bench,
    kept: Vec<RequestId>,
}

impl Bench {
    fn scripted(
        script: impl Fn(&Step) -> Result<(), StoreError> + Send + Sync + 'static,
    ) -> Arc<Self> {
        let bench = Bench::default();
        *lock(&bench.script) = Some(Arc::new(script));
        Arc::new(bench)
    }

    fn step(&self, step: &Step) -> Result<(), StoreError> {
        lock(&self.log).push(step.clone());
        // Asked outside its lock, so that it may wait and panic.
        let script = lock(&self.script).clone();
        script.map_or(Ok(()), |script| script(step))
    }

    fn log(&self) -> Vec<Step> {
        lock(&self.log).clone()
    }

    /// What was committed, transaction by transaction.
    fn commits(&self) -> Vec<Vec<RequestId>> {
        let commits = self.log().into_iter().filter_map(|step| match step {
            Step::Commit(ids) => Some(ids),
            _ => None,
        });
        commits.collect()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn verdicts(ops: &[Op]) -> Vec<Verdict> {
    let apply = |op: &Op| op.apply(&mut None::<Arc<Process>>);
    ops.iter().map(apply).collect()
}

impl Transactions for Bench {
    type Transaction<'t> = Writing<'t>;

    fn begin(&self, _: Option<Instant>) -> Result<Writing<'_>, StoreError> {
        self.transactions.fetch_add(1, Ordering::SeqCst);
        self.step(&Step::Begin)?;
        Ok(Writing {
            bench: self,
            kept: Vec::new(),
        })
    }
}

impl Transaction for Writing<'_> {
    fn apply(&mut self, ops: &[Op]) -> Answer {
        let id = ops[0].id;
        self.bench.step(&Step::Apply(id, thread::current().id()))?;
        self.kept.push(id);
        Ok(verdicts(ops))
    }

    fn apply_apart(&mut self, ops: &[Op]) -> Result<Answer, StoreError> {
        let id = ops[0].id;
        match self.bench.step(&Step::Apart(id, thread::current().id())) {
            Ok(()) => {
                self.kept.push(id);
                Ok(Ok(verdicts(ops)))
            }
            // Here a kind tells whether the transaction outlives it.
            Err(error) if error.kind() == StoreErrorKind::Unavailable => Err(error),
            Err(error) => Ok(Err(error)),
        }
    }

    fn commit(self) -> Result<(), StoreError> {
        self.bench.step(&Step::Commit(self.kept))
    }
}

fn id(n: u128) -> RequestId {
    Uuid::from_u128(n).into()
}

/// A batch of one, which begins process `n`.
fn batch(n: u128) -> Vec<Op> {
    let new = milepost_core::NewProcess::new(&chain(1));
    vec![creation(new.request_id(id(n)), noon())]
}

fn failure(kind: StoreErrorKind) -> StoreError {
    StoreError::new(kind, "as the test has it")
}

/// A store whose first commit waits for leave, so that others come meanwhile.
struct Held {
    bench: Arc<Bench>,
    group: Arc<GroupCommit>,
    go: Sender<()>,
    first: thread::JoinHandle<Answer>,
}

impl Held {
    /// Process 0 is being committed; `script` is asked for all that follows.
    fn up(script: impl Fn(&Step) -> Result<(), StoreError> + Send + Sync + 'static) -> Self {
        let (go, leave) = channel();
        let (reached, arrived) = channel();
        let leave = Mutex::new(Some(leave));
        let bench = Bench::scripted(move |step| {
            let first: Option<Receiver<()>> = match step {
                Step::Commit(_) => lock(&leave).take(),
                _ => None,
            };
            if let Some(leave) = first {
                reached.send(()).expect("the test waits");
                leave.recv().expect("the test gives leave");
                return Ok(());
            }
            script(step)
        });
        let group = Arc::new(GroupCommit::new());
        let first = spawn(&group, &bench, 0, None);
        arrived.recv().expect("the first commits");
        Held {
            bench,
            group,
            go,
            first,
        }
    }

    /// Lets `count` others come, one behind the other, and answers what they got.
    fn then(self, count: u128) -> (Arc<Bench>, Vec<thread::Result<Answer>>) {
        let mut others = Vec::new();
        for n in 1..=count {
            others.push(spawn(&self.group, &self.bench, n, None));
            self.wait_for(usize::try_from(n).expect("a small number"));
        }
        self.go.send(()).expect("the first waits");
        self.first.join().expect("no panic").expect("it is kept");
        let answers = others.into_iter().map(thread::JoinHandle::join).collect();
        (self.bench, answers)
    }

    fn wait_for(&self, waiting: usize) {
        while format!("{:?}", self.group).matches("Call {").count() < waiting {
            thread::sleep(Duration::from_millis(1));
        }
    }
}

fn spawn(
    group: &Arc<GroupCommit>,
    bench: &Arc<Bench>,
    n: u128,
    deadline: Option<Instant>,
) -> thread::JoinHandle<Answer> {
    let (group, bench) = (Arc::clone(group), Arc::clone(bench));
    thread::spawn(move || group.write(&*bench, &batch(n), deadline))
}

#[test]
fn whoever_is_alone_commits_its_own_on_its_own_thread() {
    let bench = Bench::scripted(|_| Ok(()));
    let group = GroupCommit::new();
    for n in 1..3 {
        group.write(&*bench, &batch(n), None).unwrap();
    }
    let here = thread::current().id();
    let one = |n| {
        [
            Step::Begin,
            Step::Apply(id(n), here),
            Step::Commit(vec![id(n)]),
        ]
    };
    assert_eq!(bench.log(), [one(1), one(2)].concat());
}

#[test]
fn those_that_come_while_another_commits_are_committed_together() {
    let (bench, answers) = Held::up(|_| Ok(())).then(9);
    let together = (1..=9).map(id).collect::<Vec<_>>();
    assert_eq!(bench.commits(), [vec![id(0)], together]);
    assert!(answers.into_iter().all(|answer| answer.unwrap().is_ok()));
}

#[test]
fn a_batch_that_fails_spoils_no_other() {
    let (bench, answers) = Held::up(|step| match step {
        Step::Apply(batch, _) | Step::Apart(batch, _) if *batch == id(3) => {
            Err(failure(StoreErrorKind::Full))
        }
        _ => Ok(()),
    })
    .then(5);
    let kept = [1, 2, 4, 5].map(id);
    assert_eq!(bench.commits()[1], kept);
    for (n, answer) in (1..).zip(answers) {
        let kind = answer.unwrap().err().map(|error| error.kind());
        assert_eq!(kind, (n == 3).then_some(StoreErrorKind::Full), "batch {n}");
    }
}

#[test]
fn if_a_transaction_is_lost_before_its_commit_its_batches_run_singly() {
    let (bench, answers) = Held::up(|step| match step {
        Step::Apart(batch, _) if *batch == id(2) => Err(failure(StoreErrorKind::Unavailable)),
        Step::Apply(batch, _) if *batch == id(2) => Err(failure(StoreErrorKind::Unavailable)),
        _ => Ok(()),
    })
    .then(3);
    assert_eq!(bench.commits(), [0, 1, 3].map(|n| vec![id(n)]));
    let failed = answers.into_iter().map(|answer| answer.unwrap().is_err());
    assert_eq!(failed.collect::<Vec<_>>(), [false, true, false]);
}

#[test]
fn after_a_failed_commit_nobody_is_run_again() {
    let (bench, answers) = Held::up(|step| match step {
        Step::Commit(_) => Err(failure(StoreErrorKind::OutcomeUnknown)),
        _ => Ok(()),
    })
    .then(3);
    assert_eq!(bench.transactions.load(Ordering::SeqCst), 2);
    for answer in answers {
        let kind = answer.unwrap().unwrap_err().kind();
        assert_eq!(kind, StoreErrorKind::OutcomeUnknown);
    }
}

#[test]
fn a_panic_over_one_batch_harms_no_other() {
    for panics in 1..=3 {
        let (bench, answers) = Held::up(move |step| match step {
            Step::Apart(batch, _) | Step::Apply(batch, _) if *batch == id(panics) => {
                panic!("on purpose, over batch {panics}")
            }
            _ => Ok(()),
        })
        .then(3);
        let kept = bench.commits().concat();
        let expected = (0..=3).filter(|n| *n != panics).map(id);
        assert_eq!(kept, expected.collect::<Vec<_>>());
        for (n, answer) in (1..).zip(answers) {
            match answer {
                Ok(answer) if n == panics => assert!(answer.is_err(), "batch {n}"),
                Ok(answer) => assert!(answer.is_ok(), "batch {n}"),
                // The one that committed for all hears its own.
                Err(_) => assert_eq!((n, panics), (1, 1)),
            }
        }
    }
}

#[test]
fn a_panic_in_the_commit_leaves_the_outcome_unknown_and_the_next_goes_on() {
    let (bench, answers) = Held::up(|step| match step {
        Step::Commit(ids) if ids.len() > 1 => panic!("on purpose, in the commit"),
        _ => Ok(()),
    })
    .then(3);
    assert_eq!(bench.transactions.load(Ordering::SeqCst), 2);
    for answer in answers {
        let kind = answer.unwrap().unwrap_err().kind();
        assert_eq!(kind, StoreErrorKind::OutcomeUnknown);
    }
}

#[test]
fn whoever_gives_up_waiting_is_never_applied() {
    let held = Held::up(|_| Ok(()));
    let soon = Instant::now() + Duration::from_millis(20);
    let gave_up = spawn(&held.group, &held.bench, 7, Some(soon));
    let error = gave_up.join().unwrap().unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Busy);
    let (bench, _) = held.then(1);
    assert_eq!(bench.commits(), [vec![id(0)], vec![id(1)]]);
}

#[test]
fn of_more_than_1024_that_wait_the_next_is_busy_at_once() {
    let held = Held::up(|_| Ok(()));
    let waiting = (1..=1024)
        .map(|n| spawn(&held.group, &held.bench, n, None))
        .collect::<Vec<_>>();
    held.wait_for(1024);
    let error = held.group.write(&*held.bench, &batch(9999), None);
    assert_eq!(error.unwrap_err().kind(), StoreErrorKind::Busy);
    held.go.send(()).unwrap();
    for thread in waiting {
        thread.join().unwrap().unwrap();
    }
    assert_eq!(held.bench.commits().concat().len(), 1025);
}

#[test]
fn a_group_is_bounded_in_ops() {
    let held = Held::up(|_| Ok(()));
    let large = |n: u128| {
        let (group, bench) = (Arc::clone(&held.group), Arc::clone(&held.bench));
        let op = Op::new(id(n), noon(), Change::start(1));
        let ops = vec![op; limits::BATCH_OPS / 2];
        thread::spawn(move || group.write(&*bench, &ops, None))
    };
    let threads = (1..=3)
        .map(|n| {
            let thread = large(n);
            held.wait_for(usize::try_from(n).unwrap());
            thread
        })
        .collect::<Vec<_>>();
    held.go.send(()).unwrap();
    for thread in threads {
        thread.join().unwrap().unwrap();
    }
    let commits = held.bench.commits();
    assert_eq!(commits[1..], [vec![id(1), id(2)], vec![id(3)]]);
}

#[test]
fn a_batch_over_the_limit_does_not_wait_its_turn() {
    let held = Held::up(|_| Ok(()));
    let op = Op::new(id(1), noon(), Change::start(1));
    let error = held
        .group
        .write(&*held.bench, &vec![op; limits::BATCH_OPS + 1], None)
        .unwrap_err();
    assert_eq!(error.kind(), StoreErrorKind::Limit);
    let _ = held.then(0);
}
