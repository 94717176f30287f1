//! The worker: does the work of each module, and reports it.

use std::fs;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use milepost::{Failure, ModuleHandle, ProcessHandle, Progress, TrackError};

use crate::work::{self, Index};

/// What the worker is handed: the process to report to, what to read and what to write.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) process: ProcessHandle,
    pub(crate) file: PathBuf,
    pub(crate) index: PathBuf,
}

/// Takes a job through all modules. A failure of the work is reported, and is no error here; an error
/// means that it could not be reported.
pub(crate) fn run(job: &Job) -> Result<(), TrackError> {
    let [parser, keyword_count, keyword_db] = [
        job.process.module(1)?,
        job.process.module(2)?,
        job.process.module(3)?,
    ];

    let Some(sentences) = report(&parser, |module| parse(module, &job.file))? else {
        return Ok(());
    };
    let Some(index) = report(&keyword_count, |module| count(module, &sentences))? else {
        return Ok(());
    };
    report(&keyword_db, |module| {
        write_index(module, &index, &job.index)
    })?;
    Ok(())
}

/// Why a module stopped.
enum Stop {
    /// The work cannot be done: the process fails.
    Failed(Failure),
    /// The work cannot be reported: the store is in trouble, or somebody cancelled the process.
    Unreported(TrackError),
}

impl From<TrackError> for Stop {
    fn from(error: TrackError) -> Self {
        Stop::Unreported(error)
    }
}

/// Runs one module: every worker has something like this once, whatever its modules do.
fn report<T>(
    module: &ModuleHandle,
    work: impl FnOnce(&ModuleHandle) -> Result<T, Stop>,
) -> Result<Option<T>, TrackError> {
    module.start()?;
    match work(module) {
        Ok(made) => {
            module.complete()?;
            Ok(Some(made))
        }
        Err(Stop::Failed(failure)) => {
            module.fail(failure)?;
            Ok(None)
        }
        Err(Stop::Unreported(error)) => Err(error),
    }
}

fn parse(module: &ModuleHandle, file: &Path) -> Result<Vec<String>, Stop> {
    let bytes = fs::read(file)
        .map_err(|error| Stop::Failed(Failure::new("Unreadable", &error.to_string())))?;
    let text = String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        Stop::Failed(Failure::new(
            "BadInput",
            &format!("byte {at} is no UTF-8 text"),
        ))
    })?;
    let mut sentences = Vec::new();
    each(
        module,
        "paragraphs",
        &work::paragraphs(&text),
        |paragraph| {
            sentences.extend(work::sentences(paragraph));
            Ok(())
        },
    )?;
    Ok(sentences)
}

fn count(module: &ModuleHandle, sentences: &[String]) -> Result<Index, Stop> {
    let mut index = Index::default();
    let mut number = 0;
    each(module, "sentences", sentences, |sentence| {
        number += 1;
        index.add(number, sentence);
        Ok(())
    })?;
    Ok(index)
}

fn write_index(module: &ModuleHandle, index: &Index, path: &Path) -> Result<(), Stop> {
    let unwritable = |error: std::io::Error| {
        Stop::Failed(Failure::new(
            "Unwritable",
            &format!("{}: {error}", path.display()),
        ))
    };
    let mut out = BufWriter::new(fs::File::create(path).map_err(unwritable)?);
    each(module, "keywords", &index.entries(), |(keyword, places)| {
        work::write_entry(&mut out, keyword, places).map_err(unwritable)
    })?;
    out.flush().map_err(unwritable)
}

/// How often a module reports its progress. A report is a durable commit, so a worker with a million
/// small items reports every so many of them.
const REPORTS: usize = 5;
/// So small a file takes a few milliseconds; this lets a person watch.
const PAUSE: Duration = Duration::from_millis(60);

/// Works on every item, and reports the progress now and then.
fn each<T>(
    module: &ModuleHandle,
    unit: &str,
    items: &[T],
    mut work: impl FnMut(&T) -> Result<(), Stop>,
) -> Result<(), Stop> {
    let total = items.len() as u64;
    let mut done = 0;
    for some in items.chunks(items.len().div_ceil(REPORTS).max(1)) {
        some.iter().try_for_each(&mut work)?;
        done += some.len() as u64;
        module.progress(Progress::of(done, total).unit(unit))?;
        thread::sleep(PAUSE);
    }
    Ok(())
}
