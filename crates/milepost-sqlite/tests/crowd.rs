//! A store with more processes than one list examines.

mod common;
#[path = "../../milepost-core/tests/common/crowd.rs"]
mod crowd;

use common::Place;
use milepost_sqlite::SqliteStore;

#[test]
fn a_list_ends_where_enough_was_examined() {
    let place = Place::new();
    let store = SqliteStore::open(place.path()).expect("it opens");
    crowd::a_list_ends_where_enough_was_examined(store);
}
