//! Laws of milepost that span crates and OS processes: see `tests/`. The programs in `src/bin` are the
//! OS processes.
//!
//! The programs in the project's documents are run from here too, as doctests.

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
