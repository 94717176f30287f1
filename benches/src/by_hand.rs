//! The hand-written code, put to the same work.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

use crate::baseline::{
    Begin, MODULES, Memory, ModuleState, Op, Step, Store, Synchronous, Verdict, new_id, now,
};
use crate::ours::random_id;
use crate::rounds::Outcome;
use crate::workload::{FILE, Ids, PIPELINE, Slot, Subject};

/// Over a SQLite file.
#[derive(Debug)]
pub struct ByHand {
    /// Its store.
    pub store: Store,
    texts: Texts,
}

/// In memory.
#[derive(Debug, Default)]
pub struct ByHandInMemory {
    /// Its store.
    pub store: Memory,
    texts: Texts,
}

/// Made once, as a host would.
#[derive(Debug)]
struct Texts {
    pipeline: Arc<str>,
    file: Arc<str>,
}

impl Default for Texts {
    fn default() -> Self {
        Texts {
            pipeline: Arc::from(PIPELINE),
            file: Arc::from(FILE),
        }
    }
}

impl Texts {
    fn begin(&self, ids: Ids) -> Begin {
        Begin {
            id: match ids {
                Ids::Own => new_id(),
                Ids::Random => random_id(),
            },
            pipeline: Arc::clone(&self.pipeline),
            file: Arc::clone(&self.file),
            at: now(),
            expires_at: None,
        }
    }

    /// The next op of each, with new processes where one has completed.
    fn ops(&self, slots: &mut [Slot<Uuid>], ids: Ids) -> Vec<Op> {
        let mut ops = Vec::with_capacity(slots.len());
        for slot in slots {
            if let Some((id, step)) = slot.take_step() {
                ops.push(Op::Advance(advance(*id, step)));
            } else {
                let begin = self.begin(ids);
                slot.put(begin.id);
                ops.push(Op::Begin(begin));
            }
        }
        ops
    }

    /// Ops that begin processes and complete their modules.
    fn settled(
        &self,
        processes: usize,
        ids: Ids,
        expiry: Option<Duration>,
    ) -> (Vec<Uuid>, Vec<Op>) {
        let micros = expiry.and_then(|expiry| i64::try_from(expiry.as_micros()).ok());
        let mut ids_begun = Vec::with_capacity(processes);
        let mut ops = Vec::with_capacity(processes * (1 + MODULES));
        for _ in 0..processes {
            let begin = self.begin(ids);
            let (id, at) = (begin.id, begin.at);
            ids_begun.push(id);
            ops.push(Op::Begin(Begin {
                expires_at: micros.map(|micros| at + micros),
                ..begin
            }));
            ops.extend((0..MODULES).map(|module| Op::Advance(advance(id, 2 * module + 1))));
        }
        (ids_begun, ops)
    }
}

fn advance(id: Uuid, step: usize) -> Step {
    let to = if step.is_multiple_of(2) {
        ModuleState::Running
    } else {
        ModuleState::Complete
    };
    Step {
        id,
        module: step / 2,
        to,
        at: now(),
    }
}

fn applied(verdict: Verdict) -> Outcome<()> {
    match verdict {
        Ok(_) => Ok(()),
        Err(refused) => Err(format!("refused: {refused:?}").into()),
    }
}

impl ByHand {
    /// Opens a file.
    pub fn sqlite(path: &Path, synchronous: Synchronous) -> Outcome<Self> {
        Ok(ByHand {
            store: Store::open(path, synchronous)?,
            texts: Texts::default(),
        })
    }
}

impl Subject for ByHand {
    type Live = Uuid;

    fn begin(&self, ids: Ids) -> Outcome<Uuid> {
        let begin = self.texts.begin(ids);
        let id = begin.id;
        applied(self.store.begin(begin)?)?;
        Ok(id)
    }

    fn advance(&self, live: &mut Uuid, step: usize) -> Outcome<()> {
        applied(self.store.advance(advance(*live, step))?)
    }

    fn batch(&self, slots: &mut [Slot<Uuid>], ids: Ids) -> Outcome<()> {
        let ops = self.texts.ops(slots, ids);
        self.store.batch(&ops)?.into_iter().try_for_each(applied)
    }

    fn settled(&self, processes: usize, ids: Ids, expiry: Option<Duration>) -> Outcome<Vec<Uuid>> {
        let (begun, ops) = self.texts.settled(processes, ids, expiry);
        self.store.batch(&ops)?.into_iter().try_for_each(applied)?;
        Ok(begun)
    }
}

impl ByHandInMemory {
    fn apply(&self, ops: &[Op]) -> Outcome<()> {
        for op in ops {
            match op {
                Op::Begin(begin) => applied(self.store.begin(begin))?,
                Op::Advance(step) => applied(self.store.advance(step))?,
                Op::Purge { .. } => return Err("nothing is purged here".into()),
            }
        }
        Ok(())
    }
}

impl Subject for ByHandInMemory {
    type Live = Uuid;

    fn begin(&self, ids: Ids) -> Outcome<Uuid> {
        let begin = self.texts.begin(ids);
        applied(self.store.begin(&begin))?;
        Ok(begin.id)
    }

    fn advance(&self, live: &mut Uuid, step: usize) -> Outcome<()> {
        applied(self.store.advance(&advance(*live, step)))
    }

    fn batch(&self, slots: &mut [Slot<Uuid>], ids: Ids) -> Outcome<()> {
        self.apply(&self.texts.ops(slots, ids))
    }

    fn settled(&self, processes: usize, ids: Ids, expiry: Option<Duration>) -> Outcome<Vec<Uuid>> {
        let (begun, ops) = self.texts.settled(processes, ids, expiry);
        self.apply(&ops)?;
        Ok(begun)
    }
}
