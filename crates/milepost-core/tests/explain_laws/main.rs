//! Over generated lives: every field of an explanation against the record, what it says comes next against
//! the machine, and the paragraph against the fields.

#[path = "../common/mod.rs"]
mod common;
mod fields;
mod next;
mod text;

use std::cell::RefCell;
use std::collections::BTreeSet;

use chrono::{DateTime, TimeDelta, Utc};
use milepost_core::{Claim, Explanation, HolderState, OverallStatus, Pipeline};
use proptest::prelude::*;
use proptest::test_runner::{RngAlgorithm, TestRng, TestRunner};
use serde_json::Value;

use common::random::{Step, cases, live, pipeline, steps};
use common::{Slot, noon};

proptest! {
    #![proptest_config(cases(60))]

    #[test]
    fn an_explanation_says_what_the_record_says(chain in pipeline(), steps in steps(), later in later()) {
        explain_a_life(&chain, &steps, later, &mut |_| {});
    }
}

/// What is generated must lead to every answer there is, or the law above would say little.
#[test]
fn every_answer_is_reached() {
    let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let config = ProptestConfig {
        cases: 120,
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    let mut runner = TestRunner::new_with_rng(config, rng);
    let reached = RefCell::new(BTreeSet::new());
    let lives = (pipeline(), steps(), later());
    let run = runner.run(&lives, |(chain, steps, later)| {
        explain_a_life(&chain, &steps, later, &mut |explained| {
            reached.borrow_mut().extend(answers(explained));
        });
        Ok(())
    });
    run.expect("the laws hold");
    let reached = reached.into_inner();
    let all = "waiting_for: nothing modules start cancellation lease claim; \
         next: nothing report start agree reap cancel claim rerun purge; \
         state: live run_out released reaped over; \
         end: failed retried cancelled interrupted; \
         status: ongoing complete failed cancelled; \
         also: several_run several_ready run_and_ready run_though_failed several_failed reaped_and_running \
         released_and_running wish_of_settled blamed_cancel";
    for answers in all.split("; ") {
        let (what, answers) = answers.split_once(": ").unwrap();
        for answer in answers.split_whitespace() {
            let answer = format!("{what}: {answer}");
            assert!(
                reached.contains(&answer),
                "{answer} is missing in {reached:?}"
            );
        }
    }
}

/// How many milliseconds after a change it is asked; clocks may have been set back.
fn later() -> impl Strategy<Value = i64> {
    -2_000..12_000_i64
}

/// Explains the state at the start, and every one that a change left.
fn explain_a_life(chain: &Pipeline, steps: &[Step], later: i64, see: &mut dyn FnMut(&Explanation)) {
    let life = live(chain, steps);
    let mut slot = life.start.clone();
    explain_at(&slot, noon(), later, see);
    for (op, _) in &life.log {
        if slot.apply(op).is_ok_and(|applied| applied.changed) {
            explain_at(&slot, op.at, later, see);
        }
    }
}

/// Explains a state as it looks right after the change, some time later, and at the moments that it turns on.
fn explain_at(slot: &Slot, at: DateTime<Utc>, later: i64, see: &mut dyn FnMut(&Explanation)) {
    let process = slot.process();
    fields::lists_the_attempts(&process.explain(at), process);
    let later = at + TimeDelta::milliseconds(later);
    let until = process.claim().map(Claim::until);
    let asked = [Some(at), Some(later), until, process.expires_at()];
    for now in asked.into_iter().flatten() {
        let explained = process.explain(now);
        fields::copies_the_record(&explained, process, now);
        fields::names_the_modules(&explained, process);
        fields::names_the_holder(&explained, process);
        fields::names_the_failure(&explained, process);
        next::foretells(&explained, slot, now);
        text::is_a_paragraph(&explained);
        text::is_json(&explained);
        see(&explained);
    }
}

fn answers(explained: &Explanation) -> Vec<String> {
    let json = serde_json::to_value(explained).expect("it has a form");
    // A variant's name, whether it carries data or not.
    let name = |value: &Value| match value {
        Value::Object(map) => map.keys().next().expect("a name").clone(),
        other => other.as_str().expect("a name").to_owned(),
    };
    let mut answers = ["waiting_for", "next", "status"]
        .map(|field| format!("{field}: {}", name(&json[field])))
        .to_vec();
    if let Value::Object(held) = &json["held"] {
        answers.push(format!("state: {}", name(&held["state"])));
    }
    for past in json["tried"].as_array().expect("a list") {
        answers.push(format!("end: {}", name(&past["end"])));
    }
    let (runs, ready) = (explained.running.len(), explained.ready.len());
    let state = explained.held.as_ref().map(|holder| holder.state);
    let failed = explained.failed.as_ref();
    let cancelled = explained.status == OverallStatus::Cancelled;
    let also = [
        ("several_run", runs > 1),
        ("several_ready", ready > 1),
        ("run_and_ready", runs > 0 && ready > 0),
        (
            "run_though_failed",
            runs > 0 && explained.status == OverallStatus::Failed,
        ),
        (
            "several_failed",
            failed.is_some_and(|fault| !fault.others.is_empty()),
        ),
        (
            "reaped_and_running",
            runs > 0 && matches!(state, Some(HolderState::Reaped { .. })),
        ),
        (
            "released_and_running",
            runs > 0 && matches!(state, Some(HolderState::Released { .. })),
        ),
        (
            "wish_of_settled",
            explained.cancel_requested.is_some() && explained.settled_at.is_some(),
        ),
        (
            "blamed_cancel",
            cancelled && failed.is_some_and(|fault| fault.module.is_some()),
        ),
    ];
    let also = also.into_iter().filter(|(_, is_so)| *is_so);
    answers.extend(also.map(|(what, _)| format!("also: {what}")));
    answers
}
