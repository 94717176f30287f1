//! What may be replaced of a process that goes on: its file's texts, and its expiry.

use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::file::{self, File, FileText, Tag};
use crate::invalid::{Field, Invalid};
use crate::perform::Effect;
use crate::process::Process;
use crate::time;

/// What is to be replaced of a process: what is not named stays.
///
/// ```
/// use milepost_core::Update;
/// use std::time::Duration;
///
/// let update = Update::new().tags([("author", "melville")]).expires_in(Duration::from_secs(3600));
/// ```
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Update {
    pub(crate) file_name: Option<String>,
    pub(crate) directory: Option<String>,
    pub(crate) tags: Option<Vec<Tag>>,
    pub(crate) description: Option<Description>,
    pub(crate) expiry: Option<Expiry>,
}

/// A new description, or that there is to be none.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Description {
    Is(String),
    None,
}

impl Description {
    pub(crate) fn text(&self) -> Option<&str> {
        match self {
            Description::Is(text) => Some(text),
            Description::None => None,
        }
    }
}

/// A new expiry; a span counts from the time of the op that brings it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Expiry {
    At(DateTime<Utc>),
    In(Duration),
    Never,
}

impl Expiry {
    pub(crate) fn resolve(self, from: DateTime<Utc>) -> Result<Option<DateTime<Utc>>, Invalid> {
        match self {
            Expiry::At(at) => time::check(at, "expiry").map(Some),
            Expiry::In(span) => time::after(from, span, "expiry").map(Some),
            Expiry::Never => Ok(None),
        }
    }
}

impl Update {
    /// An update of nothing.
    #[must_use]
    pub fn new() -> Self {
        Update::default()
    }

    /// Renames the file: 1 to 255 bytes, no control characters.
    #[must_use]
    pub fn file_name(self, name: &str) -> Self {
        Update {
            file_name: Some(name.into()),
            ..self
        }
    }

    /// Moves the file to another directory: 1 byte to 1 KiB, no control characters.
    #[must_use]
    pub fn symbolic_directory_path(self, path: &str) -> Self {
        Update {
            directory: Some(path.into()),
            ..self
        }
    }

    /// Replaces all tags, of which there may be 64; an empty list takes them away.
    #[must_use]
    pub fn tags<N: AsRef<str>, V: AsRef<str>>(
        self,
        tags: impl IntoIterator<Item = (N, V)>,
    ) -> Self {
        let tags = tags
            .into_iter()
            .map(|(name, value)| Tag::new(name.as_ref(), value.as_ref()));
        Update {
            tags: Some(tags.collect()),
            ..self
        }
    }

    /// Describes the file, in at most 4 KiB.
    #[must_use]
    pub fn file_description(self, description: &str) -> Self {
        Update {
            description: Some(Description::Is(description.into())),
            ..self
        }
    }

    /// Takes the file's description away.
    #[must_use]
    pub fn no_file_description(self) -> Self {
        Update {
            description: Some(Description::None),
            ..self
        }
    }

    /// Lets the process expire at `time`; a time that has passed expires it at once.
    #[must_use]
    pub fn expires_at(self, time: DateTime<Utc>) -> Self {
        Update {
            expiry: Some(Expiry::At(time)),
            ..self
        }
    }

    /// Lets the process expire `span` after the update.
    #[must_use]
    pub fn expires_in(self, span: Duration) -> Self {
        Update {
            expiry: Some(Expiry::In(span)),
            ..self
        }
    }

    /// Lets the process never expire.
    #[must_use]
    pub fn never_expires(self) -> Self {
        Update {
            expiry: Some(Expiry::Never),
            ..self
        }
    }

    pub(crate) fn check(&self) -> Result<(), Invalid> {
        let check =
            |field: Field, text: Option<&str>| text.map_or(Ok(()), |text| field.check(text));
        check(Field::FileName, self.file_name.as_deref())?;
        check(Field::Directory, self.directory.as_deref())?;
        check(
            Field::Description,
            self.description.as_ref().and_then(Description::text),
        )?;
        self.tags.as_deref().map_or(Ok(()), file::check_tags)
    }

    pub(crate) fn text_bytes(&self) -> usize {
        let tags = self
            .tags
            .as_ref()
            .map_or(0, |tags| tags.iter().map(Tag::bytes).sum());
        [&self.file_name, &self.directory]
            .into_iter()
            .flatten()
            .map(String::len)
            .sum::<usize>()
            + self
                .description
                .as_ref()
                .and_then(Description::text)
                .map_or(0, str::len)
            + tags
    }

    /// What it makes of the file and the expiry; none if it makes nothing new.
    pub(crate) fn effect(
        &self,
        process: &Process,
        at: DateTime<Utc>,
    ) -> Result<Option<Effect>, Invalid> {
        let expires_at = match self.expiry {
            Some(expiry) => expiry.resolve(at)?,
            None => process.expires_at,
        };
        let standing = process.file.text();
        let text = FileText {
            name: self.file_name.as_deref().unwrap_or(standing.name),
            directory: self.directory.as_deref().unwrap_or(standing.directory),
            description: match &self.description {
                Some(description) => description.text(),
                None => standing.description,
            },
            generated: standing.generated && self.file_name.is_none(),
            ..standing
        };
        let tags = self.tags.as_deref().unwrap_or(process.file.tags());
        let file = File::new(text, tags.to_vec())?;
        if file == process.file && expires_at == process.expires_at {
            return Ok(None);
        }
        Ok(Some(Effect::Update { file, expires_at }))
    }

    /// Whether it would change nothing.
    pub(crate) fn is_up_to_date(&self, process: &Process, at: DateTime<Utc>) -> bool {
        matches!(self.effect(process, at), Ok(None))
    }
}
