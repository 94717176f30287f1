//! Whatever a text holds, it is bound as a value or refused: it comes back byte for byte, and finds itself alone.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use fastrand::Rng;
use milepost::{
    Cursor, FileId, MemoryStore, Process, Query, RequestId, SqliteStore, StatusStore,
    StoreErrorKind, TrackError, Tracker,
};
use serde_json::Value;

use super::fields::{FIELDS, Field};
use super::lawful::lawful;
use super::lives::{SeededClock, morning};
use super::watched::watched;
use crate::law::{Broken, Done, Law, Shard, ensure};

/// The law of texts.
pub static TEXTS: Law = Law {
    name: "texts",
    says: "a text of any content is refused or comes back byte for byte, and no filter finds more than it says",
    unit: "texts in every field",
    shard: 250,
    asked: 5_000,
    run: |shard| try_all(shard, |path| Ok(Arc::new(SqliteStore::open(path)?))),
};

/// Makes the store that is held against the one in memory.
pub type Maker = fn(&Path) -> Result<Arc<dyn StatusStore>, Broken>;

/// As many texts share a store, where each must be told from the others.
const TOGETHER: u64 = 10;

/// Puts hostile texts into every field.
pub fn try_all(shard: &Shard<'_>, make: Maker) -> Result<Done, Broken> {
    let mut done = 0;
    while shard.goes_on(done) {
        let path = shard.scratch.join(format!("texts-{done}"));
        let clock = || SeededClock::new(morning(), shard.seed ^ done);
        let pair = Pair {
            memory: Tracker::with_clock(MemoryStore::new(), clock()),
            other: Tracker::with_clock(make(&path)?, clock()),
        };
        let mut random = shard.random(done);
        let mut texts = (0..TOGETHER).map(|_| text(&mut random)).collect::<Vec<_>>();
        texts[0] = text(&mut random) + &"\u{e9}".repeat(1 << 19);
        texts[1].push('\0');
        let tried = texts.len() as u64;
        watched(move || pair.try_texts(&texts))?;
        fs::remove_file(&path)?;
        done += tried;
    }
    Ok(Done::Tried(done.min(shard.count)))
}

/// A text that somebody has tripped over, or that looks like another.
fn text(random: &mut Rng) -> String {
    const TEXTS: [&str; 30] = [
        "",
        "%",
        "_",
        "a%",
        "a_",
        "*",
        "?",
        "[a-z]*",
        "\\%",
        "a",
        "A",
        "ab",
        "abc",
        "/",
        "/a",
        "/a/",
        "/a/b",
        "/ab",
        "'; DROP TABLE process_a; --",
        "' OR '1'='1",
        "\"; DELETE FROM process_b",
        "\0",
        "a\0b",
        "\u{1}",
        "\u{202e}cba",
        "e\u{301}",
        "é",
        "\u{feff}a",
        "\u{10ffff}",
        "ａ",
    ];
    let one = TEXTS[random.usize(..TEXTS.len())];
    match random.u8(..10) {
        0 => one.repeat(random.usize(1..300)),
        1 => format!("{one}{}", TEXTS[random.usize(..TEXTS.len())]),
        2 => std::iter::repeat_with(|| random.char(..))
            .take(20)
            .collect(),
        3 => format!(
            "{one}{}",
            "x".repeat([127, 128, 254, 255, 256, 1024, 4096][random.usize(..7)])
        ),
        4 if random.u8(..4) == 0 => "x".repeat(1 << 20),
        5 => (0..20)
            .map(|n| char::from(random.u8(..128).max(n)))
            .collect(),
        _ => one.to_owned(),
    }
}

struct Pair {
    memory: Tracker,
    other: Tracker,
}

impl Pair {
    fn both<T: PartialEq + std::fmt::Debug>(
        &self,
        ask: impl Fn(&Tracker) -> Result<T, TrackError>,
    ) -> Result<Option<T>, Broken> {
        let (one, other) = (ask(&self.memory), ask(&self.other));
        let same = format!("{one:?}") == format!("{other:?}");
        ensure(same, || {
            format!("{one:.400?} in memory, {other:.400?} elsewhere")
        })?;
        match one {
            Ok(value) => Ok(Some(value)),
            Err(TrackError::Invalid(_) | TrackError::Rejected(_)) => Ok(None),
            Err(TrackError::Store(error)) if error.kind() == StoreErrorKind::Limit => Ok(None),
            Err(error) => Err(Broken::new(format!("{error:?}"))),
        }
    }

    fn try_texts(&self, texts: &[String]) -> Result<(), Broken> {
        let mut kept = Vec::new();
        for text in texts {
            for field in FIELDS {
                let put = self.put(&field, text);
                let put = put.map_err(|how| of(text, field.name, &how))?;
                kept.extend(put);
            }
            // None of these may panic.
            let _ = (
                text.parse::<RequestId>(),
                text.parse::<FileId>(),
                text.parse::<Cursor>(),
            );
            in_json(text, &kept)?;
        }
        // Those too whose text was refused once they had begun.
        let all = self.memory.list(&Query::new().limit(1_000))?.items;
        for text in texts {
            self.find(text, &all)
                .map_err(|how| of(text, "query", &how))?;
        }
        Ok(())
    }

    /// What was accepted comes back as it was.
    fn put(&self, field: &Field, text: &str) -> Result<Option<Arc<Process>>, Broken> {
        let Some(id) = self.both(|tracker| (field.put)(tracker, text))? else {
            return Ok(None);
        };
        let process = self.both(|tracker| tracker.get(id))?;
        let process = process.ok_or_else(|| Broken::new("it is accepted, and not there"))?;
        ensure((field.is_back)(&process, text), || {
            format!("it is accepted, and something else is there: {process:.400?}")
        })?;
        Ok(Some(process))
    }

    /// Each filter finds those that it says, told by a plain comparison, and no others.
    fn find(&self, text: &str, kept: &[Arc<Process>]) -> Result<(), Broken> {
        type Holds = fn(&Process, &str) -> bool;
        let asked: [(Query, Holds); 7] = [
            (Query::new().pipeline(text), |p, text| p.pipeline() == text),
            (Query::new().file_name(text), |p, text| {
                p.file().name() == text
            }),
            (Query::new().file_name_prefix(text), |p, text| {
                p.file().name().as_bytes().starts_with(text.as_bytes())
            }),
            (Query::new().directory(text), |p, text| {
                p.file().symbolic_directory_path() == text
            }),
            (Query::new().under_directory(text), |p, text| {
                let steps = |path: &str| {
                    path.trim_end_matches('/')
                        .split('/')
                        .map(str::to_owned)
                        .collect::<Vec<_>>()
                };
                let path = p.file().symbolic_directory_path();
                let whole = path.split('/').map(str::to_owned).collect::<Vec<_>>();
                whole.starts_with(&steps(text))
            }),
            (Query::new().tag(text, "v"), |p, text| {
                p.file()
                    .tags()
                    .iter()
                    .any(|tag| tag.name() == text && tag.value() == "v")
            }),
            (Query::new().tag("n", text), |p, text| {
                p.file()
                    .tags()
                    .iter()
                    .any(|tag| tag.name() == "n" && tag.value() == text)
            }),
        ];
        for (query, holds) in asked {
            let limited = query.clone().limit(1_000);
            let Some(page) = self.both(|tracker| tracker.list(&limited))? else {
                continue;
            };
            let ids = |processes: &[Arc<Process>]| {
                processes
                    .iter()
                    .map(|p| p.request_id())
                    .collect::<BTreeSet<_>>()
            };
            let expected = kept
                .iter()
                .filter(|process| holds(process, text))
                .cloned()
                .collect::<Vec<_>>();
            ensure(ids(&page.items) == ids(&expected), || {
                format!(
                    "{query:.300?} finds {}, and {} are such",
                    page.items.len(),
                    expected.len()
                )
            })?;
            let total = self.both(|tracker| tracker.count(&query).map(|counts| counts.total()))?;
            ensure(total == Some(ids(&expected).len() as u64), || {
                format!("{query:.300?} counts {total:?} of {}", expected.len())
            })?;
        }
        Ok(())
    }
}

fn of(text: &str, field: &str, how: &Broken) -> Broken {
    Broken::new(format!("{field} {text:.200?}: {how}"))
}

/// What JSON can carry and a text cannot is refused where JSON is read.
fn in_json(text: &str, kept: &[Arc<Process>]) -> Result<(), Broken> {
    const LITERALS: [&[u8]; 8] = [
        b"\"\\ud800\"",
        b"\"\\udfff\\ud800\"",
        b"\"\\u0000\"",
        b"\"\xc0\x80\"",
        b"\"\xed\xa0\x80\"",
        b"\"\xff\"",
        b"\"a\nb\"",
        b"\"\\ud83d\\ude00\"",
    ];
    let Some(process) = kept.last() else {
        return Ok(());
    };
    let json = serde_json::to_string(&**process)?;
    let mut literals = LITERALS.map(<[u8]>::to_vec).to_vec();
    literals.push(serde_json::to_vec(text)?);
    let mut leaves = BTreeSet::new();
    texts_in(&serde_json::to_value(&**process)?, &mut leaves);
    for (literal, of) in literals
        .iter()
        .flat_map(|literal| leaves.iter().map(move |of| (literal, of)))
    {
        let Some((before, after)) = json.split_once(of.as_str()) else {
            continue;
        };
        let changed = [before.as_bytes(), literal, after.as_bytes()].concat();
        if let Ok(read) = serde_json::from_slice::<Process>(&changed) {
            let again = serde_json::to_value(&read)?;
            lawful(&again)?;
            let same = serde_json::from_value::<Process>(again).is_ok_and(|again| again == read);
            ensure(same, || {
                format!("{:?} does not come back", String::from_utf8_lossy(literal))
            })?;
        }
    }
    Ok(())
}

/// Each text in it, as it is written in JSON.
fn texts_in(value: &Value, texts: &mut BTreeSet<String>) {
    match value {
        Value::String(_) => {
            texts.insert(value.to_string());
        }
        Value::Array(values) => values.iter().for_each(|value| texts_in(value, texts)),
        Value::Object(fields) => fields.values().for_each(|value| texts_in(value, texts)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}
