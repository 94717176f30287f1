//! Ids and times: what is accepted, what is made, and where the range ends.

use std::collections::{BTreeSet, HashSet};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use milepost_core::{
    Clock, FileId, Invalid, ManualClock, NewProcess, RequestId, SystemClock, TrackError, Tracker,
    Update,
};
use proptest::prelude::*;
use uuid::Uuid;

use crate::common::store::MapStore;
use crate::common::{chain, noon};

const CANONICAL: &str = "f948a6ad-0343-e743-2b3f-0df6bc732a3a";

#[test]
fn every_form_of_a_uuid_is_accepted_and_printed_in_one() {
    for text in [
        CANONICAL,
        "F948A6AD-0343-E743-2B3F-0DF6BC732A3A",
        "f948a6ad0343e7432b3f0df6bc732a3a",
        "{f948a6ad-0343-e743-2b3f-0df6bc732a3a}",
        "urn:uuid:f948a6ad-0343-e743-2b3f-0df6bc732a3a",
    ] {
        assert_eq!(text.parse::<RequestId>().unwrap().to_string(), CANONICAL);
        assert_eq!(text.parse::<FileId>().unwrap().to_string(), CANONICAL);
        let json = format!("\"{text}\"");
        let id: RequestId = serde_json::from_str(&json).unwrap();
        assert_eq!(
            serde_json::to_string(&id).unwrap(),
            format!("\"{CANONICAL}\"")
        );
    }
}

#[test]
fn what_is_no_uuid_is_refused() {
    for text in [
        "",
        "process 7",
        "f948a6ad-0343-e743-2b3f-0df6bc732a3",
        "f948a6ad-0343-e743-2b3f-0df6bc732a3ab",
        "f948a6ad-0343-e743-2b3f-0df6bc732a3g",
        " f948a6ad-0343-e743-2b3f-0df6bc732a3a",
        "f948a6ad-0343-e743-2b3f-0df6bc732a3a\0",
        "f948a6ad_0343_e743_2b3f_0df6bc732a3a",
        "éééééééééééééééé",
    ] {
        assert_eq!(
            text.parse::<RequestId>(),
            Err(Invalid::NotAUuid),
            "{text:?}"
        );
        assert!(serde_json::from_value::<FileId>(text.into()).is_err());
    }
}

#[test]
fn new_ids_are_version_7_of_the_trackers_clock() {
    let (tracker, clock) = crate::common::tracker();
    let mut before: Option<(Uuid, Uuid)> = None;
    for _ in 0..20 {
        let process = tracker.begin(NewProcess::new(&chain(1))).unwrap();
        let ids = (
            Uuid::from(process.request_id()),
            Uuid::from(process.file_id()),
        );
        for id in [ids.0, ids.1] {
            assert_eq!(
                (id.get_version_num(), id.get_variant()),
                (7, uuid::Variant::RFC4122)
            );
            let millis = u64::try_from(clock.now().timestamp_millis()).unwrap();
            assert_eq!(u64::try_from(id.as_u128() >> 80).unwrap(), millis);
        }
        if let Some(before) = before.replace(ids) {
            assert!(before < ids, "they sort by time");
        }
        clock.advance(Duration::from_millis(1));
    }
}

#[test]
fn a_clock_before_1970_still_makes_ids() {
    let year_1 = "0001-01-01T00:00:00Z".parse().unwrap();
    let tracker = Tracker::with_clock(MapStore::new(), ManualClock::new(year_1));
    let ids = (0..10).map(|_| {
        tracker
            .begin(NewProcess::new(&chain(1)))
            .unwrap()
            .request_id()
    });
    assert_eq!(ids.collect::<HashSet<_>>().len(), 10);
}

#[test]
fn no_two_draws_are_alike_on_one_clock_its_clones_or_another() {
    let clock = ManualClock::new(noon());
    let clocks: [Box<dyn Clock>; 5] = [
        Box::new(clock.clone()),
        Box::new(clock),
        Box::new(ManualClock::new(noon())),
        Box::new(SystemClock),
        Box::new(SystemClock),
    ];
    let draws = (0..5_000).map(|n| clocks[n % 5].random());
    let draws = draws.collect::<Vec<_>>();
    assert_eq!(draws.iter().collect::<BTreeSet<_>>().len(), 5_000);
    let halves = draws.iter().map(|draw| draw & u128::from(u64::MAX));
    assert_eq!(
        halves.collect::<BTreeSet<_>>().len(),
        5_000,
        "marks of birth too"
    );
}

#[test]
fn every_bit_of_the_system_clocks_randomness_moves() {
    let draws = (0..200).map(|_| SystemClock.random()).collect::<Vec<_>>();
    let ones = draws.iter().fold(0, |all, draw| all | draw);
    let zeros = draws.iter().fold(0, |all, draw| all | !draw);
    assert_eq!((ones, zeros), (u128::MAX, u128::MAX));
}

#[test]
fn a_manual_clock_stands_still_and_stays_within_time() {
    let clock = ManualClock::new(noon());
    let clone = clock.clone();
    clock.advance(Duration::from_mins(1));
    assert_eq!(
        clone.now(),
        noon() + TimeDelta::seconds(60),
        "clones share it"
    );
    clock.set(noon() - TimeDelta::days(1));
    assert_eq!(clone.now(), noon() - TimeDelta::days(1));
    for _ in 0..3 {
        clock.advance(Duration::MAX);
    }
    assert!(clock.now() <= DateTime::<Utc>::MAX_UTC);
    clock.set(DateTime::<Utc>::MIN_UTC);
    assert_eq!(clock.now(), DateTime::<Utc>::MIN_UTC);
}

#[test]
fn an_expiry_outside_years_1_to_9999_or_already_past_is_invalid() {
    let (tracker, _) = crate::common::tracker();
    let begin = |new: NewProcess| match tracker.begin(new) {
        Err(TrackError::Invalid(invalid)) => Some(invalid),
        Ok(_) => None,
        Err(other) => panic!("{other}"),
    };
    let new = || NewProcess::new(&chain(1));
    let out = Some(Invalid::TimeOutOfRange { what: "expiry" });
    assert_eq!(begin(new().expires_in(Duration::MAX)), out);
    assert_eq!(
        begin(new().expires_in(Duration::from_mins(5_000_000_000))),
        out
    );
    assert_eq!(begin(new().expires_at(DateTime::<Utc>::MAX_UTC)), out);
    assert_eq!(begin(new().expires_at(DateTime::<Utc>::MIN_UTC)), out);
    assert_eq!(
        begin(new().expires_at("+10000-01-01T00:00:00Z".parse().unwrap())),
        out
    );
    let past = Some(Invalid::AlreadyExpired);
    assert_eq!(begin(new().expires_in(Duration::ZERO)), past);
    assert_eq!(begin(new().expires_in(Duration::from_nanos(999))), past);
    assert_eq!(begin(new().expires_at(noon())), past);
    assert_eq!(begin(new().expires_in(Duration::from_micros(1))), None);
    let last = "9999-12-31T23:59:59.999999999Z".parse().unwrap();
    assert_eq!(begin(new().expires_at(last)), None);

    let id = tracker.begin(new()).unwrap().request_id();
    let update = tracker.update(id, Update::new().expires_in(Duration::MAX));
    assert!(matches!(
        update,
        Err(TrackError::Invalid(Invalid::TimeOutOfRange { .. }))
    ));
}

/// Handles once sent what a broken clock stamped, and the store's answer read as a rejection. What is
/// wrong in itself is invalid, for every call alike, before the store is asked.
#[test]
fn a_clock_outside_years_1_to_9999_is_invalid_for_every_call_that_stamps() {
    let (tracker, clock) = crate::common::tracker();
    let process = tracker.begin(crate::common::new(&chain(1))).unwrap();
    let id = process.request_id();
    let module = process.module(1).unwrap();
    for time in [
        DateTime::<Utc>::MAX_UTC,
        DateTime::<Utc>::MIN_UTC,
        "+20000-01-01T00:00:00Z".parse().unwrap(),
        "0000-12-31T23:59:59.999999Z".parse().unwrap(),
        // A leap second at the very end falls into the year 10000.
        "9999-12-31T23:59:60Z".parse().unwrap(),
    ] {
        clock.set(time);
        let invalid = Invalid::TimeOutOfRange {
            what: "clock's time",
        };
        let errors = [
            tracker.begin(NewProcess::new(&chain(1))).err(),
            module.start().err(),
            process.cancel("").err(),
            tracker.cancel(id, "").err(),
            tracker.update(id, Update::new()).err(),
            tracker.update_file(process.file_id(), Update::new()).err(),
            tracker.erase(id).err(),
            tracker.erase_file(process.file_id()).err(),
        ];
        for error in errors {
            assert!(
                matches!(&error, Some(TrackError::Invalid(found)) if *found == invalid),
                "{time}: {error:?}"
            );
        }
        assert!(
            tracker.get(id).is_ok(),
            "reading needs no time that can be kept"
        );
        assert_eq!(tracker.get(id).unwrap().revision(), 1);
    }
}

#[test]
fn a_leap_second_is_the_second_after() {
    let leap = "2016-12-31T23:59:60.5Z".parse::<DateTime<Utc>>().unwrap();
    let mut slot = crate::common::Slot::begun(&chain(1));
    slot.apply(&milepost_core::Op::new(
        crate::common::id(),
        leap,
        milepost_core::Change::start(1),
    ))
    .unwrap();
    let since = slot.process().modules()[0].state().started().unwrap();
    assert_eq!(
        since,
        "2017-01-01T00:00:00.5Z".parse::<DateTime<Utc>>().unwrap()
    );
}

proptest! {
    #[test]
    fn any_128_bits_are_an_id_that_comes_back_equal(bits: u128) {
        let id = RequestId::from(Uuid::from_u128(bits));
        prop_assert_eq!(id.to_string().parse::<RequestId>().unwrap(), id);
        prop_assert_eq!(Uuid::from(id).as_u128(), bits);
        let json = serde_json::to_string(&id).unwrap();
        prop_assert_eq!(serde_json::from_str::<RequestId>(&json).unwrap(), id);
    }

    #[test]
    fn ids_are_ordered_by_their_bytes(a: u128, b: u128) {
        let id = |bits| FileId::from(Uuid::from_u128(bits));
        prop_assert_eq!(id(a).cmp(&id(b)), a.to_be_bytes().cmp(&b.to_be_bytes()));
    }
}
