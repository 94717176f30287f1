//! The record form: what is kept comes back equal, and what is damaged is refused, never believed.

use std::fmt::Write as _;
use std::time::Duration;

use milepost_core::{
    Change, Failure, Guard, Indexed, OverallStatus, Process, Progress, RECORD_VERSION, RecordError,
    StoreError, StoreErrorKind, limits,
};
use proptest::prelude::*;

use crate::common::random::{cases, live, pipeline, steps};
use crate::common::{Slot, chain, creation, new};

fn encode(process: &Process) -> Vec<u8> {
    let mut record = Vec::new();
    process.to_record(&mut record);
    record
}

/// What is not refused must be a lawful process: one that is kept and comes back equal.
fn refused_or_lawful(bytes: &[u8]) {
    match Process::from_record(bytes) {
        Err(RecordError::Incompatible { version }) => {
            assert_eq!(bytes[0], version);
            assert!(version > RECORD_VERSION);
        }
        Err(_) => {}
        Ok(process) => {
            let again = encode(&process);
            assert!(again.len() <= limits::RECORD_BYTES);
            assert_eq!(Process::from_record(&again), Ok(process.clone()));
            let _ = (process.blame(), format!("{process:?}"));
        }
    }
}

/// A life with a bit of everything, always the same but for what is random in it.
fn eventful() -> Slot {
    let mut slot = Slot::of(
        new(&chain(4).parallel())
            .file_id(crate::common::ID.parse().expect("it is a UUID"))
            .file_name("moby-dick.txt")
            .tag("author", "melville")
            .file_description("about a whale")
            .expires_in(Duration::from_hours(24)),
    );
    slot.must(1, Change::complete(1))
        .must(2, Change::skip(2, "not needed"))
        .must(
            3,
            Change::progress(3, Progress::of(3, 10).unit("pages").message("page 3")),
        )
        .must(
            4,
            Change::retry(3, Failure::new("Timeout", "the model was busy")),
        )
        .must(5, Change::start(4))
        .must(
            6,
            Change::fail(3, Failure::new("BadInput", "page 4 is blank")),
        )
        .must(7, Change::rerun())
        .must(8, Change::start(3))
        .must(9, Change::cancel("the user left"))
        .must(10, Change::rerun())
        .must(11, Change::progress(4, Progress::unbounded(7)));
    slot
}

/// The same life, claimed by a worker who goes on with it and is asked to cancel it.
fn claimed() -> Slot {
    let mut slot = eventful();
    slot.must(
        12,
        Change::claim("worker 7", Duration::from_mins(1), 0xfedc_ba98),
    );
    let token = slot.process().revision();
    let lease = Guard::new().born(slot.born()).lease(token);
    slot.guarded(13, Change::start(3), lease)
        .expect("it is the holder's");
    slot.must(14, Change::request_cancel("the user left again"));
    slot
}

/// The process that is born of a fixed number, whatever it was born of.
fn with_fixed_birth(process: &Process) -> Process {
    let mut json = serde_json::to_value(process).expect("a process has a JSON form");
    json["born"] = 0x0123_4567_89ab_cdef_u64.into();
    serde_json::from_value(json).expect("it is a process still")
}

fn from_hex(hex: &str) -> Vec<u8> {
    let hex = hex.trim();
    (0..hex.len() / 2)
        .map(|at| u8::from_str_radix(&hex[at * 2..at * 2 + 2], 16).expect("two hexadecimal digits"))
        .collect()
}

/// Stores hold records for years: those of every earlier version are read, and read as what they were.
#[test]
fn version_1_of_the_record_form_is_read_as_it_always_was() {
    let bytes = from_hex(include_str!("../golden/record-1.hex"));
    assert_eq!(bytes[0], 1);
    let process = Process::from_record(&bytes).unwrap();
    assert_eq!(process, with_fixed_birth(eventful().process()));
    assert_eq!((process.claim(), process.cancel_requested()), (None, None));
    // Written again, it is of the version that is written today.
    let again = encode(&process);
    assert_eq!(again[0], RECORD_VERSION);
    assert_eq!(Process::from_record(&again), Ok(process));
}

#[test]
fn version_2_of_the_record_form_is_read_as_it_always_was() {
    let process = Process::from_record(&from_hex(include_str!("../golden/record-2.hex"))).unwrap();
    assert_eq!(process, with_fixed_birth(claimed().process()));
}

/// The record form must never change by accident. Whoever changes it raises the version, and still reads
/// this one.
#[test]
fn version_3_of_the_record_form_is_read_and_written_as_it_always_was() {
    let golden = include_str!("../golden/record-3.hex").trim();
    let today = with_fixed_birth(claimed().process());
    let mut hex = String::new();
    for byte in encode(&today) {
        write!(hex, "{byte:02x}").unwrap();
    }
    assert_eq!(hex, golden);
    assert_eq!(Process::from_record(&from_hex(golden)), Ok(today));
}

/// A store can replace a row where it stands as long as it keeps its length.
#[test]
fn a_body_keeps_its_length_while_modules_start_and_complete() {
    let mut slot = Slot::begun(&chain(4));
    let body = |slot: &Slot| {
        let mut body = Vec::new();
        slot.process().to_body(&mut body);
        body
    };
    let at_first = body(&slot).len();
    for module in 1..=4 {
        let seconds = i64::try_from(module).unwrap() * 100;
        slot.must(seconds, Change::start(module));
        assert_eq!(body(&slot).len(), at_first);
        slot.must(seconds + 50, Change::complete(module));
        // Once it has settled, the time at which it did stands in a column beside it.
        let settled_at = if module == 4 { 8 } else { 0 };
        assert_eq!(body(&slot).len() + settled_at, at_first);
    }
}

#[test]
fn a_body_and_what_stands_beside_it_are_the_process() {
    for slot in [eventful(), claimed(), Slot::begun(&chain(256))] {
        let process = slot.process();
        let mut body = Vec::new();
        process.to_body(&mut body);
        let indexed = Indexed::from(process);
        let id = process.request_id();
        let read = Process::from_body(id, &indexed, &body);
        assert_eq!(read.as_ref(), Ok(process));
        assert_eq!(Process::version_of_body(id, &body), Ok(process.version()));

        let another = Indexed {
            status: OverallStatus::Complete,
            settled_at: Some(process.created_at()),
            ..indexed
        };
        assert!(Process::from_body(id, &another, &body).is_err());
        let leased = Indexed {
            leased_until: Some("2027-01-01T00:00:00Z".parse().unwrap()),
            ..indexed
        };
        assert!(Process::from_body(id, &leased, &body).is_err());
    }
}

#[test]
fn to_record_appends_and_begins_with_the_version() {
    let slot = eventful();
    let mut out = b"before".to_vec();
    slot.process().to_record(&mut out);
    assert_eq!(&out[..6], b"before");
    assert_eq!(out[6], RECORD_VERSION);
    assert_eq!(Process::from_record(&out[6..]).as_ref(), Ok(slot.process()));
}

#[test]
fn a_newer_version_is_incompatible_and_an_unknown_old_one_is_damaged() {
    let mut record = encode(eventful().process());
    for version in [RECORD_VERSION + 1, 99, 255] {
        record[0] = version;
        let refused = Process::from_record(&record).unwrap_err();
        assert_eq!(refused, RecordError::Incompatible { version });
        let error = StoreError::from(refused);
        assert_eq!(error.kind(), StoreErrorKind::Incompatible);
    }
    record[0] = 0;
    let refused = Process::from_record(&record).unwrap_err();
    assert!(matches!(refused, RecordError::Corrupt { .. }));
    assert_eq!(StoreError::from(refused).kind(), StoreErrorKind::Corrupt);
}

/// Stores keep bodies without the rest of a record, and read versions of them without the rest.
#[test]
fn a_body_of_another_version_is_refused_like_a_record() {
    let slot = eventful();
    let process = slot.process();
    let (id, indexed) = (process.request_id(), Indexed::from(process));
    let mut body = Vec::new();
    process.to_body(&mut body);
    let refused = |body: &[u8]| {
        let refused = Process::from_body(id, &indexed, body).unwrap_err();
        assert_eq!(Process::version_of_body(id, body), Err(refused.clone()));
        refused
    };
    for version in [RECORD_VERSION + 1, 255] {
        body[0] = version;
        assert_eq!(refused(&body), RecordError::Incompatible { version });
    }
    for version in 0..RECORD_VERSION {
        body[0] = version;
        assert!(matches!(refused(&body), RecordError::Corrupt { .. }));
    }
    let empty = refused(&[]);
    assert!(empty.to_string().contains("it is empty"), "{empty}");
}

#[test]
fn a_record_cut_at_any_length_or_followed_by_anything_is_refused() {
    let record = encode(claimed().process());
    for length in 0..record.len() {
        let refused = Process::from_record(&record[..length]);
        assert!(
            matches!(refused, Err(RecordError::Corrupt { .. })),
            "{length}"
        );
    }
    let mut longer = record;
    longer.push(0);
    assert!(Process::from_record(&longer).is_err());
}

#[test]
fn a_record_with_one_altered_byte_is_refused_or_lawful() {
    let record = encode(claimed().process());
    for at in 0..record.len() {
        let flips = (0..8).map(|bit| record[at] ^ (1 << bit));
        for value in flips.chain([0, 0x7f, 0x80, 0xff]) {
            let mut altered = record.clone();
            altered[at] = value;
            refused_or_lawful(&altered);
        }
    }
}

/// A record of a few bytes that claims billions of modules must not make anybody reserve room for them.
#[test]
fn a_length_that_lies_is_refused_at_once() {
    let record = encode(Slot::begun(&chain(1)).process());
    let huge = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];
    for at in 1..record.len() {
        let mut lying = record[..at].to_vec();
        lying.extend(huge);
        lying.extend(&record[at..]);
        refused_or_lawful(&lying);
        lying.truncate(at + huge.len());
        assert!(Process::from_record(&lying).is_err(), "{at}");
    }
}

#[test]
fn what_is_over_the_limit_is_refused_unread() {
    let mut record = encode(eventful().process());
    record.resize(limits::RECORD_BYTES + 1, 0);
    let error = Process::from_record(&record).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the record is damaged: it is over 256 KiB"
    );
}

#[test]
fn a_chain_of_256_modules_with_long_names_fits_and_can_run_to_its_end() {
    let names = (0..256).map(|k| format!("{k:03}{}", "n".repeat(125)));
    let pipeline = milepost_core::Pipeline::new("p".repeat(128), names).unwrap();
    let mut slot = Slot::of(new(&pipeline));
    for module in 1..=256 {
        slot.must(1, Change::start(module))
            .must(
                2,
                Change::progress(module, Progress::of(u64::MAX, u64::MAX)),
            )
            .must(3, Change::complete(module));
    }
    let record = encode(slot.process());
    assert!(record.len() <= limits::RECORD_BYTES);
    assert_eq!(Process::from_record(&record).as_ref(), Ok(slot.process()));
}

/// Times as far from each other as they can be, and counters at their ends, cost the most bytes.
#[test]
fn extreme_times_and_counters_are_kept() {
    let first = "0001-01-01T00:00:00Z".parse().unwrap();
    let last = "9999-12-31T23:59:59.999999Z".parse().unwrap();
    let mut slot = Slot(None);
    let op = creation(new(&chain(2)).expires_at(last), first);
    slot.apply(&op).unwrap();
    let complete = milepost_core::Op::new(
        op.id,
        last - chrono::TimeDelta::microseconds(1),
        Change::complete(1),
    );
    slot.apply(&complete).unwrap();
    let mut json = serde_json::to_value(slot.process()).unwrap();
    json["born"] = u64::MAX.into();
    json["revision"] = u64::MAX.into();
    json["run"] = u32::MAX.into();
    json["modules"][1]["attempt"] = u32::MAX.into();
    let process: Process = serde_json::from_value(json).unwrap();
    assert_eq!(Process::from_record(&encode(&process)), Ok(process));
}

proptest! {
    #![proptest_config(cases(150))]

    #[test]
    fn every_process_comes_back_equal_from_its_record_and_its_json(chain in pipeline(), steps in steps()) {
        let life = live(&chain, &steps);
        let process = life.end.process();
        let record = encode(process);
        let back = Process::from_record(&record).unwrap();
        prop_assert_eq!(&back, process);
        let json = serde_json::to_string(process).unwrap();
        prop_assert_eq!(&serde_json::from_str::<Process>(&json).unwrap(), process);
        let value = serde_json::to_value(process).unwrap();
        prop_assert_eq!(&serde_json::from_value::<Process>(value).unwrap(), process);
        prop_assert_eq!(encode(&back), record, "one process has one record");
    }

    #[test]
    fn several_altered_bytes_are_refused_or_lawful(
        chain in pipeline(),
        steps in steps(),
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let mut record = encode(live(&chain, &steps).end.process());
        for (at, value) in edits {
            let at = at.index(record.len());
            record[at] = value;
        }
        refused_or_lawful(&record);
    }

    #[test]
    fn random_bytes_are_refused_or_lawful(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        refused_or_lawful(&bytes);
        let mut versioned = vec![RECORD_VERSION];
        versioned.extend(bytes);
        refused_or_lawful(&versioned);
    }
}
