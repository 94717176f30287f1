//! Opens a file that may be anything, and does with it all that a host does.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use memchr::memmem;
use milepost::{
    Durability, NewProcess, OverallStatus, Pipeline, Process, Progress, Query, ReapPolicy,
    RequestId, SqliteConfig, StoreError, StoreErrorKind, TrackError, Tracker, Update, Wipe,
    WipeLevel,
};
use rusqlite::{Connection, ErrorCode};
use uuid::Uuid;

use super::edits::beside;
use super::lawful::lawful;
use super::lives::{SeededClock, morning};
use super::mutants::Opener;
use crate::law::{Broken, ensure};

/// What became of a file.
#[derive(Debug, Clone)]
pub(super) enum Fate {
    /// And what it says.
    Refused(StoreErrorKind, String),
    /// And how many of what it held could still be read, and how many others were harmed by writing.
    Opened {
        whole: bool,
        harmed: usize,
        /// And what a wipe that was done has left.
        left: Option<String>,
    },
}

impl fmt::Display for Fate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fate::Refused(kind, _) => write!(f, "refused as {kind:?}"),
            Fate::Opened { whole: true, .. } => f.write_str("opened, whole"),
            Fate::Opened { harmed: 0, .. } => f.write_str("opened, damaged"),
            Fate::Opened { .. } => {
                f.write_str("opened, damaged, and lost more when it was written")
            }
        }
    }
}

/// As many of the processes are asked for one by one.
const ASKED: usize = 40;

/// Opens, reads, writes, wipes, and reads again in a store that is opened anew.
pub(super) fn visit(
    path: &Path,
    ids: &[RequestId],
    wipe_level: WipeLevel,
    opener: Opener,
) -> Result<Fate, Broken> {
    let config = SqliteConfig {
        busy_timeout: Duration::from_millis(100),
        wipe_budget: Duration::from_millis(20),
        // A sync tells nothing here, and takes its time.
        durability: Durability::Normal,
        wipe_level,
        ..SqliteConfig::new(path)
    };
    let now = morning() + Duration::from_hours(1);
    let clock = SeededClock::new(now, 3);
    let store = match opener(config.clone()) {
        Ok(store) => store,
        Err(error) => {
            let (kind, says) = refusal(&error)?;
            return Ok(Fate::Refused(kind, says));
        }
    };
    let tracker = Tracker::with_clock(store, clock.clone());
    let step = ids.len().div_ceil(ASKED).max(1);
    let asked = ids.iter().copied().step_by(step).collect::<Vec<_>>();
    let before = read(&tracker, &asked)?;
    lists(&tracker, ids.len())?;
    let Written { touched, wiped } = write(&tracker, path, &asked)?;
    drop(tracker);
    let left = left_of(path, &wiped);

    let store = match opener(config) {
        Ok(store) => store,
        Err(error) => {
            refusal(&error)?;
            return Ok(Fate::Opened {
                whole: false,
                harmed: before.len(),
                left,
            });
        }
    };
    let after = read(&Tracker::with_clock(store, clock), &asked)?;
    let mut harmed = 0;
    for (id, process) in &before {
        if touched.contains(id) || is_anybodys(process, now) {
            continue;
        }
        match after.get(id) {
            None => harmed += 1,
            // What nobody asked to change says something else now.
            Some(now) => ensure(now == process, || {
                format!("silently overwritten: {process:?} is now {now:?}")
            })?,
        }
    }
    Ok(Fate::Opened {
        whole: before.len() == asked.len() && harmed == 0,
        harmed,
        left,
    })
}

/// Whether purging or reaping may have been for it.
fn is_anybodys(process: &Process, now: DateTime<Utc>) -> bool {
    process.is_expired(now) || process.leased_until().is_some_and(|until| until <= now)
}

/// The kind of an error, and what it says.
fn refusal(error: &StoreError) -> Result<(StoreErrorKind, String), Broken> {
    let source = std::error::Error::source(error);
    let says = source.map(ToString::to_string).unwrap_or_default();
    ensure(says.len() > 10, || {
        format!("an error that says nothing: {error}")
    })?;
    Ok((error.kind(), says))
}

/// What an answer is if it is one; `None` for an error that says what it is.
fn typed<T>(answer: Result<T, TrackError>) -> Result<Option<T>, Broken> {
    match answer {
        Ok(value) => Ok(Some(value)),
        Err(TrackError::Store(error)) => {
            let (kind, _) = refusal(&error)?;
            let told = !matches!(kind, StoreErrorKind::Other | StoreErrorKind::Limit);
            ensure(told, || format!("an error of no kind: {error:?}"))?;
            Ok(None)
        }
        Err(TrackError::Invalid(_) | TrackError::Rejected(_) | TrackError::Timeout) => Ok(None),
        Err(error) => Err(Broken::new(format!("an unknown error: {error:?}"))),
    }
}

fn read(tracker: &Tracker, ids: &[RequestId]) -> Result<BTreeMap<RequestId, Arc<Process>>, Broken> {
    let mut found = BTreeMap::new();
    let mut told = Vec::new();
    for id in ids {
        let answer = tracker.get(*id);
        // SQLite may object to a page when it reads it first, and not when it has it already.
        if !matches!(answer, Err(TrackError::Store(_))) {
            told.push(*id);
        }
        if let Some(process) = typed(answer)? {
            ensure(process.request_id() == *id, || {
                format!("{id} was asked for, and {} came", process.request_id())
            })?;
            judge(&process)?;
            found.insert(*id, process);
        }
        typed(tracker.explain(*id))?;
    }
    let many = typed(tracker.get_many(&told))?.unwrap_or_default();
    for (id, process) in told.iter().zip(many) {
        let alone = found.get(id);
        ensure(process.as_ref() == alone, || {
            format!("{id} is {alone:?} alone, and {process:?} among many")
        })?;
    }
    Ok(found)
}

/// Whatever is yielded is a process that the machine can make.
fn judge(process: &Process) -> Result<(), Broken> {
    lawful(&serde_json::to_value(process)?)?;
    let mut record = Vec::new();
    process.to_record(&mut record);
    let same = Process::from_record(&record).is_ok_and(|again| again == *process);
    ensure(same, || format!("it does not come back equal: {process:?}"))
}

fn lists(tracker: &Tracker, processes: usize) -> Result<(), Broken> {
    let since = morning() + Duration::from_secs(20);
    let queries = [
        Query::new(),
        Query::new().oldest_first(),
        Query::new().pipeline("invoice-ocr"),
        Query::new().status(OverallStatus::Failed),
        Query::new()
            .pipeline("fan-out")
            .status(OverallStatus::Ongoing),
        Query::new().directory("/a"),
        Query::new().under_directory("/a"),
        Query::new().file_name_prefix("file-1"),
        Query::new().tag("author", "melville"),
        Query::new().created(since..),
        Query::new().updated(..since),
        Query::new().settled(since..),
        Query::new().stalled(),
    ];
    for query in queries {
        typed(tracker.count(&query))?;
        walk(tracker, &query, processes)?;
    }
    Ok(())
}

/// Follows a list to its end, which must come.
fn walk(tracker: &Tracker, query: &Query, processes: usize) -> Result<(), Broken> {
    let mut page = query.clone().limit(100);
    for _ in 0..=processes {
        let Some(found) = typed(tracker.list(&page))? else {
            return Ok(());
        };
        ensure(found.items.len() <= 100, || "a page of too many".to_owned())?;
        for process in found.items {
            judge(&process)?;
        }
        match found.next {
            Some(next) => page = query.clone().limit(100).after(next),
            None => return Ok(()),
        }
    }
    Err(Broken::new(format!("a list does not end: {query:?}")))
}

/// What SQLite checks of a file: the tables of processes with their indexes, or everything.
const TABLES: [&str; 2] = ["('process_a')", "('process_b')"];
pub(super) const EVERYTHING: [&str; 1] = [""];

/// Whether SQLite itself says so.
pub(super) fn is_damaged(path: &Path, checked: &[&str]) -> bool {
    checked.iter().any(|what| {
        let check = format!("PRAGMA integrity_check{what}");
        let check = Connection::open(path)
            .and_then(|database| database.query_row(&check, [], |row| row.get::<_, String>(0)));
        match check {
            Ok(says) => says != "ok",
            Err(error) => error.sqlite_error_code() == Some(ErrorCode::DatabaseCorrupt),
        }
    })
}

/// What was done about whom.
struct Written {
    /// Those who were asked to change.
    touched: Vec<RequestId>,
    /// Those who were erased, and then wiped.
    wiped: Vec<RequestId>,
}

/// Does a bit of everything.
fn write(tracker: &Tracker, path: &Path, ids: &[RequestId]) -> Result<Written, Broken> {
    let pipeline = Pipeline::new("thumbnails", ["scale"])?;
    let new = NewProcess::new(&pipeline).tag("author", "poe");
    if let Some(process) = typed(tracker.begin(new))? {
        let module = process.module(1)?;
        typed(module.start())?;
        typed(module.progress(Progress::of(1, 3)))?;
        let stands = typed(module.complete())?;
        // What was acknowledged is there, unless the file is damaged: where an index is not in order, what was put into
        // it may not be found again.
        let read = tracker.get(process.request_id());
        if let (Some(applied), Ok(_) | Err(TrackError::Rejected(_))) = (stands, &read) {
            let stands = read
                .as_ref()
                .is_ok_and(|read| read.status() == applied.status);
            ensure(stands || is_damaged(path, &TABLES), || {
                format!("{applied:?} was acknowledged, and {read:?} is there")
            })?;
        }
    }
    let (mut touched, mut erased) = (Vec::new(), Vec::new());
    for (number, id) in ids.iter().take(8).enumerate() {
        touched.push(*id);
        match number {
            0 | 5 => {
                if typed(tracker.erase(*id))?.is_some() {
                    erased.push(*id);
                }
            }
            1 => drop(typed(tracker.rerun(*id))?),
            2 => drop(typed(tracker.cancel(*id, "enough"))?),
            3 => {
                let update = Update::new().file_name("other.pdf").never_expires();
                typed(tracker.update(*id, update))?;
            }
            _ => {
                typed(tracker.claim(*id, "worker", Duration::from_secs(9)))?;
                if let Some(process) = typed(tracker.process(*id))? {
                    for module in process.unfinished() {
                        typed(module.start())?;
                        typed(module.complete())?;
                    }
                }
            }
        }
    }
    typed(tracker.reap(ReapPolicy::retry(1)))?;
    typed(tracker.purge())?;
    let wiped = match typed(tracker.wipe())? {
        Some(Wipe::Done) => erased,
        _ => Vec::new(),
    };
    Ok(Written { touched, wiped })
}

/// What is left of whom, once nobody has the file open.
fn left_of(path: &Path, wiped: &[RequestId]) -> Option<String> {
    let left = |suffix| {
        let bytes = fs::read(beside(path, suffix)).unwrap_or_default();
        let at = |id: &RequestId| memmem::find(&bytes, Uuid::from(*id).as_bytes());
        wiped
            .iter()
            .find_map(|id| Some(format!("{id} at {} of the file{suffix}", at(id)?)))
    };
    ["", "-wal"].into_iter().find_map(left)
}
