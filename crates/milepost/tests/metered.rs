//! What a metered store tells, and what it never does.

#![expect(clippy::float_cmp, reason = "what is compared is told as it was given")]

use std::collections::BTreeMap;
use std::time::Duration;

use metrics_util::debugging::{DebugValue, DebuggingRecorder};
use milepost::{
    Change, Guard, METERED_MODULES, ManualClock, MemoryStore, Metered, NewProcess, Pipeline, Query,
    Tracker, chrono::DateTime,
};

mod common;

use common::{MARK, work};

/// What is told while this is done: each metric with its labels, and its value.
fn metered(work: impl FnOnce()) -> BTreeMap<String, DebugValue> {
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    metrics::with_local_recorder(&recorder, work);
    let told = snapshotter.snapshot().into_vec().into_iter();
    told.map(|(key, _, _, value)| {
        let key = key.key();
        let labels = key
            .labels()
            .map(|label| format!(" {}={}", label.key(), label.value()));
        (key.name().to_owned() + &labels.collect::<String>(), value)
    })
    .collect()
}

/// Begins a process, and completes its only module.
fn complete_one(tracker: &Tracker, pipeline: &Pipeline) {
    let process = tracker.begin(NewProcess::new(pipeline));
    process
        .and_then(|process| process.module(1)?.complete())
        .expect("it completes");
}

fn counter(told: &BTreeMap<String, DebugValue>, key: &str) -> u64 {
    match told.get(key) {
        Some(DebugValue::Counter(value)) => *value,
        other => panic!("{key} is {other:?} among {:#?}", told.keys()),
    }
}

fn gauge(told: &BTreeMap<String, DebugValue>, key: &str) -> f64 {
    match told.get(key) {
        Some(DebugValue::Gauge(value)) => value.into_inner(),
        other => panic!("{key} is {other:?} among {:#?}", told.keys()),
    }
}

fn histogram(told: &BTreeMap<String, DebugValue>, key: &str) -> Vec<f64> {
    match told.get(key) {
        Some(DebugValue::Histogram(values)) => {
            values.iter().map(|value| value.into_inner()).collect()
        }
        other => panic!("{key} is {other:?} among {:#?}", told.keys()),
    }
}

#[test]
fn calls_and_ops_are_counted_by_what_came_of_them() {
    let told = metered(|| {
        work(Metered::new(MemoryStore::new()), "chain").expect("it works");
    });
    let changed = |change: &str| format!("milepost_ops_total change={change} outcome=changed");
    assert_eq!(counter(&told, &changed("create")), 3);
    assert_eq!(counter(&told, &changed("complete")), 1);
    assert_eq!(
        counter(
            &told,
            "milepost_ops_total change=complete outcome=unchanged"
        ),
        1
    );
    assert_eq!(
        counter(&told, "milepost_ops_total change=claim outcome=held"),
        1
    );
    assert_eq!(counter(&told, &changed("erase")), 1);
    let writes = counter(&told, "milepost_calls_total call=write outcome=ok");
    let durations = histogram(&told, "milepost_call_duration_seconds call=write");
    assert_eq!(durations.len() as u64, writes);
    assert!(
        durations
            .iter()
            .all(|seconds| (0.0..60.0).contains(seconds))
    );
    let batches = histogram(&told, "milepost_batch_ops");
    assert!(batches.iter().all(|ops| *ops == 1.0) && batches.len() as u64 == writes);
    for call in ["read", "read_many", "list", "count", "purge", "wipe"] {
        assert!(
            counter(
                &told,
                &format!("milepost_calls_total call={call} outcome=ok")
            ) > 0
        );
    }
}

#[test]
fn no_text_of_the_host_is_told_but_names_of_pipelines_and_modules() {
    let mut ids = Vec::new();
    let told = metered(|| ids = work(Metered::new(MemoryStore::new()), "chain").expect("it works"));
    let keys = told.into_keys().collect::<Vec<_>>().join("\n");
    assert!(!keys.contains(MARK), "{keys}");
    assert!(
        ids.iter().all(|id| !keys.contains(&id.to_string())),
        "{keys}"
    );
    let of_chain = "milepost_module_duration_seconds pipeline=chain-pipeline module=chain-first";
    assert!(
        keys.contains(&format!("{of_chain} outcome=complete")),
        "{keys}"
    );
    assert!(
        keys.contains(&format!("{of_chain} outcome=failed")),
        "{keys}"
    );
}

#[test]
fn a_module_took_what_its_times_say() {
    let clock = ManualClock::new(DateTime::UNIX_EPOCH);
    let told = metered(|| {
        let tracker = Tracker::with_clock(Metered::new(MemoryStore::new()), clock.clone());
        let pipeline = Pipeline::new("chain", ["first", "second"]).expect("it is valid");
        let process = tracker
            .begin(NewProcess::new(&pipeline))
            .expect("it begins");
        let [first, second] = [1, 2].map(|position| process.module(position).expect("it has two"));
        first.start().expect("it starts");
        clock.advance(Duration::from_millis(2_500));
        first.complete().expect("it completes");
        first.complete().expect("it is complete");
        second.start().expect("it starts");
        clock.advance(Duration::from_secs(7));
        second.complete().expect("it completes");
    });
    let took = |module: &str| {
        let labels = format!("pipeline=chain module={module} outcome=complete");
        histogram(&told, &format!("milepost_module_duration_seconds {labels}"))
    };
    assert_eq!((took("first"), took("second")), (vec![2.5], vec![7.0]));
}

#[test]
fn whoever_counts_all_sets_the_gauges() {
    let told = metered(|| {
        let tracker = Tracker::new(Metered::new(MemoryStore::new()));
        let pipeline = Pipeline::new("chain", ["first"]).expect("it is valid");
        for _ in 0..3 {
            tracker
                .begin(NewProcess::new(&pipeline))
                .expect("it begins");
        }
        complete_one(&tracker, &pipeline);
        tracker.count(&Query::new()).expect("it counts");
        tracker
            .begin(NewProcess::new(&pipeline))
            .expect("it begins");
        // A count of some says nothing of all.
        tracker
            .count(&Query::new().pipeline("another"))
            .expect("it counts");
    });
    assert_eq!(gauge(&told, "milepost_processes status=ongoing"), 3.0);
    assert_eq!(gauge(&told, "milepost_processes status=complete"), 1.0);
    assert_eq!(gauge(&told, "milepost_processes status=failed"), 0.0);
    assert_eq!(gauge(&told, "milepost_stalled_processes"), 0.0);
}

#[test]
fn a_wipe_is_pending_from_an_erasure_until_it_comes_to_its_end() {
    let store = Metered::new(MemoryStore::new());
    let tracker = Tracker::new(store);
    let pipeline = Pipeline::new("chain", ["first"]).expect("it is valid");
    let told = metered(|| {
        let begin = tracker
            .prepare(NewProcess::new(&pipeline))
            .expect("it is valid");
        let guard = Guard::new().born(begin.born().expect("it is a creation"));
        let erase = tracker.op(begin.id, Change::erase()).guarded(guard);
        tracker.apply(&[begin, erase]).expect("they are applied");
    });
    assert_eq!(gauge(&told, "milepost_pending_wipes"), 1.0);
    let told = metered(|| {
        tracker.wipe().expect("it wipes");
    });
    assert_eq!(gauge(&told, "milepost_pending_wipes"), 0.0);
}

#[test]
fn modules_beyond_the_bound_are_told_together() {
    let told = metered(|| {
        let tracker = Tracker::new(Metered::new(MemoryStore::new()));
        for number in 0..METERED_MODULES + 10 {
            let pipeline =
                Pipeline::new(format!("chain {number}"), ["first"]).expect("it is valid");
            complete_one(&tracker, &pipeline);
        }
    });
    let of_modules = told
        .keys()
        .filter(|key| key.starts_with("milepost_module_duration_seconds"));
    assert_eq!(of_modules.count(), METERED_MODULES + 1);
    let others = "milepost_module_duration_seconds pipeline=other module=other outcome=complete";
    assert_eq!(histogram(&told, others).len(), 10);
}
