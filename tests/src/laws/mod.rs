//! The laws of trust. Each file is about one promise of `SECURITY.md`, and beside each law stands what breaks it.

pub mod fault;

use crate::law::Law;

/// All of them, in the order in which the long run takes them.
pub const ALL: &[&Law] = &[
    &fault::FAULTS,
    &fault::FAULTS_IN_LARGE,
    &fault::FULL_FOR_ONE,
    &fault::FULL_DISK,
];

/// The law of this name.
#[must_use]
pub fn named(name: &str) -> Option<&'static Law> {
    ALL.iter().copied().find(|law| law.name == name)
}
