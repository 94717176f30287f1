//! What a host says about a process before it begins.

use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::body::born_of;
use crate::clock::{Clock, random_u64};
use crate::file::{File, FileText, Tag, generated_name};
use crate::id::{FileId, RequestId};
use crate::invalid::{Field, Invalid};
use crate::op::{Change, Creation, Op};
use crate::pipeline::Pipeline;
use crate::update::Expiry;

/// A process that has not begun: a pipeline, and what is known of the file. Builders by value.
///
/// What is wrong with a text is reported by [`Tracker::begin`](crate::Tracker::begin).
///
/// ```
/// use milepost_core::{NewProcess, Pipeline};
/// use std::time::Duration;
///
/// let pipeline = Pipeline::new("invoice-ocr", ["ocr", "parser", "keyword-db"])?;
/// let new = NewProcess::new(&pipeline)
///     .file_name("invoice.pdf")
///     .tag("customer", "4711")
///     .expires_in(Duration::from_secs(1800));
/// # Ok::<(), milepost_core::Invalid>(())
/// ```
#[derive(Debug, Clone)]
#[must_use]
pub struct NewProcess {
    pipeline: Pipeline,
    request_id: Option<RequestId>,
    key: Option<String>,
    file_id: Option<FileId>,
    file_name: Option<String>,
    extension: Option<String>,
    directory: Option<String>,
    tags: Vec<Tag>,
    description: Option<String>,
    expiry: Expiry,
}

impl NewProcess {
    /// A run of `pipeline`, over a file of which nothing is known, that never expires.
    pub fn new(pipeline: &Pipeline) -> Self {
        NewProcess {
            pipeline: pipeline.clone(),
            request_id: None,
            key: None,
            file_id: None,
            file_name: None,
            extension: None,
            directory: None,
            tags: Vec::new(),
            description: None,
            expiry: Expiry::Never,
        }
    }

    /// Begins it under an id of the host's own, so that beginning twice is beginning once.
    ///
    /// The second beginning is the same if the pipeline (name, chain and order) and the file id, where
    /// one is given, are equal: it answers the process that is there, unchanged. Otherwise it is
    /// [`AlreadyExists`](crate::Rejection::AlreadyExists).
    pub fn request_id(self, id: RequestId) -> Self {
        NewProcess {
            request_id: Some(id),
            ..self
        }
    }

    /// Begins it once for this key, however often and wherever it is begun: 1 byte to 1 KiB, no control
    /// characters.
    ///
    /// The process's id is made of the pipeline's name and the key, see [`RequestId::of_key`]. So the same key
    /// gives the process that is there, by the rule of [`request_id`](NewProcess::request_id), on every store
    /// and from every machine; the key itself is kept nowhere. Once that process was erased or has expired,
    /// the key begins a new one; retention erases too, so keep for longer than clients may submit again. A key whose
    /// pipeline has another chain by now is [`AlreadyExists`](crate::Rejection::AlreadyExists); what else is said of
    /// the file the second time changes nothing. A key and an id of the host's own exclude each other.
    ///
    /// `is_new` says who began it, not that anybody works on it: whoever began it may have died since. So set the
    /// work going unless the process has settled; where workers [claim](crate::Tracker::claim), twice does no harm.
    ///
    /// ```
    /// # use milepost_core::{NewProcess, Pipeline, TrackError, Tracker};
    /// fn submit(tracker: &Tracker, pipeline: &Pipeline, upload: &str) -> Result<(), TrackError> {
    ///     let process = tracker.begin(NewProcess::new(pipeline).idempotency_key(upload))?;
    ///     if !tracker.get(process.request_id())?.is_settled() {
    ///         // Set the work going.
    ///     }
    ///     Ok(())
    /// }
    /// ```
    pub fn idempotency_key(self, key: &str) -> Self {
        NewProcess {
            key: Some(key.into()),
            ..self
        }
    }

    /// The file's id; a new one is made unless given. Several processes may work on one file.
    pub fn file_id(self, id: FileId) -> Self {
        NewProcess {
            file_id: Some(id),
            ..self
        }
    }

    /// The file's name: 1 to 255 bytes, no control characters. One is generated unless given.
    pub fn file_name(self, name: &str) -> Self {
        NewProcess {
            file_name: Some(name.into()),
            ..self
        }
    }

    /// The extension for a generated file name, with or without its dot: 1 to 64 bytes.
    pub fn file_extension(self, extension: &str) -> Self {
        NewProcess {
            extension: Some(extension.into()),
            ..self
        }
    }

    /// Where the file lies for the host: 1 byte to 1 KiB, no control characters. `/etc` unless given.
    pub fn symbolic_directory_path(self, path: &str) -> Self {
        NewProcess {
            directory: Some(path.into()),
            ..self
        }
    }

    /// Adds a tag, of which there may be 64: a name of 1 to 128 bytes, a value of at most 4 KiB.
    pub fn tag(mut self, name: &str, value: &str) -> Self {
        self.tags.push(Tag::new(name, value));
        self
    }

    /// Describes the file, in at most 4 KiB.
    pub fn file_description(self, description: &str) -> Self {
        NewProcess {
            description: Some(description.into()),
            ..self
        }
    }

    /// Lets the process expire this long after it begins: from then on it is not found.
    pub fn expires_in(self, span: Duration) -> Self {
        NewProcess {
            expiry: Expiry::In(span),
            ..self
        }
    }

    /// Lets the process expire at this time, which must lie in the future.
    pub fn expires_at(self, time: DateTime<Utc>) -> Self {
        NewProcess {
            expiry: Expiry::At(time),
            ..self
        }
    }

    /// The op that begins it now.
    pub(crate) fn into_op(self, clock: &dyn Clock) -> Result<Op, Invalid> {
        let now = crate::time::check(clock.now(), "clock's time")?;
        let expires_at = self.expiry.resolve(now)?;
        if expires_at.is_some_and(|expiry| expiry <= now) {
            return Err(Invalid::AlreadyExpired);
        }
        // An id that is made now is random enough for both.
        let (id, born) = match (self.request_id, &self.key) {
            (Some(_), Some(_)) => return Err(Invalid::KeyAndId),
            (Some(id), None) => (id, random_u64(clock)),
            (None, Some(key)) => (RequestId::of_key(&self.pipeline, key)?, random_u64(clock)),
            (None, None) => {
                let id = RequestId::new_v7(clock);
                (id, born_of(id))
            }
        };
        let extension = self
            .extension
            .as_deref()
            .map(|text| text.strip_prefix('.').unwrap_or(text));
        if let Some(extension) = extension {
            Field::FileExtension.check(extension)?;
        }
        let text = FileText {
            generated: self.file_id.is_none() && self.file_name.is_none(),
            id: self.file_id.unwrap_or_else(|| FileId::new_v7(clock)),
            name: &self
                .file_name
                .unwrap_or_else(|| generated_name(clock, extension)),
            directory: self.directory.as_deref().unwrap_or(File::DEFAULT_DIRECTORY),
            description: self.description.as_deref(),
        };
        let file = File::new(text, self.tags)?;
        let creation = Creation {
            born,
            pipeline: self.pipeline,
            file,
            given_file_id: self.file_id,
            expires_at,
        };
        let op = Op::new(id, now, Change::Create(Box::new(creation)));
        op.change.check()?;
        Ok(op)
    }
}
