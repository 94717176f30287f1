//! The limit of 256 KiB: counted never too low, and the oldest attempts go first.

use std::time::Duration;

use milepost_core::{
    Change, Failure, NewProcess, Op, Pipeline, Process, Progress, ReapPolicy, Rejection, Update,
    limits,
};

use crate::common::{Slot, at, chain, creation, id, new};

fn encoded(process: &Process) -> usize {
    let mut record = Vec::new();
    process.to_record(&mut record);
    record.len()
}

fn failure(module: usize) -> Failure {
    Failure::new(&format!("{module:0255}"), &"m".repeat(4096))
}

fn tags(count: usize, value: usize) -> Vec<(String, String)> {
    (0..count)
        .map(|k| (format!("{k:0128}"), "v".repeat(value)))
        .collect()
}

fn tagged(new: NewProcess, tags: &[(String, String)]) -> NewProcess {
    let add = |new: NewProcess, (name, value): &(String, String)| new.tag(name, value);
    tags.iter().fold(new, add)
}

#[test]
fn a_process_that_begins_too_large_is_refused_with_both_sizes() {
    let op = creation(tagged(new(&chain(1)), &tags(64, 4096)), at(0));
    let mut slot = Slot(None);
    let Err(Rejection::TooLarge { bytes, limit }) = slot.apply(&op) else {
        panic!("64 tags of 4 KiB are over 256 KiB")
    };
    assert!(bytes > limit);
    assert_eq!(limit, limits::RECORD_BYTES);
    assert!(slot.0.is_none());
}

/// Begins a process of about 256 KiB, with a last tag value of this length.
fn begin_large(pipeline: &Pipeline, last: usize) -> Result<Slot, Rejection> {
    let mut tags = tags(61, 4096);
    tags.push(("last".to_owned(), "v".repeat(last)));
    let mut slot = Slot(None);
    slot.apply(&creation(tagged(new(pipeline), &tags), at(0)))
        .map(|_| slot)
}

/// The last tag value length that is still accepted: the records next to the limit.
fn edge(pipeline: &Pipeline) -> usize {
    let (mut edge, mut over) = (0, 4096);
    while over - edge > 1 {
        let middle = usize::midpoint(edge, over);
        if begin_large(pipeline, middle).is_ok() {
            edge = middle;
        } else {
            over = middle;
        }
    }
    assert!(
        (1..4095).contains(&edge),
        "the limit lies within reach: {edge}"
    );
    edge
}

#[test]
fn what_is_accepted_at_the_limit_is_encoded_within_it() {
    let edge = edge(&chain(1));
    let slot = begin_large(&chain(1), edge).expect("it fits");
    assert!(encoded(slot.process()) <= limits::RECORD_BYTES);
    assert!(
        matches!(begin_large(&chain(1), edge + 1), Err(Rejection::TooLarge { bytes, .. }) if bytes == limits::RECORD_BYTES + 1)
    );
    // It can still live its life: no op without text is refused.
    let mut slot = slot;
    slot.must(1, Change::start(1))
        .must(2, Change::progress(1, Progress::of(1, u64::MAX)))
        .must(3, Change::complete(1));
    assert!(encoded(slot.process()) <= limits::RECORD_BYTES);
}

/// A claim counts with its worker's name and with the room for what is said of all that run when it runs out, a wish
/// with its reason.
#[test]
fn a_claim_or_a_wish_that_does_not_fit_is_refused_with_what_it_counts() {
    let failure = ReapPolicy::LEASE_EXPIRED.len() + 32;
    for (pipeline, at_once) in [(chain(3), 1), (chain(3).parallel(), 3)] {
        let edge = edge(&pipeline);
        let begin = |room: usize| begin_large(&pipeline, edge - room).expect("it fits");
        let minute = Duration::from_mins(1);
        let claim = 80 + "worker".len() + at_once * (failure + "worker".len());
        let over = |refused| {
            let Rejection::TooLarge { bytes, .. } = refused else {
                panic!("{refused} is none of size");
            };
            bytes - limits::RECORD_BYTES
        };
        assert_eq!(
            over(begin(0).refused(1, Change::claim("worker", minute, 1))),
            claim
        );
        let mut slot = begin(claim);
        slot.must(1, Change::claim("worker", minute, 1));
        let wish = 16 + "reason".len();
        assert_eq!(
            over(slot.refused(2, Change::request_cancel("reason"))),
            wish
        );
        let mut slot = begin(claim + wish);
        slot.must(1, Change::claim("worker", minute, 1))
            .must(2, Change::request_cancel("reason"));
    }
}

#[test]
fn the_oldest_attempts_go_first_when_a_text_does_not_fit() {
    let mut slot = Slot::begun(&chain(16).parallel());
    for round in 0..4 {
        for module in 1..=16 {
            slot.must(round, Change::start(module))
                .must(round, Change::retry(module, failure(module)));
        }
    }
    let process = slot.process();
    let kept = process
        .modules()
        .iter()
        .map(|module| module.attempts().len());
    let kept = kept.sum::<usize>();
    assert!(
        (50..64).contains(&kept),
        "64 failures of 4 KiB do not fit: {kept}"
    );
    assert_eq!(
        process.modules()[0].attempts().len(),
        3,
        "the first one went"
    );
    assert_eq!(
        process.modules()[15].attempts().len(),
        4,
        "the last one stayed"
    );
    assert!(encoded(process) <= limits::RECORD_BYTES);
    assert_eq!(
        process.modules()[0].attempt(),
        5,
        "how many there were is kept"
    );

    // Tags that need the room of all attempts get it.
    slot.must(9, Change::update(Update::new().tags(tags(60, 4096))));
    let process = slot.process();
    assert!(
        process
            .modules()
            .iter()
            .all(|module| module.attempts().len() <= 1)
    );
    assert!(encoded(process) <= limits::RECORD_BYTES);
}

#[test]
fn an_update_that_does_not_fit_even_without_attempts_touches_nothing() {
    let mut slot = Slot::begun(&chain(1));
    slot.must(1, Change::start(1))
        .must(2, Change::retry(1, failure(1)));
    let before = slot.process().clone();
    let refused = slot.refused(3, Change::update(Update::new().tags(tags(64, 4096))));
    assert!(matches!(refused, Rejection::TooLarge { .. }));
    assert_eq!(*slot.process(), before);
    assert_eq!(slot.process().modules()[0].attempts().len(), 1);
}

#[test]
fn a_failure_that_does_not_fit_is_too_large() {
    let mut slot = Slot::of(tagged(new(&chain(1)), &tags(61, 4096)));
    let refused = slot.refused(1, Change::fail(1, failure(1)));
    assert!(matches!(refused, Rejection::TooLarge { .. }), "{refused}");
    slot.must(1, Change::fail(1, Failure::new("TooMuch", "")));
}

/// A rerun copies the reason of a cancel into every module's attempt.
#[test]
fn a_rerun_always_fits() {
    let names = (0..256).map(|k| format!("{k:0128}"));
    let pipeline = Pipeline::new("p", names).expect("valid").parallel();
    let mut slot = Slot::of(tagged(new(&pipeline), &tags(46, 4096)));
    slot.must(1, Change::cancel(&"r".repeat(255)))
        .must(2, Change::rerun());
    assert_eq!(slot.process().run(), 2);
    assert!(encoded(slot.process()) <= limits::RECORD_BYTES);
}

/// Counters and times at their widest, in every module, still fit into what is counted for them.
#[test]
fn the_fixed_parts_are_counted_at_their_largest() {
    let first = "0001-01-01T00:00:00Z".parse().expect("it is a time");
    let last = "9999-12-31T23:59:59.999999Z".parse().expect("it is a time");
    let mut slot = Slot(None);
    slot.apply(&creation(new(&chain(256).parallel()), first))
        .expect("it begins");
    for module in 1..=256 {
        for change in [
            Change::progress(
                module,
                Progress::of(u64::MAX, u64::MAX).unit("").message(""),
            ),
            Change::retry(module, Failure::new("", "")),
            Change::progress(
                module,
                Progress::of(u64::MAX, u64::MAX).unit("").message(""),
            ),
        ] {
            slot.apply(&Op::new(id(), last, change)).expect("it fits");
        }
    }
    let mut json = serde_json::to_value(slot.process()).expect("it has a form");
    for k in ["born", "revision"] {
        json[k] = u64::MAX.into();
    }
    json["run"] = u32::MAX.into();
    let mut attempts = 0;
    for module in json["modules"].as_array_mut().expect("a list") {
        module["attempt"] = u32::MAX.into();
        for attempt in module["attempts"].as_array_mut().expect("a list") {
            attempt["number"] = (u32::MAX - 1).into();
            attempt["run"] = u32::MAX.into();
            attempt["revision"] = (u64::MAX - 1).into();
            attempts += 1;
        }
    }
    assert_eq!(attempts, 64);
    let widest: Process = serde_json::from_value(json).expect("it is lawful");
    let names = (1..=256).map(|k| format!("step-{k}").len()).sum::<usize>();
    let text = "pipeline".len() + names + widest.file().name().len() + "/etc".len();
    let counted = 160 + 256 * 88 + 64 * 56 + text;
    assert!(
        encoded(&widest) <= counted,
        "{} of {counted}",
        encoded(&widest)
    );
}
