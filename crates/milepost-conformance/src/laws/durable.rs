//! Durable: what was acknowledged is kept whole, and everybody sees it.

use std::thread;

use milepost_core::{
    Change, Failure, Filter, NewProcess, Op, Pipeline, Process, Progress, Term, Update, limits,
};

use crate::fixture::{at, chain, failure, file, id, op, side_by_side};
use crate::trial::{Trial, ok};

/// Texts that something on the way to a disk could take for something else.
pub(crate) const HOSTILE: [&str; 14] = [
    "'); DROP TABLE process; --",
    "\"quoted\" 'twice' `thrice`",
    "100% _sure_ [a-z]* ? \\ \\0 %s {} ${HOME} $1",
    "\u{1F980}\u{1D11E} beyond the basic plane",
    "e\u{301} is not \u{e9}",
    "\u{feff}\u{200f}\u{202e}back to front",
    "  spaces at both ends  ",
    "NULL",
    "0",
    "0123.4500e10",
    "x'00'",
    "\u{df}\u{130}\u{131} I i",
    "\u{fffd}\u{ffff}\u{10ffff}",
    "{\"json\": [1, null]}",
];

pub(crate) fn what_is_acknowledged_is_seen_by_everybody(trial: &Trial<'_>) {
    let (ours, theirs) = (trial.store(), trial.another());
    let begin = trial.begin(&chain(), id(1), 0);
    let mut steps = vec![begin];
    let changes = [
        Change::start(1),
        Change::progress(1, Progress::of(1, 2)),
        Change::update(Update::new().file_name("new.pdf")),
        Change::cancel("called off"),
        Change::rerun(),
        Change::erase(),
    ];
    steps.extend(
        (1..)
            .zip(changes)
            .map(|(second, change)| op(id(1), second, change)),
    );
    for (turn, op) in steps.iter().enumerate() {
        // The two take turns in writing; the other one, and another thread, read at once.
        let (writer, reader) = if turn % 2 == 0 {
            (&ours, &theirs)
        } else {
            (&theirs, &ours)
        };
        let verdicts = ok("write", writer.write(std::slice::from_ref(op)));
        assert_eq!(verdicts, trial.expect(std::slice::from_ref(op)));
        let expected = trial.expected(id(1));
        for store in [reader, writer] {
            let read = thread::scope(|scope| scope.spawn(|| store.read(id(1))).join());
            let read = ok("read", read.expect("reading does not panic"));
            assert_eq!(
                read,
                expected,
                "left is read elsewhere after {:?}",
                op.change.kind()
            );
            let counts = ok("count", store.count(&Filter::new()));
            assert_eq!(
                counts.total(),
                u64::from(expected.is_some()),
                "counted elsewhere"
            );
            let versions = ok("versions", store.versions(&[id(1)]));
            assert_eq!(
                versions,
                [expected.as_ref().map(|process| process.version())]
            );
        }
    }
}

pub(crate) fn what_is_acknowledged_is_there_after_reopening(trial: &Trial<'_>) {
    for n in 1..=20 {
        let begin = trial.begin(&chain(), id(n), i64::from(n));
        let ops = [
            begin,
            op(id(n), 30, Change::start(1)),
            op(id(n), 31, Change::complete(1)),
        ];
        assert_eq!(ok("write", trial.store().write(&ops)), trial.expect(&ops));
        if n % 3 == 0 {
            let erase = [op(id(n - 1), 32, Change::erase())];
            assert_eq!(
                ok("write", trial.store().write(&erase)),
                trial.expect(&erase)
            );
        }
        trial.reopen();
        trial.must_be_as_expected(id(n));
        trial.must_be_as_expected(id(n.max(2) - 1));
    }
    trial.must_hold_exactly_what_is_expected();
    // Indexes and counts are there again too, and what comes next goes on from what was there.
    trial.must_list_as_expected(&Filter::new().with(Term::Pipeline("invoice-ocr".into())));
    trial.send(&[
        op(id(1), 40, Change::start(2)),
        op(id(3), 40, Change::cancel("")),
    ]);
    trial.must_hold_exactly_what_is_expected();
}

/// Every kind of state, progress and past attempt, with nothing left out.
fn of_all_sorts(trial: &Trial<'_>, n: u32) -> Vec<Op> {
    let names = [
        "complete", "skipped", "failed", "running", "pending", "retried", "complete",
    ];
    let pipeline = Pipeline::new("all sorts", names)
        .expect("the names are fine")
        .parallel();
    let new = NewProcess::new(&pipeline)
        .request_id(id(n))
        .file_id(file(n))
        .file_name("all.sorts")
        .symbolic_directory_path("/of/all/sorts")
        .tag("author", "melville")
        .tag("author", "hawthorne")
        .tag("empty", "")
        .file_description("call me\nwhat you like")
        .expires_at(at(86_400));
    let changes = [
        Change::start(1),
        Change::progress(1, Progress::of(u64::MAX, u64::MAX).unit("bytes")),
        Change::complete(1),
        Change::skip(2, "not needed"),
        Change::progress(4, Progress::unbounded(0).message("")),
        Change::fail(3, failure()),
        Change::rerun(),
        Change::start(3),
        Change::cancel("called off"),
        Change::rerun(),
        Change::start(6),
        Change::retry(6, Failure::new("", "")),
        Change::complete(7),
        Change::progress(4, Progress::of(0, 0).unit("").message("two\nlines")),
        Change::fail(3, Failure::new("Again", "and again")),
    ];
    let mut ops = vec![trial.begin_at(new, at(0))];
    ops.extend(
        (1..)
            .zip(changes)
            .map(|(second, change)| op(id(n), second, change)),
    );
    ops
}

pub(crate) fn every_part_of_a_record_is_kept(trial: &Trial<'_>) {
    // Each step is compared whole with what `Op::apply` made of it.
    for op in of_all_sorts(trial, 1) {
        trial.must(&op);
    }
    trial.send(&of_all_sorts(trial, 2));
    trial.must_hold_exactly_what_is_expected();
    let process = trial.stored(id(1));
    assert_eq!(process.file().tags().len(), 3);
    assert_eq!(
        process.modules()[0].progress().map(Progress::done),
        Some(u64::MAX)
    );
    assert_eq!(process.modules()[2].attempts().len(), 2);
    assert_eq!(process.chain().modules().len(), 7);
}

pub(crate) fn texts_of_any_content_are_kept_byte_for_byte(trial: &Trial<'_>) {
    for (n, text) in (1..).zip(HOSTILE) {
        let pipeline = Pipeline::new(text, [text, text]).expect("the names are fine");
        let new = NewProcess::new(&pipeline)
            .request_id(id(n))
            .file_name(text)
            .symbolic_directory_path(text)
            .tag(text, text)
            .file_description(text);
        trial.must(&trial.begin_at(new, at(0)));
        let lines = format!("{text}\r\n\t{text}");
        trial.must(&op(
            id(n),
            1,
            Change::progress(1, Progress::of(1, 2).unit(text).message(&lines)),
        ));
        trial.must(&op(id(n), 2, Change::retry(1, Failure::new(text, &lines))));
        trial.must(&op(id(n), 3, Change::skip(1, &lines)));
        trial.must(&op(id(n), 4, Change::fail(2, Failure::new(&lines, text))));
        let process = trial.stored(id(n));
        let module = process.modules()[0].name();
        let file = process.file();
        let kept = [
            process.pipeline(),
            module,
            file.name(),
            file.symbolic_directory_path(),
        ];
        assert_eq!(kept, [text; 4], "left is stored");
        let tag = (
            file.tags()[0].name(),
            file.tags()[0].value(),
            file.description(),
        );
        assert_eq!(tag, (text, text, Some(text)), "left is stored");
        let blame = process.blame().map(|blame| (blame.reason, blame.message));
        assert_eq!(blame, Some((lines.as_str(), text)), "left is stored");
    }
    trial.must_hold_exactly_what_is_expected();
}

pub(crate) fn texts_as_long_as_their_limits_are_kept(trial: &Trial<'_>) {
    // Three bytes a character, so that a text cut by characters shows too.
    let long = |bytes: usize| {
        let mut text = "\u{20ac}".repeat(bytes / 3);
        text.push_str(&"x".repeat(bytes % 3));
        text
    };
    let pipeline = Pipeline::new(long(limits::NAME_BYTES), [long(limits::NAME_BYTES)]);
    let value = long(limits::TAG_VALUE_BYTES);
    let mut new = NewProcess::new(&pipeline.expect("the names are fine"))
        .request_id(id(1))
        .file_name(&long(limits::FILE_NAME_BYTES))
        .symbolic_directory_path(&long(limits::DIRECTORY_BYTES))
        .file_description(&long(limits::DESCRIPTION_BYTES))
        .tag(&long(limits::NAME_BYTES), &value);
    for n in 1..limits::TAGS {
        new = new.tag(&format!("tag {n}"), if n < 32 { &value } else { "" });
    }
    trial.must(&trial.begin_at(new, at(0)));
    let message = long(limits::MESSAGE_BYTES);
    let unit = long(limits::NAME_BYTES);
    let progress = Progress::of(1, 2)
        .unit(&unit)
        .message(&long(limits::PROGRESS_MESSAGE_BYTES));
    let reason = long(limits::REASON_BYTES);
    trial.must(&op(id(1), 1, Change::progress(1, progress)));
    trial.must(&op(
        id(1),
        2,
        Change::fail(1, Failure::new(&reason, &message)),
    ));
    let process = trial.stored(id(1));
    assert_eq!(
        process.blame().map(|blame| blame.message.len()),
        Some(limits::MESSAGE_BYTES)
    );
    assert_eq!(process.file().tags()[0].value(), value);
    trial.must_hold_exactly_what_is_expected();
}

pub(crate) fn the_longest_chain_is_kept(trial: &Trial<'_>) {
    let names = (1..=limits::MODULES).map(|n| format!("module {n}"));
    let longest = Pipeline::new("longest", names).expect("the names are fine");
    let mut ops = vec![trial.begin(&longest, id(1), 0)];
    ops.extend((1..=limits::MODULES).map(|module| op(id(1), 1, Change::complete(module))));
    trial.send(&ops);
    let process = trial.stored(id(1));
    assert_eq!(process.modules().len(), limits::MODULES);
    assert!(process.is_settled(), "all of its modules are complete");
    assert_eq!(process.modules()[255].name(), "module 256");
}

pub(crate) fn half_an_op_is_never_seen(trial: &Trial<'_>) {
    // One op writes the same number everywhere: whoever reads two numbers has seen half of it.
    let write = |n: u32| {
        let n = n.to_string();
        let update = Update::new()
            .file_name(&n)
            .symbolic_directory_path(&n)
            .tags([("n", &n)])
            .file_description(&n);
        op(id(1), 1, Change::update(update))
    };
    let store = trial.store();
    let ops = [trial.begin(&side_by_side(), id(1), 0), write(0)];
    ok("write", store.write(&ops));
    let is_whole = |process: &Process| {
        let file = process.file();
        let seen = [file.symbolic_directory_path(), file.tags()[0].value()];
        assert_eq!(seen, [file.name(); 2], "half of an op is seen");
        assert_eq!(
            file.description(),
            Some(file.name()),
            "half of an op is seen"
        );
    };
    let other = trial.another();
    thread::scope(|scope| {
        let writer = scope.spawn(|| {
            for n in 1..=200 {
                ok("write", store.write(&[write(2 * n), write(2 * n + 1)]));
            }
        });
        let mut last = 0;
        while !writer.is_finished() {
            let read = ok("read", other.read(id(1))).expect("it was begun");
            is_whole(&read);
            assert!(
                read.revision() >= last,
                "an older state is read after a newer one"
            );
            last = read.revision();
            let named = Filter::new().with(Term::FileName(read.file().name().to_owned()));
            let listing = milepost_core::Listing {
                filter: named.clone(),
                order: milepost_core::Order::OldestFirst,
                after: None,
                limit: 10,
            };
            for listed in ok("list", other.list(&listing)).items {
                is_whole(&listed);
                assert!(named.matches(&listed), "a list shows what does not match");
            }
        }
        writer.join().expect("the writer finds nothing wrong");
    });
}
