//! Whatever bytes a decoder is given, it refuses them or takes them for a lawful value, at once.
//!
//! The same properties are tried by the fuzz targets in `tests/tests/fuzz.rs`, whose corpus this law mutates.

use std::fmt::Debug;
use std::time::{Duration, Instant};

use milepost::{
    Cursor, Indexed, MemoryStore, NotFoundReport, Process, Query, Receipt, StatusReport, Tracker,
    limits,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::lawful::lawful;
use super::lives::{morning, samples};
use super::mutate::mutate;
use super::watched::caught;
use super::{corpus, lives};
use crate::law::{Broken, Done, Law, Shard, ensure};

/// The law of decoders.
pub static DECODERS: Law = Law {
    name: "decoders",
    says: "what is decoded is refused or lawful, whatever it is made of, and comes back equal",
    unit: "inputs",
    shard: 1_000_000,
    asked: 20_000_000,
    run: |shard| try_all(shard, &TARGETS),
};

/// Something that reads what may come from anybody.
#[derive(Debug, Clone, Copy)]
#[expect(clippy::exhaustive_structs, reason = "a test writes a broken one out")]
pub struct Target {
    /// Its name, and that of its corpus.
    pub name: &'static str,
    /// Has it read these bytes. Whether it took them.
    pub read: fn(&[u8]) -> Result<bool, Broken>,
}

/// Every decoder; whole database files are another law's, as each takes a thousand times as long.
pub const TARGETS: [Target; 7] = [
    Target {
        name: "record",
        read: |bytes| reads(&RECORD, bytes),
    },
    Target {
        name: "body",
        read: body,
    },
    Target {
        name: "process_json",
        read: |bytes| reads(&PROCESS_JSON, bytes),
    },
    Target {
        name: "cursor",
        read: cursor,
    },
    Target {
        name: "report",
        read: |bytes| reads(&json::<StatusReport>(&report), bytes),
    },
    Target {
        name: "not_found",
        read: |bytes| reads(&json::<NotFoundReport>(&|_| Ok(())), bytes),
    },
    Target {
        name: "receipt",
        read: |bytes| reads(&json::<Receipt>(&|_| Ok(())), bytes),
    },
];

/// How one kind of value is read and written, and what holds of it.
#[expect(clippy::exhaustive_structs, reason = "a test writes a broken one out")]
#[derive(Clone, Copy)]
#[expect(missing_debug_implementations, reason = "it is made of functions")]
pub struct Codec<'a, T> {
    /// The value, if it is one.
    pub decode: &'a dyn Fn(&[u8]) -> Option<T>,
    /// What reads as that value.
    pub encode: &'a dyn Fn(&T) -> Vec<u8>,
    /// Whether it is lawful.
    pub lawful: &'a dyn Fn(&T) -> Result<(), Broken>,
}

const RECORD: Codec<'static, Process> = Codec {
    decode: &|bytes| Process::from_record(bytes).ok(),
    encode: &record_of,
    lawful: &lawful_process,
};

const PROCESS_JSON: Codec<'static, Process> = Codec {
    decode: &|bytes| serde_json::from_slice(bytes).ok(),
    encode: &|process| serde_json::to_vec(process).expect("a process has a JSON form"),
    lawful: &lawful_process,
};

/// As long as a decoder may take for what fits into a record, on a machine that does other things too.
const AT_ONCE: Duration = Duration::from_secs(2);

/// Whether these bytes are taken for a value. Broken if that panics, takes long, is not lawful or does not come
/// back equal.
pub fn reads<T: PartialEq + Debug>(codec: &Codec<'_, T>, bytes: &[u8]) -> Result<bool, Broken> {
    caught(|| {
        let began = Instant::now();
        let decoded = (codec.decode)(bytes);
        ensure(began.elapsed() < AT_ONCE, || "it took long".to_owned())?;
        let Some(value) = decoded else {
            return Ok(false);
        };
        (codec.lawful)(&value)?;
        let again = (codec.encode)(&value);
        let same = (codec.decode)(&again).is_some_and(|again| again == value);
        ensure(same, || {
            format!("it does not come back equal: {value:.400?}")
        })?;
        Ok(true)
    })
}

fn record_of(process: &Process) -> Vec<u8> {
    let mut record = Vec::new();
    process.to_record(&mut record);
    record
}

fn lawful_process(process: &Process) -> Result<(), Broken> {
    let bytes = record_of(process).len();
    ensure(bytes <= limits::RECORD_BYTES, || {
        format!("a record of {bytes} bytes")
    })?;
    // What people are shown of it.
    let _ = (process.explain(morning()).to_string(), process.blame());
    lawful(&serde_json::to_value(process)?)
}

/// The first byte says beside whose columns the body stands.
fn body(bytes: &[u8]) -> Result<bool, Broken> {
    let Some((first, body)) = bytes.split_first() else {
        return Ok(false);
    };
    let beside = &samples()[usize::from(*first) % samples().len()];
    let id = beside.request_id();
    // Reading the version alone must be no wilder than reading it all.
    let version = caught(|| Ok(Process::version_of_body(id, body).ok()))?;
    let codec = Codec {
        decode: &|body: &[u8]| Process::from_body(id, &Indexed::from(&**beside), body).ok(),
        encode: &|process| {
            let mut body = Vec::new();
            process.to_body(&mut body);
            body
        },
        lawful: &|process| {
            ensure(version == Some(process.version()), || {
                format!("{version:?} is not the version of what was read")
            })?;
            lawful_process(process)
        },
    };
    reads(&codec, body)
}

/// What is no cursor of this query is refused by the list that it is given to.
fn cursor(bytes: &[u8]) -> Result<bool, Broken> {
    let codec = Codec {
        decode: &|bytes: &[u8]| std::str::from_utf8(bytes).ok()?.parse::<Cursor>().ok(),
        encode: &|cursor| cursor.to_string().into_bytes(),
        lawful: &|cursor| {
            let tracker =
                Tracker::with_clock(MemoryStore::new(), lives::SeededClock::new(morning(), 1));
            let known = corpus::read("cursor").iter().any(|known| known == bytes);
            let page = tracker.list(&Query::new().after(*cursor));
            ensure(page.is_err() || known, || {
                format!("a cursor that no page gave is followed: {cursor}")
            })?;
            ensure(cursor.to_string().as_bytes() == bytes, || {
                format!("two texts are one cursor: {cursor}")
            })
        },
    };
    reads(&codec, bytes)
}

fn json<T: Serialize + DeserializeOwned>(
    lawful: &dyn Fn(&T) -> Result<(), Broken>,
) -> Codec<'_, T> {
    Codec {
        decode: &|bytes| serde_json::from_slice(bytes).ok(),
        encode: &|value| serde_json::to_vec(value).expect("it has a JSON form"),
        lawful,
    }
}

fn report(report: &StatusReport) -> Result<(), Broken> {
    let modules = report.process_status.len();
    ensure((1..=limits::MODULES).contains(&modules), || {
        format!("a report on {modules} modules")
    })
}

/// Has each target read its corpus, mutated.
pub fn try_all(shard: &Shard<'_>, targets: &[Target]) -> Result<Done, Broken> {
    let corpora = targets
        .iter()
        .map(|target| corpus::read(target.name))
        .collect::<Vec<_>>();
    let mut done = 0;
    while shard.goes_on(done) {
        let mut random = shard.random(done);
        let which = random.usize(..targets.len());
        let (target, corpus) = (&targets[which], &corpora[which]);
        ensure(!corpus.is_empty(), || {
            format!("{} has no corpus", target.name)
        })?;
        let one = &corpus[random.usize(..corpus.len())];
        let other = &corpus[random.usize(..corpus.len())];
        let bytes = mutate(one, other, &mut random);
        (target.read)(&bytes).map_err(|how| {
            let shown = String::from_utf8_lossy(&bytes);
            Broken::new(format!("{} {done}, {how}: {shown:.600?}", target.name))
        })?;
        done += 1;
    }
    Ok(Done::Tried(done))
}
