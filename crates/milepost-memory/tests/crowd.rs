//! A store with more processes than one list examines.

#[path = "../../milepost-core/tests/common/crowd.rs"]
mod crowd;

#[test]
fn a_list_ends_where_enough_was_examined() {
    crowd::a_list_ends_where_enough_was_examined(milepost_memory::MemoryStore::new());
}
