//! What a process works on.

use std::fmt;
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
#[derive(Clone, PartialEq, Eq)]
pub struct File {
    id: FileId,
    /// Name, directory and description, in one text; no directory stands for the default one.
    text: Arc<str>,
    name_ends: u16,
    directory_ends: u16,
    described: bool,
    generated: bool,
    /// None: no tags, as in most files.
    tags: Option<Arc<Box<[Tag]>>>,
}

/// What a file is made of.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FileText<'a> {
    pub(crate) id: FileId,
    pub(crate) generated: bool,
    pub(crate) name: &'a str,
    pub(crate) directory: &'a str,
    pub(crate) description: Option<&'a str>,
}

impl File {
    /// Where a file lies when its process names no directory.
    pub const DEFAULT_DIRECTORY: &'static str = "/etc";

    /// Its id: the host's own, or one made when the process began.
    #[must_use]
    pub fn id(&self) -> FileId {
        self.id
    }

    /// Its name; a generated one if the process was given none.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.text[..self.name_ends.into()]
    }

    /// The directory in which the host sees it; `/etc` unless given. No file system is asked.
    #[must_use]
    pub fn symbolic_directory_path(&self) -> &str {
        match &self.text[self.name_ends.into()..self.directory_ends.into()] {
            "" => File::DEFAULT_DIRECTORY,
            path => path,
        }
    }

    /// Its tags, in the order given. A name may occur more than once.
    #[must_use]
    pub fn tags(&self) -> &[Tag] {
        self.tags.as_ref().map_or(&[], |tags| tags)
    }

    /// Its description, if it has one.
    #[must_use]
    pub fn description(&self) -> Option<&str> {
        self.described
            .then(|| &self.text[self.directory_ends.into()..])
    }

    /// Whether the process was given no file: neither an id nor a name, so both were made up.
    #[must_use]
    pub fn is_generated(&self) -> bool {
        self.generated
    }

    /// Checks every text.
    pub(crate) fn new(of: FileText<'_>, tags: Vec<Tag>) -> Result<Self, Invalid> {
        Field::FileName.check(of.name)?;
        Field::Directory.check(of.directory)?;
        check_tags(&tags)?;
        if let Some(description) = of.description {
            Field::Description.check(description)?;
        }
        let end = |bytes: usize| u16::try_from(bytes).expect("checked texts are that short");
        let description = of.description.unwrap_or_default();
        let directory = match of.directory {
            File::DEFAULT_DIRECTORY => "",
            path => path,
        };
        let name_ends = end(of.name.len());
        let directory_ends = end(of.name.len() + directory.len());
        let text = if directory.is_empty() && description.is_empty() {
            // As most files are: one allocation instead of two.
            Arc::from(of.name)
        } else {
            Arc::from([of.name, directory, description].concat())
        };
        Ok(File {
            id: of.id,
            text,
            name_ends,
            directory_ends,
            described: of.description.is_some(),
            generated: of.generated,
            tags: (!tags.is_empty()).then(|| Arc::new(tags.into())),
        })
    }

    pub(crate) fn text(&self) -> FileText<'_> {
        FileText {
            id: self.id,
            generated: self.generated,
            name: self.name(),
            directory: self.symbolic_directory_path(),
            description: self.description(),
        }
    }

    pub(crate) fn text_bytes(&self) -> usize {
        let text = self.text();
        text.name.len()
            + text.directory.len()
            + text.description.map_or(0, str::len)
            + self.tags().iter().map(Tag::bytes).sum::<usize>()
    }
}

impl fmt::Debug for File {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("File")
            .field("id", &self.id)
            .field("name", &self.name())
            .field("symbolic_directory_path", &self.symbolic_directory_path())
            .field("tags", &self.tags())
            .field("description", &self.description())
            .field("is_generated", &self.generated)
            .finish_non_exhaustive()
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

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
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
