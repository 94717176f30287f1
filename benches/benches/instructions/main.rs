//! How many instructions the parts of milepost take: figures that repeat, where times are noisy.
//!
//! What a change may cost is held by `benches/instructions.txt`, the counts that were accepted: `./test` fails
//! once a figure is more than 5 % above. Callgrind counts, under [gungraun](https://docs.rs/gungraun); what sets
//! a figure up, and what checks its outcome, is not counted. What goes through a table of hashes, whose order each
//! build has anew, is counted over a hundred.
//!
//! ```text
//! cargo run -p milepost-benches --bin instructions                the counts, beside the accepted ones
//! cargo run -p milepost-benches --bin instructions -- --accept    accepts the counts as they are now
//! ```
//!
//! Both need valgrind and the runner of gungraun, which `./test` installs where it can.

#![allow(missing_docs, reason = "the macros make public items of their own")]

mod machine;
mod stores;

use std::sync::Arc;

use gungraun::{library_benchmark, library_benchmark_group, main};
use milepost::{Op, Page, Process, RecordError, TrackError, Verdict};

use machine::Slot;
use stores::{Batch, Question};

#[library_benchmark(teardown = machine::has_changed)]
#[bench::create(machine::create())]
#[bench::start(machine::start())]
#[bench::progress(machine::progress())]
#[bench::complete(machine::complete())]
#[bench::rejected(args = (machine::rejected()), teardown = machine::is_rejected)]
fn apply((op, mut slot): (Op, Slot)) -> (Op, Slot, Verdict) {
    let verdict = op.apply(&mut slot);
    (op, slot, verdict)
}

#[library_benchmark(teardown = machine::is_written)]
#[bench::fresh(machine::fresh())]
#[bench::half_done(machine::half_done())]
#[bench::settled(machine::settled())]
#[bench::eventful(machine::eventful())]
fn to_record(process: Arc<Process>) -> (Arc<Process>, Vec<u8>) {
    let mut record = Vec::new();
    process.to_record(&mut record);
    (process, record)
}

#[library_benchmark(teardown = machine::is_read)]
#[bench::fresh(machine::record(&machine::fresh()))]
#[bench::half_done(machine::record(&machine::half_done()))]
#[bench::settled(machine::record(&machine::settled()))]
#[bench::eventful(machine::record(&machine::eventful()))]
fn from_record(record: Vec<u8>) -> (Vec<u8>, Result<Process, RecordError>) {
    let process = Process::from_record(&record);
    (record, process)
}

#[library_benchmark(teardown = stores::has_changed)]
#[bench::memory_begin_100(stores::memory().begin(100))]
#[bench::memory_advance(stores::memory().advance(1))]
#[bench::memory_advance_100(stores::memory().advance(100))]
#[bench::traced_advance_100(stores::traced().advance(100))]
#[bench::metered_advance_100(stores::metered().advance(100))]
#[bench::sqlite_advance(stores::sqlite().advance(1))]
#[bench::sqlite_advance_100(stores::sqlite().advance(100))]
fn write(batch: Batch) -> (Batch, Result<Vec<Verdict>, TrackError>) {
    let verdicts = batch.tracker().apply(&batch.ops);
    (batch, verdicts)
}

#[library_benchmark(teardown = stores::is_found)]
#[bench::memory_100(stores::memory().ask())]
#[bench::sqlite_100(stores::sqlite().ask())]
fn read(question: Question) -> (Question, Result<u64, TrackError>) {
    let get = |id| Ok(question.tracker().get(id)?.revision());
    let revisions = question.ids.iter().copied().map(get).sum();
    (question, revisions)
}

#[library_benchmark(teardown = stores::is_full)]
#[bench::sqlite_50(stores::sqlite().ask())]
fn page(question: Question) -> (Question, Result<Page, TrackError>) {
    let page = question.tracker().list(&question.query);
    (question, page)
}

library_benchmark_group!(name = core, benchmarks = [apply, to_record, from_record]);
library_benchmark_group!(name = store, benchmarks = [write, read, page]);
main!(library_benchmark_groups = [core, store]);
