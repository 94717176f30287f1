//! Being written.

#[doc(inline)]
pub use milepost_core::*;
#[cfg(feature = "memory")]
#[doc(inline)]
pub use milepost_memory::*;
#[cfg(feature = "sqlite")]
#[doc(inline)]
pub use milepost_sqlite::*;
