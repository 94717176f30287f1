//! Connections, each lent to one caller at a time, turns, and deadlines.

use std::ops::Deref;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::{Duration, Instant};

use milepost_core::{StoreError, StoreErrorKind};
use rusqlite::Connection;

use crate::connection::run;
use crate::error::{Busy, store_error};
use crate::sql;

/// How many calls may wait for a connection; the next is `Busy` at once.
const WAITING: usize = 1024;

/// When a call gives up.
#[derive(Clone, Copy)]
pub(crate) struct Deadline {
    /// None: so far off that no clock counts that far.
    at: Option<Instant>,
}

impl Deadline {
    pub(crate) fn after(span: Duration) -> Self {
        Deadline {
            at: Instant::now().checked_add(span),
        }
    }

    /// None: never.
    pub(crate) fn at(at: Option<Instant>) -> Self {
        Deadline { at }
    }

    pub(crate) fn instant(self) -> Option<Instant> {
        self.at
    }

    pub(crate) fn left(self) -> Duration {
        self.at.map_or(Duration::MAX, |at| {
            at.saturating_duration_since(Instant::now())
        })
    }

    pub(crate) fn has_passed(self) -> bool {
        self.left().is_zero()
    }

    /// Tries until nobody else holds the lock that is in the way, or the deadline passes.
    ///
    /// SQLite's own waiting sleeps up to 100 ms at a time, in which a busy writer takes the lock again and
    /// again; short pauses of uneven length give every OS process its turn.
    pub(crate) fn retry<T, E: Busy>(
        self,
        mut attempt: impl FnMut() -> Result<T, E>,
    ) -> Result<T, E> {
        let mut began = None;
        loop {
            match attempt() {
                Err(error) if error.is_busy() && !self.has_passed() => {
                    // The low bits of how long it has taken so far are as uneven as any.
                    let began = *began.get_or_insert_with(Instant::now);
                    let jitter = began.elapsed().subsec_nanos() % 1_900;
                    let pause = Duration::from_micros(100 + u64::from(jitter));
                    std::thread::sleep(pause.min(self.left()));
                }
                outcome => return outcome,
            }
        }
    }
}

/// The turn that a lock gives; none while somebody else has it.
pub(crate) fn try_lock<T>(turn: &Mutex<T>) -> Option<MutexGuard<'_, T>> {
    match turn.try_lock() {
        Ok(turn) => Some(turn),
        Err(TryLockError::Poisoned(turn)) => Some(turn.into_inner()),
        Err(TryLockError::WouldBlock) => None,
    }
}

/// Connections of one kind, opened when they are first needed.
pub(crate) struct Pool {
    state: Mutex<State>,
    returned: Condvar,
    max: usize,
}

struct State {
    idle: Vec<Connection>,
    open: usize,
    waiting: usize,
}

impl Pool {
    /// At most `max` connections.
    pub(crate) fn new(max: usize) -> Self {
        let state = State {
            idle: Vec::new(),
            open: 0,
            waiting: 0,
        };
        Pool {
            state: Mutex::new(state),
            returned: Condvar::new(),
            max,
        }
    }

    /// Adds one that is open already.
    pub(crate) fn add(&self, connection: Connection) {
        let mut state = self.lock();
        state.open += 1;
        state.idle.push(connection);
    }

    /// Lends a connection, waiting for one until the deadline.
    pub(crate) fn take(
        &self,
        deadline: Deadline,
        open: impl FnOnce() -> Result<Connection, StoreError>,
    ) -> Result<Lent<'_>, StoreError> {
        let mut state = self.lock();
        let mut has_waited = false;
        loop {
            // Where there is but one, whoever comes now comes behind those who wait: else who takes it again and
            // again, as a purge does, would leave them waiting. Reads are short, and turns would only slow them.
            let is_turn = has_waited || state.waiting == 0 || self.max > 1;
            if let Some(connection) = is_turn.then(|| state.idle.pop()).flatten() {
                return Ok(Lent {
                    pool: self,
                    connection: Some(connection),
                });
            }
            if state.open < self.max {
                state.open += 1;
                drop(state);
                // If opening fails or panics, the empty loan gives its place back.
                let mut lent = Lent {
                    pool: self,
                    connection: None,
                };
                lent.connection = Some(open()?);
                return Ok(lent);
            }
            let left = deadline.left();
            if left.is_zero() {
                let why = "others in this OS process held every connection until the deadline";
                return Err(StoreError::new(StoreErrorKind::Busy, why));
            }
            if state.waiting == WAITING {
                let why = "1,024 calls are waiting for a connection already";
                return Err(StoreError::new(StoreErrorKind::Busy, why));
            }
            state.waiting += 1;
            let waited = self.returned.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
            state.waiting -= 1;
            has_waited = true;
        }
    }

    /// Whether anybody waits for a connection.
    pub(crate) fn is_waited_for(&self) -> bool {
        self.lock().waiting > 0
    }

    /// Takes all that is idle out, for a child of `fork`, which must not close what its parent opened.
    pub(crate) fn forget(&mut self) {
        let state = self.state.get_mut().unwrap_or_else(PoisonError::into_inner);
        std::mem::forget(std::mem::take(&mut state.idle));
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection on loan. It goes back without an open transaction, or not at all.
pub(crate) struct Lent<'p> {
    pool: &'p Pool,
    connection: Option<Connection>,
}

impl Lent<'_> {
    /// Closes it instead of giving it back: its state is not known.
    pub(crate) fn discard(mut self) {
        self.connection = None;
    }
}

impl Deref for Lent<'_> {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        self.connection
            .as_ref()
            .expect("a loan has its connection until it ends")
    }
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        // An error, or a panic, may have left a transaction open.
        let clean = self.connection.take().filter(|connection| {
            connection.is_autocommit() || connection.execute_batch(sql::ROLLBACK).is_ok()
        });
        let mut state = self.pool.lock();
        match clean {
            Some(connection) => state.idle.push(connection),
            None => state.open -= 1,
        }
        let somebody_waits = state.waiting > 0;
        drop(state);
        // Asked first, because ringing costs a system call even if nobody hears it.
        if somebody_waits {
            self.pool.returned.notify_one();
        }
    }
}

/// Begins a transaction, waiting for others until the deadline.
pub(crate) fn begin(
    connection: &Connection,
    how: &str,
    deadline: Deadline,
) -> Result<(), StoreError> {
    let begun = deadline.retry(|| run(connection, how));
    begun.map_err(store_error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_comes_behind_1024_who_wait_is_busy_at_once() {
        let pool = Pool::new(1);
        pool.add(Connection::open_in_memory().expect("it opens"));
        let none_more = || panic!("it has one, and may have no more");
        let take = || pool.take(Deadline::at(None), none_more);
        let held = take().expect("nobody has it");
        std::thread::scope(|scope| {
            for _ in 0..WAITING {
                scope.spawn(|| drop(take().expect("its turn comes")));
            }
            while pool.lock().waiting < WAITING {
                std::thread::yield_now();
            }
            let error = take().map(drop).expect_err("too many wait");
            assert_eq!(error.kind(), StoreErrorKind::Busy);
            drop(held);
        });
        assert!(!pool.is_waited_for());
    }

    #[test]
    fn whoever_waits_is_busy_at_its_deadline() {
        let pool = Pool::new(1);
        pool.add(Connection::open_in_memory().expect("it opens"));
        let none_more = || panic!("it has one, and may have no more");
        let _held = pool
            .take(Deadline::at(None), none_more)
            .expect("nobody has it");
        for patience in [Duration::ZERO, Duration::from_millis(20)] {
            let began = Instant::now();
            let refused = pool.take(Deadline::after(patience), none_more);
            assert_eq!(
                refused.map(drop).expect_err("it is held").kind(),
                StoreErrorKind::Busy
            );
            assert!(began.elapsed() >= patience);
        }
    }
}
