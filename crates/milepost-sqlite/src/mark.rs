//! What is looked for after an erasure, and what a copy of it may look like.

use std::fmt;

use milepost_core::{StoreError, StoreErrorKind};
use uuid::Uuid;

/// The shortest mark that means anything: fewer bytes stand in any file by chance.
const SHORTEST: usize = 4;
/// The longest: no text of a process is longer.
const LONGEST: usize = 4096;

/// Something that only an erased process had, and that is to be nowhere: see [`verify_erased`](crate::verify_erased).
///
/// At least 4 bytes, better 8 or more: 4 bytes stand in a file of 100 MiB by chance once in forty times. At most 4 KiB.
/// Take what no process shares that stays, for theirs is found too.
///
/// ```
/// use milepost_core::RequestId;
/// use milepost_sqlite::Mark;
///
/// let id: RequestId = "018f6f2e-8c3a-7000-8000-000000000001".parse()?;
/// let marks = [Mark::id(id), Mark::text("invoice-4711.pdf"), Mark::bytes([0x89, 0x50, 0x4e, 0x47])];
/// # assert_eq!(marks[0], Mark::text("018F6F2E-8C3A-7000-8000-000000000001"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Mark(Kind);

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Kind {
    Id(Uuid),
    Text(String),
    Bytes(Vec<u8>),
}

impl Mark {
    /// An id: of a process, of a file, or any other UUID.
    #[must_use]
    pub fn id(id: impl Into<Uuid>) -> Self {
        Mark(Kind::Id(id.into()))
    }

    /// A text: a name, a directory, a tag, a reason, a worker. That of a UUID is one.
    #[must_use]
    pub fn text(text: impl Into<String>) -> Self {
        let text = text.into();
        match Uuid::try_parse(&text) {
            Ok(id) => Mark::id(id),
            Err(_) => Mark(Kind::Text(text)),
        }
    }

    /// Any bytes.
    #[must_use]
    pub fn bytes(bytes: impl Into<Vec<u8>>) -> Self {
        Mark(Kind::Bytes(bytes.into()))
    }

    fn content(&self) -> &[u8] {
        match &self.0 {
            Kind::Id(id) => id.as_bytes(),
            Kind::Text(text) => text.as_bytes(),
            Kind::Bytes(bytes) => bytes,
        }
    }

    /// Refuses one that is too short to mean anything, or too long to be any text of a process.
    pub(crate) fn check(&self) -> Result<(), StoreError> {
        let len = self.content().len();
        if (SHORTEST..=LONGEST).contains(&len) {
            return Ok(());
        }
        let why = format!("a mark has {SHORTEST} to {LONGEST} bytes, and one has {len}");
        Err(StoreError::new(StoreErrorKind::Limit, why))
    }

    /// What to look for, each once.
    pub(crate) fn patterns(&self) -> Vec<(Encoding, Vec<u8>)> {
        let content = self.content();
        let mut patterns = vec![(Encoding::Plain, content.to_vec())];
        match &self.0 {
            Kind::Id(id) => {
                patterns.push((Encoding::Plain, id.to_bytes_le().to_vec()));
                let text = id.to_string();
                patterns.push((Encoding::Text, text.to_uppercase().into_bytes()));
                patterns.extend(base64s(text.as_bytes()));
                patterns.extend(utf16s(&text));
                patterns.push((Encoding::Text, text.into_bytes()));
            }
            Kind::Text(text) => {
                for folded in [text.to_lowercase(), text.to_uppercase()] {
                    patterns.push((Encoding::Folded, folded.into_bytes()));
                }
                patterns.extend(utf16s(text));
            }
            Kind::Bytes(_) => {}
        }
        patterns.push((Encoding::Hex, hex(content, b"0123456789abcdef")));
        patterns.push((Encoding::Hex, hex(content, b"0123456789ABCDEF")));
        patterns.extend(base64s(content));
        // Stable: of two that are alike the first stays.
        patterns.sort_by(|one, other| one.1.cmp(&other.1));
        patterns.dedup_by(|one, other| one.1 == other.1);
        patterns
    }
}

/// How a copy of a mark is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Encoding {
    /// The bytes themselves: a text in UTF-8, an id as 16 bytes, in either byte order of its first fields.
    Plain,
    /// An id as text with hyphens, in lower or upper case. Without them it is [`Hex`](Encoding::Hex).
    Text,
    /// A text in lower or upper case.
    Folded,
    /// Hexadecimal digits, in lower or upper case.
    Hex,
    /// Base64 of either alphabet, wherever in the encoded bytes the mark begins.
    Base64,
    /// UTF-16 of either byte order.
    Utf16,
}

impl fmt::Display for Encoding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Encoding::Plain => "plain",
            Encoding::Text => "text",
            Encoding::Folded => "folded case",
            Encoding::Hex => "hex",
            Encoding::Base64 => "base64",
            Encoding::Utf16 => "UTF-16",
        })
    }
}

fn hex(bytes: &[u8], digits: &[u8; 16]) -> Vec<u8> {
    let both = |byte: &u8| [byte >> 4, byte & 15].map(|digit| digits[usize::from(digit)]);
    bytes.iter().flat_map(both).collect()
}

fn utf16s(text: &str) -> [(Encoding, Vec<u8>); 2] {
    let little = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let big = text.encode_utf16().flat_map(u16::to_be_bytes).collect();
    [(Encoding::Utf16, little), (Encoding::Utf16, big)]
}

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const URL_SAFE: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// The digits that follow from the bytes alone, for each place at which they may begin among three.
fn base64s(bytes: &[u8]) -> impl Iterator<Item = (Encoding, Vec<u8>)> {
    [ALPHABET, URL_SAFE].into_iter().flat_map(move |alphabet| {
        (0..3).map(move |before| {
            let digits = base64_digits(bytes, before);
            let encoded = digits.map(|digit| alphabet[usize::from(digit)]);
            (Encoding::Base64, encoded.collect())
        })
    })
}

fn base64_digits(bytes: &[u8], before: usize) -> impl Iterator<Item = u8> {
    let (from, to) = ((before * 8).div_ceil(6), (before + bytes.len()) * 8 / 6);
    (from..to).map(move |digit| {
        let bit = digit * 6 - before * 8;
        let (byte, shift) = (bit / 8, bit % 8);
        let next = bytes.get(byte + 1).copied().unwrap_or(0);
        let both = u16::from_be_bytes([bytes[byte], next]);
        u8::try_from(both >> (10 - shift) & 63).expect("six bits are a byte")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(mark: &Mark, encoding: Encoding) -> Vec<String> {
        let patterns = mark.patterns().into_iter();
        let of = patterns.filter(|(found, _)| *found == encoding);
        let mut of = of
            .map(|(_, bytes)| String::from_utf8_lossy(&bytes).into_owned())
            .collect::<Vec<_>>();
        of.sort();
        of
    }

    #[test]
    fn base64_is_known_at_each_alignment() {
        // As coreutils' base64 writes `Mark!?`, `.Mark!?` and `..Mark!?`, less the digits that hold other bytes too.
        let mark = Mark::bytes(*b"Mark!?");
        assert_eq!(
            of(&mark, Encoding::Base64),
            ["1hcmshP", "NYXJrIT", "TWFyayE/", "TWFyayE_"]
        );
    }

    #[test]
    fn a_text_is_known_in_folded_case_in_hex_and_in_utf16() {
        let mark = Mark::text("Äpfel");
        assert_eq!(of(&mark, Encoding::Plain), ["Äpfel"]);
        assert_eq!(of(&mark, Encoding::Folded), ["ÄPFEL", "äpfel"]);
        assert_eq!(of(&mark, Encoding::Hex), ["C3847066656C", "c3847066656c"]);
        let wide = (
            Encoding::Utf16,
            vec![0xc4, 0, b'p', 0, b'f', 0, b'e', 0, b'l', 0],
        );
        assert!(mark.patterns().contains(&wide));
    }

    #[test]
    fn an_id_is_known_as_bytes_with_and_without_hyphens() {
        let mark = Mark::text("018F6F2E-8c3a-7000-8000-0000000000ff");
        assert_eq!(
            of(&mark, Encoding::Text),
            [
                "018F6F2E-8C3A-7000-8000-0000000000FF",
                "018f6f2e-8c3a-7000-8000-0000000000ff"
            ]
        );
        assert_eq!(
            of(&mark, Encoding::Hex),
            [
                "018F6F2E8C3A700080000000000000FF",
                "018f6f2e8c3a700080000000000000ff"
            ]
        );
        let starts = |bytes: &[u8]| {
            mark.patterns()
                .iter()
                .any(|pattern| pattern.1.starts_with(bytes))
        };
        assert!(starts(&[0x01, 0x8f, 0x6f, 0x2e, 0x8c, 0x3a]));
        assert!(starts(&[0x2e, 0x6f, 0x8f, 0x01, 0x3a, 0x8c]));
    }
}
