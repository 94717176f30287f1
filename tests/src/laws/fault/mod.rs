//! Faults: what becomes of each call while the disk fails, or is full, and afterwards.

mod files;
mod full_disk;
mod full_for_one;
mod ground;
mod ledger;
mod scenes;
mod trial;

use std::hash::{DefaultHasher, Hash, Hasher};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use milepost::Durability;
use milepost_faults::{Call, Fault, Lasts};

pub use self::full_disk::{FULL_DISK, full_disks};
pub use self::full_for_one::{FULL_FOR_ONE, full_for_one};
use self::ground::Ground;
pub use self::ground::Wrap;
pub use self::scenes::{LONG, Plays, SHORT};
use self::scenes::{Scene, scenes};
use crate::law::{Broken, Done, Law, Shard, ensure};

/// Every call of the operating system fails once, in turn.
pub static FAULTS: Law = Law {
    name: "faults",
    says: "wherever a call of the operating system fails, once or for long, the answer is a typed error of the right \
           kind, no op is lost or doubled, what is sent again ends right, and the same store works afterwards",
    unit: "faults",
    shard: 500,
    asked: SHORT.asked,
    run: |shard| try_faults(shard, &SHORT, |store| Arc::new(store)),
};

/// The same where a batch is larger than SQLite's cache, and the WAL long enough to be carried over.
pub static FAULTS_IN_LARGE: Law = Law {
    name: "faults-in-large",
    says: "the same of batches that SQLite writes before their commit, and of checkpoints",
    unit: "faults",
    shard: 250,
    asked: LONG.asked,
    run: |shard| try_faults(shard, &LONG, |store| Arc::new(store)),
};

/// How many calls of a kind a scene may make for each to fail in every way. Of more, each fails in one of them.
const IN_EVERY_WAY: u64 = 40;
/// And for each to fail at all. Of more, so many do, evenly spread.
const EACH: u64 = 400;

/// A scene, at a durability, with a fault.
#[derive(Debug, Clone, Copy)]
struct Try<'s> {
    scene: &'s Scene,
    durability: Durability,
    fault: Fault,
}

impl Try<'_> {
    /// A number of its own, by which tries are put in an order in which no part is much like another.
    fn mark(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        (self.scene.name, self.durability, self.fault).hash(&mut hasher);
        hasher.finish()
    }
}

/// Tries a shard of the faults on stores that were wrapped into something.
pub fn try_faults(shard: &Shard<'_>, plays: &Plays, wrap: Wrap) -> Result<Done, Broken> {
    let ground = Ground::new(shard.scratch, wrap)?;
    let scenes = scenes(plays)?;
    let tries = all_tries(&ground, &scenes)?;
    // As many parts as there are shards, so that those with seeds that follow each other try everything. Where calls of
    // several threads are not counted alike every time, a try keeps its part all the same.
    let parts = plays.asked.div_ceil(shard.count.max(1)).max(1);
    let part = u128::from(shard.seed.saturating_sub(1) % parts);
    let part_of = |one: &Try<'_>| (u128::from(one.mark()) * u128::from(parts)) >> 64;
    let first = tries.partition_point(|one| part_of(one) < part);
    let here = tries.partition_point(|one| part_of(one) <= part) - first;
    // Those beyond would never be tried.
    ensure(shard.until.is_some() || here as u64 <= shard.count, || {
        format!(
            "there are {here} faults to try, and {} are asked for",
            shard.count
        )
    })?;
    let mut done = 0;
    for one in tries.iter().cycle().skip(first).take(tries.len()) {
        if !shard.goes_on(done) {
            break;
        }
        // A call that came when they were counted may not come again.
        done += u64::from(try_one(&ground, *one)? > 0);
    }
    Ok(Done::Tried(done))
}

/// How many calls failed.
fn try_one(ground: &Ground, one: Try<'_>) -> Result<u64, Broken> {
    let played = catch_unwind(AssertUnwindSafe(|| {
        ground.play(one.scene, one.durability, Some(one.fault))
    }));
    let played = played.unwrap_or_else(|_| Err(Broken::new("it panicked")));
    let (_, failed) = played.map_err(|how| {
        let (name, durability, fault) = (one.scene.name, one.durability, one.fault);
        Broken::new(format!("{name}, {durability:?}, {fault:?}: {how}"))
    })?;
    Ok(failed)
}

/// Everything that there is to try, in the order of the marks.
fn all_tries<'s>(ground: &Ground, scenes: &'s [Scene]) -> Result<Vec<Try<'s>>, Broken> {
    let mut tries = Vec::new();
    for scene in scenes {
        for durability in [Durability::Full, Durability::Normal] {
            let (counts, _) = ground.play(scene, durability, None)?;
            for call in Call::ALL {
                let faults = faults_of(call, counts.of(call));
                tries.extend(faults.into_iter().map(|fault| Try {
                    scene,
                    durability,
                    fault,
                }));
            }
        }
    }
    tries.sort_by_cached_key(Try::mark);
    Ok(tries)
}

/// The faults in so many calls of a kind.
fn faults_of(call: Call, count: u64) -> Vec<Fault> {
    let mut ways = Vec::new();
    let lasting: &[Lasts] = if call.writes() {
        &[Lasts::Once, Lasts::UntilDisarmed, Lasts::WithAllThatWrite]
    } else {
        &[Lasts::Once, Lasts::UntilDisarmed]
    };
    for &lasts in lasting {
        ways.extend(call.errors().iter().map(|error| (lasts, *error)));
    }
    let mut faults = Vec::new();
    let tried = count.min(EACH);
    for number in 0..tried {
        let nth = 1 + number * count / tried;
        let fault = |&(lasts, error)| Fault {
            call,
            nth,
            lasts,
            error,
        };
        if count <= IN_EVERY_WAY {
            faults.extend(ways.iter().map(fault));
        } else {
            let way = number % ways.len() as u64;
            faults.extend(
                ways.iter()
                    .skip(usize::try_from(way).unwrap_or(0))
                    .take(1)
                    .map(fault),
            );
        }
    }
    faults
}
