//! Leases, reaping and keys between OS processes that share one SQLite file.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use milepost::{
    AttemptEnd, NewProcess, OverallStatus, Pipeline, Query, ReapPolicy, Rejection, SqliteStore,
    TrackError, Tracker,
};

fn rival(task: &str, file: &Path, argument: &str) -> Child {
    Command::new(env!("CARGO_BIN_EXE_rival"))
        .arg(task)
        .arg(file)
        .arg(argument)
        .stdout(Stdio::piped())
        .spawn()
        .expect("the rival starts")
}

fn lines(rival: Child) -> Vec<String> {
    let output = rival.wait_with_output().expect("the rival ends");
    assert!(output.status.success(), "a rival failed");
    let text = String::from_utf8(output.stdout).expect("lines of text");
    text.lines().map(str::to_owned).collect()
}

#[test]
fn a_worker_that_is_killed_leaves_its_process_to_a_successor() {
    let directory = tempfile::tempdir().expect("there is room for a directory");
    let file = directory.path().join("status.db");
    let tracker = Tracker::new(SqliteStore::open(&file).expect("it opens"));
    let pipeline = Pipeline::new("orphaned", ["a", "b"]).expect("a pipeline");
    let process = tracker
        .begin(NewProcess::new(&pipeline))
        .expect("it begins");
    let id = process.request_id();

    let mut holder = rival("hold", &file, &id.to_string());
    let mut line = String::new();
    BufReader::new(holder.stdout.take().expect("a pipe"))
        .read_line(&mut line)
        .expect("the holder says that it holds");
    let token = line.trim().strip_prefix("holding ").expect("a token");
    let token = token.parse::<u64>().expect("a number");
    // Held, however long it takes: the holder renews.
    let held = tracker.claim(id, "successor", Duration::from_mins(1));
    assert!(
        matches!(held, Err(TrackError::Rejected(Rejection::Held { .. }))),
        "{held:?}"
    );
    holder.kill().expect("SIGKILL");
    holder.wait().expect("it is dead");

    let stalled = Query::new().stalled();
    while tracker.count(&stalled).expect("a count").stalled == 0 {
        thread::sleep(Duration::from_millis(20));
    }
    let reaped = tracker.reap(ReapPolicy::retry(2)).expect("it reaps");
    assert_eq!((reaped.freed, reaped.total()), (1, 1));
    let lease = tracker
        .claim(id, "successor", Duration::from_mins(1))
        .expect("it is free");
    assert!(lease.token() > token);
    for module in lease.modules() {
        module.start().expect("it starts");
        module.complete().expect("it completes");
    }
    let process = tracker.get(id).expect("it is there");
    assert_eq!(process.status(), OverallStatus::Complete);
    let tried = process.modules()[0].attempts();
    assert_eq!(tried.len(), 1);
    assert!(matches!(
        tried[0].end(),
        AttemptEnd::Retried(failure) if failure.message() == "holder let its lease run out"
    ));
}

#[test]
fn eight_os_processes_that_claim_and_reap_lose_and_double_nothing() {
    const PROCESSES: usize = 24;
    let directory = tempfile::tempdir().expect("there is room for a directory");
    let file = directory.path().join("status.db");
    let tracker = Tracker::new(SqliteStore::open(&file).expect("it opens"));
    let pipeline = Pipeline::new("contended", ["a", "b", "c"]).expect("a pipeline");
    for _ in 0..PROCESSES {
        tracker
            .begin(NewProcess::new(&pipeline))
            .expect("it begins");
    }

    let rivals = (0..8)
        .map(|seed| rival("contend", &file, &seed.to_string()))
        .collect::<Vec<_>>();
    let mut acknowledged = BTreeMap::<String, Vec<u64>>::new();
    let mut reaped = 0;
    for line in rivals.into_iter().flat_map(lines) {
        match line.split_once(' ') {
            Some((id, revision)) => acknowledged
                .entry(id.to_owned())
                .or_default()
                .push(revision.parse().expect("a number")),
            None => reaped += 1,
        }
    }

    let processes = tracker
        .list(&Query::new().limit(1_000))
        .expect("a page")
        .items;
    assert_eq!(processes.len(), PROCESSES);
    let mut unseen = 0;
    for process in processes {
        assert_eq!(process.status(), OverallStatus::Complete);
        let mut revisions = acknowledged
            .remove(&process.request_id().to_string())
            .expect("it was worked on");
        let made = revisions.len();
        revisions.sort_unstable();
        revisions.dedup();
        assert_eq!(revisions.len(), made, "two changes report one revision");
        // What nobody acknowledged was made by reaping.
        unseen += process.revision() - 1 - made as u64;
    }
    assert!(reaped > 0, "nothing stalled");
    assert_eq!(unseen, reaped, "left are changes, right processes reaped");
}

#[test]
fn one_key_from_eight_os_processes_begins_one_process() {
    let directory = tempfile::tempdir().expect("there is room for a directory");
    let file = directory.path().join("status.db");
    for key in ["upload 1", "upload 2", "upload 3"] {
        let rivals = (0..8)
            .map(|_| rival("submit", &file, key))
            .collect::<Vec<_>>();
        let said = rivals.into_iter().flat_map(lines).collect::<Vec<_>>();
        let ids = said
            .iter()
            .map(|line| line.split_once(' ').expect("an id and an answer").0)
            .collect::<BTreeSet<_>>();
        assert_eq!(ids.len(), 1, "{said:?}");
        let new = said.iter().filter(|line| line.ends_with(" true")).count();
        assert_eq!(new, 1, "{said:?}");
    }
}
