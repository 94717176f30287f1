//! How large SQLite files are, and what working on one takes of memory.
//!
//! Bytes a process: both files of the large size, right after they were filled and closed, 4 settled modules a process.
//! Resident memory: a child that opens milepost's file, works and lists for a while, less what an empty child takes.

use std::time::Duration;

use milepost::Query;

use crate::child;
use crate::proc;
use crate::rounds::{Outcome, rate};
use crate::run::{Level, Run};
use crate::table::Target;
use crate::workload::{Ids, LIVE, Lives};

#[expect(clippy::cast_precision_loss, reason = "figures for people")]
pub(super) fn measure(run: &mut Run) -> Outcome<()> {
    let bytes = format!(
        "SQLite file, 4 settled modules, of {}: bytes a process",
        run.scale.large
    );
    let memory = format!(
        "SQLite resident memory at work, of {}: MiB",
        run.scale.large
    );
    let processes = run.scale.large as f64;
    if run.wants(&bytes) {
        let (ours, theirs) = run.pair(run.scale.large, Level::Normal)?.bytes;
        let of = |bytes| bytes as f64 / processes;
        run.both(&bytes, of(ours), of(theirs), Target::Within(400.0));
    }
    if run.wants(&memory) {
        let pair = run.pair(run.scale.large, Level::Normal)?;
        let path = pair.our_path.to_str().ok_or("the path is no text")?;
        let millis = run.scale.turn.as_millis().to_string();
        let at_work = child::figure(&child::ask(&["size", "work", path, &millis])?, 0)?;
        let empty = child::figure(&child::ask(&["size", "empty"])?, 0)?;
        let mebibytes = (at_work - empty) / f64::from(1 << 20);
        run.alone(&memory, mebibytes, Target::Shown);
    }
    Ok(())
}

pub(super) fn serve(task: &[&str]) -> Outcome<()> {
    match task {
        ["empty"] => {}
        ["work", path, millis] => {
            let ours = Level::Normal.ours(path.as_ref())?;
            let mut lives = Lives::start(&ours, LIVE, Ids::Own)?;
            let lasting = Duration::from_millis(millis.parse()?);
            rate(lasting, 1, || lives.turn(&ours))?;
            rate(lasting, 1, || {
                ours.tracker.list(&Query::new().limit(1000))?;
                Ok(())
            })?;
            ours.tracker.count(&Query::new())?;
            // While all of it is held.
            child::answer(&[proc::resident()?]);
            drop(lives);
            return Ok(());
        }
        _ => return Err("a child was asked for no size".into()),
    }
    child::answer(&[proc::resident()?]);
    Ok(())
}
