//! SQLite with ids that the host brings: random ones (version 4) beside those that milepost makes (version 7).
//!
//! Milepost on both sides: lifecycle work, 1 op a call, 1 thread, NORMAL, in two files of the large size. The column
//! `limit` is the version 7 figure.

use crate::rounds::{Outcome, in_turns, rate};
use crate::run::{Level, Run};
use crate::table::Target;
use crate::workload::{Ids, LIVE, Lives, fill};

pub(super) fn measure(run: &mut Run) -> Outcome<()> {
    let figure = format!(
        "SQLite lifecycle, v4 ids beside v7, of {}, NORMAL: ops/s",
        run.scale.large
    );
    if !run.wants(&figure) {
        return Ok(());
    }
    let sorted = run.pair(run.scale.large, Level::Normal)?;
    let random = Level::Normal.ours(&run.directory.join("random-ids.db"))?;
    fill(&random, run.scale.large, Ids::Random)?;
    let mut random_lives = Lives::start(&random, LIVE, Ids::Random)?;
    let mut sorted_lives = Lives::start(&sorted.ours, LIVE, Ids::Own)?;
    let compared = in_turns(
        run.scale.rounds,
        || rate(run.scale.turn, 1, || random_lives.turn(&random)),
        || rate(run.scale.turn, 1, || sorted_lives.turn(&sorted.ours)),
    )?;
    run.compared(&figure, compared, Target::AtLeast(0.7));
    Ok(())
}
