//! Traces in pages that are made by hand, as SQLite documents them in "Database File Format": where each is, to the byte.

use std::fs;
use std::path::Path;

use milepost_sqlite::PagePart;

use crate::common::Place;
use crate::verify::{BYTES, TEXT, marks, verify};

/// How many bytes each page has.
const SIZE: usize = 512;

/// What a database begins with, as far as its pages go.
fn mark_as_database(file: &mut [u8]) {
    file[..16].copy_from_slice(b"SQLite format 3\0");
    file[16..18].copy_from_slice(&u16::try_from(SIZE).expect("small").to_be_bytes());
}

/// A mark stands at the edges of each part.
#[test]
fn each_byte_of_a_page_is_said_to_be_in_the_part_that_it_is_in() {
    // How a page begins: its kind, how many cells it has, and where the first of them is.
    let header = |kind: u8, cells: u8, first: u16| {
        let [high, low] = first.to_be_bytes();
        [kind, 0, 0, 0, cells, high, low]
    };
    let page = |number: usize, header: [u8; 7]| {
        let mut page = vec![0; SIZE];
        let start = if number == 1 { 100 } else { 0 };
        page[start..start + header.len()].copy_from_slice(&header);
        page
    };
    // By page: its header, and where its gap is.
    let pages = [
        (header(13, 2, 300), Some(112..300)),
        (header(5, 3, 400), Some(18..400)),
        (header(2, 1, 60), Some(14..60)),
        (header(10, 4, 100), Some(16..100)),
        // None of those that a b-tree has.
        (header(7, 4, 100), None),
    ];
    let check = |path: &Path, start: usize, number: u32, at: usize, part: PagePart| {
        let mut bytes = fs::read(path).expect("it is there");
        bytes[start + at..start + at + BYTES.len()].copy_from_slice(&BYTES);
        fs::write(path, &bytes).expect("it is written");
        let traces = verify(path, &marks()[2..]);
        let found = traces
            .found
            .iter()
            .map(|trace| (trace.offset, trace.part))
            .collect::<Vec<_>>();
        let expected = [((start + at) as u64, part)];
        assert_eq!(found, expected, "page {number}, byte {at}: {traces}");
        bytes[start + at..start + at + BYTES.len()].fill(0);
        fs::write(path, &bytes).expect("it is written");
    };
    let place = Place::new();
    for in_wal in [false, true] {
        // In a WAL each page stands behind a header of its own, which says which page it is.
        let (mut bytes, before) = if in_wal {
            let mut header = vec![0; 32];
            header[..4].copy_from_slice(b"\x37\x7f\x06\x82");
            header[8..12].copy_from_slice(&u32::try_from(SIZE).expect("small").to_be_bytes());
            (header, 24)
        } else {
            (Vec::new(), 0)
        };
        let mut starts = Vec::new();
        for (number, (header, _)) in (1_u8..).zip(&pages) {
            let mut frame = vec![0; before];
            if in_wal {
                frame[3] = number;
            }
            bytes.extend(frame);
            starts.push(bytes.len());
            bytes.extend(page(number.into(), *header));
        }
        if !in_wal {
            mark_as_database(&mut bytes);
            // The last page is cut off.
            starts.push(bytes.len());
            bytes.extend([0; 100]);
        }
        fs::write(place.path(), &bytes).expect("it is written");
        for ((number, start), (_, gap)) in (1_u32..).zip(&starts).zip(&pages) {
            let parts = match gap {
                None => vec![(100, PagePart::Other { page: number })],
                Some(gap) => vec![
                    (gap.start - 1, PagePart::Cells { page: number }),
                    (gap.start, PagePart::Gap { page: number }),
                    (gap.end - 1, PagePart::Gap { page: number }),
                    (gap.end, PagePart::Cells { page: number }),
                    (SIZE - BYTES.len(), PagePart::Cells { page: number }),
                ],
            };
            for (at, part) in parts {
                check(&place.path(), *start, number, at, part);
            }
        }
        if in_wal {
            check(&place.path(), 5, 0, 0, PagePart::Outside);
            check(&place.path(), starts[1] - 10, 0, 0, PagePart::Outside);
        } else {
            check(&place.path(), starts[5], 6, 50, PagePart::Other { page: 6 });
        }
    }
    let told = [
        PagePart::Cells { page: 1 },
        PagePart::Gap { page: 2 },
        PagePart::Other { page: 3 },
        PagePart::Outside,
    ];
    let told = told.map(|part| part.to_string());
    let expected = [
        "the cells of page 1",
        "the gap of page 2",
        "page 3, which is no b-tree's",
        "no page",
    ];
    assert_eq!(told, expected);
}

/// Over more than two of the pieces in which a file is read: half marks at the end of a page and at the
/// beginning of what an overflow page holds, on pages around the borders of pieces.
#[test]
fn halves_of_a_mark_are_found_once_each_wherever_their_pages_lie() {
    const PAGES: usize = 4_200;
    let (begin, end) = (&TEXT.as_bytes()[..10], &TEXT.as_bytes()[7..]);
    let mut file = vec![0; PAGES * SIZE];
    mark_as_database(&mut file);
    let mut expected = Vec::new();
    let mut put = |at: usize, part: &[u8]| {
        file[at..at + part.len()].copy_from_slice(part);
        expected.push((u64::try_from(at).expect("small"), part.len(), false));
    };
    for page in [
        3, 1_000, 2_045, 2_046, 2_047, 2_048, 2_049, 4_095, 4_096, 4_199,
    ] {
        let start = page * SIZE;
        put(start + 4, end);
        put(start + SIZE - begin.len(), begin);
    }
    // These are in the middle of what a page holds, where nobody cuts.
    for page in [10_usize, 20, 30] {
        let start = page * SIZE + page;
        file[start..start + end.len()].copy_from_slice(end);
        file[start + 100..start + 100 + begin.len()].copy_from_slice(begin);
    }
    // Nor does what an overflow page holds begin with anything else and then half of the mark.
    for before in 1..7 {
        let start = (40 + before) * SIZE + 4 + before;
        file[start..start + 8].copy_from_slice(&TEXT.as_bytes()[8..]);
    }
    let place = Place::new();
    fs::write(place.path(), &file).expect("it is written");
    let traces = verify(&place.path(), &marks()[1..2]);
    let mut found = traces
        .found
        .iter()
        .map(|trace| (trace.offset, trace.len, trace.is_whole))
        .collect::<Vec<_>>();
    found.sort_unstable();
    assert_eq!(found, expected, "{traces}");
}
