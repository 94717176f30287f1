//! A watched process in words: one line a change, as people read it.

use std::time::Duration;

use milepost_core::{
    Describe, Failure, ManualClock, NewProcess, Pipeline, ProcessHandle, Progress, TrackError,
    Tracker,
};

use crate::common::noon;
use crate::common::store::MapStore;

struct Told {
    clock: ManualClock,
    process: ProcessHandle,
    lines: Describe,
}

fn told(modules: &[&str], parallel: bool) -> Told {
    let clock = ManualClock::new(noon());
    let tracker = Tracker::with_clock(MapStore::new(), clock.clone());
    let chain = Pipeline::new("invoice-ocr", modules).expect("valid");
    let chain = if parallel { chain.parallel() } else { chain };
    let new = NewProcess::new(&chain).file_name("invoice.pdf");
    let process = tracker.begin(new).expect("it begins");
    let lines = tracker
        .watch(process.request_id())
        .expect("it is there")
        .describe();
    Told {
        clock,
        process,
        lines,
    }
}

impl Told {
    fn after(&self, millis: u64) -> &ProcessHandle {
        self.clock.advance(Duration::from_millis(millis));
        &self.process
    }

    #[track_caller]
    fn next(&mut self, lines: &[&str]) {
        for line in lines {
            let next = self.lines.next().expect("it goes on");
            assert_eq!(next.expect("there is no trouble"), *line);
        }
    }
}

#[test]
fn a_life_that_fails() {
    let mut told = told(&["ocr", "parser", "keyword-db"], false);
    told.next(&["invoice-ocr: ongoing, 3 modules, file invoice.pdf"]);
    told.after(100).module(1).unwrap().start().unwrap();
    told.next(&["module 1 of 3, ocr: running for 0.0 s"]);
    told.after(1_000).module(1).unwrap().complete().unwrap();
    told.next(&["module 1 of 3, ocr: complete after 1.0 s"]);
    let parser = told.process.module(2).unwrap();
    parser.start().unwrap();
    told.next(&["module 2 of 3, parser: running for 0.0 s"]);
    told.after(1_250);
    let progress = Progress::of(30, 100)
        .unit("pages")
        .message("page 30 has a table");
    parser.progress(progress).unwrap();
    told.next(&[
        "module 2 of 3, parser: running for 1.2 s, 30/100 pages (30 %), page 30 has a table",
    ]);
    told.after(750);
    parser
        .fail(Failure::new("BadInput", "page 31 is blank"))
        .unwrap();
    told.next(&[
        "module 2 of 3, parser: failed after 2.0 s, BadInput: page 31 is blank, \
         30/100 pages (30 %), page 30 has a table",
        "invoice-ocr: failed after 3.1 s",
    ]);
    assert!(told.lines.next().is_none());
}

#[test]
fn a_life_with_a_retry_and_a_skip() {
    let mut told = told(&["ocr", "parser"], false);
    told.next(&["invoice-ocr: ongoing, 2 modules, file invoice.pdf"]);
    let ocr = told.process.module(1).unwrap();
    ocr.progress(Progress::unbounded(7)).unwrap();
    told.next(&["module 1 of 2, ocr: running for 0.0 s, 7"]);
    told.after(61_000);
    ocr.retry(Failure::new("Timeout", "the model was busy"))
        .unwrap();
    told.next(&["module 1 of 2, ocr: pending again after Timeout: the model was busy, attempt 2"]);
    ocr.start().unwrap();
    told.next(&["module 1 of 2, ocr: running for 0.0 s, attempt 2"]);
    told.after(123_000);
    ocr.complete().unwrap();
    told.next(&["module 1 of 2, ocr: complete after 2 min 03 s, attempt 2"]);
    told.after(3_600_000)
        .module(2)
        .unwrap()
        .skip("no text")
        .unwrap();
    told.next(&[
        "module 2 of 2, parser: skipped, no text",
        "invoice-ocr: complete after 1 h 03 min",
    ]);
    assert!(told.lines.next().is_none());
}

/// The reason of a cancel may hold line breaks, which once made two lines of one.
#[test]
fn one_line_is_one_line_whatever_a_host_writes() {
    let mut told = told(&["ocr", "parser"], true);
    told.next(&["invoice-ocr: ongoing, 2 modules, file invoice.pdf"]);
    let ocr = told.process.module(1).unwrap();
    ocr.progress(Progress::of(1, 3).message("a\nb\tc\u{1b}[2J"))
        .unwrap();
    told.next(&["module 1 of 2, ocr: running for 0.0 s, 1/3 (33 %), a b c [2J"]);
    told.after(500).cancel("the user\nleft").unwrap();
    told.next(&[
        "module 1 of 2, ocr: cancelled after 0.5 s, 1/3 (33 %), a b c [2J",
        "module 2 of 2, parser: cancelled",
        "invoice-ocr: cancelled after 0.5 s, the user left",
    ]);
    assert!(told.lines.next().is_none());
}

#[test]
fn what_was_settled_when_it_was_asked_for_is_told_at_once() {
    let clock = ManualClock::new(noon());
    let tracker = Tracker::with_clock(MapStore::new(), clock.clone());
    let chain = Pipeline::new("invoice-ocr", ["ocr"]).unwrap();
    let process = tracker
        .begin(NewProcess::new(&chain).file_name("invoice.pdf"))
        .unwrap();
    clock.set(noon() - chrono::TimeDelta::seconds(5));
    process.module(1).unwrap().complete().unwrap();
    let lines = tracker.watch(process.request_id()).unwrap().describe();
    let lines = lines.collect::<Result<Vec<_>, TrackError>>().unwrap();
    let expected = [
        "invoice-ocr: complete, 1 module, file invoice.pdf",
        "module 1 of 1, ocr: complete after 0.0 s",
        "invoice-ocr: complete after 0.0 s",
    ];
    assert_eq!(
        lines, expected,
        "a clock that runs backwards makes no span below nothing"
    );
}

#[test]
fn an_erasure_is_told_as_an_error_and_then_nothing() {
    let clock = ManualClock::new(noon());
    let tracker = Tracker::with_clock(MapStore::new(), clock);
    let process = tracker
        .begin(crate::common::new(&crate::common::chain(1)))
        .unwrap();
    let mut lines = tracker.watch(process.request_id()).unwrap().describe();
    assert!(lines.next().unwrap().is_ok());
    tracker.erase(process.request_id()).unwrap();
    assert!(lines.next().unwrap().unwrap_err().is_not_found());
    assert!(lines.next().is_none());
}

#[test]
fn who_holds_it_is_told_and_renewals_are_not() {
    let clock = ManualClock::new(noon());
    let tracker = Tracker::with_clock(MapStore::new(), clock.clone());
    let chain = Pipeline::new("invoice-ocr", ["ocr"]).unwrap();
    let process = tracker.begin(NewProcess::new(&chain)).unwrap();
    let id = process.request_id();
    let mut lines = tracker.watch(id).unwrap().describe();
    let mut next = || lines.next().unwrap().unwrap();
    assert!(next().starts_with("invoice-ocr: ongoing"));
    let lease = tracker
        .claim(id, "worker 7", Duration::from_mins(1))
        .unwrap();
    assert_eq!(next(), "invoice-ocr: claimed by worker 7");
    clock.advance(Duration::from_secs(1));
    lease.renew().unwrap();
    lease.release().unwrap();
    assert_eq!(next(), "invoice-ocr: given back by worker 7");
    tracker
        .claim(id, "worker 8", Duration::from_mins(1))
        .unwrap();
    assert_eq!(next(), "invoice-ocr: claimed by worker 8");
    tracker.request_cancel(id, "no longer\nwanted").unwrap();
    assert_eq!(next(), "invoice-ocr: asked to cancel, no longer wanted");
    clock.advance(Duration::from_mins(1));
    tracker.reap(milepost_core::ReapPolicy::fail()).unwrap();
    assert_eq!(
        next(),
        "invoice-ocr: reaped, worker 8 let its lease run out"
    );
    assert_eq!(next(), "module 1 of 1, ocr: cancelled");
    assert!(next().starts_with("invoice-ocr: cancelled after"));
    assert!(lines.next().is_none());
}
