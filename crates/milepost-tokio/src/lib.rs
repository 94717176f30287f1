#![doc = include_str!("../README.md")]

mod desk;
mod estimate;
mod handle;
mod lease;
mod tracker;
mod watch;
mod writer;

pub use estimate::AsyncEstimator;
pub use handle::{AsyncModuleHandle, AsyncProcessHandle};
pub use lease::AsyncLease;
pub use tracker::AsyncTracker;
pub use watch::AsyncWatch;
