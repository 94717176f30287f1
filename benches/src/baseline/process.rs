//! A process, what may happen to it, and the one function that judges it.

use std::sync::Arc;

use uuid::Uuid;

/// How many modules each process has.
pub const MODULES: usize = 4;
/// What a module takes: a state, and when it started and ended.
const MODULE_BYTES: usize = 17;
/// What the modules of a process take, whatever their states: a row never grows.
pub(super) const PACKED_BYTES: usize = MODULES * MODULE_BYTES;

pub(super) type Packed = [u8; PACKED_BYTES];

/// How far a whole process is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Status {
    /// Some module is still to be done.
    Ongoing,
    /// All modules are complete.
    Complete,
}

/// How far a module is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ModuleState {
    /// Not started.
    Pending,
    /// Started.
    Running,
    /// Done.
    Complete,
}

/// One module.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Module {
    /// How far it is.
    pub state: ModuleState,
    /// When it started, in microseconds; 0 before.
    pub started: i64,
    /// When it ended; 0 before.
    pub ended: i64,
}

/// A whole process, as a reader gets it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    /// Its id.
    pub id: Uuid,
    /// What it is a run of.
    pub pipeline: String,
    /// How far it is.
    pub status: Status,
    /// When it began.
    pub created_at: i64,
    /// When it last changed.
    pub updated_at: i64,
    /// When it may be purged.
    pub expires_at: Option<i64>,
    /// What it works on.
    pub file: String,
    /// Its modules.
    pub modules: [Module; MODULES],
}

/// A process that is to begin.
#[derive(Debug, Clone)]
pub struct Begin {
    /// The id of the new process.
    pub id: Uuid,
    /// What it is a run of.
    pub pipeline: Arc<str>,
    /// What it works on.
    pub file: Arc<str>,
    /// When it begins.
    pub at: i64,
    /// When it may be purged.
    pub expires_at: Option<i64>,
}

/// A module that is to move on.
#[derive(Debug, Clone, Copy)]
pub struct Step {
    /// Whose module.
    pub id: Uuid,
    /// Which: the first is 0.
    pub module: usize,
    /// What it is to become: running, or complete, which it may also become at once.
    pub to: ModuleState,
    /// When.
    pub at: i64,
}

/// One change.
#[derive(Debug, Clone)]
pub enum Op {
    /// A process begins.
    Begin(Begin),
    /// A module starts or completes.
    Advance(Step),
    /// What has expired goes, oldest first, as many as [`PURGED_AT_ONCE`](super::PURGED_AT_ONCE).
    Purge {
        /// What has expired by this time.
        by: i64,
    },
}

/// What has become of an op.
pub type Verdict = Result<Applied, Refused>;

/// What an op did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Applied {
    /// A process has begun.
    Begun,
    /// It was so already.
    Unchanged,
    /// A module moved on, and the whole process now is so far.
    Advanced(Status),
    /// So many are gone.
    Purged(usize),
}

/// Why an op did nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// No process has this id.
    NotFound,
    /// Another process has this id.
    Exists,
    /// The process is settled, the module is behind one that is not done, or it has gone further.
    Illegal,
}

/// What is read of a process to judge an op, and what is written back.
#[derive(Debug, Clone, Copy)]
pub(super) struct Card {
    pub(super) status: Status,
    pub(super) modules: [Module; MODULES],
}

impl Card {
    /// Judges a step, and takes it; says whether anything changed.
    pub(super) fn advance(&mut self, step: &Step) -> Result<bool, Refused> {
        if step.module >= MODULES {
            return Err(Refused::Illegal);
        }
        let (before, rest) = self.modules.split_at_mut(step.module);
        let module = &mut rest[0];
        if module.state == step.to {
            return Ok(false);
        }
        let is_blocked = before
            .iter()
            .any(|module| module.state != ModuleState::Complete);
        if is_blocked || module.state > step.to || self.status != Status::Ongoing {
            return Err(Refused::Illegal);
        }
        if module.started == 0 {
            module.started = step.at;
        }
        if step.to == ModuleState::Complete {
            module.ended = step.at;
        }
        module.state = step.to;
        let is_complete = |module: &Module| module.state == ModuleState::Complete;
        if self.modules.iter().all(is_complete) {
            self.status = Status::Complete;
        }
        Ok(true)
    }
}

impl Module {
    pub(super) const PENDING: Module = Module {
        state: ModuleState::Pending,
        started: 0,
        ended: 0,
    };
}

/// Packs modules: for each its state, and its times as little-endian integers.
pub(super) fn pack(modules: &[Module; MODULES]) -> Packed {
    let mut packed = [0; PACKED_BYTES];
    for (bytes, module) in packed.chunks_exact_mut(MODULE_BYTES).zip(modules) {
        bytes[0] = module.state as u8;
        bytes[1..9].copy_from_slice(&module.started.to_le_bytes());
        bytes[9..].copy_from_slice(&module.ended.to_le_bytes());
    }
    packed
}

/// What was packed; none if it was not.
pub(super) fn unpack(packed: &[u8]) -> Option<[Module; MODULES]> {
    if packed.len() != PACKED_BYTES {
        return None;
    }
    let mut modules = [Module::PENDING; MODULES];
    for (bytes, module) in packed.chunks_exact(MODULE_BYTES).zip(&mut modules) {
        module.state = match bytes[0] {
            0 => ModuleState::Pending,
            1 => ModuleState::Running,
            2 => ModuleState::Complete,
            _ => return None,
        };
        module.started = i64::from_le_bytes(bytes[1..9].try_into().ok()?);
        module.ended = i64::from_le_bytes(bytes[9..].try_into().ok()?);
    }
    Some(modules)
}

impl Status {
    pub(super) fn code(self) -> i64 {
        self as i64
    }

    pub(super) fn from_code(code: i64) -> Option<Self> {
        match code {
            0 => Some(Status::Ongoing),
            1 => Some(Status::Complete),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(module: usize, to: ModuleState) -> Step {
        Step {
            id: Uuid::nil(),
            module,
            to,
            at: 7,
        }
    }

    #[test]
    fn a_process_is_complete_when_all_its_modules_are_and_takes_no_step_out_of_order() {
        let mut card = Card {
            status: Status::Ongoing,
            modules: [Module::PENDING; MODULES],
        };
        let behind = step(1, ModuleState::Running);
        assert_eq!(card.advance(&behind), Err(Refused::Illegal));
        for module in 0..MODULES {
            let start = step(module, ModuleState::Running);
            assert_eq!(card.advance(&start), Ok(true));
            assert_eq!(card.advance(&start), Ok(false));
            assert_eq!(card.status, Status::Ongoing);
            assert_eq!(card.advance(&step(module, ModuleState::Complete)), Ok(true));
            assert_eq!(card.advance(&start), Err(Refused::Illegal));
        }
        assert_eq!(card.status, Status::Complete);
        let beyond = step(MODULES, ModuleState::Running);
        assert_eq!(card.advance(&beyond), Err(Refused::Illegal));
    }

    #[test]
    fn packed_modules_are_unpacked_as_they_were() {
        let mut modules = [Module::PENDING; MODULES];
        modules[2] = Module {
            state: ModuleState::Running,
            started: -5,
            ended: i64::MAX,
        };
        assert_eq!(unpack(&pack(&modules)), Some(modules));
        assert_eq!(unpack(&[0; 3]), None);
        assert_eq!(unpack(&[9; PACKED_BYTES]), None);
    }
}
