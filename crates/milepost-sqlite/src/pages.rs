//! The pages of a database or a WAL, as SQLite documents them in "Database File Format": enough to say what is where.

use std::fmt;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::ops::Range;

/// What of a file holds a trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PagePart {
    /// Among the cells of a b-tree page: in a row, in an entry of an index, or in what one has left.
    Cells {
        /// The page, counted from 1.
        page: u32,
    },
    /// In the gap between a b-tree page's header and its cells, which nobody reads.
    Gap {
        /// The page, counted from 1.
        page: u32,
    },
    /// In a page that is no b-tree's: the rest of a long row, or free.
    Other {
        /// The page, counted from 1.
        page: u32,
    },
    /// Not in a page.
    Outside,
}

impl fmt::Display for PagePart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PagePart::Cells { page } => write!(f, "the cells of page {page}"),
            PagePart::Gap { page } => write!(f, "the gap of page {page}"),
            PagePart::Other { page } => write!(f, "page {page}, which is no b-tree's"),
            PagePart::Outside => write!(f, "no page"),
        }
    }
}

/// Where in a file the pages are.
pub(crate) struct Pages {
    /// 0: there are none.
    size: usize,
    first: u64,
    /// What stands before each page.
    header: u64,
    /// How many pages the database has, at most.
    count: u32,
}

/// What a WAL begins with, and each page in it.
const WAL_HEADER: u64 = 32;
const FRAME_HEADER: u64 = 24;
/// What the first page begins with.
const DATABASE_HEADER: usize = 100;

impl Pages {
    /// As the file's own header has it; none if it is neither.
    pub(crate) fn of(file: &mut File) -> io::Result<Self> {
        let mut header = [0; DATABASE_HEADER];
        let mut read = 0;
        while let more @ 1.. = file.read(&mut header[read..])? {
            read += more;
        }
        let is_wal = header[..4] == *b"\x37\x7f\x06\x82" || header[..4] == *b"\x37\x7f\x06\x83";
        let (size, first, before) = if header.starts_with(b"SQLite format 3\0") {
            let size = match u16::from_be_bytes([header[16], header[17]]) {
                1 => 65_536,
                size => u32::from(size),
            };
            (size, 0, 0)
        } else if is_wal {
            let size = u32::from_be_bytes([header[8], header[9], header[10], header[11]]);
            (size, WAL_HEADER, FRAME_HEADER)
        } else {
            (0, 0, 0)
        };
        let is_valid = size.is_power_of_two() && (512..=65_536).contains(&size);
        let size = if is_valid { size } else { 0 };
        let len = file.metadata()?.len();
        // A page number in a WAL may be that of any page, so of it only what is far too large is told apart.
        let count = match (size, is_wal) {
            (0, _) => 0,
            (_, true) => u32::MAX >> 8,
            (size, false) => u32::try_from(len / u64::from(size)).unwrap_or(u32::MAX),
        };
        Ok(Pages {
            size: usize::try_from(size).expect("a page is small"),
            first,
            header: before,
            count,
        })
    }

    pub(crate) fn size(&self) -> usize {
        self.size
    }

    /// Whether a row may go on on this page.
    pub(crate) fn has(&self, number: u32) -> bool {
        (2..=self.count).contains(&number)
    }

    /// The page around a byte.
    pub(crate) fn around(&self, offset: u64) -> Option<Range<u64>> {
        let size = u64::try_from(self.size).expect("a page is small");
        if size == 0 {
            return None;
        }
        let index = offset.checked_sub(self.first)? / (self.header + size);
        let start = self.first + index * (self.header + size) + self.header;
        (start..start + size)
            .contains(&offset)
            .then_some(start..start + size)
    }

    /// What is at a byte.
    pub(crate) fn part(&self, file: &mut File, offset: u64) -> io::Result<PagePart> {
        let Some(range) = self.around(offset) else {
            return Ok(PagePart::Outside);
        };
        let mut page = vec![0; self.size];
        let number = if self.header == 0 {
            u32::try_from(range.start / (range.end - range.start) + 1).unwrap_or(u32::MAX)
        } else {
            let mut number = [0; 4];
            file.seek(SeekFrom::Start(range.start - self.header))?;
            file.read_exact(&mut number)?;
            u32::from_be_bytes(number)
        };
        file.seek(SeekFrom::Start(range.start))?;
        match file.read_exact(&mut page) {
            Ok(()) => {}
            // Cut off, before or meanwhile.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                return Ok(PagePart::Other { page: number });
            }
            Err(error) => return Err(error),
        }
        let at = usize::try_from(offset - range.start).expect("within a page");
        Ok(part_in(&page, number, at))
    }
}

/// What is at a byte of a page.
fn part_in(page: &[u8], number: u32, at: usize) -> PagePart {
    let header = if number == 1 { DATABASE_HEADER } else { 0 };
    let short = |at: usize| usize::from(u16::from_be_bytes([page[at], page[at + 1]]));
    let pointers = match page[header] {
        2 | 5 => header + 12,
        10 | 13 => header + 8,
        _ => return PagePart::Other { page: number },
    };
    let gap = pointers + 2 * short(header + 3);
    // Zero means 65,536, which no smaller page has.
    let cells = match short(header + 5) {
        0 => page.len(),
        cells => cells,
    };
    if (gap..cells).contains(&at) {
        PagePart::Gap { page: number }
    } else {
        PagePart::Cells { page: number }
    }
}
