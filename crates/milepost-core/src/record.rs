//! The record form: how a process is kept as bytes, and how it is written as JSON.
//!
//! A record is what stores may keep in columns, and then the [body](crate::body). Records of versions 1 and 2
//! were one [`Form`] in postcard, which is also what the JSON form is made of. What is read back is checked
//! against the laws of the machine, whoever wrote it.

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::filter::Indexed;
use crate::form::Form;
use crate::id::{FileId, RequestId};
use crate::limits::RECORD_BYTES;
use crate::process::{OverallStatus, Process};

/// The version of the record form that is written: the first byte of every record, and of every body.
pub const RECORD_VERSION: u8 = 3;

/// What follows a record of version 1 in version 2: no claim, and no wish.
const SINCE_2: [u8; 2] = [0, 0];

/// What stands before the body, with times in microseconds.
#[derive(Serialize, Deserialize)]
struct Head<'a> {
    request_id: RequestId,
    file_id: FileId,
    status: u8,
    created_at: i64,
    settled_at: Option<i64>,
    expires_at: Option<i64>,
    leased_until: Option<i64>,
    pipeline: &'a str,
    directory: &'a str,
}

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

pub(crate) fn corrupt(broken: &'static str) -> RecordError {
    RecordError::Corrupt { broken }
}

impl Process {
    /// Appends the record form to `out`: the whole process as bytes, at most 256 KiB.
    ///
    /// Compact and versioned: the first byte is the version.
    ///
    /// # Panics
    ///
    /// Never, unless memory runs out.
    pub fn to_record(&self, out: &mut Vec<u8>) {
        let micros = |time: DateTime<Utc>| time.timestamp_micros();
        let head = Head {
            request_id: self.request_id,
            file_id: self.file.id(),
            status: self.status().code(),
            created_at: micros(self.created_at),
            settled_at: self.settled_at().map(micros),
            expires_at: self.expires_at.map(micros),
            leased_until: self.leased_until().map(micros),
            pipeline: self.pipeline(),
            directory: self.file.symbolic_directory_path(),
        };
        out.push(RECORD_VERSION);
        let written = postcard::to_extend(&head, std::mem::take(out));
        *out = written.expect("a vector takes all that is written");
        self.to_body(out);
    }

    /// Reads the record form, of this version or an earlier one, and checks it against the laws of the machine.
    ///
    /// # Errors
    ///
    /// [`RecordError::Incompatible`] for a newer version, [`RecordError::Corrupt`] for whatever else is
    /// not what [`to_record`](Process::to_record) writes.
    pub fn from_record(bytes: &[u8]) -> Result<Self, RecordError> {
        if bytes.len() > RECORD_BYTES {
            return Err(corrupt("it is over 256 KiB"));
        }
        match bytes {
            [] => Err(corrupt("it is empty")),
            [0, ..] => Err(corrupt("there is no version 0")),
            [1, form @ ..] => from_form(&[form, &SINCE_2].concat()),
            [2, form @ ..] => from_form(form),
            [RECORD_VERSION, rest @ ..] => from_head_and_body(rest),
            [version, ..] => Err(RecordError::Incompatible { version: *version }),
        }
    }
}

fn from_head_and_body(bytes: &[u8]) -> Result<Process, RecordError> {
    let read = postcard::take_from_bytes::<Head<'_>>(bytes);
    let (head, body) = read.map_err(|_| corrupt("its form cannot be read"))?;
    if body.first() != Some(&RECORD_VERSION) {
        return Err(corrupt("its body is of another version"));
    }
    let time =
        |micros| DateTime::from_timestamp_micros(micros).ok_or(corrupt("a time is out of range"));
    let indexed = Indexed {
        pipeline: head.pipeline,
        status: OverallStatus::from_code(head.status)
            .ok_or(corrupt("an overall status has an unknown code"))?,
        file_id: head.file_id,
        directory: head.directory,
        created_at: time(head.created_at)?,
        settled_at: head.settled_at.map(time).transpose()?,
        expires_at: head.expires_at.map(time).transpose()?,
        leased_until: head.leased_until.map(time).transpose()?,
    };
    Process::from_body(head.request_id, &indexed, body)
}

/// Reads what versions 1 and 2 wrote.
fn from_form(bytes: &[u8]) -> Result<Process, RecordError> {
    let read = postcard::take_from_bytes::<(i64, Form<'_, i64>)>(bytes);
    let ((base, form), rest) = read.map_err(|_| corrupt("its form cannot be read"))?;
    if !rest.is_empty() {
        return Err(corrupt("something follows it"));
    }
    let base = DateTime::from_timestamp_micros(base).ok_or(corrupt("a time is out of range"))?;
    let time = |delta| base.checked_add_signed(TimeDelta::microseconds(delta));
    form.into_process(time).map_err(corrupt)
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
