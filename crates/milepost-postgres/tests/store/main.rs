//! What the PostgreSQL store does beyond the contract: with servers that fail, roles that may not, and others beside it.

mod encrypted;
mod erasure;
mod faults;
mod opening;
mod plans;
mod pooled;
mod settings;
mod sharing;

use std::sync::Arc;

use milepost_core::{
    Change, NewProcess, Op, Pipeline, ProcessHandle, StatusStore, StoreError, StoreErrorKind,
    TrackError, Tracker,
};
use milepost_postgres::{PostgresConfig, PostgresStore};
use milepost_server::Server;

/// Tables of a test's own on the server that all tests share.
fn config() -> PostgresConfig {
    on(Server::shared())
}

fn on(server: &Server) -> PostgresConfig {
    PostgresConfig {
        schema: server.name(),
        ..PostgresConfig::new(server.url())
    }
}

fn open(config: PostgresConfig) -> Arc<PostgresStore> {
    Arc::new(PostgresStore::connect_with(config).expect("it connects"))
}

fn refused(config: PostgresConfig) -> StoreError {
    match PostgresStore::connect_with(config) {
        Ok(store) => panic!("{store:?} was opened"),
        Err(error) => error,
    }
}

fn pipeline() -> Pipeline {
    Pipeline::new("invoice-ocr", ["ocr", "parser"]).expect("a pipeline")
}

fn begin(tracker: &Tracker) -> ProcessHandle {
    let new = NewProcess::new(&pipeline()).file_name("invoice.pdf");
    tracker.begin(new).expect("it begins")
}

/// An op that begins a process of a new id.
fn creation(tracker: &Tracker) -> Op {
    tracker
        .prepare(NewProcess::new(&pipeline()))
        .expect("it may begin")
}

/// The same error with all that led to it, as a host would log it.
fn in_full(error: &StoreError) -> String {
    let mut said = format!("{error} {error:?}");
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        said = format!("{said}: {error} {error:?}");
        cause = error.source();
    }
    said
}

fn kind(error: &TrackError) -> Option<StoreErrorKind> {
    match error {
        TrackError::Store(error) => Some(error.kind()),
        _ => None,
    }
}

/// Sends a batch until it is said to be kept.
fn send(store: &dyn StatusStore, ops: &[Op]) {
    for _ in 0..1_000 {
        match store.write(ops) {
            Ok(_) => return,
            Err(error) if error.is_retryable() => {}
            Err(error) if error.kind() == StoreErrorKind::OutcomeUnknown => {}
            Err(error) => panic!("{}", in_full(&error)),
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    panic!("it was never kept");
}

/// What starts the first module of a process.
fn start(tracker: &Tracker, process: &ProcessHandle) -> Op {
    tracker.op(process.request_id(), Change::start(1))
}

/// Whether the server says so within some seconds.
fn comes_true(server: &Server, question: &str) -> bool {
    (0..200).any(|_| {
        let is_true = server.psql(question) == "t";
        if !is_true {
            std::thread::sleep(std::time::Duration::from_millis(25));
        }
        is_true
    })
}

/// Does something while somebody else is in a transaction in which they have done this; then they take it back, after so many
/// seconds at the latest.
fn while_another<T>(server: &Server, has_done: &str, seconds: u32, act: impl FnOnce() -> T) -> T {
    let name = server.name();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            server.psql(&format!(
                "SET application_name = '{name}'; BEGIN; {has_done}; SELECT pg_sleep({seconds}); ROLLBACK"
            ))
        });
        let sleeps = format!(
            "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE application_name = '{name}' AND wait_event = 'PgSleep')"
        );
        assert!(comes_true(server, &sleeps), "the other has not begun");
        act()
    })
}
