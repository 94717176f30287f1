//! Draws files of figures: `cargo run -p milepost-benches --bin plot -- benches/results/*.csv`.
//!
//! What ends in `-growth.csv` becomes `growth.svg`, and what ends in `-figures.csv` becomes `targets.svg`, in
//! the same directory; of several of a kind the last one stays, which is the newest, for they begin with a date.

use std::path::PathBuf;

use milepost_benches::plot::{self, Trouble};

fn main() -> Result<(), Trouble> {
    let paths = std::env::args_os().skip(1).map(PathBuf::from);
    let paths = paths.collect::<Vec<_>>();
    if paths.is_empty() {
        return Err("name the files to draw, such as benches/results/*.csv".into());
    }
    for path in paths {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let csv = || std::fs::read_to_string(&path);
        let (svg, drawn) = if name.ends_with("-growth.csv") {
            (plot::growth(&plot::rows(&csv()?)?)?, "growth.svg")
        } else if name.ends_with("-figures.csv") {
            (plot::targets(&plot::rows(&csv()?)?)?, "targets.svg")
        } else {
            return Err(format!("{}: neither -growth.csv nor -figures.csv", path.display()).into());
        };
        let drawn = path.with_file_name(drawn);
        std::fs::write(&drawn, svg)?;
        println!("{} -> {}", path.display(), drawn.display());
    }
    Ok(())
}
