//! Runs a PostgreSQL server of one's own until its input ends: `server`. Prints how to reach it.

use std::io::{Read as _, stdin};

use milepost_server::Server;

fn main() -> std::io::Result<()> {
    let server = Server::start();
    println!("{}", server.tcp_url());
    // What is typed is nothing to it.
    let mut typed = Vec::new();
    stdin().read_to_end(&mut typed)?;
    Ok(())
}
