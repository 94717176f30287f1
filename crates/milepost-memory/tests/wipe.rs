//! What a wipe comes to where there are no files.

use milepost_core::{StatusStore, Wipe, WipeLevel};
use milepost_memory::MemoryStore;

#[test]
fn files_are_wiped_for_there_are_none_and_memory_is_not_overwritten() {
    let store = MemoryStore::new();
    let files = store.wipe(WipeLevel::Files).expect("a wipe");
    assert_eq!(files, Wipe::Done);
    let media = store.wipe(WipeLevel::Media).expect("a wipe");
    assert!(matches!(media, Wipe::Limited { .. }), "{media:?}");
}
