//! Bounded: every limit is an error of kind `Limit`, and what is within it is served.

use milepost_core::{
    Change, Failure, Filter, Listing, NewProcess, Op, Order, Pipeline, Rejection, RequestId, Term,
    Update, limits,
};

use crate::fixture::{at, chain, failure, id, op};
use crate::trial::{Trial, must_be_over_the_limit, ok};

pub(crate) fn a_batch_of_too_many_ops_is_over_the_limit(trial: &Trial<'_>) {
    trial.must(&trial.begin(&chain(), id(1), 0));
    // Ops that change nothing, but for the first: the count is what matters.
    let mut batch = vec![op(id(1), 1, Change::start(1)); limits::BATCH_OPS + 1];
    must_be_over_the_limit("write", trial.store().write(&batch));
    trial.must_hold_exactly_what_is_expected();
    batch.pop();
    let verdicts = trial.send(&batch);
    let changed = verdicts
        .iter()
        .flatten()
        .filter(|applied| applied.changed)
        .count();
    assert_eq!(
        (verdicts.len(), changed),
        (limits::BATCH_OPS, 1),
        "a batch as large as it may be"
    );
}

pub(crate) fn a_batch_of_too_many_bytes_is_over_the_limit(trial: &Trial<'_>) {
    trial.must(&trial.begin(&chain(), id(1), 0));
    let cancel = |bytes: usize| {
        op(
            id(1),
            1,
            Change::fail(3, Failure::new("", &"x".repeat(bytes))),
        )
    };
    let each = cancel(limits::MESSAGE_BYTES).bytes();
    let mut batch = vec![op(id(1), 1, Change::start(1))];
    let left = limits::BATCH_BYTES - batch[0].bytes();
    batch.extend(vec![cancel(limits::MESSAGE_BYTES); left / each]);
    let left = limits::BATCH_BYTES - batch.iter().map(Op::bytes).sum::<usize>();
    let filler = left - cancel(0).bytes();

    let mut over = batch.clone();
    over.push(cancel(filler + 1));
    must_be_over_the_limit("write", trial.store().write(&over));
    trial.must_hold_exactly_what_is_expected();
    batch.push(cancel(filler));
    trial.send(&batch);
    assert_eq!(
        trial.stored(id(1)).revision(),
        2,
        "a batch as large as it may be"
    );
}

pub(crate) fn reading_too_many_ids_is_over_the_limit(trial: &Trial<'_>) {
    trial.must(&trial.begin(&chain(), id(1), 0));
    let mut ids = vec![id(2); limits::READ_IDS];
    ids[limits::READ_IDS - 1] = id(1);
    let store = trial.store();
    let read = ok("read_many", store.read_many(&ids));
    assert_eq!(
        (read.len(), read.iter().flatten().count()),
        (limits::READ_IDS, 1)
    );
    assert_eq!(
        read.last(),
        Some(&trial.expected(id(1))),
        "the last of as many as there may be"
    );
    let versions = ok("versions", store.versions(&ids));
    let version = trial.stored(id(1)).version();
    assert_eq!(
        (versions.len(), versions.last()),
        (limits::READ_IDS, Some(&Some(version)))
    );
    ids.push(id(1));
    must_be_over_the_limit("read_many", store.read_many(&ids));
    must_be_over_the_limit("versions", store.versions(&ids));
}

pub(crate) fn a_page_of_none_or_too_many_is_over_the_limit(trial: &Trial<'_>) {
    trial.must(&trial.begin(&chain(), id(1), 0));
    for order in [Order::NewestFirst, Order::OldestFirst] {
        let page = |limit| {
            trial.store().list(&Listing {
                filter: Filter::new(),
                order,
                after: None,
                limit,
            })
        };
        for limit in [0, limits::PAGE + 1, usize::MAX] {
            must_be_over_the_limit("list", page(limit));
        }
        for limit in [1, limits::PAGE] {
            assert_eq!(
                ok("list", page(limit)).items.len(),
                1,
                "in a page of {limit}"
            );
        }
    }
}

pub(crate) fn purging_too_many_at_once_is_over_the_limit(trial: &Trial<'_>) {
    let new = NewProcess::new(&chain())
        .request_id(id(1))
        .expires_at(at(1));
    trial.must(&trial.begin_at(new, at(0)));
    must_be_over_the_limit("purge", trial.store().purge(at(2), limits::PURGE + 1));
    trial.must_hold_exactly_what_is_expected();
    assert_eq!(ok("purge", trial.store().purge(at(2), limits::PURGE)), 1);
    assert_eq!(trial.expect_purged(at(2)), 1);
    trial.must_hold_exactly_what_is_expected();
}

/// A process whose texts take up nearly all of its record.
fn nearly_too_large(trial: &Trial<'_>, n: u32) -> RequestId {
    let value = "x".repeat(limits::TAG_VALUE_BYTES);
    let mut new = NewProcess::new(&chain())
        .request_id(id(n))
        .file_name("large.pdf");
    for tag in 0..60 {
        new = new.tag(&format!("tag {tag}"), &value);
    }
    trial.must(&trial.begin_at(new, at(0)));
    id(n)
}

pub(crate) fn a_record_that_would_be_too_large_is_refused(trial: &Trial<'_>) {
    let id = nearly_too_large(trial, 1);
    let value = "x".repeat(limits::TAG_VALUE_BYTES);
    let tags = (0..limits::TAGS).map(|n| (format!("another tag {n}"), &value));
    let update = Change::update(Update::new().file_description(&value).tags(tags));
    let before = trial.stored(id);
    let verdict = trial.one(&op(id, 1, update));
    let Err(Rejection::TooLarge { bytes, limit }) = verdict else {
        panic!("got {verdict:?}, expected TooLarge")
    };
    assert!(
        bytes > limit && limit == limits::RECORD_BYTES,
        "{bytes} are over {limit}"
    );
    assert_eq!(
        trial.stored(id),
        before,
        "left is stored after a rejection, right before it"
    );
    // What has no text of its own is never refused for want of room.
    for change in [Change::start(1), Change::complete(1), Change::start(2)] {
        trial.must(&op(id, 2, change));
    }
    trial.must_hold_exactly_what_is_expected();
}

pub(crate) fn the_oldest_attempts_make_room(trial: &Trial<'_>) {
    let id = nearly_too_large(trial, 1);
    let retry = |n: u32| {
        let reason = format!("try {n}");
        let message = "y".repeat(limits::MESSAGE_BYTES);
        [
            Change::start(1),
            Change::retry(1, Failure::new(&reason, &message)),
        ]
    };
    let ops = (1..=12)
        .flat_map(retry)
        .map(|change| op(id, 1, change))
        .collect::<Vec<_>>();
    let verdicts = trial.send(&ops);
    assert!(
        verdicts.iter().all(Result::is_ok),
        "a retry found no room: {verdicts:?}"
    );
    let process = trial.stored(id);
    let module = &process.modules()[0];
    let kept = module
        .attempts()
        .iter()
        .map(milepost_core::Attempt::number)
        .collect::<Vec<_>>();
    assert!(
        !kept.is_empty() && kept.len() < 12,
        "some have gone, and some have stayed: {kept:?}"
    );
    let newest = (1..=12).skip(12 - kept.len()).collect::<Vec<u32>>();
    assert_eq!(
        kept, newest,
        "left is kept, right are the newest of as many"
    );
    assert_eq!(module.attempt(), 13, "how many there were is kept");
    let mut record = Vec::new();
    process.to_record(&mut record);
    assert!(
        record.len() <= limits::RECORD_BYTES,
        "a record of {} bytes",
        record.len()
    );
}

pub(crate) fn a_thousand_fit_on_one_page(trial: &Trial<'_>) {
    let one = Pipeline::new("one", ["module"]).expect("the name is fine");
    let count = u32::try_from(limits::PAGE).expect("a page is small") + 1;
    let ops = (0..count)
        .map(|n| trial.begin(&one, id(n), i64::from(n)))
        .collect::<Vec<_>>();
    trial.send(&ops);
    let fail = (0..count)
        .step_by(2)
        .map(|n| op(id(n), 5000, Change::fail(1, failure())));
    trial.send(&fail.collect::<Vec<_>>());
    trial.must_list_as_expected(&Filter::new());
}

pub(crate) fn a_filter_of_as_many_terms_as_there_may_be_is_served(trial: &Trial<'_>) {
    for n in 0..3 {
        let new = NewProcess::new(&chain())
            .request_id(id(n))
            .tag("n", &n.to_string());
        trial.must(&trial.begin_at(new.tag("all", "yes"), at(0)));
    }
    let tag = |name: &str, value: &str| Term::Tag {
        name: name.into(),
        value: value.into(),
    };
    let prefix = Term::FileNamePrefix("generated".into());
    let mut filter = Filter::new();
    for n in 1..limits::TERMS {
        filter = filter.with(if n % 2 == 0 {
            tag("all", "yes")
        } else {
            prefix.clone()
        });
    }
    trial.must_list_as_expected(&filter.clone().with(tag("n", "1")));
    trial.must_list_as_expected(&filter.with(tag("n", "7")).visible_at(at(1)));
}
