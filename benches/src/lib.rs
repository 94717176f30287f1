//! Figures of milepost beside hand-written code on the same settings in the same run.
//!
//! `cargo bench -p milepost-benches` prints them: see `README.md`.

pub mod baseline;
pub mod by_hand;
pub mod child;
pub mod figures;
pub mod ours;
pub mod plot;
pub mod proc;
pub mod rounds;
pub mod run;
pub mod save;
pub mod table;
pub mod waits;
pub mod workload;
