//! The JSON Schemas: they take whatever is written, and nothing that is not.

use boon::{Compiler, SchemaIndex, Schemas};
use milepost_core::{ManualClock, NewProcess, Pipeline, Process, Tracker, schema};
use proptest::prelude::*;
use serde::Serialize;
use serde_json::{Value, json};

use crate::common::random::{cases, live, pipeline, steps};
use crate::common::store::MapStore;
use crate::common::{at, tracker};

/// A schema, compiled.
struct Schema {
    schemas: Schemas,
    index: SchemaIndex,
}

impl Schema {
    fn new(text: &str) -> Self {
        let mut compiler = Compiler::new();
        compiler.enable_format_assertions();
        let value = serde_json::from_str(text).expect("it is JSON");
        compiler
            .add_resource("milepost.json", value)
            .expect("it is a schema");
        let mut schemas = Schemas::new();
        let index = compiler.compile("milepost.json", &mut schemas);
        let index = index.unwrap_or_else(|error| panic!("{error:#}"));
        Schema { schemas, index }
    }

    fn refuses(&self, value: &Value) -> Option<String> {
        let refused = self.schemas.validate(value, self.index).err();
        refused.map(|error| format!("{error:#}"))
    }

    #[track_caller]
    fn takes(&self, value: &impl Serialize) {
        let value = serde_json::to_value(value).expect("it has a JSON form");
        if let Some(error) = self.refuses(&value) {
            panic!("{error}\n{value:#}");
        }
    }
}

/// Each way to spoil one object within a value: a field less, one more, one of another type.
fn spoilt(value: &Value) -> Vec<(String, Value)> {
    let mut found = Vec::new();
    match value {
        Value::Object(fields) => {
            let mut more = fields.clone();
            more.insert("more".into(), json!(1));
            found.push(("more".into(), Value::Object(more)));
            for (name, field) in fields {
                let mut less = fields.clone();
                less.remove(name);
                found.push((format!("no {name}"), Value::Object(less)));
                let with = |field: Value| {
                    let mut fields = fields.clone();
                    fields.insert(name.clone(), field);
                    Value::Object(fields)
                };
                found.push((format!("{name} is a list"), with(json!([[]]))));
                for (how, inner) in spoilt(field) {
                    found.push((format!("{name}: {how}"), with(inner)));
                }
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                for (how, inner) in spoilt(item) {
                    let mut items = items.clone();
                    items[index] = inner;
                    found.push((format!("{index}: {how}"), Value::Array(items)));
                }
            }
        }
        _ => {}
    }
    found
}

fn at_work() -> Process {
    let (tracker, clock) = tracker();
    let pipeline = Pipeline::new("invoice-ocr", ["ocr", "parser"]).expect("it is valid");
    let new = NewProcess::new(&pipeline)
        .tag("year", "2026")
        .file_description("of May");
    let process = tracker
        .begin(new.expires_at(at(86_400)))
        .expect("it begins");
    let id = process.request_id();
    let lease = tracker
        .claim(id, "worker 7", std::time::Duration::from_mins(1))
        .expect("it is free");
    let module = lease.module(1).expect("it has two");
    let progress = || {
        milepost_core::Progress::of(3, 10)
            .unit("pages")
            .message("page 3")
    };
    module.progress(progress()).expect("it reports");
    clock.set(at(1));
    module
        .retry(milepost_core::Failure::new("Again", "once more"))
        .expect("it is running");
    module.progress(progress()).expect("it reports");
    tracker
        .request_cancel(id, "withdrawn")
        .expect("it is at work");
    let process = tracker.get(id).expect("it is there");
    process.as_ref().clone()
}

#[test]
fn the_schema_of_a_process_says_all_that_is_written_and_nothing_else() {
    let schema = Schema::new(schema::PROCESS);
    let process = at_work();
    schema.takes(&process);
    let value = serde_json::to_value(&process).expect("it has a JSON form");
    // What older versions did not write may be left out.
    let may_miss = ["no claim", "no cancel_request"];
    let spoilt = spoilt(&value);
    assert!(spoilt.len() > 100, "{}", spoilt.len());
    for (how, spoilt) in spoilt {
        let is_taken = schema.refuses(&spoilt).is_none();
        assert_eq!(is_taken, may_miss.contains(&&*how), "{how}");
        // What the schema takes can be read, and what can be read it takes; but a wish stands under a claim.
        let read = serde_json::from_value::<Process>(spoilt);
        assert_eq!(
            read.is_ok(),
            is_taken && how != "no claim",
            "{how}: {read:?}"
        );
    }
}

#[test]
fn the_schemas_of_answers_take_what_is_answered() {
    let (tracker, _clock) = tracker();
    let pipeline = Pipeline::new("invoice-ocr", ["ocr", "parser"]).expect("it is valid");
    let process = tracker
        .begin(NewProcess::new(&pipeline).tag("year", "2026"))
        .expect("it begins");
    let receipt = process.receipt();
    let id = process.request_id();
    let report = tracker.process_status(id).expect("it is there");
    tracker.erase(id).expect("it erases");
    let not_found = tracker.not_found_report(id);
    for (text, value) in [
        (schema::RECEIPT, json!(receipt)),
        (schema::STATUS_REPORT, json!(report)),
        (schema::NOT_FOUND_REPORT, json!(not_found)),
    ] {
        let schema = Schema::new(text);
        schema.takes(&value);
        for (how, spoilt) in spoilt(&value) {
            // Of modules and tags there may be any number.
            let is_free =
                how.starts_with("process_status: no") || how.starts_with("file_tags: 0: no");
            assert!(is_free || schema.refuses(&spoilt).is_some(), "{how}");
        }
    }
    for name in ["ongoing", "complete", "failed"] {
        let path = format!("{}/tests/wire/{name}.json", env!("CARGO_MANIFEST_DIR"));
        let text = std::fs::read_to_string(path).expect("the vector is there");
        let value: Value = serde_json::from_str(&text).expect("it is JSON");
        Schema::new(schema::STATUS_REPORT).takes(&value);
    }
}

proptest! {
    #![proptest_config(cases(64))]

    #[test]
    fn whatever_becomes_of_a_process_fits_the_schemas(pipeline in pipeline(), steps in steps()) {
        let records = Schema::new(schema::PROCESS);
        let reports = Schema::new(schema::STATUS_REPORT);
        let life = live(&pipeline, &steps);
        for slot in [life.start, life.end] {
            let Some(process) = slot.0 else { continue };
            records.takes(&*process);
            let clock = ManualClock::new(process.created_at());
            let tracker = Tracker::with_clock(MapStore::holding(&process), clock);
            if let Ok(report) = tracker.process_status(process.request_id()) {
                reports.takes(&report);
            }
        }
    }
}
