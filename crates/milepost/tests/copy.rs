//! Moving house: from one store into another.

use std::sync::Arc;
use std::time::Duration;

use milepost::{
    Copied, CopyOptions, Failure, Imported, ManualClock, MemoryStore, NewProcess, Pipeline, Query,
    RequestId, SqliteStore, Tracker, copy,
};

fn pipeline() -> Pipeline {
    Pipeline::new("invoice-ocr", ["ocr", "parser"]).expect("it is valid")
}

/// Processes in several states.
fn fill(tracker: &Tracker, processes: usize) -> Vec<RequestId> {
    let work = |number: usize| {
        let new = NewProcess::new(&pipeline()).file_name(&format!("{number}.pdf"));
        let process = tracker.begin(new).expect("it begins");
        let module = process.module(1).expect("it has two");
        match number % 3 {
            0 => drop(module.start().expect("it starts")),
            1 => drop(
                module
                    .fail(Failure::new("Bad", "page 4"))
                    .expect("it fails"),
            ),
            _ => {
                let lease = tracker.claim(process.request_id(), "anna", Duration::from_mins(5));
                drop(lease.expect("nobody holds it"));
            }
        }
        process.request_id()
    };
    (0..processes).map(work).collect()
}

fn counts(imported: Imported) -> [u64; 4] {
    [
        imported.new,
        imported.present,
        imported.ahead,
        imported.refused,
    ]
}

fn whole(copied: &Copied, processes: u64) {
    assert!(copied.is_whole(), "{copied}");
    assert_eq!(copied.compared, processes, "{copied}");
    assert_eq!((copied.missing, copied.different), (0, 0), "{copied}");
}

#[test]
fn every_process_is_there_as_it_was_and_so_back_again() {
    let directory = tempfile::tempdir().expect("there is room");
    let open = |name: &str| SqliteStore::open(directory.path().join(name)).expect("it opens");
    let (memory, file, back) = (
        Tracker::new(MemoryStore::new()),
        Tracker::new(open("file.db")),
        Tracker::new(MemoryStore::new()),
    );
    let ids = fill(&memory, 2500);
    let there = copy(&memory, &file, CopyOptions::new()).expect("it is copied");
    whole(&there, 2500);
    assert_eq!(counts(there.imported), [2500, 0, 0, 0]);
    let home = copy(&file, &back, CopyOptions::new()).expect("it is copied");
    whole(&home, 2500);
    assert_eq!(home.here, there.here, "another digest of the same");
    assert_eq!(
        back.get_many(&ids).expect("they are read"),
        memory.get_many(&ids).expect("they are read")
    );
    // Again there is nothing to do.
    let again = copy(&memory, &file, CopyOptions::new()).expect("it is copied");
    assert_eq!(counts(again.imported), [0, 2500, 0, 0]);
}

#[test]
fn one_that_was_broken_off_goes_on_where_it_had_come_to() {
    let (from, to) = (
        Tracker::new(MemoryStore::new()),
        Tracker::new(MemoryStore::new()),
    );
    fill(&from, 2500);
    let mut reached = None;
    let mut steps = 0;
    let options = CopyOptions::new().each_step(|step| {
        steps += 1;
        reached.get_or_insert(step.reached);
        assert_eq!(step.imported.new, steps * 1000, "{step}");
    });
    copy(&from, &to, options).expect("it is copied");
    assert_eq!(steps, 2);
    // From there on 1,500 are left to look at; the rest is compared all the same.
    let to = Tracker::new(MemoryStore::new());
    let reached = reached.expect("there was a first step");
    let second = copy(&from, &to, CopyOptions::new().after(reached)).expect("it is copied");
    assert_eq!(counts(second.imported), [1500, 0, 0, 0]);
    assert_eq!((second.compared, second.missing), (2500, 1000), "{second}");
    assert!(!second.is_whole(), "{second}");
}

#[test]
fn what_the_second_store_has_made_of_it_is_kept_and_told() {
    let (from, to) = (
        Tracker::new(MemoryStore::new()),
        Tracker::new(MemoryStore::new()),
    );
    let ids = fill(&from, 4);
    copy(&from, &to, CopyOptions::new()).expect("it is copied");
    // One goes on there, one is another process there.
    to.cancel(ids[0], "moved").expect("it is cancelled");
    to.erase(ids[1]).expect("it is erased");
    let new = NewProcess::new(&pipeline()).request_id(ids[1]);
    to.begin(new).expect("it begins");
    let mut refused = Vec::new();
    let options = CopyOptions::new().refused(|id, why| refused.push((id, why.to_string())));
    let copied = copy(&from, &to, options).expect("it is copied");
    assert_eq!(counts(copied.imported), [0, 2, 1, 1], "{copied}");
    assert_eq!((copied.missing, copied.different), (0, 2), "{copied}");
    assert!(!copied.is_whole(), "{copied}");
    assert_eq!(refused.len(), 1);
    assert_eq!(refused[0].0, ids[1]);
}

#[test]
fn what_has_expired_is_left_behind() {
    let clock = ManualClock::new("2026-01-01T00:00:00Z".parse().expect("a time"));
    let from = Tracker::with_clock(MemoryStore::new(), clock.clone());
    let store = Arc::new(MemoryStore::new());
    let to = Tracker::with_clock(Arc::clone(&store), clock.clone());
    fill(&from, 2);
    let new = NewProcess::new(&pipeline()).expires_in(Duration::from_secs(1));
    from.begin(new).expect("it begins");
    clock.advance(Duration::from_secs(2));
    let copied = copy(&from, &to, CopyOptions::new()).expect("it is copied");
    whole(&copied, 2);
    assert_eq!(to.count(&Query::new()).expect("a count").total(), 2);
}
