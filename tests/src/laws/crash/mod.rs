//! Crashes: what was acknowledged is there after a `kill -9` and after a power cut, and nothing is damaged.
//!
//! A child process, the program `crash`, does what a [plan](plan) has it do, and says through a pipe what it is about
//! to do and what was acknowledged. Then it is killed, or its disk cut off. Whoever killed it knows the plan too, and
//! so what the file must hold: each process, to the last field.

mod crew;
mod cuts;
mod disk;
mod file;
mod kills;
pub mod known;
pub mod pipe;
pub mod plan;

pub use crew::Manner;
pub use cuts::{CUTS, cut, cuts_with};
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
    /// Writers open the file at `Durability::Normal`, and are taken to have opened it at `Full`.
    Unsynced,
}
