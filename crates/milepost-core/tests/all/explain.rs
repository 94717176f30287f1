//! Why a process stands where it stands: an example of every answer, as fields and as people read it.

use std::time::Duration;

use chrono::TimeDelta;
use milepost_core::{
    Change, Explanation, Failure, Guard, HolderState, ManualClock, NextStep, Pipeline, Progress,
    ReapPolicy, Tracker, Update, WaitingFor,
};
use serde_json::json;

use crate::common::store::MapStore;
use crate::common::{Slot, at, chain, id, new, noon};

/// A pipeline of three modules, begun at noon.
fn begun() -> Slot {
    let names = ["ocr", "parser", "keyword-db"];
    Slot::begun(&Pipeline::new("invoice-ocr", names).expect("they are short"))
}

fn side_by_side(modules: usize) -> Slot {
    Slot::begun(&chain(modules).parallel())
}

fn claim(ttl: u64, mark: u64) -> Change {
    Change::claim("worker-7", Duration::from_secs(ttl), mark)
}

fn unreachable() -> Failure {
    Failure::new("Unreachable", "no route to host")
}

trait Explained {
    fn explained(&self, seconds: i64) -> Explanation;
    fn under_lease(&mut self, seconds: i64, change: Change) -> &mut Self;
    fn says(&self, seconds: i64, expected: &str);
    fn is(&self, seconds: i64, waiting_for: WaitingFor, next: NextStep);
}

impl Explained for Slot {
    fn explained(&self, seconds: i64) -> Explanation {
        self.process().explain(at(seconds))
    }

    #[track_caller]
    fn under_lease(&mut self, seconds: i64, change: Change) -> &mut Self {
        let token = self.process().claim().expect("it is claimed").token();
        let verdict = self.guarded(seconds, change, Guard::new().lease(token));
        assert!(verdict.expect("it is held").changed);
        self
    }

    #[track_caller]
    fn says(&self, seconds: i64, expected: &str) {
        assert_eq!(self.explained(seconds).to_string(), expected);
    }

    #[track_caller]
    fn is(&self, seconds: i64, waiting_for: WaitingFor, next: NextStep) {
        let explained = self.explained(seconds);
        assert_eq!((explained.waiting_for, explained.next), (waiting_for, next));
    }
}

#[test]
fn begun_and_not_started() {
    let slot = begun();
    slot.is(5, WaitingFor::Start, NextStep::Start);
    slot.says(
        5,
        "invoice-ocr is ongoing as of 2026-05-18T12:00:05Z: 0 of 3 modules are done, and it waits for module 1 to \
         start. It began at 2026-05-18T12:00:00Z and last changed at 2026-05-18T12:00:00Z, 5.0 s ago. Module 1 of 3, \
         ocr, is to start next. Next: whoever works on it starts module 1.",
    );
}

#[test]
fn running_where_nobody_claims() {
    let mut slot = begun();
    slot.must(1, Change::complete(1));
    slot.must(2, Change::start(2));
    slot.is(240, WaitingFor::Modules, NextStep::Report);
    slot.says(
        242,
        "invoice-ocr is ongoing as of 2026-05-18T12:04:02Z: 1 of 3 modules is done, and it waits for module 2. It \
         began at 2026-05-18T12:00:00Z and last changed at 2026-05-18T12:00:02Z, 4 min 00 s ago. Module 2 of 3, \
         parser, has been running for 4 min 00 s. Next: work on module 2 goes on; if whoever did it is gone, cancel \
         and rerun it.",
    );
    let text = slot.explained(242).to_string();
    for word in ["claim", "lease", "hold", "held"] {
        assert!(!text.contains(word), "nobody misses a claim here: {text}");
    }
}

/// Also the paragraph in the documentation.
#[test]
fn stalled() {
    let mut slot = begun();
    slot.must(0, claim(360, 1));
    slot.under_lease(60, Change::complete(1))
        .under_lease(108, Change::start(2))
        .under_lease(120, Change::retry(2, unreachable()))
        .under_lease(180, Change::start(2));
    let progress = Progress::of(3, 10).unit("pages");
    slot.under_lease(300, Change::progress(2, progress.clone()));
    slot.is(359, WaitingFor::Modules, NextStep::Report);
    slot.is(360, WaitingFor::Lease, NextStep::Reap);
    slot.says(
        540,
        "invoice-ocr is ongoing as of 2026-05-18T12:09:00Z: 1 of 3 modules is done, and it waits for somebody to \
         take over from worker-7. It began at 2026-05-18T12:00:00Z and last changed at 2026-05-18T12:05:00Z, 4 min \
         00 s ago. Module 2 of 3, parser, has been running for 6 min 00 s (attempt 2); 4 min 00 s ago it was at \
         3/10 pages. worker-7 held it until 2026-05-18T12:06:00Z, which ran out 3 min 00 s ago, and was last heard of at \
         2026-05-18T12:05:00Z, 4 min 00 s ago. Attempt 1 of module 2, parser, was retried at \
         2026-05-18T12:02:00Z after 12.0 s: Unreachable: no route to host. Next: a reap fails or frees it, or a \
         worker claims it.",
    );
    let documented = include_str!("../../src/explain.rs").replace("\n/// ", " ");
    assert!(documented.contains(&slot.explained(540).to_string()));
    let explained = slot.explained(540);
    let running = &explained.running[0];
    assert_eq!((explained.modules, explained.done), (3, 1));
    assert_eq!((running.module.position, running.since), (2, at(180)));
    assert_eq!(running.progress, Some(progress));
    let holder = explained.held.expect("it was held");
    assert_eq!((holder.worker.as_str(), holder.token), ("worker-7", 2));
    assert_eq!((holder.since, holder.until), (noon(), at(360)));
    assert_eq!(
        (holder.heard_at, holder.state),
        (at(300), HolderState::RunOut)
    );
}

#[test]
fn held_and_at_work() {
    let mut slot = begun();
    slot.must(0, claim(60, 1));
    slot.is(3, WaitingFor::Start, NextStep::Start);
    slot.says(
        3,
        "invoice-ocr is ongoing as of 2026-05-18T12:00:03Z: 0 of 3 modules are done, and it waits for module 1 to \
         start. It began at 2026-05-18T12:00:00Z and last changed at 2026-05-18T12:00:00Z, 3.0 s ago. Module 1 of 3, \
         ocr, is to start next. worker-7 holds it until 2026-05-18T12:01:00Z, for another 57.0 s, and was last heard \
         of at 2026-05-18T12:00:00Z, 3.0 s ago. Next: worker-7 starts module 1; if it does not renew its lease, others take \
         over once that has run out.",
    );
    let progress = Progress::unbounded(7).message("page 7 has\na table.");
    slot.under_lease(5, Change::progress(1, progress));
    slot.is(6, WaitingFor::Modules, NextStep::Report);
    let text = slot.explained(6).to_string();
    let at_work = "Module 1 of 3, ocr, has been running for 1.0 s; 1.0 s ago it was at 7: page 7 has a table. worker-7";
    assert!(text.contains(at_work), "{text}");
    let next = "Next: worker-7 goes on with module 1; if it does not renew its lease, others take \
         over once that has run out.";
    assert!(text.ends_with(next), "{text}");
}

#[test]
fn given_back() {
    let mut slot = begun();
    slot.must(0, claim(60, 1));
    slot.under_lease(10, Change::release());
    slot.is(20, WaitingFor::Claim, NextStep::Claim);
    slot.says(
        20,
        "invoice-ocr is ongoing as of 2026-05-18T12:00:20Z: 0 of 3 modules are done, and it waits for a worker to \
         claim it. It began at 2026-05-18T12:00:00Z and last changed at 2026-05-18T12:00:10Z, 10.0 s ago. Module 1 of \
         3, ocr, is to start next. Nobody holds it: worker-7 gave it back at 2026-05-18T12:00:10Z, 10.0 s ago. Next: a \
         worker claims it and starts module 1.",
    );
    let state = slot.explained(20).held.expect("it was held").state;
    assert_eq!(state, HolderState::Released { at: at(10) });
}

#[test]
fn given_back_with_a_module_on_record_as_running() {
    let mut slot = begun();
    slot.must(0, claim(60, 1));
    slot.under_lease(5, Change::start(1))
        .under_lease(10, Change::release());
    slot.is(20, WaitingFor::Claim, NextStep::Claim);
    let text = slot.explained(20).to_string();
    let next = "Next: a worker claims it and takes up module 1, on record as running.";
    assert!(text.ends_with(next), "{text}");
}

#[test]
fn freed_by_a_reap_and_then_at_work_without_a_lease() {
    let mut slot = begun();
    slot.must(0, claim(60, 1));
    slot.under_lease(5, Change::start(1));
    slot.must(70, Change::reap(2, ReapPolicy::retry(3)));
    slot.is(80, WaitingFor::Claim, NextStep::Claim);
    slot.says(
        80,
        "invoice-ocr is ongoing as of 2026-05-18T12:01:20Z: 0 of 3 modules are done, and it waits for a worker to \
         claim it. It began at 2026-05-18T12:00:00Z and last changed at 2026-05-18T12:01:10Z, 10.0 s ago. Module 1 of \
         3, ocr, is to start next (attempt 2). Nobody holds it: worker-7 held it until 2026-05-18T12:01:00Z, was last \
         heard of at 2026-05-18T12:00:05Z, 1 min 15 s ago, and was reaped at 2026-05-18T12:01:10Z, 10.0 s ago. \
         Attempt 1 of module 1, ocr, was retried at 2026-05-18T12:01:10Z after 1 min 05 s: LeaseExpired: worker-7 let \
         its lease run out. Next: a worker claims it and starts module 1.",
    );
    // A reap leaves nothing running: this is somebody who needs no lease.
    slot.must(90, Change::start(1));
    slot.is(95, WaitingFor::Modules, NextStep::Report);
    let state = slot.explained(95).held.expect("it was held").state;
    assert_eq!(state, HolderState::Reaped { at: at(70) });
}

#[test]
fn to_be_cancelled() {
    let mut slot = begun();
    slot.must(0, claim(60, 1));
    slot.must(10, Change::request_cancel("the customer\nleft"));
    slot.is(20, WaitingFor::Cancellation, NextStep::Agree);
    slot.says(
        20,
        "invoice-ocr is ongoing as of 2026-05-18T12:00:20Z: 0 of 3 modules are done, and it waits for worker-7 to \
         cancel it. It began at 2026-05-18T12:00:00Z and last changed at 2026-05-18T12:00:10Z, 10.0 s ago. Module 1 \
         of 3, ocr, is to start next. worker-7 holds it until 2026-05-18T12:01:00Z, for another 40.0 s, and was last \
         heard of at 2026-05-18T12:00:00Z, 20.0 s ago. Somebody asked at 2026-05-18T12:00:10Z, 10.0 s ago, that it be \
         cancelled: the customer left. Next: worker-7 cancels it, or ends its work all the same; once its lease has \
         run out, a reap cancels it.",
    );
    let wish = slot
        .explained(20)
        .cancel_requested
        .expect("it was asked for");
    assert_eq!(
        (wish.reason.as_str(), wish.at),
        ("the customer\nleft", at(10))
    );
    slot.is(60, WaitingFor::Lease, NextStep::Cancel);
    let text = slot.explained(60).to_string();
    let next = "Next: a reap cancels it, or a worker claims it and is asked to cancel it.";
    assert!(text.ends_with(next), "{text}");
    slot.must(61, Change::reap(2, ReapPolicy::fail()));
    slot.is(62, WaitingFor::Nothing, NextStep::Rerun);
}

#[test]
fn failed() {
    let mut slot = begun();
    slot.must(0, claim(60, 1));
    slot.under_lease(1, Change::complete(1))
        .under_lease(2, Change::start(2));
    slot.under_lease(
        32,
        Change::fail(2, Failure::new("BadInput", "page 4 is blank.")),
    );
    slot.is(62, WaitingFor::Nothing, NextStep::Rerun);
    slot.says(
        62,
        "invoice-ocr has failed as of 2026-05-18T12:01:02Z: 1 of 3 modules is done. It began at 2026-05-18T12:00:00Z \
         and last changed at 2026-05-18T12:00:32Z, 30.0 s ago. worker-7 held it last, until 2026-05-18T12:01:00Z, and \
         was last heard of at 2026-05-18T12:00:32Z, 30.0 s ago. Module 2 of 3, parser, failed at \
         2026-05-18T12:00:32Z, 30.0 s ago: BadInput: page 4 is blank. Next: nothing by itself; a rerun takes it up \
         where it stopped.",
    );
    let explained = slot.explained(62);
    assert_eq!(
        explained.held.expect("it was held").state,
        HolderState::Over
    );
    let fault = explained.failed.expect("it has failed");
    assert_eq!(fault.module.expect("a module did").position, 2);
    assert_eq!((fault.reason.as_str(), fault.at), ("BadInput", at(32)));
    assert!(explained.ready.is_empty(), "nothing starts but in a rerun");
}

#[test]
fn failed_while_others_go_on() {
    let mut slot = side_by_side(5);
    for module in [1, 2, 4] {
        slot.must(1, Change::start(module));
    }
    slot.must(2, Change::fail(2, Failure::new("", "")));
    slot.must(3, Change::fail(1, unreachable()));
    let explained = slot.explained(4);
    let fault = explained.failed.as_ref().expect("it has failed");
    assert_eq!(fault.module.as_ref().expect("a module did").position, 2);
    assert_eq!(
        fault.others.iter().map(|m| m.position).collect::<Vec<_>>(),
        [1]
    );
    assert_eq!(explained.running.len(), 1);
    slot.says(
        4,
        "pipeline has failed as of 2026-05-18T12:00:04Z: 0 of 5 modules are done. It began at 2026-05-18T12:00:00Z and \
         last changed at 2026-05-18T12:00:03Z, 1.0 s ago. 1 module still runs, but that changes nothing of the failure. \
         Module 2 of 5, step-2, failed at 2026-05-18T12:00:02Z, 2.0 s ago, for no given reason. 1 other module failed \
         too. Next: nothing by itself; a rerun takes it up where it stopped.",
    );
}

#[test]
fn cancelled_and_rerun() {
    let mut slot = begun();
    slot.must(1, Change::start(1))
        .must(2, Change::cancel("the user left"));
    slot.is(3, WaitingFor::Nothing, NextStep::Rerun);
    slot.says(
        3,
        "invoice-ocr was cancelled as of 2026-05-18T12:00:03Z: 0 of 3 modules are done. It began at \
         2026-05-18T12:00:00Z and last changed at 2026-05-18T12:00:02Z, 1.0 s ago. It was cancelled at \
         2026-05-18T12:00:02Z, 1.0 s ago, with module 1 of 3, ocr, at work: the user left. Next: nothing by itself; a \
         rerun takes it up where it stopped.",
    );
    slot.must(5, Change::rerun()).must(6, Change::start(1));
    slot.says(
        7,
        "invoice-ocr is ongoing as of 2026-05-18T12:00:07Z, in run 2: 0 of 3 modules are done, and it waits for module \
         1. It began at 2026-05-18T12:00:00Z and last changed at 2026-05-18T12:00:06Z, 1.0 s ago. Module 1 of 3, ocr, \
         has been running for 1.0 s (attempt 2). Attempt 1 (run 1) of module 1, ocr, was cancelled at \
         2026-05-18T12:00:02Z after 1.0 s: the user left. Attempt 1 (run 1) of module 2, parser, was cancelled at \
         2026-05-18T12:00:02Z before it started: the user left. Attempt 1 (run 1) of module 3, keyword-db, was \
         cancelled at 2026-05-18T12:00:02Z before it started: the user left. Next: work on module 1 goes on; if \
         whoever did it is gone, cancel and rerun it.",
    );
}

#[test]
fn complete() {
    let mut slot = begun();
    for module in 1..=3 {
        slot.must(60, Change::complete(module));
    }
    slot.must(70, Change::update(Update::new().file_name("a.pdf")));
    slot.is(80, WaitingFor::Nothing, NextStep::Nothing);
    slot.says(
        80,
        "invoice-ocr is complete as of 2026-05-18T12:01:20Z: 3 of 3 modules are done. It began at \
         2026-05-18T12:00:00Z, was complete at 2026-05-18T12:01:00Z and last changed at 2026-05-18T12:01:10Z, 10.0 s \
         ago. Next: nothing, for all is done.",
    );
}

#[test]
fn expired() {
    let mut slot = Slot::of(new(&chain(1)).expires_in(Duration::from_secs(30)));
    slot.must(0, claim(60, 1));
    slot.is(29, WaitingFor::Start, NextStep::Start);
    assert!(
        slot.explained(29)
            .to_string()
            .contains("It expires at 2026-05-18T12:00:30Z, in 1.0 s. Next")
    );
    slot.is(30, WaitingFor::Nothing, NextStep::Purge);
    slot.says(
        90,
        "pipeline is ongoing as of 2026-05-18T12:01:30Z: 0 of 1 module is done. It began at 2026-05-18T12:00:00Z and \
         last changed at 2026-05-18T12:00:00Z, 1 min 30 s ago. worker-7 held it last, until 2026-05-18T12:01:00Z, and \
         was last heard of at 2026-05-18T12:00:00Z, 1 min 30 s ago. It expired at 2026-05-18T12:00:30Z, 1 min 00 s \
         ago, and is not found any more. Next: a purge erases it.",
    );
}

#[test]
fn the_tracker_explains_by_its_own_clock() {
    let clock = ManualClock::new(noon());
    let tracker = Tracker::with_clock(MapStore::new(), clock.clone());
    let missing = tracker.explain(id()).expect_err("nothing has begun");
    assert!(missing.is_not_found());
    let process = tracker.begin(new(&chain(2))).unwrap();
    let lease = tracker
        .claim(process.request_id(), "worker-7", Duration::from_mins(1))
        .unwrap();
    clock.advance(Duration::from_mins(1));
    let explained = tracker.explain(id()).unwrap();
    assert_eq!(
        explained,
        tracker
            .get(id())
            .unwrap()
            .explain(noon() + TimeDelta::seconds(60))
    );
    assert_eq!(explained.waiting_for, WaitingFor::Lease);
    assert_eq!(explained.held.expect("it was held").token, lease.token());
}

#[test]
fn as_json() {
    let mut slot = begun();
    slot.must(0, claim(60, 1));
    slot.under_lease(1, Change::start(1))
        .under_lease(2, Change::retry(1, unreachable()));
    slot.under_lease(3, Change::progress(1, Progress::of(3, 10).unit("pages")));
    slot.under_lease(4, Change::release());
    let expected = json!({
        "request_id": crate::common::ID, "pipeline": "invoice-ocr", "status": "ongoing", "run": 1,
        "at": "2026-05-18T12:00:09Z", "created_at": "2026-05-18T12:00:00Z", "settled_at": null,
        "last_heard": "2026-05-18T12:00:04Z", "expires_at": null, "modules": 3, "done": 0,
        "waiting_for": "claim",
        "running": [{
            "position": 1, "name": "ocr", "attempt": 2, "since": "2026-05-18T12:00:03Z",
            "progress": {"done": 3, "total": 10, "unit": "pages", "message": null},
            "progress_at": "2026-05-18T12:00:03Z",
        }],
        "ready": [],
        "held": {
            "worker": "worker-7", "token": 2, "since": "2026-05-18T12:00:00Z", "until": "2026-05-18T12:01:00Z",
            "heard_at": "2026-05-18T12:00:04Z", "state": {"released": {"at": "2026-05-18T12:00:04Z"}},
        },
        "cancel_requested": null, "failed": null,
        "tried": [{
            "position": 1, "name": "ocr", "attempt": 1, "run": 1, "started": "2026-05-18T12:00:01Z",
            "ended": "2026-05-18T12:00:02Z",
            "end": {"retried": {"reason": "Unreachable", "message": "no route to host"}},
        }],
        "no_longer_kept": 0, "next": "claim",
    });
    assert_eq!(serde_json::to_value(slot.explained(9)).unwrap(), expected);
}
