//! What was acknowledged survives crashes; and a writer, a level or a file that does not do what it should is noticed.

use std::process::Command;
use std::sync::{Mutex, PoisonError};

use milepost::{SqliteStore, StatusStore};
use milepost_tests::law::{briefly, broken, broken_if_tried, say_skipped};
use milepost_tests::laws::crash::known::{Doings, Held, Survives};
use milepost_tests::laws::crash::pipe::{Line, Task};
use milepost_tests::laws::crash::plan::{Plan, Step};
use milepost_tests::laws::crash::{CUTS, CUTS_ON_XFS, KILLS, Sabotage, all, cuts_with, kills_with};

#[test]
fn what_was_acknowledged_survives_kill_9() {
    briefly(&KILLS, 40);
}

#[test]
fn what_was_acknowledged_survives_a_power_cut_as_far_as_is_promised() {
    let _disk = DISK.lock().unwrap_or_else(PoisonError::into_inner);
    briefly(&CUTS, 20);
    briefly(&CUTS_ON_XFS, 10);
}

/// How the laws say that something acknowledged is gone, or something erased is back.
const LOSS: [&str; 5] = [
    "lost",
    "should be",
    "acknowledged",
    "and there",
    "at no moment",
];
/// How they, the store and SQLite say that a file is damaged.
const DAMAGE: [&str; 5] = [
    "integrity_check",
    "is stored",
    "malformed",
    "not a database",
    "listed",
];

/// Whether it is what the law is about that went wrong, and not the trying of it.
fn tells_of(words: &[&str], how: &str) -> bool {
    words.iter().any(|word| how.contains(word))
}

#[test]
fn a_writer_that_acknowledges_before_it_writes_is_caught_by_a_kill() {
    let how = broken(40, |shard| kills_with(shard, Sabotage::Boasting));
    assert!(tells_of(&LOSS, &how), "{how}");
}

#[test]
fn a_writer_that_is_left_without_the_lock_is_noticed() {
    let how = broken(20, |shard| kills_with(shard, Sabotage::Hogging));
    assert!(how.contains("within 5 s") || how.contains("busy"), "{how}");
}

/// The disks are taken one at a time: there are few.
static DISK: Mutex<()> = Mutex::new(());

/// How power cuts show that something is done wrong. None where none can be tried.
fn broken_by_cuts(count: u64, sabotage: Sabotage) -> Option<String> {
    let _disk = DISK.lock().unwrap_or_else(PoisonError::into_inner);
    broken_if_tried(&format!("{sabotage:?}"), count, |shard| {
        cuts_with(shard, "ext4", sabotage)
    })
}

/// A kill cannot tell: what the kernel holds is not lost with the process.
#[test]
fn a_commit_that_is_not_synced_is_caught_by_a_power_cut() {
    if let Some(how) = broken_by_cuts(40, Sabotage::Unsynced) {
        assert!(tells_of(&LOSS, &how), "{how}");
    }
}

#[test]
fn a_disk_that_does_not_sync_is_caught_by_a_power_cut_at_the_lower_level_too() {
    let strace = Command::new("strace")
        .args(["--output=/dev/null", "true"])
        .status();
    if !strace.is_ok_and(|status| status.success()) {
        say_skipped("LyingDisk", "strace is not there or may not trace");
    } else if let Some(how) = broken_by_cuts(60, Sabotage::LyingDisk) {
        assert!(tells_of(&LOSS, &how) || tells_of(&DAMAGE, &how), "{how}");
    }
}

/// A database in which all but one of the steps of a plan were taken, and what was said of all of them.
fn all_but(left_out: Option<usize>, count: usize) -> (Task, Vec<Line>, Held) {
    let task = Task {
        writer: 0,
        seed: 5,
        begins: 1_770_000_000_000_000,
        inherits: Vec::new(),
    };
    let mut plan = Plan::new(task.seed, task.begins, []);
    let store = SqliteStore::in_memory().expect("it opens");
    let mut said = Vec::new();
    for number in 0..count {
        let step = plan.step();
        said.push(Line::Try(0, number as u64));
        said.push(Line::Done(0, number as u64));
        if left_out == Some(number) {
            continue;
        }
        match step {
            Step::Write(batch) => drop(store.write(&batch.ops).expect("it is written")),
            Step::Purge(by) => drop(store.purge(by, 1_000).expect("it is purged")),
            Step::Wipe => {}
        }
    }
    (task, said, all(&store).expect("it is listed"))
}

#[test]
fn one_acknowledged_step_that_is_undone_is_noticed() {
    const COUNT: usize = 120;
    let before = Held::new();
    let judged = |left_out, survives| {
        let (task, said, found) = all_but(left_out, COUNT);
        let tasks = [task];
        let doings = Doings {
            before: &before,
            tasks: &tasks,
            said: &said,
        };
        doings.judge(&found, survives)
    };
    let (_, _, whole) = all_but(None, COUNT);
    assert!(judged(None, Survives::All).is_ok());
    assert!(judged(None, Survives::AllButTheNewest).is_ok());
    let mut undone = Vec::new();
    for left_out in 0..COUNT {
        // What was erased later leaves no trace in the end.
        if all_but(Some(left_out), COUNT).2 != whole {
            undone.push(left_out);
        }
    }
    let newest = undone.pop().expect("most change something");
    // What comes late may be all that was done to its process since, and so the newest.
    undone.retain(|left_out| *left_out < COUNT / 2);
    assert!(undone.len() > COUNT / 8, "{}", undone.len());
    for left_out in undone {
        for survives in [Survives::All, Survives::AllButTheNewest] {
            assert!(judged(Some(left_out), survives).is_err(), "{left_out}");
        }
    }
    assert!(judged(Some(newest), Survives::All).is_err());
    assert!(judged(Some(newest), Survives::AllButTheNewest).is_ok());
}
