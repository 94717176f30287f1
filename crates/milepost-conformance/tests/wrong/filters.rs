//! Faults in what a filter takes.

use std::sync::{Arc, Mutex};

use milepost_conformance::Subject;
use milepost_core::{
    Filter, OverallStatus, Process, StatusStore, StoreError, StoreErrorKind, Term,
};

use crate::Case;
use crate::honest::Records;
use crate::store::{Wrong, count_where, list_where};

/// Leaves the terms out that this takes.
fn ignores(term: fn(&Term) -> bool) -> Subject {
    Subject::new(move || {
        let without = move |filter: &Filter| {
            let mut filter = filter.clone();
            filter.terms.retain(|one| !term(one));
            filter
        };
        Wrong::new()
            .count(move |honest, filter| honest.count(&without(filter)))
            .list(move |honest, listing| {
                honest.list(&milepost_core::Listing {
                    filter: without(&listing.filter),
                    ..listing.clone()
                })
            })
    })
}

pub(crate) fn filtered(alter: fn(Filter) -> Filter) -> Subject {
    Subject::new(move || Wrong::new().filtered(alter))
}

/// Judges a term in its own way, where it has one, and otherwise honestly.
pub(crate) fn judges(own: fn(&Term, &Process) -> Option<bool>) -> Subject {
    Subject::new(move || {
        let matches = move |filter: &Filter, process: &Process| {
            let hidden = filter
                .visible_at
                .is_some_and(|time| process.is_expired(time));
            let holds = |term: &Term| {
                own(term, process)
                    .unwrap_or_else(|| Filter::new().with(term.clone()).matches(process))
            };
            !hidden && filter.terms.iter().all(holds)
        };
        Wrong::new()
            .count(move |honest, filter| {
                Ok(count_where(honest, filter, |process| {
                    matches(filter, process)
                }))
            })
            .list(move |honest, listing| {
                list_where(honest, listing, |process| matches(&listing.filter, process))
            })
    })
}

fn folds_case() -> Subject {
    judges(|term, process| {
        let file = process.file();
        let lower = str::to_lowercase;
        match term {
            Term::Pipeline(name) => Some(lower(process.pipeline()) == lower(name)),
            Term::FileName(name) => Some(lower(file.name()) == lower(name)),
            Term::FileNamePrefix(prefix) => Some(lower(file.name()).starts_with(&lower(prefix))),
            Term::Directory(path) => Some(lower(file.symbolic_directory_path()) == lower(path)),
            Term::Tag { name, value } => {
                Some(file.tags().iter().any(|tag| {
                    lower(tag.name()) == lower(name) && lower(tag.value()) == lower(value)
                }))
            }
            _ => None,
        }
    })
}

/// `LIKE`: `_` is any character, `%` any text.
fn is_like(text: &[char], pattern: &[char]) -> bool {
    match pattern {
        [] => text.is_empty(),
        ['%', rest @ ..] => (0..=text.len()).any(|from| is_like(&text[from..], rest)),
        ['_', rest @ ..] => !text.is_empty() && is_like(&text[1..], rest),
        [one, rest @ ..] => text.first() == Some(one) && is_like(&text[1..], rest),
    }
}

fn takes_texts_for_patterns() -> Subject {
    judges(|term, process| {
        let file = process.file();
        let like = |text: &str, pattern: &str| {
            let (text, pattern) = (
                text.chars().collect::<Vec<_>>(),
                pattern.chars().collect::<Vec<_>>(),
            );
            Some(is_like(&text, &pattern))
        };
        match term {
            Term::Pipeline(name) => like(process.pipeline(), name),
            Term::FileName(name) => like(file.name(), name),
            Term::FileNamePrefix(prefix) => like(file.name(), &format!("{prefix}%")),
            Term::Directory(path) => like(file.symbolic_directory_path(), path),
            Term::UnderDirectory(path) => {
                let path = path.trim_end_matches('/');
                let below = like(file.symbolic_directory_path(), &format!("{path}/%"));
                Some(below == Some(true) || file.symbolic_directory_path() == path)
            }
            _ => None,
        }
    })
}

fn takes_directories_for_prefixes() -> Subject {
    judges(|term, process| match term {
        Term::UnderDirectory(path) => {
            let path = path.trim_end_matches('/');
            Some(process.file().symbolic_directory_path().starts_with(path))
        }
        _ => None,
    })
}

/// A range of texts that ends before the prefix with its last character raised by one.
fn ends_prefixes_at_the_next() -> Subject {
    judges(|term, process| match term {
        Term::FileNamePrefix(prefix) => {
            let last = prefix.chars().last();
            let next = last.map(|last| char::from_u32(u32::from(last) + 1));
            Some(next != Some(None) && process.file().name().starts_with(prefix))
        }
        _ => None,
    })
}

fn takes_tags_apart() -> Subject {
    judges(|term, process| match term {
        Term::Tag { name, value } => {
            let tags = process.file().tags();
            let named = tags.iter().any(|tag| tag.name() == name);
            Some(named && tags.iter().any(|tag| tag.value() == value))
        }
        _ => None,
    })
}

fn keeps_one_tag_a_name() -> Subject {
    judges(|term, process| match term {
        Term::Tag { name, value } => {
            let last = process
                .file()
                .tags()
                .iter()
                .rev()
                .find(|tag| tag.name() == name);
            Some(last.is_some_and(|tag| tag.value() == value))
        }
        _ => None,
    })
}

fn takes_the_last_status() -> Subject {
    judges(|term, process| match term {
        Term::Status(any) => Some(any.last().is_none_or(|status| *status == process.status())),
        _ => None,
    })
}

fn takes_any_term() -> Subject {
    Subject::new(|| {
        Wrong::new().matching(|filter, process| {
            let hidden = filter
                .visible_at
                .is_some_and(|time| process.is_expired(time));
            let holds = |term: &Term| Filter::new().with(term.clone()).matches(process);
            !hidden && (filter.terms.is_empty() || filter.terms.iter().any(holds))
        })
    })
}

fn takes_the_first_of_a_kind() -> Subject {
    filtered(|mut filter| {
        let mut seen = Vec::new();
        filter.terms.retain(|term| {
            let kind = std::mem::discriminant(term);
            let is_new = !seen.contains(&kind);
            seen.push(kind);
            is_new
        });
        filter
    })
}

/// Finds processes by what they were when they began.
fn finds_by_what_was() -> Subject {
    Subject::new(|| {
        let first = Arc::new(Mutex::new(Records::new()));
        let (written, counted) = (Arc::clone(&first), Arc::clone(&first));
        Wrong::new()
            .write(move |honest, ops| {
                let mut written = written.lock().expect("no law panics in here");
                let verdicts = honest.write(ops)?;
                for (id, process) in honest.records().iter() {
                    written.entry(*id).or_insert_with(|| Arc::clone(process));
                }
                Ok(verdicts)
            })
            .list(move |honest, listing| {
                let first = first.lock().expect("no law panics in here");
                list_where(honest, listing, |process| {
                    listing.filter.matches(&first[&process.request_id()])
                })
            })
            .count(move |honest, filter| {
                let first = counted.lock().expect("no law panics in here");
                Ok(count_where(honest, filter, |process| {
                    filter.matches(&first[&process.request_id()])
                }))
            })
    })
}

fn counts_all_as_ongoing() -> Subject {
    Subject::new(|| {
        Wrong::new().count(|honest, filter| {
            let total = honest.count(filter)?.total();
            let mut counts = milepost_core::Counts::new();
            counts.add(OverallStatus::Ongoing, total);
            Ok(counts)
        })
    })
}

fn takes_few_terms() -> Subject {
    Subject::new(|| {
        Wrong::new().count(|honest, filter| {
            if filter.terms.len() > 99 {
                return Err(StoreError::new(StoreErrorKind::Limit, "too many terms"));
            }
            honest.count(filter)
        })
    })
}

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = ignored();
    cases.extend(vec![
        Case::new(
            "folds case",
            folds_case,
            &[
                "the_pipeline_is_taken_exactly",
                "the_file_name_is_taken_exactly",
                "a_prefix_of_the_file_name_is_taken_byte_by_byte",
                "the_directory_is_taken_exactly",
                "a_tag_is_taken_by_name_and_value_together",
            ],
        ),
        Case::new(
            "takes texts for patterns",
            takes_texts_for_patterns,
            &[
                "the_pipeline_is_taken_exactly",
                "the_file_name_is_taken_exactly",
                "a_prefix_of_the_file_name_is_taken_byte_by_byte",
                "the_directory_is_taken_exactly",
                "under_a_directory_is_all_below_it_and_nothing_beside",
            ],
        ),
        Case::new(
            "takes directories for prefixes",
            takes_directories_for_prefixes,
            &["under_a_directory_is_all_below_it_and_nothing_beside"],
        ),
        Case::new(
            "ends a prefix at the next character",
            ends_prefixes_at_the_next,
            &["the_highest_prefixes_end_nowhere_too_early"],
        ),
        Case::new(
            "takes the names and values of tags apart",
            takes_tags_apart,
            &["a_tag_is_taken_by_name_and_value_together"],
        ),
        Case::new(
            "keeps one tag a name",
            keeps_one_tag_a_name,
            &["a_tag_is_taken_by_name_and_value_together"],
        ),
        Case::new(
            "takes the last status of many",
            takes_the_last_status,
            &["any_of_the_given_statuses_is_taken"],
        ),
        Case::new(
            "counts everything as ongoing",
            counts_all_as_ongoing,
            &[
                "any_of_the_given_statuses_is_taken",
                "a_thousand_fit_on_one_page",
            ],
        ),
        Case::new(
            "takes what meets any term",
            takes_any_term,
            &["every_term_of_a_filter_must_hold"],
        ),
        Case::new(
            "takes less than a hundred terms",
            takes_few_terms,
            &["a_filter_of_as_many_terms_as_there_may_be_is_served"],
        ),
        Case::new(
            "takes the first term of a kind",
            takes_the_first_of_a_kind,
            &[
                "every_term_of_a_filter_must_hold",
                "a_tag_is_taken_by_name_and_value_together",
            ],
        ),
        Case::new(
            "finds processes by what they were",
            finds_by_what_was,
            &[
                "a_changed_process_is_found_by_what_it_is_now",
                "any_of_the_given_statuses_is_taken",
            ],
        ),
    ]);
    cases
}

/// Stores that leave a term out which they do not know.
fn ignored() -> Vec<Case> {
    vec![
        Case::new(
            "ignores the pipeline",
            || ignores(|term| matches!(term, Term::Pipeline(_))),
            &["the_pipeline_is_taken_exactly"],
        ),
        Case::new(
            "ignores the status",
            || ignores(|term| matches!(term, Term::Status(_))),
            &["any_of_the_given_statuses_is_taken"],
        ),
        Case::new(
            "ignores the file's id",
            || ignores(|term| matches!(term, Term::FileId(_))),
            &["the_file_is_taken_by_its_id"],
        ),
        Case::new(
            "ignores the file's name",
            || ignores(|term| matches!(term, Term::FileName(_))),
            &["the_file_name_is_taken_exactly"],
        ),
        Case::new(
            "ignores the directory",
            || ignores(|term| matches!(term, Term::Directory(_))),
            &["the_directory_is_taken_exactly"],
        ),
        Case::new(
            "ignores tags",
            || ignores(|term| matches!(term, Term::Tag { .. })),
            &["a_tag_is_taken_by_name_and_value_together"],
        ),
        Case::new(
            "ignores an empty prefix and every other",
            || ignores(|term| matches!(term, Term::FileNamePrefix(_))),
            &["a_prefix_of_the_file_name_is_taken_byte_by_byte"],
        ),
    ]
}
