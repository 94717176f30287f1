//! What is left of what was erased, and what is said of it.

use milepost_core::{NewProcess, Query, StatusStore as _, Tracker, Wipe, WipeLevel};
use milepost_server::{Server, stands_below};

use super::{on, open, pipeline};

const MARK: &str = "a-mark-that-nobody-else-has";

#[test]
fn what_was_erased_is_out_of_every_answer_and_a_wipe_says_where_its_bytes_may_be() {
    let server = Server::start();
    let config = on(&server);
    let schema = config.schema.clone();
    let store = open(config);
    let tracker = Tracker::new(std::sync::Arc::clone(&store));
    let new = NewProcess::new(&pipeline())
        .file_name(MARK)
        .symbolic_directory_path(&format!("/{MARK}"));
    let id = tracker.begin(new).expect("it begins").request_id();
    server.psql(&format!("ANALYZE {schema}.process"));
    let erased = tracker.erase(id).expect("it is erased");
    assert_eq!(erased.processes, 1);
    assert!(tracker.get(id).is_err_and(|error| error.is_not_found()));
    assert!(
        tracker
            .list(&Query::new())
            .expect("a list")
            .items
            .is_empty()
    );

    let wipe = tracker.wipe().expect("a wipe");
    let Wipe::Limited { remains } = wipe else {
        panic!("{wipe:?} is more than can be said");
    };
    for where_else in ["write-ahead log", "replicas", "backups"] {
        assert!(remains.contains(where_else), "{remains}");
    }
    // It says so because it is so.
    server.psql("CHECKPOINT");
    let left = stands_below(&server.data_directory(), MARK.as_bytes());
    assert!(
        left.iter()
            .any(|path| path.to_string_lossy().contains("pg_wal")),
        "{left:?}"
    );
    // No statistics have kept a copy.
    let statistics =
        server.psql("SELECT count(*) FROM pg_statistic WHERE stavalues1::text LIKE '%a-mark%'");
    assert_eq!(statistics, "0");
}

#[test]
fn a_wipe_clears_the_dead_rows_away() {
    let server = Server::shared();
    let config = on(server);
    let table = format!("{}.process", config.schema);
    let store = open(config);
    let tracker = Tracker::new(std::sync::Arc::clone(&store));
    for _ in 0..100 {
        tracker
            .begin(NewProcess::new(&pipeline()).expires_in(std::time::Duration::from_millis(1)))
            .expect("it begins");
    }
    std::thread::sleep(std::time::Duration::from_millis(5));
    assert_eq!(tracker.purge().expect("a purge"), 100);
    // Until others that looked at the table meanwhile are done.
    for _ in 0..100 {
        store.wipe(WipeLevel::Files).expect("a wipe");
        let pages = server.psql(&format!("SELECT pg_relation_size('{table}')"));
        if pages == "0" {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    panic!("the dead rows are still there");
}

#[test]
fn wipes_at_once_share_one_vacuum() {
    let config = milepost_postgres::PostgresConfig {
        wipe_budget: std::time::Duration::from_millis(50),
        ..super::config()
    };
    let schema = config.schema.clone();
    let store = open(config);
    let server = Server::shared();
    std::thread::scope(|scope| {
        // Whoever looks at the catalogue's row of the table has the vacuum wait.
        scope.spawn(|| {
            server.psql(&format!(
                "BEGIN; LOCK pg_class IN ACCESS EXCLUSIVE MODE; SELECT pg_sleep(1); COMMIT -- {schema}"
            ))
        });
        std::thread::sleep(std::time::Duration::from_millis(300));
        for _ in 0..3 {
            let wipe = store.wipe(WipeLevel::Files).expect("a wipe");
            assert!(matches!(wipe, Wipe::Pending { .. }), "{wipe:?}");
        }
    });
    for _ in 0..100 {
        if matches!(store.wipe(WipeLevel::Files), Ok(Wipe::Limited { .. })) {
            return;
        }
    }
    panic!("it is never done");
}
