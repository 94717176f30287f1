//! Threads and OS processes share one SQLite file, and nothing is lost between them.

use std::collections::BTreeMap;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use milepost::{NewProcess, OverallStatus, Pipeline, Query, SqliteStore, Tracker};

fn worker(file: &std::path::Path, seed: usize) -> Child {
    Command::new(env!("CARGO_BIN_EXE_worker"))
        .arg(file)
        .arg(seed.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the worker starts")
}

#[test]
fn every_change_that_was_acknowledged_anywhere_is_one_revision_and_none_is_missing() {
    let directory = tempfile::tempdir().expect("there is room for a directory");
    let file = directory.path().join("status.db");
    let tracker = Tracker::new(SqliteStore::open(&file).expect("it opens"));
    let pipeline = Pipeline::new("shared", ["a", "b", "c", "d", "e"])
        .expect("a pipeline")
        .parallel();
    for _ in 0..12 {
        tracker
            .begin(NewProcess::new(&pipeline))
            .expect("it begins");
    }

    let workers = (0..4).map(|seed| worker(&file, seed)).collect::<Vec<_>>();
    let mut acknowledged = BTreeMap::<String, Vec<u64>>::new();
    for worker in workers {
        let output = worker.wait_with_output().expect("the worker ends");
        assert!(output.status.success(), "a worker failed");
        for line in String::from_utf8(output.stdout)
            .expect("lines of text")
            .lines()
        {
            let (id, revision) = line.split_once(' ').expect("an id and a revision");
            let revision = revision.parse().expect("a number");
            acknowledged
                .entry(id.to_owned())
                .or_default()
                .push(revision);
        }
    }

    let processes = tracker
        .list(&Query::new().limit(1000))
        .expect("a page")
        .items;
    assert_eq!(processes.len(), 12);
    for process in processes {
        assert_eq!(process.status(), OverallStatus::Complete);
        let revisions = acknowledged
            .get_mut(&process.request_id().to_string())
            .expect("it was worked on");
        revisions.sort_unstable();
        let expected = (2..=process.revision()).collect::<Vec<_>>();
        assert_eq!(
            *revisions, expected,
            "each revision is one acknowledged change, and all are there"
        );
    }
}

#[test]
fn one_os_process_waits_for_what_another_does() {
    let directory = tempfile::tempdir().expect("there is room for a directory");
    let file = directory.path().join("status.db");
    let tracker = Tracker::new(SqliteStore::open(&file).expect("it opens"));
    let pipeline = Pipeline::new("shared", ["a", "b"]).expect("a pipeline");
    let id = tracker
        .begin(NewProcess::new(&pipeline))
        .expect("it begins")
        .request_id();
    let mut worker = worker(&file, 0);
    let settled = tracker
        .wait(id, Duration::from_mins(1))
        .expect("it settles");
    assert_eq!(settled.status(), OverallStatus::Complete);
    // Its output is drained so that it can end.
    drop(worker.stdout.take());
    worker.wait().expect("the worker ends");
}
