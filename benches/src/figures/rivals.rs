//! Two OS processes that write to one SQLite file, 1 op a call, one thread each.
//!
//! Both sides: two children on the same file, each with half of the live processes, that begin together. Milepost waits for its turn by pauses
//! of its own, the hand-written code by SQLite's busy timeout of 5 seconds. Shown are what both write together, what the
//! slower has of the faster's figure, and the longest that any call took.

use std::path::Path;
use std::time::Duration;

use crate::child::{self, figure};
use crate::rounds::Outcome;
use crate::run::{Level, Run};
use crate::table::Target;
use crate::workload::{Ids, LIVE, Lives, Subject, side_by_side};

pub(super) fn measure(run: &mut Run) -> Outcome<()> {
    for level in Level::BOTH {
        let name = format!("SQLite, two OS processes, 1 op a call, {}", level.name());
        if !run.wants(&name) {
            continue;
        }
        let pair = run.pair(run.scale.small, level)?;
        // As long as all turns of another figure.
        let lasting = run.scale.turn * u32::try_from(run.scale.rounds)?;
        let ours = rivals("ours", &pair.our_path, level, lasting)?;
        let theirs = rivals("theirs", &pair.their_path, level, lasting)?;
        let shown = [
            ("both together: ops/s", ours.together, theirs.together),
            ("the slower by the faster", ours.fairness, theirs.fairness),
            ("worst ms", ours.worst, theirs.worst),
        ];
        for (what, ours, theirs) in shown {
            run.both(&format!("{name}, {what}"), ours, theirs, Target::Shown);
        }
    }
    Ok(())
}

struct Rivals {
    together: f64,
    fairness: f64,
    worst: f64,
}

fn rivals(side: &str, path: &Path, level: Level, lasting: Duration) -> Outcome<Rivals> {
    let millis = lasting.as_millis().to_string();
    let path = path.to_str().ok_or("the path is no text")?;
    let task = ["rival", side, path, level.name(), &millis];
    let both = child::together(vec![child::start(&task)?, child::start(&task)?])?;
    let (first, second) = (figure(&both[0], 0)?, figure(&both[1], 0)?);
    Ok(Rivals {
        together: first + second,
        fairness: first.min(second) / first.max(second),
        worst: figure(&both[0], 1)?.max(figure(&both[1], 1)?),
    })
}

pub(super) fn serve(task: &[&str]) -> Outcome<()> {
    let [side, path, level, millis] = task else {
        return Err("a rival needs a side, a file, a level and a time".into());
    };
    let level = match *level {
        "FULL" => Level::Full,
        _ => Level::Normal,
    };
    let lasting = Duration::from_millis(millis.parse()?);
    let path = Path::new(path);
    match *side {
        "ours" => compete(&level.ours(path)?, lasting),
        _ => compete(&level.theirs(path)?, lasting),
    }
}

fn compete<S: Subject>(subject: &S, lasting: Duration) -> Outcome<()> {
    let mut crew = [Lives::start(subject, LIVE / 2, Ids::Own)?];
    child::say_ready()?;
    let (rate, waits) = side_by_side(subject, &mut crew, lasting)?;
    child::answer(&[rate, waits.worst()]);
    Ok(())
}
