//! A real pipeline over real text files, tracked in a SQLite file.
//!
//! ```text
//! cargo run --example quickstart                         # over this project's own README and ARCHITECTURE
//! cargo run --example quickstart -- notes.txt            # over files of yours
//! cargo run --example quickstart -- --out demo notes.txt # and where to write
//! ```
//!
//! `work.rs` holds the work, which knows nothing of milepost; `worker.rs` reports it; this file is the host:
//! it submits files, follows them, and asks for reports.

use std::error::Error;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::thread;

use milepost::{Bars, NewProcess, OverallStatus, Pipeline, RequestId, SqliteStore, Tracker, Wipe};
use serde::Serialize;

mod trouble;
mod work;
mod worker;

use trouble::{Context, Trouble};
use worker::Job;

type Outcome<T> = Result<T, Box<dyn Error>>;

/// The work holds a whole file in memory, so there is a limit, told to whoever crosses it.
const LARGEST_FILE: u64 = 10 * 1024 * 1024;

fn main() -> ExitCode {
    match Options::parse().and_then(|options| run(&options)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            trouble::print(&*error);
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Outcome<()> {
    // All that is wrong with a path is told before anything is begun.
    for path in &options.files {
        check_file(path)?;
    }
    let out = make_directory(options.out.as_deref())?;
    let database = out.join("status.db");

    let store = SqliteStore::open(&database)
        .context(format!("cannot keep the status in {}", database.display()))?;
    let tracker = Tracker::new(store);
    let pipeline = Pipeline::new("text-keywords", ["parser", "keyword-count", "keyword-db"])?;
    println!(
        "The status of every process is kept in {}",
        database.display()
    );

    let mut completed = Vec::new();
    for path in &options.files {
        let (id, status) = process_file(&tracker, &pipeline, path, &out)?;
        if status != OverallStatus::Complete {
            return Err(Trouble::new(format!("{} was not processed", path.display())).into());
        }
        completed.push(id);
    }

    title("A file that is no text fails in the first module, and the report says why");
    let not_text = out.join("not-text.bin");
    fs::write(&not_text, b"\xff\xfe these bytes are no UTF-8")
        .context(format!("cannot write {}", not_text.display()))?;
    let (failed, _) = process_file(&tracker, &pipeline, &not_text, &out)?;

    title("Erased: from now on nobody finds it");
    let erased = tracker.erase(failed)?;
    // Whatever becomes of the wipe, the erasure stands.
    match erased.wipe {
        Wipe::Done => println!("Erased, and wiped."),
        Wipe::Pending { reason } => println!("Erased, and wiped later: {reason}"),
        Wipe::Limited { remains } => println!("Erased; what may remain: {remains}"),
        _ => println!("Erased."),
    }
    match tracker.process_status(failed) {
        Err(error) if error.is_not_found() => print_json(&tracker.not_found_report(failed))?,
        Err(error) => return Err(error.into()),
        Ok(_) => return Err(Trouble::new("an erased process was found").into()),
    }

    if let Some(id) = completed.first() {
        title("Ask from outside, while this program runs or long after");
        println!(
            "cargo run --example status -- {} {id}",
            shell_word(&database.display().to_string())
        );
    }
    Ok(())
}

/// Processes one file: begins, lets a thread work, follows it, and prints what a host would answer.
fn process_file(
    tracker: &Tracker,
    pipeline: &Pipeline,
    path: &Path,
    out: &Path,
) -> Outcome<(RequestId, OverallStatus)> {
    let absolute = fs::canonicalize(path).context(format!("cannot find {}", path.display()))?;
    let name = absolute.file_name().unwrap_or_default().to_string_lossy();
    let directory = absolute.parent().unwrap_or(Path::new("/"));
    let new = NewProcess::new(pipeline)
        .file_name(&name)
        .symbolic_directory_path(&directory.to_string_lossy())
        .tag("from", "quickstart");
    let process = tracker
        .begin(new)
        .context(format!("cannot begin to process {}", path.display()))?;
    let id = process.request_id();

    title(&format!("{name}: the receipt, for whoever submitted it"));
    print_json(&process.receipt())?;

    let job = Job {
        process,
        file: absolute.clone(),
        index: out.join(format!("{id}.keywords")),
    };
    let index = job.index.clone();
    let worker = thread::spawn(move || worker::run(&job));

    // This could as well be another OS process on the same file: see the example `two_processes`.
    title(&format!("{name}: how far it is, and a report in between"));
    // On a terminal there are bars; elsewhere a line for each change.
    let mut bars = Bars::new(tracker, id).lines_to(io::stdout());
    let mut asked = false;
    for state in tracker.watch(id)? {
        let process = state?;
        bars.show(&process);
        if !asked && process.modules()[0].state().is_done() {
            asked = true;
            let report = tracker.process_status(id)?;
            bars.suspend(|| {
                println!();
                print_json(&report)?;
                println!();
                Outcome::Ok(())
            })?;
        }
    }
    match worker.join() {
        Ok(reported) => reported?,
        Err(_) => return Err(Trouble::new("the worker panicked").into()),
    }

    let status = tracker.get(id)?.status();
    title(&format!("{name}: the report at the end, {status}"));
    print_json(&tracker.process_status(id)?)?;
    if status == OverallStatus::Complete {
        println!(
            "Which keyword stands in which sentence: {}",
            index.display()
        );
    }
    Ok((id, status))
}

fn check_file(path: &Path) -> Outcome<()> {
    let what = fs::metadata(path).context(format!("cannot read {}", path.display()))?;
    if !what.is_file() {
        let what = if what.is_dir() {
            "a directory"
        } else {
            "no regular file"
        };
        return Err(Trouble::new(format!("{} is {what}: give a text file", path.display())).into());
    }
    if what.len() > LARGEST_FILE {
        return Err(Trouble::new(format!(
            "{} has {} bytes: at most {LARGEST_FILE} are allowed",
            path.display(),
            what.len()
        ))
        .into());
    }
    fs::File::open(path).context(format!("cannot read {}", path.display()))?;
    Ok(())
}

/// The directory that was asked for, or one of this run's own.
fn make_directory(asked: Option<&Path>) -> Outcome<PathBuf> {
    if let Some(path) = asked {
        let made = fs::create_dir_all(path).and_then(|()| fs::canonicalize(path));
        return Ok(made.context(format!("cannot make {}", path.display()))?);
    }
    let directory = tempfile::Builder::new()
        .prefix("milepost-quickstart-")
        .tempdir()
        .context(format!(
            "cannot write to {}",
            std::env::temp_dir().display()
        ))?;
    // Kept, so that it can be asked from outside afterwards.
    Ok(directory.keep())
}

struct Options {
    out: Option<PathBuf>,
    files: Vec<PathBuf>,
}

impl Options {
    fn parse() -> Outcome<Self> {
        let mut options = Options {
            out: None,
            files: Vec::new(),
        };
        let mut arguments = std::env::args_os().skip(1);
        while let Some(argument) = arguments.next() {
            if argument == "--out" {
                let path = arguments.next().ok_or(Trouble::new(USAGE))?;
                options.out = Some(path.into());
            } else if argument.to_string_lossy().starts_with("--") {
                return Err(Trouble::new(USAGE).into());
            } else {
                options.files.push(argument.into());
            }
        }
        if options.files.is_empty() {
            let project = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
            options.files = ["README.md", "ARCHITECTURE.md"]
                .map(|name| project.join(name))
                .to_vec();
        }
        Ok(options)
    }
}

const USAGE: &str = "usage: cargo run --example quickstart -- [--out <directory>] [<text file>..]";

fn title(text: &str) {
    println!("\n== {text}");
}

fn print_json(value: &impl Serialize) -> Outcome<()> {
    println!("{}", serde_json::to_string_pretty(value)?);
    Ok(())
}

/// `text` as one word for a shell.
fn shell_word(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-".contains(c);
    if text.chars().all(plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}
