//! SQLite, one thread: lifecycle work, and batches.
//!
//! Both sides: 1,024 live processes in a file that holds 100,000 settled ones. One op a call through handles
//! (`begin`, `start`, `complete`) beside `begin` and `advance`, each of which reads the row, checks the step and
//! writes it; or 100 and 1,000 ops a call, each of another process, through `Tracker::apply` beside one transaction.

use crate::rounds::{Outcome, in_turns, rate};
use crate::run::{Level, Run};
use crate::table::Target;
use crate::workload::{Ids, LIVE, Lives, Subject};

pub(super) fn measure(run: &mut Run) -> Outcome<()> {
    for (level, least) in Level::BOTH.into_iter().zip([0.9, 0.85]) {
        for ops in [1, 100, 1000] {
            let figure = match ops {
                1 => format!(
                    "SQLite lifecycle, 1 op a call, 1 thread, {}: ops/s",
                    level.name()
                ),
                _ => format!("SQLite apply of {ops} ops, {}: ops/s", level.name()),
            };
            let least = if ops == 1 { least } else { 0.85 };
            one(run, level, ops, &figure, Target::AtLeast(least))?;
        }
    }
    Ok(())
}

fn one(run: &mut Run, level: Level, ops: u32, figure: &str, target: Target) -> Outcome<()> {
    if !run.wants(figure) {
        return Ok(());
    }
    let pair = run.pair(run.scale.small, level)?;
    let mut our_lives = Lives::start(&pair.ours, LIVE, Ids::Own)?;
    let mut their_lives = Lives::start(&pair.theirs, LIVE, Ids::Own)?;
    let compared = in_turns(
        run.scale.rounds,
        || ops_a_second(run, &pair.ours, &mut our_lives, ops),
        || ops_a_second(run, &pair.theirs, &mut their_lives, ops),
    )?;
    run.compared(figure, compared, target);
    Ok(())
}

fn ops_a_second<S: Subject>(
    run: &Run,
    subject: &S,
    lives: &mut Lives<S::Live>,
    ops: u32,
) -> Outcome<f64> {
    if ops == 1 {
        return rate(run.scale.turn, 1, || lives.turn(subject));
    }
    let calls = rate(run.scale.turn, 1, || lives.batch(subject, ops as usize))?;
    Ok(calls * f64::from(ops))
}
