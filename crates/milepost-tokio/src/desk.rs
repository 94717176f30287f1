//! Calls that block, on threads that may.

use std::collections::VecDeque;
use std::fmt;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use milepost_core::{StoreError, StoreErrorKind, TrackError};
use tokio::sync::oneshot;
use tokio::task::spawn_blocking;

/// How many calls block at a time; others wait, in the order in which they came. More than a store has connections, so
/// that writes among them go in groups, and few enough for their stacks.
const THREADS: usize = 32;

/// Has calls made by threads of the runtime's pool: as many as there is work for, up to [`THREADS`].
#[derive(Debug, Clone, Default)]
pub(crate) struct Desk {
    queue: Arc<Mutex<Queue>>,
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<Call>,
    threads: usize,
}

type Call = Box<dyn FnOnce() + Send>;

/// A thread's place at the desk, which it gives up when it finds nothing to do.
struct Place {
    desk: Desk,
    is_taken: bool,
}

impl Desk {
    /// Runs `work` where it may block. Dropped before it begins, it never does; later it goes on to its end.
    ///
    /// # Errors
    ///
    /// `Unavailable` if the runtime ends before `work` has begun.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, TrackError> {
        let (answer, answered) = oneshot::channel();
        self.put(Box::new(move || {
            if !answer.is_closed() {
                // Whoever asked has gone away, or has it: what is left of it goes here, where that may block.
                let _ = answer.send(catch_unwind(AssertUnwindSafe(work)));
            }
        }));
        let done = answered.await.map_err(|_| {
            let why = "the runtime ended before the call began";
            StoreError::new(StoreErrorKind::Unavailable, why)
        })?;
        Ok(done.unwrap_or_else(|panic| resume_unwind(panic)))
    }

    fn put(&self, call: Call) {
        let mut queue = self.lock();
        queue.waiting.push_back(call);
        if queue.threads < THREADS {
            queue.threads += 1;
            drop(queue);
            let place = Place {
                desk: self.clone(),
                is_taken: false,
            };
            drop(spawn_blocking(move || place.work()));
        }
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    fn work(mut self) {
        self.is_taken = true;
        while let Some(call) = self.next() {
            call();
        }
    }

    /// The next call; without one the place is given up under the same lock, so that no call is left without a thread.
    fn next(&mut self) -> Option<Call> {
        let mut queue = self.desk.lock();
        let next = queue.waiting.pop_front();
        if next.is_none() {
            queue.threads -= 1;
        }
        next
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if self.is_taken {
            return;
        }
        // The runtime has ended, and no thread came. Others may be at work; if not, those that wait are told.
        let mut queue = self.desk.lock();
        queue.threads -= 1;
        let left = (queue.threads == 0).then(|| mem::take(&mut queue.waiting));
        drop(queue);
        drop(left);
    }
}

impl fmt::Debug for Queue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let waiting = &self.waiting.len();
        let queue = &mut f.debug_struct("Queue");
        queue
            .field("waiting", waiting)
            .field("threads", &self.threads)
            .finish()
    }
}
