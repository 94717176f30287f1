//! Erasure: nothing is left of what was erased, in no file of the SQLite store, however it was written, whoever works
//! meanwhile, and whatever is cut off in between.

#![expect(
    clippy::missing_panics_doc,
    reason = "each `expect` says what cannot be otherwise"
)]

mod cuts;
mod erased;
mod kills;
mod media;
mod population;
mod scan;
mod waits;

pub use cuts::{WIPE_CUTS, WIPE_CUTS_ON_XFS, wipe_cuts};
pub use erased::{ERASED, erased};
pub use kills::{WIPES_KILLED, wipes_killed};
pub use media::{MEDIA, media};
pub use population::{Marked, grow, populate, read_list, write_list};
pub use scan::Needles;
pub use waits::{Bounds, WIPE_WAITS, wipe_waits, write_on_time};
