//! Group commit under a scheduler that tries many orders of what its callers do, and when. For itself, because it
//! takes the core's locks in place of std's:
//!
//! ```sh
//! RUSTFLAGS='--cfg milepost_shuttle' CARGO_TARGET_DIR=target/shuttle cargo test -p milepost-core --test group_schedules
//! ```
#![cfg(milepost_shuttle)]

mod common;

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use milepost_core::{
    GroupCommit, NewProcess, Op, RequestId, StoreError, StoreErrorKind, Transaction, Transactions,
    Verdict,
};
use shuttle::rand::{Rng, thread_rng};
use shuttle::scheduler::{PctScheduler, RandomScheduler, Scheduler};
use shuttle::sync::{Condvar, Mutex, MutexGuard};
use shuttle::{Config, Runner, thread};
use uuid::Uuid;

use common::{chain, creation, noon};

type Answer = Result<Vec<Verdict>, StoreError>;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What becomes of a batch in the store.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Fate {
    Kept,
    /// It fails, and nothing else.
    Refused,
    /// It fails, and takes the transaction along.
    Loses,
    Panics,
    /// Of the transaction that it is in nobody knows whether it was kept.
    Doubtful,
}

/// A store that keeps the numbers of batches, and does to each what its fate is.
#[derive(Default)]
struct Ledger {
    kept: Mutex<Vec<usize>>,
    fates: Vec<Fate>,
    writing: AtomicBool,
    /// Two were in a transaction at once.
    crossed: AtomicBool,
}

struct Writing<'l> {
    ledger: &'l Ledger,
    batches: Vec<usize>,
}

impl Transactions for Ledger {
    type Transaction<'t> = Writing<'t>;

    fn begin(&self, _: Option<Instant>) -> Result<Writing<'_>, StoreError> {
        if self.writing.swap(true, Ordering::SeqCst) {
            self.crossed.store(true, Ordering::SeqCst);
        }
        thread::yield_now();
        Ok(Writing {
            ledger: self,
            batches: Vec::new(),
        })
    }
}

impl Transaction for Writing<'_> {
    fn apply(&mut self, ops: &[Op]) -> Answer {
        let batch = number(ops);
        thread::yield_now();
        match self.ledger.fates[batch] {
            Fate::Kept | Fate::Doubtful => {}
            Fate::Refused => return Err(StoreError::new(StoreErrorKind::Full, "refused")),
            Fate::Loses => return Err(StoreError::new(StoreErrorKind::Unavailable, "lost")),
            // Without the hook, which would print a schedule for each.
            Fate::Panics => resume_unwind(Box::new("on purpose")),
        }
        self.batches.push(batch);
        Ok(verdicts(ops))
    }

    fn apply_apart(&mut self, ops: &[Op]) -> Result<Answer, StoreError> {
        match self.apply(ops) {
            Err(lost) if lost.kind() == StoreErrorKind::Unavailable => Err(lost),
            answer => Ok(answer),
        }
    }

    fn commit(mut self) -> Result<(), StoreError> {
        let batches = std::mem::take(&mut self.batches);
        let is_doubtful = |batch: &usize| self.ledger.fates[*batch] == Fate::Doubtful;
        let doubtful = batches.iter().any(is_doubtful);
        if !doubtful || thread_rng().r#gen() {
            lock(&self.ledger.kept).extend(batches);
        }
        if doubtful {
            let why = "the disk is gone";
            return Err(StoreError::new(StoreErrorKind::OutcomeUnknown, why));
        }
        Ok(())
    }
}

impl Drop for Writing<'_> {
    fn drop(&mut self) {
        self.ledger.writing.store(false, Ordering::SeqCst);
    }
}

/// A batch of this number, which is the id that it begins.
fn batch(number: usize) -> Vec<Op> {
    let id = Uuid::from_u128(u128::try_from(number).expect("it is small"));
    let new = NewProcess::new(&chain(1)).request_id(RequestId::from(id));
    vec![creation(new, noon())]
}

fn number(ops: &[Op]) -> usize {
    usize::try_from(Uuid::from(ops[0].id).as_u128()).expect("it is small")
}

/// What the batch must be answered: each has a mark of its own.
fn verdicts(ops: &[Op]) -> Vec<Verdict> {
    ops.iter().map(|op| op.apply(&mut None)).collect()
}

/// What is tried: group commit, or one that is wrong.
trait Group: Send + Sync + 'static {
    fn write(&self, ledger: &Ledger, ops: &[Op], deadline: Option<Instant>) -> Answer;
}

impl Group for GroupCommit {
    fn write(&self, ledger: &Ledger, ops: &[Op], deadline: Option<Instant>) -> Answer {
        GroupCommit::write(self, ledger, ops, deadline)
    }
}

/// What a caller was told, and from when to when it waited for it.
struct Told {
    batch: usize,
    has_deadline: bool,
    began: u64,
    ended: u64,
    /// None: a panic.
    answer: Option<Answer>,
}

const CALLERS: usize = 4;
const CALLS: usize = 2;

/// One schedule: some callers write some batches each, and then whatever they were told has to be true.
fn try_once<G: Group>(group: G, fates: Vec<Fate>) {
    let ledger = Arc::new(Ledger {
        fates,
        ..Ledger::default()
    });
    let (group, time) = (Arc::new(group), Arc::new(AtomicU64::new(0)));
    let callers = (0..CALLERS).map(|caller| {
        let (ledger, group, time) = (ledger.clone(), group.clone(), time.clone());
        thread::spawn(move || {
            let call = |call| write(&*group, &ledger, &time, caller * CALLS + call);
            (0..CALLS).map(call).collect::<Vec<_>>()
        })
    });
    let callers = callers.collect::<Vec<_>>();
    let told = callers
        .into_iter()
        .flat_map(|caller| caller.join().expect("no panic"));
    let told = told.collect::<Vec<_>>();
    check(&ledger, &told);
    // Whatever happened, the next is served.
    let last = write(&*group, &ledger, &time, CALLERS * CALLS);
    assert!(matches!(last.answer, Some(Ok(_)) if last.batch == CALLERS * CALLS));
}

fn write(group: &impl Group, ledger: &Ledger, time: &AtomicU64, number: usize) -> Told {
    let ops = batch(number);
    // Whether it has passed, nobody can tell before it is looked at.
    let deadline = Instant::now() + Duration::from_hours(1);
    let is_last = number == CALLERS * CALLS;
    let deadline = Some(deadline).filter(|_| !is_last && thread_rng().gen_bool(0.3));
    let began = time.fetch_add(1, Ordering::SeqCst);
    let answer = catch_unwind(AssertUnwindSafe(|| group.write(ledger, &ops, deadline))).ok();
    let ended = time.fetch_add(1, Ordering::SeqCst);
    if let Some(Ok(given)) = &answer {
        assert_eq!(given, &verdicts(&ops), "another's answer");
        assert!(
            lock(&ledger.kept).contains(&number),
            "told before it was kept"
        );
    }
    Told {
        batch: number,
        has_deadline: deadline.is_some(),
        began,
        ended,
        answer,
    }
}

fn check(ledger: &Ledger, told: &[Told]) {
    assert!(!ledger.crossed.load(Ordering::SeqCst), "two led at once");
    let kept = lock(&ledger.kept).clone();
    let is_doubted = ledger.fates.contains(&Fate::Doubtful);
    for call in told {
        let times = kept.iter().filter(|kept| **kept == call.batch).count();
        let fate = ledger.fates[call.batch];
        let kind = match &call.answer {
            Some(Ok(_)) => {
                assert_eq!(times, 1, "batch {} was acknowledged", call.batch);
                assert_eq!(fate, Fate::Kept);
                continue;
            }
            Some(Err(error)) => Some(error.kind()),
            None => None,
        };
        let may_be = match kind {
            // Unwound by its own caller alone, or told to it by whoever committed for it.
            None | Some(StoreErrorKind::Other) => fate == Fate::Panics,
            Some(StoreErrorKind::Busy) => call.has_deadline,
            Some(StoreErrorKind::OutcomeUnknown) => is_doubted,
            Some(StoreErrorKind::Full) => fate == Fate::Refused,
            Some(StoreErrorKind::Unavailable) => fate == Fate::Loses,
            Some(_) => false,
        };
        assert!(may_be, "batch {}, {fate:?}, was told {kind:?}", call.batch);
        let most = usize::from(kind == Some(StoreErrorKind::OutcomeUnknown));
        assert!(
            times <= most,
            "batch {} was kept, and told {kind:?}",
            call.batch
        );
    }
    // Whoever begins after another's `Ok` follows it.
    let place = |call: &Told| kept.iter().position(|kept| *kept == call.batch);
    let acknowledged = told
        .iter()
        .filter(|call| matches!(call.answer, Some(Ok(_))));
    for one in acknowledged {
        for other in told.iter().filter(|other| one.ended < other.began) {
            let follows = place(other).is_none_or(|other| place(one) < Some(other));
            assert!(follows, "batch {} overtook {}", other.batch, one.batch);
        }
    }
}

/// Fates of all batches: nothing happens to most, and one panic at most, for no two may unwind at once here.
fn fates() -> Vec<Fate> {
    let mut random = thread_rng();
    let mut panics = false;
    let mut fate = || match random.gen_range(0..20) {
        0 => Fate::Refused,
        1 => Fate::Loses,
        2 => Fate::Doubtful,
        3 if !std::mem::replace(&mut panics, true) => Fate::Panics,
        _ => Fate::Kept,
    };
    let fates = (0..CALLERS * CALLS).map(|_| fate());
    fates.chain([Fate::Kept]).collect()
}

fn kept_all() -> Vec<Fate> {
    vec![Fate::Kept; CALLERS * CALLS + 1]
}

fn seed() -> u64 {
    std::env::var("MILEPOST_SEED").map_or(1, |seed| seed.parse().expect("a number"))
}

/// How many schedules are tried.
fn cases() -> usize {
    std::env::var("MILEPOST_CASES").map_or(3_000, |cases| cases.parse().expect("a number"))
}

fn run(scheduler: impl Scheduler + 'static, once: impl Fn() + Send + Sync + 'static) {
    Runner::new(scheduler, Config::new()).run(once);
}

#[test]
fn in_any_order_each_caller_is_told_once_and_told_the_truth() {
    run(RandomScheduler::new_from_seed(seed(), cases()), || {
        try_once(GroupCommit::new(), fates());
    });
}

#[test]
fn nor_does_a_scheduler_that_holds_some_up_find_an_order_in_which_one_is_forgotten() {
    for depth in [2, 3, 5] {
        run(
            PctScheduler::new_from_seed(seed(), depth, cases() / 3),
            || {
                try_once(GroupCommit::new(), fates());
            },
        );
    }
}

/// A group commit of a few lines, right or wrong in one way.
struct Small {
    desk: Mutex<Desk>,
    changed: Condvar,
    fault: Option<Wrong>,
}

#[derive(Default)]
struct Desk {
    led: bool,
    next: u64,
    waiting: Vec<(u64, Vec<Op>)>,
    answers: Vec<(u64, Answer)>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Wrong {
    /// Those who wait are not told that their answer is there.
    WakesNobody,
    /// Two lead at once.
    LeadsTwice,
    /// It answers, and commits then.
    AnswersBeforeItCommits,
    /// Who gives up does not look whether its batch was taken up meanwhile.
    GivesUpBlindly,
    /// The last of three gets an answer, and is not written.
    LeavesOneOut,
    /// Two get each other's answers.
    MixesUp,
}

impl Small {
    fn new(fault: Option<Wrong>) -> Self {
        Small {
            desk: Mutex::default(),
            changed: Condvar::new(),
            fault,
        }
    }

    fn is(&self, fault: Wrong) -> bool {
        self.fault == Some(fault)
    }

    fn publish(&self, calls: &[(u64, Vec<Op>)], mut answers: Vec<Answer>) {
        if self.is(Wrong::MixesUp) {
            answers.reverse();
        }
        let tickets = calls.iter().map(|(ticket, _)| *ticket);
        lock(&self.desk).answers.extend(tickets.zip(answers));
        if !self.is(Wrong::WakesNobody) {
            self.changed.notify_all();
        }
    }

    fn commit(&self, ledger: &Ledger, calls: &[(u64, Vec<Op>)]) -> Result<(), StoreError> {
        let mut transaction = ledger.begin(None)?;
        for (place, (_, ops)) in calls.iter().enumerate() {
            if !(self.is(Wrong::LeavesOneOut) && place == 2) {
                transaction.apply(ops)?;
            }
        }
        transaction.commit()
    }
}

impl Group for Small {
    fn write(&self, ledger: &Ledger, ops: &[Op], deadline: Option<Instant>) -> Answer {
        let mut desk = lock(&self.desk);
        let own = desk.next;
        desk.next += 1;
        desk.waiting.push((own, ops.to_vec()));
        loop {
            if let Some(place) = desk.answers.iter().position(|(ticket, _)| *ticket == own) {
                return desk.answers.remove(place).1;
            }
            let place = desk.waiting.iter().position(|(ticket, _)| *ticket == own);
            if !desk.led && place.is_some() {
                desk.led = !self.is(Wrong::LeadsTwice);
                let calls = std::mem::take(&mut desk.waiting);
                drop(desk);
                let answers = calls.iter().map(|(_, ops)| Ok(verdicts(ops))).collect();
                if self.is(Wrong::AnswersBeforeItCommits) {
                    self.publish(&calls, answers);
                    self.commit(ledger, &calls)?;
                } else {
                    self.commit(ledger, &calls)?;
                    self.publish(&calls, answers);
                }
                desk = lock(&self.desk);
                desk.led = false;
                if !self.is(Wrong::WakesNobody) {
                    self.changed.notify_all();
                }
                continue;
            }
            if deadline.is_some() && thread_rng().gen_bool(0.3) {
                let given_up = place.map(|place| desk.waiting.remove(place)).is_some();
                if given_up || self.is(Wrong::GivesUpBlindly) {
                    return Err(StoreError::new(StoreErrorKind::Busy, "no time"));
                }
            }
            desk = self
                .changed
                .wait(desk)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }
}

fn small_holds(fault: Option<Wrong>) -> bool {
    let tried = catch_unwind(|| {
        run(RandomScheduler::new_from_seed(seed(), 1_000), move || {
            try_once(Small::new(fault), kept_all());
        });
    });
    tried.is_ok()
}

#[test]
fn a_group_commit_that_is_wrong_is_found_out_and_one_that_is_right_is_not() {
    assert!(small_holds(None));
    for wrong in [
        Wrong::WakesNobody,
        Wrong::LeadsTwice,
        Wrong::AnswersBeforeItCommits,
        Wrong::GivesUpBlindly,
        Wrong::LeavesOneOut,
        Wrong::MixesUp,
    ] {
        assert!(!small_holds(Some(wrong)), "{wrong:?} was not noticed");
    }
}
