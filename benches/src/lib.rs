//! Figures of milepost beside hand-written code on the same settings in the same run.
//!
//! `cargo bench -p milepost-benches` prints them: see `README.md`.

pub mod baseline;
