//! Looking for many patterns in one walk through a file.

use std::io::{self, Read};
use std::rc::Rc;

use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};

use crate::mark::Encoding;
use crate::pages::Pages;

/// How much is read at once.
const CHUNK: usize = 1024 * 1024;
/// A pattern with fewer bytes is not looked for in halves: those would stand anywhere by chance.
const HALVED: usize = 8;
/// What the smallest page holds of a long row, less what one is known by: a page of any size has such a place in it.
const APART: usize = 512 - 4 - KNOWN_BY;
const KNOWN_BY: usize = 16;

/// What was found, and where.
pub(crate) struct Hit {
    pub(crate) mark: usize,
    pub(crate) encoding: Encoding,
    pub(crate) offset: u64,
    pub(crate) len: usize,
    pub(crate) is_whole: bool,
}

impl Hit {
    /// Whether it is of the same mark and in the same bytes.
    pub(crate) fn is_at_the_same(&self, other: &Hit) -> bool {
        (self.mark, self.offset, self.len) == (other.mark, other.offset, other.len)
    }
}

/// What is looked for.
pub(crate) struct Search {
    automaton: AhoCorasick,
    needles: Vec<Needle>,
    longest: usize,
}

/// One pattern, or a part of one.
struct Needle {
    mark: usize,
    encoding: Encoding,
    part: Part,
    /// The whole pattern, of which this may be a part.
    pattern: Rc<[u8]>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Whole,
    /// Half of it.
    First,
    Last,
    /// A few bytes from this one on, by which a page is known that holds nothing else.
    Middle(usize),
}

impl Part {
    /// What is looked for of a pattern.
    fn all(pattern: &[u8]) -> Vec<Part> {
        let mut parts = vec![Part::Whole];
        if pattern.len() >= HALVED {
            parts.extend([Part::First, Part::Last]);
        }
        let places = (APART..pattern.len().saturating_sub(KNOWN_BY)).step_by(APART);
        parts.extend(places.map(Part::Middle));
        parts
    }
}

impl Needle {
    fn bytes(&self) -> &[u8] {
        let half = self.pattern.len().div_ceil(2);
        match self.part {
            Part::Whole => &self.pattern,
            Part::First => &self.pattern[..half],
            Part::Last => &self.pattern[self.pattern.len() - half..],
            Part::Middle(at) => &self.pattern[at..at + KNOWN_BY],
        }
    }
}

impl Search {
    pub(crate) fn new(patterns: &[(usize, Encoding, Vec<u8>)]) -> Self {
        let mut needles = Vec::new();
        for (mark, encoding, pattern) in patterns {
            let pattern = Rc::from(pattern.as_slice());
            let parts = Part::all(&pattern).into_iter();
            needles.extend(parts.map(|part| Needle {
                mark: *mark,
                encoding: *encoding,
                part,
                pattern: Rc::clone(&pattern),
            }));
        }
        let automaton = AhoCorasick::builder()
            .match_kind(MatchKind::Standard)
            // A table of all transitions would take a kilobyte for each byte of the patterns.
            .kind(Some(AhoCorasickKind::ContiguousNFA))
            .build(needles.iter().map(Needle::bytes))
            .expect("a portion of marks is far below what an automaton may have");
        let longest = needles.iter().map(|needle| needle.pattern.len()).max();
        Search {
            automaton,
            needles,
            longest: longest.unwrap_or(0),
        }
    }

    /// Reads a file from where it stands, which is its beginning, to its end, and hands over what it finds; says how
    /// much it has read. Ends early once `take` wants no more.
    pub(crate) fn walk(
        &self,
        file: &mut impl Read,
        pages: &Pages,
        mut take: impl FnMut(Hit) -> bool,
    ) -> io::Result<u64> {
        // What stands at the end of a chunk is looked at again together with the next: enough for the longest pattern,
        // and for the page that is cut off there.
        let overlap = self.longest + pages.size();
        let mut buffer = vec![0; overlap + CHUNK];
        let (mut start, mut kept) = (0, 0);
        loop {
            let read = read_full(file, &mut buffer[kept..])?;
            let window = Window {
                bytes: &buffer[..kept + read],
                start,
                kept,
            };
            for found in self.automaton.find_overlapping_iter(window.bytes) {
                let needle = &self.needles[found.pattern().as_usize()];
                let span = found.start()..found.end();
                let hit = match needle.part {
                    Part::Whole => (found.end() > kept).then(|| window.hit(needle, span, true)),
                    Part::First => window.first_part(pages, needle, found.start()),
                    Part::Last => window.last_part(pages, needle, found.end()),
                    Part::Middle(at) => window.middle_part(pages, needle, (at, found.start())),
                };
                if hit.is_some_and(|hit| !take(hit)) {
                    return Ok(start + to_u64(kept + read));
                }
            }
            if kept + read < buffer.len() {
                return Ok(start + to_u64(kept + read));
            }
            buffer.copy_within(CHUNK.., 0);
            start += to_u64(CHUNK);
            kept = overlap;
        }
    }
}

/// A part of a file, of which the first `kept` bytes were looked at before.
struct Window<'b> {
    bytes: &'b [u8],
    start: u64,
    kept: usize,
}

impl Window<'_> {
    fn hit(&self, needle: &Needle, span: std::ops::Range<usize>, is_whole: bool) -> Hit {
        Hit {
            mark: needle.mark,
            encoding: needle.encoding,
            offset: self.start + to_u64(span.start),
            len: span.len(),
            is_whole,
        }
    }

    /// Half of the pattern or more, up to the end of a page or to the number of the page on which its row goes on.
    fn first_part(&self, pages: &Pages, needle: &Needle, at: usize) -> Option<Hit> {
        let end = self.page(pages, at)?.end;
        let pattern = &needle.pattern;
        let rest = &self.bytes[at..end];
        let alike = pattern
            .iter()
            .zip(rest)
            .take_while(|(one, other)| one == other)
            .count();
        let goes_on = |len: usize| {
            let next = rest.get(len..len + 4)?.try_into().ok()?;
            Some(pages.has(u32::from_be_bytes(next)))
        };
        let half = needle.bytes().len();
        let cut = (half..=alike.min(pattern.len() - 1)).rev();
        let len = cut
            .into_iter()
            .find(|len| *len == rest.len() || goes_on(*len) == Some(true))?;
        Some(self.hit(needle, at..at + len, false))
    }

    /// Half of the pattern or more, from where the content of an overflow page begins.
    fn last_part(&self, pages: &Pages, needle: &Needle, end: usize) -> Option<Hit> {
        let page = self.page(pages, end - 1)?;
        let content = page.start + 4;
        let len = end.checked_sub(content)?;
        let half = needle.bytes().len();
        let is_cut = (half..needle.pattern.len()).contains(&len)
            && needle.pattern.ends_with(&self.bytes[content..end]);
        is_cut.then(|| self.hit(needle, content..end, false))
    }

    /// As much of the pattern as an overflow page holds, around the place of it that was found.
    fn middle_part(
        &self,
        pages: &Pages,
        needle: &Needle,
        (in_pattern, at): (usize, usize),
    ) -> Option<Hit> {
        let page = self.page(pages, at)?;
        let content = page.start + 4..page.end;
        let from = in_pattern.checked_sub(at.checked_sub(content.start)?)?;
        let expected = needle.pattern.get(from..from + content.len())?;
        let is_there = self.bytes[content.clone()] == *expected;
        is_there.then(|| self.hit(needle, content, false))
    }

    /// The page around a byte, if all of it is here and was not before.
    fn page(&self, pages: &Pages, at: usize) -> Option<std::ops::Range<usize>> {
        let page = pages.around(self.start + to_u64(at))?;
        let start = usize::try_from(page.start.checked_sub(self.start)?).ok()?;
        let end = start + pages.size();
        (end > self.kept && end <= self.bytes.len()).then_some(start..end)
    }
}

/// As much as the buffer holds, or the file still has.
fn read_full(file: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut read = 0;
    while read < buffer.len() {
        match file.read(&mut buffer[read..]) {
            Ok(0) => break,
            Ok(more) => read += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(read)
}

fn to_u64(len: usize) -> u64 {
    u64::try_from(len).expect("what is in memory is counted by 64 bits")
}
