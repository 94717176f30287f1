//! The law of servers and connections that are cut, tried briefly, and what breaks it.

use std::sync::Arc;

use milepost::{Op, StatusStore, StoreError, StoreErrorKind, Verdict};
use milepost_tests::bent::{Bend, Bent};
use milepost_tests::law::{briefly, broken};
use milepost_tests::laws::server::{SERVER_CUTS, cuts};

#[test]
fn each_op_is_applied_once_whatever_is_cut() {
    briefly(&SERVER_CUTS, 40);
}

/// A store that takes a lost answer for a good one.
#[derive(Debug)]
struct Hopeful(Arc<dyn StatusStore>);

impl Bend for Hopeful {
    fn store(&self) -> &dyn StatusStore {
        &*self.0
    }

    fn write(&self, ops: &[Op]) -> Result<Vec<Verdict>, StoreError> {
        match self.0.write(ops) {
            Err(error) if error.kind() == StoreErrorKind::OutcomeUnknown => {
                let verdict = |op: &Op| op.apply(&mut self.0.read(op.id).ok().flatten());
                Ok(ops.iter().map(verdict).collect())
            }
            answer => answer,
        }
    }
}

/// A store that sends what it has no answer to once more itself, without what guards it.
#[derive(Debug)]
struct Stubborn(Arc<dyn StatusStore>);

impl Bend for Stubborn {
    fn store(&self) -> &dyn StatusStore {
        &*self.0
    }

    fn write(&self, ops: &[Op]) -> Result<Vec<Verdict>, StoreError> {
        match self.0.write(ops) {
            Err(error) if error.kind() == StoreErrorKind::OutcomeUnknown => {
                // As a host would that adds one to what it reads.
                let later = chrono::TimeDelta::microseconds(1);
                let again = ops
                    .iter()
                    .map(|op| Op::new(op.id, op.at + later, op.change.clone()));
                self.0.write(&again.collect::<Vec<_>>())
            }
            answer => answer,
        }
    }
}

/// A store that says of a lost answer that nothing was kept.
#[derive(Debug)]
struct Sure(Arc<dyn StatusStore>);

impl Bend for Sure {
    fn store(&self) -> &dyn StatusStore {
        &*self.0
    }

    fn write(&self, ops: &[Op]) -> Result<Vec<Verdict>, StoreError> {
        self.0.write(ops).map_err(|error| {
            let kind = match error.kind() {
                StoreErrorKind::OutcomeUnknown => StoreErrorKind::Unavailable,
                kind => kind,
            };
            StoreError::new(kind, error)
        })
    }
}

#[test]
fn a_store_that_says_of_a_lost_answer_that_nothing_was_kept_is_noticed() {
    let how = broken(100, |shard| {
        cuts(shard, |store| Arc::new(Bent(Sure(store))))
    });
    assert!(how.contains("came to"), "{how}");
}

#[test]
fn a_store_that_takes_a_lost_answer_for_a_good_one_is_noticed() {
    let how = broken(100, |shard| {
        cuts(shard, |store| Arc::new(Bent(Hopeful(store))))
    });
    assert!(how.contains("came to") || how.contains("refused"), "{how}");
}

#[test]
fn a_store_that_sends_again_without_a_guard_is_noticed() {
    let how = broken(100, |shard| {
        cuts(shard, |store| Arc::new(Bent(Stubborn(store))))
    });
    assert!(how.contains("came to") || how.contains("refused"), "{how}");
}
