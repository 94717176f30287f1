//! What becomes of bytes in hostile hands.

use fastrand::Rng;

/// Texts that readers of JSON and of texts have tripped over.
const TEXTS: [&[u8]; 18] = [
    b"null",
    b"-1",
    b"1e400",
    b"18446744073709551616",
    b"0.1",
    b"{}",
    b"[]",
    b"\"\\ud800\"",
    b"\\u0000",
    b"\xc0\x80",
    b"\xed\xa0\x80",
    b"\xe2\x80\xae",
    b"0000-00-00T00:00:00Z",
    b"+262143-01-01T00:00:00Z",
    b"9999-12-31T23:59:60.999999999Z",
    b"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[",
    b"\"a\":1,\"a\":1",
    b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
];

/// One to four changes of `bytes`; `other` is what a part may come from.
pub(super) fn mutate(bytes: &[u8], other: &[u8], random: &mut Rng) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for _ in 0..random.usize(1..=4) {
        change(&mut bytes, other, random);
    }
    bytes
}

fn change(bytes: &mut Vec<u8>, other: &[u8], random: &mut Rng) {
    let at = random.usize(..=bytes.len());
    let length = random.usize(..=(bytes.len() - at).min(16));
    match random.u8(..9) {
        0 | 1 => overwrite(bytes, random),
        2 => bytes.insert(at, random.u8(..)),
        3 => drop(bytes.drain(at..at + length)),
        4 => bytes.truncate(at),
        5 => {
            let again = bytes[at..at + length].to_vec();
            bytes.splice(at..at, again);
        }
        6 => {
            let from = random.usize(..=other.len());
            let part = &other[from..(from + random.usize(..64)).min(other.len())];
            bytes.splice(at..at + length, part.iter().copied());
        }
        7 => {
            let text = TEXTS[random.usize(..TEXTS.len())];
            bytes.splice(at..at + length, text.iter().copied());
        }
        _ => numbers(bytes, random),
    }
}

fn overwrite(bytes: &mut [u8], random: &mut Rng) {
    if bytes.is_empty() {
        return;
    }
    let at = random.usize(..bytes.len());
    bytes[at] = match random.u8(..4) {
        0 => bytes[at] ^ (1 << random.u8(..8)),
        1 => [0, 1, 0x7f, 0x80, 0xff][random.usize(..5)],
        2 => bytes[at].wrapping_add(1),
        _ => random.u8(..),
    };
}

/// Other digits in place of some number.
fn numbers(bytes: &mut Vec<u8>, random: &mut Rng) {
    let digits = (0..bytes.len()).filter(|at| bytes[*at].is_ascii_digit());
    let Some(at) = random.choice(digits.collect::<Vec<_>>()) else {
        return overwrite(bytes, random);
    };
    let number = [0, 1, 255, 65_536, u64::MAX, random.u64(..)][random.usize(..6)];
    bytes.splice(at..=at, number.to_string().into_bytes());
}
