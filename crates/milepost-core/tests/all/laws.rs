//! The laws that every record is checked against, each broken once through the JSON form.

use std::time::Duration;

use milepost_core::{Change, Failure, Process, Progress, RecordError};
use serde_json::{Value, json};

use crate::common::{Slot, chain, new};

/// Module 1 is complete, module 2 has failed twice and runs, module 3 is pending; run 2.
fn lawful() -> Value {
    let failure = || Failure::new("BadInput", "page 4 is blank");
    let mut slot = Slot::of(new(&chain(3)).tag("author", "melville"));
    slot.must(1, Change::complete(1))
        .must(2, Change::start(2))
        .must(3, Change::retry(2, failure()))
        .must(4, Change::fail(2, failure()))
        .must(5, Change::rerun())
        .must(6, Change::progress(2, Progress::of(3, 10)));
    serde_json::to_value(slot.process()).expect("it has a form")
}

fn read(json: Value) -> Result<Process, String> {
    serde_json::from_value(json).map_err(|error| error.to_string())
}

/// Edits a lawful process and expects it to be refused for this reason.
#[track_caller]
fn broken(pointer: &str, value: Value, sentence: &str) {
    broken_in(lawful(), pointer, value, sentence);
}

#[track_caller]
fn broken_in(mut json: Value, pointer: &str, value: Value, sentence: &str) {
    *json.pointer_mut(pointer).expect(pointer) = value;
    let refused = read(json).expect_err("it breaks a law");
    assert_eq!(refused, sentence, "{pointer}");
}

const COUNTED: &str = "a past attempt must lie before the present";
const ENDED: &str = "a past attempt must have ended in a way that the machine knows";
const OUTCOME: &str = "the outcome must be what the modules add up to";
const SEQUENCE: &str = "the modules of a sequential pipeline must stand in order";
const TOO_LATE: &str = "+10000-01-01T00:00:00Z";
const YEARS: &str = "times must lie in years 1 to 9999";

#[test]
fn what_breaks_no_law_is_read() {
    let process = read(lawful()).expect("it is lawful");
    assert_eq!(process.run(), 2);
    assert_eq!(process.modules()[1].attempt(), 3);
}

#[test]
fn counters_begin_at_1() {
    broken("/revision", json!(0), "a revision must be at least 1");
    broken("/run", json!(0), "a run must be at least 1");
    broken(
        "/modules/0/attempt",
        json!(0),
        "an attempt must be at least 1",
    );
}

#[test]
fn a_chain_is_one_that_can_be_built() {
    broken("/modules", json!([]), "the pipeline cannot be built");
    broken("/pipeline", json!(""), "the pipeline cannot be built");
    broken(
        "/modules/0/name",
        json!("a\nb"),
        "the pipeline cannot be built",
    );
    let module = lawful()["modules"][2].clone();
    broken(
        "/modules",
        json!(vec![module; 257]),
        "the pipeline cannot be built",
    );
}

#[test]
fn texts_are_within_their_limits() {
    let file = "a file's texts must be within their limits";
    broken("/file/name", json!(""), file);
    broken("/file/directory", json!("d".repeat(1025)), file);
    broken("/file/tags/0/name", json!("a\u{0}"), file);
    broken("/file/tags/0/value", json!("v".repeat(4097)), file);
    broken("/file/description", json!("\u{0}"), file);
    broken(
        "/modules/1/progress/message",
        json!("m".repeat(1025)),
        "progress must be within its total and limits",
    );
    broken(
        "/modules/1/progress/total",
        json!(2),
        "progress must be within its total and limits",
    );
    broken(
        "/modules/1/attempts/0/end/retried/message",
        json!("m".repeat(4097)),
        ENDED,
    );
    let skipped = json!({"skipped": {"at": "2026-05-18T12:00:00Z", "reason": "r".repeat(256)}});
    broken(
        "/modules/0/state",
        skipped,
        "a reason must be within its limits",
    );
    let failed = json!({"failed": {"started": "2026-05-18T12:00:00Z", "ended": "2026-05-18T12:00:00Z",
        "failure": {"reason": "\u{0}", "message": ""}}});
    broken(
        "/modules/1/state",
        failed,
        "a failure's texts must be within their limits",
    );
}

#[test]
fn times_lie_in_years_1_to_9999_and_updates_after_the_beginning() {
    let far = || json!("+10000-01-01T00:00:00Z");
    broken("/updated_at", far(), YEARS);
    broken("/created_at", json!("0000-12-31T23:59:59Z"), YEARS);
    broken(
        "/expires_at",
        far(),
        "an expiry must lie in years 1 to 9999",
    );
    broken("/modules/0/state/complete/ended", far(), YEARS);
    let (kept, failure) = (
        "2026-05-18T12:00:00Z",
        json!({"reason": "BadInput", "message": "page 4 is blank"}),
    );
    for state in [
        json!({"running": {"since": far()}}),
        json!({"complete": {"started": far(), "ended": kept}}),
        json!({"failed": {"started": far(), "ended": kept, "failure": failure}}),
        json!({"failed": {"started": kept, "ended": far(), "failure": failure}}),
        json!({"skipped": {"at": far(), "reason": "no need"}}),
        json!({"cancelled": {"started": far(), "at": kept}}),
        json!({"cancelled": {"started": kept, "at": far()}}),
    ] {
        broken("/modules/2/state", state, YEARS);
    }
    broken("/modules/1/progress/at", far(), YEARS);
    broken("/modules/1/attempts/0/ended", far(), YEARS);
    broken("/modules/1/attempts/0/started", far(), YEARS);
    let before = json!("2026-05-18T11:00:00Z");
    broken(
        "/updated_at",
        before,
        "no process may change before it begins",
    );
    // A leap second at the very end is a second too late.
    broken("/updated_at", json!("9999-12-31T23:59:60Z"), YEARS);
}

#[test]
fn only_a_module_that_started_has_progress() {
    let progress = lawful()["modules"][1]["progress"].clone();
    broken(
        "/modules/2/progress",
        progress,
        "only a module that started may have progress",
    );
}

#[test]
fn past_attempts_lie_before_the_present_and_in_order() {
    broken("/modules/1/attempts/1/number", json!(3), COUNTED);
    broken("/modules/1/attempts/0/number", json!(0), COUNTED);
    broken("/modules/1/attempts/0/run", json!(3), COUNTED);
    broken("/modules/1/attempts/0/run", json!(0), COUNTED);
    broken("/modules/1/attempts/0/revision", json!(1), COUNTED);
    broken("/modules/1/attempts/1/revision", json!(99), COUNTED);
    let order = "past attempts must stand in their order";
    broken("/modules/1/attempts/0/number", json!(2), order);
    broken("/modules/1/attempts/0/revision", json!(6), order);
    let first = lawful()["modules"][1]["attempts"][0].clone();
    broken(
        "/modules/1/attempts",
        json!([first]),
        "past attempts must lead up to the present one",
    );
    broken(
        "/modules/1/attempt",
        json!(9),
        "past attempts must lead up to the present one",
    );
}

#[test]
fn past_attempts_ended_as_the_machine_ends_them() {
    broken("/modules/1/attempts/0/started", json!(null), ENDED);
    broken("/modules/1/attempts/1/started", json!(null), ENDED);
    broken("/modules/1/attempts/1/run", json!(2), ENDED);
    let mut json = lawful();
    json["modules"][1]["attempts"][1]["run"] = json!(2);
    for end in [json!({"cancelled": ""}), json!("interrupted")] {
        json["modules"][1]["attempts"][1]["end"] = end;
        assert_eq!(read(json.clone()).expect_err("it breaks a law"), ENDED);
    }
}

#[test]
fn no_more_attempts_are_kept_than_16_a_module_and_64_a_process() {
    let attempt = |number: u32| {
        let mut attempt = lawful()["modules"][1]["attempts"][0].clone();
        attempt["number"] = json!(number);
        attempt["revision"] = json!(number + 1);
        attempt
    };
    let with = |kept: [u32; 5]| {
        let mut slot = Slot::begun(&chain(5).parallel());
        slot.must(1, Change::start(1));
        let mut json = serde_json::to_value(slot.process()).expect("it has a form");
        json["revision"] = json!(99);
        for (module, kept) in json["modules"]
            .as_array_mut()
            .expect("a list")
            .iter_mut()
            .zip(kept)
        {
            module["attempt"] = json!(kept + 1);
            module["attempts"] = (1..=kept).map(attempt).collect();
        }
        read(json)
    };
    assert!(with([16, 16, 16, 16, 0]).is_ok());
    let module = "a module may keep at most 16 past attempts";
    assert_eq!(with([17, 0, 0, 0, 0]).expect_err("17"), module);
    let process = "a process may keep at most 64 past attempts";
    assert_eq!(with([16, 16, 16, 16, 1]).expect_err("65"), process);
}

#[test]
fn a_sequential_pipeline_stands_in_order() {
    let running = json!({"running": {"since": "2026-05-18T12:00:00Z"}});
    let pending = json!("pending");
    broken("/modules/0/state", pending, SEQUENCE);
    broken("/modules/2/state", running.clone(), SEQUENCE);
    let complete = lawful()["modules"][0]["state"].clone();
    broken("/modules/2/state", complete, SEQUENCE);
    let cancelled = json!({"cancelled": {"started": null, "at": "2026-05-18T12:00:00Z"}});
    broken_in(claimed(), "/modules/1/state", cancelled, SEQUENCE);
    let mut json = lawful();
    json["parallel"] = json!(true);
    json["modules"][2]["state"] = running;
    assert!(read(json).is_ok(), "a parallel one need not");
}

#[test]
fn the_outcome_is_what_the_modules_add_up_to() {
    let time = "2026-05-18T12:00:00Z";
    broken("/outcome", json!({"complete": {"at": time}}), OUTCOME);
    broken(
        "/outcome",
        json!({"cancelled": {"at": time, "reason": ""}}),
        OUTCOME,
    );
    for index in [0, 1, 2, 3, 65535] {
        broken(
            "/outcome",
            json!({"failed": {"at": time, "index": index}}),
            OUTCOME,
        );
    }
    let failed = json!({"failed": {"started": time, "ended": time,
        "failure": {"reason": "", "message": ""}}});
    broken("/modules/1/state", failed.clone(), OUTCOME);
    broken(
        "/modules/1/state",
        json!({"cancelled": {"started": time, "at": time}}),
        SEQUENCE,
    );

    let mut json = lawful();
    json["modules"][1]["state"] = failed;
    json["outcome"] = json!({"failed": {"at": time, "index": 1}});
    assert!(read(json.clone()).is_ok());
    json["outcome"]["failed"]["at"] = json!("0000-01-01T00:00:00Z");
    assert_eq!(read(json.clone()).expect_err("the year 0"), YEARS);
    json["outcome"] = json!("ongoing");
    assert_eq!(read(json).expect_err("it has failed"), OUTCOME);

    let mut json = lawful();
    json["modules"][1]["state"] = json!({"cancelled": {"started": time, "at": time}});
    json["modules"][2]["state"] = json!({"cancelled": {"started": null, "at": time}});
    json["outcome"] = json!({"cancelled": {"at": time, "reason": ""}});
    assert!(read(json.clone()).is_ok());
    json["outcome"]["cancelled"]["reason"] = json!("r".repeat(256));
    assert_eq!(read(json.clone()).expect_err("a long reason"), OUTCOME);
    json["outcome"] = json!("ongoing");
    assert_eq!(read(json).expect_err("it was cancelled"), OUTCOME);

    let mut json = claimed();
    json["cancel_request"] = Value::Null;
    for module in 0..2 {
        json["modules"][module]["state"] = json!({"complete": {"started": time, "ended": time}});
    }
    json["outcome"] = json!({"complete": {"at": time}});
    assert!(read(json.clone()).is_ok());
    for outcome in [
        json!("ongoing"),
        json!({"cancelled": {"at": time, "reason": ""}}),
    ] {
        broken_in(json.clone(), "/outcome", outcome, OUTCOME);
    }
}

/// The JSON form once let through what no record could hold: it was read, kept, and could then never be
/// read again. What comes in as JSON is counted like everything else.
#[test]
fn a_process_that_no_record_could_hold_is_refused() {
    let mut json = lawful();
    let tag = json!({"name": "n", "value": "v".repeat(4096)});
    json["file"]["tags"] = json!(vec![tag; 64]);
    assert_eq!(
        read(json).expect_err("it is too large"),
        "a record must be at most 256 KiB"
    );
}

#[test]
fn what_a_record_breaks_is_said_in_its_error() {
    let encode = |json: &Value| {
        let mut record = Vec::new();
        read(json.clone())
            .expect("it is lawful")
            .to_record(&mut record);
        record
    };
    let mut json = lawful();
    let mut record = encode(&json);
    json["run"] = json!(3);
    let other = encode(&json);
    let run = record.iter().zip(&other).position(|(a, b)| a != b);
    record[run.expect("they differ in the run")] = 0;
    let error = Process::from_record(&record).expect_err("run 0");
    let broken = "a run must be at least 1";
    assert_eq!(error, RecordError::Corrupt { broken });
    assert_eq!(
        error.to_string(),
        format!("the record is damaged: {broken}")
    );
}

/// Under the lease of a worker who is asked to cancel.
fn claimed() -> Value {
    let mut slot = Slot::of(new(&chain(2)));
    slot.must(1, Change::claim("worker", Duration::from_mins(1), 7))
        .must(2, Change::request_cancel("no longer wanted"));
    serde_json::to_value(slot.process()).expect("it has a form")
}

#[test]
fn a_claim_is_one_that_the_machine_makes() {
    const TOKEN: &str = "a claim's token must be a revision after the first";
    const LASTS: &str = "a lease must last";
    read(claimed()).expect("it is lawful");
    let broken = |pointer: &str, value: Value, sentence: &str| {
        broken_in(claimed(), pointer, value, sentence);
    };
    broken("/claim/token", json!(1), TOKEN);
    broken("/claim/token", json!(4), TOKEN);
    for worker in ["", &"w".repeat(256)] {
        let sentence = "a worker's name must be within its limits";
        broken("/claim/worker", json!(worker), sentence);
    }
    for time in ["claimed_at", "heard_at", "until"] {
        broken(&format!("/claim/{time}"), json!(TOO_LATE), YEARS);
    }
    for end in ["released", "reaped"] {
        let end = json!({ end: { "at": TOO_LATE } });
        broken("/claim/end", end, YEARS);
    }
    // It is heard of before it began, and ends as it begins.
    broken("/claim/heard_at", json!("2026-05-18T12:00:00Z"), LASTS);
    broken("/claim/until", json!("2026-05-18T12:00:01Z"), LASTS);
}

#[test]
fn a_wish_is_one_that_somebody_can_grant() {
    const WITHIN: &str = "a wish must be within its limits";
    let broken = |pointer: &str, value: Value, sentence: &str| {
        broken_in(claimed(), pointer, value, sentence);
    };
    let too_long = "r".repeat(100_000);
    broken("/cancel_request/reason", json!(too_long), WITHIN);
    broken("/cancel_request/at", json!(TOO_LATE), WITHIN);
    let granted = "a wish that nobody can grant must have been granted";
    broken("/claim", Value::Null, granted);
    let released = json!({ "released": { "at": "2026-05-18T12:00:02Z" } });
    broken("/claim/end", released, granted);
}
