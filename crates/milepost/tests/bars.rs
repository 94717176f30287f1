//! Bars on a terminal, and lines elsewhere.

use indicatif::{InMemoryTerm, ProgressDrawTarget};
use milepost::{
    Bars, Failure, MemoryStore, NewProcess, Pipeline, ProcessHandle, Progress, Tracker,
};

#[path = "common/written.rs"]
mod written;

use written::Written;

fn begin(tracker: &Tracker) -> ProcessHandle {
    let pipeline = Pipeline::new("invoice-ocr", ["ocr", "parser"]).expect("it is valid");
    tracker
        .begin(NewProcess::new(&pipeline).file_name("invoice.pdf"))
        .expect("it begins")
}

/// Bars of a process on a terminal, and what is on it.
fn on_terminal(tracker: &Tracker, process: &ProcessHandle) -> (Bars, InMemoryTerm) {
    let terminal = InMemoryTerm::new(24, 120);
    // Each change is drawn, however soon it comes.
    let target = ProgressDrawTarget::term_like_with_hz(Box::new(terminal.clone()), 255);
    (
        Bars::new(tracker, process.request_id()).drawn_on(target),
        terminal,
    )
}

fn show(tracker: &Tracker, process: &ProcessHandle, bars: &mut Bars) {
    // What is drawn is bounded in frames a second.
    std::thread::sleep(std::time::Duration::from_millis(600));
    bars.show(&tracker.get(process.request_id()).expect("it is there"));
}

#[test]
fn on_a_terminal_each_module_has_a_bar_and_so_has_the_whole() {
    let tracker = Tracker::new(MemoryStore::new());
    let process = begin(&tracker);
    let (mut bars, terminal) = on_terminal(&tracker, &process);
    let [ocr, parser] = [1, 2].map(|position| process.module(position).expect("it has two"));

    ocr.progress(
        Progress::of(5, 10)
            .unit("pages")
            .message("page 5\u{1b}[2J has a table"),
    )
    .expect("it reports");
    show(&tracker, &process, &mut bars);
    let lines = terminal.contents();
    let lines = lines.lines().collect::<Vec<_>>();
    assert_eq!(lines.len(), 3, "{lines:#?}");
    assert!(
        lines[0].starts_with("[============>           ] module 1 of 2, ocr: running for "),
        "{lines:#?}"
    );
    // It steers no terminal.
    assert!(
        lines[0].ends_with("5/10 pages (50 %), page 5 [2J has a table"),
        "{lines:#?}"
    );
    assert!(
        lines[1].starts_with("[                        ] module 2 of 2, parser: pending"),
        "{lines:#?}"
    );
    assert!(lines[2].ends_with("]  25 % of the whole"), "{lines:#?}");

    ocr.complete().expect("it completes");
    // A total that is not known, and a try again: the whole goes on from where it was.
    parser
        .progress(Progress::unbounded(7).unit("rows"))
        .expect("it reports");
    parser
        .retry(Failure::new("Again", "once more"))
        .expect("it is running");
    show(&tracker, &process, &mut bars);
    let lines = terminal.contents();
    assert!(
        lines.contains("[========================] module 1 of 2, ocr: complete after "),
        "{lines}"
    );
    assert!(
        lines.contains("parser: pending again after Again: once more, attempt 2"),
        "{lines}"
    );
    assert!(lines.contains("]  50 % of the whole"), "{lines}");

    let parser = tracker
        .process(process.request_id())
        .and_then(|process| process.module(2))
        .expect("it has two");
    parser.complete().expect("it completes");
    let last = bars.follow().expect("it has settled");
    assert!(last.is_settled());
    drop(bars);
    let lines = terminal.contents();
    assert!(
        lines.contains("[========================] 100 % of the whole"),
        "{lines}"
    );
    assert_eq!(lines.lines().count(), 3, "{lines}");
}

#[test]
fn the_time_left_is_told_once_others_have_shown_how_long_it_takes() {
    let tracker = Tracker::new(MemoryStore::new());
    for _ in 0..5 {
        for module in begin(&tracker).modules() {
            module.complete().expect("it completes");
        }
    }
    let process = begin(&tracker);
    let (mut bars, terminal) = on_terminal(&tracker, &process);
    show(&tracker, &process, &mut bars);
    let lines = terminal.contents();
    assert!(
        lines.ends_with("0 % of the whole, about 0 s left, 0 s at most of nine in ten"),
        "{lines}"
    );
}

#[test]
fn in_a_pipe_there_is_a_line_for_each_change_and_nothing_else() {
    let tracker = Tracker::new(MemoryStore::new());
    let process = begin(&tracker);
    let lines = Written::default();
    // As stderr is when it is no terminal.
    let mut bars = Bars::new(&tracker, process.request_id())
        .drawn_on(ProgressDrawTarget::hidden())
        .lines_to(lines.clone());
    let show =
        |bars: &mut Bars| bars.show(&tracker.get(process.request_id()).expect("it is there"));
    show(&mut bars);
    show(&mut bars);
    process
        .module(1)
        .and_then(|module| module.complete())
        .expect("it completes");
    show(&mut bars);
    process
        .module(2)
        .and_then(|module| module.fail(Failure::new("BadInput", "page 4\u{1b} is blank")))
        .expect("it fails");
    bars.follow().expect("it has settled");

    let text = lines.text();
    assert!(!text.contains(['\u{1b}', '\r']), "{text:?}");
    let told = text.lines().collect::<Vec<_>>();
    assert_eq!(told.len(), 4, "{text}");
    assert_eq!(told[0], "invoice-ocr: ongoing, 2 modules, file invoice.pdf");
    assert!(
        told[1].starts_with("module 1 of 2, ocr: complete after "),
        "{text}"
    );
    assert!(told[2].ends_with(", BadInput: page 4  is blank"), "{text}");
    assert!(told[3].starts_with("invoice-ocr: failed after "), "{text}");
}

#[test]
fn what_is_not_there_has_no_bars() {
    let tracker = Tracker::new(MemoryStore::new());
    let process = begin(&tracker);
    tracker.erase(process.request_id()).expect("it erases");
    let mut bars = Bars::new(&tracker, process.request_id()).drawn_on(ProgressDrawTarget::hidden());
    assert!(bars.follow().is_err_and(|error| error.is_not_found()));
}
