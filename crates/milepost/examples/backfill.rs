//! Brings the history of an older system in, with its own ids and its own times.
//!
//! Handles stamp what they send with the time now. History comes as ops instead, which are plain data:
//! each names the process, the time at which it happened, and the change.

use std::error::Error;

use milepost::chrono::{DateTime, Utc};
use milepost::{Change, Failure, MemoryStore, NewProcess, Op, Pipeline, Query, Tracker, Verdict};

/// What the older system has kept: id, file, when it began, when `ocr` and `parser` ended, and what was
/// wrong, if anything.
const HISTORY: &str = "\
6f1c0b52-8a0e-4c3e-9a55-0f6d2f6f3a01 march.pdf 2024-03-01T08:00:00Z 2024-03-01T08:00:41Z 2024-03-01T08:01:02Z
6f1c0b52-8a0e-4c3e-9a55-0f6d2f6f3a02 april.pdf 2024-04-01T08:00:00Z 2024-04-01T08:00:39Z 2024-04-01T08:00:52Z page 2 is blank
6f1c0b52-8a0e-4c3e-9a55-0f6d2f6f3a03 may.pdf 2024-05-01T08:00:00Z 2024-05-01T08:00:44Z 2024-05-01T08:01:07Z
";

fn main() -> Result<(), Box<dyn Error>> {
    let tracker = Tracker::new(MemoryStore::new());

    let mut ops = Vec::new();
    for line in HISTORY.lines() {
        ops.extend(read_line(&tracker, line)?);
    }
    // A batch is judged op by op: one that is refused spoils nothing else.
    let verdicts = tracker.apply(&ops)?;
    for (op, verdict) in ops.iter().zip(&verdicts) {
        if let Err(rejection) = verdict {
            println!("{} was refused: {rejection}", op.id);
        }
    }
    println!("{} of {} changes brought in", changed(&verdicts), ops.len());

    // After a crash in the middle, the whole history is sent again: what stands is left as it is.
    assert_eq!(changed(&tracker.apply(&ops)?), 0);

    let since: DateTime<Utc> = "2024-03-15T00:00:00Z".parse()?;
    for process in tracker
        .list(&Query::new().created(since..).oldest_first())?
        .items
    {
        let took = process.updated_at() - process.created_at();
        println!(
            "{}: {} after {} s",
            process.file().name(),
            process.status(),
            took.num_seconds()
        );
    }
    Ok(())
}

/// The ops that one line of the older system's history amounts to.
fn read_line(tracker: &Tracker, line: &str) -> Result<Vec<Op>, Box<dyn Error>> {
    let pipeline = Pipeline::new("invoice-ocr", ["ocr", "parser"])?;
    let words = line.splitn(6, ' ').collect::<Vec<_>>();
    let [id, file_name, began, ocr_ended, parser_ended, wrong @ ..] = words.as_slice() else {
        return Err(format!("this line has too few words: {line}").into());
    };
    let id = id.parse()?;
    let (began, ocr_ended, parser_ended) =
        (began.parse()?, ocr_ended.parse()?, parser_ended.parse()?);

    // `prepare` is `begin` without sending. The id makes beginning twice the same as beginning once.
    let mut create = tracker.prepare(
        NewProcess::new(&pipeline)
            .request_id(id)
            .file_name(file_name),
    )?;
    create.at = began;

    let last = match wrong {
        [] => Change::complete(2),
        [wrong, ..] => Change::fail(2, Failure::new("BadInput", wrong)),
    };
    Ok(vec![
        create,
        Op::new(id, began, Change::start(1)),
        Op::new(id, ocr_ended, Change::complete(1)),
        Op::new(id, ocr_ended, Change::start(2)),
        Op::new(id, parser_ended, last),
    ])
}

fn changed(verdicts: &[Verdict]) -> usize {
    let changed = |verdict: &&Verdict| verdict.as_ref().is_ok_and(|applied| applied.changed);
    verdicts.iter().filter(changed).count()
}
