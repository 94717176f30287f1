//! Power cuts, on a disk of the law's own.

use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use fastrand::Rng;
use milepost::Durability;

use super::Sabotage;
use super::crew::{Crew, Manner, Moment};
use super::disk::{Cut, Disk};
use super::file::TheFile;
use super::known::Survives;
use crate::law::{Broken, Done, Law, Shard, program};

/// Power cuts of ext4.
pub static CUTS: Law = Law {
    name: "cuts",
    says: "a power cut of ext4 loses nothing that was acknowledged at Durability::Full, and at Normal only the newest, \
           never ones in the middle; it damages nothing",
    unit: "power cuts of ext4",
    shard: 50,
    asked: 1_000,
    run: |shard| cuts_with(shard, "ext4", Sabotage::None),
};

/// Power cuts of XFS.
pub static CUTS_ON_XFS: Law = Law {
    name: "cuts-on-xfs",
    says: "as cuts, on XFS",
    unit: "power cuts of XFS",
    shard: 50,
    asked: 500,
    run: |shard| cuts_with(shard, "xfs", Sabotage::None),
};

/// The law on a file system of this kind, with something done wrong.
///
/// What it mounts is seen by a program of its own only, and goes with it, however that ends.
pub fn cuts_with(shard: &Shard<'_>, kind: &str, sabotage: Sabotage) -> Result<Done, Broken> {
    let left = shard.until.map_or(Duration::MAX, |until| {
        until.saturating_duration_since(Instant::now())
    });
    // Where the programs are that mount, if nobody has said so.
    let path = std::env::var("PATH").unwrap_or_default() + ":/usr/sbin:/sbin";
    let cutter = Command::new("unshare")
        .arg("--mount")
        .arg(program("crash").get_program())
        .args(["cuts", kind, &format!("{sabotage:?}")])
        .args([shard.seed, shard.count, left.as_secs()].map(|number| number.to_string()))
        .arg(shard.scratch)
        .env("PATH", path)
        .stdin(Stdio::null())
        .output();
    let output = match cutter {
        Ok(output) => output,
        Err(error) => return Ok(Done::Skipped(format!("unshare: {error}"))),
    };
    let (said, complained) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    eprint!("{complained}");
    match said.trim().split_once(' ') {
        Some(("tried", count)) => Ok(Done::Tried(count.parse()?)),
        Some(("skipped", why)) => Ok(Done::Skipped(why.to_owned())),
        Some(("broken", how)) => Err(Broken::new(how)),
        _ if complained.starts_with("unshare:") => Ok(Done::Skipped(complained.trim().to_owned())),
        _ => Err(Broken::new(format!(
            "{}: {said} {complained}",
            output.status
        ))),
    }
}

/// What the program `crash cuts` does for the law, in a line.
#[must_use]
pub fn cut(words: &[String]) -> Option<String> {
    let [kind, sabotage, seed, count, seconds, scratch] = words else {
        return None;
    };
    let left = Duration::from_secs(seconds.parse().ok()?);
    let shard = Shard {
        seed: seed.parse().ok()?,
        count: count.parse().ok()?,
        until: Instant::now().checked_add(left),
        scratch: Path::new(scratch),
    };
    let mut known = Sabotage::ALL.into_iter();
    let sabotage = known.find(|known| format!("{known:?}") == *sabotage)?;
    let said = match cut_all(&shard, kind, sabotage) {
        Ok(Done::Tried(count)) => format!("tried {count}"),
        Ok(Done::Skipped(why)) => format!("skipped {why}"),
        Err(how) => format!("broken {how}"),
    };
    Some(said)
}

fn cut_all(shard: &Shard<'_>, kind: &str, sabotage: Sabotage) -> Result<Done, Broken> {
    let disk = match Disk::new(shard.scratch, kind, &mut shard.random(u64::MAX)) {
        Ok(disk) => disk,
        Err(why) => return Ok(Done::Skipped(format!("there is no disk to cut off: {why}"))),
    };
    let mut done = 0;
    let mut file = TheFile::new(disk.inner().join("status.db"));
    while shard.goes_on(done) {
        let mut random = shard.random(done);
        if random.u8(..8) == 0 {
            disk.clear()?;
            file = TheFile::new(disk.inner().join("status.db"));
        }
        let cut = Cut::random(&mut random);
        cut_once(&disk, &mut file, cut, &mut random, sabotage)
            .map_err(|how| Broken::new(format!("cut {done}, {cut:?}: {how}")))?;
        done += 1;
    }
    Ok(Done::Tried(done))
}

fn cut_once(
    disk: &Disk,
    file: &mut TheFile,
    cut: Cut,
    random: &mut Rng,
    sabotage: Sabotage,
) -> Result<(), Broken> {
    let promised = match sabotage {
        Sabotage::None | Sabotage::Boasting | Sabotage::Hogging => {
            [Durability::Full, Durability::Normal][random.usize(..2)]
        }
        Sabotage::Unsynced => Durability::Full,
        Sabotage::LyingDisk => Durability::Normal,
    };
    let (survives, writers) = match promised {
        Durability::Full => (Survives::All, [1, 1, 2, 4][random.usize(..4)]),
        // Of one writer it is known which step is newer.
        _ => (Survives::AllButTheNewest, 1),
    };
    let durability = if sabotage == Sabotage::Unsynced {
        Durability::Normal
    } else {
        promised
    };
    let manner = Manner {
        durability,
        reopens: random.u8(..4) == 0,
        boasts: sabotage == Sabotage::Boasting,
        is_lied_to: sabotage == Sabotage::LyingDisk,
    };
    let tasks = file.tasks(writers, random);
    // Sometimes two OS processes.
    let (some, others) = tasks.split_at(if random.u8(..3) == 0 {
        writers.div_ceil(2)
    } else {
        writers
    });
    let shifts = [(manner, some), (manner, others)];
    let used = if others.is_empty() { 1 } else { 2 };
    let mut crew = Crew::start(&file.path, &shifts[..used])?;
    crew.wait_for(Moment::random(random, durability))?;
    // Half of the time it is known to the last step what was acknowledged before the cut; else the cut comes
    // in the middle of one.
    if random.bool() {
        crew.freeze()?;
    }
    crew.bereave()?;
    disk.cut(cut, random)?;
    // They may go on for a while on what is no more.
    thread::sleep(Duration::from_micros(random.u64(..3_000)));
    let said = crew.end()?;
    disk.restore()?;
    file.look_over(&tasks, &said, survives, random)
}
