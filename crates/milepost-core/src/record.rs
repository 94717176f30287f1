//! The record form: how a process is kept as bytes, and how it is written as JSON.
//!
//! Both are one [`Form`], spelled once; they differ in how a time is written. What is read back is
//! checked against the laws of the machine, whoever wrote it.

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::form::Form;
use crate::limits::RECORD_BYTES;
use crate::process::Process;

/// The version of the record form that is written: the first byte of every record.
pub const RECORD_VERSION: u8 = 2;

/// What follows a record of version 1 in version 2: no claim, and no wish.
const SINCE_2: [u8; 2] = [0, 0];

/// Why bytes are no record.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RecordError {
    /// A newer milepost wrote it. It is never rewritten: read it with that one.
    #[error(
        "the record has version {version}, and this milepost reads up to {RECORD_VERSION}: use a newer one"
    )]
    Incompatible {
        /// The version it says.
        version: u8,
    },
    /// It was damaged, or never was one.
    #[error("the record is damaged: {broken}")]
    Corrupt {
        /// What does not hold.
        broken: &'static str,
    },
}

fn corrupt(broken: &'static str) -> RecordError {
    RecordError::Corrupt { broken }
}

impl Process {
    /// Appends the record form to `out`: what stores keep. At most 256 KiB.
    ///
    /// Compact and versioned: the first byte is the version, the rest
    /// [postcard](https://postcard.jamesmunns.com/wire-format).
    ///
    /// # Panics
    ///
    /// Never, unless memory runs out.
    pub fn to_record(&self, out: &mut Vec<u8>) {
        let base = self.created_at.timestamp_micros();
        let form = Form::of(self, |time| time.timestamp_micros() - base);
        out.push(RECORD_VERSION);
        let head = (base, form);
        let written = postcard::to_extend(&head, std::mem::take(out));
        *out = written.expect("a vector takes all that is written");
    }

    /// Reads the record form, of this version or an earlier one, and checks it against the laws of the machine.
    ///
    /// # Errors
    ///
    /// [`RecordError::Incompatible`] for a newer version, [`RecordError::Corrupt`] for whatever else is
    /// not what [`to_record`](Process::to_record) writes.
    pub fn from_record(bytes: &[u8]) -> Result<Self, RecordError> {
        match bytes {
            [] => Err(corrupt("it is empty")),
            [0, ..] => Err(corrupt("there is no version 0")),
            [1, body @ ..] => Process::from_body(&[body, &SINCE_2].concat()),
            [RECORD_VERSION, body @ ..] => Process::from_body(body),
            [version, ..] => Err(RecordError::Incompatible { version: *version }),
        }
    }

    fn from_body(body: &[u8]) -> Result<Self, RecordError> {
        if body.len() >= RECORD_BYTES {
            return Err(corrupt("it is over 256 KiB"));
        }
        let read = postcard::take_from_bytes::<(i64, Form<'_, i64>)>(body);
        let ((base, form), rest) = read.map_err(|_| corrupt("its form cannot be read"))?;
        if !rest.is_empty() {
            return Err(corrupt("something follows it"));
        }
        let base =
            DateTime::from_timestamp_micros(base).ok_or(corrupt("a time is out of range"))?;
        let time = |delta| base.checked_add_signed(TimeDelta::microseconds(delta));
        form.into_process(time).map_err(corrupt)
    }
}

/// The native JSON form: every field of the record, times in RFC 3339. Not the wire form of a report.
impl Serialize for Process {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Form::of(self, |time| time).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Process {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let form = Form::<DateTime<Utc>>::deserialize(deserializer)?;
        form.into_process(Some).map_err(serde::de::Error::custom)
    }
}
