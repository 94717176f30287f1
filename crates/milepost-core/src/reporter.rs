//! Reporters: progress that costs the worker nothing.

use std::sync::Arc;

use crate::handle::ModuleHandle;
use crate::lanes::LaneHold;
use crate::work::Progress;

/// The second lane of a module: progress that is not waited for.
///
/// Comes from [`ModuleHandle::reporter`]. Cheap to clone; clones are one reporter, and so are in one tracker
/// all reporters of a module in the same attempt. It goes on when the handle is dropped, and moves with the
/// handle when that retries the module.
///
/// # Contract
///
/// - [`set`](Reporter::set) never waits for the store, and answers nothing.
/// - The newest value wins: those that it overtakes are never written.
/// - A process is written at once if it has not been for an interval, and then at most once an interval,
///   however many modules and reporters report on it: four times a second, unless the tracker's
///   [`report_interval`](crate::Tracker::report_interval) says otherwise. Of several modules the one that
///   has waited longest is next.
/// - What is pending is written before each transition that a handle of the same tracker makes of the module:
///   start, complete, fail, skip and retry. A cancel, a request for one and the
///   release of a lease have what is pending of all modules written before them,
///   in the same write. [`progress`](ModuleHandle::progress) takes the place of what is pending.
/// - A value that is refused shows at the next transition through this module's handles, which answers why
///   and is not made; called again, it is made. Only the first of several is shown. A cancel shows none.
/// - While the store is in trouble the newest value stays pending and is tried once an interval. A
///   transition answers the trouble, and is not made.
/// - What is pending is written when the last clone of the tracker goes, if the store takes it then; every handle
///   and reporter holds one.
///
/// What is pending when the program crashes is lost. While the store works that is what was set within one
/// interval, or within one for each module of the process that reports. A worker that must know that its
/// progress is durable calls [`progress`](ModuleHandle::progress). Ops sent with
/// [`Tracker::apply`](crate::Tracker::apply) are not transitions of a handle, and have nothing written before
/// them.
///
/// # Examples
///
/// ```
/// # use milepost_core::{ModuleHandle, Progress, TrackError};
/// fn scale(module: &ModuleHandle, images: &[Vec<u8>]) -> Result<(), TrackError> {
///     let reporter = module.reporter();
///     module.start()?;
///     for (done, image) in (1..).zip(images) {
///         // .. work on the image, however short that is ..
///         # let _ = image;
///         reporter.set(Progress::of(done, images.len() as u64).unit("images"));
///     }
///     module.complete()?; // the last value is written before this
///     Ok(())
/// }
/// ```
#[derive(Debug, Clone)]
pub struct Reporter {
    module: ModuleHandle,
    lane: Arc<LaneHold>,
}

impl Reporter {
    pub(crate) fn new(module: &ModuleHandle, lane: Arc<LaneHold>) -> Self {
        Reporter {
            module: module.clone(),
            lane,
        }
    }

    /// Reports how far the module is, as of now; starts it if it is pending.
    ///
    /// Costs no more than a lock that nobody holds for long, and may be called as often as the work moves.
    /// A value that is wrong in itself is dropped, and shows at the next transition like one that the store
    /// refuses.
    ///
    /// ```
    /// # use milepost_core::{Progress, Reporter};
    /// fn on_download(reporter: &Reporter, bytes: u64, of: Option<u64>) {
    ///     reporter.set(match of {
    ///         Some(of) => Progress::of(bytes, of).unit("bytes"),
    ///         None => Progress::unbounded(bytes).unit("bytes"),
    ///     });
    /// }
    /// ```
    pub fn set(&self, progress: Progress) {
        let (source, op) = self.module.report(progress);
        match op {
            Ok(op) => self.lane.put(source, op),
            Err(invalid) => self.lane.refuse(source, invalid.into()),
        }
    }
}
