//! The laws of trust. Each file is about one promise of `SECURITY.md`, and beside each law stands what breaks it.

pub mod hostile;

use crate::law::Law;

/// All of them, in the order in which the long run takes them.
pub const ALL: &[&Law] = &[
    &hostile::decoders::DECODERS,
    &hostile::mutants::MUTANTS,
    &hostile::names::NAMES,
    &hostile::texts::TEXTS,
    &hostile::clocks::CLOCKS,
];

/// The law of this name.
#[must_use]
pub fn named(name: &str) -> Option<&'static Law> {
    ALL.iter().copied().find(|law| law.name == name)
}
