//! Crashes: what was acknowledged is there after a `kill -9` and after a power cut, and nothing is damaged.
//!
//! A child process, the program `crash`, does what a [plan] has it do, and says through a pipe what it is about
//! to do and what was acknowledged. Then it is killed, or its disk cut off. Whoever killed it knows the plan too, and
//! so what the file must hold: each process, to the last field.
//!
//! A file system that is shut down is a disk without power, but for one thing: a sync that is under way at that moment
//! may succeed, and what it has synced is lost. So it is for any program that calls `fdatasync`. What is acknowledged
//! once a cut has begun therefore counts for nothing; and half of the time the writers stand still first, so
//! that all that they acknowledged came before.

mod crew;
mod cuts;
mod disk;
mod file;
mod kills;
pub mod known;
pub mod pipe;
pub mod plan;

pub use crew::Manner;
pub use cuts::{CUTS, CUTS_ON_XFS, cut, cuts_with};
pub use file::all;
pub use kills::{KILLS, kills_with};

/// What is done wrong, so that a law can be seen to notice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(
    clippy::exhaustive_enums,
    reason = "each is broken in a test of its own"
)]
pub enum Sabotage {
    /// Nothing.
    None,
    /// Writers say that a step is done before they take it.
    Boasting,
    /// Somebody keeps the write lock when a writer was killed.
    Hogging,
    /// Writers open the file at `Durability::Normal`, and are taken to have opened it at `Full`.
    Unsynced,
    /// Writers at `Durability::Normal` have a disk that says that it has synced, and has not.
    LyingDisk,
}

impl Sabotage {
    const ALL: [Sabotage; 5] = [
        Sabotage::None,
        Sabotage::Boasting,
        Sabotage::Hogging,
        Sabotage::Unsynced,
        Sabotage::LyingDisk,
    ];
}
