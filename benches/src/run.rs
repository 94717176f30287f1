//! One run: what was asked for, how large it is, and the files that figures share.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use milepost::Durability;
use uuid::Uuid;

use crate::baseline::Synchronous;
use crate::by_hand::ByHand;
use crate::ours::Milepost;
use crate::rounds::{Compared, Outcome};
use crate::table::{Row, Table, Target};
use crate::workload::{Ids, fill};

/// How much is done.
#[derive(Debug, Clone, Copy)]
pub struct Scale {
    /// Settled processes in the files that lifecycles run on.
    pub small: usize,
    /// The smaller of the two sizes that are read from.
    pub readable: usize,
    /// The larger.
    pub large: usize,
    /// Expired processes that one round purges.
    pub expired: usize,
    /// After how long those expire: long enough to settle before.
    pub expiry: Duration,
    /// Watchers on one tracker.
    pub watchers: usize,
    /// How long one side has its turn.
    pub turn: Duration,
    /// How often each has it.
    pub rounds: usize,
    /// How long what barely happens is looked at.
    pub look: Duration,
}

impl Scale {
    /// What figures to be published are measured with.
    pub const FULL: Scale = Scale {
        small: 100_000,
        readable: 10_000,
        large: 1_000_000,
        expired: 50_000,
        expiry: Duration::from_secs(2),
        watchers: 10_000,
        turn: Duration::from_millis(700),
        rounds: 5,
        look: Duration::from_secs(5),
    };
    /// A look at whether all is well.
    pub const QUICK: Scale = Scale {
        small: 10_000,
        readable: 10_000,
        large: 50_000,
        expired: 5_000,
        expiry: Duration::from_secs(1),
        watchers: 1_000,
        turn: Duration::from_millis(100),
        rounds: 3,
        look: Duration::from_secs(1),
    };
    /// Only that every figure can be measured.
    pub const BRIEF: Scale = Scale {
        small: 500,
        readable: 300,
        large: 1_500,
        expired: 200,
        expiry: Duration::from_millis(500),
        watchers: 20,
        turn: Duration::from_millis(5),
        rounds: 1,
        look: Duration::from_millis(50),
    };
}

/// What survives a power cut, on both sides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Level {
    /// Each commit is synced.
    Full,
    /// The newest commits may be lost.
    Normal,
}

impl Level {
    /// Both.
    pub const BOTH: [Level; 2] = [Level::Full, Level::Normal];

    /// As figures name it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Level::Full => "FULL",
            Level::Normal => "NORMAL",
        }
    }

    /// Opens milepost's file.
    pub fn ours(self, path: &Path) -> Outcome<Milepost> {
        let durability = match self {
            Level::Full => Durability::Full,
            Level::Normal => Durability::Normal,
        };
        Milepost::sqlite(path, durability)
    }

    /// Opens the hand-written code's file.
    pub fn theirs(self, path: &Path) -> Outcome<ByHand> {
        let synchronous = match self {
            Level::Full => Synchronous::Full,
            Level::Normal => Synchronous::Normal,
        };
        ByHand::sqlite(path, synchronous)
    }
}

/// A file of each side, with as many settled processes in it.
#[derive(Debug)]
pub struct Pair {
    /// Milepost.
    pub ours: Milepost,
    /// The hand-written code.
    pub theirs: ByHand,
    /// Where milepost's file is.
    pub our_path: PathBuf,
    /// Where the other is.
    pub their_path: PathBuf,
    /// The settled processes of milepost's.
    pub our_ids: Vec<Uuid>,
    /// Those of the other.
    pub their_ids: Vec<Uuid>,
    /// How large both files were when they were filled and closed.
    pub bytes: (u64, u64),
}

impl Pair {
    fn fill(directory: &Path, level: Level, processes: usize) -> Outcome<Self> {
        let path = |side| directory.join(format!("{side}-{}-{processes}.db", level.name()));
        let (our_path, their_path) = (path("ours"), path("theirs"));
        // Nobody waits for the disk while files are filled.
        let our_ids = fill(&Level::Normal.ours(&our_path)?, processes, Ids::Own)?;
        let their_ids = fill(&Level::Normal.theirs(&their_path)?, processes, Ids::Own)?;
        let bytes = (
            fs::metadata(&our_path)?.len(),
            fs::metadata(&their_path)?.len(),
        );
        Ok(Pair {
            ours: level.ours(&our_path)?,
            theirs: level.theirs(&their_path)?,
            our_path,
            their_path,
            our_ids,
            their_ids,
            bytes,
        })
    }
}

/// One run.
#[derive(Debug)]
pub struct Run {
    /// How much is done.
    pub scale: Scale,
    /// Where files may be made, on a disk.
    pub directory: PathBuf,
    /// Only figures whose names hold one of these; all if there are none.
    pub wanted: Vec<String>,
    table: Table,
    pairs: HashMap<(usize, Level), Rc<Pair>>,
}

impl Run {
    /// Nothing is measured yet.
    #[must_use]
    pub fn new(scale: Scale, directory: PathBuf, wanted: Vec<String>) -> Self {
        Run {
            scale,
            directory,
            wanted,
            table: Table::default(),
            pairs: HashMap::new(),
        }
    }

    /// Whether a figure is to be measured.
    #[must_use]
    pub fn wants(&self, figure: &str) -> bool {
        self.wanted.is_empty() || self.wanted.iter().any(|wanted| figure.contains(wanted))
    }

    /// Files with as many settled processes, which are filled when they are first asked for.
    pub fn pair(&mut self, processes: usize, level: Level) -> Outcome<Rc<Pair>> {
        if let Some(pair) = self.pairs.get(&(processes, level)) {
            return Ok(Rc::clone(pair));
        }
        let pair = Rc::new(Pair::fill(&self.directory, level, processes)?);
        self.pairs.insert((processes, level), Rc::clone(&pair));
        Ok(pair)
    }

    /// Shows what both sides came to.
    pub fn compared(&mut self, figure: &str, compared: Compared, target: Target) {
        self.table.push(Row {
            figure: figure.to_owned(),
            milepost: compared.ours,
            limit: Some(compared.theirs),
            ratio: Some(compared.ratio),
            target,
        });
    }

    /// Shows one figure of each side, measured once.
    pub fn both(&mut self, figure: &str, ours: f64, theirs: f64, target: Target) {
        let ratio = ours / theirs;
        let compared = Compared {
            ours,
            theirs,
            ratio,
        };
        self.compared(figure, compared, target);
    }

    /// Shows what only milepost has.
    pub fn alone(&mut self, figure: &str, milepost: f64, target: Target) {
        self.table.push(Row {
            figure: figure.to_owned(),
            milepost,
            limit: None,
            ratio: None,
            target,
        });
    }

    /// What was measured.
    #[must_use]
    pub fn into_table(self) -> Table {
        self.table
    }
}
