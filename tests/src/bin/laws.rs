//! Tries the laws of trust as often as is asked, and keeps what that has shown: `laws [--list] [<law>..]`.
//!
//! A law is tried in shards, each with a seed of its own. What a shard has shown is a line in
//! `tests/results/<date>-laws.csv`, so that a run that was broken off goes on where it stopped: a shard is tried
//! again only if the code has changed since. `MILEPOST_SEED` begins with another seed.
//!
//! Exit code 0: every law that was asked for has held as often as is asked, or cannot be tried here.

use std::collections::BTreeSet;
use std::error::Error;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Instant;

use milepost::{Clock, SystemClock};
use milepost_tests::law::{Done, Law, Shard, first_seed, say_skipped};
use milepost_tests::laws;

const HEADER: &str = "law,shard,seed,unit,asked,completed,seconds,commit,verdict";

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let arguments = std::env::args().skip(1).collect::<Vec<_>>();
    if arguments.iter().any(|argument| argument == "--list") {
        for law in laws::ALL {
            println!("{}: {} {}: {}", law.name, law.asked, law.unit, law.says);
        }
        return Ok(ExitCode::SUCCESS);
    }
    let chosen = if arguments.is_empty() {
        laws::ALL.to_vec()
    } else {
        let named =
            |name: &String| laws::named(name).ok_or(format!("no law is named {name}: see --list"));
        arguments.iter().map(named).collect::<Result<Vec<_>, _>>()?
    };
    let seed = first_seed();
    let results = Results::open()?;
    let mut held = true;
    for law in chosen {
        held &= results.try_law(law, seed)?;
    }
    Ok(if held {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// The result files, and what they say of the code as it stands.
struct Results {
    directory: PathBuf,
    commit: String,
    shown: BTreeSet<(String, u64)>,
}

impl Results {
    fn open() -> Result<Self, Box<dyn Error>> {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("results");
        let commit = commit();
        let mut shown = BTreeSet::new();
        // Until something is shown there is none.
        for entry in fs::read_dir(&directory).into_iter().flatten() {
            let path = entry?.path();
            if path.to_string_lossy().ends_with("-laws.csv") {
                let text = fs::read_to_string(path)?;
                let lines = text.lines().map(|line| line.split(',').collect::<Vec<_>>());
                shown.extend(lines.filter_map(|cells| match cells.as_slice() {
                    [law, _, seed, _, asked, completed, _, of, "held"]
                        if asked == completed && is_same_code(&[of, &commit], Some(law)) =>
                    {
                        Some(((*law).to_owned(), seed.parse().ok()?))
                    }
                    _ => None,
                }));
            }
        }
        Ok(Results {
            directory,
            commit,
            shown,
        })
    }

    /// Tries what is still to be tried of a law. Whether it has held.
    fn try_law(&self, law: &Law, first_seed: u64) -> Result<bool, Box<dyn Error>> {
        let mut asked = 0;
        for shard in 0.. {
            let count = law.shard.min(law.asked - asked);
            if count == 0 {
                break;
            }
            asked += count;
            let seed = first_seed + shard;
            if self.shown.contains(&(law.name.to_owned(), seed)) {
                println!(
                    "{} {asked} of {} {}: shown before",
                    law.name, law.asked, law.unit
                );
                continue;
            }
            let scratch = tempfile::tempdir()?;
            let began = Instant::now();
            let outcome = law.try_shard(&Shard {
                seed,
                count,
                until: None,
                scratch: scratch.path(),
            });
            let (completed, verdict) = match &outcome {
                Ok(Done::Tried(done)) if *done == count => (*done, "held".to_owned()),
                Ok(Done::Tried(done)) => (*done, "fell short".to_owned()),
                Ok(Done::Skipped(why)) => {
                    say_skipped(law.name, why);
                    (0, format!("SKIPPED: {why}"))
                }
                Err(how) => (0, format!("BROKEN: {how}")),
            };
            let seconds = began.elapsed().as_secs();
            println!(
                "{} {asked} of {} {}, seed {seed}, {seconds} s: {verdict}",
                law.name, law.asked, law.unit
            );
            // A line is one line, and a cell one cell.
            let cell = verdict.replace([',', '\n', '"'], ";");
            self.keep(&format!(
                "{},{shard},{seed},{},{count},{completed},{seconds},{},{cell}",
                law.name, law.unit, self.commit
            ))?;
            if verdict != "held" {
                return Ok(matches!(outcome, Ok(Done::Skipped(_))));
            }
        }
        Ok(true)
    }

    fn keep(&self, line: &str) -> Result<(), Box<dyn Error>> {
        fs::create_dir_all(&self.directory)?;
        let today = SystemClock.now().format("%Y-%m-%d");
        let path = self.directory.join(format!("{today}-laws.csv"));
        let is_new = !path.exists();
        let mut file = OpenOptions::new().create(true).append(true).open(path)?;
        if is_new {
            writeln!(file, "{HEADER}")?;
        }
        writeln!(file, "{line}")?;
        Ok(())
    }
}

/// The commit that is checked out, marked if the code differs from it.
fn commit() -> String {
    let commit = git(&["rev-parse", "--short=12", "HEAD"]).unwrap_or_else(|| "unknown".to_owned());
    let is_clean = is_same_code(&["HEAD"], None);
    if is_clean {
        commit
    } else {
        format!("{commit}+changes")
    }
}

/// The laws that have a directory of their own: what changes in it is nothing to the others.
const DIRECTORIES: [(&str, &[&str]); 4] = [
    ("crash", &["kills", "cuts", "cuts-on-xfs"]),
    (
        "erase",
        &[
            "erased",
            "wipes-killed",
            "wipe-cuts",
            "wipe-cuts-on-xfs",
            "wipe-waits",
            "media",
        ],
    ),
    (
        "fault",
        &["faults", "faults-in-large", "full-for-one", "full-disk"],
    ),
    (
        "hostile",
        &["decoders", "mutants", "names", "texts", "clocks"],
    ),
];

/// Whether nothing that a law is about, or any law, differs between two commits, or one and what is checked out.
fn is_same_code(commits: &[&str], law: Option<&str>) -> bool {
    let code = [
        "--",
        "crates/*/src/*",
        "crates/*/tests/golden/*",
        // No law calls it.
        ":!crates/milepost-tokio",
        "tests/src",
        // It says what is tried again, and tries nothing itself.
        ":!tests/src/bin/laws.rs",
        "tests/faults",
        "tests/tests/__fuzz__",
        "Cargo.lock",
    ];
    let others = DIRECTORIES
        .iter()
        .filter(|(_, laws)| law.is_some_and(|law| !laws.contains(&law)))
        .map(|(directory, _)| format!(":!tests/src/laws/{directory}"))
        .collect::<Vec<_>>();
    let others = others.iter().map(String::as_str).collect::<Vec<_>>();
    git(&[&["diff", "--quiet"], commits, &code, &others].concat()).is_some()
}

/// What git prints, if it succeeds.
fn git(arguments: &[&str]) -> Option<String> {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
    let mut git = Command::new("git");
    let output = git.current_dir(root).args(arguments).output().ok()?;
    let printed = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| printed.trim().to_owned())
}
