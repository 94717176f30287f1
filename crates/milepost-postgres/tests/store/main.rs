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
