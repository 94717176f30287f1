//! The columns that lists and counts go by follow every change of a process.

use chrono::{DateTime, TimeDelta};
use milepost_core::{Change, Failure, ManualClock, NewProcess, Pipeline, Query, Tracker};
use milepost_sqlite::SqliteStore;

/// The only change of a status without one of the time at which it settled.
#[test]
fn a_process_that_settles_otherwise_at_the_same_moment_is_counted_otherwise() {
    let clock = ManualClock::new(DateTime::UNIX_EPOCH + TimeDelta::days(20_000));
    let store = SqliteStore::in_memory().expect("it opens");
    let tracker = Tracker::with_clock(store, clock);
    let pipeline = Pipeline::new("one", ["only"]).expect("a pipeline");
    let process = tracker
        .begin(NewProcess::new(&pipeline))
        .expect("it begins");
    let id = process.request_id();
    let complete_and_failed = || {
        let counts = tracker.count(&Query::new()).expect("counts");
        (counts.complete, counts.failed)
    };
    let module = process.module(1).expect("it is there");
    module
        .fail(Failure::new("Bad", "at first"))
        .expect("it fails");
    assert_eq!(complete_and_failed(), (0, 1));
    let otherwise = [
        tracker.op(id, Change::rerun()),
        tracker.op(id, Change::complete(1)),
    ];
    for verdict in tracker.apply(&otherwise).expect("they are written") {
        verdict.expect("they are taken");
    }
    assert_eq!(complete_and_failed(), (1, 0));
}

/// They are counted within an index, by their pipeline; no process has two.
#[test]
fn of_two_pipelines_at_once_there_is_none() {
    let tracker = Tracker::new(SqliteStore::in_memory().expect("it opens"));
    for name in ["one", "other"] {
        let pipeline = Pipeline::new(name, ["only"]).expect("a pipeline");
        tracker
            .begin(NewProcess::new(&pipeline))
            .expect("it begins");
    }
    let count = |query: &Query| tracker.count(query).expect("it counts").total();
    assert_eq!(count(&Query::new().pipeline("other")), 1);
    assert_eq!(count(&Query::new().pipeline("one").pipeline("other")), 0);
}
