//! Processes from JSON lines.

use std::error::Error;
use std::io::{self, BufReader, Read};
use std::time::Duration;

use milepost::{
    Conflict, Export, Failure, Import, ImportError, Imported, ManualClock, MemoryStore, NewProcess,
    Pipeline, Process, Progress, Query, Rejection, RequestId, SqliteStore, Tracker,
    chrono::DateTime,
};

fn pipeline() -> Pipeline {
    Pipeline::new("invoice-ocr", ["ocr", "parser"]).expect("it is valid")
}

/// Processes in each state, with histories, claims and texts that JSON escapes.
fn fill(tracker: &Tracker, processes: usize) -> Vec<RequestId> {
    let work = |number: usize| {
        let name = format!("invoice \u{1f4c4} \"{number}\"\\.pdf");
        let new = NewProcess::new(&pipeline()).file_name(&name);
        let process = tracker.begin(new.tag("number", &number.to_string()));
        let process = process.expect("it begins");
        let module = process.module(1).expect("it has two");
        match number % 5 {
            0 => drop(module.start().expect("it starts")),
            1 => {
                let progress = Progress::of(3, 10).message("line\nline\u{2028}\t");
                module.progress(progress).expect("it reports");
                let failure = Failure::new("Slow", "it took \u{7f}too long");
                module.retry(failure).expect("it runs");
            }
            2 => drop(module.fail(Failure::new("Bad", "")).expect("it fails")),
            3 => drop(process.cancel("no longer wanted").expect("it is ongoing")),
            _ => {
                let claimed = tracker.claim(process.request_id(), "anna", Duration::from_mins(5));
                claimed.expect("nobody holds it");
            }
        }
        process.request_id()
    };
    (0..processes).map(work).collect()
}

fn lines(tracker: &Tracker) -> Vec<u8> {
    let mut lines = Vec::new();
    let query = Query::new().oldest_first();
    tracker.export(&query, &mut lines).expect("it exports");
    lines
}

/// Imports where nothing is to be refused.
fn import(tracker: &Tracker, reader: impl io::BufRead) -> Result<Imported, ImportError> {
    tracker.import(reader, |id, why| panic!("{id} is refused: {why}"))
}

fn counts(imported: Imported) -> (u64, u64, u64) {
    (imported.new, imported.present, imported.refused)
}

#[test]
fn what_was_exported_is_there_as_it_was_in_any_store_and_importing_again_changes_nothing() {
    let from = Tracker::new(MemoryStore::new());
    let ids = fill(&from, 1234);
    let exported = lines(&from);
    let directory = tempfile::tempdir().expect("there is room");
    let sqlite = SqliteStore::open(directory.path().join("status.db")).expect("it opens");
    for to in [Tracker::new(sqlite), Tracker::new(MemoryStore::new())] {
        let imported = import(&to, &*exported).expect("it imports");
        assert_eq!(counts(imported), (1234, 0, 0));
        let imported = import(&to, BufReader::with_capacity(7, &*exported));
        assert_eq!(counts(imported.expect("it imports")), (0, 1234, 0));
        for id in &ids {
            assert_eq!(
                to.get(*id).expect("it is there"),
                from.get(*id).expect("it is there")
            );
        }
        assert_eq!(lines(&to), exported);
    }
}

#[test]
fn what_cannot_be_imported_is_told_and_the_rest_is_imported() {
    let clock = ManualClock::new(DateTime::UNIX_EPOCH);
    let from = Tracker::with_clock(MemoryStore::new(), clock.clone());
    let ids = fill(&from, 10);
    let expiring = NewProcess::new(&pipeline()).expires_in(Duration::from_mins(1));
    let expiring = from.begin(expiring).expect("it begins").request_id();
    let exported = lines(&from);
    from.cancel(ids[0], "").expect("it is ongoing");
    from.erase(ids[1]).expect("it is there");
    from.begin(NewProcess::new(&pipeline()).request_id(ids[1]))
        .expect("nobody goes by the id");
    clock.advance(Duration::from_mins(1));

    let to = Tracker::with_clock(MemoryStore::new(), clock.clone());
    let mut refused = Vec::new();
    let imported = to.import(&*lines(&from), |id, _| refused.push(id));
    assert_eq!(counts(imported.expect("it imports")), (10, 0, 0));
    let imported = to.import(&*exported, |id, why| match why {
        Rejection::AlreadyExists {
            conflict: Conflict::Process,
        } => assert_eq!(id, ids[1]),
        other => {
            assert_eq!(id, expiring);
            assert!(other.to_string().contains("expired"), "{other}");
        }
    });
    // The one that was cancelled meanwhile is further on here than in its line.
    assert_eq!(counts(imported.expect("it imports")), (0, 9, 2));
    assert_eq!(lines(&to), lines(&from));
}

#[test]
fn a_line_that_is_no_record_is_named_and_what_stands_before_it_is_imported() {
    let from = Tracker::new(MemoryStore::new());
    fill(&from, 3);
    let exported = String::from_utf8(lines(&from)).expect("it is text");
    let good = exported.lines().collect::<Vec<_>>();
    let cut = &good[2][..good[2].len() / 2];
    let unlawful = good[2].replace("\"revision\":2", "\"revision\":0");
    assert_ne!(unlawful, good[2]);
    for bad in [cut, &unlawful, "null", "{}", "\u{feff}", "[[[["] {
        let to = Tracker::new(MemoryStore::new());
        let text = format!("\n{}\n  \n{}\r\n{bad}\n{}\n", good[0], good[1], good[2]);
        match import(&to, text.as_bytes()) {
            Err(error @ ImportError::Line { line: 5, .. }) => {
                assert!(error.to_string().contains("line 5"), "{error}");
                assert!(error.source().is_some());
            }
            other => panic!("{bad}: {other:?}"),
        }
        assert_eq!(to.count(&Query::new()).expect("it counts").total(), 2);
        // Without a line feed at the end, and once the line is mended.
        let mended = import(&to, exported.trim_end().as_bytes()).expect("it imports");
        assert_eq!(counts(mended), (1, 2, 0));
    }
}

#[test]
fn a_line_without_an_end_takes_no_more_memory_than_a_record_can() {
    let to = Tracker::new(MemoryStore::new());
    let endless = BufReader::new(io::repeat(b'x'));
    match import(&to, endless) {
        Err(error @ ImportError::TooLong { line: 1 }) => {
            assert!(error.to_string().contains("take it out"), "{error}");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_longest_record_there_can_be_is_imported() {
    let from = Tracker::new(MemoryStore::new());
    let new = NewProcess::new(&pipeline()).file_description(&"\u{1}".repeat(4096));
    let new = (0..50).fold(new, |new, tag| {
        new.tag(&tag.to_string(), &"\u{1}".repeat(4096))
    });
    let process = from.begin(new).expect("it begins");
    let exported = lines(&from);
    assert!(exported.len() > 1024 * 1024, "{}", exported.len());
    let to = Tracker::new(MemoryStore::new());
    import(&to, &*exported).expect("it imports");
    let id = process.request_id();
    assert_eq!(
        to.get(id).expect("it is there"),
        from.get(id).expect("it is there")
    );
}

/// Fails once its bytes are read.
struct Torn<'a>(&'a [u8]);

impl Read for Torn<'_> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        match self.0.read(to)? {
            0 => Err(io::ErrorKind::ConnectionReset.into()),
            read => Ok(read),
        }
    }
}

#[test]
fn a_reader_that_fails_says_so_and_what_was_read_is_imported() {
    let from = Tracker::new(MemoryStore::new());
    fill(&from, 700);
    let exported = lines(&from);
    let to = Tracker::new(MemoryStore::new());
    let torn = Torn(&exported[..exported.len() - 10]);
    match import(&to, BufReader::new(torn)) {
        Err(error @ ImportError::Read { line: 700, .. }) => {
            let cause = error.source().expect("it has a cause").to_string();
            assert!(cause.contains("reset"), "{cause}");
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(to.count(&Query::new()).expect("it counts").total(), 699);
    let process = serde_json::from_slice::<Process>(
        exported
            .split(|byte| *byte == b'\n')
            .next()
            .expect("a line"),
    );
    assert!(
        to.get(process.expect("it is a record").request_id())
            .is_ok()
    );
}
