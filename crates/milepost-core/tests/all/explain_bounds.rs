//! What an explanation does with very many, very long, very odd: modules, attempts, texts, times.

use std::time::Duration;

use chrono::{DateTime, Utc};
use milepost_core::{
    Change, Explanation, Failure, NextStep, Pipeline, Process, Progress, WaitingFor,
};
use serde_json::json;

use crate::common::{Slot, at, chain, new};

fn begun() -> Slot {
    let chain = Pipeline::new("invoice-ocr", ["ocr", "parser", "keyword-db"]);
    Slot::begun(&chain.expect("the names are short"))
}

fn side_by_side(modules: usize) -> Slot {
    Slot::begun(&chain(modules).parallel())
}

fn unreachable() -> Failure {
    Failure::new("Unreachable", "no route to host")
}

fn explained(slot: &Slot, seconds: i64) -> Explanation {
    slot.process().explain(at(seconds))
}

#[test]
fn many_modules_side_by_side() {
    let mut slot = side_by_side(256);
    assert_eq!(explained(&slot, 0).waiting_for, WaitingFor::Start);
    assert_eq!(
        explained(&slot, 0).to_string(),
        "pipeline is ongoing as of 2026-05-18T12:00:00Z: 0 of 256 modules are done, and it waits for one of 256 modules \
         to start. It began at 2026-05-18T12:00:00Z and last changed at 2026-05-18T12:00:00Z, 0.0 s ago. Any of modules \
         1, 2 and 254 more may start. Next: whoever works on it starts one of them.",
    );
    for module in 1..=255 {
        slot.must(1, Change::start(module));
    }
    assert_eq!(
        explained(&slot, 2).to_string(),
        "pipeline is ongoing as of 2026-05-18T12:00:02Z: 0 of 256 modules are done, and it waits for modules 1, 2 and 253 \
         more. It began at 2026-05-18T12:00:00Z and last changed at 2026-05-18T12:00:01Z, 1.0 s ago. Module 1 of 256, \
         step-1, has been running for 1.0 s. Module 2 of 256, step-2, has been running for 1.0 s. 253 more modules are \
         running. 1 more module may start. Next: work on modules 1, 2 and 253 more goes on; if whoever did it is gone, \
         cancel and rerun it.",
    );
    assert_eq!(explained(&slot, 2).running.len(), 255);
}

#[test]
fn many_attempts() {
    let mut slot = begun();
    for _ in 1..=40 {
        slot.must(1, Change::start(1))
            .must(2, Change::retry(1, unreachable()));
    }
    let explained = explained(&slot, 3);
    let numbers = explained.tried.iter().map(|past| past.module.attempt);
    assert_eq!(numbers.collect::<Vec<_>>(), (25..=40).collect::<Vec<_>>());
    assert_eq!(explained.no_longer_kept, 24);
    let text = explained.to_string();
    let told = "There were 37 earlier attempts, 24 of which are no longer kept. Attempt 38 of module 1, ocr, was retried";
    assert!(text.contains(told), "{text}");
    assert!(!text.contains("Attempt 37"), "{text}");
}

/// Modules that are tried side by side stand in the order in which they were given up, whatever their clocks said.
#[test]
fn past_attempts_stand_in_the_order_in_which_they_ended() {
    let mut slot = side_by_side(3);
    for module in [3, 1, 2, 3] {
        slot.must(9, Change::start(module));
        slot.must(
            9 - i64::try_from(module).unwrap(),
            Change::retry(module, unreachable()),
        );
    }
    let tried = explained(&slot, 9).tried;
    let order = tried
        .iter()
        .map(|past| (past.module.position, past.module.attempt));
    assert_eq!(order.collect::<Vec<_>>(), [(3, 1), (1, 1), (2, 1), (3, 2)]);
}

#[test]
fn a_clock_that_was_set_back_makes_no_time_below_nothing() {
    let mut slot = begun();
    slot.must(0, Change::claim("worker-7", Duration::from_mins(1), 1));
    slot.must(30, Change::start(1));
    assert_eq!(explained(&slot, -3600).waiting_for, WaitingFor::Modules);
    assert_eq!(
        explained(&slot, -3600).to_string(),
        "invoice-ocr is ongoing as of 2026-05-18T11:00:00Z: 0 of 3 modules are done, and it waits for module 1. It began \
         at 2026-05-18T12:00:00Z and last changed at 2026-05-18T12:00:30Z, 0.0 s ago. Module 1 of 3, ocr, has been running \
         for 0.0 s. worker-7 holds it until 2026-05-18T12:01:00Z, for another 1 h 01 min, and was last heard of at \
         2026-05-18T12:00:00Z, 0.0 s ago. Next: worker-7 goes on with module 1; if it does not renew its lease, others take \
         over once that has run out.",
    );
    for time in [DateTime::<Utc>::MIN_UTC, DateTime::<Utc>::MAX_UTC] {
        let explained = slot.process().explain(time);
        assert!(!explained.to_string().is_empty());
        assert!(serde_json::to_string(&explained).is_ok());
    }
}

/// Reasons and messages may hold line breaks, terminal codes and marks that turn text around.
#[test]
fn a_paragraph_is_one_whatever_hosts_write() {
    let mut slot = begun();
    let message = format!("a\r\n\u{1b}[2Jb\u{2028}c\u{202e}d\n\n{}", "é".repeat(2_000));
    let failure = Failure::new("Bad\tInput", &message);
    slot.must(1, Change::fail(1, failure));
    let explained = explained(&slot, 2);
    assert_eq!(
        explained.failed.as_ref().expect("it has failed").message,
        message,
        "whole"
    );
    let text = explained.to_string();
    let said = format!("ago: Bad Input: a [2Jb c d {}", "é".repeat(50));
    assert!(text.contains(&said), "{text}");
    assert!(
        text.contains("é .. [cut, 4029 bytes in all]. Next:"),
        "{text}"
    );
    assert!(text.len() < 1_000, "{text}");
}

#[test]
fn a_run_that_cannot_be_counted_on_is_not_promised() {
    let mut slot = begun();
    slot.must(1, Change::fail(1, unreachable()));
    let mut json = serde_json::to_value(slot.process()).unwrap();
    json["run"] = json!(u32::MAX);
    let process: Process = serde_json::from_value(json).unwrap();
    let explained = process.explain(at(2));
    assert_eq!(explained.next, NextStep::Nothing);
    let next = "Next: nothing; its runs or attempts are used up.";
    assert!(explained.to_string().ends_with(next));
}

/// Every name as long as it may be, every text longer than is told, everything that can be said at once.
#[test]
fn a_paragraph_has_at_most_4_kib() {
    let long = |limit: usize| "\u{e9}".repeat(limit / 2);
    let names = std::iter::repeat_n(long(128), 256);
    let chain = Pipeline::new(long(128), names).unwrap().parallel();
    let far = Duration::from_hours(200 * 365 * 24);
    let mut slot = Slot::of(new(&chain).expires_in(far));
    let failure = || Failure::new(&long(255), &long(4096));
    slot.must(1, Change::fail(1, failure()))
        .must(2, Change::rerun())
        .must(3, Change::claim(&long(128), Duration::from_mins(1), 7));
    for _ in 1..=16 {
        slot.must(5, Change::start(249));
        slot.must(5, Change::retry(249, Failure::new("", "")));
    }
    for module in 250..=256 {
        slot.must(4, Change::start(module));
        slot.must(5, Change::retry(module, failure()));
    }
    for module in 1..=248 {
        slot.must(6, Change::start(module));
    }
    let progress = Progress::of(u64::MAX, u64::MAX)
        .unit(&long(128))
        .message(&long(1024));
    slot.must(7, Change::progress(1, progress.clone()))
        .must(8, Change::progress(2, progress))
        .must(9, Change::request_cancel(&long(255)));
    let mut states = vec![explained(&slot, 10), explained(&slot, 1_000_000)];
    // The same under a lease that has no wish, and where more is done of it.
    slot.must(11, Change::fail(3, failure()));
    for module in 4..=9 {
        slot.must(11, Change::fail(module, failure()));
    }
    states.push(explained(&slot, 1_000_000));
    states.push(slot.process().explain(DateTime::<Utc>::MAX_UTC));
    for state in states {
        let text = state.to_string();
        assert!(
            (1_000..=4 * 1024).contains(&text.len()),
            "{} bytes: {text}",
            text.len()
        );
    }
}
