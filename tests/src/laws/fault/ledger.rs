//! What a store may hold, by what it has answered.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use milepost::chrono::{DateTime, Utc};
use milepost::uuid::Uuid;
use milepost::{Op, Process, RequestId, StatusStore, StoreError, StoreErrorKind, Verdict, limits};

use crate::law::{Broken, ensure};

/// What a store holds.
pub(super) type World = BTreeMap<RequestId, Arc<Process>>;

/// How many worlds may be possible at a time: each outcome that is unknown, and cannot be looked up, doubles them.
const WORLDS: usize = 256;

/// What is asked of a store that changes something.
#[derive(Debug, Clone)]
pub(super) enum Act {
    /// A batch of guarded ops, which may be sent again whatever has become of it.
    Write(Vec<Op>),
    /// A batch that would do twice what is sent twice: who does not know what has become of it looks first.
    WriteOnce(Vec<Op>),
    /// A purge.
    Purge(DateTime<Utc>),
}

/// What comes of it.
#[derive(Debug, PartialEq)]
pub(super) enum Answer {
    Verdicts(Vec<Verdict>),
    Purged(usize),
}

impl Act {
    pub(super) fn send(&self, store: &dyn StatusStore) -> Result<Answer, StoreError> {
        match self {
            Act::Write(ops) | Act::WriteOnce(ops) => store.write(ops).map(Answer::Verdicts),
            Act::Purge(by) => store.purge(*by, limits::PURGE).map(Answer::Purged),
        }
    }

    /// What it does, by the contract.
    pub(super) fn apply(&self, world: &mut World) -> Answer {
        match self {
            Act::Write(ops) | Act::WriteOnce(ops) => {
                Answer::Verdicts(ops.iter().map(|op| apply(op, world)).collect())
            }
            Act::Purge(by) => {
                let before = world.len();
                world.retain(|_, process| !process.is_expired(*by));
                Answer::Purged(before - world.len())
            }
        }
    }

    /// Whether it may be more than SQLite's cache of 2 MiB holds, so that some of it is written before the commit.
    pub(super) fn is_large(&self) -> bool {
        match self {
            Act::Write(ops) | Act::WriteOnce(ops) => {
                ops.iter().map(Op::bytes).sum::<usize>() > 1024 * 1024
            }
            Act::Purge(_) => false,
        }
    }

    fn ids(&self) -> impl Iterator<Item = RequestId> {
        let ops: &[Op] = match self {
            Act::Write(ops) | Act::WriteOnce(ops) => ops,
            Act::Purge(_) => &[],
        };
        ops.iter().map(|op| op.id)
    }
}

pub(super) fn apply(op: &Op, world: &mut World) -> Verdict {
    let mut slot = world.remove(&op.id);
    let verdict = op.apply(&mut slot);
    world.extend(slot.map(|process| (op.id, process)));
    verdict
}

/// What the store may hold of some processes, which nobody else changes.
#[derive(Debug, Clone)]
pub(super) struct Ledger {
    /// By what was answered and read: one, unless an outcome is unknown.
    worlds: Vec<World>,
    /// And what it may hold once it was killed and opened again: an outcome that is unknown may show only then, until
    /// something else is committed.
    after_crash: Vec<World>,
    /// All that were ever written about.
    ids: BTreeSet<RequestId>,
    /// The names of the files of all that are known to have been there.
    were_there: BTreeMap<RequestId, String>,
    /// What got no answer, in order.
    pub(super) unsettled: Vec<Act>,
}

impl Ledger {
    pub(super) fn of(world: World) -> Self {
        Ledger {
            ids: world.keys().copied().collect(),
            were_there: BTreeMap::new(),
            after_crash: vec![world.clone()],
            worlds: vec![world],
            unsettled: Vec::new(),
        }
    }

    /// Notes what an act has come to; says how it contradicts what came before, if it does.
    pub(super) fn note(
        &mut self,
        act: &Act,
        outcome: &Result<Answer, StoreError>,
    ) -> Result<(), Broken> {
        self.ids.extend(act.ids());
        self.note_who_is_there();
        match outcome {
            Ok(answer) => {
                let mut worlds = std::mem::take(&mut self.worlds);
                let mut told = String::new();
                worlds.retain_mut(|world| {
                    let right = act.apply(world);
                    told = format!("{right:?}");
                    right == *answer
                });
                ensure(!worlds.is_empty(), || {
                    format!("it answered {answer:?} to what comes to {told}")
                })?;
                self.after_crash.clone_from(&worlds);
                self.worlds = worlds;
                self.note_who_is_there();
            }
            Err(error) => {
                self.unsettled.push(act.clone());
                if error.kind() == StoreErrorKind::OutcomeUnknown {
                    let mut kept = self.worlds.clone();
                    for world in &mut kept {
                        act.apply(world);
                    }
                    self.after_crash.extend(kept.iter().cloned());
                    self.worlds.extend(kept);
                    self.worlds.dedup();
                    ensure(self.after_crash.len() <= WORLDS, || {
                        "too many outcomes are unknown".to_owned()
                    })?;
                }
            }
        }
        Ok(())
    }

    /// Whether what was sent last, and got no answer, is known not to have been kept.
    pub(super) fn is_lost(&self, act: &Act, before: &Ledger) -> bool {
        let mut kept = before.worlds.clone();
        for world in &mut kept {
            act.apply(world);
        }
        !self.worlds.iter().any(|world| kept.contains(world))
    }

    /// Compares it with what a store holds: from then on, that is what it is known to hold.
    pub(super) fn compare(
        &mut self,
        store: &dyn StatusStore,
    ) -> Result<Result<(), StoreError>, Broken> {
        let read = match self.read(store) {
            Ok(read) => read,
            Err(error) => return Ok(Err(error)),
        };
        self.worlds.retain(|world| *world == read);
        ensure(!self.worlds.is_empty(), || {
            "what it holds is not what it answered".to_owned()
        })?;
        Ok(Ok(()))
    }

    /// Compares what a store holds that was opened after a crash.
    pub(super) fn compare_after_crash(&self, store: &dyn StatusStore) -> Result<(), Broken> {
        let read = self.read(store)?;
        ensure(self.after_crash.contains(&read), || {
            let held = self.after_crash.iter().map(World::len).collect::<Vec<_>>();
            format!(
                "after a crash it holds {} processes that are not the {held:?} it answered",
                read.len()
            )
        })
    }

    /// It was closed and opened again: an outcome that is unknown may show now.
    pub(super) fn reopened(&mut self) {
        self.worlds.clone_from(&self.after_crash);
    }

    /// The one world that there is once everything is known.
    pub(super) fn world(&self) -> Result<&World, Broken> {
        match self.worlds.as_slice() {
            [world] => Ok(world),
            worlds => Err(Broken::new(format!(
                "{} outcomes stay possible",
                worlds.len()
            ))),
        }
    }

    /// What only those had that are erased, or have been purged: their ids and names. Nothing while anything is unknown.
    pub(super) fn gone(&self) -> Vec<Vec<u8>> {
        let Ok(world) = self.world() else {
            return Vec::new();
        };
        let names = world.values().map(|process| process.file().name());
        let names = names.collect::<Vec<_>>();
        let gone = |(id, _): &(&RequestId, _)| !world.contains_key(*id);
        let mut marks = Vec::new();
        for (id, name) in self.were_there.iter().filter(gone) {
            marks.push(Uuid::from(*id).as_bytes().to_vec());
            if !names.contains(&name.as_str()) {
                marks.push(name.as_bytes().to_vec());
            }
        }
        marks
    }

    fn note_who_is_there(&mut self) {
        if let [world] = self.worlds.as_slice() {
            let there = world.iter();
            let names = there.map(|(id, process)| (*id, process.file().name().to_owned()));
            self.were_there.extend(names);
        }
    }

    fn read(&self, store: &dyn StatusStore) -> Result<World, StoreError> {
        let ids = self.ids.iter().copied().collect::<Vec<_>>();
        let found = store.read_many(&ids)?;
        let there = ids.into_iter().zip(found);
        Ok(there
            .filter_map(|(id, process)| Some((id, process?)))
            .collect())
    }
}
