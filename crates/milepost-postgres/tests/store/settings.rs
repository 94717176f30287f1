//! Servers that are set otherwise than they come.

use std::sync::Arc;
use std::time::Duration;

use milepost_core::{Clock as _, Query, StatusStore as _, StoreErrorKind, SystemClock, Tracker};
use milepost_postgres::PostgresConfig;
use milepost_server::Server;

use super::{begin, comes_true, config, in_full, kind, on, open, refused, while_another};

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

/// Contract, sentence 3, where a role is set to be told before its commits are durable. Nobody else writes there, and the
/// server itself is about to write its log out in ten seconds.
#[test]
fn commits_are_waited_for_where_the_session_would_not() {
    let server = Server::start_with(&["wal_writer_delay=10s", "synchronous_commit=off"]);
    let store = open(on(&server));
    let tracker = Tracker::new(Arc::clone(&store));
    let flushed =
        || server.psql("SELECT pg_current_wal_flush_lsn() >= pg_current_wal_insert_lsn()");
    let id = begin(&tracker).request_id();
    assert_eq!(flushed(), "t", "a beginning");
    let hour = std::time::Duration::from_hours(1);
    let expiry = milepost_core::Update::new().expires_in(hour);
    tracker.update(id, expiry).expect("it expires");
    assert_eq!(flushed(), "t", "an update");
    let later = SystemClock.now() + 2 * hour;
    assert_eq!(store.purge(later, 10).expect("a purge"), 1);
    assert_eq!(flushed(), "t", "a purge");
    // The question can be answered otherwise.
    server
        .psql("CREATE TABLE other (n integer); INSERT INTO other SELECT generate_series(1, 1000)");
    assert_eq!(flushed(), "f");
}

#[test]
fn who_finds_no_connection_until_the_deadline_is_busy() {
    let config = PostgresConfig {
        connections: 2,
        busy_timeout: Duration::from_millis(200),
        ..config()
    };
    let schema = config.schema.clone();
    let store = open(config);
    let tracker = Tracker::new(Arc::clone(&store));
    let id = begin(&tracker).request_id();
    let server = Server::shared();
    // Whoever holds the table has both of the store's connections wait.
    let lock = format!("LOCK {schema}.process IN ACCESS EXCLUSIVE MODE");
    while_another(server, &lock, 3, || {
        std::thread::scope(|scope| {
            let first = [(); 2].map(|()| scope.spawn(|| tracker.get(id).map(drop)));
            let both_wait = format!(
                "SELECT count(*) = 2 FROM pg_locks WHERE relation = '{schema}.process'::regclass AND NOT granted"
            );
            assert!(comes_true(server, &both_wait));
            let error = tracker.get(id).expect_err("there is no connection");
            assert_eq!(kind(&error), Some(StoreErrorKind::Busy), "{error:?}");
            for waited in first {
                waited.join().expect("no panic").expect("it has waited");
            }
        });
    });
    tracker.get(id).expect("there is one again");
}

#[test]
fn who_waits_for_a_row_until_the_deadline_is_busy_and_has_changed_nothing() {
    // Also where the server has less time to answer than others may be waited for.
    for answer_timeout in [10, 1].map(Duration::from_secs) {
        let config = PostgresConfig {
            busy_timeout: Duration::from_millis(1_500),
            answer_timeout,
            ..config()
        };
        let schema = config.schema.clone();
        let store = open(config);
        let tracker = Tracker::new(Arc::clone(&store));
        let process = begin(&tracker);
        let other = begin(&tracker);
        let server = Server::shared();
        let hold = format!(
            "UPDATE {schema}.process SET revision = revision WHERE request_id = '{}'",
            process.request_id()
        );
        while_another(server, &hold, 4, || {
            std::thread::scope(|scope| {
                let waits = scope.spawn(|| process.module(1).expect("a module").start());
                std::thread::sleep(Duration::from_millis(50));
                // Nor is anybody else kept from theirs for longer than it takes to tell who is to wait.
                let free = other.module(1).expect("a module").start();
                free.expect("nobody holds it");
                let error = waits
                    .join()
                    .expect("no panic")
                    .expect_err("somebody holds it");
                assert_eq!(kind(&error), Some(StoreErrorKind::Busy), "{error:?}");
            });
        });
        let stored = tracker.get(process.request_id()).expect("it is there");
        assert_eq!(stored.revision(), 1);
    }
}

#[test]
fn who_is_in_a_deadlock_with_others_tries_again() {
    let config = config();
    let schema = config.schema.clone();
    let store = open(config);
    let tracker = Tracker::new(Arc::clone(&store));
    let mut ids = [begin(&tracker), begin(&tracker)].map(|process| process.request_id());
    ids.sort_unstable();
    let server = Server::shared();
    let touch =
        |id| format!("UPDATE {schema}.process SET revision = revision WHERE request_id = '{id}'");
    std::thread::scope(|scope| {
        // It holds the second, and wants the first once the store has that.
        let other = scope.spawn(|| {
            server.psql(&format!(
                "BEGIN; {}; SELECT pg_sleep(0.7); {}; COMMIT",
                touch(ids[1]),
                touch(ids[0])
            ))
        });
        let sleeps = "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE wait_event = 'PgSleep')";
        assert!(comes_true(server, sleeps));
        let ops = ids.map(|id| tracker.op(id, milepost_core::Change::start(1)));
        let verdicts = store
            .write(&ops)
            .expect("it is written once the other has had its way");
        assert!(
            verdicts
                .iter()
                .all(|verdict| matches!(verdict, Ok(applied) if applied.changed))
        );
        other.join().expect("no panic");
    });
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
