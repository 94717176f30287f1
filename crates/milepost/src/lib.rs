//! Tracks processes through pipelines of modules, inside your program, and answers one question: how far
//! is it?
//!
//! A host begins a *process*: one run of a [`Pipeline`], a chain of modules, over one file. While it works
//! it reports each module's progress. Whoever knows the process's [`RequestId`], in another thread or
//! another OS process, asks how far it is, waits for it, lists it and erases it. Where the records live is
//! decided by one line, the store's.
//!
//! milepost is a tracker, not a queue and not an executor: it never runs the host's work.
//!
//! ```
//! use milepost::{MemoryStore, NewProcess, Pipeline, Progress, TrackError, Tracker};
//! use std::{thread, time::Duration};
//!
//! let tracker = Tracker::new(MemoryStore::new());
//! let pipeline = Pipeline::new("invoice-ocr", ["ocr", "parser", "keyword-db"])?;
//! let process = tracker.begin(NewProcess::new(&pipeline).file_name("invoice.pdf"))?;
//! let id = process.request_id();
//!
//! thread::spawn(move || -> Result<(), TrackError> {
//!     for module in process.modules() {
//!         module.start()?;
//!         module.progress(Progress::of(3, 10).unit("pages"))?;
//!         module.complete()?;
//!     }
//!     Ok(())
//! });
//!
//! tracker.wait(id, Duration::from_secs(60))?;
//! let report = serde_json::to_string(&tracker.process_status(id)?)?;
//! assert!(report.ends_with(
//!     r#""process_status":{"module_1":true,"module_2":true,"module_3":true},"overall_status":"complete"}"#
//! ));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Stores and features
//!
//! | store | feature | keeps processes | who can ask |
//! |---|---|---|---|
//! | [`MemoryStore`] | `memory` | until it is dropped | threads of this OS process |
//! | [`SqliteStore`] | `sqlite` | in one file, durable at each `Ok` | threads and OS processes of this machine |
//! | your own | | where you like | whoever it reaches |
//!
//! `memory`, `sqlite` and `bundled` are on by default. `bundled` compiles SQLite in; without it the program links the
//! SQLite that the system has. Without any feature there is the tracker, and the contract for stores: [`StatusStore`].
//! `tokio`, `tracing`, `metrics`, `progress` and `export` add what stands below, over any store.
//!
//! The store is chosen where the tracker is made, and nowhere else:
//!
//! ```
//! use milepost::{SqliteStore, Tracker};
//! # let directory = tempfile::tempdir()?;
//! # let path = directory.path().join("status.db");
//!
//! let tracker = Tracker::new(SqliteStore::open(path)?); // was: MemoryStore::new()
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Beginning
//!
//! [`Tracker::begin`] answers a [`ProcessHandle`] to work with. Its [`receipt`](ProcessHandle::receipt) is
//! what to answer whoever submitted the file. All that is known of the file can be said beforehand, in
//! [`NewProcess`]; what is left out is made up.
//!
//! ```
//! # use milepost::{MemoryStore, NewProcess, Pipeline, Tracker};
//! # use std::time::Duration;
//! # let tracker = Tracker::new(MemoryStore::new());
//! # let pipeline = Pipeline::new("invoice-ocr", ["ocr", "parser"])?;
//! let new = NewProcess::new(&pipeline)
//!     .file_name("invoice.pdf")
//!     .symbolic_directory_path("/customers/4711")
//!     .tag("year", "2026")
//!     .expires_in(Duration::from_secs(30 * 60));
//! let receipt = tracker.begin(new)?.receipt();
//! assert_eq!(receipt.file_name, "invoice.pdf");
//! # Ok::<(), milepost::TrackError>(())
//! ```
//!
//! A host that has ids of its own gives one with [`NewProcess::request_id`]. Beginning twice is then beginning
//! once: the second handle shows what is there, and its [`is_new`](ProcessHandle::is_new) is false.
//!
//! # Working
//!
//! A worker takes [`ModuleHandle`]s from the process handle, by position (the first is 1) or all in order, and
//! reports with them. [`start`](ModuleHandle::start) may be left out: progress starts a module too, and
//! completing one that is pending starts and ends it at once.
//!
//! In a sequential pipeline, the default, a module can start once all before it are complete or
//! skipped; [`Pipeline::parallel`] lifts that. The overall status follows from the modules and is
//! never set by hand: complete once all are complete or skipped, failed as soon as one fails.
//!
//! Every call of a handle may be repeated: after a lost answer it changes nothing twice. Once somebody else has
//! rerun the process or retried the module, an old handle is [`Stale`](Rejection::Stale), so that a
//! worker that was given up cannot write into the work of its successor.
//!
//! # Several workers
//!
//! Where several workers may take up the same process, each claims it first. A [`Lease`] lasts for some time and can be
//! renewed; while it lasts nobody else gets one. Its handles are the same as above, and write only under it: what a
//! worker still sends after its lease has ended is [`Fenced`](Rejection::Fenced).
//!
//! ```
//! # use milepost::{MemoryStore, NewProcess, Pipeline, Tracker};
//! use milepost::{Progress, Rejection, TrackError};
//! use std::time::Duration;
//!
//! # let tracker = Tracker::new(MemoryStore::new());
//! # let pipeline = Pipeline::new("invoice-ocr", ["ocr", "parser"])?;
//! # let id = tracker.begin(NewProcess::new(&pipeline))?.request_id();
//! let lease = tracker.claim(id, "worker 7", Duration::from_secs(60))?;
//! let other = tracker.claim(id, "worker 8", Duration::from_secs(60));
//! assert!(matches!(other, Err(TrackError::Rejected(Rejection::Held { .. }))));
//!
//! let module = lease.module(1)?;
//! let reporter = module.reporter(); // for progress that comes often: it never waits
//! for page in 1..=300 {
//!     reporter.set(Progress::of(page, 300).unit("pages"));
//! }
//! lease.renew()?; // now and then
//! if lease.cancel_requested() {
//!     lease.cancel("stopped as asked")?;
//! } else {
//!     module.complete()?; // what was reported last is written first
//! }
//! # Ok::<(), TrackError>(())
//! ```
//!
//! | to | call |
//! |---|---|
//! | begin once what may be submitted twice | [`NewProcess::idempotency_key`] |
//! | ask a worker to stop | [`Tracker::request_cancel`]; [`Tracker::cancel`] does not ask |
//! | go on where another stopped | [`Lease::unfinished`] |
//! | find what dead workers left | [`Query::stalled`], [`Counts::stalled`] |
//! | fail it, or give it to others | [`Tracker::reap`] |
//! | know why a process is where it is | [`Tracker::explain`] |
//! | keep a store small, and do all of this now and then | [`Tracker::retention`], [`Tracker::tend_every`] |
//!
//! # Async hosts
//!
//! On tokio [`AsyncTracker`] has the same names, and each call is a future. Writes of any
//! number of tasks are joined, watches are streams, and the runtime's threads never wait for the store.
//!
//! # Looking on
//!
//! A store that is looked at is a store again, so that is one line too. Either may be left out:
//!
//! ```
//! # #[cfg(all(feature = "metrics", feature = "tracing"))]
//! # {
//! use milepost::{MemoryStore, Metered, Traced, Tracker};
//!
//! let store = MemoryStore::new();
//! let tracker = Tracker::new(Traced::new(Metered::new(store))); // was: Tracker::new(store)
//! # }
//! ```
//!
//! [`Traced`] tells spans of calls and events of changes to `tracing`, [`Metered`] counters, gauges and histograms to
//! `metrics`: what exactly, and what never, stands there. [`Bars`] shows a process on a terminal, or as lines in a pipe.
//!
//! # How much is left
//!
//! [`Tracker::estimate`] says how far a process is as a whole, from 0 to 1, and how long it may still take: the median
//! and the 90th percentile by what the newest complete processes of its chain took, if there are at least five.
//! [`Tracker::estimator`] is for whoever follows one process: its fraction never goes back, whatever is tried again. No
//! figure is kept, so that none outlives what was erased.
//!
//! # Asking
//!
//! | to | call |
//! |---|---|
//! | answer whoever asks, as JSON | [`Tracker::process_status`], and [`Tracker::not_found_report`] if it is not found |
//! | look at everything that is known | [`Tracker::get`], which answers a [`Process`]; [`Tracker::get_many`] |
//! | wait until it has settled | [`Tracker::wait`] |
//! | follow it | [`Tracker::watch`]; [`Watch::describe`] puts it in words |
//! | find processes | [`Tracker::list`] with a [`Query`], page by page; [`Tracker::count`] |
//! | write them out as JSON lines, and take them in | [`Export::export`], [`Import::import`]; [`schema`] says what stands there |
//!
//! ```
//! # use milepost::{MemoryStore, NewProcess, Pipeline, Tracker};
//! use milepost::{OverallStatus, Query};
//!
//! # let tracker = Tracker::new(MemoryStore::new());
//! # let pipeline = Pipeline::new("invoice-ocr", ["ocr", "parser"])?;
//! # for _ in 0..3 { tracker.begin(NewProcess::new(&pipeline))?; }
//! let ongoing = Query::new().pipeline("invoice-ocr").status(OverallStatus::Ongoing).limit(2);
//! let mut page = tracker.list(&ongoing)?;
//! let mut seen = page.items.len();
//! while let Some(next) = page.next {
//!     page = tracker.list(&ongoing.clone().after(next))?;
//!     seen += page.items.len();
//! }
//! assert_eq!(seen, 3);
//! # Ok::<(), milepost::TrackError>(())
//! ```
//!
//! # When something fails
//!
//! A module that gives up says why with [`fail`](ModuleHandle::fail), and with it the process has failed.
//! One that tries again says so with [`retry`](ModuleHandle::retry) while it is running: its attempt is
//! kept, with its failure, and it is pending again. [`Tracker::cancel`] calls off what is unfinished, and
//! [`Tracker::rerun`] takes a failed or cancelled process up again where it stopped.
//!
//! ```
//! # use milepost::{MemoryStore, NewProcess, OverallStatus, Pipeline, Tracker};
//! use milepost::Failure;
//!
//! # let tracker = Tracker::new(MemoryStore::new());
//! # let pipeline = Pipeline::new("invoice-ocr", ["ocr", "parser"])?;
//! # let process = tracker.begin(NewProcess::new(&pipeline))?;
//! # let id = process.request_id();
//! process.module(1)?.complete()?;
//! process.module(2)?.fail(Failure::new("BadInput", "page 4 is blank"))?;
//!
//! let report = tracker.process_status(id)?;
//! let failure = report.failure_status.expect("it has failed");
//! assert_eq!(failure.failure_module.as_deref(), Some("module_2"));
//!
//! tracker.rerun(id)?;
//! let process = tracker.process(id)?; // a new handle, for the new run
//! process.module(2)?.complete()?;
//! assert_eq!(tracker.get(id)?.status(), OverallStatus::Complete);
//! # Ok::<(), milepost::TrackError>(())
//! ```
//!
//! # Expiring, erasing, wiping
//!
//! From its expiry on a process is not found. [`Tracker::purge`] erases what has expired, and is best called
//! now and then. [`Tracker::erase`], [`erase_file`](Tracker::erase_file) and
//! [`erase_matching`](Tracker::erase_matching) erase at once. Not found, expired and erased are one answer,
//! for no trace is kept that could tell them apart.
//!
//! Erased is hidden from every reader; *wiped* means that no byte is left in the store's files either.
//! [`Erased::wipe`] says how far that has come: [`Wipe::Done`]; or [`Wipe::Pending`] and what stands in
//! the way, such as another's open read, and then [`Tracker::wipe`] finishes it later.
//!
//! ```
//! # use milepost::{MemoryStore, NewProcess, Pipeline, Tracker};
//! use milepost::Wipe;
//!
//! # let tracker = Tracker::new(MemoryStore::new());
//! # let pipeline = Pipeline::new("invoice-ocr", ["ocr", "parser"])?;
//! # let id = tracker.begin(NewProcess::new(&pipeline))?.request_id();
//! let erased = tracker.erase(id)?;
//! assert_eq!((erased.processes, erased.wipe), (1, Wipe::Done));
//! assert!(tracker.get(id).is_err_and(|error| error.is_not_found()));
//! assert_eq!(tracker.not_found_report(id).status_code, 404);
//! # Ok::<(), milepost::TrackError>(())
//! ```
//!
//! # Durability, and several OS processes
//!
//! When a call that changes something answers `Ok`, the change is durable at the level of the store, and
//! everybody who asks later sees it. A [`SqliteStore`] keeps it through a power cut, or with
//! [`Durability::Normal`] through the end of the OS process, which is faster:
//!
//! ```
//! use milepost::{Durability, SqliteConfig, SqliteStore, Tracker};
//! # let directory = tempfile::tempdir()?;
//! # let path = directory.path().join("status.db");
//!
//! let tracker = Tracker::new(SqliteStore::open_with(SqliteConfig {
//!     durability: Durability::Normal,
//!     ..SqliteConfig::new(path)
//! })?);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! OS processes share a file by opening the same path, on a local disk. A tracker that waits or watches hears
//! at once of changes through itself and its clones; for changes by others it asks the store every 100 ms,
//! or as [`Tracker::poll_interval`] says.
//!
//! # Errors, and their HTTP status
//!
//! Every call answers a [`TrackError`], made of values: match them, never their texts.
//!
//! | error | status | what to do |
//! |---|---|---|
//! | [`Invalid`](TrackError::Invalid) | 422 | correct the input; the text says what is allowed |
//! | [`Rejected`](TrackError::Rejected), [`NotFound`](Rejection::NotFound) | 404 | answer [`not_found_report`](Tracker::not_found_report) |
//! | [`Rejected`](TrackError::Rejected), any other [`Rejection`] | 409 | the process is in another state: read it |
//! | [`Store`](TrackError::Store), if [`is_retryable`](TrackError::is_retryable) | 503 | try again a little later |
//! | [`Timeout`](TrackError::Timeout) | 504 | the process goes on: wait again |
//! | [`Store`](TrackError::Store), else | 500 | see its [kind](StoreError::kind) and its source |
//!
//! ```
//! use milepost::{Rejection, TrackError};
//!
//! fn http_status(error: &TrackError) -> u16 {
//!     match error {
//!         TrackError::Invalid(_) => 422,
//!         TrackError::Rejected(Rejection::NotFound) => 404,
//!         TrackError::Rejected(_) => 409,
//!         TrackError::Timeout => 504,
//!         error if error.is_retryable() => 503,
//!         _ => 500,
//!     }
//! }
//! # assert_eq!(http_status(&TrackError::Timeout), 504);
//! ```
//!
//! # Many changes at once
//!
//! One durable change costs one commit. A host with many changes sends them as a batch of [`Op`]s with
//! [`Tracker::apply`], for the price of one; that is also how history comes in, with its own times. The
//! [`limits`] hold for every store. Under a [`Guard`] a batch may be sent again after a lost answer.
//!
//! ```
//! use milepost::{Change, Guard, MemoryStore, NewProcess, Pipeline, Tracker};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let tracker = Tracker::new(MemoryStore::new());
//! let begin = tracker.prepare(NewProcess::new(&Pipeline::new("thumbnails", ["scale"])?))?;
//! let born = begin.born().ok_or("a creation has a mark")?;
//! let done = tracker.op(begin.id, Change::complete(1)).guarded(Guard::new().born(born).attempt(1));
//!
//! let batch = [begin, done];
//! for verdict in tracker.apply(&batch)? {
//!     assert!(verdict?.changed);
//! }
//! for verdict in tracker.apply(&batch)? {
//!     assert!(!verdict?.changed); // it stands already
//! }
//! # Ok(()) }
//! ```
//!
//! # Writing a store
//!
//! A store loads, calls [`Op::apply`], and saves; it decides nothing itself. The contract stands on
//! [`StatusStore`]. The crate `milepost-conformance` tries every sentence of it on a store in a line or two, and
//! `milepost-memory` is the store to read first.
//!
#![cfg_attr(feature = "memory", doc = "[`MemoryStore`]: MemoryStore")]
#![cfg_attr(not(feature = "memory"), doc = "[`MemoryStore`]: #stores-and-features")]
#![cfg_attr(feature = "sqlite", doc = "[`SqliteStore`]: SqliteStore")]
#![cfg_attr(not(feature = "sqlite"), doc = "[`SqliteStore`]: #stores-and-features")]
#![cfg_attr(
    not(feature = "sqlite"),
    doc = "[`Durability::Normal`]: #stores-and-features"
)]
#![cfg_attr(feature = "metrics", doc = "[`Metered`]: Metered")]
#![cfg_attr(not(feature = "metrics"), doc = "[`Metered`]: #stores-and-features")]
#![cfg_attr(feature = "tracing", doc = "[`Traced`]: Traced")]
#![cfg_attr(not(feature = "tracing"), doc = "[`Traced`]: #stores-and-features")]
#![cfg_attr(feature = "progress", doc = "[`Bars`]: Bars")]
#![cfg_attr(not(feature = "progress"), doc = "[`Bars`]: #stores-and-features")]
#![cfg_attr(feature = "export", doc = "[`Export::export`]: Export::export")]
#![cfg_attr(
    not(feature = "export"),
    doc = "[`Export::export`]: #stores-and-features"
)]
#![cfg_attr(feature = "export", doc = "[`Import::import`]: Import::import")]
#![cfg_attr(
    not(feature = "export"),
    doc = "[`Import::import`]: #stores-and-features"
)]
#![cfg_attr(feature = "tokio", doc = "[`AsyncTracker`]: AsyncTracker")]
#![cfg_attr(not(feature = "tokio"), doc = "[`AsyncTracker`]: #stores-and-features")]

#[cfg(feature = "progress")]
mod bars;
#[cfg(feature = "export")]
mod export;
#[cfg(feature = "export")]
mod import;
#[cfg(feature = "metrics")]
mod metered;
#[cfg(feature = "tracing")]
mod traced;

#[cfg(feature = "progress")]
pub use bars::Bars;
#[cfg(feature = "export")]
pub use export::{Export, ExportError};
#[cfg(feature = "export")]
pub use import::{Import, ImportError, Imported};
/// The crate that draws [`Bars`], in the version that fits.
#[cfg(feature = "progress")]
#[doc(no_inline)]
pub use indicatif;
#[cfg(feature = "metrics")]
pub use metered::{METERED_MODULES, Metered};
#[doc(inline)]
pub use milepost_core::*;
#[cfg(feature = "memory")]
#[doc(inline)]
pub use milepost_memory::*;
#[cfg(feature = "sqlite")]
#[doc(inline)]
pub use milepost_sqlite::*;
#[cfg(feature = "tokio")]
#[doc(inline)]
pub use milepost_tokio::*;
#[cfg(feature = "tracing")]
pub use traced::Traced;
/// The crates whose times and ids this one takes and gives, in the versions that fit.
#[doc(no_inline)]
pub use {chrono, uuid};

/// The front page of the crate on registries, whose program is tested here.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
pub struct Readme;
