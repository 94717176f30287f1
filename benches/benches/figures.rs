//! Prints how fast milepost is beside hand-written code, on the same settings, in the same run.
//!
//! ```text
//! cargo bench -p milepost-benches --bench figures -- [--quick] [--markdown] [--save] [part of a figure's name]..
//! ```
//!
//! `--quick` measures on small files, briefly; `--markdown` prints the table for a document once more; `--save` keeps it
//! in `results/`. What is done for each figure stands in `src/figures/`.

use milepost_benches::child;
use milepost_benches::command::Program;
use milepost_benches::figures::{measure, serve};
use milepost_benches::rounds::Outcome;
use milepost_benches::save::of_sqlite;

fn main() -> Outcome<()> {
    if let Some(task) = child::task() {
        return serve(&task);
    }
    let figures = Program {
        name: "figures",
        directory: env!("CARGO_TARGET_TMPDIR"),
        settings: of_sqlite,
        measure,
    };
    figures.run()
}
