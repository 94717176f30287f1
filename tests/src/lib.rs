//! Laws of milepost that span crates and OS processes: see `tests/`. The programs in `src/bin` are the
//! OS processes.
//!
//! The laws of trust are in [`laws`]: what is promised of crashes, faults, erasure, rivals and hostile files.
//! `./test` tries each briefly; `cargo run --release -p milepost-tests --bin laws` tries them as often as is
//! asked, and keeps what it has shown in `tests/results`.
//!
//! The programs in the project's documents are run from here too, as doctests.

pub mod bent;
pub mod disk;
pub mod law;
pub mod laws;
pub mod race;
pub mod reads;

/// The programs in `README.md`.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
pub struct Readme;

/// The programs in `ARCHITECTURE.md`.
#[cfg(doctest)]
#[doc = include_str!("../../ARCHITECTURE.md")]
pub struct Architecture;

/// The programs in `CONTRIBUTING.md`.
#[cfg(doctest)]
#[doc = include_str!("../../CONTRIBUTING.md")]
pub struct Contributing;
