//! Joins the writes of many tasks: while one batch is committed, the next gathers.

use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread::JoinHandle;

use milepost_core::limits::{BATCH_BYTES, BATCH_OPS, check_batch};
use milepost_core::{Op, StoreError, StoreErrorKind, TrackError, Tracker, Verdict};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

/// How many bytes of ops may have been sent and not yet answered, as [`Op::bytes`] counts them: two batches. The tasks
/// of those beyond wait, in the order in which they came.
const ROOM: usize = 2 * BATCH_BYTES;

/// What becomes of one task's ops.
type Answer = Result<Vec<Verdict>, TrackError>;

/// One thread that writes for all tasks of a tracker. It starts with the first write, and ends when this is dropped, once
/// all that was sent is written.
#[derive(Debug)]
pub(crate) struct Writer {
    room: Arc<Semaphore>,
    thread: OnceLock<Thread>,
    /// Held while the thread is started. Later no call takes a lock that another may hold.
    starting: Mutex<()>,
}

#[derive(Debug)]
struct Thread {
    calls: UnboundedSender<Call>,
    handle: JoinHandle<()>,
}

/// The ops of a task that waits, or has gone away.
#[derive(Debug)]
struct Call {
    ops: Vec<Op>,
    bytes: usize,
    answer: oneshot::Sender<Answer>,
    _room: OwnedSemaphorePermit,
}

impl Writer {
    pub(crate) fn new() -> Self {
        Writer {
            room: Arc::new(Semaphore::new(ROOM)),
            thread: OnceLock::new(),
            starting: Mutex::default(),
        }
    }

    /// Writes ops, in one batch with those of others. Dropped before that batch is taken up, it writes nothing; later
    /// all of it.
    pub(crate) async fn write(&self, tracker: &Tracker, ops: Vec<Op>) -> Answer {
        check_batch(&ops).map_err(StoreError::from)?;
        if ops.is_empty() {
            return Ok(Vec::new());
        }
        let bytes = ops.iter().map(Op::bytes).sum::<usize>();
        let share = u32::try_from(bytes).expect("a batch is no longer than its limit");
        let room = Arc::clone(&self.room).acquire_many_owned(share).await;
        let (answer, answered) = oneshot::channel();
        let call = Call {
            ops,
            bytes,
            answer,
            _room: room.expect("it is never closed"),
        };
        self.send(tracker, call)?;
        // The thread answers whatever happens, short of the end of the OS process.
        answered.await.unwrap_or_else(|_| Err(broken_off()))
    }

    fn send(&self, tracker: &Tracker, call: Call) -> Result<(), TrackError> {
        let thread = match self.thread.get() {
            Some(running) => running,
            None => self.start(tracker)?,
        };
        thread.calls.send(call).map_err(|_| broken_off())
    }

    fn start(&self, tracker: &Tracker) -> Result<&Thread, TrackError> {
        let _starting = self.starting.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(running) = self.thread.get() {
            return Ok(running);
        }
        let started = Thread::start(tracker.clone())?;
        Ok(self.thread.get_or_init(|| started))
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        if let Some(Thread { calls, handle }) = self.thread.take() {
            drop(calls);
            // It catches what the store panics with.
            let _ = handle.join();
        }
    }
}

impl Thread {
    fn start(tracker: Tracker) -> Result<Self, TrackError> {
        let (calls, received) = unbounded_channel();
        let builder = std::thread::Builder::new().name("milepost-writer".to_owned());
        let spawned = builder.spawn(move || write_all(&tracker, received));
        let handle =
            spawned.map_err(|error| StoreError::new(StoreErrorKind::Unavailable, error))?;
        Ok(Thread { calls, handle })
    }
}

/// Writes what comes until nobody is left who could send more.
fn write_all(tracker: &Tracker, mut calls: UnboundedReceiver<Call>) {
    let mut left_over = None;
    while let Some(first) = left_over.take().or_else(|| calls.blocking_recv()) {
        let (mut ops, mut bytes) = (first.ops.len(), first.bytes);
        let mut group = vec![first];
        while let Ok(next) = calls.try_recv() {
            ops += next.ops.len();
            bytes += next.bytes;
            if ops > BATCH_OPS || bytes > BATCH_BYTES {
                left_over = Some(next);
                break;
            }
            group.push(next);
        }
        // Whoever has gone away wants nothing written.
        group.retain(|call| !call.answer.is_closed());
        write_group(tracker, group);
    }
}

fn write_group(tracker: &Tracker, mut group: Vec<Call>) {
    if let [only] = &mut group[..] {
        let answer = write(tracker, &mem::take(&mut only.ops));
        return group
            .into_iter()
            .for_each(|call| call.answer(answer.clone()));
    }
    let joined = group
        .iter()
        .flat_map(|call| &call.ops)
        .cloned()
        .collect::<Vec<_>>();
    match write(tracker, &joined) {
        Ok(verdicts) => {
            let mut verdicts = verdicts.into_iter();
            for call in group {
                let own = verdicts.by_ref().take(call.ops.len()).collect();
                call.answer(Ok(own));
            }
        }
        // What the store cannot write of one process is no fault of the others.
        Err(TrackError::Store(error)) if error.kind().may_concern_one() => {
            for call in group {
                let answer = write(tracker, &call.ops);
                call.answer(answer);
            }
        }
        Err(error) => group
            .into_iter()
            .for_each(|call| call.answer(Err(error.clone()))),
    }
}

fn write(tracker: &Tracker, ops: &[Op]) -> Answer {
    if ops.is_empty() {
        return Ok(Vec::new());
    }
    // A panic in a store must not leave everybody waiting for ever.
    let written = catch_unwind(AssertUnwindSafe(|| tracker.apply(ops)));
    written.unwrap_or_else(|_| {
        let why = "the store panicked while it was written to";
        Err(StoreError::new(StoreErrorKind::OutcomeUnknown, why).into())
    })
}

impl Call {
    fn answer(self, answer: Answer) {
        // Nobody need be there any more.
        let _ = self.answer.send(answer);
    }
}

fn broken_off() -> TrackError {
    let why = "the thread that writes is gone";
    StoreError::new(StoreErrorKind::OutcomeUnknown, why).into()
}
