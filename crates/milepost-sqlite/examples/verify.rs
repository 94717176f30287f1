//! Looks for what was erased in the files of a store: `verify <file> <mark>..`.
//!
//! A mark is a text that only the erased process had, or an id. Exit code 0: nothing was found; 1: something was, and
//! where; 2: the files could not be looked through. No store of another OS process has to be closed for it.
//!
//! ```text
//! cargo run -p milepost-sqlite --example verify -- status.db 018f6f2e-8c3a-7000-8000-000000000001 invoice-4711.pdf
//! ```

use std::error::Error;
use std::process::ExitCode;

use milepost_sqlite::{Mark, Traces, verify_erased};

fn main() -> ExitCode {
    match verify() {
        Ok(traces) => {
            println!("{traces}");
            ExitCode::from(u8::from(!traces.is_clean()))
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(2)
        }
    }
}

fn verify() -> Result<Traces, Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let file = arguments.next().ok_or("usage: verify <file> <mark>..")?;
    let marks = arguments.map(Mark::text).collect::<Vec<_>>();
    verify_erased(&file, &marks).map_err(|error| {
        let cause = error.source().map(ToString::to_string);
        cause.unwrap_or_else(|| error.to_string()).into()
    })
}
