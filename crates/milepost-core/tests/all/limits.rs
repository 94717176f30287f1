//! Every limit at its edge and one past it, and what each text may hold.

use milepost_core::limits::*;
use milepost_core::{
    Change, Failure, Field, Invalid, NewProcess, Op, Pipeline, Progress, Query, StatusStore,
    StoreError, StoreErrorKind, TrackError, Update, limits,
};

use crate::common::store::{Call, MapStore};
use crate::common::{chain, id, noon};

/// Gives a text to whatever takes it, and answers what it says.
type Taker<'a> = Box<dyn Fn(&str) -> Option<Invalid> + 'a>;

fn invalid<T: std::fmt::Debug>(result: Result<T, TrackError>) -> Option<Invalid> {
    match result {
        Ok(_) => None,
        Err(TrackError::Invalid(invalid)) => Some(invalid),
        Err(other) => panic!("{other}"),
    }
}

/// Every field, its limit, whether it may be empty, whether it may hold control characters, its takers.
#[expect(
    clippy::too_many_lines,
    reason = "one table of every text and its takers"
)]
fn with_every_field(check: impl Fn(Field, usize, bool, bool, &Taker<'_>)) {
    let (tracker, _) = crate::common::tracker();
    let begin = |new: NewProcess| invalid(tracker.begin(new));
    let new = || NewProcess::new(&chain(1));
    let update = |update: Update| {
        let id = tracker.begin(new()).expect("it begins").request_id();
        invalid(tracker.update(id, update))
    };
    let fresh = || {
        let process = tracker.begin(new()).expect("it begins");
        process.module(1).expect("it has one")
    };
    let started = || {
        let module = fresh();
        module.start().expect("it starts");
        module
    };
    let list = |query: Query| invalid(tracker.list(&query));
    let process = || tracker.begin(new()).expect("it begins");
    let pipeline = |name: &str, module: &str| Pipeline::new(name, [module]).err();
    let rows: Vec<(Field, usize, bool, bool, Vec<Taker<'_>>)> = vec![
        (
            Field::PipelineName,
            128,
            false,
            false,
            vec![
                Box::new(|text| pipeline(text, "m")),
                Box::new(|text| list(Query::new().pipeline(text))),
            ],
        ),
        (
            Field::ModuleName,
            128,
            false,
            false,
            vec![Box::new(|text| pipeline("p", text))],
        ),
        (
            Field::FileName,
            255,
            false,
            false,
            vec![
                Box::new(|text| begin(new().file_name(text))),
                Box::new(|text| update(Update::new().file_name(text))),
                Box::new(|text| list(Query::new().file_name(text))),
            ],
        ),
        (
            Field::FileExtension,
            64,
            false,
            false,
            vec![Box::new(|text| begin(new().file_extension(text)))],
        ),
        (
            Field::Directory,
            1024,
            false,
            false,
            vec![
                Box::new(|text| begin(new().symbolic_directory_path(text))),
                Box::new(|text| update(Update::new().symbolic_directory_path(text))),
                Box::new(|text| list(Query::new().directory(text))),
                Box::new(|text| list(Query::new().under_directory(text))),
            ],
        ),
        (
            Field::TagName,
            128,
            false,
            false,
            vec![
                Box::new(|text| begin(new().tag(text, "v"))),
                Box::new(|text| update(Update::new().tags([(text, "v")]))),
                Box::new(|text| list(Query::new().tag(text, "v"))),
            ],
        ),
        (
            Field::TagValue,
            4096,
            true,
            true,
            vec![
                Box::new(|text| begin(new().tag("n", text))),
                Box::new(|text| update(Update::new().tags([("n", text)]))),
                Box::new(|text| list(Query::new().tag("n", text))),
            ],
        ),
        (
            Field::Description,
            4096,
            true,
            true,
            vec![
                Box::new(|text| begin(new().file_description(text))),
                Box::new(|text| update(Update::new().file_description(text))),
            ],
        ),
        (
            Field::Reason,
            255,
            true,
            true,
            vec![
                Box::new(|text| invalid(fresh().fail(Failure::new(text, "m")))),
                Box::new(|text| invalid(started().retry(Failure::new(text, "m")))),
                Box::new(|text| invalid(fresh().skip(text))),
                Box::new(|text| invalid(process().cancel(text))),
                Box::new(|text| invalid(tracker.cancel(process().request_id(), text))),
            ],
        ),
        (
            Field::Message,
            4096,
            true,
            true,
            vec![
                Box::new(|text| invalid(fresh().fail(Failure::new("R", text)))),
                Box::new(|text| invalid(started().retry(Failure::new("R", text)))),
            ],
        ),
        (
            Field::ProgressUnit,
            128,
            true,
            false,
            vec![Box::new(|text| {
                invalid(fresh().progress(Progress::of(1, 2).unit(text)))
            })],
        ),
        (
            Field::ProgressMessage,
            1024,
            true,
            true,
            vec![Box::new(|text| {
                invalid(fresh().progress(Progress::of(1, 2).message(text)))
            })],
        ),
        (
            Field::FileNamePrefix,
            255,
            true,
            false,
            vec![Box::new(|text| list(Query::new().file_name_prefix(text)))],
        ),
    ];
    for (field, limit, may_be_empty, may_have_controls, takers) in rows {
        for taker in &takers {
            check(field, limit, may_be_empty, may_have_controls, taker);
        }
    }
}

#[test]
fn every_text_is_accepted_at_its_limit_and_refused_one_byte_past_it() {
    with_every_field(|field, limit, may_be_empty, _, take| {
        assert_eq!(field.limit(), limit, "{field}");
        assert_eq!(take(&"x".repeat(limit)), None, "{field}");
        let bytes = limit + 1;
        assert_eq!(
            take(&"x".repeat(bytes)),
            Some(Invalid::TooLong { field, bytes })
        );
        // Bytes count, not characters.
        let accents = "é".repeat(limit / 2 + 1);
        let bytes = accents.len();
        assert_eq!(take(&accents), Some(Invalid::TooLong { field, bytes }));
        let bytes = 1 << 20;
        assert_eq!(
            take(&"x".repeat(bytes)),
            Some(Invalid::TooLong { field, bytes })
        );
        let empty = (!may_be_empty).then_some(Invalid::Empty { field });
        assert_eq!(take(""), empty, "{field}");
    });
}

#[test]
fn no_text_holds_nul_and_no_name_holds_a_control_character() {
    with_every_field(|field, _, _, may_have_controls, take| {
        for character in ['\0', '\n', '\t', '\u{1b}', '\u{7f}', '\u{85}'] {
            let refused = character == '\0' || !may_have_controls;
            let at = "é'; DROP".len();
            let expected = refused.then_some(Invalid::ControlCharacter {
                field,
                character,
                at,
            });
            let text = format!("é'; DROP{character}TABLE");
            assert_eq!(take(&text), expected, "{field} {character:?}");
        }
        assert_eq!(
            take("'; DROP TABLE x; --%_\u{202e}\u{feff}🦀"),
            None,
            "{field}"
        );
    });
}

#[test]
fn a_chain_has_1_to_256_modules() {
    let none: [&str; 0] = [];
    assert_eq!(Pipeline::new("p", none), Err(Invalid::EmptyChain));
    assert_eq!(
        Pipeline::new("p", ["m"; MODULES]).map(|chain| chain.len()),
        Ok(256)
    );
    assert_eq!(
        Pipeline::new("p", ["m"; MODULES + 1]),
        Err(Invalid::TooManyModules)
    );
    let endless = std::iter::repeat("m");
    assert_eq!(Pipeline::new("p", endless), Err(Invalid::TooManyModules));
}

#[test]
fn a_file_has_at_most_64_tags() {
    let (tracker, _) = crate::common::tracker();
    let with = |tags: usize| {
        let new = |new: NewProcess, _| new.tag("same", "name");
        invalid(tracker.begin((0..tags).fold(NewProcess::new(&chain(1)), new)))
    };
    assert_eq!(with(64), None);
    assert_eq!(with(65), Some(Invalid::TooManyTags { given: 65 }));
    let id = tracker
        .begin(NewProcess::new(&chain(1)))
        .unwrap()
        .request_id();
    let update =
        |tags: usize| tracker.update(id, Update::new().tags((0..tags).map(|_| ("n", "v"))));
    assert_eq!(invalid(update(64)), None);
    assert_eq!(
        invalid(update(65)),
        Some(Invalid::TooManyTags { given: 65 })
    );
}

#[test]
fn progress_is_within_its_total() {
    let (tracker, _) = crate::common::tracker();
    let process = tracker.begin(NewProcess::new(&chain(1))).unwrap();
    let module = process.module(1).unwrap();
    assert_eq!(invalid(module.progress(Progress::of(0, 0))), None);
    assert_eq!(
        invalid(module.progress(Progress::of(u64::MAX, u64::MAX))),
        None
    );
    let (done, total) = (11, 10);
    let error = invalid(module.progress(Progress::of(done, total)));
    assert_eq!(error, Some(Invalid::PastTotal { done, total }));
}

#[test]
fn a_module_outside_the_chain_is_invalid() {
    let (tracker, _) = crate::common::tracker();
    let process = tracker.begin(NewProcess::new(&chain(2))).unwrap();
    for position in [0, 3, usize::MAX] {
        let error = invalid(process.module(position).map(|module| module.position()));
        let no_such = Invalid::NoSuchModule {
            position,
            modules: 2,
        };
        assert_eq!(error, Some(no_such));
    }
    assert_eq!(process.module(2).unwrap().position(), 2);
}

#[test]
fn a_page_has_1_to_1000_processes() {
    let (tracker, _) = crate::common::tracker();
    let list = |limit: usize| invalid(tracker.list(&Query::new().limit(limit)));
    for limit in [1, PAGE] {
        assert_eq!(list(limit), None);
    }
    for given in [0, PAGE + 1, usize::MAX] {
        assert_eq!(list(given), Some(Invalid::PageSize { given }));
    }
}

#[test]
fn a_query_has_at_most_128_terms() {
    let (tracker, _) = crate::common::tracker();
    let with = |terms: usize| (0..terms).fold(Query::new(), |query, _| query.tag("n", "v"));
    assert_eq!(invalid(tracker.list(&with(TERMS))), None);
    let many = Some(Invalid::TooManyTerms { given: TERMS + 1 });
    assert_eq!(invalid(tracker.list(&with(TERMS + 1))), many);
    assert_eq!(invalid(tracker.count(&with(TERMS + 1))), many);
    assert_eq!(invalid(tracker.erase_matching(&with(TERMS + 1))), many);
}

#[test]
fn a_batch_has_at_most_10000_ops_and_16_mib() {
    let op = |reason: usize| Op::new(id(), noon(), Change::cancel(&"r".repeat(reason)));
    assert_eq!((op(0).bytes(), op(255).bytes()), (128, 383));
    assert_eq!(check_batch(&vec![op(0); BATCH_OPS]), Ok(()));
    let error = check_batch(&vec![op(0); BATCH_OPS + 1]).unwrap_err();
    assert_eq!((error.given, error.limit), (BATCH_OPS + 1, BATCH_OPS));

    let message = |bytes: usize| {
        Op::new(
            id(),
            noon(),
            Change::fail(1, Failure::new("", &"m".repeat(bytes))),
        )
    };
    let each = 4096;
    let mut batch = vec![message(each - 128); BATCH_BYTES / each];
    assert_eq!(check_batch(&batch), Ok(()));
    batch[0] = message(each - 127);
    let error = check_batch(&batch).unwrap_err();
    assert_eq!((error.given, error.limit), (BATCH_BYTES + 1, BATCH_BYTES));
}

#[test]
fn too_many_ops_are_a_limit_error_and_nothing_happens() {
    let (tracker, _) = crate::common::tracker();
    let process = tracker.begin(crate::common::new(&chain(1))).unwrap();
    let op = tracker.op(process.request_id(), Change::start(1));
    let error = tracker.apply(&vec![op; BATCH_OPS + 1]).unwrap_err();
    assert!(matches!(&error, TrackError::Store(error) if error.kind() == StoreErrorKind::Limit));
    assert!(!error.is_retryable());
    assert_eq!(tracker.get(id()).unwrap().revision(), 1);
    assert_eq!(tracker.apply(&[]).unwrap(), []);
}

#[test]
fn a_store_reads_at_most_10000_ids_and_the_tracker_splits() {
    let store = std::sync::Arc::new(MapStore::new());
    let ids = vec![id(); READ_IDS + 1];
    let limit = |error: StoreError| error.kind() == StoreErrorKind::Limit;
    assert!(store.read_many(&ids).is_err_and(limit));
    assert!(store.versions(&ids).is_err_and(limit));
    assert_eq!(store.read_many(&ids[1..]).unwrap().len(), READ_IDS);
    assert!(store.purge(noon(), PURGE + 1).is_err_and(limit));
    assert_eq!(store.calls(Call::Read), READ_IDS);
    let tracker = milepost_core::Tracker::new(store);
    assert_eq!(tracker.get_many(&ids).unwrap(), vec![None; READ_IDS + 1]);
}

#[test]
fn the_limits_are_those_of_the_specification() {
    let figures = [
        limits::MODULES,
        NAME_BYTES,
        FILE_NAME_BYTES,
        REASON_BYTES,
        DIRECTORY_BYTES,
        DESCRIPTION_BYTES,
        TAG_VALUE_BYTES,
        MESSAGE_BYTES,
        PROGRESS_MESSAGE_BYTES,
        TAGS,
        ATTEMPTS_PER_MODULE,
        ATTEMPTS_PER_PROCESS,
        RECORD_BYTES,
        BATCH_OPS,
        BATCH_BYTES,
        READ_IDS,
        PAGE,
        DEFAULT_PAGE,
        LIST_EXAMINED,
        COUNT_EXAMINED,
        PURGE,
    ];
    let specified = [
        256, 128, 255, 255, 1024, 4096, 4096, 4096, 1024, 64, 16, 64, 262_144, 10_000, 16_777_216,
        10_000, 1_000, 100, 100_000, 1_000_000, 10_000,
    ];
    assert_eq!(figures, specified);
    assert_eq!((FIRST_YEAR, LAST_YEAR), (1, 9999));
}
