//! Cursors: printable, checked, and bound to the query that gave them.

use milepost_core::{Cursor, Invalid, NewProcess, OverallStatus, Query, TrackError, Tracker};
use proptest::prelude::*;

use crate::common::{at, chain};

fn begun(processes: i64) -> Tracker {
    let (tracker, clock) = crate::common::tracker();
    for second in 0..processes {
        clock.set(at(second));
        let new = NewProcess::new(&chain(1))
            .file_name("a.pdf")
            .tag("a", "1")
            .tag("b", "2");
        tracker.begin(new).expect("it begins");
    }
    tracker
}

fn first(tracker: &Tracker, query: &Query) -> Cursor {
    let page = tracker.list(&query.clone().limit(1)).expect("it lists");
    page.next.expect("there is more")
}

fn refused(tracker: &Tracker, query: Query, cursor: Cursor) -> Option<Invalid> {
    match tracker.list(&query.after(cursor)) {
        Ok(_) => None,
        Err(TrackError::Invalid(invalid)) => Some(invalid),
        Err(other) => panic!("{other}"),
    }
}

#[test]
fn a_cursor_is_printable_and_comes_back_equal() {
    let cursor = first(&begun(2), &Query::new());
    let text = cursor.to_string();
    assert_eq!(text.len(), 81);
    assert!(
        text.bytes().all(|b| b.is_ascii_alphanumeric()),
        "it needs no escaping in a URL"
    );
    assert_eq!(text.parse::<Cursor>(), Ok(cursor));
    let json = serde_json::to_string(&cursor).unwrap();
    assert_eq!(json, format!("\"{text}\""));
    assert_eq!(serde_json::from_str::<Cursor>(&json).unwrap(), cursor);
}

#[test]
fn a_cursor_altered_at_any_character_is_refused() {
    let tracker = begun(2);
    let text = first(&tracker, &Query::new()).to_string();
    for at in 0..text.len() {
        for other in ['0', '1', '7', 'f', 'F', 'g', '-', ' ', '\0', 'é'] {
            let mut altered = text.clone();
            altered.replace_range(at..=at, &other.to_string());
            if altered == text {
                continue;
            }
            match altered.parse::<Cursor>() {
                Err(invalid) => assert_eq!(invalid, Invalid::MalformedCursor),
                Ok(cursor) => {
                    let refused = refused(&tracker, Query::new(), cursor);
                    assert_eq!(refused, Some(Invalid::ForeignCursor), "{altered}");
                }
            }
        }
    }
}

#[test]
fn what_is_no_cursor_is_malformed() {
    let text = first(&begun(2), &Query::new()).to_string();
    let shorter = &text[..80];
    let longer = format!("{text}0");
    for wrong in [
        "",
        "page 2",
        shorter,
        &longer,
        &format!(" {shorter}"),
        &"é".repeat(40),
    ] {
        assert_eq!(
            wrong.parse::<Cursor>(),
            Err(Invalid::MalformedCursor),
            "{wrong}"
        );
        assert!(serde_json::from_value::<Cursor>(wrong.into()).is_err());
    }
}

#[test]
fn a_cursor_of_another_filter_or_order_is_foreign() {
    let tracker = begun(3);
    let base = || Query::new().pipeline("pipeline").tag("a", "1");
    let cursor = first(&tracker, &base());
    let foreign = Some(Invalid::ForeignCursor);
    for other in [
        Query::new(),
        Query::new().pipeline("pipeline"),
        base().oldest_first(),
        base().tag("b", "2"),
        base().status(OverallStatus::Ongoing),
        Query::new().pipeline("pipeline").tag("a", "2"),
        Query::new().pipeline("pipeline").tag("b", "1"),
        Query::new().file_name("pipeline").tag("a", "1"),
        base().created(at(0)..),
    ] {
        assert_eq!(refused(&tracker, other, cursor), foreign);
    }
}

#[test]
fn the_same_filter_in_other_words_is_the_same() {
    let tracker = begun(3);
    let query = Query::new()
        .tag("a", "1")
        .tag("b", "2")
        .status(OverallStatus::Ongoing)
        .status(OverallStatus::Failed);
    let cursor = first(&tracker, &query);
    let other = Query::new()
        .status(OverallStatus::Failed)
        .tag("b", "2")
        .status(OverallStatus::Ongoing)
        .status(OverallStatus::Failed)
        .tag("a", "1")
        .limit(7);
    assert_eq!(refused(&tracker, other, cursor), None);
}

#[test]
fn a_cursor_stays_good_while_time_passes_and_its_process_is_erased() {
    let (tracker, clock) = crate::common::tracker();
    let begin = || {
        tracker
            .begin(NewProcess::new(&chain(1)))
            .unwrap()
            .request_id()
    };
    let (older, newer) = (begin(), {
        clock.set(at(1));
        begin()
    });
    let cursor = first(&tracker, &Query::new());
    clock.set(at(99));
    tracker.erase(newer).unwrap();
    let page = tracker.list(&Query::new().after(cursor)).unwrap();
    let ids = page.items.iter().map(|process| process.request_id());
    assert_eq!(ids.collect::<Vec<_>>(), [older]);
    assert_eq!(page.next, None);
}

proptest! {
    #[test]
    fn no_text_makes_parsing_a_cursor_panic(text in ".{0,100}", digits in "1[0-9a-f]{80}") {
        if let Ok(cursor) = text.parse::<Cursor>() {
            prop_assert_eq!(cursor.to_string(), text);
        }
        if let Ok(cursor) = digits.parse::<Cursor>() {
            prop_assert_eq!(cursor.to_string(), digits);
        }
    }
}
