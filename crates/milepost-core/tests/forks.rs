//! A child of `fork` drops what it has inherited, and harms neither itself nor its parent.
#![cfg(unix)]

#[path = "common/child.rs"]
mod child;
mod common;

use std::time::Duration;

use milepost_core::{Progress, SystemClock, Tracker};

use child::ends_well_in_a_child;
use common::store::MapStore;
use common::{chain, new};

/// Threads that the tracker had started do not run in a child of `fork`. Dropping the tracker there once waited for
/// them, and panicked; the same holds of the guard of tending.
#[test]
fn a_child_drops_a_tracker_whose_threads_run_in_the_parent() {
    let tracker = Tracker::with_clock(MapStore::new(), SystemClock);
    let process = tracker.begin(new(&chain(2))).expect("it begins");
    let module = process.module(1).expect("a module");
    // Each starts a thread.
    let tending = tracker
        .tend_every(Duration::from_millis(10))
        .expect("a thread");
    let waited = tracker.wait(process.request_id(), Duration::from_millis(20));
    assert!(waited.is_err(), "it has not settled");
    let reporter = module.reporter();
    reporter.set(Progress::unbounded(1));

    let inherited = (tending, reporter, module, process, tracker);
    let mut inherited = Some(inherited);
    assert!(ends_well_in_a_child(|| drop(inherited.take())));

    let (tending, reporter, module, process, tracker) = inherited.expect("the parent keeps it");
    module.complete().expect("the parent goes on");
    let stored = tracker.get(process.request_id()).expect("it is there");
    assert_eq!(
        stored.modules()[0].progress(),
        Some(&Progress::unbounded(1))
    );
    drop((tending, reporter));
}
