//! The laws of erasure, briefly; and beside each what it would catch.

use std::time::Duration;

use milepost::Tracker;
use milepost_tests::law::{Broken, Done, Law, Shard, briefly, broken_if_tried};
use milepost_tests::laws::erase::{
    Bounds, ERASED, MEDIA, WIPE_CUTS, WIPE_CUTS_ON_XFS, WIPE_WAITS, WIPES_KILLED, erased, media,
    wipe_cuts, wipe_waits, wipes_killed,
};

#[test]
fn nothing_is_left_of_every_second_process_while_others_work() {
    briefly(&ERASED, 120);
}

#[test]
fn a_wipe_that_is_killed_is_never_done_early_and_is_finished_by_the_next() {
    briefly(&WIPES_KILLED, 6);
}

#[test]
fn a_power_cut_brings_nothing_back() {
    briefly(&WIPE_CUTS, 4);
    briefly(&WIPE_CUTS_ON_XFS, 2);
}

#[test]
fn others_hardly_wait_for_a_wipe() {
    briefly(&WIPE_WAITS, 2);
}

#[test]
fn nothing_is_left_on_the_disk() {
    briefly(&MEDIA, 2);
}

/// How a law that something is wrong with shows it. None where it cannot be tried.
fn broken(law: &Law, run: impl FnOnce(&Shard<'_>) -> Result<Done, Broken>) -> Option<String> {
    broken_if_tried(law.name, 3, run)
}

/// What is left then is in the gaps of pages that were split.
#[test]
fn secure_delete_and_a_wal_that_is_cut_off_leave_bytes_which_is_why_there_is_a_wipe() {
    let scratch = tempfile::tempdir().expect("there is room for a directory");
    let seen = (1..=5).any(|seed| {
        let scratch = scratch.path().join(seed.to_string());
        std::fs::create_dir(&scratch).expect("a directory");
        let shard = Shard {
            seed,
            count: 150,
            until: None,
            scratch: &scratch,
        };
        let outcome = erased(&shard, "truncate");
        outcome.is_err_and(|how| how.to_string().contains("bytes are left"))
    });
    assert!(seen, "nothing was left in five runs");
}

#[test]
fn a_mark_that_is_printed_or_left_in_statistics_is_seen() {
    for (way, shows) in [
        ("babble", "a mark was printed"),
        ("statistics", "bytes are left"),
    ] {
        let how = broken_if_tried(ERASED.name, 40, |shard| erased(shard, way));
        assert!(how.is_some_and(|how| how.contains(shows)), "{way}");
    }
}

#[test]
fn a_wipe_that_says_done_at_once_or_is_not_taken_up_is_seen_when_it_is_killed() {
    for way in ["hasty", "forgotten"] {
        let how = broken_if_tried(way, 50, |shard| wipes_killed(shard, way));
        assert!(
            how.is_some_and(|how| how.contains("bytes are left")),
            "{way}"
        );
    }
}

#[test]
fn a_wipe_that_says_done_at_once_or_syncs_nothing_is_seen_when_the_power_is_cut() {
    for way in ["hasty", "unsynced"] {
        let how = broken(&WIPE_CUTS, |shard| wipe_cuts(shard, "ext4", way));
        assert!(
            how.is_none_or(|how| how.contains("bytes are left")),
            "{way}"
        );
    }
}

#[test]
fn a_wipe_of_the_files_leaves_bytes_on_the_disk_which_is_why_there_is_one_of_the_medium() {
    let how = broken(&MEDIA, |shard| media(shard, "files"));
    assert!(how.is_none_or(|how| how.contains("bytes are left on the disk")));
}

/// As `VACUUM` does with a large file.
fn hold_everybody_up(tracker: &Tracker) -> Result<(), Broken> {
    let config = format!("{tracker:?}");
    let path = config
        .split('"')
        .nth(1)
        .ok_or_else(|| Broken::new("no path"))?;
    let foreign = rusqlite::Connection::open(path)?;
    foreign.execute_batch("BEGIN IMMEDIATE")?;
    std::thread::sleep(Duration::from_secs(1));
    Ok(())
}

#[test]
fn a_wipe_that_holds_everybody_up_is_seen() {
    let bounds = Bounds {
        p99: 500,
        most: 5_000,
    };
    let how = broken(&WIPE_WAITS, |shard| {
        wipe_waits(shard, 100, bounds, hold_everybody_up)
    });
    assert!(how.is_some_and(|how| how.contains("others waited")));
}
