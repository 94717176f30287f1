//! Processes as JSON lines.

use std::error::Error;
use std::io::{self, Write};
use std::time::Duration;

use milepost::{
    Export, ExportError, ManualClock, MemoryStore, NewProcess, Pipeline, Process, Progress, Query,
    RequestId, Tracker, chrono::DateTime,
};

fn begin(tracker: &Tracker, processes: usize) -> Vec<RequestId> {
    let pipeline = Pipeline::new("invoice-ocr", ["ocr", "parser"]).expect("it is valid");
    let new =
        |number| NewProcess::new(&pipeline).file_name(&format!("invoice \u{1f4c4} {number}.pdf"));
    let begin = |number| tracker.begin(new(number)).expect("it begins").request_id();
    (0..processes).map(begin).collect()
}

fn lines(bytes: &[u8]) -> Vec<Process> {
    let text = std::str::from_utf8(bytes).expect("it is text");
    assert!(text.is_empty() || text.ends_with('\n'));
    text.lines()
        .map(|line| serde_json::from_str(line).expect("it is a record"))
        .collect()
}

#[test]
fn each_process_is_a_line_that_is_its_whole_record() {
    let tracker = Tracker::new(MemoryStore::new());
    let ids = begin(&tracker, 250);
    let process = tracker.process(ids[7]).expect("it is there");
    let module = process.module(1).expect("it has two");
    module
        .progress(Progress::of(3, 10).message("a \"word\"\nfor people"))
        .expect("it reports");
    process.cancel("no longer\twanted").expect("it is ongoing");

    for page in [1, 7, 100, 1000] {
        let mut bytes = Vec::new();
        let query = Query::new().oldest_first().limit(page);
        assert_eq!(tracker.export(&query, &mut bytes).expect("it exports"), 250);
        let exported = lines(&bytes);
        let stored = ids.iter().map(|id| tracker.get(*id).expect("it is there"));
        assert!(
            exported
                .iter()
                .zip(stored)
                .all(|(line, stored)| *line == *stored)
        );
        assert_eq!(exported.len(), ids.len());
    }
}

#[test]
fn only_what_is_asked_for_and_not_expired_is_exported() {
    let clock = ManualClock::new(DateTime::UNIX_EPOCH);
    let tracker = Tracker::with_clock(MemoryStore::new(), clock.clone());
    let ids = begin(&tracker, 3);
    tracker.cancel(ids[1], "").expect("it is ongoing");
    let other = Pipeline::new("another", ["step"]).expect("it is valid");
    let short = NewProcess::new(&other).expires_in(Duration::from_secs(1));
    tracker.begin(short).expect("it begins");
    clock.advance(Duration::from_secs(1));

    let mut bytes = Vec::new();
    let exported = tracker.export(&Query::new().pipeline("another"), &mut bytes);
    assert_eq!((exported.expect("it exports"), bytes.len()), (0, 0));
    let ongoing = Query::new().status(milepost::OverallStatus::Ongoing);
    tracker.export(&ongoing, &mut bytes).expect("it exports");
    let found = lines(&bytes)
        .iter()
        .map(Process::request_id)
        .collect::<Vec<_>>();
    assert!(found.len() == 2 && !found.contains(&ids[1]), "{found:?}");
}

/// Takes so many bytes, and then no more.
#[derive(Debug)]
struct Small(usize);

impl Write for Small {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = bytes.len().min(self.0);
        self.0 -= taken;
        if taken == 0 && !bytes.is_empty() {
            return Err(io::ErrorKind::StorageFull.into());
        }
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_writer_that_fails_says_why() {
    let tracker = Tracker::new(MemoryStore::new());
    begin(&tracker, 10);
    match tracker.export(&Query::new(), Small(1000)) {
        Err(error @ ExportError::Write(_)) => {
            let cause = error.source().expect("it has a cause").to_string();
            assert!(cause.contains("storage"), "{cause}");
        }
        other => panic!("{other:?}"),
    }
    let invalid = tracker.export(&Query::new().limit(0), io::sink());
    assert!(matches!(invalid, Err(ExportError::Track(_))), "{invalid:?}");
}
