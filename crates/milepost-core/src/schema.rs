//! JSON Schemas of the JSON forms, of draft 2020-12: for those who read them in another language, and for hosts that
//! publish what they answer.
//!
//! They say what milepost writes. What it reads must hold the machine's laws too, which no schema tells.
//!
//! ```
//! let schema: serde_json::Value = serde_json::from_str(milepost_core::schema::STATUS_REPORT)?;
//! assert_eq!(schema["title"], "StatusReport");
//! # Ok::<(), serde_json::Error>(())
//! ```

/// Of a [`Process`](crate::Process), as serde writes it and an export holds it, one a line.
pub const PROCESS: &str = include_str!("../schema/process.json");
/// Of a [`StatusReport`](crate::StatusReport).
pub const STATUS_REPORT: &str = include_str!("../schema/status-report.json");
/// Of a [`NotFoundReport`](crate::NotFoundReport).
pub const NOT_FOUND_REPORT: &str = include_str!("../schema/not-found-report.json");
/// Of a [`Receipt`](crate::Receipt).
pub const RECEIPT: &str = include_str!("../schema/receipt.json");
