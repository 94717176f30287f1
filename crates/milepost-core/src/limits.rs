//! Every limit of the library, in one place and equal for every store.
//!
//! Crossing one is a typed error before anything happens: [`Invalid`](crate::Invalid) from handles
//! and queries, [`Rejection::Illegal`](crate::Rejection::Illegal) or
//! [`Rejection::TooLarge`](crate::Rejection::TooLarge) from [`Op::apply`](crate::Op::apply),
//! [`StoreErrorKind::Limit`](crate::StoreErrorKind::Limit) from a store. A store may not set others,
//! or a host could not swap it for another.

use std::time::Duration;

use crate::id::RequestId;
use crate::op::Op;

/// Modules in one pipeline.
pub const MODULES: usize = 256;
/// Bytes of a pipeline's, module's, tag's or worker's name, and of a progress unit.
pub const NAME_BYTES: usize = 128;
/// Bytes of a file's name.
pub const FILE_NAME_BYTES: usize = 255;
/// Bytes of the reason of a failure, skip or cancel.
pub const REASON_BYTES: usize = 255;
/// Bytes of a symbolic directory path.
pub const DIRECTORY_BYTES: usize = 1024;
/// Bytes of a file's description.
pub const DESCRIPTION_BYTES: usize = 4096;
/// Bytes of a tag's value.
pub const TAG_VALUE_BYTES: usize = 4096;
/// Bytes of a failure's message.
pub const MESSAGE_BYTES: usize = 4096;
/// Bytes of a progress message.
pub const PROGRESS_MESSAGE_BYTES: usize = 1024;
/// Bytes of an idempotency key.
pub const IDEMPOTENCY_KEY_BYTES: usize = 1024;
/// Tags of one file.
pub const TAGS: usize = 64;
/// Past attempts kept for one module; the newest stay.
pub const ATTEMPTS_PER_MODULE: usize = 16;
/// Past attempts kept for one process, over all its modules; the newest stay.
pub const ATTEMPTS_PER_PROCESS: usize = 64;
/// Bytes of one record.
///
/// Counted with the fixed part of every module at its largest, so that a process that fits can
/// always start, complete and report numbers. When a text does not fit, the oldest attempts go
/// first.
pub const RECORD_BYTES: usize = 256 * 1024;
/// Ops in one batch.
pub const BATCH_OPS: usize = 10_000;
/// Bytes of one batch, as [`Op::bytes`](crate::Op::bytes) counts them.
pub const BATCH_BYTES: usize = 16 * 1024 * 1024;
/// Ids in one `read_many` or `versions`; the tracker splits longer lists.
pub const READ_IDS: usize = 10_000;
/// Processes on one page, at most.
pub const PAGE: usize = 1_000;
/// Processes on a page whose size was not given.
pub const DEFAULT_PAGE: usize = 100;
/// Rows that one `list` examines, at most.
pub const LIST_EXAMINED: usize = 100_000;
/// Rows that a `count` with an unindexed filter examines, at most.
pub const COUNT_EXAMINED: usize = 1_000_000;
/// Processes that one `purge` of a store erases, at most; the tracker repeats.
pub const PURGE: usize = 10_000;
/// Processes by which another is [estimated](crate::Tracker::estimate), at most.
pub const ESTIMATE_SAMPLES: usize = 100;
/// Processes by which another is estimated, at least: by fewer nothing is said.
pub const ESTIMATE_LEAST_SAMPLES: usize = 5;
/// Terms in one filter.
pub const TERMS: usize = 128;
/// The shortest time that a lease may be asked for.
pub const SHORTEST_LEASE: Duration = Duration::from_millis(1);
/// The longest time that a lease may be asked for: what nobody is to give back needs no lease.
pub const LONGEST_LEASE: Duration = Duration::from_hours(366 * 24);
/// The first year that a time may fall in.
pub const FIRST_YEAR: i32 = 1;
/// The last year that a time may fall in.
pub const LAST_YEAR: i32 = 9999;

/// A call to a store that crosses a limit, which it refuses before anything happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{given} {what} were given: {least} to {limit} are allowed in one call")]
#[non_exhaustive]
pub struct Crossed {
    /// What was counted.
    pub what: &'static str,
    /// How much was given.
    pub given: usize,
    /// How much must be.
    pub least: usize,
    /// How much may be.
    pub limit: usize,
}

fn within(what: &'static str, given: usize, least: usize, limit: usize) -> Result<(), Crossed> {
    if (least..=limit).contains(&given) {
        return Ok(());
    }
    Err(Crossed {
        what,
        given,
        least,
        limit,
    })
}

/// What every store's `write` checks first.
pub fn check_batch(ops: &[Op]) -> Result<(), Crossed> {
    within("ops", ops.len(), 0, BATCH_OPS)?;
    within(
        "bytes of ops",
        ops.iter().map(Op::bytes).sum(),
        0,
        BATCH_BYTES,
    )
}

/// What every store's `read_many` and `versions` check first.
pub fn check_ids(ids: &[RequestId]) -> Result<(), Crossed> {
    within("ids", ids.len(), 0, READ_IDS)
}

/// What every store's `purge` checks first.
pub fn check_purge(limit: usize) -> Result<(), Crossed> {
    within("processes to purge", limit, 0, PURGE)
}

/// What every store's `list` checks first, through [`Listing::check`](crate::Listing::check).
pub(crate) fn check_page(limit: usize) -> Result<(), Crossed> {
    // A page of none is as wrong as one of too many: a walk would never get anywhere.
    within("processes a page", limit, 1, PAGE)
}
