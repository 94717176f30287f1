//! What reporters cost the store: a process is written once an interval at most, processes go together,
//! none keeps another back, and what is pending when the tracker goes is written then.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, mpsc};

use milepost_core::{
    Change, NewProcess, Op, Process, ProcessHandle, Progress, Reporter, StatusStore, StoreError,
    StoreErrorKind, Tracker,
};

use crate::common::chain;
use crate::common::store::{Call, MapStore};
use crate::common::work::{BOUND, Gate, SOON, Work, beside, done, short, shown, until, work};

/// Another process of the same tracker.
fn another(work: &Work) -> ProcessHandle {
    let new = NewProcess::new(&chain(1));
    work.tracker.begin(new).expect("it begins")
}

fn reporter(process: &ProcessHandle) -> Reporter {
    process.module(1).expect("it is in the chain").reporter()
}

fn stored(work: &Work, process: &ProcessHandle) -> Option<u64> {
    let process = work.tracker.get(process.request_id());
    done(&process.expect("it is there"), 1)
}

/// The writes of nothing but reports, in short.
fn reports(store: &MapStore) -> Vec<String> {
    let is_report = |op: &Op| matches!(op.change, Change::Progress { .. });
    let tried = store.tried();
    let reports = tried.iter().filter(|ops| ops.iter().all(is_report));
    reports.map(|ops| short(ops)).collect()
}

/// A third process is reported on last, and written at once: had the interval of the first one passed, it
/// would have been written before that.
#[test]
fn the_modules_and_handles_of_a_process_share_its_rate() {
    let work = work(3);
    work.rest();
    let other = work.tracker.process(work.process.request_id()).unwrap();
    work.module(1).reporter().set(Progress::unbounded(1));
    work.module(2).reporter().set(Progress::unbounded(2));
    reporter(&other).set(Progress::unbounded(3));
    let third = another(&work);
    let mut watch = work.tracker.watch(third.request_id()).unwrap();
    shown(&mut watch);
    reporter(&third).set(Progress::unbounded(4));
    assert_eq!(done(&shown(&mut watch), 1), Some(4));
    assert_eq!(reports(&work.store), ["1=0", "1=4"]);
    work.module(1).complete().unwrap();
    work.module(2).complete().unwrap();
    assert_eq!(reports(&work.store), ["1=0", "1=4", "1=3", "2=2"]);
}

#[test]
fn a_reporter_made_anew_for_each_value_does_not_get_round_the_rate() {
    let work = work(1);
    let id = work.process.request_id();
    work.rest();
    for done in 1..=100 {
        let process = work.tracker.process(id).unwrap();
        reporter(&process).set(Progress::unbounded(done));
    }
    work.module(1).complete().unwrap();
    assert_eq!(reports(&work.store), ["1=0", "1=100"]);
}

/// The thread is held up by another process while the transition writes what is pending in its stead.
#[test]
fn what_is_written_before_a_transition_counts_for_the_rate() {
    let work = work(1);
    let (first, last) = (another(&work), another(&work));
    let mut watch = work.tracker.watch(last.request_id()).unwrap();
    shown(&mut watch);
    let id = first.request_id();
    let gate = Gate::before_some(&work.store, move |ops| ops.iter().any(|op| op.id == id));
    reporter(&first).set(Progress::unbounded(1));
    gate.is_reached();
    let module = work.module(1);
    module.reporter().set(Progress::unbounded(2));
    module.start().unwrap();
    module.reporter().set(Progress::unbounded(3));
    gate.open();
    reporter(&last).set(Progress::unbounded(4));
    assert_eq!(done(&shown(&mut watch), 1), Some(4));
    assert_eq!(work.done(1), Some(2));
    module.complete().unwrap();
    assert_eq!(work.done(1), Some(3));
}

#[test]
fn of_several_modules_the_one_that_has_waited_longest_is_next_and_each_goes_apart() {
    let work = work(3);
    work.rest();
    for (position, done) in [(2, 1), (3, 1), (1, 2), (3, 2), (2, 2)] {
        let reporter = work.module(position).reporter();
        reporter.set(Progress::unbounded(done));
    }
    // A shorter interval holds at once, and for all clones.
    let _ = work.tracker.clone().report_interval(SOON);
    until(|| reports(&work.store).len() == 4);
    assert_eq!(reports(&work.store), ["1=0", "2=2", "3=2", "1=2"]);
}

#[test]
fn processes_that_are_due_at_the_same_moment_go_in_one_write() {
    let work = work(1);
    let others = (0..20).map(|_| another(&work)).collect::<Vec<_>>();
    let gate = Gate::before(&work.store);
    work.module(1).reporter().set(Progress::unbounded(1));
    gate.is_reached();
    for process in &others {
        reporter(process).set(Progress::unbounded(2));
    }
    gate.open();
    until(|| reports(&work.store).len() == 2);
    assert_eq!(reports(&work.store)[1], ["1=2"; 20].join(" "));
    for process in &others {
        process.module(1).unwrap().complete().unwrap();
        assert_eq!(stored(&work, process), Some(2));
    }
    assert_eq!(reports(&work.store).len(), 2, "nothing was pending");
}

/// Fails every write that one process has a part in.
fn spoils(work: &Work, spoilt: &ProcessHandle, kind: StoreErrorKind) {
    let id = spoilt.request_id();
    work.store.script(move |call, store| {
        let tried = store.tried();
        let ops = tried.last().filter(|_| call == Call::Write);
        if ops.is_some_and(|ops| ops.iter().any(|op| op.id == id)) {
            return Err(StoreError::new(kind, "on purpose"));
        }
        Ok(())
    });
}

/// One damaged record would have failed the batch that it was a part of, again and again.
#[test]
fn a_process_that_the_store_cannot_write_does_not_keep_others_back() {
    let work = work(1);
    let processes = (0..5).map(|_| another(&work)).collect::<Vec<_>>();
    let _ = work.tracker.clone().report_interval(SOON);
    let gate = Gate::before(&work.store);
    work.module(1).reporter().set(Progress::unbounded(1));
    gate.is_reached();
    for process in &processes {
        reporter(process).set(Progress::unbounded(2));
    }
    spoils(&work, &processes[2], StoreErrorKind::Corrupt);
    gate.open();
    let written = || {
        processes
            .iter()
            .filter(|process| stored(&work, process) == Some(2))
    };
    until(|| written().count() == 4);
    work.store.script(|_, _| Ok(()));
    until(|| written().count() == 5);
}

#[test]
fn trouble_of_the_whole_store_leaves_the_batch_together() {
    let work = work(1);
    let processes = (0..5).map(|_| another(&work)).collect::<Vec<_>>();
    let gate = Gate::before(&work.store);
    work.module(1).reporter().set(Progress::unbounded(1));
    gate.is_reached();
    for process in &processes {
        reporter(process).set(Progress::unbounded(2));
    }
    spoils(&work, &processes[0], StoreErrorKind::Busy);
    gate.open();
    until(|| reports(&work.store).len() == 2);
    work.store.script(|_, _| Ok(()));
    let _ = work.tracker.clone().report_interval(SOON);
    until(|| reports(&work.store).len() == 3);
    let all = ["1=2"; 5].join(" ");
    assert_eq!(reports(&work.store), ["1=1", &all, &all]);
}

#[test]
fn a_process_whose_transition_is_slow_keeps_no_other_back() {
    let work = work(2);
    let other = another(&work);
    let mut watch = work.tracker.watch(other.request_id()).unwrap();
    shown(&mut watch);
    // Made before the gate is, and told nothing yet.
    let (slow, quick) = (work.module(2).reporter(), reporter(&other));
    let gate = Gate::before_some(&work.store, |ops| short(ops) == "start");
    let module = work.module(1);
    let started = beside(move || module.start());
    gate.is_reached();
    slow.set(Progress::unbounded(1));
    // Time for the thread to find the lane taken, before there is anything else to do.
    for _ in 0..1_000 {
        std::thread::yield_now();
    }
    quick.set(Progress::unbounded(2));
    assert_eq!(done(&shown(&mut watch), 1), Some(2));
    assert_eq!(work.done(2), None);
    gate.open();
    assert!(started.recv_timeout(BOUND).unwrap().unwrap().changed);
    until(|| work.done(2) == Some(1));
}

#[test]
fn what_is_pending_is_written_when_the_last_handle_goes() {
    let work = work(2);
    work.rest();
    let store = work.store.clone();
    let (first, second) = (work.module(1).reporter(), work.module(2).reporter());
    first.set(Progress::unbounded(1));
    second.set(Progress::unbounded(2));
    first.set(Progress::unbounded(3));
    drop((work, first));
    assert_eq!(reports(&store), ["1=0"], "a reporter is left");
    drop(second);
    assert_eq!(reports(&store), ["1=0", "2=2 1=3"]);
}

/// Trouble of the whole store is not met once for every process: the drop would take as many timeouts.
#[test]
fn what_the_store_cannot_write_at_the_end_is_given_up_and_takes_nothing_else_along() {
    let cases = [
        (
            StoreErrorKind::Corrupt,
            vec!["1=1 1=1 1=1", "1=1", "1=1", "1=1"],
            2,
        ),
        (StoreErrorKind::Unavailable, vec!["1=1 1=1 1=1"], 0),
    ];
    for (kind, tries, written) in cases {
        let work = work(1);
        let store = work.store.clone();
        let processes = [another(&work), another(&work), another(&work)];
        for process in &processes {
            let mut watch = work.tracker.watch(process.request_id()).unwrap();
            shown(&mut watch);
            reporter(process).set(Progress::unbounded(0));
            assert_eq!(done(&shown(&mut watch), 1), Some(0));
            reporter(process).set(Progress::unbounded(1));
        }
        spoils(&work, &processes[0], kind);
        let ids = processes.each_ref().map(ProcessHandle::request_id);
        drop((work, processes));
        assert_eq!(reports(&store)[3..], tries);
        let stored = ids.map(|id| store.read(id).unwrap().unwrap());
        let is_written = |process: &&Arc<Process>| done(process, 1) == Some(1);
        assert_eq!(stored.iter().filter(is_written).count(), written);
    }
}

#[test]
fn dropping_the_last_handle_closes_the_store_before_the_drop_returns() {
    for round in 0..20 {
        let closed = Arc::new(AtomicBool::new(false));
        let tracker = Tracker::new(MapStore::closing(&closed));
        let process = tracker.begin(NewProcess::new(&chain(1))).unwrap();
        let reporter = reporter(&process);
        drop((tracker, process));
        for done in 0..round {
            reporter.set(Progress::unbounded(done));
        }
        assert!(!closed.load(Ordering::SeqCst), "a reporter is left");
        drop(reporter);
        assert!(closed.load(Ordering::SeqCst));
    }
}

/// The thread for reports may be the one that lets the last tracker go, if a store keeps one: it must not
/// wait for itself, and still writes the rest.
#[test]
fn the_last_tracker_may_be_dropped_by_the_thread_for_reports() {
    let work = work(2);
    let (store, tracker) = (work.store.clone(), work.tracker.clone());
    let (writes, is_written) = mpsc::channel();
    let (go_on, may_go_on) = mpsc::channel::<Tracker>();
    let may_go_on = Mutex::new(may_go_on);
    store.script(move |call, _| {
        if call == Call::Write {
            writes.send(()).ok();
            drop(may_go_on.lock().expect("no panic").recv());
        }
        Ok(())
    });
    work.module(1).reporter().set(Progress::unbounded(1));
    is_written.recv_timeout(BOUND).expect("it writes");
    work.module(2).reporter().set(Progress::unbounded(2));
    drop(work);
    // Nobody is left but the thread, in the middle of a write, and the tracker that it is handed.
    go_on.send(tracker).expect("it waits for it");
    drop(go_on);
    is_written.recv_timeout(BOUND).expect("it writes the rest");
    assert_eq!(reports(&store), ["1=1", "2=2"]);
}
