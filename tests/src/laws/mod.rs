//! The laws of trust. Each file is about one promise of `SECURITY.md`, and beside each law stands what breaks it.

pub mod agree;
pub mod crash;
pub mod erase;
pub mod fault;
pub mod hostile;
pub mod model;
pub mod race;

use crate::law::Law;

/// All of them, in the order in which the long run takes them.
pub const ALL: &[&Law] = &[
    &agree::AGREE,
    &model::MODEL,
    &crash::KILLS,
    &crash::CUTS,
    &crash::CUTS_ON_XFS,
    &race::RIVALS,
    &race::FORKS,
    &race::WAL_SIZE_FULL,
    &race::WAL_SIZE_NORMAL,
    &erase::ERASED,
    &erase::WIPES_KILLED,
    &erase::WIPE_CUTS,
    &erase::WIPE_CUTS_ON_XFS,
    &erase::WIPE_WAITS,
    &erase::MEDIA,
    &fault::FAULTS,
    &fault::FAULTS_IN_LARGE,
    &fault::FULL_FOR_ONE,
    &fault::FULL_DISK,
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
