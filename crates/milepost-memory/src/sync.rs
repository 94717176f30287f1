//! The lock that the store is built on: std's, or under `--cfg milepost_shuttle` what a scheduler puts in its place,
//! which tries many orders of what threads do. See `tests/schedules.rs`.

#[cfg(milepost_shuttle)]
pub(crate) use shuttle::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};
#[cfg(not(milepost_shuttle))]
pub(crate) use std::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};
