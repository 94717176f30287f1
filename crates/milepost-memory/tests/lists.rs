//! Where lists end.

#[path = "../../milepost-core/tests/common/ends.rs"]
mod ends;

#[test]
fn a_list_ends_where_enough_was_examined() {
    ends::a_list_ends_where_enough_was_examined(milepost_memory::MemoryStore::new());
}

#[test]
fn a_full_last_page_is_known_to_be_the_last() {
    ends::a_full_last_page_is_known_to_be_the_last(milepost_memory::MemoryStore::new());
}
