//! The memory stores, each side alone in an OS process of its own, so that neither works in the other's leavings.
//!
//! Lifecycle: 1 thread, 1 op a call, 1,024 live processes among 100,000 settled ones. Read: random ids among the settled
//! ones; `Tracker::get` shares the process, the hand-written map hands out a copy. Bytes a process: resident memory with
//! as many settled processes as the large size, less that of an empty child.

use std::time::Duration;

use crate::by_hand::ByHandInMemory;
use crate::child::{self, figure};
use crate::ours::Milepost;
use crate::proc;
use crate::rounds::{Outcome, in_turns, rate};
use crate::run::Run;
use crate::table::Target;
use crate::workload::{Ids, LIVE, Lives, Subject, fill};

/// How many ops between looks at the clock: a look costs as much as a fifth of an op.
const STRIDE: u32 = 64;

pub(super) fn measure(run: &mut Run) -> Outcome<()> {
    let millis = run.scale.turn.as_millis().to_string();
    let settled = run.scale.small.to_string();
    let figures = [
        (
            "lifecycle",
            "memory lifecycle, 1 op a call, 1 thread: ops/s",
            0.75,
        ),
        (
            "read",
            "memory read beside a copying read, 1 thread: reads/s",
            8.0,
        ),
    ];
    for (work, figure, least) in figures {
        if !run.wants(figure) {
            continue;
        }
        let ask = |side| self::figure(&child::ask(&["memory", work, side, &settled, &millis])?, 0);
        let compared = in_turns(run.scale.rounds, || ask("ours"), || ask("theirs"))?;
        run.compared(figure, compared, Target::AtLeast(least));
    }
    size(run)
}

#[expect(clippy::cast_precision_loss, reason = "a figure for people")]
fn size(run: &mut Run) -> Outcome<()> {
    let name = format!(
        "memory, 4 settled modules, of {}: bytes a process",
        run.scale.large
    );
    if !run.wants(&name) {
        return Ok(());
    }
    let settled = run.scale.large.to_string();
    let ask = |side| figure(&child::ask(&["memory", "size", side, &settled, "0"])?, 0);
    let (ours, theirs, empty) = (ask("ours")?, ask("theirs")?, ask("empty")?);
    let processes = run.scale.large as f64;
    let of = |resident: f64| (resident - empty) / processes;
    run.both(&name, of(ours), of(theirs), Target::Within(500.0));
    Ok(())
}

pub(super) fn serve(task: &[&str]) -> Outcome<()> {
    let [work, side, settled, millis] = task else {
        return Err("a memory child needs work, a side, a size and a time".into());
    };
    let settled = settled.parse()?;
    let lasting = Duration::from_millis(millis.parse()?);
    let figure = match (*work, *side) {
        ("size", "empty") => proc::resident()?,
        (work, "ours") => {
            let ours = Milepost::memory()?;
            let read = |id: uuid::Uuid| {
                ours.tracker.get(id.into())?;
                Ok(())
            };
            serve_side(work, &ours, settled, lasting, read)?
        }
        (work, _) => {
            let theirs = ByHandInMemory::default();
            let read = |id| {
                let found = theirs.store.status(id);
                found.map(drop).ok_or_else(|| "it is not there".into())
            };
            serve_side(work, &theirs, settled, lasting, read)?
        }
    };
    child::answer(&[figure]);
    Ok(())
}

fn serve_side<S: Subject>(
    work: &str,
    subject: &S,
    settled: usize,
    lasting: Duration,
    read: impl Fn(uuid::Uuid) -> Outcome<()>,
) -> Outcome<f64> {
    let ids = fill(subject, settled, Ids::Own)?;
    match work {
        "size" => {
            drop(ids);
            proc::resident()
        }
        "read" => {
            // A stride that shares no divisor with the size visits all in an order that no cache foresees.
            let mut at = 0;
            rate(lasting, STRIDE, || {
                at = (at + 7919) % ids.len();
                read(ids[at])
            })
        }
        _ => {
            let mut lives = Lives::start(subject, LIVE, Ids::Own)?;
            // As long again before it counts: a young process has a young heap.
            rate(lasting, STRIDE, || lives.turn(subject))?;
            rate(lasting, STRIDE, || lives.turn(subject))
        }
    }
}
