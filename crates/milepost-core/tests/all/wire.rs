//! The wire forms, compared as text with the vectors in `wire/`: ids vary, the rest is exact.

use milepost_core::{
    Change, Failure, FileId, ManualClock, NewProcess, NotFoundReport, OverallStatus, Pipeline,
    Process, Receipt, RequestId, StatusReport, Tracker,
};
use serde::Serialize;

use crate::common::store::MapStore;

const FILE: &str = "596bf30e-c13d-41df-8cc8-b7e26709a468";

fn vector(name: &str) -> String {
    let path = format!("{}/tests/wire/{name}.json", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(path).expect("the vector is there")
}

fn pretty(value: &impl Serialize) -> String {
    serde_json::to_string_pretty(value).expect("it has a JSON form") + "\n"
}

fn file() -> FileId {
    FILE.parse().expect("it is a UUID")
}

/// Begins a process at the given time, makes these changes at once, and asks for its status.
fn report(pipeline: &Pipeline, changes: &[Change]) -> StatusReport {
    let time = "2026-05-18T09:30:00Z".parse().expect("it is a time");
    let tracker = Tracker::with_clock(MapStore::new(), ManualClock::new(time));
    let process = tracker
        .begin(
            NewProcess::new(pipeline)
                .request_id(crate::common::id())
                .file_id(file()),
        )
        .expect("it begins");
    for change in changes {
        let op = tracker.op(process.request_id(), change.clone());
        let verdicts = tracker.apply(&[op]).expect("the store works");
        assert!(verdicts[0].is_ok(), "{verdicts:?}");
    }
    tracker
        .process_status(process.request_id())
        .expect("it is there")
}

/// The same report under the id of the vector's call.
fn under(report: StatusReport, call: &str) -> StatusReport {
    let mut report = report;
    report.request_id = call.parse().expect("it is a UUID");
    report
}

fn one_module() -> Pipeline {
    Pipeline::new("process_status_method_1_keyword-db", ["keyword-db"]).expect("valid")
}

#[test]
fn an_ongoing_process_has_the_form_of_its_vector() {
    let report = under(
        report(&one_module(), &[]),
        "8863f851-fa57-4ffa-98fd-31d9df31fcdc",
    );
    assert_eq!(pretty(&report), vector("ongoing"));
}

#[test]
fn a_complete_process_has_the_form_of_its_vector() {
    let report = report(&one_module(), &[Change::complete(1)]);
    let report = under(report, "4cf89f97-b82e-4104-929f-df49d928e345");
    assert_eq!(pretty(&report), vector("complete"));
}

#[test]
fn a_failed_process_has_the_form_of_its_vector() {
    let chain = ["summarize", "summarize", "keyword-db"];
    let pipeline = Pipeline::new("summarize-twice", chain).expect("valid");
    let failure = Failure::new("BadInput", "sentence 12 is empty");
    let report = report(&pipeline, &[Change::complete(1), Change::fail(2, failure)]);
    let report = under(report, "0f3b5a3e-6c0d-4f55-9a53-2f7a1f0a9c11");
    assert_eq!(pretty(&report), vector("failed"));
}

#[test]
fn what_is_not_found_has_the_form_of_its_vector_and_names_nothing_else() {
    let (tracker, _) = crate::common::tracker();
    let mut report = tracker.not_found_report(crate::common::id());
    report.request_id = "7f0b7b43-1a0e-4e51-8a2c-2f1f0d2c9a10".parse().unwrap();
    assert_eq!(pretty(&report), vector("not-found"));
    let back: NotFoundReport = serde_json::from_str(&vector("not-found")).unwrap();
    assert_eq!(back, report);
}

#[test]
fn a_receipt_has_the_form_of_its_vector() {
    let (tracker, _) = crate::common::tracker();
    let new = crate::common::new(&one_module())
        .file_id(file())
        .file_extension("txt");
    let mut receipt = tracker.begin(new).unwrap().receipt();
    assert_generated(&receipt.file_name, ".txt");
    receipt.file_name = "generated_file_name_gewgneptrz.txt".to_owned();
    assert_eq!(pretty(&receipt), vector("receipt"));
    let back: Receipt = serde_json::from_str(&vector("receipt")).unwrap();
    assert_eq!(back, receipt);
}

#[test]
fn every_status_call_has_an_id_of_its_own() {
    let (tracker, _) = crate::common::tracker();
    let id = tracker
        .begin(NewProcess::new(&one_module()))
        .unwrap()
        .request_id();
    let ask = || tracker.process_status(id).unwrap().request_id;
    let ids = [ask(), ask(), tracker.not_found_report(id).request_id, id];
    let distinct = ids.iter().collect::<std::collections::HashSet<_>>();
    assert_eq!(distinct.len(), 4);
}

#[test]
fn what_was_serialised_comes_back_equal() {
    for name in ["ongoing", "complete", "failed"] {
        let text = vector(name);
        let report: StatusReport = serde_json::from_str(&text).unwrap();
        assert_eq!(pretty(&report), text);
    }
    let cancelled = report(&one_module(), &[Change::cancel("enough")]);
    let back: StatusReport = serde_json::from_str(&pretty(&cancelled)).unwrap();
    assert_eq!(back, cancelled);
    let from_value = serde_json::from_value(serde_json::to_value(&cancelled).unwrap()).unwrap();
    assert_eq!(cancelled, from_value, "keys sorted as text do no harm");
}

#[test]
fn a_cancelled_process_is_failed_on_the_wire_and_in_the_type() {
    let report = report(
        &one_module(),
        &[Change::start(1), Change::cancel("the user left")],
    );
    assert_eq!(report.overall_status, OverallStatus::Failed);
    let failure = report.failure_status.unwrap();
    assert_eq!(
        (&*failure.reason, &*failure.message),
        ("Cancelled", "the user left")
    );
    assert_eq!(failure.process_id, crate::common::id());
    assert_eq!(failure.failure_module.as_deref(), Some("module_1"));
    assert_eq!(failure.module_name.as_deref(), Some("keyword-db"));
}

#[test]
fn no_module_is_named_if_a_cancel_found_none_or_several_at_work() {
    let chain = crate::common::chain(2).parallel();
    for changes in [
        vec![Change::cancel("")],
        vec![Change::start(1), Change::start(2), Change::cancel("")],
    ] {
        let json = serde_json::to_value(report(&chain, &changes)).unwrap();
        let failure = json["failure_status"].as_object().unwrap();
        let keys = failure.keys().map(String::as_str).collect::<Vec<_>>();
        assert_eq!(keys, ["failed_at", "message", "process_id", "reason"]);
    }
}

#[test]
fn modules_past_the_ninth_keep_chain_order() {
    let report = report(
        &crate::common::chain(12),
        &[Change::complete(1), Change::skip(2, "")],
    );
    let text = serde_json::to_string(&report.process_status).unwrap();
    let flag = |k: usize| format!("\"module_{k}\":{}", k <= 2);
    let expected = (1..=12).map(flag).collect::<Vec<_>>().join(",");
    assert_eq!(text, format!("{{{expected}}}"));
    assert_eq!(report.process_status.len(), 12);
    assert_eq!(report.process_status.get(0), None);
    assert_eq!(report.process_status.get(2), Some(true));
    assert_eq!(report.process_status.get(13), None);
    assert_eq!(report.process_status.iter().filter(|done| *done).count(), 2);
}

#[test]
fn a_chain_of_256_modules_goes_to_the_wire_and_back() {
    let report = report(&crate::common::chain(256), &[]);
    let back: StatusReport = serde_json::from_str(&pretty(&report)).unwrap();
    assert_eq!(back, report);
}

/// Other JSON libraries sort keys as text, which puts `module_10` before `module_2`.
#[test]
fn module_keys_may_come_in_any_order_but_must_be_complete() {
    let with = |flags: &str| {
        let text = vector("ongoing").replace("\"module_1\": false", flags);
        serde_json::from_str::<StatusReport>(&text)
    };
    let shuffled = with(
        r#""module_10":true,"module_1":true,"module_2":false,"module_3":false,
        "module_9":true,"module_8":false,"module_7":false,"module_6":false,"module_5":false,"module_4":true"#,
    );
    let flags = shuffled.unwrap().process_status.iter().collect::<Vec<_>>();
    assert_eq!(flags.iter().filter(|done| **done).count(), 4);
    assert!(flags[0] && flags[3] && flags[8] && flags[9]);
    for refused in [
        "",
        r#""module_2":true"#,
        r#""module_1":true,"module_3":true"#,
        r#""module_1":true,"module_1":true"#,
        r#""module_0":true,"module_1":true"#,
        r#""module_01":true"#,
        r#""module_+1":true"#,
        r#""module_1":true,"module_257":true"#,
        r#""module_1":true,"module_99999999999999999999999":true"#,
        r#""ocr":true"#,
        r#""module_1":1"#,
    ] {
        assert!(with(refused).is_err(), "{refused}");
    }
}

#[test]
fn a_receipt_has_its_tags_in_the_order_given() {
    let (tracker, _) = crate::common::tracker();
    let new = crate::common::new(&one_module())
        .file_name("moby-dick.txt")
        .symbolic_directory_path("/books")
        .tag("author", "melville")
        .tag("a", "")
        .tag("author", "again")
        .file_description("about a whale");
    let receipt = tracker.begin(new).unwrap().receipt();
    let json = serde_json::to_string(&receipt).unwrap();
    let tail = r#""file_name":"moby-dick.txt","symbolic_directory_path":"/books","#.to_owned()
        + r#""file_tags":[{"author":"melville"},{"a":""},{"author":"again"}],"#
        + r#""file_description":"about a whale"}"#;
    assert!(json.ends_with(&tail), "{json}");
    assert_eq!(serde_json::from_str::<Receipt>(&json).unwrap(), receipt);
    let two_pairs = json.replace(r#"{"a":""}"#, r#"{"a":"","b":""}"#);
    assert!(serde_json::from_str::<Receipt>(&two_pairs).is_err());
    let no_pair = json.replace(r#"{"a":""}"#, "{}");
    assert!(serde_json::from_str::<Receipt>(&no_pair).is_err());
}

#[test]
fn an_unset_file_name_is_generated() {
    let (tracker, _) = crate::common::tracker();
    let named = |extension: Option<&str>| {
        let new = NewProcess::new(&one_module());
        let new = match extension {
            Some(extension) => new.file_extension(extension),
            None => new,
        };
        tracker.begin(new).unwrap().receipt().file_name
    };
    assert_generated(&named(None), "");
    assert_generated(&named(Some("pdf")), ".pdf");
    assert_generated(&named(Some(".pdf")), ".pdf");
    assert_generated(&named(Some("tar.gz")), ".tar.gz");
    assert_ne!(named(None), named(None));
}

#[track_caller]
fn assert_generated(name: &str, extension: &str) {
    let letters = name
        .strip_prefix("generated_file_name_")
        .and_then(|rest| rest.strip_suffix(extension))
        .expect(name);
    assert_eq!(letters.len(), 10, "{name}");
    assert!(letters.bytes().all(|b| b.is_ascii_lowercase()), "{name}");
}

/// The native form is another one: a cancelled process is cancelled there.
#[test]
fn the_native_form_is_not_the_wire_form() {
    let (tracker, _) = crate::common::tracker();
    let id: RequestId = tracker
        .begin(crate::common::new(&one_module()))
        .unwrap()
        .request_id();
    tracker.cancel(id, "enough").unwrap();
    let process = tracker.get(id).unwrap();
    assert_eq!(process.status(), OverallStatus::Cancelled);
    let json = serde_json::to_string(&*process).unwrap();
    assert!(
        json.contains(r#""cancelled":{"at":"2026-05-18T12:00:00Z","reason":"enough"}"#),
        "{json}"
    );
    assert_eq!(serde_json::from_str::<Process>(&json).unwrap(), *process);
}
