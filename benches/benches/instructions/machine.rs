//! Processes and ops for the state machine and the record form, the same in every run.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use milepost::chrono::{DateTime, Utc};
use milepost::{
    Change, Clock, Failure, MemoryStore, NewProcess, Op, Pipeline, Process, Progress, RecordError,
    Tracker, Verdict,
};

/// What a store hands to the state machine.
pub(crate) type Slot = Option<Arc<Process>>;

/// A millisecond passes with each look, and its randomness repeats: lengths in a record, and so the
/// instructions, follow from both.
#[derive(Debug, Default)]
pub(crate) struct SteadyClock(AtomicI64);

impl SteadyClock {
    fn tick(&self) -> i64 {
        self.0.fetch_add(1, Ordering::Relaxed) + 1
    }
}

impl Clock for SteadyClock {
    fn now(&self) -> DateTime<Utc> {
        let millis = 1_780_000_000_000 + self.tick();
        DateTime::from_timestamp_millis(millis).expect("it is this century")
    }

    fn random(&self) -> u128 {
        // An odd factor with bits all over spreads the ticks over all 128.
        u128::from(self.tick().unsigned_abs())
            .wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835)
    }
}

pub(crate) fn pipeline() -> Pipeline {
    let modules = ["ocr", "parser", "summary", "keyword"];
    Pipeline::new("bench", modules).expect("the names are short")
}

/// About 90 bytes of text, as the other figures have them.
pub(crate) fn new() -> NewProcess {
    NewProcess::new(&pipeline()).file_name(
        "a-file-of-about-ninety-bytes-of-text-as-hosts-have-them-in-their-trackers-0123456789.pdf",
    )
}

/// A process outside of any store, with what applies ops to it.
struct Life {
    tracker: Tracker,
    creation: Op,
    slot: Slot,
}

impl Life {
    fn of(new: NewProcess) -> Self {
        let tracker = Tracker::with_clock(MemoryStore::new(), SteadyClock::default());
        let creation = tracker.prepare(new).expect("what begins here is valid");
        Life {
            tracker,
            creation,
            slot: None,
        }
    }

    fn begun(new: NewProcess) -> Self {
        let mut life = Life::of(new);
        let begun = life.creation.apply(&mut life.slot);
        assert!(begun.is_ok_and(|applied| applied.changed));
        life
    }

    fn then(mut self, change: Change) -> Self {
        let op = self.op(change);
        assert!(
            op.apply(&mut self.slot)
                .is_ok_and(|applied| applied.changed)
        );
        self
    }

    fn complete(self, modules: std::ops::RangeInclusive<usize>) -> Self {
        modules.fold(self, |life, module| {
            life.then(Change::start(module))
                .then(Change::complete(module))
        })
    }

    fn op(&self, change: Change) -> Op {
        self.tracker.op(self.creation.id, change)
    }

    fn with(self, change: Change) -> (Op, Slot) {
        (self.op(change), self.slot)
    }

    fn process(self) -> Arc<Process> {
        self.slot.expect("it has begun")
    }
}

fn reported(done: u64) -> Change {
    Change::progress(1, Progress::of(done, 10).unit("pages"))
}

pub(crate) fn create() -> (Op, Slot) {
    (Life::of(new()).creation, None)
}

pub(crate) fn start() -> (Op, Slot) {
    Life::begun(new()).with(Change::start(1))
}

/// Not the first report, which makes room for what is reported.
pub(crate) fn progress() -> (Op, Slot) {
    let life = Life::begun(new()).then(Change::start(1));
    life.then(reported(3)).with(reported(4))
}

/// Of the last module, which settles the process.
pub(crate) fn complete() -> (Op, Slot) {
    let life = Life::begun(new()).complete(1..=3);
    life.then(Change::start(4)).with(Change::complete(4))
}

/// Out of the chain's order.
pub(crate) fn rejected() -> (Op, Slot) {
    Life::begun(new()).with(Change::start(3))
}

pub(crate) fn has_changed((_, _, verdict): (Op, Slot, Verdict)) {
    assert!(verdict.is_ok_and(|applied| applied.changed));
}

pub(crate) fn is_rejected((_, _, verdict): (Op, Slot, Verdict)) {
    assert!(verdict.is_err());
}

pub(crate) fn fresh() -> Arc<Process> {
    Life::begun(new()).process()
}

pub(crate) fn half_done() -> Arc<Process> {
    let life = Life::begun(new()).complete(1..=2);
    life.then(Change::start(3)).process()
}

pub(crate) fn settled() -> Arc<Process> {
    Life::begun(new()).complete(1..=4).process()
}

/// With tags, past attempts, progress, an expiry, and a claim.
pub(crate) fn eventful() -> Arc<Process> {
    let new = new()
        .tag("customer", "4711")
        .tag("origin", "inbox")
        .file_description("an invoice of three pages")
        .expires_in(Duration::from_hours(24));
    let busy = || Failure::new("Timeout", "the model was busy");
    Life::begun(new)
        .complete(1..=1)
        .then(Change::start(2))
        .then(Change::retry(2, busy()))
        .then(Change::start(2))
        .then(Change::fail(2, busy()))
        .then(Change::rerun())
        .then(Change::claim(
            "worker 7",
            Duration::from_mins(1),
            0xfedc_ba98,
        ))
        .then(Change::progress(
            2,
            Progress::of(3, 10).unit("pages").message("page 3"),
        ))
        .process()
}

pub(crate) fn record(process: &Process) -> Vec<u8> {
    let mut record = Vec::new();
    process.to_record(&mut record);
    record
}

pub(crate) fn is_written((process, record): (Arc<Process>, Vec<u8>)) {
    assert_eq!(Process::from_record(&record).as_ref(), Ok(&*process));
}

pub(crate) fn is_read((written, process): (Vec<u8>, Result<Process, RecordError>)) {
    assert_eq!(process.map(|process| record(&process)), Ok(written));
}
