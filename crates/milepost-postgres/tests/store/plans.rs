//! How the server goes about what it is asked: by an index, in its order, and never by reading the whole table.

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use milepost_core::{
    FileId, ManualClock, NewProcess, OverallStatus, Pipeline, Query, StatusStore as _, Tracker,
};
use milepost_server::Server;

use super::{on, open};

/// More than any page of the table's, so that reading all of it would be the dearest way.
const PROCESSES: usize = 40_000;

fn time(seconds: i64) -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::days(20_000) + TimeDelta::seconds(seconds)
}

/// A server that notes how it goes about each statement, and a store on it with many processes.
fn filled(server: &Server) -> (Tracker, FileId) {
    let clock = ManualClock::new(time(0));
    let store = open(on(server));
    let tracker = Tracker::with_clock(Arc::clone(&store), clock.clone());
    let pipelines = ["ocr", "transcode", "index"]
        .map(|name| Pipeline::new(name, ["only"]).expect("a pipeline"));
    let mut file = None;
    for batch in 0..PROCESSES / 4_000 {
        let creations = (0..4_000_usize).map(|number| {
            clock.advance(Duration::from_millis(1));
            let new = NewProcess::new(&pipelines[number % 3])
                .symbolic_directory_path(&format!("/{}/{}", batch, number % 100))
                .expires_in(Duration::from_secs(3_600 * (number as u64 + 1)));
            tracker.prepare(new).expect("it may begin")
        });
        let creations = creations.collect::<Vec<_>>();
        store.write(&creations).expect("they begin");
        let done = creations
            .iter()
            .enumerate()
            .filter(|(number, _)| number % 10 != 0);
        let complete = done.map(|(_, op)| tracker.op(op.id, milepost_core::Change::complete(1)));
        store
            .write(&complete.collect::<Vec<_>>())
            .expect("they complete");
        file = file.or_else(|| {
            let process = store.read(creations[7].id).ok().flatten()?;
            Some(process.file().id())
        });
    }
    (tracker, file.expect("there is one"))
}

/// What the server has noted since `before`: each statement with its plan.
fn noted(server: &Server, before: usize) -> String {
    let log = fs::read_to_string(server.log()).expect("it has a log");
    log[before..].to_owned()
}

fn length(server: &Server) -> usize {
    usize::try_from(fs::metadata(server.log()).expect("it has a log").len()).expect("a length")
}

#[test]
fn no_list_reads_the_whole_table() {
    let server = Server::start_with(&[
        "shared_preload_libraries=auto_explain",
        "auto_explain.log_min_duration=0",
        "auto_explain.log_analyze=on",
        "auto_explain.log_timing=off",
        "log_min_messages=log",
    ]);
    let (tracker, file) = filled(&server);
    server.psql("VACUUM ANALYZE");
    let middle = time(i64::try_from(PROCESSES / 2_000).expect("small"));
    let few = middle + TimeDelta::milliseconds(200);
    let queries = [
        ("all", Query::new()),
        ("oldest", Query::new().oldest_first()),
        ("pipeline", Query::new().pipeline("ocr")),
        ("status", Query::new().status(OverallStatus::Ongoing)),
        (
            "pipeline and status",
            Query::new().pipeline("ocr").status(OverallStatus::Ongoing),
        ),
        ("created", Query::new().created(middle..few)),
        (
            "created in a pipeline",
            Query::new()
                .pipeline("index")
                .created(middle..few)
                .oldest_first(),
        ),
        ("file", Query::new().file_id(file)),
        ("directory", Query::new().directory("/3/33")),
        ("under a directory", Query::new().under_directory("/3/33")),
        ("settled", Query::new().settled(middle..few)),
        ("stalled", Query::new().stalled()),
    ];
    for (what, query) in queries {
        // The first page, and one far behind it.
        let mut next = None;
        for _ in 0..3 {
            let query = query.clone().limit(20);
            let query = match next {
                Some(next) => query.after(next),
                None => query,
            };
            let before = length(&server);
            let page = tracker.list(&query).expect("a list");
            let plans = noted(&server, before);
            assert!(plans.contains("Query Text"), "nothing was noted: {plans}");
            assert!(!plans.contains("Seq Scan"), "{what}: {plans}");
            assert!(plans.contains("Index"), "{what}: {plans}");
            next = page.next;
            if next.is_none() {
                break;
            }
        }
    }
}
