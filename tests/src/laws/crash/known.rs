//! What must be in the file after a crash, and whether it is.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use milepost::{Process, RequestId};

use super::pipe::{Line, Task};
use super::plan::{Batch, Plan, Step, is_worked_on};
use crate::law::{Broken, ensure};

/// What a file holds.
pub type Held = BTreeMap<RequestId, Arc<Process>>;

/// How a process is left by a batch: gone, or in this state.
type Left = (RequestId, Option<Arc<Process>>);

/// What of the acknowledged steps must have survived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "the promise knows no third")]
pub enum Survives {
    /// All.
    All,
    /// All but the newest: what is there is what a single writer had done at some moment.
    AllButTheNewest,
}

/// What was done to a file since it was looked at last.
#[derive(Debug)]
#[expect(clippy::exhaustive_structs, reason = "whoever judges it builds one")]
pub struct Doings<'a> {
    /// What the file held before.
    pub before: &'a Held,
    /// Who wrote.
    pub tasks: &'a [Task],
    /// What they said, in order.
    pub said: &'a [Line],
}

impl Doings<'_> {
    /// Whether what was found is what these doings can have left.
    pub fn judge(&self, found: &Held, survives: Survives) -> Result<(), Broken> {
        match survives {
            Survives::All => self.all_survived(found),
            Survives::AllButTheNewest => self.newest_lost(found).map(drop),
        }
    }

    /// The steps that a writer tried, each with the place of the line that said so, and of the one that said it was done.
    fn steps(&self, task: &Task) -> Vec<(Step, usize, Option<usize>)> {
        let inherited = task
            .inherits
            .iter()
            .filter_map(|id| self.before.get(id).cloned());
        let mut plan = Plan::new(task.seed, task.begins, inherited);
        let mut steps = Vec::new();
        for (line, place) in self.said.iter().zip(0..) {
            match line {
                Line::Try(writer, _) if *writer == task.writer => {
                    steps.push((plan.step(), place, None));
                }
                Line::Done(writer, _) if *writer == task.writer => {
                    // One at a time, so it is the last.
                    if let Some((_, _, done)) = steps.last_mut() {
                        *done = Some(place);
                    }
                }
                _ => {}
            }
        }
        steps
    }

    /// Everything acknowledged is there; of what was under way, each batch is as a whole or not at all.
    fn all_survived(&self, found: &Held) -> Result<(), Broken> {
        let mut expected = self.before.clone();
        let mut purges = Purges::default();
        let mut under_way = Vec::new();
        // Writers do not touch each other's processes, so the order among them does not matter.
        for task in self.tasks {
            let mut of_it = Vec::new();
            for (step, tried, done) in self.steps(task) {
                match step {
                    Step::Wipe => {}
                    Step::Purge(by) => purges.add(by, tried, done),
                    Step::Write(batch) => {
                        purges.note_creations(&batch, tried, done);
                        if done.is_some() {
                            keep(&mut expected, batch.leaves);
                        } else {
                            of_it.push(batch);
                        }
                    }
                }
            }
            under_way.push(of_it);
        }
        for batches in under_way {
            let kept = how_many_are_kept(&batches, &expected, found)?;
            for batch in batches.into_iter().take(kept) {
                keep(&mut expected, batch.leaves);
            }
        }
        purges.judge(&mut expected, found)?;
        compare(&expected, found)
    }

    /// How many acknowledged steps were lost, all of them newer than all that are there.
    pub fn newest_lost(&self, found: &Held) -> Result<usize, Broken> {
        let [task] = self.tasks else {
            return Err(Broken::new("more than one wrote: which step is newer?"));
        };
        let steps = self.steps(task);
        let done = steps.iter().filter(|(.., done)| done.is_some()).count();
        let mut state = self.before.clone();
        let ids = state.keys().chain(found.keys());
        let mut differing = ids
            .filter(|id| state.get(*id) != found.get(*id))
            .copied()
            .collect::<BTreeSet<_>>();
        let mut survived = differing.is_empty().then_some(0);
        for ((step, ..), number) in steps.into_iter().zip(1..) {
            let leaves = match step {
                Step::Wipe => Vec::new(),
                Step::Purge(by) => state
                    .iter()
                    .filter(|(_, process)| process.is_expired(by))
                    .map(|(id, _)| (*id, None))
                    .collect(),
                Step::Write(batch) => batch.leaves,
            };
            for (id, left) in leaves {
                if found.get(&id) == left.as_ref() {
                    differing.remove(&id);
                } else {
                    differing.insert(id);
                }
                keep(&mut state, vec![(id, left)]);
            }
            if differing.is_empty() {
                survived = Some(number);
            }
        }
        let survived: usize = survived.ok_or_else(|| {
            Broken::new("what is there was so at no moment: something in the middle is missing")
        })?;
        Ok(done.saturating_sub(survived))
    }
}

/// What is left for the next writers to go on with, dealt out among so many.
#[must_use]
pub fn dealt_out(held: &Held, writers: usize) -> Vec<Vec<RequestId>> {
    let mut shares = vec![Vec::new(); writers];
    let open = held.values().filter(|process| is_worked_on(process));
    // Few each, so that they begin new ones too.
    for (process, place) in open.take(6 * writers).zip(0..) {
        let share: usize = place % writers;
        shares[share].push(process.request_id());
    }
    shares
}

fn keep(state: &mut Held, leaves: Vec<Left>) {
    for (id, left) in leaves {
        match left {
            Some(process) => state.insert(id, process),
            None => state.remove(&id),
        };
    }
}

/// How many are there of the batches that a writer had under way: the first ones, each as a whole.
fn how_many_are_kept(batches: &[Batch], before: &Held, found: &Held) -> Result<usize, Broken> {
    // What expires may have been purged since: it is no sign of anything unless it is there.
    let left = batches.iter().flat_map(|batch| &batch.leaves);
    let touched = left.map(|(id, _)| *id).collect::<BTreeSet<_>>();
    let explains = |kept: usize| {
        let mut after = before.clone();
        for batch in &batches[..kept] {
            keep(&mut after, batch.leaves.clone());
        }
        touched.iter().all(|id| {
            let (after, found) = (after.get(id), found.get(id));
            let may_be_purged = after.is_some_and(|process| process.expires_at().is_some());
            after == found || (found.is_none() && may_be_purged)
        })
    };
    // The fewest: what was purged need not be explained.
    (0..=batches.len()).find(|kept| explains(*kept)).ok_or_else(|| {
        let ids = touched.iter().map(ToString::to_string).collect::<Vec<_>>();
        Broken::new(format!(
            "of a batch that was under way one part is there and another is not, or something acknowledged is \
             not: {}",
            ids.join(", ")
        ))
    })
}

fn compare(expected: &Held, found: &Held) -> Result<(), Broken> {
    for (id, process) in expected {
        let there = found.get(id);
        ensure(there == Some(process), || match there {
            None => format!(
                "{id}: acknowledged at revision {}, and lost",
                process.revision()
            ),
            Some(there) if there.revision() != process.revision() => format!(
                "{id}: should be at revision {}, is at {}",
                process.revision(),
                there.revision()
            ),
            Some(there) => format!("{id}: is {there:?}, should be {process:?}"),
        })?;
    }
    let ghost = found.keys().find(|id| !expected.contains_key(id));
    ghost.map_or(Ok(()), |id| {
        Err(Broken::new(format!(
            "{id}: erased, or never begun, and there"
        )))
    })
}

/// What purges there were, and what of it they may have taken. Lines are given by their place.
#[derive(Default)]
struct Purges {
    purges: Vec<(DateTime<Utc>, usize, Option<usize>)>,
    created: BTreeMap<RequestId, (usize, Option<usize>)>,
}

impl Purges {
    fn add(&mut self, by: DateTime<Utc>, tried: usize, done: Option<usize>) {
        self.purges.push((by, tried, done));
    }

    fn note_creations(&mut self, batch: &Batch, tried: usize, done: Option<usize>) {
        for (id, left) in &batch.leaves {
            if left
                .as_ref()
                .is_some_and(|process| process.expires_at().is_some())
            {
                self.created.insert(*id, (tried, done));
            }
        }
    }

    /// Takes from what is expected what a purge has taken, if one may have; and demands what one must have.
    fn judge(&self, expected: &mut Held, found: &Held) -> Result<(), Broken> {
        let mut taken = Vec::new();
        for (id, process) in expected
            .iter()
            .filter(|(_, process)| process.expires_at().is_some())
        {
            let (begun, there) = *self.created.get(id).unwrap_or(&(0, Some(0)));
            let mut of_it = self
                .purges
                .iter()
                .filter(|(by, ..)| process.is_expired(*by));
            let may = of_it
                .clone()
                .any(|(.., done)| done.is_none_or(|done| done >= begun));
            let must = of_it.any(|(_, tried, done)| {
                done.is_some() && there.is_some_and(|there| *tried >= there)
            });
            ensure(!(must && found.contains_key(id)), || {
                format!("{id}: purged, and there")
            })?;
            if may && !found.contains_key(id) {
                taken.push(*id);
            }
        }
        for id in taken {
            expected.remove(&id);
        }
        Ok(())
    }
}
