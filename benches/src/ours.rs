//! Milepost through its public API.

use std::path::Path;
use std::time::Duration;

use milepost::{
    Change, Clock, Durability, MemoryStore, ModuleHandle, NewProcess, Op, Pipeline, ProcessHandle,
    RequestId, SqliteConfig, SqliteStore, SystemClock, Tracker, Verdict,
};
use uuid::Uuid;

use crate::rounds::Outcome;
use crate::workload::{CHAIN, FILE, Ids, PIPELINE, STEPS, Slot, Subject};

/// Milepost, over either store.
#[derive(Debug, Clone)]
pub struct Milepost {
    /// Its tracker.
    pub tracker: Tracker,
    pipeline: Pipeline,
}

/// A process at work: its handle once it is needed, for a batch needs none.
#[derive(Debug)]
pub struct Live {
    id: RequestId,
    modules: Vec<ModuleHandle>,
}

impl Milepost {
    /// Over a SQLite file.
    pub fn sqlite(path: &Path, durability: Durability) -> Outcome<Self> {
        let config = SqliteConfig {
            durability,
            ..SqliteConfig::new(path)
        };
        Milepost::over(Tracker::new(SqliteStore::open_with(config)?))
    }

    /// In memory.
    pub fn memory() -> Outcome<Self> {
        Milepost::over(Tracker::new(MemoryStore::new()))
    }

    fn over(tracker: Tracker) -> Outcome<Self> {
        let pipeline = Pipeline::new(PIPELINE, CHAIN)?;
        Ok(Milepost { tracker, pipeline })
    }

    /// A process to begin.
    pub fn new_process(&self, ids: Ids) -> NewProcess {
        let new = NewProcess::new(&self.pipeline).file_name(FILE);
        match ids {
            Ids::Own => new,
            Ids::Random => new.request_id(random_id().into()),
        }
    }
}

/// A random id, as a host would bring it.
#[must_use]
pub fn random_id() -> Uuid {
    uuid::Builder::from_random_bytes(SystemClock.random().to_be_bytes()).into_uuid()
}

fn change(step: usize) -> Change {
    let module = step / 2 + 1;
    if step.is_multiple_of(2) {
        Change::start(module)
    } else {
        Change::complete(module)
    }
}

fn all_applied(verdicts: impl IntoIterator<Item = Verdict>) -> Outcome<()> {
    for verdict in verdicts {
        if !verdict?.changed {
            return Err("an op changed nothing".into());
        }
    }
    Ok(())
}

impl Subject for Milepost {
    type Live = Live;

    fn begin(&self, ids: Ids) -> Outcome<Live> {
        let handle = self.tracker.begin(self.new_process(ids))?;
        Ok(Live::of(&handle))
    }

    fn advance(&self, live: &mut Live, step: usize) -> Outcome<()> {
        if live.modules.is_empty() {
            *live = Live::of(&self.tracker.process(live.id)?);
        }
        let module = &live.modules[step / 2];
        let applied = if step.is_multiple_of(2) {
            module.start()?
        } else {
            module.complete()?
        };
        all_applied([Ok(applied)])
    }

    fn batch(&self, slots: &mut [Slot<Live>], ids: Ids) -> Outcome<()> {
        let mut ops = Vec::with_capacity(slots.len());
        for slot in slots {
            if let Some((live, step)) = slot.take_step() {
                ops.push(self.tracker.op(live.id, change(step)));
            } else {
                let op = self.tracker.prepare(self.new_process(ids))?;
                slot.put(Live {
                    id: op.id,
                    modules: Vec::new(),
                });
                ops.push(op);
            }
        }
        all_applied(self.tracker.apply(&ops)?)
    }

    fn settled(&self, processes: usize, ids: Ids, expiry: Option<Duration>) -> Outcome<Vec<Uuid>> {
        let mut ops = Vec::<Op>::with_capacity(processes * (1 + CHAIN.len()));
        let mut begun = Vec::with_capacity(processes);
        for _ in 0..processes {
            let mut new = self.new_process(ids);
            if let Some(expiry) = expiry {
                new = new.expires_in(expiry);
            }
            let op = self.tracker.prepare(new)?;
            let id = op.id;
            begun.push(id.into());
            ops.push(op);
            ops.extend(
                (0..STEPS)
                    .skip(1)
                    .step_by(2)
                    .map(|step| self.tracker.op(id, change(step))),
            );
        }
        all_applied(self.tracker.apply(&ops)?)?;
        Ok(begun)
    }
}

impl Live {
    /// Its id.
    #[must_use]
    pub fn id(&self) -> RequestId {
        self.id
    }

    fn of(handle: &ProcessHandle) -> Self {
        Live {
            id: handle.request_id(),
            modules: handle.modules().collect(),
        }
    }
}
