//! What each term of a filter takes, and what it does not. `count` is held to the same.

use milepost_core::OverallStatus::{Cancelled, Complete, Failed, Ongoing};
use milepost_core::{
    Change, Filter, Indexed, NewProcess, Order, OverallStatus, Pipeline, RequestId, Term,
    TimeRange, Update, limits,
};

use crate::fixture::{at, chain, failure, file, id, op};
use crate::laws::durable::HOSTILE;
use crate::trial::{Trial, ids, ok};

/// Begins one process, a second after the one before.
pub(super) fn begin(trial: &Trial<'_>, n: u32, new: impl FnOnce(NewProcess) -> NewProcess) {
    let base = NewProcess::new(&chain()).request_id(id(n));
    trial.must(&trial.begin_at(new(base), at(i64::from(n))));
}

/// Sees that the filter takes exactly these, in lists and in counts.
#[track_caller]
pub(super) fn takes(trial: &Trial<'_>, filter: &Filter, numbers: &[u32]) {
    let listed = ids(&trial.walk(filter, Order::OldestFirst, limits::PAGE));
    let expected = numbers.iter().map(|n| id(*n)).collect::<Vec<RequestId>>();
    assert_eq!(
        listed, expected,
        "left is listed, right is to be: {filter:?}"
    );
    let counted = ok("count", trial.store().count(filter));
    assert_eq!(
        counted.total(),
        numbers.len() as u64,
        "counted and to be counted: {filter:?}"
    );
    assert!(
        counted.is_exact(),
        "few processes are counted exactly: {filter:?}"
    );
    trial.must_list_as_expected(filter);
}

pub(super) fn term(term: Term) -> Filter {
    Filter::new().with(term)
}

/// Names that a pattern, a fold of case or a collation takes for one another.
const ALIKE: [&str; 9] = [
    "a_c", "abc", "a%c", "ABC", "a*c", "abcd", "a[b]c", "ab", "a\u{e9}c",
];

pub(crate) fn the_pipeline_is_taken_exactly(trial: &Trial<'_>) {
    for (n, name) in (0..).zip(ALIKE.iter().chain(&HOSTILE)) {
        let pipeline = Pipeline::new(name, ["module"]).expect("the names are fine");
        let new = NewProcess::new(&pipeline).request_id(id(n));
        trial.must(&trial.begin_at(new, at(i64::from(n))));
    }
    for (n, name) in (0..).zip(ALIKE.iter().chain(&HOSTILE)) {
        takes(trial, &term(Term::Pipeline((*name).into())), &[n]);
    }
    takes(trial, &term(Term::Pipeline("a".into())), &[]);
}

pub(crate) fn any_of_the_given_statuses_is_taken(trial: &Trial<'_>) {
    for n in 0..8 {
        begin(trial, n, |new| new);
        let changes = match n % 4 {
            0 => vec![],
            1 => vec![
                Change::complete(1),
                Change::complete(2),
                Change::complete(3),
            ],
            2 => vec![Change::fail(1, failure())],
            _ => vec![Change::cancel("")],
        };
        for change in changes {
            trial.must(&op(id(n), 20, change));
        }
    }
    takes(trial, &term(Term::Status(vec![Ongoing])), &[0, 4]);
    takes(trial, &term(Term::Status(vec![Complete])), &[1, 5]);
    takes(trial, &term(Term::Status(vec![Failed])), &[2, 6]);
    takes(trial, &term(Term::Status(vec![Cancelled])), &[3, 7]);
    takes(
        trial,
        &term(Term::Status(vec![Failed, Complete])),
        &[1, 2, 5, 6],
    );
    takes(trial, &term(Term::Status(vec![Failed, Failed])), &[2, 6]);
    takes(
        trial,
        &term(Term::Status(OverallStatus::ALL.to_vec())),
        &[0, 1, 2, 3, 4, 5, 6, 7],
    );
    takes(trial, &term(Term::Status(vec![])), &[]);
    // Once its status has changed, it is found by the new one only.
    trial.must(&op(id(2), 30, Change::rerun()));
    trial.must(&op(id(4), 30, Change::cancel("")));
    takes(trial, &term(Term::Status(vec![Ongoing])), &[0, 2]);
    takes(trial, &term(Term::Status(vec![Failed])), &[6]);
    takes(trial, &term(Term::Status(vec![Cancelled])), &[3, 4, 7]);
}

pub(crate) fn the_file_is_taken_by_its_id(trial: &Trial<'_>) {
    for n in 0..4 {
        begin(trial, n, |new| new.file_id(file(n % 2)));
    }
    takes(trial, &term(Term::FileId(file(0))), &[0, 2]);
    takes(trial, &term(Term::FileId(file(1))), &[1, 3]);
    takes(trial, &term(Term::FileId(file(2))), &[]);
}

pub(crate) fn the_file_name_is_taken_exactly(trial: &Trial<'_>) {
    for (n, name) in (0..).zip(ALIKE.iter().chain(&HOSTILE)) {
        begin(trial, n, |new| new.file_name(name));
    }
    for (n, name) in (0..).zip(ALIKE.iter().chain(&HOSTILE)) {
        takes(trial, &term(Term::FileName((*name).into())), &[n]);
    }
    takes(trial, &term(Term::FileName("a".into())), &[]);
}

pub(crate) fn a_prefix_of_the_file_name_is_taken_byte_by_byte(trial: &Trial<'_>) {
    for (n, name) in (0..).zip(ALIKE.iter().chain(&HOSTILE)) {
        begin(trial, n, |new| new.file_name(name));
    }
    let prefix = |text: &str| term(Term::FileNamePrefix(text.into()));
    takes(trial, &prefix("ab"), &[1, 5, 7]);
    takes(trial, &prefix("abc"), &[1, 5]);
    takes(trial, &prefix("A"), &[3]);
    takes(trial, &prefix("a_"), &[0]);
    takes(trial, &prefix("a%"), &[2]);
    takes(trial, &prefix("a*"), &[4]);
    takes(trial, &prefix("a["), &[6]);
    takes(trial, &prefix("a\u{e9}"), &[8]);
    takes(trial, &prefix("abcde"), &[]);
    takes(trial, &prefix("%"), &[]);
    takes(trial, &prefix(""), &(0..23).collect::<Vec<_>>());
    for (n, name) in (9..).zip(&HOSTILE).filter(|(_, name)| **name != "0") {
        takes(trial, &prefix(name), &[n]);
    }
}

pub(crate) fn the_highest_prefixes_end_nowhere_too_early(trial: &Trial<'_>) {
    // A range of texts that ends at "the next prefix" has none to end at here.
    let names = [
        "\u{10ffff}",
        "\u{10ffff}\u{10ffff}",
        "\u{10fffe}z",
        "\u{d7ff}a",
        "\u{e000}a",
    ];
    for (n, name) in (0..).zip(names) {
        begin(trial, n, |new| new.file_name(name));
    }
    let prefix = |text: &str| term(Term::FileNamePrefix(text.into()));
    takes(trial, &prefix("\u{10ffff}"), &[0, 1]);
    takes(trial, &prefix("\u{10fffe}"), &[2]);
    takes(trial, &prefix("\u{d7ff}"), &[3]);
    takes(trial, &prefix("\u{e000}"), &[4]);
}

pub(crate) fn the_directory_is_taken_exactly(trial: &Trial<'_>) {
    for (n, path) in (0..).zip(ALIKE.iter().chain(&HOSTILE)) {
        begin(trial, n, |new| new.symbolic_directory_path(path));
    }
    for (n, path) in (0..).zip(ALIKE.iter().chain(&HOSTILE)) {
        takes(trial, &term(Term::Directory((*path).into())), &[n]);
    }
    takes(trial, &term(Term::Directory("/etc".into())), &[]);
}

pub(crate) fn under_a_directory_is_all_below_it_and_nothing_beside(trial: &Trial<'_>) {
    let paths = [
        "/a", "/a/b", "/ab", "/a/b/c", "/A/b", "/a%/b", "/a_/b", "/axb", "/", "/a/", "b", "/a0",
        "/a-b", "/a.b",
    ];
    for (n, path) in (0..).zip(paths) {
        begin(trial, n, |new| new.symbolic_directory_path(path));
    }
    let under = |path: &str| term(Term::UnderDirectory(path.into()));
    takes(trial, &under("/a"), &[0, 1, 3, 9]);
    takes(trial, &under("/a/"), &[0, 1, 3, 9]);
    takes(trial, &under("/a/b"), &[1, 3]);
    takes(trial, &under("/a%"), &[5]);
    takes(trial, &under("/a_"), &[6]);
    takes(trial, &under("/A"), &[4]);
    takes(
        trial,
        &under("/"),
        &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 12, 13],
    );
    takes(trial, &under("b"), &[10]);
    takes(trial, &under("/none"), &[]);
}

pub(crate) fn a_tag_is_taken_by_name_and_value_together(trial: &Trial<'_>) {
    begin(trial, 0, |new| {
        new.tag("author", "melville").tag("year", "1851")
    });
    begin(trial, 1, |new| {
        new.tag("author", "Melville").tag("year", "1851")
    });
    begin(trial, 2, |new| {
        new.tag("author", "1851").tag("year", "melville")
    });
    begin(trial, 3, |new| {
        new.tag("author", "hawthorne").tag("author", "melville")
    });
    begin(trial, 4, |new| {
        new.tag("author", "mel%").tag("auth_r", "melville")
    });
    begin(trial, 5, |new| new.tag("author", ""));
    begin(trial, 6, |new| new.file_description("author melville"));
    let tag = |name: &str, value: &str| Term::Tag {
        name: name.into(),
        value: value.into(),
    };
    takes(trial, &term(tag("author", "melville")), &[0, 3]);
    takes(
        trial,
        &term(tag("author", "melville")).with(tag("year", "1851")),
        &[0],
    );
    takes(
        trial,
        &term(tag("author", "melville")).with(tag("author", "hawthorne")),
        &[3],
    );
    takes(trial, &term(tag("author", "mel%")), &[4]);
    takes(trial, &term(tag("auth_r", "melville")), &[4]);
    takes(trial, &term(tag("author", "")), &[5]);
    takes(trial, &term(tag("Author", "melville")), &[]);
    takes(trial, &term(tag("author", "mel")), &[]);
    for (n, text) in (10..).zip(HOSTILE) {
        begin(trial, n, |new| new.tag(text, text));
        takes(trial, &term(tag(text, text)), &[n]);
    }
    let none: [(&str, &str); 0] = [];
    trial.must(&op(id(0), 50, Change::update(Update::new().tags(none))));
    takes(trial, &term(tag("author", "melville")), &[3]);
}

pub(crate) fn every_term_of_a_filter_must_hold(trial: &Trial<'_>) {
    for n in 0..32 {
        let name = if n & 1 == 0 { "a.pdf" } else { "b.pdf" };
        let path = if n & 2 == 0 { "/in" } else { "/out/x" };
        let tag = if n & 4 == 0 { "hot" } else { "cold" };
        let owner = file(n & 8);
        begin(trial, n, |new| {
            let new = new.file_name(name).symbolic_directory_path(path);
            new.tag("state", tag)
                .file_id(owner)
                .expires_at(at(1000 + i64::from(n)))
        });
        if n & 16 != 0 {
            trial.must(&op(id(n), 100, Change::fail(1, failure())));
        }
    }
    let terms = [
        Term::FileNamePrefix("a".into()),
        Term::UnderDirectory("/out".into()),
        Term::Tag {
            name: "state".into(),
            value: "hot".into(),
        },
        Term::FileId(file(8)),
        Term::Status(vec![OverallStatus::Failed]),
        Term::Created(TimeRange::new(at(4)..at(28))),
        Term::Pipeline("invoice-ocr".into()),
    ];
    // All subsets, as numbers in binary.
    for subset in 0..1_u32 << terms.len() {
        let mut filter = Filter::new();
        for (bit, term) in terms.iter().enumerate() {
            if subset >> bit & 1 == 1 {
                filter = filter.with(term.clone());
            }
        }
        let filter = if subset % 3 == 0 {
            filter.visible_at(at(1010))
        } else {
            filter
        };
        trial.must_list_as_expected(&filter);
    }
    let mut contradictory = term(Term::Pipeline("invoice-ocr".into()));
    contradictory
        .terms
        .push(Term::Pipeline("thumbnails".into()));
    takes(trial, &contradictory, &[]);
    let all = terms.into_iter().fold(Filter::new(), Filter::with);
    takes(trial, &all, &[26]);
}

pub(crate) fn a_changed_process_is_found_by_what_it_is_now(trial: &Trial<'_>) {
    begin(trial, 0, |new| {
        new.file_name("old.pdf")
            .symbolic_directory_path("/old")
            .tag("a", "old")
    });
    let update = Update::new()
        .file_name("new.pdf")
        .symbolic_directory_path("/new")
        .tags([("a", "new")])
        .expires_at(at(500));
    trial.must(&op(id(0), 50, Change::update(update)));
    let terms = |word: &str| {
        [
            Term::FileName(format!("{word}.pdf")),
            Term::FileNamePrefix(word.into()),
            Term::Directory(format!("/{word}")),
            Term::UnderDirectory(format!("/{word}")),
            Term::Tag {
                name: "a".into(),
                value: word.into(),
            },
        ]
    };
    for (old, new) in terms("old").into_iter().zip(terms("new")) {
        takes(trial, &term(old), &[]);
        takes(trial, &term(new.clone()), &[0]);
        takes(trial, &term(new).visible_at(at(500)), &[]);
    }
    let process = trial.stored(id(0));
    assert_eq!(Indexed::from(&*process).directory, "/new");
}
