//! Holds the instruction counts to those that were accepted, in `benches/instructions.txt`.
//!
//! ```text
//! cargo run -p milepost-benches --bin instructions                the counts, beside the accepted ones
//! cargo run -p milepost-benches --bin instructions -- --accept    accepts the counts as they are now
//! cargo run -p milepost-benches --bin instructions -- --builder   what builds here, for which counts hold
//! ```
//!
//! The bench `instructions` counts, for which it takes valgrind, and gungraun's runner on the `PATH` or in
//! `target/tools`: `./test` installs both where it can.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};

type Outcome<T> = Result<T, Box<dyn Error>>;
/// What each figure counts.
type Counts = BTreeMap<String, u64>;

const ACCEPTED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/instructions.txt");
const RUNNERS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../target/tools/bin");
/// By how many percent a count may rise: hash maps place their keys at random, and libraries differ a little.
const SLACK: u64 = 5;
const HOW_TO_ACCEPT: &str = "cargo run -p milepost-benches --bin instructions -- --accept";

fn main() -> Outcome<ExitCode> {
    let arguments = std::env::args().skip(1).collect::<Vec<_>>();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["--builder"] => println!("{}", builder()?),
        ["--accept"] => {
            let counts = count()?;
            fs::write(ACCEPTED, write(&builder()?, &counts))?;
            println!("accepted: {} counts in {ACCEPTED}", counts.len());
        }
        [] => {
            let judged = judge(&read(&fs::read_to_string(ACCEPTED)?)?, &count()?);
            println!("{}", judged.table);
            if !judged.faults.is_empty() {
                eprintln!("{}", judged.faults.join("\n"));
                eprintln!("If that is what the change is worth: {HOW_TO_ACCEPT}");
                return Ok(ExitCode::FAILURE);
            }
        }
        _ => return Err("usage: instructions [--accept | --builder]".into()),
    }
    Ok(ExitCode::SUCCESS)
}

/// What decides the counts: the architecture, and the compilers of Rust and of SQLite.
fn builder() -> Outcome<String> {
    let rustc = output(Command::new("rustc").arg("--version"))?;
    let rustc = rustc.split([' ', '-']).nth(1).unwrap_or_default();
    let cc = output(Command::new("cc").arg("-dumpversion"))?;
    let (architecture, cc) = (std::env::consts::ARCH, cc.trim());
    Ok(format!("{architecture}, rustc {rustc}, cc {cc}"))
}

/// Runs the bench.
fn count() -> Outcome<Counts> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let runners = PathBuf::from(RUNNERS);
    let path = std::env::join_paths(std::iter::once(runners).chain(std::env::split_paths(&path)))?;
    let mut bench = Command::new(env!("CARGO"));
    let bench = bench
        .args(["bench", "--quiet", "--locked", "-p", "milepost-benches"])
        .args(["--bench", "instructions", "--", "--output-format=json"])
        .env("PATH", path);
    counts(&output(bench)?)
}

fn output(command: &mut Command) -> Outcome<String> {
    let output = command.stderr(Stdio::inherit()).output()?;
    if !output.status.success() {
        return Err(format!("{command:?} ended with {}", output.status).into());
    }
    Ok(String::from_utf8(output.stdout)?)
}

/// Reads what gungraun says: a line of JSON for each figure.
fn counts(json: &str) -> Outcome<Counts> {
    let mut counts = Counts::new();
    for line in json.lines().filter(|line| !line.trim().is_empty()) {
        let said = serde_json::from_str::<serde_json::Value>(line)?;
        let text = |key: &str| said[key].as_str().unwrap_or_default();
        let name = format!("{}/{}", text("function_name"), text("id"));
        let count = said.pointer("/profiles/0/data/total/metrics/Ir/values/new");
        let count = count.and_then(serde_json::Value::as_u64);
        counts.insert(name, count.ok_or("gungraun gave no count")?);
    }
    Ok(counts)
}

/// The file of what is accepted: whoever built it, then a line for each figure.
fn write(builder: &str, counts: &Counts) -> String {
    let mut text = format!(
        "# Accepted instruction counts: benches/benches/instructions says what they are. Written by\n\
         # {HOW_TO_ACCEPT}\n\
         # builder: {builder}\n"
    );
    for (name, count) in counts {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{name} {count}");
    }
    text
}

fn read(text: &str) -> Outcome<Counts> {
    let mut counts = Counts::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let (name, count) = line.split_once(' ').ok_or("a line has no count")?;
        counts.insert(name.to_owned(), count.parse()?);
    }
    Ok(counts)
}

/// How the counts stand to the accepted ones.
#[derive(Debug, Default)]
struct Judged {
    table: String,
    faults: Vec<String>,
}

fn judge(accepted: &Counts, counted: &Counts) -> Judged {
    let mut judged = Judged::default();
    for (name, now) in counted {
        let Some(before) = accepted.get(name) else {
            judged
                .faults
                .push(format!("{name}: {now}, and none is accepted"));
            continue;
        };
        let change = percent(*before, *now);
        // Writing to a string cannot fail.
        let _ = writeln!(
            judged.table,
            "{name:<28} {before:>10} {now:>10} {change:>+7.1} %"
        );
        if u128::from(*now) * 100 > u128::from(*before) * u128::from(100 + SLACK) {
            judged.faults.push(format!(
                "{name}: {now} instructions, {change:.1} % above the accepted {before}; {SLACK} % are allowed"
            ));
        }
    }
    let gone = accepted.keys().filter(|name| !counted.contains_key(*name));
    let gone = gone.map(|name| format!("{name}: it is accepted, but was not counted"));
    judged.faults.extend(gone);
    judged
}

#[expect(clippy::cast_precision_loss, reason = "a share, for people")]
fn percent(before: u64, now: u64) -> f64 {
    (now as f64 / before as f64 - 1.0) * 100.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(count: u64) -> Counts {
        Counts::from([("read/sqlite".to_owned(), count)])
    }

    #[test]
    fn a_count_may_rise_by_the_slack_and_no_more() {
        assert_eq!(judge(&one(1000), &one(1050)).faults, [""; 0]);
        assert_eq!(judge(&one(1000), &one(10)).faults, [""; 0]);
        assert_eq!(
            judge(&one(1000), &one(1051)).faults,
            ["read/sqlite: 1051 instructions, 5.1 % above the accepted 1000; 5 % are allowed"]
        );
    }

    #[test]
    fn a_figure_that_is_new_or_gone_is_a_fault() {
        assert_eq!(judge(&Counts::new(), &one(7)).faults.len(), 1);
        assert_eq!(judge(&one(7), &Counts::new()).faults.len(), 1);
    }

    #[test]
    fn what_is_accepted_is_read_as_it_was_written() {
        let text = write("x86_64, rustc 1.95.0, cc 12", &one(123));
        assert!(text.contains("\n# builder: x86_64, rustc 1.95.0, cc 12\n"));
        assert_eq!(read(&text).unwrap(), one(123));
        assert!(read("read/sqlite many").is_err());
    }

    #[test]
    fn a_count_is_found_in_what_gungraun_says_and_its_absence_is_an_error() {
        let line = |metrics| {
            format!(
                r#"{{"function_name":"read","id":"sqlite","profiles":[{{"data":{{"total":{{"metrics":{metrics}}}}}}}]}}"#
            )
        };
        let said = line(r#"{"Ir":{"values":{"new":42,"old":41}}}"#);
        assert_eq!(counts(&said).unwrap(), one(42));
        assert!(counts(&line("{}")).is_err());
        assert!(counts("no JSON").is_err());
    }
}
