//! Several stores on one server, and one store in many threads and runtimes.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use milepost_core::{Change, Guard, NewProcess, Progress, StatusStore, Tracker};

use milepost_postgres::PostgresConfig;
use milepost_server::{Fault, Proxy, Server};

use super::{begin, config, creation, open, pipeline};

#[test]
fn no_count_is_lost_between_stores_that_write_to_one_process() {
    let config = config();
    let tracker = Tracker::new(open(config.clone()));
    let process = begin(&tracker);
    process
        .module(1)
        .expect("a module")
        .start()
        .expect("it starts");
    let id = process.request_id();
    let born = tracker.get(id).expect("it is there").version().born;
    // Each adds 1 to what it has read, if nobody else has come before: who has, tries again.
    let (stores, each) = (4, 25);
    thread::scope(|scope| {
        for _ in 0..stores {
            scope.spawn(|| {
                let store = open(config.clone());
                let tracker = Tracker::new(Arc::clone(&store));
                for _ in 0..each {
                    loop {
                        let now = tracker.get(id).expect("it is there");
                        let done = now.modules()[0].progress().map_or(0, Progress::done);
                        let guard = Guard::new().born(born).attempt(1).revision(now.revision());
                        let change = Change::progress(1, Progress::unbounded(done + 1));
                        let op = tracker.op(id, change).guarded(guard);
                        let verdicts = store.write(&[op]).expect("it is written");
                        if matches!(&verdicts[0], Ok(applied) if applied.changed) {
                            break;
                        }
                    }
                }
            });
        }
    });
    let ended = tracker.get(id).expect("it is there");
    let done = ended.modules()[0].progress().map(Progress::done);
    assert_eq!(done, Some(stores * each));
    assert_eq!(ended.revision(), 2 + stores * each);
}

#[test]
fn large_batches_of_the_same_processes_all_get_done() {
    let config = config();
    let store = open(config.clone());
    let tracker = Tracker::new(Arc::clone(&store));
    let creations = (0..200).map(|_| creation(&tracker)).collect::<Vec<_>>();
    store.write(&creations).expect("they begin");
    // Small ones keep coming in the way of large ones.
    thread::scope(|scope| {
        for small in [false, true, true] {
            let (config, creations) = (config.clone(), &creations);
            scope.spawn(move || {
                let store = open(config);
                let tracker = Tracker::new(Arc::clone(&store));
                for round in 0..if small { 200 } else { 10 } {
                    let some = if small {
                        &creations[round..=round]
                    } else {
                        &creations[..]
                    };
                    let ops = some
                        .iter()
                        .map(|op| tracker.op(op.id, Change::progress(1, Progress::unbounded(1))))
                        .collect::<Vec<_>>();
                    store.write(&ops).expect("it is written");
                }
            });
        }
    });
    let ids = creations.iter().map(|op| op.id).collect::<Vec<_>>();
    let versions = store.versions(&ids).expect("they are read");
    assert!(versions.iter().all(Option::is_some));
}

/// What was decided on a state does not hold for another that came to the same version: erased, begun anew by the same op,
/// and gone another way, while the first decision was on its way.
#[test]
fn an_erased_process_that_was_begun_anew_is_not_taken_for_the_old_one() {
    let server = Server::shared();
    let proxy = Proxy::to(server.port());
    let config = config();
    let late = PostgresConfig {
        url: proxy.url(),
        ..config.clone()
    };
    let (store, other) = (open(late), open(config));
    let tracker = Tracker::new(Arc::clone(&store));
    let creation = creation(&tracker);
    let id = creation.id;
    store
        .write(std::slice::from_ref(&creation))
        .expect("it begins");
    let ops = |message| {
        let progress = Progress::unbounded(1).message(message);
        [
            tracker.op(id, Change::start(1)),
            tracker.op(id, Change::progress(1, progress)),
        ]
    };
    store.write(&ops("the first life")).expect("it goes on");
    let anew = [
        [tracker.op(id, Change::erase()), creation].as_slice(),
        &ops("the second life"),
    ]
    .concat();
    proxy.fail(Fault::Late(b"BEGIN ISOLATION", Duration::from_secs(1)));
    thread::scope(|scope| {
        let decided = scope.spawn(|| store.write(&[tracker.op(id, Change::complete(1))]));
        while !proxy.has_failed() {
            thread::sleep(Duration::from_millis(1));
        }
        other.write(&anew).expect("it begins anew");
        decided.join().expect("no panic").expect("it is written");
    });
    let now = tracker.get(id).expect("it is there");
    assert_eq!(now.revision(), 4);
    let second = Progress::unbounded(1).message("the second life");
    assert_eq!(now.modules()[0].progress(), Some(&second));
}

#[test]
fn it_serves_threads_of_a_runtime_without_standing_in_its_way() {
    let config = config();
    for runtime in [
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build(),
        tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build(),
    ] {
        let config = config.clone();
        runtime.expect("a runtime").block_on(async move {
            // Opened, used and dropped where one must not block on another runtime.
            let tracker = Tracker::new(open(config));
            let process = begin(&tracker);
            tokio::task::yield_now().await;
            tracker
                .process_status(process.request_id())
                .expect("a report");
            drop((process, tracker));
        });
    }
}

#[test]
fn many_threads_share_few_connections() {
    let tracker = Tracker::new(open(config()));
    thread::scope(|scope| {
        for _ in 0..32 {
            scope.spawn(|| {
                for _ in 0..20 {
                    let new = NewProcess::new(&pipeline());
                    let process = tracker.begin(new).expect("it begins");
                    for module in process.modules() {
                        module.complete().expect("it completes");
                    }
                }
            });
        }
    });
    let counted = tracker
        .count(&milepost_core::Query::new())
        .expect("a count");
    assert_eq!(counted.complete, 32 * 20);
}
