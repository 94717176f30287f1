//! Leader and followers: who finds nobody committing commits its own, on its own thread; those who come meanwhile
//! queue, and one of them commits for all of them in one transaction.

use std::sync::{Arc, Mutex};
use std::thread::{self, Thread};

use super::lock;
use super::process::{Op, Verdict};
use super::store::Failure;

pub(super) type Answer = Result<Vec<Verdict>, Failure>;

/// The queue of one store.
#[derive(Debug, Default)]
pub(super) struct Group {
    queue: Mutex<Queue>,
}

#[derive(Debug, Default)]
struct Queue {
    /// Somebody commits. While nobody does, nobody waits.
    led: bool,
    waiting: Vec<Arc<Slot>>,
}

/// A caller that waits, parked.
#[derive(Debug)]
struct Slot {
    ops: Vec<Op>,
    thread: Thread,
    turn: Mutex<Turn>,
}

#[derive(Debug)]
enum Turn {
    Waits,
    Leads,
    Has(Answer),
}

/// Somebody's turn to commit, until it is handed over to one of those who wait.
struct Lead<'a>(&'a Group);

impl Group {
    /// Commits `ops`: by `alone`, or together with those of others by `together`.
    pub(super) fn commit<T>(
        &self,
        ops: &[Op],
        alone: impl FnOnce() -> Result<T, Failure>,
        together: impl FnOnce(&mut dyn Iterator<Item = &[Op]>) -> Result<Vec<Vec<Verdict>>, Failure>,
        told: impl FnOnce(Vec<Verdict>) -> T,
    ) -> Result<T, Failure> {
        let mut queue = lock(&self.queue);
        if !queue.led {
            queue.led = true;
            drop(queue);
            let _lead = Lead(self);
            return alone();
        }
        let slot = Arc::new(Slot {
            ops: ops.to_vec(),
            thread: thread::current(),
            turn: Mutex::new(Turn::Waits),
        });
        queue.waiting.push(Arc::clone(&slot));
        drop(queue);
        match slot.wait() {
            Some(answer) => answer.map(told),
            None => self.lead(together).map(told),
        }
    }

    /// Commits for all that wait, of whom the caller is the first.
    fn lead(
        &self,
        together: impl FnOnce(&mut dyn Iterator<Item = &[Op]>) -> Result<Vec<Vec<Verdict>>, Failure>,
    ) -> Answer {
        let lead = Lead(self);
        let group = std::mem::take(&mut lock(&self.queue).waiting);
        let done = together(&mut group.iter().map(|slot| &*slot.ops));
        drop(lead);
        let mut answers = match done {
            Ok(answers) => answers.into_iter().map(Ok).collect::<Vec<_>>(),
            Err(failure) => vec![Err(failure); group.len()],
        };
        for (slot, answer) in group.iter().skip(1).zip(answers.drain(1..)) {
            slot.give(Turn::Has(answer));
        }
        answers.swap_remove(0)
    }
}

impl Drop for Lead<'_> {
    fn drop(&mut self) {
        let mut queue = lock(&self.0.queue);
        match queue.waiting.first() {
            Some(next) => {
                let next = Arc::clone(next);
                drop(queue);
                next.give(Turn::Leads);
            }
            None => queue.led = false,
        }
    }
}

impl Slot {
    fn give(&self, turn: Turn) {
        *lock(&self.turn) = turn;
        self.thread.unpark();
    }

    /// Waits for an answer; none if the caller is to commit itself.
    fn wait(&self) -> Option<Answer> {
        loop {
            // A statement of its own, for in a `match` the lock would be held while parked.
            let turn = std::mem::replace(&mut *lock(&self.turn), Turn::Waits);
            match turn {
                Turn::Has(answer) => return Some(answer),
                Turn::Leads => return None,
                Turn::Waits => thread::park(),
            }
        }
    }
}
