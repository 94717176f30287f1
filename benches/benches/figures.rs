//! Prints how fast milepost is beside hand-written code, on the same settings, in the same run.
//!
//! ```text
//! cargo bench -p milepost-benches --bench figures -- [--quick] [--markdown] [--save] [part of a figure's name]..
//! ```
//!
//! `--quick` measures on small files, briefly; `--markdown` prints the table for a document once more; `--save` keeps it
//! in `results/`. What is done for each figure stands in `src/figures/`.

use std::env;
use std::path::Path;

use milepost_benches::child;
use milepost_benches::figures::{measure, serve};
use milepost_benches::rounds::Outcome;
use milepost_benches::run::{Run, Scale};
use milepost_benches::save::{save, settings};
use milepost_benches::table::Table;

fn main() -> Outcome<()> {
    if let Some(task) = child::task() {
        return serve(&task);
    }
    let (flags, wanted) = env::args()
        .skip(1)
        .partition::<Vec<_>, _>(|argument| argument.starts_with("--"));
    let has = |flag: &str| flags.iter().any(|given| given == flag);
    if let Some(unknown) = flags.iter().find(|flag| !FLAGS.contains(&flag.as_str())) {
        return Err(format!("{unknown} is none of {FLAGS:?}").into());
    }
    let scale = match (has("--bench"), has("--quick")) {
        // `cargo bench` passes `--bench`; `cargo test --benches` does not, and wants to see it run.
        (false, _) => Scale::BRIEF,
        (true, true) => Scale::QUICK,
        (true, false) => Scale::FULL,
    };
    // On the disk that is built on, for a file in memory is synced at no cost.
    let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
    let mut run = Run::new(scale, directory.path().to_path_buf(), wanted);
    let settings = settings(&run);
    for line in &settings {
        println!("{line}");
    }
    Table::print_heads();
    measure(&mut run)?;
    let table = run.into_table();
    if has("--markdown") {
        println!("\n{}", table.markdown());
    }
    if has("--save") {
        let results = Path::new(env!("CARGO_MANIFEST_DIR")).join("results");
        println!("kept in {}", save(&table, &settings, &results)?.display());
    }
    Ok(())
}

const FLAGS: [&str; 4] = ["--bench", "--quick", "--markdown", "--save"];
