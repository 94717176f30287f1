//! What tests of what looks on at a tracker share.

use std::time::Duration;

use milepost::{
    Failure, NewProcess, OverallStatus, Pipeline, Progress, Query, Rejection, RequestId,
    StatusStore, TrackError, Tracker,
};

/// Stands in each text that a host gives, but names of pipelines and modules.
pub(crate) const MARK: &str = "m4rk";

/// What a host does, each text marked, and what goes wrong: the names of pipeline and modules begin with `chain`.
/// Answers the ids of all that it begins.
pub(crate) fn work(store: impl StatusStore, chain: &str) -> Result<Vec<RequestId>, TrackError> {
    let tracker = Tracker::new(store);
    let marked = |what: &str| format!("{MARK} {what}");
    let pipeline = Pipeline::new(
        format!("{chain}-pipeline"),
        [format!("{chain}-first"), format!("{chain}-second")],
    )?;
    let new = || {
        NewProcess::new(&pipeline)
            .file_name(&marked("file"))
            .symbolic_directory_path("/m4rk/directory")
            .tag(MARK, &marked("tag"))
            .file_description(&marked("description"))
    };

    let complete = tracker.begin(new())?;
    let lease = tracker.claim(
        complete.request_id(),
        &marked("worker"),
        Duration::from_mins(1),
    )?;
    let first = lease.module(1)?;
    first.start()?;
    first.progress(Progress::of(1, 2).unit(MARK).message(&marked("message")))?;
    first.retry(Failure::new(MARK, &marked("failure")))?;
    first.complete()?;
    first.complete()?; // nothing to change
    let held = tracker.claim(
        complete.request_id(),
        &marked("other"),
        Duration::from_mins(1),
    );
    assert!(matches!(
        held,
        Err(TrackError::Rejected(Rejection::Held { .. }))
    ));
    lease.renew()?;
    lease.module(2)?.skip(&marked("reason"))?;

    let failed = tracker.begin(new())?;
    failed
        .module(1)?
        .fail(Failure::new(MARK, &marked("failure")))?;
    tracker
        .request_cancel(failed.request_id(), &marked("late"))
        .expect_err("it has failed");
    tracker.rerun(failed.request_id())?;
    tracker.cancel(failed.request_id(), &marked("wish"))?;

    let ongoing = tracker.begin(new())?;
    tracker.process_status(ongoing.request_id())?;
    tracker.list(
        &Query::new()
            .tag(MARK, &marked("tag"))
            .status(OverallStatus::Ongoing),
    )?;
    tracker.count(&Query::new())?;
    tracker.get_many(&[ongoing.request_id(), failed.request_id()])?;
    tracker
        .wait(ongoing.request_id(), Duration::from_millis(1))
        .expect_err("nobody works on it");
    tracker.purge()?;
    tracker.erase(failed.request_id())?;
    Ok([complete, failed, ongoing]
        .map(|process| process.request_id())
        .to_vec())
}
