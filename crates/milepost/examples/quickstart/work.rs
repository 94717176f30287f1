//! The work itself: text to sentences, sentences to keywords, keywords to an index. It knows nothing of
//! milepost, and could be anything.

use std::collections::BTreeMap;
use std::io::{self, Write};

/// The text of a file, cut into paragraphs.
pub(crate) fn paragraphs(text: &str) -> Vec<&str> {
    text.split("\n\n")
        .map(str::trim)
        .filter(|paragraph| !paragraph.is_empty())
        .collect()
}

/// The sentences of a paragraph: they end at `.`, `!` or `?` before a space, and with the paragraph.
pub(crate) fn sentences(paragraph: &str) -> Vec<String> {
    let mut sentences = Vec::new();
    let mut sentence = String::new();
    for word in paragraph.split_whitespace() {
        if !sentence.is_empty() {
            sentence.push(' ');
        }
        sentence.push_str(word);
        if word.ends_with(['.', '!', '?']) {
            sentences.push(std::mem::take(&mut sentence));
        }
    }
    if !sentence.is_empty() {
        sentences.push(sentence);
    }
    sentences
}

/// Words that say nothing about what a text is about.
const STOP_WORDS: [&str; 48] = [
    "about", "after", "all", "and", "any", "are", "before", "but", "can", "each", "for", "from",
    "has", "have", "how", "its", "may", "more", "never", "not", "nothing", "off", "once", "one",
    "only", "other", "over", "that", "the", "their", "them", "then", "there", "they", "this",
    "those", "two", "was", "what", "when", "where", "which", "while", "who", "whose", "will",
    "with", "you",
];

/// The keywords of a sentence: words of three letters or more, in lower case, without stop words.
pub(crate) fn keywords(sentence: &str) -> impl Iterator<Item = String> {
    sentence
        .split(|c: char| !c.is_alphanumeric())
        .filter(|word| word.chars().count() >= 3)
        .map(str::to_lowercase)
        .filter(|word| !STOP_WORDS.contains(&word.as_str()))
}

/// An inverted index: in which sentences, counted from 1, each keyword stands.
#[derive(Debug, Default)]
pub(crate) struct Index {
    places: BTreeMap<String, Vec<usize>>,
}

impl Index {
    /// Adds the keywords of one sentence.
    pub(crate) fn add(&mut self, number: usize, sentence: &str) {
        for keyword in keywords(sentence) {
            self.places.entry(keyword).or_default().push(number);
        }
    }

    /// Its entries, in the order of the keywords.
    pub(crate) fn entries(&self) -> Vec<(&str, &[usize])> {
        self.places
            .iter()
            .map(|(keyword, places)| (keyword.as_str(), places.as_slice()))
            .collect()
    }
}

/// Writes one entry as a line: the keyword, how often it stands in the text, and in which sentences.
pub(crate) fn write_entry(out: &mut impl Write, keyword: &str, places: &[usize]) -> io::Result<()> {
    write!(out, "{keyword}\t{}\t", places.len())?;
    let mut distinct = places.to_vec();
    distinct.dedup();
    for (index, place) in distinct.iter().enumerate() {
        let comma = if index == 0 { "" } else { "," };
        write!(out, "{comma}{place}")?;
    }
    writeln!(out)
}
