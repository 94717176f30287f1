//! A child of `fork` is told that nobody writes for it, and drops what it has inherited.
#![cfg(unix)]

#[path = "../../milepost-core/tests/common/child.rs"]
mod child;
mod common;

use child::ends_well_in_a_child;
use common::begun;
use milepost_core::{StoreErrorKind, TrackError};
use milepost_memory::MemoryStore;
use milepost_tokio::AsyncTracker;
use tokio::runtime::{Builder, Runtime};

fn runtime() -> Runtime {
    let mut builder = Builder::new_current_thread();
    builder.enable_time().build().expect("a runtime")
}

/// The thread that writes does not follow: a write there once waited for it for ever.
#[test]
fn a_child_is_refused_and_harms_nobody() {
    let tracker = AsyncTracker::new(MemoryStore::new());
    let parent = runtime();
    let process = parent.block_on(begun(&tracker));
    let module = process.module(1).expect("a module");
    let mut inherited = Some((module, process, tracker));
    let refused = ends_well_in_a_child(|| {
        let (module, process, tracker) = inherited.take().expect("it is there");
        let refused = runtime().block_on(module.start());
        let Err(TrackError::Store(error)) = refused else {
            panic!("{refused:?}");
        };
        assert_eq!(error.kind(), StoreErrorKind::Unavailable);
        drop((module, process, tracker));
    });
    assert!(refused);
    let (module, process, tracker) = inherited.expect("the parent keeps it");
    let started = parent.block_on(module.start());
    assert!(started.expect("the parent goes on").changed);
    drop((module, process, tracker));
}
