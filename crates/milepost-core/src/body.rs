//! The body: all of a process but what stores have columns for.
//!
//! What is read and written most is coded field by field, without anything in between; what is rare goes
//! through the forms that JSON uses. Numbers and texts are
//! [postcard](https://postcard.jamesmunns.com/wire-format)'s, times are microseconds since the time before.
//!
//! | bytes | what |
//! |---|---|
//! | 1 | the version of the record form |
//! | 1 a module, and a zero | the states: a digit each, or a letter where details follow |
//! | 1 | flags |
//! | 8 or none | `born`, the lowest byte first, unless it is the last half of the request id |
//! | the rest | numbers, names, file, modules, outcome, claim and wish, in the order of [`write`] |
//! | padding | zeros: see [`reserve`] |

mod chains;
mod read;
mod write;

pub(crate) use chains::chain;
use uuid::Uuid;

use crate::id::RequestId;
use crate::module::ModuleState;
use crate::process::{Process, Version};
use crate::record::{RECORD_VERSION, RecordError, corrupt};

/// A module's state as one byte: a digit, or the letter of the same place in the alphabet.
const PLAIN: u8 = b'0';
const DETAILED: u8 = b'A';

const PENDING: u8 = 0;
const RUNNING: u8 = 1;
const COMPLETE: u8 = 2;
const FAILED: u8 = 3;
const SKIPPED: u8 = 4;
const CANCELLED: u8 = 5;

const PARALLEL: u8 = 1;
const GENERATED: u8 = 2;
const DESCRIBED: u8 = 4;
const TAGGED: u8 = 8;
const CLAIMED: u8 = 16;
const WISHED: u8 = 32;
const BORN: u8 = 64;

/// How long what grows while a process goes on usually becomes, in bytes: two times a module, of a minute or
/// two, a revision below 16,384, and the column of the time at which it settles.
///
/// What is not needed yet is filled with zeros, so that a row keeps its length from its first day to its last.
mod reserve {
    pub(super) const MODULE: usize = 8;
    pub(super) const REVISION: usize = 2;
    pub(super) const SETTLED_AT: usize = 8;
}

fn kind(state: &ModuleState) -> u8 {
    match state {
        ModuleState::Pending => PENDING,
        ModuleState::Running { .. } => RUNNING,
        ModuleState::Complete { .. } => COMPLETE,
        ModuleState::Failed { .. } => FAILED,
        ModuleState::Skipped { .. } => SKIPPED,
        ModuleState::Cancelled { .. } => CANCELLED,
    }
}

/// The beginning: the states, the flags, `born`, and what follows.
fn split(id: RequestId, body: &[u8]) -> Result<Beginning<'_>, RecordError> {
    let rest = match body {
        [] => return Err(corrupt("it is empty")),
        [RECORD_VERSION, rest @ ..] => rest,
        [version, ..] if *version > RECORD_VERSION => {
            return Err(RecordError::Incompatible { version: *version });
        }
        _ => return Err(corrupt("no body was written in that version")),
    };
    let cut_short = || corrupt("its form cannot be read");
    let zero = rest.iter().position(|byte| *byte == 0);
    let (states, rest) = rest.split_at(zero.ok_or_else(cut_short)?);
    let [_, flags, rest @ ..] = rest else {
        return Err(cut_short());
    };
    let (born, rest) = if flags & BORN == 0 {
        (born_of(id), rest)
    } else {
        let (born, rest) = rest.split_first_chunk().ok_or_else(cut_short)?;
        (u64::from_le_bytes(*born), rest)
    };
    Ok(Beginning {
        states,
        flags: *flags,
        born,
        rest,
    })
}

struct Beginning<'b> {
    states: &'b [u8],
    flags: u8,
    born: u64,
    rest: &'b [u8],
}

/// The `born` of a process whose id was made when it began: as random as the id, and not kept a second time.
pub(crate) fn born_of(id: RequestId) -> u64 {
    Uuid::from(id).as_u64_pair().1
}

impl Process {
    /// Which state a body is of, without reading the rest of it.
    ///
    /// # Errors
    ///
    /// As [`from_body`](Process::from_body).
    pub fn version_of_body(request_id: RequestId, body: &[u8]) -> Result<Version, RecordError> {
        let Beginning { born, rest, .. } = split(request_id, body)?;
        let revision = postcard::take_from_bytes::<u64>(rest);
        let (revision, _) = revision.map_err(|_| corrupt("its form cannot be read"))?;
        Ok(Version { born, revision })
    }
}
