//! What a program that prints figures is told, and what it prints around them.

use std::env;
use std::path::Path;

use crate::rounds::Outcome;
use crate::run::{Run, Scale};
use crate::save::{save, settings};
use crate::table::Table;

const FLAGS: [&str; 4] = ["--bench", "--quick", "--markdown", "--save"];

/// A program that prints figures.
#[derive(Debug, Clone, Copy)]
pub struct Program {
    /// What its files in `results/` are named.
    pub name: &'static str,
    /// Where files may be made: on a disk, for a file in memory is synced at no cost.
    pub directory: &'static str,
    /// What its figures mean nothing without, besides the machine.
    pub settings: fn() -> Vec<String>,
    /// Measures all figures that are wanted.
    pub measure: fn(&mut Run) -> Outcome<()>,
}

impl Program {
    /// Measures, as the arguments have it: `[--quick] [--markdown] [--save] [part of a figure's name]..`.
    pub fn run(&self) -> Outcome<()> {
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
        let directory = tempfile::tempdir_in(self.directory)?;
        let mut run = Run::new(scale, directory.path().to_path_buf(), wanted);
        let mut settings = settings(&run);
        settings.extend((self.settings)());
        for line in &settings {
            println!("{line}");
        }
        Table::print_heads();
        (self.measure)(&mut run)?;
        let table = run.into_table();
        if has("--markdown") {
            println!("\n{}", table.markdown());
        }
        if has("--save") {
            let results = Path::new(env!("CARGO_MANIFEST_DIR")).join("results");
            let kept = save(&table, &settings, &results, self.name)?;
            println!("kept in {}", kept.display());
        }
        Ok(())
    }
}
