//! What hosts hand on to whoever asks: the fixed JSON forms.

use std::fmt;

use chrono::{DateTime, Utc};
use serde::de::{Error as _, MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::file::{File, Tag};
use crate::id::{FileId, RequestId};
use crate::limits;
use crate::process::{OverallStatus, Process};

/// What `process_status` answers. Serialised, its keys stand in the order of its fields.
///
/// ```
/// # fn show(tracker: &milepost_core::Tracker, id: milepost_core::RequestId)
/// # -> Result<(), Box<dyn std::error::Error>> {
/// let report = tracker.process_status(id)?;
/// println!("{}", serde_json::to_string_pretty(&report)?);
/// # Ok(()) }
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct StatusReport {
    /// 200.
    pub status_code: u16,
    /// The id of this status call: new for every call. It is not the process's id.
    pub request_id: RequestId,
    /// The file that the process works on.
    pub file_id: FileId,
    /// `SUCCESS: process_status found`.
    pub message: String,
    /// The pipeline's name.
    pub pipeline: String,
    /// One entry per module, always all of them: whether it is complete or skipped.
    pub process_status: ModuleFlags,
    /// Why it failed; only when it failed or was cancelled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure_status: Option<FailureStatus>,
    /// `ongoing`, `complete` or `failed`; a cancelled process is `failed` here.
    pub overall_status: OverallStatus,
}

/// Why a process failed or was cancelled.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct FailureStatus {
    /// The process's own request id.
    pub process_id: RequestId,
    /// `module_k`, unless no module was at fault.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure_module: Option<String>,
    /// The name of that module.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub module_name: Option<String>,
    /// By convention one CamelCase word; `Cancelled` for a cancel.
    pub reason: String,
    /// A sentence for people; for a cancel the reason that was given.
    pub message: String,
    /// When the process failed.
    pub failed_at: DateTime<Utc>,
}

impl StatusReport {
    /// The report on `process`, under the id of the call that asks.
    pub(crate) fn new(process: &Process, call: RequestId) -> Self {
        let failure = process.blame().map(|blame| FailureStatus {
            process_id: process.request_id(),
            failure_module: blame
                .module
                .map(|module| format!("module_{}", module.position())),
            module_name: blame.module.map(|module| module.name().to_owned()),
            reason: blame.reason.to_owned(),
            message: blame.message.to_owned(),
            failed_at: blame.at,
        });
        StatusReport {
            status_code: 200,
            request_id: call,
            file_id: process.file().id(),
            message: "SUCCESS: process_status found".to_owned(),
            pipeline: process.pipeline().to_owned(),
            process_status: ModuleFlags(
                process
                    .modules()
                    .iter()
                    .map(|module| module.state().is_done())
                    .collect(),
            ),
            failure_status: failure,
            overall_status: match process.status() {
                OverallStatus::Cancelled => OverallStatus::Failed,
                status @ (OverallStatus::Ongoing
                | OverallStatus::Complete
                | OverallStatus::Failed) => status,
            },
        }
    }
}

/// Which modules are complete or skipped: in JSON an object with the keys `module_1` to `module_N`, in
/// chain order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModuleFlags(Vec<bool>);

impl ModuleFlags {
    /// How many modules there are.
    #[must_use]
    #[expect(
        clippy::len_without_is_empty,
        reason = "a process has at least one module"
    )]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether the module at `position`, counted from 1, is complete or skipped; none if there is none.
    #[must_use]
    pub fn get(&self, position: usize) -> Option<bool> {
        self.0.get(position.checked_sub(1)?).copied()
    }

    /// All of them, in chain order.
    #[must_use]
    pub fn iter(&self) -> impl ExactSizeIterator<Item = bool> + '_ {
        self.0.iter().copied()
    }
}

impl Serialize for ModuleFlags {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (index, done) in self.0.iter().enumerate() {
            map.serialize_entry(&format_args!("module_{}", index + 1), done)?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for ModuleFlags {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Modules;
        impl<'de> Visitor<'de> for Modules {
            type Value = ModuleFlags;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object with the keys module_1 to module_N")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<ModuleFlags, A::Error> {
                // The keys may come in any order: other JSON libraries sort them as text.
                let mut flags = [None; limits::MODULES];
                let mut seen = 0;
                while let Some((key, done)) = map.next_entry::<String, bool>()? {
                    let position = key
                        .strip_prefix("module_")
                        .and_then(|digits| digits.parse::<usize>().ok());
                    let flag = position
                        .filter(|position| key == format!("module_{position}"))
                        .and_then(|position| flags.get_mut(position.checked_sub(1)?))
                        .ok_or_else(|| A::Error::custom(format_args!("`{key}` names no module")))?;
                    if flag.replace(done).is_some() {
                        return Err(A::Error::custom(format_args!("`{key}` stands there twice")));
                    }
                    seen += 1;
                }
                let flags = flags[..seen].iter().copied().collect::<Option<Vec<_>>>();
                match flags {
                    Some(flags) if seen > 0 => Ok(ModuleFlags(flags)),
                    _ => Err(A::Error::custom("a module is missing")),
                }
            }
        }
        deserializer.deserialize_map(Modules)
    }
}

/// The answer about a process that is not there: never begun, expired or erased, since no trace is
/// kept that could tell these apart. It names no pipeline, file or time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct NotFoundReport {
    /// 404.
    pub status_code: u16,
    /// The id of this status call: new for every call.
    pub request_id: RequestId,
    /// `FAILURE: request_id .. not found`, with the id that was asked for.
    pub message: String,
}

impl NotFoundReport {
    pub(crate) fn new(asked: RequestId, call: RequestId) -> Self {
        NotFoundReport {
            status_code: 404,
            request_id: call,
            message: format!("FAILURE: request_id {asked} not found"),
        }
    }
}

/// What beginning a process answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Receipt {
    /// The file that the process works on.
    pub file_id: FileId,
    /// The process's id: keep it, and ask with it.
    pub request_id: RequestId,
    /// The file's name; a generated one if none was given.
    pub file_name: String,
    /// The file's directory; `/etc` if none was given.
    pub symbolic_directory_path: String,
    /// The file's tags, as objects of one pair each, if it has any.
    pub file_tags: Option<Vec<Tag>>,
    /// The file's description, if it has one.
    pub file_description: Option<String>,
}

impl Receipt {
    pub(crate) fn new(request_id: RequestId, file: &File) -> Self {
        Receipt {
            file_id: file.id(),
            request_id,
            file_name: file.name().to_owned(),
            symbolic_directory_path: file.symbolic_directory_path().to_owned(),
            file_tags: Some(file.tags().to_vec()).filter(|tags| !tags.is_empty()),
            file_description: file.description().map(str::to_owned),
        }
    }
}
