//! SQLite, many threads on one store: lifecycle work at 1 op a call, and how long its callers wait.
//!
//! Both sides: the live processes are divided over the threads; each thread calls again as soon as it is answered. The
//! hand-written side is leader and followers over one connection.

use crate::rounds::{Outcome, in_turns};
use crate::run::{Level, Run};
use crate::table::Target;
use crate::waits::Waits;
use crate::workload::{crews, side_by_side};

pub(super) fn measure(run: &mut Run) -> Outcome<()> {
    for level in Level::BOTH {
        for threads in [8, 32, 256] {
            let figure = format!(
                "SQLite lifecycle, 1 op a call, {threads} threads, {}",
                level.name()
            );
            let is_targeted = level == Level::Full && threads <= 32;
            one(run, level, threads, &figure, is_targeted)?;
        }
    }
    Ok(())
}

fn one(
    run: &mut Run,
    level: Level,
    threads: usize,
    figure: &str,
    is_targeted: bool,
) -> Outcome<()> {
    if !run.wants(figure) {
        return Ok(());
    }
    let pair = run.pair(run.scale.small, level)?;
    let (mut our_crews, mut their_crews) =
        (crews(&pair.ours, threads)?, crews(&pair.theirs, threads)?);
    let (mut our_waits, mut their_waits) = (Waits::default(), Waits::default());
    let turn = run.scale.turn;
    let compared = in_turns(
        run.scale.rounds,
        || {
            let (rate, waits) = side_by_side(&pair.ours, &mut our_crews, turn)?;
            our_waits.join(&waits);
            Ok(rate)
        },
        || {
            let (rate, waits) = side_by_side(&pair.theirs, &mut their_crews, turn)?;
            their_waits.join(&waits);
            Ok(rate)
        },
    )?;
    let (rate, p99) = if is_targeted {
        (Target::AtLeast(0.95), Target::Within(5.0))
    } else {
        (Target::Shown, Target::Shown)
    };
    run.compared(&format!("{figure}: ops/s"), compared, rate);
    for (percent, target) in [(50.0, Target::Shown), (99.0, p99)] {
        let (ours, theirs) = (
            our_waits.percentile(percent),
            their_waits.percentile(percent),
        );
        run.both(&format!("{figure}: p{percent} ms"), ours, theirs, target);
    }
    let (ours, theirs) = (our_waits.worst(), their_waits.worst());
    run.both(&format!("{figure}: worst ms"), ours, theirs, Target::Shown);
    Ok(())
}
