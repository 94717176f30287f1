//! From a file to a server, once one machine is too small, or back.
//!
//! `DATABASE_URL=.. cargo run --example move_house --features postgres -- <file> [--back]`

use std::error::Error;

use milepost::{CopyOptions, PostgresStore, SqliteStore, Tracker, copy};

const USAGE: &str = "usage: DATABASE_URL=<of a PostgreSQL server> move_house <file> [--back]";

fn main() -> Result<(), Box<dyn Error>> {
    let arguments = std::env::args().skip(1).collect::<Vec<_>>();
    let arguments = arguments.iter().map(String::as_str).collect::<Vec<_>>();
    let (file, back) = match arguments.as_slice() {
        [file] => (file, false),
        [file, "--back"] => (file, true),
        _ => return Err(USAGE.into()),
    };
    let url = std::env::var("DATABASE_URL").map_err(|_| USAGE)?;
    let on_file = Tracker::new(SqliteStore::open(file)?);
    let on_server = Tracker::new(PostgresStore::connect(&url)?);
    let (from, to) = if back {
        (&on_server, &on_file)
    } else {
        (&on_file, &on_server)
    };
    let options = CopyOptions::new()
        .each_step(|step| println!("{step}"))
        .refused(|id, why| eprintln!("{id} is left out: {why}"));
    let copied = copy(from, to, options)?;
    println!("{copied}");
    if !copied.is_whole() {
        return Err(
            "not every process is there as it is here: let its writers rest, and copy again".into(),
        );
    }
    Ok(())
}
