//! Calls that block, on threads that may.

use std::collections::VecDeque;
use std::fmt;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use milepost_core::{StoreError, StoreErrorKind, TrackError};
use tokio::sync::{Semaphore, oneshot};
use tokio::task::spawn_blocking;

/// How many calls block at a time; others wait, in the order in which they came. More than a store has connections, so
/// that writes among them go in groups, and few enough for their stacks.
const THREADS: usize = 32;

/// How many of them may be busy with what may take long: short calls go on beside it.
const LONG: usize = THREADS / 4;

/// How many calls have a place in the queue, given up or not. The tasks of those beyond wait themselves, and take what they
/// would ask along when they go.
const ROOM: usize = 1_024;

/// Has calls made by threads of the runtime's pool: as many as there is work for, up to [`THREADS`].
#[derive(Debug, Clone)]
pub(crate) struct Desk {
    queue: Arc<Mutex<Queue>>,
    room: Arc<Semaphore>,
    long: Arc<Semaphore>,
}

impl Default for Desk {
    fn default() -> Self {
        Desk {
            queue: Arc::default(),
            room: Arc::new(Semaphore::new(ROOM)),
            long: Arc::new(Semaphore::new(LONG)),
        }
    }
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
        let place = Arc::clone(&self.room).acquire_owned().await;
        let place = place.expect("it is never closed");
        let (answer, answered) = oneshot::channel();
        self.put(Box::new(move || {
            drop(place);
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

    /// The same of work that may take long.
    pub(crate) async fn run_long<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, TrackError> {
        let turn = Arc::clone(&self.long).acquire_owned().await;
        let turn = turn.expect("it is never closed");
        let with_turn = move || {
            let done = work();
            drop(turn);
            done
        };
        self.run(with_turn).await
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

#[cfg(test)]
mod tests {
    use std::future::{Future, poll_fn};
    use std::pin::pin;
    use std::sync::mpsc;
    use std::task::Poll;

    use super::*;

    /// What is asked and given up before it has a thread is not kept beyond the room that there is.
    #[tokio::test]
    async fn calls_that_were_given_up_take_no_more_than_their_room() {
        let desk = Desk::default();
        let (go_on, wait) = mpsc::channel::<()>();
        let wait = Arc::new(Mutex::new(wait));
        let busy = (0..THREADS).map(|_| {
            let (desk, wait) = (desk.clone(), Arc::clone(&wait));
            tokio::spawn(async move {
                let hold = move || drop(wait.lock().map(|wait| wait.recv()));
                desk.run(hold).await
            })
        });
        let busy = busy.collect::<Vec<_>>();
        let kept = Arc::new(());
        for _ in 0..5 * ROOM {
            let asked = Arc::clone(&kept);
            let mut call = pin!(desk.run(move || drop(asked)));
            // Asked, and given up.
            poll_fn(|context| Poll::Ready(call.as_mut().poll(context).is_pending())).await;
        }
        assert!(
            Arc::strong_count(&kept) <= 1 + ROOM,
            "{}",
            Arc::strong_count(&kept)
        );
        drop(go_on);
        for call in busy {
            call.await.expect("no panic").expect("the runtime goes on");
        }
        desk.run(|| ()).await.expect("the runtime goes on");
        assert_eq!(Arc::strong_count(&kept), 1);
    }
}
