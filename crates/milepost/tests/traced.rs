//! What a traced store tells, and what it never does.

use std::sync::{Arc, Mutex, PoisonError};

use milepost::{
    MemoryStore, NewProcess, Pipeline, StatusStore, StoreError, StoreErrorKind, Traced, Tracker,
};
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt::format::FmtSpan;

mod common;
#[path = "common/written.rs"]
mod written;

use common::{MARK, work};
use written::Written;

/// The lines that are logged from `level` on while this is done, spans at their end.
///
/// One after another: where a line of code comes by first in a thread without a subscriber, `tracing` takes it that
/// nobody is interested.
fn logged(level: LevelFilter, work: impl FnOnce()) -> String {
    static ALONE: Mutex<()> = Mutex::new(());
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let log = Written::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(level)
        .with_span_events(FmtSpan::CLOSE)
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .finish();
    tracing::subscriber::with_default(subscriber, work);
    log.text()
}

fn assert_told(log: &str, what: &[&str]) {
    let told = |line: &str| what.iter().all(|word| line.contains(word));
    assert!(log.lines().any(told), "no line has all of {what:?}:\n{log}");
}

#[test]
fn every_call_has_a_span_and_every_change_an_event() {
    let log = logged(LevelFilter::TRACE, || {
        work(Traced::new(MemoryStore::new()), "chain").expect("it works");
    });
    for span in [
        "write",
        "read",
        "read_many",
        "list",
        "count",
        "purge",
        "wipe",
    ] {
        assert_told(&log, &["close", &format!("milepost.{span}")]);
    }
    assert_told(
        &log,
        &[
            "milepost.write{ops=1}",
            "INFO",
            "changed",
            "change=\"create\"",
            "status=\"ongoing\"",
        ],
    );
    assert_told(
        &log,
        &[
            "DEBUG",
            "changed",
            "change=\"start\"",
            "run=1",
            "module=1",
            "attempt=1",
        ],
    );
    assert_told(&log, &["TRACE", "changed", "change=\"progress\""]);
    assert_told(
        &log,
        &[
            "DEBUG",
            "changed",
            "change=\"complete\"",
            "attempt=2",
            "status=\"ongoing\"",
        ],
    );
    assert_told(&log, &["TRACE", "nothing to change", "change=\"complete\""]);
    assert_told(
        &log,
        &[
            "DEBUG",
            "rejected",
            "change=\"claim\"",
            "rejection=\"held\"",
        ],
    );
    assert_told(
        &log,
        &["INFO", "changed", "change=\"skip\"", "status=\"complete\""],
    );
    assert_told(
        &log,
        &["INFO", "changed", "change=\"fail\"", "status=\"failed\""],
    );
    assert_told(&log, &["INFO", "changed", "change=\"rerun\"", "run=2"]);
    assert_told(
        &log,
        &[
            "INFO",
            "changed",
            "change=\"cancel\"",
            "status=\"cancelled\"",
        ],
    );
    assert_told(&log, &["INFO", "changed", "change=\"erase\""]);
    assert_told(&log, &["milepost.list", "found=1"]);
    assert_told(&log, &["milepost.purge", "erased=0"]);
    assert_told(
        &log,
        &["milepost.wipe", "level=\"files\"", "outcome=\"done\""],
    );
}

#[test]
fn no_text_of_the_host_is_told_and_no_id_unless_asked_for() {
    let mut ids = Vec::new();
    let log = logged(LevelFilter::TRACE, || {
        ids = work(Traced::new(MemoryStore::new()), "chain").expect("it works");
    });
    assert!(!log.contains(MARK) && !log.contains("chain"), "{log}");
    assert!(ids.iter().all(|id| !log.contains(&id.to_string())), "{log}");

    let log = logged(LevelFilter::TRACE, || {
        let traced = Traced::new(MemoryStore::new()).with_request_ids();
        ids = work(traced, "chain").expect("it works");
    });
    assert!(!log.contains(MARK) && !log.contains("chain"), "{log}");
    for id in ids {
        assert_told(
            &log,
            &["changed", "change=\"create\"", &format!("request_id={id}")],
        );
    }
}

#[test]
fn at_info_there_is_a_line_for_what_becomes_of_a_process_and_no_more() {
    let log = logged(LevelFilter::INFO, || {
        let tracker = Tracker::new(Traced::new(MemoryStore::new()));
        let pipeline = Pipeline::new("chain", ["first", "second"]).expect("it is valid");
        let process = tracker
            .begin(NewProcess::new(&pipeline))
            .expect("it begins");
        for module in process.modules() {
            module.start().expect("it starts");
            module.complete().expect("it completes");
        }
        tracker.get(process.request_id()).expect("it is there");
    });
    let told = log.lines().collect::<Vec<_>>();
    assert_eq!(told.len(), 2, "{log}");
    assert!(
        told[0].contains("create") && told[1].contains("complete"),
        "{log}"
    );
}

/// A store that is in trouble.
#[derive(Debug)]
struct Troubled(StoreErrorKind);

macro_rules! troubled {
    ($($call:ident($($argument:ident: $type:ty),*) -> $answer:ty;)*) => {
        impl StatusStore for Troubled {$(
            fn $call(&self, $($argument: $type),*) -> Result<$answer, StoreError> {
                Err(StoreError::new(self.0, format!("{MARK}.db is in trouble")))
            }
        )*}
    };
}

troubled! {
    write(_ops: &[milepost::Op]) -> Vec<milepost::Verdict>;
    read(_id: milepost::RequestId) -> Option<Arc<milepost::Process>>;
    list(_listing: &milepost::Listing) -> milepost::Found;
    count(_filter: &milepost::Filter) -> milepost::Counts;
    purge(_by: milepost::chrono::DateTime<milepost::chrono::Utc>, _limit: usize) -> usize;
    wipe(_level: milepost::WipeLevel) -> milepost::Wipe;
}

#[test]
fn trouble_of_the_store_is_told_by_its_kind_and_without_its_cause() {
    for (kind, level, message) in [
        (StoreErrorKind::Busy, "WARN", "in trouble"),
        (StoreErrorKind::Corrupt, "ERROR", "failed"),
    ] {
        let log = logged(LevelFilter::TRACE, || {
            let tracker = Tracker::new(Traced::new(Troubled(kind)));
            tracker.purge().expect_err("the store is in trouble");
        });
        let kind = format!("kind=\"{}\"", kind.name());
        assert_told(&log, &[level, "milepost.purge", message, &kind]);
        assert!(!log.contains(MARK), "{log}");
    }
}
