//! Holds a store against the kit's model, and counts the ops: `kit <memory|file> <honest|hasty>`, with `MILEPOST_SEED`
//! and `MILEPOST_CASES` as the kit takes them. A `hasty` store purges a second early.

use std::error::Error;
use std::fmt::Debug;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use chrono::TimeDelta;
use milepost::{MemoryStore, Op, SqliteStore, StatusStore, StoreError, Verdict};
use milepost_conformance::{Subject, check_law};
use milepost_tests::bent::{Bend, Bent, Hasty};

/// The kit's law of generated sequences, which it holds against its model.
const LAW: &str = "any_sequence_of_ops_does_what_the_documents_say";

fn main() -> Result<(), Box<dyn Error>> {
    let arguments = std::env::args().skip(1).collect::<Vec<_>>();
    let arguments = arguments.iter().map(String::as_str).collect::<Vec<_>>();
    let ops = Arc::<AtomicU64>::default();
    let count = Arc::clone(&ops);
    let subject = match arguments[..] {
        ["memory", how @ ("honest" | "hasty")] => {
            let early = early_by(how);
            Subject::new(move || counted(MemoryStore::new(), &count, early))
        }
        ["file", how @ ("honest" | "hasty")] => {
            let early = early_by(how);
            let directory = || tempfile::tempdir().expect("there is room for a directory");
            Subject::in_directory(directory, move |directory| {
                let store = SqliteStore::open(directory.join("status.db")).expect("it opens");
                counted(store, &count, early)
            })
        }
        _ => return Err("usage: kit <memory|file> <honest|hasty>".into()),
    };
    check_law(LAW, &subject);
    println!("{}", ops.load(Ordering::Relaxed));
    Ok(())
}

fn early_by(how: &str) -> TimeDelta {
    TimeDelta::seconds(i64::from(how == "hasty"))
}

fn counted<S>(store: S, ops: &Arc<AtomicU64>, early: TimeDelta) -> Bent<Counted<Bent<Hasty<S>>>>
where
    S: StatusStore + Debug,
{
    let store = Bent(Hasty(store, early));
    let ops = Arc::clone(ops);
    Bent(Counted { store, ops })
}

/// A store whose ops are counted.
#[derive(Debug)]
struct Counted<S> {
    store: S,
    ops: Arc<AtomicU64>,
}

impl<S: StatusStore + Debug> Bend for Counted<S> {
    fn store(&self) -> &dyn StatusStore {
        &self.store
    }

    fn write(&self, ops: &[Op]) -> Result<Vec<Verdict>, StoreError> {
        self.ops.fetch_add(ops.len() as u64, Ordering::Relaxed);
        self.store.write(ops)
    }
}
