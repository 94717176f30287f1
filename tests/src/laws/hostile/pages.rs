//! Mutations of a database file, and of a WAL, that know where things stand in them.
//!
//! Source: <https://sqlite.org/fileformat2.html>.

use fastrand::Rng;

/// Flips one to eight bits anywhere.
pub(super) fn flip(main: &mut [u8], random: &mut Rng) -> String {
    let bits = random.usize(1..=8);
    for _ in 0..bits {
        let at = random.usize(..main.len());
        main[at] ^= 1 << random.u8(..8);
    }
    format!("flipped {bits} bits")
}

fn page_size(main: &[u8]) -> usize {
    match main {
        [
            _,
            _,
            _,
            _,
            _,
            _,
            _,
            _,
            _,
            _,
            _,
            _,
            _,
            _,
            _,
            _,
            high,
            low,
            ..,
        ] => usize::from(u16::from_be_bytes([*high, *low])).max(512),
        _ => 512,
    }
}

/// One change of a place, a page or the length.
pub(super) fn change(main: &mut Vec<u8>, random: &mut Rng) -> String {
    let size = page_size(main);
    let count = (main.len() / size).max(1);
    let one = random.usize(..count) * size;
    let other = random.usize(..count) * size;
    match random.u8(..11) {
        0 => header_field(main, random),
        1 => {
            for byte in 0..size {
                main.swap(one + byte, other + byte);
            }
            format!("swapped the pages at {one} and {other}")
        }
        2 => {
            main.copy_within(one..one + size, other);
            format!("copied the page at {one} over that at {other}")
        }
        3 => {
            let length = random.usize(..main.len());
            main.truncate(length);
            format!("truncated to {length}")
        }
        4 => {
            main.truncate(one);
            format!("truncated to {one}, pages")
        }
        5 => {
            let more = [1, 511, size, 3 * size + 1][random.usize(..4)];
            let fill = [0, random.u8(..)][random.usize(..2)];
            main.resize(main.len() + more, fill);
            format!("extended by {more} of {fill}")
        }
        6 => {
            let length = random.usize(1..=2 * size).min(main.len() - one);
            main[one..one + length].fill(0);
            format!("zeroed {length} at {one}")
        }
        7 => {
            let at = random.usize(..main.len());
            let length = random.usize(1..=64).min(main.len() - at);
            main[at..at + length].fill_with(|| random.u8(..));
            format!("noise, {length} at {at}")
        }
        8 | 9 => tree_page(main, one, random),
        _ => {
            // A text or a blob, in the middle of a row.
            let at = one + size / 2 + random.usize(..size / 2);
            let length = 8.min(main.len() - at);
            main[at..at + length].fill(random.u8(..));
            format!("a row, 8 at {at}")
        }
    }
}

/// The fields of the header: where, and how long.
const FIELDS: [(usize, usize); 21] = [
    (0, 16),
    (16, 2),
    (18, 1),
    (19, 1),
    (20, 1),
    (21, 1),
    (23, 1),
    (24, 4),
    (28, 4),
    (32, 4),
    (36, 4),
    (40, 4),
    (44, 4),
    (48, 4),
    (52, 4),
    (56, 4),
    (60, 4),
    (64, 4),
    (68, 4),
    (92, 4),
    (96, 4),
];

fn header_field(main: &mut [u8], random: &mut Rng) -> String {
    let (at, length) = FIELDS[random.usize(..FIELDS.len())];
    let value = number(random).to_be_bytes();
    for (byte, value) in main[at..at + length]
        .iter_mut()
        .zip(value.iter().cycle().skip(4 - length.min(4)))
    {
        *byte = *value;
    }
    format!("header: {length} at {at}")
}

fn number(random: &mut Rng) -> u32 {
    match random.u8(..5) {
        0 => random.u32(..6),
        1 => u32::MAX - random.u32(..3),
        2 => i32::MAX.unsigned_abs() - random.u32(..3),
        3 => 1 << random.u32(..32),
        _ => random.u32(..200),
    }
}

/// The head of a page of a tree, or the place of one of its cells.
fn tree_page(main: &mut [u8], page: usize, random: &mut Rng) -> String {
    let head = if page == 0 { 100 } else { page };
    let at = head + random.usize(..32);
    let value = number(random).to_be_bytes();
    let length = [1, 2, 4][random.usize(..3)];
    main[at..at + length].copy_from_slice(&value[4 - length..]);
    format!("tree: {length} at {} of the page at {page}", at - head)
}

const HEADER: usize = 32;
const FRAME_HEADER: usize = 24;

/// One change of a WAL. In half of them its checksums are made to fit, so that SQLite believes it.
pub(super) fn change_wal(wal: &mut Vec<u8>, other: &[u8], random: &mut Rng) -> String {
    const PAGE: usize = 4096;
    let frames = wal.len() / (FRAME_HEADER + PAGE);
    let frame = HEADER + random.usize(..frames.max(1)) * (FRAME_HEADER + PAGE);
    let what = match random.u8(..7) {
        0 => {
            wal[random.usize(..HEADER)] = random.u8(..);
            "header".to_owned()
        }
        1 => {
            let at = frame + random.usize(..FRAME_HEADER);
            wal[at] = [0, random.u8(..)][random.usize(..2)];
            format!("frame header at {at}")
        }
        2 => {
            let at = frame + random.usize(..8);
            wal[at / 4 * 4..at / 4 * 4 + 4].copy_from_slice(&number(random).to_be_bytes());
            format!("frame's page or length at {at}")
        }
        3 => {
            let length = random.usize(..wal.len());
            wal.truncate(length);
            format!("truncated to {length}")
        }
        4 => {
            let at = frame + FRAME_HEADER + random.usize(..PAGE);
            let length = random.usize(1..64).min(wal.len() - at);
            wal[at..at + length].fill_with(|| random.u8(..));
            format!("a page, {length} at {at}")
        }
        5 if other.len() > frame => {
            let length = (FRAME_HEADER + PAGE)
                .min(other.len() - frame)
                .min(wal.len() - frame);
            wal[frame..frame + length].copy_from_slice(&other[frame..frame + length]);
            format!("another's frame at {frame}")
        }
        _ => {
            let page = &mut wal[frame + FRAME_HEADER..frame + FRAME_HEADER + PAGE];
            tree_page(page, 0, random)
        }
    };
    let fits = random.bool();
    if fits {
        seal(wal, PAGE);
    }
    format!("wal: {what}{}", if fits { ", sealed" } else { "" })
}

/// Makes all checksums and salts of a WAL fit its content.
fn seal(wal: &mut [u8], page: usize) {
    if wal.len() < HEADER {
        return;
    }
    let big = wal[3] & 1 == 1;
    let (header, frames) = wal.split_at_mut(HEADER);
    let mut sums = sum([0, 0], &header[..24], big);
    put(&mut header[24..], sums);
    let salts: [u8; 8] = header[16..24].try_into().expect("it is 8 bytes");
    for frame in frames.chunks_exact_mut(FRAME_HEADER + page) {
        frame[8..16].copy_from_slice(&salts);
        sums = sum(sums, &frame[..8], big);
        sums = sum(sums, &frame[FRAME_HEADER..], big);
        put(&mut frame[16..24], sums);
    }
}

fn put(place: &mut [u8], [first, second]: [u32; 2]) {
    place[..4].copy_from_slice(&first.to_be_bytes());
    place[4..8].copy_from_slice(&second.to_be_bytes());
}

fn sum([mut first, mut second]: [u32; 2], bytes: &[u8], big: bool) -> [u32; 2] {
    let word = |bytes: &[u8]| {
        let bytes = bytes.try_into().expect("a word has 4 bytes");
        if big {
            u32::from_be_bytes(bytes)
        } else {
            u32::from_le_bytes(bytes)
        }
    };
    for pair in bytes.chunks_exact(8) {
        first = first.wrapping_add(word(&pair[..4])).wrapping_add(second);
        second = second.wrapping_add(word(&pair[4..])).wrapping_add(first);
    }
    [first, second]
}
