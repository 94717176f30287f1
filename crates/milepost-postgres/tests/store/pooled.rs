//! Behind a pooler in transaction mode everything works: nothing is kept in a session.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use milepost_core::{Change, Query, StatusStore as _, Tracker};
use milepost_postgres::PostgresConfig;
use milepost_server::{Pooler, Server};

use super::{begin, creation, open};

#[test]
fn everything_works_where_each_transaction_may_have_another_connection() {
    let server = Server::shared();
    let pooler = Pooler::to(server);
    let config = PostgresConfig {
        url: pooler.url(),
        schema: server.name(),
        ..PostgresConfig::new("")
    };
    // More connections than the pooler has, from several stores.
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let store = open(config.clone());
                let tracker =
                    Tracker::new(Arc::clone(&store)).poll_interval(Duration::from_millis(10));
                for _ in 0..10 {
                    let process = begin(&tracker);
                    let id = process.request_id();
                    for module in process.modules() {
                        module.start().expect("it starts");
                        module.complete().expect("it completes");
                    }
                    let ended = tracker
                        .wait(id, Duration::from_secs(5))
                        .expect("it has ended");
                    assert!(ended.settled_at().is_some());
                    tracker
                        .list(&Query::new().pipeline("invoice-ocr"))
                        .expect("a list");
                    let batch = (0..50).map(|_| creation(&tracker)).collect::<Vec<_>>();
                    store.write(&batch).expect("they begin");
                    let erase = batch.iter().map(|op| tracker.op(op.id, Change::erase()));
                    store
                        .write(&erase.collect::<Vec<_>>())
                        .expect("they are erased");
                }
            });
        }
    });
    let tracker = Tracker::new(open(config));
    tracker.wipe().expect("a wipe");
    let counted = tracker.count(&Query::new()).expect("a count");
    assert_eq!((counted.complete, counted.ongoing), (40, 0));
}
