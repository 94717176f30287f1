//! Idempotency keys: one process for each, wherever it is begun.

use std::time::Duration;

use milepost_core::{
    Conflict, Field, Invalid, NewProcess, Pipeline, Rejection, RequestId, TrackError, Tracker,
};
use uuid::Uuid;

use crate::common::store::MapStore;
use crate::common::{at, chain, id, noon, tracker};

fn keyed(pipeline: &Pipeline, key: &str) -> NewProcess {
    NewProcess::new(pipeline).idempotency_key(key)
}

#[test]
fn one_key_begins_one_process() {
    let (tracker, _) = tracker();
    let first = tracker
        .begin(keyed(&chain(2), "upload 7"))
        .expect("it works");
    let again = tracker
        .begin(keyed(&chain(2), "upload 7"))
        .expect("it works");
    assert!(first.is_new() && !again.is_new());
    assert_eq!(first.request_id(), again.request_id());
    assert_eq!(first.file_id(), again.file_id());
    let other = tracker
        .begin(keyed(&chain(2), "upload 8"))
        .expect("it works");
    assert_ne!(other.request_id(), first.request_id());
}

#[test]
fn trackers_that_know_nothing_of_each_other_give_a_key_the_same_id() {
    let ids = [(), ()].map(|()| {
        let tracker = Tracker::new(MapStore::new());
        let process = tracker
            .begin(keyed(&chain(2), "upload 7"))
            .expect("it works");
        process.request_id()
    });
    assert_eq!(ids[0], ids[1]);
    assert_eq!(
        RequestId::of_key(&chain(2), "upload 7").expect("it works"),
        ids[0]
    );
}

#[test]
fn the_id_is_a_version_5_uuid_of_the_pipelines_length_name_and_the_key() {
    let namespace = Uuid::parse_str("6d696c65-706f-7374-2069-64656d706f74").expect("it works");
    let expected = Uuid::new_v5(&namespace, b"\0\0\0\x08pipelineupload 7");
    let id = RequestId::of_key(&chain(2), "upload 7").expect("it works");
    assert_eq!(Uuid::from(id), expected);
    assert_eq!(expected.get_version_num(), 5);
}

#[test]
fn pipelines_do_not_share_keys_however_they_run_together() {
    let pipeline = |name: &str| Pipeline::new(name, ["step"]).expect("it works");
    let one = RequestId::of_key(&pipeline("ab"), "c").expect("it works");
    let other = RequestId::of_key(&pipeline("a"), "bc").expect("it works");
    assert_ne!(one, other);
}

#[test]
fn a_key_of_another_chain_of_that_name_is_refused() {
    let (tracker, _) = tracker();
    tracker
        .begin(keyed(&chain(2), "upload 7"))
        .expect("it works");
    let refused = tracker.begin(keyed(&chain(3), "upload 7")).unwrap_err();
    let conflict = Conflict::Pipeline;
    assert!(matches!(
        refused,
        TrackError::Rejected(Rejection::AlreadyExists { conflict: c }) if c == conflict
    ));
}

#[test]
fn a_key_and_an_id_exclude_each_other() {
    let (tracker, _) = tracker();
    let both = keyed(&chain(2), "upload 7").request_id(id());
    assert!(matches!(
        tracker.begin(both).unwrap_err(),
        TrackError::Invalid(Invalid::KeyAndId)
    ));
}

#[test]
fn a_key_says_something_and_is_not_too_long() {
    let (tracker, _) = tracker();
    let field = Field::IdempotencyKey;
    let invalid = |key: &str| match tracker.begin(keyed(&chain(1), key)).unwrap_err() {
        TrackError::Invalid(invalid) => invalid,
        other => panic!("not invalid: {other:?}"),
    };
    assert_eq!(invalid(""), Invalid::Empty { field });
    assert_eq!(
        invalid(&"k".repeat(1025)),
        Invalid::TooLong { field, bytes: 1025 }
    );
    assert!(matches!(invalid("a\0b"), Invalid::ControlCharacter { .. }));
    tracker
        .begin(keyed(&chain(1), &"k".repeat(1024)))
        .expect("it works");
}

#[test]
fn the_key_is_kept_nowhere() {
    let (tracker, _) = tracker();
    let op = tracker
        .prepare(keyed(&chain(2), "a key to look for"))
        .expect("it works");
    assert!(!format!("{op:?}").contains("a key to look for"));
    let process = tracker
        .begin(keyed(&chain(2), "a key to look for"))
        .expect("it works");
    let stored = tracker.get(process.request_id()).expect("it works");
    let mut record = Vec::new();
    stored.to_record(&mut record);
    let is_key = |bytes: &[u8]| bytes == b"a key to look for";
    assert!(!record.windows(17).any(is_key));
}

#[test]
fn what_was_erased_or_has_expired_begins_anew() {
    let (tracker, clock) = tracker();
    let expiring = || keyed(&chain(2), "upload 7").expires_in(Duration::from_mins(1));
    let first = tracker.begin(expiring()).expect("it works");
    tracker.erase(first.request_id()).expect("it works");
    let second = tracker.begin(expiring()).expect("it works");
    assert!(second.is_new());
    assert_eq!(first.request_id(), second.request_id());
    assert_eq!(
        tracker
            .get(second.request_id())
            .expect("it works")
            .created_at(),
        noon()
    );
    clock.set(at(60));
    assert!(tracker.begin(expiring()).expect("it works").is_new());
}

#[test]
fn of_many_that_begin_one_key_at_once_one_is_new() {
    let tracker = Tracker::new(MapStore::new());
    let new = std::thread::scope(|scope| {
        let begin = |_| {
            scope.spawn(|| {
                tracker
                    .begin(keyed(&chain(2), "upload 7"))
                    .expect("it works")
            })
        };
        let threads = (0..8).map(begin).collect::<Vec<_>>();
        let joined = threads
            .into_iter()
            .map(|thread| thread.join().expect("it works"));
        joined.filter(milepost_core::ProcessHandle::is_new).count()
    });
    assert_eq!(new, 1);
}
