//! One behaviour, whatever the store.

use std::path::Path;
use std::sync::Arc;

use chrono::TimeDelta;
use milepost::{MemoryStore, SqliteStore, StatusStore};
use milepost_tests::bent::{Bent, Hasty};
use milepost_tests::law::{briefly, broken};
use milepost_tests::laws::agree;
use milepost_tests::laws::model::{MODEL, model};

#[test]
fn every_store_gives_the_same_verdicts_processes_lists_and_counts() {
    briefly(&agree::AGREE, 4_000);
}

#[test]
fn every_store_does_what_the_model_says() {
    briefly(&MODEL, 4_000);
}

#[test]
fn a_store_that_purges_what_has_not_expired_is_told_from_the_model() {
    let how = broken(100_000, |shard| model(shard, "hasty"));
    assert!(how.contains("the shortest sequence found"), "{how}");
}

/// The broken variant beside the law above: a purge that comes a second early.
#[test]
fn a_store_that_purges_what_has_not_expired_is_told_from_the_others() {
    let stores = |_: &Path| -> Vec<Arc<dyn StatusStore>> {
        let honest = SqliteStore::in_memory().expect("it opens");
        let hasty = Bent(Hasty(MemoryStore::new(), TimeDelta::seconds(1)));
        vec![Arc::new(honest), Arc::new(hasty)]
    };
    let how = broken(100_000, |shard| agree::on(shard, &stores));
    assert!(how.contains("store 2"), "{how}");
}
