//! SQLite purge, with `secure_delete`.
//!
//! Both sides: expired processes among as many that are kept, one after the other; `Tracker::purge` beside deletions of
//! 500 in a transaction each. Meanwhile, in the figures of other writers: one thread does lifecycle work at an op every
//! millisecond, and its waits are counted from when each op was due, until the purge is over.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use uuid::Uuid;

use crate::baseline;
use crate::by_hand::ByHand;
use crate::ours::Milepost;
use crate::rounds::{Outcome, in_turns};
use crate::run::{Level, Run};
use crate::table::Target;
use crate::waits::Waits;
use crate::workload::{Ids, LIVE, Lives, Subject};

const DUE_EVERY: Duration = Duration::from_millis(1);

pub(super) fn measure(run: &mut Run) -> Outcome<()> {
    let rate = "SQLite purge, NORMAL: processes/s";
    let others = "SQLite purge, NORMAL: other writers meanwhile";
    let wants_others = run.wants(others);
    if !run.wants(rate) && !wants_others {
        return Ok(());
    }
    let ours = Level::Normal.ours(&run.directory.join("ours-purge.db"))?;
    let theirs = Level::Normal.theirs(&run.directory.join("theirs-purge.db"))?;
    let rounds = run.scale.rounds.min(3);
    let expired = (run.scale.expired, run.scale.expiry);
    let compared = in_turns(
        rounds,
        || purge_alone(&ours, expired),
        || purge_alone(&theirs, expired),
    )?;
    if run.wants(rate) {
        run.compared(rate, compared, Target::AtLeast(0.8));
    }
    if wants_others {
        let (our_waits, their_waits) = (
            purge_beside(&ours, expired)?,
            purge_beside(&theirs, expired)?,
        );
        let p99 = |waits: &Waits| waits.percentile(99.0);
        run.both(
            &format!("{others}: p99 ms"),
            p99(&our_waits),
            p99(&their_waits),
            Target::Within(50.0),
        );
        run.both(
            &format!("{others}: worst ms"),
            our_waits.worst(),
            their_waits.worst(),
            Target::Shown,
        );
    }
    Ok(())
}

/// A side that can purge.
trait Purge: Subject {
    /// Deletes all that has expired; says how many that were.
    fn purge(&self) -> Outcome<usize>;
}

impl Purge for Milepost {
    fn purge(&self) -> Outcome<usize> {
        Ok(self.tracker.purge()?)
    }
}

impl Purge for ByHand {
    fn purge(&self) -> Outcome<usize> {
        Ok(self.store.purge(baseline::now())?)
    }
}

/// Processes a second.
fn purge_alone<S: Purge>(subject: &S, (expired, expiry): (usize, Duration)) -> Outcome<f64> {
    let filled = fill_expired(subject, expired, expiry)?;
    let began = Instant::now();
    purge_all(subject, filled)?;
    #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
    let purged = filled as f64;
    Ok(purged / began.elapsed().as_secs_f64())
}

/// How long others wait while a purge goes on.
fn purge_beside<S: Purge>(subject: &S, (expired, expiry): (usize, Duration)) -> Outcome<Waits> {
    // They write before the purge begins, and until it is over.
    let mut lives = Lives::start(subject, LIVE, Ids::Own)?;
    let filled = fill_expired(subject, 2 * expired, expiry)?;
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let writer = scope.spawn(|| write_when_due(subject, &mut lives, &is_over));
        let purged = purge_all(subject, filled);
        is_over.store(true, Ordering::SeqCst);
        let waits = writer.join().map_err(|_| "a thread panicked")?;
        purged.and(waits)
    })
}

fn write_when_due<S: Subject>(
    subject: &S,
    lives: &mut Lives<S::Live>,
    is_over: &AtomicBool,
) -> Outcome<Waits> {
    let mut waits = Waits::default();
    let mut due = Instant::now();
    while !is_over.load(Ordering::SeqCst) {
        thread::sleep(due.saturating_duration_since(Instant::now()));
        lives.turn(subject)?;
        waits.add(due.elapsed());
        due += DUE_EVERY;
    }
    Ok(waits)
}

fn purge_all<S: Purge>(subject: &S, filled: usize) -> Outcome<()> {
    let purged = subject.purge()?;
    if purged != filled {
        return Err(format!("{purged} were purged, and {filled} had expired").into());
    }
    Ok(())
}

/// Fills with processes that expire among as many that do not, and waits until they have.
fn fill_expired<S: Subject>(subject: &S, expired: usize, expiry: Duration) -> Outcome<usize> {
    let mut filled = Vec::<Uuid>::new();
    while filled.len() < expired {
        let some = (expired - filled.len()).min(50);
        filled.append(&mut subject.settled(some, Ids::Own, Some(expiry))?);
        subject.settled(some, Ids::Own, None)?;
    }
    thread::sleep(expiry);
    Ok(filled.len())
}
