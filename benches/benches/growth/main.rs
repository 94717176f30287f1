//! How the figures grow with the file: each on files of several sizes, milepost beside the hand-written store.
//!
//! ```text
//! cargo bench -p milepost-benches --bench growth -- 10000 100000 1000000 --plot
//! ```
//!
//! Both sides, each alone in an OS process of its own, one after the other: a file is filled, 1,000 processes a
//! transaction, with processes of 4 modules that have settled and about 90 bytes of text; the file is closed, and
//! opened again; then each figure is measured, at `synchronous=NORMAL`. The page cache is as the work before left
//! it. There is one file at a time, of about 400 bytes a process, and it is deleted before the next.
//!
//! What comes out is a table, `benches/results/<date>-growth.csv`, and with `--plot` a drawing beside it.

mod measure;
mod sides;

use std::fs;
use std::path::Path;

use milepost::{Clock, SystemClock};
use milepost_benches::by_hand::ByHand;
use milepost_benches::ours::Milepost;
use milepost_benches::plot::{self, Growth};
use milepost_benches::rounds::Outcome;
use milepost_benches::{child, proc};

use measure::{FIGURES, measure};

/// Sizes that are done in a minute or two.
const SIZES: [u64; 2] = [10_000, 100_000];
const RESULTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/results");

fn main() -> Outcome<()> {
    if let Some(task) = child::task() {
        return work(&task);
    }
    let (mut sizes, mut plots) = (Vec::new(), false);
    for argument in std::env::args().skip(1) {
        match argument.as_str() {
            // Cargo's own.
            "--bench" => {}
            "--plot" => plots = true,
            size => sizes
                .push(size.parse::<u64>().map_err(|_| {
                    format!("{size:?} is neither a number of processes nor --plot")
                })?),
        }
    }
    if sizes.is_empty() {
        sizes.extend(SIZES);
    }
    let rows = run(&sizes)?;
    let csv = csv(&rows)?;
    fs::create_dir_all(RESULTS)?;
    let path = format!("{RESULTS}/{}-growth.csv", SystemClock.now().date_naive());
    fs::write(&path, csv)?;
    println!("{path}");
    if plots {
        let path = format!("{RESULTS}/growth.svg");
        let svg = plot::growth(&rows).map_err(|trouble| trouble.to_string())?;
        fs::write(&path, svg)?;
        println!("{path}");
    }
    Ok(())
}

fn run(sizes: &[u64]) -> Outcome<Vec<Growth>> {
    println!(
        "{:>10}  {:<32} {:>14} {:>14} {:>7}",
        "processes", "figure", "milepost", "by hand", "ratio"
    );
    let mut rows = Vec::new();
    for size in sizes {
        let text = size.to_string();
        let ours = child::ask(&["milepost", &text])?;
        let theirs = child::ask(&["by hand", &text])?;
        for (index, (figure, unit)) in FIGURES.into_iter().enumerate() {
            let row = Growth {
                figure: figure.to_owned(),
                unit: unit.to_owned(),
                processes: *size,
                milepost: child::figure(&ours, index)?,
                by_hand: Some(child::figure(&theirs, index)?),
            };
            print(&row);
            rows.push(row);
        }
    }
    Ok(rows)
}

fn print(row: &Growth) {
    let title = format!("{}, {}", row.figure, row.unit);
    let by_hand = row.by_hand.unwrap_or(f64::NAN);
    let ratio = row.milepost / by_hand;
    println!(
        "{:>10}  {title:<32} {:>14.2} {by_hand:>14.2} {ratio:>7.2}",
        row.processes, row.milepost
    );
}

fn csv(rows: &[Growth]) -> Outcome<String> {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let mut csv = format!(
        "# cores: {cores}; SQLite: {}; file system: {}\n\
         # WAL, synchronous=NORMAL, secure_delete on, 4 KiB pages; 4 settled modules, about 90 bytes of text\n\
         # each side alone in an OS process; by hand: the hand-written store in benches/src/baseline\n",
        rusqlite::version(),
        proc::file_system(directory),
    );
    let mut writer = csv::Writer::from_writer(Vec::new());
    for row in rows {
        writer.serialize(row)?;
    }
    let bytes = writer.into_inner().map_err(|error| error.to_string())?;
    csv.push_str(&String::from_utf8(bytes)?);
    Ok(csv)
}

/// What a child does: one side at one size, in a directory that goes with it.
fn work(task: &[String]) -> Outcome<()> {
    let [side, size] = task else {
        return Err("a child is told a side and a size".into());
    };
    let size = size.parse()?;
    let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
    let path = directory.path().join("status.db");
    let figures = match side.as_str() {
        "milepost" => measure::<Milepost>(&path, size)?,
        _ => measure::<ByHand>(&path, size)?,
    };
    child::answer(&figures);
    Ok(())
}
