//! Group commit: many callers, few transactions.
//!
//! Whoever writes while nobody does commits alone, on its own thread, without any hand-over. Whoever comes
//! meanwhile waits, and the first of those who wait commits for all of them. So one caller pays what it would
//! pay anyway, and many share the price of a sync.

use std::any::Any;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::time::Instant;

use crate::limits::{BATCH_BYTES, BATCH_OPS, check_batch};
use crate::op::Op;
use crate::store::{StoreError, StoreErrorKind};
use crate::sync::{Mutex, Thread, current, lock, now, park, park_timeout, yield_now};
use crate::verdict::Verdict;

/// What becomes of one caller's batch.
type Answer = Result<Vec<Verdict>, StoreError>;

/// How many callers may wait for their turn; the next is [`Busy`](StoreErrorKind::Busy) at once.
const WAITING: usize = 1024;

/// How many callers have been told for each time that a leader lets them run before it hands the lead on.
const TOLD_PER_YIELD: usize = 8;

/// What a store gives for its writes to be grouped: a way to begin a transaction that holds the write lock.
pub trait Transactions {
    /// One transaction.
    type Transaction<'t>: Transaction
    where
        Self: 't;

    /// Begins one, waiting for others until the deadline; none: as long as it takes.
    fn begin(&self, deadline: Option<Instant>) -> Result<Self::Transaction<'_>, StoreError>;
}

/// One transaction of a store. Dropped without a commit, it leaves nothing behind.
pub trait Transaction {
    /// Applies a batch: if it fails, the transaction is dropped, with whatever else was applied in it.
    fn apply(&mut self, ops: &[Op]) -> Answer;

    /// Applies one batch of several, one of which is known to fail: if it does, only what it did is taken back.
    ///
    /// # Errors
    ///
    /// The outer error says that the whole transaction is lost, and nothing of it was kept.
    fn apply_apart(&mut self, ops: &[Op]) -> Result<Answer, StoreError>;

    /// Makes all of it durable.
    ///
    /// # Errors
    ///
    /// [`OutcomeUnknown`](StoreErrorKind::OutcomeUnknown) unless it is certain that nothing was kept.
    fn commit(self) -> Result<(), StoreError>;
}

/// Groups the writes of one store.
///
/// # Contract
///
/// - A batch that arrives while nobody commits is committed alone, by its caller, on its thread.
/// - Batches that arrive meanwhile are committed together by one of their callers: at most 10,000 ops and
///   16 MiB together. One that fails spoils no other: then each is applied apart.
/// - Limits are checked before a caller waits. At most 1,024 wait. One whose deadline passes before its batch
///   is taken up withdraws it, and it is never applied; once it is taken up, its caller waits.
/// - If a transaction is lost before its commit, its batches run singly. After a failed commit none is
///   run again: all its callers get that error.
/// - A call that begins after another's `Ok` follows it.
/// - A panic of the store reaches the caller whose batch caused it, if that is the one who commits, and
///   nobody else.
#[derive(Debug, Default)]
pub struct GroupCommit {
    queue: Mutex<Queue>,
}

#[derive(Debug, Default)]
struct Queue {
    /// Somebody commits. While nobody does, nobody waits.
    led: bool,
    waiting: VecDeque<Arc<Call>>,
}

/// A batch whose caller waits, parked.
#[derive(Debug)]
struct Call {
    ops: Vec<Op>,
    bytes: usize,
    deadline: Option<Instant>,
    state: Mutex<CallState>,
    caller: Thread,
}

#[derive(Debug)]
enum CallState {
    Waiting,
    /// Its caller is to commit, for itself and those behind it.
    Leads,
    Answered(Answer),
}

/// What a caller has waited for.
enum Turn {
    Leads,
    Answered(Answer),
    TimeUp,
}

impl GroupCommit {
    /// Nobody writes yet.
    #[must_use]
    pub fn new() -> Self {
        GroupCommit::default()
    }

    /// Writes a batch: what a store's `write` does.
    ///
    /// # Errors
    ///
    /// [`Limit`](StoreErrorKind::Limit) if the batch is too large, [`Busy`](StoreErrorKind::Busy) if too many
    /// wait or the deadline passes, and whatever the store answers.
    pub fn write<S: Transactions>(
        &self,
        store: &S,
        ops: &[Op],
        deadline: Option<Instant>,
    ) -> Answer {
        check_batch(ops)?;
        let mut queue = lock(&self.queue);
        if !queue.led {
            queue.led = true;
            drop(queue);
            let _leadership = Leadership(self);
            return write_alone(store, ops, deadline);
        }
        if queue.waiting.len() >= WAITING {
            let why = "1,024 calls are waiting to write already";
            return Err(StoreError::new(StoreErrorKind::Busy, why));
        }
        let call = Arc::new(Call::new(ops, deadline));
        queue.waiting.push_back(Arc::clone(&call));
        drop(queue);
        match self.turn(&call) {
            Turn::Answered(answer) => answer,
            Turn::Leads => self.lead(store, &call),
            Turn::TimeUp => {
                let why = "others in this OS process were writing until the deadline";
                Err(StoreError::new(StoreErrorKind::Busy, why))
            }
        }
    }

    /// Waits until the call leads or is answered; withdraws it if its deadline passes before it is taken up.
    fn turn(&self, call: &Arc<Call>) -> Turn {
        if let Some(turn) = call.wait(call.deadline) {
            return turn;
        }
        let mut queue = lock(&self.queue);
        let place = queue
            .waiting
            .iter()
            .position(|waiting| Arc::ptr_eq(waiting, call));
        if let Some(place) = place {
            queue.waiting.remove(place);
            return Turn::TimeUp;
        }
        drop(queue);
        call.wait(None)
            .expect("who waits without a deadline gets its turn")
    }

    /// Commits the caller's batch, and those that wait behind it.
    fn lead<S: Transactions>(&self, store: &S, own: &Arc<Call>) -> Answer {
        let leadership = Leadership(self);
        let others = self.take_behind(own);
        if others.is_empty() {
            return write_alone(store, &own.ops, own.deadline);
        }
        let calls = std::iter::once(own).chain(&others).collect::<Vec<_>>();
        let answers = write_together(store, &calls);
        let mut answers = answers.into_iter();
        let own = answers.next().expect("there is one answer for each call");
        for (call, answer) in others.iter().zip(answers) {
            // A panic that a follower's batch caused is not its caller's to unwind: it only waited.
            call.set(CallState::Answered(answer.unwrap_or_else(|_| {
                let why = "the store panicked while it wrote";
                Err(StoreError::new(StoreErrorKind::Other, why))
            })));
        }
        // Those who have been told come again in time for the next group, given a moment to run: it is larger then, and
        // a sync is shared among more. Another OS process that waits for the store gets its turn, too.
        for _ in 0..=others.len() / TOLD_PER_YIELD {
            yield_now();
        }
        drop(leadership);
        own.unwrap_or_else(|panic| resume_unwind(panic))
    }

    /// Takes up those that wait, as many as go together with the leader's batch.
    fn take_behind(&self, own: &Call) -> Vec<Arc<Call>> {
        let (mut ops, mut bytes) = (own.ops.len(), own.bytes);
        let mut taken = Vec::new();
        let mut queue = lock(&self.queue);
        while let Some(next) = queue.waiting.front() {
            ops += next.ops.len();
            bytes += next.bytes;
            if ops > BATCH_OPS || bytes > BATCH_BYTES {
                break;
            }
            taken.extend(queue.waiting.pop_front());
        }
        taken
    }
}

/// Held by whoever commits; passes to the first who waits, however the commit ends.
struct Leadership<'g>(&'g GroupCommit);

impl Drop for Leadership<'_> {
    fn drop(&mut self) {
        let mut queue = lock(&self.0.queue);
        match queue.waiting.pop_front() {
            Some(next) => next.set(CallState::Leads),
            None => queue.led = false,
        }
    }
}

impl Call {
    fn new(ops: &[Op], deadline: Option<Instant>) -> Self {
        Call {
            ops: ops.to_vec(),
            bytes: ops.iter().map(Op::bytes).sum(),
            deadline,
            state: Mutex::new(CallState::Waiting),
            caller: current(),
        }
    }

    fn set(&self, state: CallState) {
        *lock(&self.state) = state;
        self.caller.unpark();
    }

    /// Waits for a turn; none if the deadline passes first.
    fn wait(&self, deadline: Option<Instant>) -> Option<Turn> {
        loop {
            // A statement of its own: within a `match` the lock would be held while parked.
            let state = std::mem::replace(&mut *lock(&self.state), CallState::Waiting);
            match state {
                CallState::Leads => return Some(Turn::Leads),
                CallState::Answered(answer) => return Some(Turn::Answered(answer)),
                CallState::Waiting => {}
            }
            match deadline {
                None => park(),
                Some(deadline) => {
                    let left = deadline.saturating_duration_since(now());
                    if left.is_zero() {
                        return None;
                    }
                    park_timeout(left);
                }
            }
        }
    }
}

fn write_alone<S: Transactions>(store: &S, ops: &[Op], deadline: Option<Instant>) -> Answer {
    let mut transaction = store.begin(deadline)?;
    let verdicts = transaction.apply(ops)?;
    transaction.commit()?;
    Ok(verdicts)
}

/// An answer, or the panic of the store that came in its place.
type Outcome = Result<Answer, Box<dyn Any + Send>>;

/// Commits several batches in one transaction. If one of them fails, all are applied again, each apart from the
/// others: that costs more, and is seldom needed. If the transaction is lost before its commit, singly.
fn write_together<S: Transactions>(store: &S, calls: &[&Arc<Call>]) -> Vec<Outcome> {
    // Those that were taken up wait, however long it takes: the group waits as long as the most patient.
    let deadlines = calls.iter().map(|call| call.deadline);
    let latest = deadlines.max_by_key(|deadline| (deadline.is_none(), *deadline));
    let latest = latest.flatten();
    let applied = catch_unwind(AssertUnwindSafe(|| {
        let together =
            |transaction: &mut S::Transaction<'_>, ops: &[Op]| transaction.apply(ops).map(Ok);
        apply_all(store, calls, latest, together)
            .or_else(|_| apply_all(store, calls, latest, S::Transaction::apply_apart))
    }));
    let Ok(Ok((transaction, answers))) = applied else {
        let alone = |call: &&Arc<Call>| {
            catch_unwind(AssertUnwindSafe(|| {
                write_alone(store, &call.ops, call.deadline)
            }))
        };
        return calls.iter().map(alone).collect();
    };
    let committed = catch_unwind(AssertUnwindSafe(|| transaction.commit()));
    let committed = committed.unwrap_or_else(|_| {
        let why = "the store panicked while it committed";
        Err(StoreError::new(StoreErrorKind::OutcomeUnknown, why))
    });
    let outcome = |answer: Answer| Ok(committed.clone().and(answer));
    answers.into_iter().map(outcome).collect()
}

/// A transaction that is still open, and what each of its batches came to.
type Applied<'t, S> = (<S as Transactions>::Transaction<'t>, Vec<Answer>);

/// Begins a transaction and has `apply` apply each batch in it.
fn apply_all<'t, S: Transactions>(
    store: &'t S,
    calls: &[&Arc<Call>],
    deadline: Option<Instant>,
    apply: impl Fn(&mut S::Transaction<'t>, &[Op]) -> Result<Answer, StoreError>,
) -> Result<Applied<'t, S>, StoreError> {
    let mut transaction = store.begin(deadline)?;
    let answers = calls.iter().map(|call| apply(&mut transaction, &call.ops));
    let answers = answers.collect::<Result<Vec<_>, _>>()?;
    Ok((transaction, answers))
}
