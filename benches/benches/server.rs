//! Prints how fast milepost is on a PostgreSQL server beside hand-written code on the same server, in the same run.
//!
//! ```text
//! cargo bench -p milepost-benches --bench server -- [--quick] [--markdown] [--save] [part of a figure's name]..
//! ```
//!
//! The server is one of its own, made from the PostgreSQL that is installed.

use milepost_benches::command::Program;
use milepost_benches::figures::server::{measure, settings};
use milepost_benches::rounds::Outcome;

fn main() -> Outcome<()> {
    let server = Program {
        name: "server",
        directory: env!("CARGO_TARGET_TMPDIR"),
        settings,
        measure,
    };
    server.run()
}
