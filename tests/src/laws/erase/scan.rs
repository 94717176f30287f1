//! A second way of looking for marks, which shares nothing with the store's own: encoded here, and found by a table.

use std::collections::HashMap;
use std::fmt::Write;
use std::fs;
use std::io::{self, Read};
use std::path::Path;
use std::process::{Command, Stdio};

use super::population::Marked;

/// How many bytes tell one needle from nearly all others.
const HEAD: usize = 6;

/// What is looked for, by how it begins.
#[derive(Debug, Default)]
pub struct Needles {
    heads: HashMap<[u8; HEAD], Vec<Vec<u8>>>,
    /// Which pairs of bytes any of them begins with.
    pairs: Vec<bool>,
}

impl Needles {
    /// All that must not be found of those.
    pub fn of<'m>(all: impl IntoIterator<Item = &'m Marked>) -> Self {
        let mut needles = Needles {
            pairs: vec![false; 1 << 16],
            ..Needles::default()
        };
        for marked in all {
            needles.add_text(&marked.token);
            for id in [marked.id.to_string(), marked.file_id.to_string()] {
                let digits = id.replace('-', "");
                let number =
                    u128::from_str_radix(&digits, 16).expect("an id is 32 digits and hyphens");
                needles.add(&number.to_be_bytes());
                needles.add_base64(&number.to_be_bytes());
                needles.add_text(&digits);
                needles.add_text(&id);
            }
        }
        needles
    }

    fn add_text(&mut self, text: &str) {
        for text in [
            text.to_owned(),
            text.to_ascii_lowercase(),
            text.to_ascii_uppercase(),
        ] {
            self.add(text.as_bytes());
            self.add_base64(text.as_bytes());
            let mut hex = String::new();
            for byte in text.bytes() {
                write!(hex, "{byte:02x}").expect("a String takes all that is written to it");
            }
            self.add(hex.as_bytes());
            self.add(hex.to_ascii_uppercase().as_bytes());
            let wide = text.bytes().flat_map(|byte| [byte, 0]).collect::<Vec<_>>();
            self.add(&wide[..wide.len() - 1]);
        }
    }

    /// With nothing, one byte and two bytes before it, less the digits that hold bits of others.
    fn add_base64(&mut self, bytes: &[u8]) {
        for before in 0..3 {
            let mut padded = vec![0; before];
            padded.extend(bytes);
            let digits = base64(&padded);
            let first = [0, 2, 3][before];
            let last = padded.len() * 4 / 3;
            self.add(&digits[first..last]);
        }
    }

    fn add(&mut self, needle: &[u8]) {
        let head = needle[..HEAD]
            .try_into()
            .expect("a needle is longer than its head");
        self.pairs[pair(needle)] = true;
        let alike = self.heads.entry(head).or_default();
        if !alike.iter().any(|other| other == needle) {
            alike.push(needle.to_vec());
        }
    }

    /// Where in the bytes one of them stands.
    #[must_use]
    pub fn find(&self, bytes: &[u8]) -> Option<usize> {
        let mut at = 0;
        while at + HEAD <= bytes.len() {
            let here = &bytes[at..];
            if self.pairs[pair(here)]
                && self
                    .heads
                    .get(&here[..HEAD])
                    .is_some_and(|alike| alike.iter().any(|needle| here.starts_with(needle)))
            {
                return Some(at);
            }
            at += 1;
        }
        None
    }

    /// Where in a file one stands. `cat` reads it: this OS process may have it open in a store.
    pub fn find_in_file(&self, path: &Path) -> io::Result<Option<u64>> {
        const OVERLAP: usize = 256;
        let mut cat = Command::new("cat")
            .arg(path)
            .stdout(Stdio::piped())
            .spawn()?;
        let mut content = cat.stdout.take().expect("it is piped");
        let (mut buffer, mut start) = (Vec::new(), 0);
        let found = loop {
            let read = content
                .by_ref()
                .take(1024 * 1024)
                .read_to_end(&mut buffer)?;
            if let Some(at) = self.find(&buffer) {
                break Some(start + u64::try_from(at).expect("it fits"));
            }
            if read == 0 {
                break None;
            }
            let done = buffer.len().saturating_sub(OVERLAP);
            buffer.drain(..done);
            start += u64::try_from(done).expect("it fits");
        };
        drop(content);
        cat.wait()?;
        Ok(found)
    }

    /// Where in the files of a directory one stands.
    pub fn find_in_directory(&self, directory: &Path) -> io::Result<Option<String>> {
        for entry in fs::read_dir(directory)? {
            let path = entry?.path();
            if path.is_file()
                && let Some(at) = self.find_in_file(&path)?
            {
                return Ok(Some(format!("{} at byte {at}", path.display())));
            }
        }
        Ok(None)
    }
}

fn pair(bytes: &[u8]) -> usize {
    usize::from(u16::from_be_bytes([bytes[0], bytes[1]]))
}

/// As RFC 4648 has it, without padding.
fn base64(bytes: &[u8]) -> Vec<u8> {
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut digits = Vec::new();
    for three in bytes.chunks(3) {
        let bits = three
            .iter()
            .fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte))
            << (8 * (3 - three.len()));
        for digit in 0..=three.len() {
            let value = bits >> (18 - 6 * digit) & 63;
            digits.push(DIGITS[usize::try_from(value).expect("six bits")]);
        }
    }
    digits
}
