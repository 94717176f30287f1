//! Helps with the laws of hostile files: `hostile <corpus|mutants <seed> <count>>`.
//!
//! - `corpus`: makes what the fuzz targets begin with, and leaves alone what was found.
//! - `mutants <seed> <count>`: tries mutated files, and says what became of how many.

use std::error::Error;
use std::fs;

use milepost_tests::law::Shard;
use milepost_tests::laws::hostile::{corpus, mutants};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments = std::env::args().skip(1).collect::<Vec<_>>();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["corpus"] => make_corpus(),
        ["mutants", seed, count] => try_mutants(seed.parse()?, count.parse()?),
        _ => Err("usage: hostile <corpus|mutants <seed> <count>>".into()),
    }
}

fn make_corpus() -> Result<(), Box<dyn Error>> {
    for (target, name, bytes) in corpus::made().map_err(|how| how.to_string())? {
        let directory = corpus::directory(target);
        fs::create_dir_all(&directory)?;
        fs::write(directory.join(name), bytes)?;
    }
    // Every SQLite writes its own number into a file: made once.
    for processes in [3, 14] {
        let path = corpus::directory("database").join(format!("{processes}-processes"));
        if !path.exists() {
            fs::create_dir_all(corpus::directory("database"))?;
            let scratch = tempfile::tempdir()?;
            let bytes = corpus::small_database(&scratch.path().join("status.db"), processes);
            fs::write(path, bytes.map_err(|how| how.to_string())?)?;
        }
    }
    Ok(())
}

fn try_mutants(seed: u64, count: u64) -> Result<(), Box<dyn Error>> {
    let scratch = tempfile::tempdir()?;
    let shard = Shard {
        seed,
        count,
        until: None,
        scratch: scratch.path(),
    };
    let mut tally = mutants::Tally::default();
    let outcome = mutants::try_all(&shard, mutants::open, &mut tally);
    for (fate, count) in tally {
        println!("{count:6} {fate}");
    }
    match outcome {
        Ok(done) => println!("{done:?}"),
        Err(how) => {
            // What broke it is kept, to be looked at.
            let kept = scratch.keep();
            return Err(format!("seed {seed}, kept in {}: {how}", kept.display()).into());
        }
    }
    Ok(())
}
