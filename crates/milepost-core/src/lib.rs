#![doc = include_str!("../README.md")]

pub mod limits;

mod clock;
mod cursor;
mod describe;
mod erase;
mod error;
mod file;
mod filter;
mod form;
mod guard;
mod handle;
mod id;
mod invalid;
mod laws;
mod listing;
mod machine;
mod module;
mod new_process;
mod op;
mod perform;
mod pipeline;
mod process;
mod query;
mod record;
mod report;
mod size;
mod store;
mod time;
mod tracker;
mod update;
mod verdict;
mod watch;
mod watchers;
mod work;

/// The crate whose times this one takes and gives, in the version that fits.
#[doc(no_inline)]
pub use chrono;
/// The crate whose UUIDs ids are made of, in the version that fits.
#[doc(no_inline)]
pub use uuid;

pub use clock::{Clock, ManualClock, SystemClock};
pub use cursor::Cursor;
pub use describe::Describe;
pub use erase::{Erased, Updated};
pub use error::TrackError;
pub use file::{File, Tag};
pub use filter::{Filter, Indexed, Term, TimeRange};
pub use handle::{ModuleHandle, ProcessHandle};
pub use id::{FileId, RequestId};
pub use invalid::{Field, Invalid};
pub use listing::{Counts, Found, Listing, Order, Place};
pub use module::{Attempt, AttemptEnd, Module, ModuleState, ModuleStateKind};
pub use new_process::NewProcess;
pub use op::{Change, ChangeKind, Creation, Guard, Op};
pub use pipeline::Pipeline;
pub use process::{Blame, OverallStatus, Process, Version};
pub use query::{Page, Query};
pub use record::{RECORD_VERSION, RecordError};
pub use report::{FailureStatus, ModuleFlags, NotFoundReport, Receipt, StatusReport};
pub use store::{StatusStore, StoreError, StoreErrorKind, Wipe, WipeLevel};
pub use tracker::Tracker;
pub use update::Update;
pub use verdict::{Applied, Conflict, GuardKind, Illegality, Rejection, Verdict};
pub use watch::Watch;
pub use work::{Failure, Progress};
