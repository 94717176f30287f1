//! After an erase and a wipe that is `Done`, no byte of the process is left in any file.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use milepost_core::{
    Change, Failure, NewProcess, Op, OverallStatus, Progress, Query, Tracker, Update, Wipe,
};
use milepost_sqlite::SqliteStore;
use uuid::Uuid;

use crate::common::{
    Place, begin, begin_many, busy_process, contains, erase, foreign_connection, found_in, marks,
    one_step_a_wipe, pipeline, root_page, wipe_until_done,
};

#[test]
fn nothing_is_left_of_a_process_whose_place_another_took_in_the_same_batch() {
    let place = Place::new();
    let tracker = Tracker::new(SqliteStore::open(place.path()).expect("it opens"));
    let begin = || {
        let new = NewProcess::new(&pipeline())
            .file_name("same.txt")
            .idempotency_key("same");
        tracker.prepare(new).expect("it is lawful")
    };
    let apply = |ops: &[Op]| {
        for verdict in tracker.apply(ops).expect("a batch") {
            verdict.expect("lawful");
        }
    };
    let first = begin();
    let fail = Change::fail(1, Failure::new("Again", "mark-of-the-first"));
    apply(&[first.clone(), tracker.op(first.id, fail)]);
    apply(&[tracker.op(first.id, Change::erase()), begin()]);
    wipe_until_done(&tracker);
    let now = tracker.get(first.id).expect("it is there");
    assert_eq!(now.status(), OverallStatus::Ongoing);
    assert_eq!(found_in(&place, &[b"mark-of-the-first".to_vec()]), [""; 0]);
}

/// The op that began it, sent again behind an erasure, makes another process that bears its mark.
#[test]
fn nothing_is_left_of_a_process_that_was_erased_and_begun_again_by_the_same_op() {
    let place = Place::new();
    let tracker = Tracker::new(SqliteStore::open(place.path()).expect("it opens"));
    let new = NewProcess::new(&pipeline()).file_name("same.txt");
    let create = tracker.prepare(new).expect("it is lawful");
    let fail = Change::fail(1, Failure::new("Again", "mark-of-the-first"));
    let mut later = create.clone();
    later.at += Duration::from_hours(24);
    for batch in [
        [create.clone(), tracker.op(create.id, fail)],
        [tracker.op(create.id, Change::erase()), later.clone()],
    ] {
        for verdict in tracker.apply(&batch).expect("a batch") {
            assert!(verdict.expect("lawful").changed);
        }
    }
    wipe_until_done(&tracker);
    assert_eq!(found_in(&place, &[b"mark-of-the-first".to_vec()]), [""; 0]);
    let now = tracker.get(create.id).expect("it is there");
    let listed = tracker.list(&Query::new()).expect("a page").items;
    assert_eq!(listed, [Arc::clone(&now)]);
    assert_eq!(now.revision(), 1);
    let began = later.at.timestamp_micros();
    assert_eq!(now.created_at().timestamp_micros(), began);
    assert_eq!(now.updated_at().timestamp_micros(), began);
}

#[test]
fn nothing_is_left_of_a_process_whose_place_an_import_took() {
    let place = Place::new();
    let tracker = Tracker::new(SqliteStore::open(place.path()).expect("it opens"));
    let new = NewProcess::new(&pipeline())
        .request_id(Uuid::from_u128(77).into())
        .file_id(Uuid::from_u128(78).into())
        .file_name("same.txt");
    let elsewhere = tracker.prepare(new.clone()).expect("it is lawful");
    let mut process = None;
    elsewhere.apply(&mut process).expect("nothing is there");
    let process = process.expect("it has begun");

    let expiring = tracker
        .prepare(new.expires_in(Duration::from_hours(1)))
        .expect("it is lawful");
    let fail = Change::fail(1, Failure::new("Again", "mark-of-the-first"));
    let mut import = tracker.op(expiring.id, Change::import(Arc::clone(&process)));
    import.at += Duration::from_hours(2);
    for batch in [
        vec![expiring.clone(), tracker.op(expiring.id, fail)],
        vec![import],
    ] {
        for verdict in tracker.apply(&batch).expect("a batch") {
            assert!(verdict.expect("lawful").changed);
        }
    }
    wipe_until_done(&tracker);
    assert_eq!(found_in(&place, &[b"mark-of-the-first".to_vec()]), [""; 0]);
    assert_eq!(
        tracker.get(process.request_id()).expect("it is there"),
        process
    );
}

/// The pages that a move has freed are given back in the same wipe, whatever the one before has seen.
#[test]
fn a_wipe_that_is_done_leaves_no_free_pages() {
    let place = Place::new();
    let tracker = Tracker::new(SqliteStore::open(place.path()).expect("it opens"));
    let ids = begin_many(&tracker, 2_000);
    for id in &ids[..4] {
        erase(&tracker, &[*id]);
        wipe_until_done(&tracker);
        let free =
            foreign_connection(&place.path())
                .query_row("PRAGMA freelist_count", [], |row| row.get::<_, i64>(0));
        assert_eq!(free.expect("a count"), 0);
    }
}

/// Or each claim would have the next wipe move the whole file.
#[test]
fn what_the_work_overtakes_gives_a_wipe_nothing_to_do() {
    let place = Place::new();
    let tracker = Tracker::new(SqliteStore::open(place.path()).expect("it opens"));
    let gone = begin(&tracker, "gone.txt").request_id();
    let process = begin(&tracker, "stays.txt");
    erase(&tracker, &[gone]);
    wipe_until_done(&tracker);
    // As long as it goes on, no wipe that finds something to do is done.
    let reader = foreign_connection(&place.path());
    reader
        .execute_batch("BEGIN; SELECT count(*) FROM process_overview;")
        .expect("a snapshot");
    let lease = tracker
        .claim(process.request_id(), "worker-1", Duration::from_mins(1))
        .expect("a claim");
    let module = lease.module(1).expect("a module");
    module.start().expect("it starts");
    for step in 1..4 {
        let progress = Progress::unbounded(step).message("page");
        module.progress(progress).expect("progress");
    }
    module.complete().expect("it completes");
    lease.release().expect("a release");
    assert_eq!(tracker.wipe().expect("it answers"), Wipe::Done);
    erase(&tracker, &[process.request_id()]);
    assert_ne!(tracker.wipe().expect("it answers"), Wipe::Done);
}

#[test]
fn nothing_is_left_of_every_second_process_among_neighbours_that_grow() {
    let place = Place::new();
    let tracker = Tracker::new(SqliteStore::open(place.path()).expect("it opens"));
    let ids = (0..400)
        .map(|n| {
            let mark = format!("mark-{n:04}-{:08x}", n * 2_654_435_761_u64 % 0xffff_ffff);
            (busy_process(&tracker, &mark), mark)
        })
        .collect::<Vec<_>>();
    for (id, mark) in ids.iter().step_by(2) {
        assert!(
            !found_in(&place, &marks(*id, mark)).is_empty(),
            "{mark} was never written"
        );
        assert_eq!(tracker.erase(*id).expect("an erase").processes, 1);
    }
    wipe_until_done(&tracker);
    let files = place.files();
    for (index, (id, mark)) in ids.iter().enumerate() {
        for (path, content) in &files {
            for needle in marks(*id, mark) {
                let erased = index % 2 == 0;
                let found = contains(content, &needle);
                assert!(!(erased && found), "{mark} is still in {}", path.display());
            }
        }
        assert_eq!(tracker.get(*id).is_ok(), index % 2 == 1, "{mark}");
    }
    let check: String = foreign_connection(&place.path())
        .query_row("PRAGMA integrity_check", [], |row| row.get(0))
        .expect("a check");
    assert_eq!(check, "ok");
}

/// The broken variant beside the law above: without the move and the cut, marks stay.
#[test]
fn erasing_alone_leaves_bytes_which_is_why_there_is_a_wipe() {
    let place = Place::new();
    let tracker = Tracker::new(SqliteStore::open(place.path()).expect("it opens"));
    let id = busy_process(&tracker, "mark-alone");
    // An op erases without wiping.
    let erased = tracker
        .apply(&[tracker.op(id, milepost_core::Change::erase())])
        .expect("a batch");
    assert!(erased[0].is_ok());
    assert!(!found_in(&place, &marks(id, "mark-alone")).is_empty());
    wipe_until_done(&tracker);
    assert_eq!(
        found_in(&place, &marks(id, "mark-alone")),
        Vec::<String>::new()
    );
}

#[test]
fn a_reader_of_an_older_state_makes_the_wipe_pending_and_its_end_lets_it_be_done() {
    let place = Place::new();
    let tracker = Tracker::new(SqliteStore::open(place.path()).expect("it opens"));
    let id = busy_process(&tracker, "mark-read");
    let reader = foreign_connection(&place.path());
    reader
        .execute_batch("BEGIN; SELECT count(*) FROM process_overview;")
        .expect("a snapshot");
    let erased = tracker.erase(id).expect("an erase");
    assert_eq!(erased.processes, 1);
    let Wipe::Pending { reason } = &erased.wipe else {
        panic!("{:?}", erased.wipe)
    };
    assert!(reason.contains("reads an older state"), "{reason}");
    assert!(
        tracker
            .get(id)
            .expect_err("it is gone all the same")
            .is_not_found()
    );
    reader.execute_batch("COMMIT").expect("it ends");
    wipe_until_done(&tracker);
    assert_eq!(
        found_in(&place, &marks(id, "mark-read")),
        Vec::<String>::new()
    );
}

#[test]
fn a_name_that_was_updated_away_is_wiped_like_what_was_erased() {
    let place = Place::new();
    let tracker = Tracker::new(SqliteStore::open(place.path()).expect("it opens"));
    let id = begin(&tracker, "secret-old-name.pdf").request_id();
    tracker
        .update(id, Update::new().file_name("harmless.pdf"))
        .expect("an update");
    wipe_until_done(&tracker);
    assert_eq!(
        found_in(&place, &[b"secret-old-name".to_vec()]),
        Vec::<String>::new()
    );
    assert_eq!(
        tracker.get(id).expect("it stays").file().name(),
        "harmless.pdf"
    );
}

#[test]
fn nothing_is_left_of_who_has_worked_on_what_was_erased_and_what_was_wished_of_it() {
    let place = Place::new();
    let tracker = Tracker::new(SqliteStore::open(place.path()).expect("it opens"));
    let process = begin(&tracker, "a.pdf");
    let id = process.request_id();
    let claim = |worker: &str| {
        let lease = tracker.claim(id, worker, Duration::from_mins(1));
        lease.expect("it is claimed")
    };
    claim("first-worker").release().expect("it is given back");
    let lease = claim("second-worker");
    tracker
        .request_cancel(id, "wished-reason")
        .expect("it is wished");
    lease.release().expect("the wish is granted");
    tracker.rerun(id).expect("it is reopened");
    claim("third-worker");
    let traces = [
        "first-worker",
        "second-worker",
        "third-worker",
        "wished-reason",
    ];
    let traces = traces.map(|trace| trace.as_bytes().to_vec());
    assert!(!found_in(&place, &traces).is_empty());
    tracker.erase(id).expect("an erase");
    wipe_until_done(&tracker);
    assert_eq!(found_in(&place, &traces), Vec::<String>::new());
}

/// One changed byte in the row that counts wipes once made every wipe `Done` at once.
#[test]
fn progress_that_contradicts_itself_is_corrupt_and_never_done() {
    for damage in [
        "UPDATE wipe_progress SET wiped = 1000000",
        "UPDATE wipe_progress SET compacted = 1000000",
        "UPDATE wipe_progress SET moving = 1000000",
        "UPDATE wipe_progress SET wiped = -1",
        "UPDATE wipe_progress SET compacted = -9223372036854775808",
        "UPDATE wipe_progress SET moving = -1000000",
        "DELETE FROM wipe_progress",
    ] {
        let place = Place::new();
        let tracker = Tracker::new(SqliteStore::open(place.path()).expect("it opens"));
        begin(&tracker, "a.txt");
        foreign_connection(&place.path())
            .execute_batch(damage)
            .expect("damage");
        let error = tracker.wipe().expect_err(damage);
        let milepost_core::TrackError::Store(error) = error else {
            panic!("{error}")
        };
        assert_eq!(error.kind(), milepost_core::StoreErrorKind::Corrupt);
    }
}

/// A key changed by damage, so that a table's rows were out of order, once had each wipe step move none of
/// them and say `Pending`: whoever called again, as it asks for, did so for ever.
#[test]
fn rows_out_of_order_make_a_wipe_corrupt_and_not_endless() {
    let place = Place::new();
    let tracker = Tracker::new(SqliteStore::open(place.path()).expect("it opens"));
    for n in 0..3 {
        begin(&tracker, &format!("neighbour-{n}"));
    }
    drop(tracker);
    let root = root_page(&place);
    let mut bytes = std::fs::read(place.path()).expect("nobody has it open");
    let page = &mut bytes[(root as usize - 1) * 4096..][..4096];
    // A leaf's first cell: its size in two bytes, then its key, which is 1.
    let cell = usize::from(u16::from_be_bytes([page[8], page[9]]));
    assert_eq!((page[0], page[cell] >> 7, page[cell + 2]), (13, 1, 1));
    page[cell + 2] = 100;
    std::fs::write(place.path(), bytes).expect("it is damaged");

    let tracker = Tracker::new(SqliteStore::open(place.path()).expect("it opens again"));
    let id = begin(&tracker, "a.txt").request_id();
    assert_eq!(tracker.erase(id).expect("an erase").processes, 1);
    let Err(milepost_core::TrackError::Store(error)) = tracker.wipe() else {
        panic!("the damage is not seen")
    };
    assert_eq!(error.kind(), milepost_core::StoreErrorKind::Corrupt);
}

#[test]
fn a_wipe_comes_to_an_end_while_others_write() {
    let place = Place::new();
    let tracker = Tracker::new(SqliteStore::open(place.path()).expect("it opens"));
    let id = busy_process(&tracker, "mark-steady");
    for n in 0..500 {
        begin(&tracker, &format!("neighbour-{n}"));
    }
    let stop = AtomicBool::new(false);
    let (writes, is_writing) = std::sync::mpsc::channel();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let other = Tracker::new(SqliteStore::open(place.path()).expect("it opens again"));
            while !stop.load(Ordering::Relaxed) {
                begin(&other, "steady")
                    .module(1)
                    .expect("a module")
                    .complete()
                    .expect("progress");
                writes.send(()).expect("somebody listens");
            }
        });
        is_writing.recv().expect("the writer writes");
        assert_eq!(tracker.erase(id).expect("an erase").processes, 1);
        wipe_until_done(&tracker);
        stop.store(true, Ordering::Relaxed);
    });
    assert_eq!(
        found_in(&place, &marks(id, "mark-steady")),
        Vec::<String>::new()
    );
}

#[test]
fn a_move_that_was_broken_off_is_taken_up_by_whoever_wipes_next() {
    let place = Place::new();
    let tracker = one_step_a_wipe(&place);
    let id = busy_process(&tracker, "mark-half");
    let others = begin_many(&tracker, 700);
    let erased = tracker.erase(id).expect("an erase");
    assert!(matches!(erased.wipe, Wipe::Pending { .. }), "{erased:?}");
    // Rows lie in both tables now, and nobody can tell.
    let both = foreign_connection(&place.path())
        .query_row(
            "SELECT (SELECT count(*) FROM process_a), (SELECT count(*) FROM process_b)",
            [],
            |row| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?)),
        )
        .expect("two counts");
    assert!(both.0 > 0 && both.1 > 0, "{both:?}");
    assert_eq!(tracker.count(&Query::new()).expect("a count").total(), 700);
    let page = tracker
        .list(&Query::new().oldest_first().limit(1000))
        .expect("a page");
    assert_eq!(
        page.items
            .iter()
            .map(|p| p.request_id())
            .collect::<Vec<_>>(),
        others
    );
    let process = tracker.process(others[3]).expect("it is there");
    process
        .module(1)
        .expect("a module")
        .fail(Failure::new("Bad", "input"))
        .expect("a change");
    assert_eq!(
        tracker
            .count(&Query::new().status(OverallStatus::Failed))
            .expect("a count")
            .total(),
        1
    );
    drop((process, tracker));

    let tracker = Tracker::new(SqliteStore::open(place.path()).expect("it opens again"));
    wipe_until_done(&tracker);
    assert_eq!(
        found_in(&place, &marks(id, "mark-half")),
        Vec::<String>::new()
    );
    assert_eq!(tracker.count(&Query::new()).expect("a count").total(), 700);
}

/// How far wiping is: `erased`, `moving`, `compacted` and `wiped`.
fn progress(place: &Place) -> [Option<i64>; 4] {
    let read = "SELECT erased, moving, compacted, wiped FROM wipe_progress";
    let row = foreign_connection(&place.path()).query_row(read, [], |row| {
        Ok([row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?])
    });
    row.expect("a row")
}

/// Every call wants the newest erasure wiped, and each move that came to an end was followed by the next: what was
/// erased long ago was never wiped while others went on erasing.
#[test]
fn what_was_erased_earlier_is_wiped_though_others_erase_faster_than_moves_come_to_an_end() {
    let place = Place::new();
    let tracker = one_step_a_wipe(&place);
    let ids = begin_many(&tracker, 700);
    for id in &ids[..60] {
        let erased = tracker.erase(*id).expect("an erase");
        assert!(matches!(erased.wipe, Wipe::Pending { .. }), "{erased:?}");
    }
    let [erased, _, _, wiped] = progress(&place);
    assert_eq!(erased, Some(60));
    assert!(wiped > Some(30), "{:?}", progress(&place));
}

/// Each began another move of the whole file.
#[test]
fn who_was_erased_and_is_not_there_is_covered_by_the_move_that_is_under_way() {
    let place = Place::new();
    let tracker = one_step_a_wipe(&place);
    let ids = begin_many(&tracker, 700);
    let missing = || tracker.op(uuid::Uuid::from_u128(5).into(), Change::erase());
    erase(&tracker, &ids[..1]);
    assert!(tracker.wipe().is_ok());
    assert_eq!(progress(&place), [Some(1), Some(1), Some(0), Some(0)]);
    tracker.apply(&[missing()]).expect("a batch");
    assert_eq!(progress(&place), [Some(2), Some(2), Some(0), Some(0)]);
    // What is erased now is not.
    erase(&tracker, &ids[1..2]);
    tracker.apply(&[missing()]).expect("a batch");
    assert_eq!(progress(&place), [Some(4), Some(2), Some(0), Some(0)]);
    wipe_until_done(&tracker);
    assert_eq!(progress(&place), [Some(4), None, Some(4), Some(4)]);
    tracker.apply(&[missing()]).expect("a batch");
    assert_eq!(progress(&place), [Some(5), None, Some(5), Some(4)]);
}

#[test]
fn a_wipe_with_nothing_erased_writes_nothing() {
    let place = Place::new();
    let tracker = Tracker::new(SqliteStore::open(place.path()).expect("it opens"));
    begin(&tracker, "stays.pdf");
    let before = place.kept_files();
    assert_eq!(tracker.wipe().expect("a wipe"), Wipe::Done);
    assert!(before == place.kept_files(), "a file was written");
}
