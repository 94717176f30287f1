//! Processes that bear a mark of their own in every field, and grow; and the list of what bears which.

use std::fs;
use std::path::Path;
use std::time::Duration;

use milepost::Mark;
use milepost::{
    Change, Failure, FileId, NewProcess, Op, Pipeline, Progress, RequestId, TrackError, Tracker,
    Update,
};

use crate::law::Broken;

/// A process, and what of it must be nowhere once it was erased.
#[derive(Debug, Clone)]
#[expect(clippy::exhaustive_structs, reason = "the laws build it")]
pub struct Marked {
    /// Whether it is to be erased; its neighbours stay.
    pub goes: bool,
    /// Stands in every text of it.
    pub token: String,
    /// Its id.
    pub id: RequestId,
    /// That of its file.
    pub file_id: FileId,
}

impl Marked {
    /// What to look for.
    #[must_use]
    pub fn marks(&self) -> [Mark; 3] {
        [
            Mark::text(&self.token),
            Mark::id(self.id),
            Mark::id(self.file_id),
        ]
    }
}

/// Begins as many processes, every second of which is to go, with their marks in every field, and lets them grow.
pub fn populate(
    tracker: &Tracker,
    random: &mut fastrand::Rng,
    count: u64,
) -> Result<Vec<Marked>, TrackError> {
    let mut all = Vec::new();
    for n in 0..count {
        all.push(begin(tracker, random, n)?);
    }
    for _ in 0..3 {
        random.shuffle(&mut all);
        grow(tracker, random, &all)?;
    }
    Ok(all)
}

/// Lets rows grow, so that pages split, and some over more than one page.
pub fn grow(
    tracker: &Tracker,
    random: &mut fastrand::Rng,
    all: &[Marked],
) -> Result<(), TrackError> {
    for some in all.chunks(50) {
        let longer = some.iter().map(|marked| {
            let most = if random.u8(..8) == 0 { 2_000 } else { 300 };
            let padding = "+".repeat(random.usize(..most));
            let update = Update::new()
                .file_description(&format!("{padding}{}{padding}", marked.token))
                .tags([(marked.token.as_str(), padding.as_str())]);
            tracker.op(marked.id, Change::update(update))
        });
        // Some may have gone meanwhile.
        tracker.apply(&longer.collect::<Vec<Op>>())?;
    }
    Ok(())
}

fn begin(tracker: &Tracker, random: &mut fastrand::Rng, n: u64) -> Result<Marked, TrackError> {
    let token = std::iter::repeat_with(|| random.alphanumeric())
        .take(16)
        .collect::<String>();
    let text = |what: &str| format!("{what} {token}");
    let pipeline = match n % 10 {
        0 | 1 => Pipeline::new(&token, [text("ocr"), text("parser"), text("index")]),
        _ => Pipeline::new("shared", ["ocr", "parser", "index"]),
    };
    let mut new = NewProcess::new(&pipeline?)
        .file_name(&format!("{token}.pdf"))
        .symbolic_directory_path(&format!("/in/{token}"))
        .tag(&token, &text("tag"))
        .file_description(&text("description"));
    match n % 4 {
        // Random ids scatter over the index.
        0 | 1 => {
            new = new
                .request_id(uuid(random).into())
                .file_id(uuid(random).into());
        }
        2 => new = new.idempotency_key(&text("key")),
        _ => {}
    }
    let process = tracker.begin(new)?;
    let module = process.module(1)?;
    module.start()?;
    module.progress(Progress::of(3, 10).unit(&token).message(&text("page")))?;
    module.retry(Failure::new(&token, &text("blank")))?;
    module.complete()?;
    process.module(2)?.skip(&text("no need"))?;
    let id = process.request_id();
    if n.is_multiple_of(3) {
        let lease = tracker.claim(id, &text("worker"), Duration::from_mins(1))?;
        tracker.request_cancel(id, &text("wish"))?;
        lease.release()?;
        tracker.rerun(id)?;
        // Left to run out.
        tracker.claim(id, &text("second worker"), Duration::from_mins(1))?;
    }
    Ok(Marked {
        goes: n.is_multiple_of(2),
        token,
        id,
        file_id: process.file_id(),
    })
}

fn uuid(random: &mut fastrand::Rng) -> uuid::Uuid {
    uuid::Builder::from_random_bytes(random.u128(..).to_be_bytes()).into_uuid()
}

/// Keeps the list outside of what is looked through.
pub fn write_list(path: &Path, all: &[Marked]) -> std::io::Result<()> {
    let lines = all.iter().map(|marked| {
        let Marked {
            goes,
            token,
            id,
            file_id,
        } = marked;
        format!("{goes} {token} {id} {file_id}\n")
    });
    fs::write(path, lines.collect::<String>())
}

/// Reads it again.
pub fn read_list(path: &Path) -> Result<Vec<Marked>, Broken> {
    let text = fs::read_to_string(path)?;
    let marked = |line: &str| {
        let [goes, token, id, file_id] = line.split(' ').collect::<Vec<_>>()[..] else {
            return Err(Broken::new("the list of processes is broken off"));
        };
        Ok(Marked {
            goes: goes.parse()?,
            token: token.to_owned(),
            id: id.parse()?,
            file_id: file_id.parse()?,
        })
    };
    text.lines().map(marked).collect()
}
