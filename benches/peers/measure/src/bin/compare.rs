//! Runs the programs in turns and prints how many times faster milepost is than each of the others.
//!
//! ```text
//! compare <directory of the programs> <directory for the files> [--rounds n] [--millis n] [--only <name>]
//! ```

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use measure::{Outcome, Work};

const OURS: &str = "milepost";
/// How much of the factor of the hand-written code is asked of milepost.
const SHARE: f64 = 0.8;

/// One row of the table.
struct Row {
    peer: &'static str,
    work: Work,
    clients: usize,
    /// How many times faster than the peer hand-written code was that keeps one row a process and commits
    /// for all that wait, through one connection at `synchronous=FULL`. Measured once, on a machine with two
    /// cores, in the same run as the peer. None where that was not measured.
    by_hand: Option<f64>,
}

const fn row(peer: &'static str, work: Work, clients: usize, by_hand: f64) -> Row {
    Row {
        peer,
        work,
        clients,
        by_hand: Some(by_hand),
    }
}

const fn not_by_hand(peer: &'static str, work: Work, clients: usize) -> Row {
    Row {
        peer,
        work,
        clients,
        by_hand: None,
    }
}

const ROWS: [Row; 28] = [
    row("effectum", Work::Create, 1, 4.0),
    row("effectum", Work::Create, 8, 3.5),
    row("effectum", Work::CreateMany, 1, 2.6),
    row("effectum", Work::Advance, 1, 4.9),
    row("effectum", Work::Advance, 8, 3.8),
    row("effectum", Work::Status, 1, 35.0),
    row("effectum", Work::Status, 8, 16.0),
    not_by_hand("effectum", Work::Run, 1),
    row("effectum", Work::Run, 8, 4.0),
    not_by_hand("effectum", Work::RunTogether, 8),
    row("apalis", Work::Create, 1, 2.3),
    row("apalis", Work::Create, 8, 7.7),
    row("apalis", Work::CreateMany, 1, 5.0),
    row("apalis", Work::Status, 1, 22.0),
    row("apalis", Work::Status, 8, 12.0),
    not_by_hand("apalis", Work::Run, 1),
    row("apalis", Work::Run, 8, 3.1),
    row("headgate", Work::Create, 1, 2.2),
    row("headgate", Work::Create, 8, 8.4),
    row("headgate", Work::CreateMany, 1, 6.5),
    row("headgate", Work::CreateWaiting, 1, 6.9),
    row("headgate", Work::CreateWaiting, 8, 22.0),
    row("headgate", Work::Advance, 1, 1.4),
    row("headgate", Work::Advance, 8, 4.6),
    row("headgate", Work::Status, 1, 34.0),
    row("headgate", Work::Status, 8, 52.0),
    not_by_hand("headgate", Work::Run, 1),
    row("headgate", Work::Run, 8, 8.1),
];

fn main() -> Outcome<()> {
    let options = Options::parse()?;
    let rows = ROWS
        .iter()
        .filter(|row| options.only.as_deref().is_none_or(|only| only == row.peer))
        .collect::<Vec<_>>();
    println!("settings: journal, and synchronous as far as it can be asked");
    for program in [OURS, "effectum", "apalis", "headgate"] {
        let said = options.program(program, Work::Durability, 1)?;
        println!("    {program}: {said}");
    }
    let mut measured = rows.iter().map(|_| Vec::new()).collect::<Vec<_>>();
    for round in 0..options.rounds {
        for (row, pairs) in rows.iter().zip(&mut measured) {
            pairs.push(options.pair(row, round)?);
            eprint!(".");
        }
        eprintln!(" round {} of {}", round + 1, options.rounds);
    }
    print_table(&rows, &measured);
    Ok(())
}

/// Operations a second, of both sides, one right after the other.
#[derive(Clone, Copy)]
struct Pair {
    peer: f64,
    ours: f64,
}

struct Options {
    programs: PathBuf,
    files: PathBuf,
    rounds: usize,
    millis: u64,
    only: Option<String>,
}

impl Options {
    fn parse() -> Outcome<Self> {
        let mut arguments = std::env::args().skip(1);
        let usage = "usage: <programs> <files> [--rounds n] [--millis n] [--only <name>]";
        let mut options = Options {
            programs: arguments.next().ok_or(usage)?.into(),
            files: arguments.next().ok_or(usage)?.into(),
            rounds: 3,
            millis: 1_000,
            only: None,
        };
        while let Some(name) = arguments.next() {
            let value = arguments.next().ok_or(usage)?;
            match name.as_str() {
                "--rounds" => options.rounds = value.parse()?,
                "--millis" => options.millis = value.parse()?,
                "--only" => options.only = Some(value),
                _ => return Err(usage.into()),
            }
        }
        if options.rounds == 0 || options.millis == 0 {
            return Err("rounds and milliseconds are at least 1".into());
        }
        Ok(options)
    }

    /// Measures both sides of a row; who begins changes with the round.
    fn pair(&self, row: &Row, round: usize) -> Outcome<Pair> {
        let figure = |program| -> Outcome<f64> {
            Ok(self.program(program, row.work, row.clients)?.parse()?)
        };
        if round.is_multiple_of(2) {
            let peer = figure(row.peer)?;
            let ours = figure(OURS)?;
            Ok(Pair { peer, ours })
        } else {
            let ours = figure(OURS)?;
            let peer = figure(row.peer)?;
            Ok(Pair { peer, ours })
        }
    }

    /// Runs a program in a directory of its own, and answers what it printed.
    fn program(&self, name: &str, work: Work, clients: usize) -> Outcome<String> {
        let directory = self.files.join("run");
        fresh(&directory)?;
        let output = Command::new(self.programs.join(format!("peer-{name}")))
            .arg(work.word())
            .arg(clients.to_string())
            .arg(self.millis.to_string())
            .arg(&directory)
            .output()?;
        fs::remove_dir_all(&directory)?;
        if !output.status.success() {
            let complaint = String::from_utf8_lossy(&output.stderr);
            return Err(format!("{name}, {}, {clients}: {complaint}", work.word()).into());
        }
        Ok(String::from_utf8(output.stdout)?.trim().to_owned())
    }
}

fn fresh(directory: &Path) -> Outcome<()> {
    if directory.exists() {
        fs::remove_dir_all(directory)?;
    }
    Ok(fs::create_dir_all(directory)?)
}

fn print_table(rows: &[&Row], measured: &[Vec<Pair>]) {
    println!();
    println!(
        "| peer | work | clients | peer, a second | milepost, a second | factor | by hand | 0.8 of it |"
    );
    println!("|---|---|---|---|---|---|---|---|");
    for (row, pairs) in rows.iter().zip(measured) {
        let peer = median(pairs.iter().map(|pair| pair.peer));
        let ours = median(pairs.iter().map(|pair| pair.ours));
        // Of the rounds' own factors: what slows the machine down for a while slows both sides of a pair.
        let factor = median(pairs.iter().map(|pair| pair.ours / pair.peer));
        let (by_hand, reached) = match row.by_hand {
            Some(by_hand) if factor >= SHARE * by_hand => (by_hand.to_string(), "reached"),
            Some(by_hand) => (by_hand.to_string(), "not reached"),
            None => ("-".to_owned(), "-"),
        };
        println!(
            "| {} | {} | {} | {peer:.0} | {ours:.0} | {factor:.1} | {by_hand} | {reached} |",
            row.peer,
            words(row.work),
            row.clients
        );
    }
}

fn words(work: Work) -> &'static str {
    match work {
        Work::Durability => "settings",
        Work::Create => "create",
        Work::CreateMany => "create, 100 a call",
        Work::CreateWaiting => "create, 20,000 waiting",
        Work::Advance => "advance",
        Work::Status => "status by id",
        Work::Run => "run a job",
        Work::RunTogether => "run a job, taken up in eights",
    }
}

fn median(figures: impl Iterator<Item = f64>) -> f64 {
    let mut figures = figures.collect::<Vec<_>>();
    figures.sort_by(f64::total_cmp);
    let middle = figures.len() / 2;
    if figures.len().is_multiple_of(2) {
        f64::midpoint(figures[middle - 1], figures[middle])
    } else {
        figures[middle]
    }
}
