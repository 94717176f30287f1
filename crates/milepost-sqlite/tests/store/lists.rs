//! Where lists end.

#[path = "../../../milepost-core/tests/common/ends.rs"]
mod ends;

use milepost_sqlite::SqliteStore;

use crate::common::Place;

#[test]
fn a_list_ends_where_enough_was_examined() {
    let place = Place::new();
    let store = SqliteStore::open(place.path()).expect("it opens");
    ends::a_list_ends_where_enough_was_examined(store);
}

#[test]
fn a_full_last_page_is_known_to_be_the_last() {
    let place = Place::new();
    let store = SqliteStore::open(place.path()).expect("it opens");
    ends::a_full_last_page_is_known_to_be_the_last(store);
}
