//! Asks how far a process is, from outside: another OS process than the one that works.
//!
//! ```text
//! cargo run --example status -- <file> <request_id>                         # one report
//! cargo run --example status -- <file> <request_id> --wait                  # once it has settled
//! cargo run --example status -- <file> <request_id> --wait --timeout 5      # but no later than that
//! ```
//!
//! The exit code is 0 with a report, and 1 if there is no such process or it could not be asked.

use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use milepost::{RequestId, SqliteConfig, SqliteStore, TrackError, Tracker};

const USAGE: &str =
    "usage: cargo run --example status -- <file> <request_id> [--wait] [--timeout <seconds>]";

struct Options {
    file: PathBuf,
    id: RequestId,
    wait: bool,
    timeout: Duration,
}

fn main() -> ExitCode {
    match Options::parse().and_then(|options| ask(&options)) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error}");
            let mut cause = error.source();
            while let Some(error) = cause {
                eprintln!("  because: {error}");
                cause = error.source();
            }
            ExitCode::FAILURE
        }
    }
}

fn ask(options: &Options) -> Result<ExitCode, Box<dyn Error>> {
    // Making a new file where none is would be right for who begins processes, and wrong for who asks.
    let tracker = Tracker::new(SqliteStore::open_with(SqliteConfig {
        create_if_missing: false,
        ..SqliteConfig::new(&options.file)
    })?);

    let settled = if options.wait {
        tracker.wait(options.id, options.timeout).map(drop)
    } else {
        Ok(())
    };
    match settled.and_then(|()| tracker.process_status(options.id)) {
        Ok(report) => {
            println!("{}", serde_json::to_string_pretty(&report)?);
            Ok(ExitCode::SUCCESS)
        }
        Err(error) if error.is_not_found() => {
            let report = tracker.not_found_report(options.id);
            println!("{}", serde_json::to_string_pretty(&report)?);
            Ok(ExitCode::FAILURE)
        }
        Err(TrackError::Timeout) => {
            let waited = options.timeout.as_secs();
            Err(format!("the process is still at work after {waited} s").into())
        }
        Err(error) => Err(error.into()),
    }
}

impl Options {
    fn parse() -> Result<Self, Box<dyn Error>> {
        let (mut places, mut wait, mut timeout) = (Vec::new(), false, Duration::from_mins(1));
        let mut arguments = std::env::args_os().skip(1);
        while let Some(argument) = arguments.next() {
            match argument.to_str() {
                Some("--wait") => wait = true,
                Some("--timeout") => {
                    let seconds = arguments.next().unwrap_or_default();
                    let seconds = seconds.to_string_lossy().parse::<u32>();
                    timeout = Duration::from_secs(seconds.map_err(|_| USAGE)?.into());
                }
                Some(unknown) if unknown.starts_with("--") => return Err(USAGE.into()),
                _ => places.push(argument),
            }
        }
        let [file, id] = <[_; 2]>::try_from(places).map_err(|_| USAGE)?;
        let id = id.to_string_lossy();
        Ok(Options {
            file: file.into(),
            id: id.parse().map_err(|error| format!("`{id}`: {error}"))?,
            wait,
            timeout,
        })
    }
}
