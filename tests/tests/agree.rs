//! One behaviour, whatever the store.

use std::path::Path;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use milepost::{
    Counts, Filter, Found, Listing, MemoryStore, Op, Process, RequestId, SqliteStore, StatusStore,
    StoreError, Verdict, Version, Wipe, WipeLevel,
};
use milepost_tests::law::{Shard, briefly};
use milepost_tests::laws::agree;

#[test]
fn every_store_gives_the_same_verdicts_processes_lists_and_counts() {
    briefly(&agree::AGREE, 4_000);
}

/// The broken variant beside the law above: a purge that comes a second early.
#[test]
fn a_store_that_purges_what_has_not_expired_is_told_from_the_others() {
    #[derive(Debug)]
    struct Hasty(MemoryStore);

    impl StatusStore for Hasty {
        fn write(&self, ops: &[Op]) -> Result<Vec<Verdict>, StoreError> {
            self.0.write(ops)
        }

        fn read(&self, id: RequestId) -> Result<Option<Arc<Process>>, StoreError> {
            self.0.read(id)
        }

        fn versions(&self, ids: &[RequestId]) -> Result<Vec<Option<Version>>, StoreError> {
            self.0.versions(ids)
        }

        fn list(&self, listing: &Listing) -> Result<Found, StoreError> {
            self.0.list(listing)
        }

        fn count(&self, filter: &Filter) -> Result<Counts, StoreError> {
            self.0.count(filter)
        }

        fn purge(&self, expired_by: DateTime<Utc>, limit: usize) -> Result<usize, StoreError> {
            self.0
                .purge(expired_by + chrono::TimeDelta::seconds(1), limit)
        }

        fn wipe(&self, level: WipeLevel) -> Result<Wipe, StoreError> {
            self.0.wipe(level)
        }
    }

    let scratch = tempfile::tempdir().expect("there is room for a directory");
    let shard = Shard {
        seed: 1,
        count: 100_000,
        until: None,
        scratch: scratch.path(),
    };
    let stores = |_: &Path| -> Vec<Arc<dyn StatusStore>> {
        let honest = SqliteStore::in_memory().expect("it opens");
        vec![Arc::new(honest), Arc::new(Hasty(MemoryStore::new()))]
    };
    let broken = agree::on(&shard, &stores).expect_err("they differ by a second");
    assert!(broken.to_string().contains("store 2"), "{broken}");
}
