//! Purges: no more than they are let, and what they leave is wiped like what was erased.

use std::sync::Arc;
use std::time::Duration;

use milepost_core::{Clock, ManualClock, NewProcess, Query, StatusStore, Tracker};
use milepost_sqlite::SqliteStore;
use uuid::Uuid;

use crate::common::{Place, foreign_connection, found_in, pipeline, wipe_until_done};

#[test]
fn what_was_purged_or_begun_anew_is_wiped_too() {
    let place = Place::new();
    let (tracker, clock, _) = brief_ones(&place, 0);
    let brief = |name: &str| {
        NewProcess::new(&pipeline())
            .file_name(name)
            .expires_in(MINUTE)
    };
    let purged = tracker
        .begin(brief("purged-name.pdf"))
        .expect("it begins")
        .request_id();
    let anew = tracker
        .begin(brief("anew-name.pdf"))
        .expect("it begins")
        .request_id();
    clock.advance(MINUTE);
    tracker
        .begin(brief("harmless.pdf").request_id(anew))
        .expect("it begins anew");
    assert_eq!(tracker.purge().expect("a purge"), 1);
    wipe_until_done(&tracker);
    let traces = [
        b"purged-name".to_vec(),
        b"anew-name".to_vec(),
        Uuid::from(purged).as_bytes().to_vec(),
    ];
    assert_eq!(found_in(&place, &traces), Vec::<String>::new());
}

/// Nothing but the purge itself makes the wipe that follows work.
#[test]
fn what_was_only_purged_is_wiped_too() {
    let place = Place::new();
    let (tracker, clock, _) = brief_ones(&place, 3);
    wipe_until_done(&tracker);
    clock.advance(MINUTE);
    assert_eq!(tracker.purge().expect("a purge"), 3);
    let traces = [b"brief-0".to_vec(), b"brief-2".to_vec()];
    assert!(!found_in(&place, &traces).is_empty());
    wipe_until_done(&tracker);
    assert_eq!(found_in(&place, &traces), Vec::<String>::new());
}

/// A purge deletes 500 in a transaction, and a wipe that is under way has rows in both tables.
#[test]
fn a_purge_takes_as_many_as_it_is_let_however_they_lie() {
    let place = Place::new();
    let (tracker, clock, store) = brief_ones(&place, 2_400);
    clock.advance(MINUTE);
    let foreign = foreign_connection(&place.path());
    let moved = foreign.execute(
        "INSERT INTO process_b SELECT * FROM process_a WHERE row % 8 = 0",
        [],
    );
    assert_eq!(moved, Ok(300));
    let moved = foreign.execute("DELETE FROM process_a WHERE row % 8 = 0", []);
    assert_eq!(moved, Ok(300));
    let now = clock.now();
    for (limit, purged) in [(700, 700), (1, 1), (1_200, 1_200), (10_000, 499)] {
        assert_eq!(store.purge(now, limit).expect("a purge"), purged);
    }
    // By a clock of before, from which nothing is hidden.
    clock.set(now - MINUTE);
    let left = tracker.count(&Query::new()).expect("a count");
    assert_eq!(left.total(), 0);
}

const MINUTE: Duration = Duration::from_mins(1);

/// So many processes that expire within a minute, by a clock that stands still.
fn brief_ones(place: &Place, count: usize) -> (Tracker, ManualClock, Arc<SqliteStore>) {
    let clock = ManualClock::new("2026-05-18T12:00:00Z".parse().expect("a time"));
    let store = Arc::new(SqliteStore::open(place.path()).expect("it opens"));
    let tracker = Tracker::with_clock(Arc::clone(&store), clock.clone());
    let begin = |number| {
        let new = NewProcess::new(&pipeline()).file_name(&format!("brief-{number}.pdf"));
        tracker.prepare(new.expires_in(MINUTE)).expect("lawful")
    };
    let ops = (0..count).map(begin).collect::<Vec<_>>();
    for verdict in tracker.apply(&ops).expect("a batch") {
        verdict.expect("it begins");
    }
    (tracker, clock, store)
}
