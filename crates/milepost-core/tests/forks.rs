//! A child of `fork` drops what it has inherited, and harms neither itself nor its parent.
#![cfg(unix)]

mod common;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use fork::Fork;
use milepost_core::{Progress, SystemClock, Tracker};

use common::store::MapStore;
use common::{chain, new};

/// Whether what is done in a child ends well, and within 20 s.
fn ends_well_in_a_child(work: impl FnOnce()) -> bool {
    match fork::fork().expect("there is room for a child") {
        Fork::Child => {
            let ended = catch_unwind(AssertUnwindSafe(work));
            std::process::exit(i32::from(ended.is_err()));
        }
        Fork::Parent(child) => {
            let began = Instant::now();
            loop {
                if let Some(status) = fork::waitpid_nohang(child).expect("it is a child") {
                    return status == 0;
                }
                if began.elapsed() > Duration::from_secs(20) {
                    let mut kill = std::process::Command::new("kill");
                    let killed = kill.args(["-9", &child.to_string()]).status();
                    assert!(killed.is_ok_and(|status| status.success()));
                    fork::waitpid(child).expect("it is a child");
                    return false;
                }
                std::thread::sleep(Duration::from_millis(5));
            }
        }
    }
}

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
