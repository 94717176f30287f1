//! How a store is opened.

use std::path::PathBuf;
use std::time::Duration;

use milepost_core::WipeLevel;

/// How a [`SqliteStore`](crate::SqliteStore) is opened.
///
/// ```
/// use milepost_sqlite::{Durability, SqliteConfig};
/// use std::time::Duration;
///
/// let config = SqliteConfig {
///     durability: Durability::Normal,
///     busy_timeout: Duration::from_secs(1),
///     ..SqliteConfig::new("status.db")
/// };
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "a host builds it field by field")]
pub struct SqliteConfig {
    /// The file, on a local disk. Relative to the working directory at the time of opening; never taken
    /// for a URI. Its directory must be there.
    pub path: PathBuf,
    /// Whether the file is made if it is not there. On unless given. A program that only asks switches it
    /// off: a mistyped path is then `Unavailable`, and no new file with nothing in it.
    pub create_if_missing: bool,
    /// What `Ok` means when the power fails. [`Durability::Full`] unless given: a tracker that forgets what
    /// it acknowledged is worse than a slow one.
    pub durability: Durability,
    /// How long a call may wait for others, all in all, before it is `Busy`: 5 s unless given, long enough
    /// for the work of others, and short enough for a caller to notice that something is wrong.
    pub busy_timeout: Duration,
    /// How many connections read side by side, at least 1: 4 unless given. Each holds a file handle and
    /// up to 2 MiB of cached pages. A wipe takes one now and then, and one that gives nothing back holds it
    /// while it overwrites the WAL.
    pub readers: usize,
    /// How long one wipe, also that of an erase, works on before it is `Pending`: 250 ms unless given, so
    /// that an erase answers soon. It ends its step, and where others are in the way leaves the file to them for 60 ms
    /// more, before it answers. A step may wait `busy_timeout` for who writes, and one that overwrites the WAL, with
    /// `wipe_level` at [`WipeLevel::Media`], goes on until it has. What is left is done by the next. Of several wipes of
    /// one store one works, and the others wait for it.
    ///
    /// A wipe is done once everything is wiped that was erased before it was called. While others erase without a pause, no
    /// call with a budget shorter than it takes to move all processes of the file comes to that; but what was erased
    /// earlier is wiped by each move. With zero each call makes one step.
    pub wipe_budget: Duration,
    /// How far each wipe goes at least, also that of an erase: [`WipeLevel::Files`] unless given.
    ///
    /// With [`WipeLevel::Media`] nothing is given back to the file system, where no program could overwrite it any more:
    /// the file never shrinks, and the WAL stays beside it, as long as it has become, when the store is closed. What is
    /// free of both is overwritten by each wipe, which so writes about twice as much. Only a file that was made with
    /// this, and is opened with it everywhere, has wipes of that level `Done`; else they are `Limited`, and say why.
    pub wipe_level: WipeLevel,
    /// Whether the file may be a symbolic link. Off unless given: a link can be made to point a store at
    /// a file that is not meant.
    pub follow_symlinks: bool,
}

impl SqliteConfig {
    /// The file at `path`, with everything else as it is unless given.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        SqliteConfig {
            path: path.into(),
            create_if_missing: true,
            durability: Durability::Full,
            busy_timeout: Duration::from_secs(5),
            readers: 4,
            wipe_budget: Duration::from_millis(250),
            wipe_level: WipeLevel::Files,
            follow_symlinks: false,
        }
    }
}

/// What survives what. Neither loses anything when the OS process is killed, and neither corrupts.
///
/// A store goes by its own. What another store of the file changed at `Normal` may be lost in a power cut, also if one at
/// `Full` has read it, or has found nothing left to change.
///
/// At either the WAL beside the file is kept short while others read for up to a tenth of a second at a time: 64 MiB is
/// aimed at. A reader that holds on to it for long lets it grow. Beyond 24 MiB writers stand still for up to 250 ms now
/// and then, so that it can start anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Durability {
    /// What was acknowledged survives a power cut: each commit is synced (`synchronous=FULL`).
    Full,
    /// A power cut may lose the newest acknowledged changes, never ones in the middle
    /// (`synchronous=NORMAL`). Many times faster one by one. The store runs a thread that makes checkpoints.
    Normal,
}
