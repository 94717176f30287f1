//! Connections that break, and servers that go and come back.

use std::slice;
use std::sync::Arc;
use std::time::{Duration, Instant};

use milepost_core::{Query, StatusStore as _, StoreError, StoreErrorKind, Tracker};
use milepost_postgres::PostgresConfig;
use milepost_server::{Fault, Pooler, Proxy, Server};

use super::{begin, creation, in_full, kind, on, open, send, start};

/// What begins a transaction on the wire, and what commits one.
const BEGIN: &[u8] = b"BEGIN ISOLATION";
const COMMIT: &[u8] = b"COMMIT\0";

/// Tables of a test's own, behind a network that fails when it is told to.
fn through(proxy: &Proxy, server: &Server) -> PostgresConfig {
    PostgresConfig {
        url: proxy.url(),
        ..on(server)
    }
}

fn through_proxy() -> (Proxy, PostgresConfig) {
    let server = Server::shared();
    let proxy = Proxy::to(server.port());
    let config = through(&proxy, server);
    (proxy, config)
}

fn unknown(error: &StoreError) -> bool {
    error.kind() == StoreErrorKind::OutcomeUnknown
}

#[test]
fn a_connection_that_breaks_before_its_commit_arrives_leaves_nothing() {
    let (proxy, config) = through_proxy();
    let store = open(config);
    let tracker = Tracker::new(Arc::clone(&store));
    let op = creation(&tracker);
    proxy.fail(Fault::Before(COMMIT));
    let error = store.write(slice::from_ref(&op)).expect_err("it is cut");
    assert!(unknown(&error), "{}", in_full(&error));
    assert_eq!(store.read(op.id).expect("it is read"), None);
    send(&*store, slice::from_ref(&op));
    assert!(store.read(op.id).expect("it is read").is_some());
}

#[test]
fn a_connection_that_breaks_after_its_commit_has_kept_all_and_sending_again_changes_nothing() {
    let (proxy, config) = through_proxy();
    let store = open(config);
    let tracker = Tracker::new(Arc::clone(&store));
    let process = begin(&tracker);
    let op = start(&tracker, &process);
    proxy.fail(Fault::Answered(COMMIT, COMMIT));
    let error = store.write(slice::from_ref(&op)).expect_err("it is cut");
    assert!(unknown(&error), "{}", in_full(&error));
    assert!(proxy.has_failed());
    let kept = store.read(op.id).expect("it is read").expect("it is there");
    assert_eq!(kept.revision(), 2);
    let verdicts = store.write(slice::from_ref(&op)).expect("it is written");
    assert!(matches!(&verdicts[0], Ok(applied) if !applied.changed));
}

/// The statements of a transaction that could not begin would each be one of its own.
#[test]
fn nothing_is_kept_of_a_transaction_that_could_not_begin() {
    let (proxy, config) = through_proxy();
    let store = open(config);
    let tracker = Tracker::new(Arc::clone(&store));
    let begun = begin(&tracker);
    let erased = begin(&tracker);
    let id = erased.request_id();
    let ops = [
        creation(&tracker),
        start(&tracker, &begun),
        tracker.op(id, milepost_core::Change::erase()),
    ];
    proxy.fail(Fault::Altered(BEGIN, b"BOGUS ISOLATION"));
    let error = store.write(&ops).expect_err("it cannot begin");
    assert!(proxy.has_failed());
    assert!(!unknown(&error), "{}", in_full(&error));
    assert_eq!(store.read(ops[0].id).expect("it is read"), None);
    let stored = store.read(begun.request_id()).expect("it is read");
    assert_eq!(stored.expect("it is there").revision(), 1);
    assert!(store.read(id).expect("it is read").is_some());
    // And the connection is none the worse for it.
    store.write(&ops).expect("they are written");
}

#[test]
fn connections_that_broke_unused_are_replaced_unseen() {
    let (proxy, config) = through_proxy();
    let tracker = Tracker::new(open(config));
    let id = begin(&tracker).request_id();
    for _ in 0..5 {
        proxy.cut();
        tracker.get(id).expect("it is read");
        proxy.cut();
        begin(&tracker);
    }
    assert_eq!(tracker.count(&Query::new()).expect("a count").total(), 6);
}

#[test]
fn who_is_cut_off_by_an_operator_goes_on() {
    let server = Server::shared();
    let name = server.name();
    let config = PostgresConfig {
        url: format!("{} application_name={name}", server.url()),
        ..on(server)
    };
    let store = open(config);
    let tracker = Tracker::new(Arc::clone(&store));
    std::thread::scope(|scope| {
        let cuts = scope.spawn(|| {
            for _ in 0..20 {
                server.psql(&format!(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = '{name}'"
                ));
                std::thread::sleep(Duration::from_millis(20));
            }
        });
        while !cuts.is_finished() {
            let op = creation(&tracker);
            send(&*store, slice::from_ref(&op));
            for _ in 0..100 {
                match store.read(op.id) {
                    Ok(read) => {
                        assert!(read.is_some(), "what was kept is lost");
                        break;
                    }
                    Err(error) => assert!(error.is_retryable(), "{}", in_full(&error)),
                }
            }
        }
    });
}

#[test]
fn a_server_that_is_gone_is_unavailable_and_serves_within_seconds_once_it_is_back() {
    let server = Server::start();
    let store = open(on(&server));
    let tracker = Tracker::new(Arc::clone(&store));
    let id = begin(&tracker).request_id();
    for crash in [false, true] {
        if crash {
            server.crash();
        } else {
            server.stop();
        }
        for _ in 0..3 {
            let error = tracker.get(id).expect_err("it is gone");
            assert_eq!(kind(&error), Some(StoreErrorKind::Unavailable), "{error:?}");
            let error = store.write(&[creation(&tracker)]).expect_err("it is gone");
            assert_eq!(
                error.kind(),
                StoreErrorKind::Unavailable,
                "{}",
                in_full(&error)
            );
        }
        server.resume();
        let back = Instant::now();
        while tracker.get(id).is_err() {
            assert!(
                back.elapsed() < Duration::from_secs(5),
                "it does not recover"
            );
        }
        begin(&tracker);
    }
}

#[test]
fn a_server_that_falls_silent_is_not_waited_for_without_end() {
    let (proxy, config) = through_proxy();
    let config = PostgresConfig {
        answer_timeout: Duration::from_millis(300),
        busy_timeout: Duration::from_millis(300),
        ..config
    };
    let store = open(config);
    let tracker = Tracker::new(Arc::clone(&store));
    let process = begin(&tracker);
    proxy.fall_silent();
    let began = Instant::now();
    let error = tracker
        .get(process.request_id())
        .expect_err("nothing comes");
    assert_eq!(kind(&error), Some(StoreErrorKind::Unavailable), "{error:?}");
    let error = store
        .write(&[start(&tracker, &process)])
        .expect_err("nothing comes");
    assert!(
        matches!(
            error.kind(),
            StoreErrorKind::Unavailable | StoreErrorKind::Busy
        ),
        "{}",
        in_full(&error)
    );
    assert!(began.elapsed() < Duration::from_secs(5));
    proxy.mend();
    send(&*store, &[start(&tracker, &process)]);
}

/// A pooler that has lost its server says so by itself, as the server would say that a statement has failed, while the commit
/// may have gone through.
#[test]
fn a_pooler_that_loses_its_server_leaves_the_outcome_unknown() {
    let server = Server::start();
    let proxy = Proxy::to(server.port());
    let pooler = Pooler::between(&proxy);
    let store = open(PostgresConfig::new(pooler.url()));
    let tracker = Tracker::new(Arc::clone(&store));
    let beside = open(PostgresConfig::new(server.url()));
    for kept in [false, true] {
        let op = creation(&tracker);
        proxy.fail(if kept {
            Fault::Answered(COMMIT, COMMIT)
        } else {
            Fault::Before(COMMIT)
        });
        let error = store.write(slice::from_ref(&op)).expect_err("it is cut");
        assert!(unknown(&error), "{}", in_full(&error));
        let stored = beside.read(op.id).expect("it is read");
        assert_eq!(stored.is_some(), kept);
        send(&*store, slice::from_ref(&op));
        let stored = beside.read(op.id).expect("it is read");
        assert_eq!(stored.expect("it is there").revision(), 1);
    }
}

#[test]
fn of_several_hosts_the_one_that_answers_is_taken() {
    let server = Server::shared();
    let url = format!(
        "host=127.0.0.1,127.0.0.1 port=1,{} user=postgres dbname=postgres",
        server.port()
    );
    let config = PostgresConfig { url, ..on(server) };
    begin(&Tracker::new(open(config)));
}
