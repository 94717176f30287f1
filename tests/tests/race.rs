//! The laws of rivals, briefly, and what breaks them.

use milepost_tests::law::{briefly, broken};
use milepost_tests::laws::race::{
    FORKS, RIVALS, WAL_SIZE_FULL, WAL_SIZE_NORMAL, forks, rivals, wal_size,
};
use milepost_tests::race::faulty::Fault;

#[test]
fn nothing_is_lost_between_rivals_and_each_history_is_linearizable() {
    briefly(&RIVALS, 10_000);
}

#[test]
fn one_change_that_was_acknowledged_and_dropped_is_noticed() {
    let how = broken(2_500, |shard| rivals(shard, Fault::Drops));
    assert!(how.contains("were the revisions"), "{how}");
}

#[test]
fn a_stale_read_is_noticed() {
    let how = broken(2_500, |shard| rivals(shard, Fault::Stale));
    assert!(how.contains("no order explains the history"), "{how}");
}

#[test]
fn a_call_that_is_busy_before_its_deadline_is_noticed() {
    let how = broken(2_500, |shard| rivals(shard, Fault::Hasty));
    assert!(how.contains("busy"), "{how}");
}

#[test]
fn a_forked_child_is_refused_and_harms_nobody() {
    briefly(&FORKS, 100);
}

#[test]
fn a_store_that_lets_a_forked_child_in_is_noticed() {
    let how = broken(1, |shard| forks(shard, "bare"));
    assert!(how.contains("was let in"), "{how}");
}

#[test]
fn the_wal_stays_small_at_full() {
    briefly(&WAL_SIZE_FULL, 8);
}

#[test]
fn the_wal_stays_small_at_normal() {
    briefly(&WAL_SIZE_NORMAL, 8);
}

#[test]
fn a_wal_that_sqlite_alone_is_to_keep_short_is_noticed() {
    for durability in ["full", "normal"] {
        let how = broken(60, |shard| wal_size(shard, "by-hand", durability));
        assert!(how.contains("the WAL has grown"), "{durability}: {how}");
    }
}
