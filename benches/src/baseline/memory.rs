//! The store in memory: maps behind 64 locks, and an ordered index behind another.

use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap};
use std::sync::Mutex;

use uuid::Uuid;

use super::lock;
use super::process::{
    Applied, Begin, Card, MODULES, Module, Process, Refused, Status, Step, Verdict,
};

const SHARDS: usize = 64;

/// Keeps processes in memory. May be used from any thread.
#[derive(Debug)]
pub struct Memory {
    /// A writer holds its shard while it touches the index.
    shards: Vec<Mutex<HashMap<Uuid, Box<Process>>>>,
    /// Touched when a process begins and when it settles.
    index: Mutex<BTreeSet<(Status, i64, Uuid)>>,
}

impl Default for Memory {
    fn default() -> Self {
        Memory {
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            index: Mutex::default(),
        }
    }
}

impl Memory {
    /// Begins a process.
    pub fn begin(&self, begin: &Begin) -> Verdict {
        match lock(self.shard(begin.id)).entry(begin.id) {
            Entry::Occupied(_) => Err(Refused::Exists),
            Entry::Vacant(vacant) => {
                vacant.insert(Box::new(process(begin)));
                let place = (Status::Ongoing, begin.at, begin.id);
                lock(&self.index).insert(place);
                Ok(Applied::Begun)
            }
        }
    }

    /// Checks a step, and takes it.
    pub fn advance(&self, step: &Step) -> Verdict {
        let mut shard = lock(self.shard(step.id));
        let process = shard.get_mut(&step.id).ok_or(Refused::NotFound)?;
        let before = process.status;
        let mut card = Card {
            status: before,
            modules: process.modules,
        };
        if !card.advance(step)? {
            return Ok(Applied::Unchanged);
        }
        process.modules = card.modules;
        process.status = card.status;
        process.updated_at = step.at;
        if card.status != before {
            let mut index = lock(&self.index);
            index.remove(&(before, process.created_at, step.id));
            index.insert((card.status, process.created_at, step.id));
        }
        Ok(Applied::Advanced(card.status))
    }

    /// A copy of a process.
    #[must_use]
    pub fn status(&self, id: Uuid) -> Option<Process> {
        lock(self.shard(id))
            .get(&id)
            .map(|process| (**process).clone())
    }

    /// Copies of the newest processes of a status.
    #[must_use]
    pub fn newest(&self, status: Status, limit: usize) -> Vec<Process> {
        let range = (status, i64::MIN, Uuid::nil())..=(status, i64::MAX, Uuid::max());
        let places = lock(&self.index)
            .range(range)
            .rev()
            .take(limit)
            .copied()
            .collect::<Vec<_>>();
        places
            .into_iter()
            .filter_map(|(_, _, id)| self.status(id))
            .collect()
    }

    fn shard(&self, id: Uuid) -> &Mutex<HashMap<Uuid, Box<Process>>> {
        // The random end of an id of either version.
        &self.shards[usize::from(id.as_bytes()[15]) % SHARDS]
    }
}

fn process(begin: &Begin) -> Process {
    Process {
        id: begin.id,
        pipeline: begin.pipeline.to_string(),
        status: Status::Ongoing,
        created_at: begin.at,
        updated_at: begin.at,
        expires_at: begin.expires_at,
        file: begin.file.to_string(),
        modules: [Module::PENDING; MODULES],
    }
}
