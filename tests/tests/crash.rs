//! What was acknowledged survives crashes; and a writer, a level or a file that does not do what it should is noticed.

use milepost_tests::law::{Done, Shard, briefly};
use milepost_tests::laws::crash::{CUTS, KILLS, Sabotage, cuts_with, kills_with};

#[test]
fn what_was_acknowledged_survives_kill_9() {
    briefly(&KILLS, 40);
}

#[test]
fn what_was_acknowledged_survives_a_power_cut_as_far_as_is_promised() {
    briefly(&CUTS, 30);
}

/// So many tries of a law with something done wrong.
fn shard(count: u64, scratch: &tempfile::TempDir) -> Shard<'_> {
    Shard {
        seed: 1,
        count,
        until: None,
        scratch: scratch.path(),
    }
}

#[test]
fn a_writer_that_acknowledges_before_it_writes_is_caught_by_a_kill() {
    let scratch = tempfile::tempdir().expect("there is room for a directory");
    let outcome = kills_with(&shard(40, &scratch), Sabotage::Boasting);
    let how = outcome.expect_err("it lies").to_string();
    assert!(
        how.contains("lost") || how.contains("should be at"),
        "{how}"
    );
}

/// A kill cannot tell: what the kernel holds is not lost with the process.
#[test]
fn a_commit_that_is_not_synced_is_caught_by_a_power_cut() {
    let scratch = tempfile::tempdir().expect("there is room for a directory");
    match cuts_with(&shard(40, &scratch), Sabotage::Unsynced) {
        Ok(Done::Skipped(why)) => println!("SKIPPED, {why}"),
        Ok(done) => panic!("not noticed: {done:?}"),
        Err(how) => {
            let how = how.to_string();
            assert!(
                how.contains("lost") || how.contains("should be at"),
                "{how}"
            );
        }
    }
}
