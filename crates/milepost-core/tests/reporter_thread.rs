//! The thread that writes reports: there is none without reporters, and it goes with the tracker. Alone in
//! its file, because it counts the threads of the whole test program.
#![cfg(target_os = "linux")]

mod common;

use milepost_core::{NewProcess, Progress, Tracker};

use common::chain;
use common::store::MapStore;
use common::work::until;

/// How many threads go by the name, of which the system keeps 15 bytes.
fn threads() -> usize {
    let tasks = std::fs::read_dir("/proc/self/task").expect("the system lists threads");
    tasks
        .filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("comm")).ok())
        .filter(|name| name.trim_end() == "milepost-report")
        .count()
}

#[test]
fn there_is_one_thread_a_tracker_from_the_first_reporter_on_until_it_goes() {
    let tracker = Tracker::new(MapStore::new());
    let process = tracker.begin(NewProcess::new(&chain(2))).unwrap();
    let modules = process.modules().collect::<Vec<_>>();
    modules[0].progress(Progress::of(1, 2)).unwrap();
    modules[0].complete().unwrap();
    assert_eq!(threads(), 0, "nobody reports");

    let reporters = (0..3).map(|_| modules[1].reporter()).collect::<Vec<_>>();
    // A thread takes its name when it runs.
    until(|| threads() == 1);
    reporters[2].set(Progress::of(1, 2));
    modules[1].complete().unwrap();
    assert_eq!(threads(), 1);

    drop((tracker, process, modules));
    assert_eq!(threads(), 1, "reporters are left");
    drop(reporters);
    until(|| threads() == 0);
}
