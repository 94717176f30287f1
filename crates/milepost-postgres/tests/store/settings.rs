//! Servers that are set otherwise than they come.

use std::time::Duration;

use milepost_core::{Query, StoreErrorKind, Tracker};
use milepost_postgres::PostgresConfig;
use milepost_server::Server;

use super::{begin, config, in_full, kind, on, open, refused};

/// Options for the sessions of a store.
fn with_options(options: &str) -> PostgresConfig {
    let config = config();
    PostgresConfig {
        url: format!("{} options='{options}'", config.url),
        ..config
    }
}

fn works(config: &PostgresConfig) {
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let tracker = Tracker::new(open(config.clone()));
                for _ in 0..10 {
                    let process = begin(&tracker);
                    for module in process.modules() {
                        module.start().expect("it starts");
                        module.complete().expect("it completes");
                    }
                    let counted = tracker.count(&Query::new().limit(10)).expect("a count");
                    assert!(counted.complete > 0);
                    tracker.list(&Query::new()).expect("a list");
                    tracker.erase(process.request_id()).expect("it is erased");
                }
            });
        }
    });
}

#[test]
fn it_works_whatever_isolation_sessions_have() {
    for level in [
        "serializable",
        "repeatable\\\\ read",
        "read\\\\ uncommitted",
    ] {
        works(&with_options(&format!(
            "-c default_transaction_isolation={level}"
        )));
    }
}

#[test]
fn it_works_where_sessions_are_short_of_everything() {
    works(&with_options(
        "-c statement_timeout=5s -c lock_timeout=1s -c idle_in_transaction_session_timeout=1s \
         -c plan_cache_mode=force_generic_plan -c standard_conforming_strings=off -c search_path=",
    ));
}

#[test]
fn a_session_that_may_not_write_is_refused() {
    let error = refused(with_options("-c default_transaction_read_only=on"));
    assert_eq!(
        error.kind(),
        StoreErrorKind::Unavailable,
        "{}",
        in_full(&error)
    );
}

/// Contract, sentence 3, where a role is set to be told before its commits are durable.
#[test]
fn commits_are_waited_for_where_the_session_would_not() {
    let config = with_options("-c synchronous_commit=off");
    let tracker = Tracker::new(open(config));
    begin(&tracker);
    let before = flushed();
    begin(&tracker);
    assert!(flushed() > before, "nothing was flushed");
}

/// How far the server has written its log to where it is durable.
fn flushed() -> u64 {
    let place = Server::shared().psql("SELECT pg_current_wal_flush_lsn() - '0/0'::pg_lsn");
    place.parse().expect("a number")
}

#[test]
fn who_finds_no_connection_until_the_deadline_is_busy() {
    let config = PostgresConfig {
        connections: 1,
        busy_timeout: Duration::from_millis(200),
        ..config()
    };
    let schema = config.schema.clone();
    let store = open(config);
    let tracker = Tracker::new(std::sync::Arc::clone(&store));
    let id = begin(&tracker).request_id();
    let server = Server::shared();
    std::thread::scope(|scope| {
        // Whoever holds the table has the store's only connection wait.
        scope.spawn(|| {
            server.psql(&format!(
                "BEGIN; LOCK {schema}.process IN ACCESS EXCLUSIVE MODE; SELECT pg_sleep(1.5); COMMIT"
            ))
        });
        std::thread::sleep(Duration::from_millis(300));
        let first = scope.spawn(|| tracker.get(id).map(drop));
        std::thread::sleep(Duration::from_millis(100));
        let error = tracker.get(id).expect_err("there is no connection");
        assert_eq!(kind(&error), Some(StoreErrorKind::Busy), "{error:?}");
        first.join().expect("no panic").expect("it has waited");
    });
    tracker.get(id).expect("there is one again");
}

#[test]
fn who_waits_for_a_row_until_the_deadline_is_busy_and_has_changed_nothing() {
    let config = PostgresConfig {
        busy_timeout: Duration::from_millis(300),
        ..config()
    };
    let schema = config.schema.clone();
    let tracker = Tracker::new(open(config));
    let process = begin(&tracker);
    let server = Server::shared();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            server.psql(&format!(
                "BEGIN; UPDATE {schema}.process SET revision = revision; SELECT pg_sleep(1.5); ROLLBACK"
            ))
        });
        std::thread::sleep(Duration::from_millis(300));
        let module = process.module(1).expect("a module");
        let error = module.start().expect_err("somebody holds it");
        assert_eq!(kind(&error), Some(StoreErrorKind::Busy), "{error:?}");
    });
    let stored = tracker.get(process.request_id()).expect("it is there");
    assert_eq!(stored.revision(), 1);
}

#[test]
fn a_full_disk_is_full_and_nothing_of_the_batch_is_kept() {
    // No server here runs on a small disk; this is what it says when its disk is full.
    let server = Server::shared();
    let config = on(server);
    let schema = config.schema.clone();
    let tracker = Tracker::new(open(config));
    begin(&tracker);
    server.psql(&format!(
        "CREATE FUNCTION {schema}.no_room() RETURNS trigger LANGUAGE plpgsql AS
         $$ BEGIN RAISE EXCEPTION 'no space left' USING ERRCODE = 'disk_full'; END $$;
         CREATE TRIGGER no_room BEFORE INSERT ON {schema}.process EXECUTE FUNCTION {schema}.no_room();"
    ));
    let new = milepost_core::NewProcess::new(&super::pipeline());
    let error = tracker.begin(new).expect_err("there is no room");
    assert_eq!(kind(&error), Some(StoreErrorKind::Full), "{error:?}");
    let counted = tracker.count(&Query::new()).expect("a count");
    assert_eq!(counted.total(), 1);
}
