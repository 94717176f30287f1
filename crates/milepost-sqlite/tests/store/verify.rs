//! What is planted in a file of the store is found, in whatever encoding and wherever; and nothing else is.

use std::error::Error;
use std::fs;
use std::path::Path;

use milepost_core::{NewProcess, StoreErrorKind, Tracker};
use milepost_sqlite::{Encoding, Mark, PagePart, SqliteStore, Trace, Traces, verify_erased};
use uuid::Uuid;

use crate::common::{Place, begin, foreign_connection, pipeline, root_page};

const ID: Uuid = Uuid::from_u128(0x018f_6f2e_8c3a_7abc_8def_0123_4567_89ab);
pub(crate) const TEXT: &str = "Vertrag-4711.pdf";
pub(crate) const BYTES: [u8; 5] = [0x89, 0x50, 0x4e, 0x47, 0x0d];

pub(crate) fn marks() -> [Mark; 3] {
    [Mark::id(ID), Mark::text(TEXT), Mark::bytes(BYTES)]
}

#[test]
fn an_encoding_is_told_in_a_word() {
    let told = copies()
        .into_iter()
        .map(|(_, encoding, _)| encoding.to_string());
    let told = told.collect::<std::collections::BTreeSet<_>>();
    let expected = ["UTF-16", "base64", "folded case", "hex", "plain", "text"];
    assert!(told.iter().eq(expected), "{told:?}");
}

pub(crate) fn verify(path: &Path, marks: &[Mark]) -> Traces {
    verify_erased(path, marks).expect("it is looked through")
}

/// Bytes in which nothing stands by chance that any of the marks could be.
fn noise(len: usize) -> Vec<u8> {
    (0..len)
        .map(|at| u8::try_from(at % 31).expect("below 31"))
        .collect()
}

fn planted(bytes: &[u8], at: usize, len: usize) -> Vec<u8> {
    let mut file = noise(len);
    file[at..at + bytes.len()].copy_from_slice(bytes);
    file
}

/// The copies of a mark, as other programs write them.
fn copies() -> Vec<(usize, Encoding, Vec<u8>)> {
    let text = |text: &str| text.as_bytes().to_vec();
    vec![
        (0, Encoding::Plain, ID.as_bytes().to_vec()),
        (
            0,
            Encoding::Text,
            text("018f6f2e-8c3a-7abc-8def-0123456789ab"),
        ),
        (
            0,
            Encoding::Text,
            text("018F6F2E-8C3A-7ABC-8DEF-0123456789AB"),
        ),
        (0, Encoding::Hex, text("018f6f2e8c3a7abc8def0123456789ab")),
        (0, Encoding::Hex, text("018F6F2E8C3A7ABC8DEF0123456789AB")),
        // `printf ..018f6f2e-8c3a-7abc-8def-0123456789ab | base64`.
        (
            0,
            Encoding::Base64,
            text("Li4wMThmNmYyZS04YzNhLTdhYmMtOGRlZi0wMTIzNDU2Nzg5YWI="),
        ),
        (1, Encoding::Plain, text(TEXT)),
        (1, Encoding::Folded, text("vertrag-4711.pdf")),
        (1, Encoding::Folded, text("VERTRAG-4711.PDF")),
        (1, Encoding::Hex, text("566572747261672d343731312e706466")),
        // `printf x | base64`, with nothing, one byte and two before it.
        (1, Encoding::Base64, text("VmVydHJhZy00NzExLnBkZg==")),
        (1, Encoding::Base64, text("LlZlcnRyYWctNDcxMS5wZGYu")),
        (1, Encoding::Base64, text("Li5WZXJ0cmFnLTQ3MTEucGRm")),
        (
            1,
            Encoding::Utf16,
            TEXT.encode_utf16().flat_map(u16::to_le_bytes).collect(),
        ),
        (
            1,
            Encoding::Utf16,
            TEXT.encode_utf16().flat_map(u16::to_be_bytes).collect(),
        ),
        (2, Encoding::Plain, BYTES.to_vec()),
        (2, Encoding::Hex, text("89504e470d")),
    ]
}

#[test]
fn a_mark_is_found_in_each_encoding_and_where_it_was_not_planted_nothing_is() {
    let place = Place::new();
    fs::write(place.path(), noise(10_000)).expect("it is written");
    let traces = verify(&place.path(), &marks());
    assert!(traces.is_clean(), "{traces}");
    assert_eq!(
        traces.files,
        [(place.path().canonicalize().expect("it is there"), 10_000)]
    );
    for (mark, encoding, copy) in copies() {
        fs::write(place.path(), planted(&copy, 777, 10_000)).expect("it is written");
        let traces = verify(&place.path(), &marks());
        let [
            Trace {
                mark: found,
                encoding: how,
                is_whole: true,
                ..
            },
        ] = traces.found[..]
        else {
            panic!("{encoding} of mark {mark}: {traces}");
        };
        assert_eq!((found, how), (mark, encoding));
        assert!((777..=780).contains(&traces.found[0].offset), "{traces}");
    }
}

#[test]
fn every_file_that_is_the_stores_is_looked_through_and_no_other() {
    for suffix in ["", "-wal", "-shm", "-journal", ".new-17-0", ".new-17-0-wal"] {
        let place = Place::new();
        fs::write(place.path(), noise(1_000)).expect("it is written");
        let name = format!("status.db{suffix}");
        let file = place.path().with_file_name(name).canonicalize();
        let file = file.unwrap_or_else(|_| {
            let directory = place.path().canonicalize().expect("it is there");
            directory.with_file_name(format!("status.db{suffix}"))
        });
        fs::write(&file, planted(TEXT.as_bytes(), 500, 1_000)).expect("it is written");
        let traces = verify(&place.path(), &marks());
        assert_eq!(traces.found.len(), 1, "{suffix}: {traces}");
        assert_eq!(traces.found[0].file, file);
    }
    let place = Place::new();
    fs::write(place.path(), noise(1_000)).expect("it is written");
    let neighbour = place.path().with_file_name("status.db.bak");
    fs::write(neighbour, TEXT).expect("it is written");
    assert!(verify(&place.path(), &marks()).is_clean());
}

#[test]
fn a_mark_is_found_once_wherever_it_stands_around_the_border_of_a_chunk() {
    let place = Place::new();
    let chunk = 1024 * 1024;
    for at in chunk - 50..chunk + 4 {
        fs::write(place.path(), planted(TEXT.as_bytes(), at, chunk + 100)).expect("written");
        let traces = verify(&place.path(), &marks()[1..2]);
        let offsets = traces.found.iter().map(|trace| trace.offset);
        assert_eq!(
            offsets.collect::<Vec<_>>(),
            [u64::try_from(at).expect("small")]
        );
    }
}

#[test]
fn a_mark_is_found_where_it_stands_however_far_behind_the_beginning() {
    let place = Place::new();
    let chunk = 1024 * 1024;
    let len = 3 * chunk + 100;
    // At the borders of all chunks, between them, and as the last.
    let places = [
        chunk - 8,
        chunk + 500,
        2 * chunk - 20,
        2 * chunk + 20,
        3 * chunk + 10,
        len - TEXT.len(),
    ];
    let mut file = noise(len);
    for at in places {
        file[at..at + TEXT.len()].copy_from_slice(TEXT.as_bytes());
    }
    fs::write(place.path(), file).expect("it is written");
    let traces = verify(&place.path(), &marks()[1..2]);
    let offsets = traces.found.iter().map(|trace| trace.offset);
    let expected = places.map(|at| u64::try_from(at).expect("small"));
    assert_eq!(offsets.collect::<Vec<_>>(), expected);
    assert_eq!(traces.files[0].1, u64::try_from(len).expect("small"));
}

#[test]
fn more_traces_than_are_told_are_said_to_be_more() {
    let place = Place::new();
    fs::write(place.path(), TEXT.repeat(1_000)).expect("it is written");
    let traces = verify(&place.path(), &marks());
    assert_eq!((traces.found.len(), traces.is_complete), (1_000, true));
    fs::write(place.path(), TEXT.repeat(1_001)).expect("it is written");
    let traces = verify(&place.path(), &marks());
    assert_eq!((traces.found.len(), traces.is_complete), (1_000, false));
    let told = traces.to_string();
    assert_eq!(told.lines().next(), Some("1000 traces or more in 1 file"));
    assert_eq!(told.lines().count(), 1_001);
}

/// What `cargo run --example verify` prints.
#[test]
fn a_trace_is_told_in_a_line() {
    let place = Place::new();
    let file = place.path();
    fs::write(&file, planted(TEXT.as_bytes(), 777, 10_000)).expect("it is written");
    let traces = verify(&file, &marks());
    let [trace] = &traces.found[..] else {
        panic!("not one: {traces}");
    };
    let file = file.canonicalize().expect("it is there");
    let line = format!(
        "{}: mark 1 as {}, {} bytes from byte 777, in {}",
        file.display(),
        trace.encoding,
        TEXT.len(),
        trace.part,
    );
    assert_eq!(trace.to_string(), line);
    assert_eq!(traces.to_string(), format!("1 trace in 1 file\n{line}"));
    let mut part = trace.clone();
    part.is_whole = false;
    assert!(
        part.to_string().contains(": a part of mark 1 as "),
        "{part}"
    );
}

/// A real file, with as many bytes planted in the gap of a page as a split would leave there.
#[test]
fn what_a_page_keeps_in_its_gap_is_found_and_told_from_a_row() {
    let place = Place::new();
    let tracker = Tracker::new(SqliteStore::open(place.path()).expect("it opens"));
    begin(&tracker, "in-a-row.pdf");
    drop(tracker);
    let root = root_page(&place);
    let mut bytes = fs::read(place.path()).expect("nobody has it open");
    let at = (root as usize - 1) * 4096 + 100;
    bytes[at..at + TEXT.len()].copy_from_slice(TEXT.as_bytes());
    fs::write(place.path(), bytes).expect("it is written");
    let traces = verify(
        &place.path(),
        &[Mark::text("in-a-row.pdf"), marks()[1].clone()],
    );
    let mut parts = traces
        .found
        .iter()
        .map(|trace| (trace.mark, trace.part))
        .collect::<Vec<_>>();
    parts.sort_by_key(|part| part.0);
    assert_eq!(
        parts,
        [
            (0, PagePart::Cells { page: root }),
            (1, PagePart::Gap { page: root })
        ]
    );
}

/// SQLite cuts a long row into pieces, one a page: a mark that lies across a border stands nowhere as a whole.
#[test]
fn a_mark_that_lies_across_pages_is_found_in_the_file_and_in_the_wal() {
    // The first border is that of the page with the row's beginning, the others are those of pages with the rest.
    for border in [0_usize, 1] {
        for before in 0..=TEXT.len() + 4 {
            let place = Place::new();
            let connection = foreign_connection(&place.path());
            connection
                .execute_batch("PRAGMA journal_mode = WAL; CREATE TABLE t (payload BLOB)")
                .expect("a table");
            // Of 12,004 bytes, of which 4 are the header of the row, the first page keeps 489 + (12,004 - 489) % 4,092.
            let first = 489 + (12_004 - 489) % 4_092 - 4;
            let at = first + border * 4_092 - TEXT.len() - 2 + before;
            connection
                .execute(
                    "INSERT INTO t VALUES (?1)",
                    [planted(TEXT.as_bytes(), at, 12_000)],
                )
                .expect("a row");
            let in_wal = verify_other(&place);
            connection.close().expect("it closes");
            let traces = verify(&place.path(), &marks()[1..2]);
            for traces in [traces, in_wal] {
                let found = traces
                    .found
                    .iter()
                    .map(|trace| (trace.is_whole, trace.len))
                    .collect::<Vec<_>>();
                let is_split = (3..=TEXT.len() + 1).contains(&before);
                let is_found = match found[..] {
                    [(true, _)] => !is_split,
                    [(false, len)] => is_split && len >= TEXT.len() / 2,
                    // Two halves.
                    [(false, 8), (false, 8)] => is_split,
                    _ => false,
                };
                assert!(is_found, "border {border}, {before} before: {traces}");
            }
        }
    }
}

/// Its two ends are shorter than half of it, and what is between them fills pages.
#[test]
fn a_mark_that_is_longer_than_a_page_is_found_wherever_it_is_cut() {
    let mut random = 1_u32;
    let letters = std::iter::repeat_with(|| {
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        char::from(b'a' + u8::try_from(random >> 24).expect("a byte") % 26)
    });
    let mark = letters.take(4_096).collect::<String>();
    for page_size in [512, 4_096] {
        // As it is, and twice as long.
        for written in [
            mark.clone().into_bytes(),
            mark.bytes().flat_map(|b| [b, 0]).collect(),
        ] {
            for before in [0, 1, 2, 3, 500, 2_046, 4_090, 4_091] {
                let place = Place::new();
                let connection = foreign_connection(&place.path());
                let make = format!("PRAGMA page_size = {page_size}; CREATE TABLE t (payload BLOB)");
                connection.execute_batch(&make).expect("a table");
                let row = planted(&written, before, 20_000);
                connection
                    .execute("INSERT INTO t VALUES (?1)", [row])
                    .expect("a row");
                connection.close().expect("it closes");
                let traces = verify(&place.path(), &[Mark::text(&mark)]);
                assert!(!traces.is_clean(), "{page_size}, {before}");
            }
        }
    }
}

/// Looks through a copy, because this OS process has the file itself open.
fn verify_other(place: &Place) -> Traces {
    let other = Place::new();
    for (path, content) in place.files() {
        let name = path.file_name().expect("a file has a name");
        if name == "status.db-wal" || name == "status.db" {
            fs::write(other.path().with_file_name(name), content).expect("it is copied");
        }
    }
    verify(&other.path(), &marks()[1..2])
}

#[test]
fn a_file_that_a_store_of_this_os_process_has_open_is_refused() {
    let place = Place::new();
    let one = SqliteStore::open(place.path()).expect("it opens");
    let other = SqliteStore::open(place.path()).expect("it opens again");
    let refused = || {
        let error = verify_erased(place.path(), &marks()).expect_err("it is open");
        error.kind() == StoreErrorKind::Busy
    };
    assert!(refused());
    drop(one);
    assert!(refused());
    drop(other);
    verify(&place.path(), &marks());
    // It has let go of it.
    SqliteStore::open(place.path()).expect("it opens again");
}

#[test]
fn what_cannot_be_looked_through_is_refused() {
    let place = Place::new();
    let refused = |path: &Path, marks: &[Mark], kind| {
        let error = verify_erased(path, marks).expect_err("it is refused");
        assert_eq!(error.kind(), kind, "{error}");
        error.source().map(ToString::to_string).unwrap_or_default()
    };
    let names = |why: String, path: &Path| {
        assert!(why.starts_with(&format!("{}: ", path.display())), "{why}");
    };
    let why = refused(&place.path(), &marks(), StoreErrorKind::Unavailable);
    names(why, &place.path());
    fs::write(place.path(), noise(100)).expect("it is written");
    for bad in ["", "abc", &"x".repeat(4097)] {
        let marks = [Mark::text(TEXT), Mark::text(bad)];
        refused(&place.path(), &marks, StoreErrorKind::Limit);
    }
    refused(&place.path(), &[], StoreErrorKind::Limit);
    let directory = place.path().parent().expect("it is in one").to_owned();
    let why = refused(&directory, &marks(), StoreErrorKind::Unavailable);
    names(why, &directory);
    let journal = directory.join("status.db-journal");
    fs::create_dir(&journal).expect("it is made");
    let why = refused(&place.path(), &marks(), StoreErrorKind::Unavailable);
    names(why, &journal);
}

#[cfg(unix)]
#[test]
fn no_symbolic_link_is_followed() {
    let place = Place::new();
    let link = place.path().with_file_name("link.db");
    fs::write(place.path(), noise(100)).expect("it is written");
    std::os::unix::fs::symlink(place.path(), &link).expect("a link");
    let error = verify_erased(&link, &marks()).expect_err("it is a link");
    assert_eq!(error.kind(), StoreErrorKind::Unavailable);
    let wal = place.path().with_file_name("status.db-wal");
    std::os::unix::fs::symlink(&link, wal).expect("a link");
    let error = verify_erased(place.path(), &marks()).expect_err("its WAL is a link");
    assert_eq!(error.kind(), StoreErrorKind::Unavailable);
}

#[test]
fn nothing_is_changed() {
    let place = Place::new();
    let tracker = Tracker::new(SqliteStore::open(place.path()).expect("it opens"));
    tracker
        .begin(NewProcess::new(&pipeline()).file_name(TEXT))
        .expect("it begins");
    drop(tracker);
    let before = place.files();
    assert!(!verify(&place.path(), &marks()).is_clean());
    assert_eq!(place.files(), before);
}
