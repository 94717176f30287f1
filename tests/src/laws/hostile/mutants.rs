//! Whatever becomes of a database file, it is refused untouched or read and written without harm.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use milepost::{SqliteConfig, SqliteStore, StatusStore, StoreError, StoreErrorKind, WipeLevel};

use super::edits::{Mutant, mutant};
use super::originals::originals;
use super::visit::{EVERYTHING, Fate, is_damaged, visit};
use super::watched::watched;
use crate::law::{Broken, Done, Law, Shard, ensure};

/// The law of mutated files.
pub static MUTANTS: Law = Law {
    name: "mutants",
    says: "a mutated file is refused as it is, with a typed error, or yields lawful processes: no panic, no hang",
    unit: "mutated database files",
    shard: 500,
    asked: 10_000,
    run: |shard| try_and_judge(shard, open),
};

/// What becomes of some of as many files as this. Some are `Unavailable`, because their header says that they may only be
/// read: too few to be found in each shard.
const MANY: u64 = 200;
const FATES: [&str; 4] = [
    "opened, whole",
    "opened, damaged",
    "refused as Corrupt",
    "refused as Incompatible",
];

/// How a file is opened: by the store, or by what a test puts in its place.
pub type Opener = fn(SqliteConfig) -> Result<Arc<dyn StatusStore>, StoreError>;

/// What became of how many.
pub type Tally = BTreeMap<String, u64>;

/// As the store opens it.
pub fn open(config: SqliteConfig) -> Result<Arc<dyn StatusStore>, StoreError> {
    Ok(Arc::new(SqliteStore::open_with(config)?))
}

/// As `try_all`; and of many files something of each kind has to become.
pub fn try_and_judge(shard: &Shard<'_>, opener: Opener) -> Result<Done, Broken> {
    let mut tally = Tally::default();
    let done = try_all(shard, opener, &mut tally)?;
    let tried = tally.values().sum::<u64>();
    for fate in FATES {
        let is_there = tally.keys().any(|key| key.ends_with(fate));
        ensure(tried < MANY || is_there, || {
            format!("of {tried} files none was {fate}: {tally:?}")
        })?;
    }
    Ok(done)
}

/// Mutates files and has each opened, read and written.
pub fn try_all(shard: &Shard<'_>, opener: Opener, tally: &mut Tally) -> Result<Done, Broken> {
    let originals = originals(&shard.scratch.join("originals"))?;
    let mut done = 0;
    while shard.goes_on(done) {
        let mut random = shard.random(done);
        let directory = shard.scratch.join(format!("mutant-{done}"));
        fs::create_dir(&directory)?;
        let original = &originals[random.usize(..originals.len())];
        let other = &originals[random.usize(..originals.len())];
        let mutant = mutant(original, other, &directory.join("status.db"), &mut random)?;
        // A file that is to give nothing back may be opened by a store that does, and the other way round.
        let wipe_level = [WipeLevel::Files, WipeLevel::Media][random.usize(..2)];
        let fate = try_one(&directory, &mutant, &original.ids, wipe_level, opener);
        let fate = fate.map_err(|how| {
            let kept = directory.display();
            Broken::new(format!(
                "file {done}, {} {}, {kept}: {how}",
                original.name, mutant.how
            ))
        })?;
        let family = mutant.how.split(' ').next().unwrap_or_default();
        *tally.entry(format!("{family}: {fate}")).or_default() += 1;
        fs::remove_dir_all(&directory)?;
        done += 1;
    }
    Ok(Done::Tried(done))
}

/// Has a file of these bytes opened, read and written: what the fuzz target does.
pub fn try_bytes(directory: &Path, bytes: &[u8]) -> Result<(), Broken> {
    let mutant = Mutant::of(bytes.to_vec());
    let ids = super::lives::samples().iter();
    let ids = ids.map(|process| process.request_id()).collect::<Vec<_>>();
    try_one(directory, &mutant, &ids, WipeLevel::Files, open).map(drop)
}

fn try_one(
    directory: &Path,
    mutant: &Mutant,
    ids: &[milepost::RequestId],
    wipe_level: WipeLevel,
    opener: Opener,
) -> Result<Fate, Broken> {
    let path = directory.join("status.db");
    mutant.lay(&path)?;
    let (there, ids) = (path.clone(), ids.to_vec());
    let fate = watched(move || visit(&there, &ids, wipe_level, opener))?;
    match &fate {
        Fate::Refused(kind, says) => {
            let documented = matches!(
                kind,
                StoreErrorKind::Incompatible
                    | StoreErrorKind::Corrupt
                    | StoreErrorKind::Unavailable
            );
            ensure(documented, || format!("refused as {kind:?}: {says}"))?;
            mutant
                .is_untouched(&path)
                .map_err(|how| Broken::new(format!("{how}, though it was {kind:?}: {says}")))?;
        }
        Fate::Opened { left, .. } => {
            ensure(!mutant.foreign, || {
                "what is not milepost's was opened".to_owned()
            })?;
            if let Some(left) = left {
                // Damage may have cut a page off, or put bytes where SQLite has nothing.
                let again = directory.join("again.db");
                mutant.lay(&again)?;
                ensure(is_damaged(&again, &EVERYTHING), || {
                    format!("a wipe was done, and left {left}")
                })?;
            }
        }
    }
    Ok(fate)
}
