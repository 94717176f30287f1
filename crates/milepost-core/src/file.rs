//! What a process works on.

use std::sync::Arc;

use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::clock::Clock;
use crate::id::FileId;
use crate::invalid::{Field, Invalid};
use crate::limits;

/// What a process works on: an id, a name, a directory, tags and a description.
///
/// It lives and dies with its process. Cheap to clone: clones share the texts.
#[derive(Debug, Clone, Eq)]
pub struct File(Arc<FileText>);

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FileText {
    pub(crate) id: FileId,
    pub(crate) name: Box<str>,
    pub(crate) directory: Box<str>,
    pub(crate) tags: Box<[Tag]>,
    pub(crate) description: Option<Box<str>>,
    pub(crate) generated: bool,
}

/// Where a file lies when its process names no directory.
pub(crate) const DEFAULT_DIRECTORY: &str = "/etc";

impl File {
    /// Its id: the host's own, or one made when the process began.
    #[must_use]
    pub fn id(&self) -> FileId {
        self.0.id
    }

    /// Its name; a generated one if the process was given none.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// The directory in which the host sees it; `/etc` unless given. No file system is asked.
    #[must_use]
    pub fn symbolic_directory_path(&self) -> &str {
        &self.0.directory
    }

    /// Its tags, in the order given. A name may occur more than once.
    #[must_use]
    pub fn tags(&self) -> &[Tag] {
        &self.0.tags
    }

    /// Its description, if it has one.
    #[must_use]
    pub fn description(&self) -> Option<&str> {
        self.0.description.as_deref()
    }

    /// Whether the process was given no file: neither an id nor a name, so both were made up.
    #[must_use]
    pub fn is_generated(&self) -> bool {
        self.0.generated
    }

    pub(crate) fn from_text(text: FileText) -> Self {
        File(Arc::new(text))
    }

    pub(crate) fn text(&self) -> &FileText {
        &self.0
    }

    /// Checks every text.
    pub(crate) fn check(&self) -> Result<(), Invalid> {
        Field::FileName.check(&self.0.name)?;
        Field::Directory.check(&self.0.directory)?;
        check_tags(&self.0.tags)?;
        self.0
            .description
            .as_deref()
            .map_or(Ok(()), |text| Field::Description.check(text))
    }

    pub(crate) fn text_bytes(&self) -> usize {
        let tags = self.0.tags.iter().map(Tag::bytes).sum::<usize>();
        let description = self.0.description.as_ref().map_or(0, |text| text.len());
        self.0.name.len() + self.0.directory.len() + tags + description
    }
}

impl PartialEq for File {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || self.0 == other.0
    }
}

pub(crate) fn check_tags(tags: &[Tag]) -> Result<(), Invalid> {
    if tags.len() > limits::TAGS {
        return Err(Invalid::TooManyTags { given: tags.len() });
    }
    for tag in tags {
        Field::TagName.check(&tag.name)?;
        Field::TagValue.check(&tag.value)?;
    }
    Ok(())
}

/// A name for a file that was given none: `generated_file_name_`, ten letters, and the extension.
pub(crate) fn generated_name(clock: &dyn Clock, extension: Option<&str>) -> String {
    let mut name = String::from("generated_file_name_");
    let mut random = clock.random();
    for _ in 0..10 {
        let letter = b'a' + u8::try_from(random % 26).expect("a remainder of 26 is below 26");
        name.push(char::from(letter));
        random /= 26;
    }
    if let Some(extension) = extension {
        name.push('.');
        name.push_str(extension);
    }
    name
}

/// One tag of a file. Its JSON form is an object of one pair, `{"author": "melville"}`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Tag {
    name: Box<str>,
    value: Box<str>,
}

impl Tag {
    /// A tag; [`Tracker::begin`](crate::Tracker::begin) checks it.
    #[must_use]
    pub fn new(name: &str, value: &str) -> Self {
        Tag {
            name: name.into(),
            value: value.into(),
        }
    }

    /// Its name: 1 to 128 bytes, no control characters.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its value: at most 4 KiB, may be empty.
    #[must_use]
    pub fn value(&self) -> &str {
        &self.value
    }

    pub(crate) fn bytes(&self) -> usize {
        // What a tag costs besides its text: two lengths in the record.
        self.name.len() + self.value.len() + 6
    }
}

impl Serialize for Tag {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(1))?;
        map.serialize_entry(&*self.name, &*self.value)?;
        map.end()
    }
}

impl<'de> Deserialize<'de> for Tag {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OnePair;
        impl<'de> serde::de::Visitor<'de> for OnePair {
            type Value = Tag;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object of one pair")
            }

            fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Tag, A::Error> {
                let wrong = |()| serde::de::Error::invalid_length(0, &self);
                let (name, value) = map
                    .next_entry::<String, String>()?
                    .ok_or(())
                    .map_err(wrong)?;
                match map.next_key::<String>()? {
                    None => Ok(Tag {
                        name: name.into(),
                        value: value.into(),
                    }),
                    Some(_) => Err(serde::de::Error::invalid_length(2, &self)),
                }
            }
        }
        deserializer.deserialize_map(OnePair)
    }
}
