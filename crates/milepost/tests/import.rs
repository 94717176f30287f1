//! Processes from JSON lines.

use std::error::Error;
use std::io::{self, BufReader, Read};
use std::sync::Arc;
use std::time::Duration;

use milepost::{
    Counts, Export, Failure, Filter, Found, Import, ImportError, Imported, Listing, ManualClock,
    MemoryStore, NewProcess, Op, Pipeline, Process, Progress, Query, RequestId, SqliteStore,
    StatusStore, StoreError, StoreErrorKind, TrackError, Tracker, Verdict, Wipe, WipeLevel,
    chrono::{DateTime, Utc},
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

/// How many are new, present, ahead and refused.
fn counts(imported: Imported) -> [u64; 4] {
    [
        imported.new,
        imported.present,
        imported.ahead,
        imported.refused,
    ]
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
        assert_eq!(counts(imported), [1234, 0, 0, 0]);
        let imported = import(&to, BufReader::with_capacity(7, &*exported));
        assert_eq!(counts(imported.expect("it imports")), [0, 1234, 0, 0]);
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

    let to = Tracker::with_clock(MemoryStore::new(), clock.clone());
    assert_eq!(
        counts(import(&to, &*exported).expect("it imports")),
        [11, 0, 0, 0]
    );
    to.cancel(ids[0], "").expect("it is ongoing");
    to.erase(ids[1]).expect("it is there");
    to.begin(NewProcess::new(&pipeline()).request_id(ids[1]))
        .expect("nobody goes by the id");
    clock.advance(Duration::from_mins(1));

    let mut refused = Vec::new();
    let imported = to.import(&*exported, |id, why| refused.push((id, why.to_string())));
    assert_eq!(counts(imported.expect("it imports")), [0, 8, 1, 2]);
    refused.sort_by(|(_, one), (_, other)| one.cmp(other));
    assert_eq!(
        refused,
        [
            (
                ids[1],
                "another process goes by this id: erase that one, or leave this one out".into()
            ),
            (expiring, "the process has expired: leave it out".to_owned()),
        ]
    );
    // Of two states of one process the first one that is imported counts.
    let twice = [lines(&from), exported].concat();
    let old = Tracker::with_clock(MemoryStore::new(), clock);
    let imported = old.import(&*twice, |id, _| assert_eq!(id, expiring));
    assert_eq!(counts(imported.expect("it imports")), [10, 10, 0, 1]);
}

/// A reader of one line at a time, and what is done before each.
struct Paused<'a, F>(std::str::Lines<'a>, F);

impl<F: FnMut()> Read for Paused<'_, F> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        self.1();
        let line = self.0.next().map(|line| format!("{line}\n"));
        line.unwrap_or_default().as_bytes().read(to)
    }
}

#[test]
fn what_expires_while_the_reader_waits_is_left_out() {
    let clock = ManualClock::new(DateTime::UNIX_EPOCH);
    let from = Tracker::with_clock(MemoryStore::new(), clock.clone());
    let expiring = NewProcess::new(&pipeline()).expires_in(Duration::from_secs(1));
    from.begin(expiring).expect("it begins");
    fill(&from, 1);
    let exported = String::from_utf8(lines(&from)).expect("it is text");
    let to = Tracker::with_clock(MemoryStore::new(), clock.clone());
    let paused = Paused(exported.lines(), || {
        clock.advance(Duration::from_millis(400));
    });
    let mut refused = 0;
    let imported = to.import(BufReader::new(paused), |_, _| refused += 1);
    assert_eq!(counts(imported.expect("it imports")), [1, 0, 0, 1]);
    assert_eq!(refused, 1);
}

#[test]
fn records_as_large_as_they_can_be_come_in_batches_that_every_store_takes() {
    let from = Tracker::new(MemoryStore::new());
    for number in 0..70 {
        // The first takes six bytes of JSON for each of its own.
        let text = if number == 0 { "\u{1}" } else { "x" }.repeat(4096);
        let new = NewProcess::new(&pipeline()).file_name(&number.to_string());
        // 61 times 4 KiB, and the fixed part of a record.
        let new = (0..61).fold(new, |new, tag| new.tag(&tag.to_string(), &text));
        from.begin(new).expect("it begins");
    }
    let exported = lines(&from);
    let longest = exported.split(|byte| *byte == b'\n').map(<[u8]>::len).max();
    assert!(longest > Some(1_490_000), "{longest:?}");
    let directory = tempfile::tempdir().expect("there is room");
    let sqlite = SqliteStore::open(directory.path().join("status.db")).expect("it opens");
    let to = Tracker::new(sqlite);
    assert_eq!(
        counts(import(&to, &*exported).expect("it imports")),
        [70, 0, 0, 0]
    );
    assert_eq!(lines(&to), exported);
}

/// A store of which one row is damaged, or which has no room for it.
#[derive(Debug)]
struct Damaged {
    store: MemoryStore,
    id: RequestId,
    kind: StoreErrorKind,
}

impl StatusStore for Damaged {
    fn write(&self, ops: &[Op]) -> Result<Vec<Verdict>, StoreError> {
        assert!(!ops.is_empty(), "there is nothing to write");
        if ops.iter().any(|op| op.id == self.id) {
            return Err(StoreError::new(self.kind, "this row"));
        }
        self.store.write(ops)
    }

    fn read(&self, id: RequestId) -> Result<Option<Arc<Process>>, StoreError> {
        self.store.read(id)
    }

    fn list(&self, listing: &Listing) -> Result<Found, StoreError> {
        self.store.list(listing)
    }

    fn count(&self, filter: &Filter) -> Result<Counts, StoreError> {
        self.store.count(filter)
    }

    fn purge(&self, expired_by: DateTime<Utc>, limit: usize) -> Result<usize, StoreError> {
        self.store.purge(expired_by, limit)
    }

    fn wipe(&self, level: WipeLevel) -> Result<Wipe, StoreError> {
        self.store.wipe(level)
    }
}

#[test]
fn one_that_is_damaged_in_the_store_keeps_no_other_back_and_a_full_store_ends_the_import() {
    let from = Tracker::new(MemoryStore::new());
    let ids = fill(&from, 500);
    let exported = lines(&from);
    let to = |kind| {
        let (store, id) = (MemoryStore::new(), ids[17]);
        Tracker::new(Damaged { store, id, kind })
    };
    let damaged = to(StoreErrorKind::Corrupt);
    let mut refused = Vec::new();
    let imported = damaged.import(&*exported, |id, why| {
        assert!(why.to_string().contains("damaged"), "{why}");
        refused.push(id);
    });
    assert_eq!(counts(imported.expect("it imports")), [499, 0, 0, 1]);
    assert_eq!(refused, [ids[17]]);

    let full = to(StoreErrorKind::Full);
    match import(&full, &*exported) {
        Err(ImportError::Track(TrackError::Store(error))) => {
            assert_eq!(error.kind(), StoreErrorKind::Full);
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(full.count(&Query::new()).expect("it counts").total(), 0);
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
        assert_eq!(counts(mended), [1, 2, 0, 0]);
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
