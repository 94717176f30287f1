//! What is wrong in itself, whatever the state of any process: the input error.

use std::time::Duration;

use crate::limits;

/// Input that no store would accept: what was wrong, and what is allowed.
///
/// Maps to HTTP 422.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Invalid {
    /// A text that must say something is empty.
    #[error("the {field} is empty: give 1 to {} bytes", field.limit())]
    Empty {
        /// Which text.
        field: Field,
    },
    /// A text is over its limit.
    #[error("the {field} has {bytes} bytes: at most {} are allowed", field.limit())]
    TooLong {
        /// Which text.
        field: Field,
        /// How long it is, in bytes of UTF-8.
        bytes: usize,
    },
    /// A name holds a control character, or any text holds NUL.
    #[error("the {field} has the control character U+{:04X} at byte {at}: take it out", u32::from(*character))]
    ControlCharacter {
        /// Which text.
        field: Field,
        /// The character.
        character: char,
        /// The byte at which it stands.
        at: usize,
    },
    /// A pipeline has no modules.
    #[error("the pipeline has no modules: give 1 to {}", limits::MODULES)]
    EmptyChain,
    /// A pipeline has too many modules.
    #[error("the pipeline has over {} modules: split it", limits::MODULES)]
    TooManyModules,
    /// A position outside the chain.
    #[error("there is no module {position}: the pipeline has modules 1 to {modules}")]
    NoSuchModule {
        /// The position asked for; the first module is 1.
        position: usize,
        /// How many modules the pipeline has.
        modules: usize,
    },
    /// A file has too many tags.
    #[error("the file has {given} tags: at most {} are allowed", limits::TAGS)]
    TooManyTags {
        /// How many were given.
        given: usize,
    },
    /// Progress is over its own total.
    #[error("progress {done} is over its total of {total}")]
    PastTotal {
        /// What is done.
        done: u64,
        /// Of how much.
        total: u64,
    },
    /// A time is outside the years that can be kept.
    #[error(
        "the {what} is outside years {} to {}",
        limits::FIRST_YEAR,
        limits::LAST_YEAR
    )]
    TimeOutOfRange {
        /// Which time.
        what: &'static str,
    },
    /// A process would be expired the moment it begins.
    #[error("the process would already be expired when it begins: give an expiry in the future")]
    AlreadyExpired,
    /// A process that is to be imported has expired by the time of the op.
    #[error("the process has expired: leave it out")]
    HasExpired,
    /// A process is to be imported under an id that is not its own.
    #[error(
        "the process goes by another id than the op that imports it: take the id from the process"
    )]
    OtherId,
    /// A lease is asked for too short or too long a time.
    #[error(
        "a lease of {given:?} was asked for: give {:?} to {:?}",
        limits::SHORTEST_LEASE,
        limits::LONGEST_LEASE
    )]
    LeaseTime {
        /// The time asked for.
        given: Duration,
    },
    /// A new process was given both a request id and an idempotency key, which makes one.
    #[error("both a request id and an idempotency key were given: leave one out")]
    KeyAndId,
    /// A text is no UUID.
    #[error("this is no UUID: give 32 hexadecimal digits, with or without hyphens")]
    NotAUuid,
    /// A page of no or too many processes was asked for.
    #[error("a page of {given} was asked for: give 1 to {}", limits::PAGE)]
    PageSize {
        /// The size asked for.
        given: usize,
    },
    /// A query has too many terms.
    #[error("the query has {given} terms: at most {} are allowed", limits::TERMS)]
    TooManyTerms {
        /// How many were given.
        given: usize,
    },
    /// A text is no cursor.
    #[error("this is no cursor: pass on what a page's `next` gave, unchanged")]
    MalformedCursor,
    /// A cursor belongs to another query, or was altered.
    #[error("the cursor belongs to another query: use it with the filter and order that gave it")]
    ForeignCursor,
    /// A cursor was given to a call that does not page.
    #[error("this call takes the whole result of a query: leave its cursor out")]
    UnexpectedCursor,
}

/// The texts that have limits, as errors name them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Field {
    /// The name of a pipeline.
    PipelineName,
    /// The name of a module.
    ModuleName,
    /// The name of a file.
    FileName,
    /// The extension for a generated file name.
    FileExtension,
    /// A symbolic directory path.
    Directory,
    /// The name of a tag.
    TagName,
    /// The value of a tag.
    TagValue,
    /// The description of a file.
    Description,
    /// The reason of a failure, skip or cancel.
    Reason,
    /// The message of a failure.
    Message,
    /// The unit of a progress.
    ProgressUnit,
    /// The message of a progress.
    ProgressMessage,
    /// The beginning of a file name that a query asks for.
    FileNamePrefix,
    /// The name of a worker.
    Worker,
    /// An idempotency key.
    IdempotencyKey,
}

/// What a text may hold, apart from its length.
#[derive(PartialEq)]
enum Content {
    /// At least one byte, and no control characters.
    Name,
    /// No control characters.
    Line,
    /// Anything but NUL.
    Prose,
}

impl Field {
    /// How many bytes it may have.
    #[must_use]
    pub fn limit(self) -> usize {
        match self {
            Field::PipelineName
            | Field::ModuleName
            | Field::TagName
            | Field::ProgressUnit
            | Field::Worker => limits::NAME_BYTES,
            Field::FileName | Field::FileNamePrefix => limits::FILE_NAME_BYTES,
            Field::FileExtension => 64,
            Field::Directory => limits::DIRECTORY_BYTES,
            Field::TagValue => limits::TAG_VALUE_BYTES,
            Field::Description => limits::DESCRIPTION_BYTES,
            Field::Reason => limits::REASON_BYTES,
            Field::Message => limits::MESSAGE_BYTES,
            Field::ProgressMessage => limits::PROGRESS_MESSAGE_BYTES,
            Field::IdempotencyKey => limits::IDEMPOTENCY_KEY_BYTES,
        }
    }

    fn content(self) -> Content {
        match self {
            Field::PipelineName
            | Field::ModuleName
            | Field::FileName
            | Field::FileExtension
            | Field::Directory
            | Field::TagName
            | Field::Worker
            | Field::IdempotencyKey => Content::Name,
            Field::ProgressUnit | Field::FileNamePrefix => Content::Line,
            Field::TagValue
            | Field::Description
            | Field::Reason
            | Field::Message
            | Field::ProgressMessage => Content::Prose,
        }
    }

    pub(crate) fn check(self, text: &str) -> Result<(), Invalid> {
        let content = self.content();
        if text.is_empty() && content == Content::Name {
            return Err(Invalid::Empty { field: self });
        }
        if text.len() > self.limit() {
            return Err(Invalid::TooLong {
                field: self,
                bytes: text.len(),
            });
        }
        let forbidden = |c: char| match content {
            Content::Name | Content::Line => c.is_control(),
            Content::Prose => c == '\0',
        };
        // Most texts are plain ASCII, for which one pass over the bytes settles it; without a way out half-way
        // it takes many bytes at once.
        let plain = |so_far: bool, b: u8| so_far & (0x20..0x7f).contains(&b);
        if text.bytes().fold(true, plain) {
            return Ok(());
        }
        match text.char_indices().find(|&(_, c)| forbidden(c)) {
            Some((at, character)) => Err(Invalid::ControlCharacter {
                field: self,
                character,
                at,
            }),
            None => Ok(()),
        }
    }
}

impl std::fmt::Display for Field {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Field::PipelineName => "pipeline name",
            Field::ModuleName => "module name",
            Field::FileName => "file name",
            Field::FileExtension => "file extension",
            Field::Directory => "symbolic directory path",
            Field::TagName => "tag name",
            Field::TagValue => "tag value",
            Field::Description => "file description",
            Field::Reason => "reason",
            Field::Message => "message",
            Field::ProgressUnit => "progress unit",
            Field::ProgressMessage => "progress message",
            Field::FileNamePrefix => "file name prefix",
            Field::Worker => "worker's name",
            Field::IdempotencyKey => "idempotency key",
        })
    }
}
