//! A wipe that is killed is never done early, and is finished by the next.

use std::io::{BufRead, BufReader, Lines};
use std::path::Path;
use std::process::{Child, ChildStdout, Stdio};
use std::time::{Duration, Instant};

use milepost::{Durability, SqliteConfig, SqliteStore, Tracker, Wipe, WipeLevel};

use super::erased::nothing_is_left;
use super::{Marked, populate, write_list};
use crate::law::{Broken, Done, Law, Shard, ensure, program};

/// Wipes are killed in the middle.
pub static WIPES_KILLED: Law = Law {
    name: "wipes-killed",
    says: "a wipe that is killed with SIGKILL has not said `Done` early, and the next one finishes it",
    unit: "kills",
    shard: 50,
    asked: 200,
    run: |shard| wipes_killed(shard, "honest"),
};

/// How many processes there are of each kind.
const PROCESSES: u64 = 80;

/// With a child that wipes in this way: see the program `erase`. Or it is `honest`, and who comes next is not told what
/// is left to do: `forgotten`.
pub fn wipes_killed(shard: &Shard<'_>, how: &str) -> Result<Done, Broken> {
    let list = shard.scratch.join("list");
    // How long a whole wipe takes, as seen last: the longer of the two ends of what is tried.
    let mut whole = Duration::from_millis(30);
    let (mut killed, mut done_before) = (0, 0);
    let mut tries = 0;
    while shard.goes_on(killed) {
        tries += 1;
        ensure(tries < 4 * shard.count + 20, || {
            "kills come too late".to_owned()
        })?;
        let mut random = shard.random(tries);
        let directory = shard.scratch.join(format!("store-{tries}"));
        std::fs::create_dir(&directory)?;
        let file = directory.join("status.db");
        let level = [WipeLevel::Files, WipeLevel::Media][random.usize(..2)];
        let all = {
            let tracker = open(&file, Durability::Normal, level)?;
            populate(&tracker, &mut random, 2 * PROCESSES)?
        };
        write_list(&list, &all)?;
        let durability = [Durability::Full, Durability::Normal][random.usize(..2)];
        let as_opened = (level, durability);
        let childs = if how == "forgotten" { "honest" } else { how };
        let mut wiper = Wiper::start([&file, &list], as_opened, childs, Stdio::inherit())?;
        wiper.says("erased")?;
        let began = Instant::now();
        std::thread::sleep(whole.mul_f64(random.f64()));
        let said_done = wiper.kill()?.as_deref() == Some("done");
        if said_done {
            done_before += 1;
            whole = whole.min(began.elapsed());
        } else {
            killed += 1;
            whole = whole.mul_f64(1.05);
        }
        if how == "forgotten" {
            forget(&file)?;
        }
        settle(&file, level, &all, said_done)?;
        std::fs::remove_dir_all(directory)?;
    }
    println!("wipes-killed: {killed} in the middle, {done_before} after `Done`");
    Ok(Done::Tried(killed))
}

/// How the program `erase` is told.
pub(super) fn words((level, durability): (WipeLevel, Durability)) -> [&'static str; 2] {
    let level = if level == WipeLevel::Media {
        "media"
    } else {
        "files"
    };
    let durability = if durability == Durability::Normal {
        "normal"
    } else {
        "full"
    };
    [level, durability]
}

/// A child that erases what a list says, and wipes.
pub(super) struct Wiper {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Wiper {
    /// With the file and the list.
    pub(super) fn start(
        files: [&Path; 2],
        (level, durability): (WipeLevel, Durability),
        how: &str,
        complaints: Stdio,
    ) -> Result<Self, Broken> {
        let mut child = program("erase")
            .arg("wipe")
            .args(files)
            .args(words((level, durability)))
            .arg(how)
            .stdout(Stdio::piped())
            .stderr(complaints)
            .spawn()?;
        let lines = BufReader::new(child.stdout.take().expect("it is piped")).lines();
        Ok(Wiper { child, lines })
    }

    /// Waits until it says this.
    pub(super) fn says(&mut self, expected: &str) -> Result<(), Broken> {
        let line = self.lines.next().transpose()?;
        ensure(line.as_deref() == Some(expected), || {
            format!("the child said {line:?}")
        })
    }

    /// Kills it. What it had said before that, if anything.
    pub(super) fn kill(mut self) -> Result<Option<String>, Broken> {
        self.child.kill()?;
        let said = self.lines.next().transpose()?;
        self.child.wait()?;
        Ok(said)
    }
}

/// Notes that nothing is left to do.
fn forget(file: &Path) -> Result<(), Broken> {
    let foreign = rusqlite::Connection::open(file)?;
    let note = "UPDATE wipe_progress SET compacted = erased, wiped = erased, moving = NULL";
    foreign.execute(note, [])?;
    Ok(())
}

/// What must hold after a kill.
fn settle(file: &Path, level: WipeLevel, all: &[Marked], said_done: bool) -> Result<(), Broken> {
    if said_done {
        nothing_is_left(file, all)?;
    }
    let tracker = open(file, Durability::Full, level)?;
    for marked in all {
        let is_there = tracker.get(marked.id).is_ok();
        ensure(is_there != marked.goes, || {
            format!("{marked:?} is there: {is_there}")
        })?;
    }
    wipe_until_done(&tracker)?;
    drop(tracker);
    nothing_is_left(file, all)
}

pub(super) fn open(
    file: &Path,
    durability: Durability,
    wipe_level: WipeLevel,
) -> Result<Tracker, Broken> {
    let config = SqliteConfig {
        durability,
        wipe_level,
        ..SqliteConfig::new(file)
    };
    Ok(Tracker::new(SqliteStore::open_with(config)?))
}

/// At most a minute.
pub(super) fn wipe_until_done(tracker: &Tracker) -> Result<(), Broken> {
    let began = Instant::now();
    loop {
        match tracker.wipe()? {
            Wipe::Done => return Ok(()),
            wipe => ensure(began.elapsed() < Duration::from_mins(1), || {
                format!("it does not end: {wipe:?}")
            })?,
        }
    }
}
