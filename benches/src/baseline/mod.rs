//! The tracker that somebody skilled would write by hand for one program: what milepost is measured against.
//!
//! It does what the figures need and nothing else: one row a process, its modules packed into a blob that never
//! grows, the checks that keep a status honest, group commit, checkpoints off the commit path. No claims, tags,
//! attempts, guards, watchers, wipes, upgrades or limits. It may only get faster.
//!
//! [`Store`] keeps processes in a SQLite file, [`Memory`] in sharded maps; both judge ops with the same function.

mod apply;
mod checkpoint;
mod connection;
mod group;
mod memory;
mod process;
mod read;
mod sql;
mod store;

pub use connection::Synchronous;
pub use memory::Memory;
pub use process::{
    Applied, Begin, MODULES, Module, ModuleState, Op, Process, Refused, Status, Step, Verdict,
};
pub use store::{Failure, Store};

use std::sync::{Mutex, MutexGuard, PoisonError};

use milepost::{Clock, SystemClock};
use uuid::Uuid;

/// How many expired processes a purge deletes in one transaction.
pub const PURGED_AT_ONCE: u32 = 500;

/// The time now, in microseconds since 1970, as a host would take it: for each op anew.
#[must_use]
pub fn now() -> i64 {
    SystemClock.now().timestamp_micros()
}

/// A new id that sorts by time.
#[must_use]
pub fn new_id() -> Uuid {
    Uuid::now_v7()
}

/// A panic of a bench ends it: there is nobody whom a half-done change could mislead.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
