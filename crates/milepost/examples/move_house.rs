//! From a file to a server, once one machine is too small, or back.
//!
//! `cargo run --example move_house --features postgres -- <file> <url> [--back]`

use std::error::Error;

use milepost::{CopyOptions, PostgresStore, SqliteStore, Tracker, copy};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments = std::env::args().skip(1).collect::<Vec<_>>();
    let arguments = arguments.iter().map(String::as_str).collect::<Vec<_>>();
    let (file, url, back) = match arguments.as_slice() {
        [file, url] => (file, url, false),
        [file, url, "--back"] => (file, url, true),
        _ => return Err("usage: move_house <file> <url of a PostgreSQL server> [--back]".into()),
    };
    let on_file = Tracker::new(SqliteStore::open(file)?);
    let on_server = Tracker::new(PostgresStore::connect(url)?);
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
