//! What workers report about a module: progress and failures.

use std::sync::Arc;

use serde::Serialize;

use crate::invalid::{Field, Invalid};

/// How far a module is: `done` of `total`, in a unit, with a message. It is replaced whole.
///
/// # Limits
///
/// `done` is at most `total`; the unit has at most 128 bytes, the message 1 KiB. What crosses one is
/// reported by the call that sends it.
///
/// ```
/// use milepost_core::Progress;
///
/// let progress = Progress::of(3, 10).unit("pages").message("page 3 has a table");
/// assert_eq!(progress.to_string(), "3/10 pages");
/// assert_eq!(progress.fraction(), Some(0.3));
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Progress {
    /// How much is done.
    pub done: u64,
    /// Of how much, where that is known; it may change from one report to the next.
    pub total: Option<u64>,
    /// What is counted: `"pages"`, `"bytes"`.
    pub unit: Option<Box<str>>,
    /// A word for people.
    pub message: Option<Box<str>>,
}

impl Progress {
    /// `done` of a known `total`.
    #[must_use]
    pub fn of(done: u64, total: u64) -> Self {
        Progress {
            done,
            total: Some(total),
            unit: None,
            message: None,
        }
    }

    /// `done` of a total that is not known.
    #[must_use]
    pub fn unbounded(done: u64) -> Self {
        Progress {
            done,
            total: None,
            unit: None,
            message: None,
        }
    }

    /// Names what is counted.
    #[must_use]
    pub fn unit(self, unit: &str) -> Self {
        Progress {
            unit: Some(unit.into()),
            ..self
        }
    }

    /// Adds a word for people.
    #[must_use]
    pub fn message(self, message: &str) -> Self {
        Progress {
            message: Some(message.into()),
            ..self
        }
    }

    /// How much is done.
    #[must_use]
    pub fn done(&self) -> u64 {
        self.done
    }

    /// Of how much, where that is known.
    #[must_use]
    pub fn total(&self) -> Option<u64> {
        self.total
    }

    /// From 0 to 1, where the total is known; nothing of nothing is all of it.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "a fraction for people")]
    pub fn fraction(&self) -> Option<f64> {
        self.total.map(|total| {
            if total == 0 {
                1.0
            } else {
                self.done as f64 / total as f64
            }
        })
    }

    pub(crate) fn check(&self) -> Result<(), Invalid> {
        if let Some(total) = self.total
            && self.done > total
        {
            return Err(Invalid::PastTotal {
                done: self.done,
                total,
            });
        }
        self.unit
            .as_deref()
            .map_or(Ok(()), |text| Field::ProgressUnit.check(text))?;
        self.message
            .as_deref()
            .map_or(Ok(()), |text| Field::ProgressMessage.check(text))
    }

    pub(crate) fn text_bytes(&self) -> usize {
        let bytes = |text: &Option<Box<str>>| text.as_ref().map_or(0, |text| text.len());
        bytes(&self.unit) + bytes(&self.message)
    }
}

/// `3/10 pages`, or `3 pages` where the total is not known. The message is left out.
impl std::fmt::Display for Progress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.done)?;
        if let Some(total) = self.total {
            write!(f, "/{total}")?;
        }
        match &self.unit {
            Some(unit) if !unit.is_empty() => write!(f, " {unit}"),
            _ => Ok(()),
        }
    }
}

/// Why a module failed, or was tried again.
///
/// By convention the reason is one CamelCase word that programs compare, and the message a sentence
/// for people. Cheap to clone.
///
/// # Limits
///
/// The reason has at most 255 bytes, the message 4 KiB. What crosses one is reported by the call
/// that sends it.
///
/// ```
/// let failure = milepost_core::Failure::new("BadInput", "page 4 is blank");
/// assert_eq!(failure.to_string(), "BadInput: page 4 is blank");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure(Arc<(Box<str>, Box<str>)>);

impl Failure {
    /// A failure for `reason`, explained by `message`.
    #[must_use]
    pub fn new(reason: &str, message: &str) -> Self {
        Failure(Arc::new((reason.into(), message.into())))
    }

    /// The word that programs compare.
    #[must_use]
    pub fn reason(&self) -> &str {
        &self.0.0
    }

    /// The sentence for people.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.0.1
    }

    pub(crate) fn check(&self) -> Result<(), Invalid> {
        Field::Reason.check(self.reason())?;
        Field::Message.check(self.message())
    }

    pub(crate) fn text_bytes(&self) -> usize {
        self.reason().len() + self.message().len()
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.reason(), self.message())
    }
}
