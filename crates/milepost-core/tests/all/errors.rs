//! Errors: values to compare, and texts that say one thing and what to do next.

use std::error::Error;
use std::time::Duration;

use chrono::DateTime;
use milepost_core::{
    ChangeKind, Conflict, Field, GuardKind, Illegality, Invalid, ModuleStateKind, OverallStatus,
    RecordError, Rejection, StoreError, StoreErrorKind, TrackError, limits,
};

const KINDS: [StoreErrorKind; 9] = [
    StoreErrorKind::Busy,
    StoreErrorKind::Full,
    StoreErrorKind::Unavailable,
    StoreErrorKind::Corrupt,
    StoreErrorKind::Incompatible,
    StoreErrorKind::OutcomeUnknown,
    StoreErrorKind::Limit,
    StoreErrorKind::Unsupported,
    StoreErrorKind::Other,
];

fn invalids() -> Vec<Invalid> {
    let field = Field::FileName;
    vec![
        Invalid::Empty { field },
        Invalid::TooLong { field, bytes: 256 },
        Invalid::ControlCharacter {
            field,
            character: '\u{7}',
            at: 3,
        },
        Invalid::EmptyChain,
        Invalid::TooManyModules,
        Invalid::NoSuchModule {
            position: 9,
            modules: 3,
        },
        Invalid::TooManyTags { given: 65 },
        Invalid::PastTotal {
            done: 11,
            total: 10,
        },
        Invalid::TimeOutOfRange { what: "expiry" },
        Invalid::AlreadyExpired,
        Invalid::HasExpired,
        Invalid::OtherId,
        Invalid::KeyAndId,
        Invalid::LeaseTime {
            given: Duration::ZERO,
        },
        Invalid::NotAUuid,
        Invalid::PageSize { given: 0 },
        Invalid::TooManyTerms { given: 129 },
        Invalid::MalformedCursor,
        Invalid::ForeignCursor,
        Invalid::UnexpectedCursor,
    ]
}

fn rejections() -> Vec<Rejection> {
    let status = OverallStatus::Failed;
    let (guard, given, current) = (GuardKind::Run, 1, 2);
    let illegal = [
        Illegality::State {
            module: 2,
            from: ModuleStateKind::Complete,
            change: ChangeKind::Start,
        },
        Illegality::Status { status },
        Illegality::FutureGuard {
            guard,
            given: 3,
            current,
        },
        Illegality::AttemptGuard {
            change: ChangeKind::Cancel,
        },
        Illegality::LeaseGuard {
            change: ChangeKind::Renew,
        },
        Illegality::Invalid(Invalid::EmptyChain),
        Illegality::Exhausted { guard },
    ];
    let mut all = vec![
        Rejection::NotFound,
        Rejection::OutOfOrder {
            module: 3,
            waits_for: 1,
        },
        Rejection::Backwards { done: 3, given: 2 },
        Rejection::Stale {
            guard,
            given,
            current,
        },
        Rejection::Fenced {
            given,
            current: Some(current),
        },
        Rejection::Held {
            worker: "worker 7".into(),
            until: DateTime::UNIX_EPOCH,
        },
        Rejection::Settled { status },
        Rejection::TooLarge {
            bytes: 300_000,
            limit: limits::RECORD_BYTES,
        },
    ];
    let conflicts = [
        Conflict::Pipeline,
        Conflict::File,
        Conflict::Process,
        Conflict::State,
    ];
    all.extend(conflicts.map(|conflict| Rejection::AlreadyExists { conflict }));
    all.extend(illegal.map(|cause| Rejection::Illegal { cause }));
    all
}

fn assert_style(error: &dyn Error) {
    let text = error.to_string();
    let first = text.chars().next().expect("it says something");
    assert!(first.is_lowercase() || first.is_ascii_digit(), "{text}");
    assert!(!text.ends_with('.') && !text.contains('\n'), "{text}");
    if let Some(source) = error.source() {
        let source = source.to_string();
        assert!(!text.contains(&source), "`{text}` repeats its source");
    }
}

#[test]
fn every_text_is_one_lower_case_sentence_without_a_full_stop() {
    for invalid in invalids() {
        assert_style(&invalid);
        assert_style(&TrackError::from(invalid));
    }
    for rejection in rejections() {
        assert_style(&rejection);
        assert_style(&TrackError::from(rejection));
    }
    for kind in KINDS {
        assert_style(&kind);
        let error = StoreError::new(kind, "the disk says no");
        assert_style(&error);
        assert_style(&TrackError::from(error));
    }
    assert_style(&TrackError::Timeout);
    assert_style(&RecordError::Incompatible { version: 2 });
    assert_style(&RecordError::Corrupt {
        broken: "it is empty",
    });
    assert_style(&limits::check_purge(10_001).unwrap_err());
}

#[test]
fn texts_say_the_values_and_what_to_do() {
    let text = |error: &dyn Error| error.to_string();
    let texts = [
        (
            text(&Rejection::OutOfOrder {
                module: 3,
                waits_for: 1,
            }),
            "module 3 must wait for module 1: complete or skip that first",
        ),
        (
            text(&Rejection::Stale {
                guard: GuardKind::Attempt,
                given: 1,
                current: 2,
            }),
            "attempt 1 has passed, it is 2 now: read the process and take a new handle",
        ),
        (
            text(&Invalid::ControlCharacter {
                field: Field::TagName,
                character: '\n',
                at: 4,
            }),
            "the tag name has the control character U+000A at byte 4: take it out",
        ),
        (
            text(&Invalid::TooLong {
                field: Field::Reason,
                bytes: 300,
            }),
            "the reason has 300 bytes: at most 255 are allowed",
        ),
        (
            text(&RecordError::Incompatible { version: 9 }),
            "the record has version 9, and this milepost reads up to 3: use a newer one",
        ),
    ];
    for (text, expected) in texts {
        assert_eq!(text, expected);
    }
}

#[test]
fn only_what_may_pass_by_itself_is_retryable() {
    for kind in KINDS {
        let error = StoreError::new(kind, "why");
        let retryable = matches!(kind, StoreErrorKind::Busy | StoreErrorKind::Unavailable);
        assert_eq!(error.is_retryable(), retryable, "{kind}");
        assert_eq!(TrackError::from(error).is_retryable(), retryable, "{kind}");
    }
    assert!(TrackError::Timeout.is_retryable());
    for rejection in rejections() {
        let not_found = rejection == Rejection::NotFound;
        let error = TrackError::from(rejection);
        assert!(!error.is_retryable());
        assert_eq!(error.is_not_found(), not_found);
    }
    for invalid in invalids() {
        let error = TrackError::from(invalid);
        assert!(!error.is_retryable() && !error.is_not_found());
    }
}

#[test]
fn a_store_error_keeps_its_source_through_clones() {
    let io = std::io::Error::other("torn page");
    let error = StoreError::new(StoreErrorKind::Corrupt, io).clone();
    let source = error.source().expect("it has one");
    assert!(source.downcast_ref::<std::io::Error>().is_some());
    assert_eq!(source.to_string(), "torn page");
    let wrapped = TrackError::from(error);
    let source = wrapped.source().expect("it passes it on");
    assert_eq!(source.to_string(), "torn page");
}
