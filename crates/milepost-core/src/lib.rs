#![doc = include_str!("../README.md")]

pub mod limits;

mod clock;
mod cursor;
mod describe;
mod erase;
mod error;
mod file;
mod guard;
mod handle;
mod id;
mod invalid;
mod laws;
mod machine;
mod new_process;
mod op;
mod pipeline;
mod process;
mod query;
mod record;
mod report;
mod size;
mod store;
mod time;
mod tracker;
mod watch;
mod watchers;
mod work;

pub use clock::{Clock, ManualClock, SystemClock};
pub use cursor::Cursor;
pub use describe::Describe;
pub use erase::{Erased, Updated};
pub use error::TrackError;
pub use file::{File, Tag};
pub use handle::{ModuleHandle, ProcessHandle};
pub use id::{FileId, RequestId};
pub use invalid::{Field, Invalid};
pub use new_process::NewProcess;
pub use op::{
    Applied, Change, ChangeKind, Conflict, Creation, Guard, GuardKind, Illegality, Op, Rejection,
    Update, Verdict,
};
pub use pipeline::Pipeline;
pub use process::{
    Attempt, AttemptEnd, Blame, Module, ModuleState, ModuleStateKind, OverallStatus, Process,
    Version,
};
pub use query::{
    Counts, Filter, Found, Indexed, Listing, Order, Page, Place, Query, Term, TimeRange,
};
pub use record::{RECORD_VERSION, RecordError};
pub use report::{FailureStatus, ModuleFlags, NotFoundReport, Receipt, StatusReport};
pub use store::{StatusStore, StoreError, StoreErrorKind, Wipe, WipeLevel};
pub use tracker::Tracker;
pub use watch::Watch;
pub use work::{Failure, Progress};
