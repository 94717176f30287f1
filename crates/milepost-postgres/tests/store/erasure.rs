//! What is left of what was erased, and what is said of it.

use milepost_core::{NewProcess, Query, StatusStore as _, Tracker, Wipe, WipeLevel};
use milepost_server::{Server, stands_below};

use super::{comes_true, on, open, pipeline, while_another};

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
fn wipes_at_once_share_a_vacuum_and_none_takes_one_that_began_before_it() {
    let server = Server::shared();
    let config = milepost_postgres::PostgresConfig {
        wipe_budget: std::time::Duration::from_millis(50),
        ..on(server)
    };
    let schema = config.schema.clone();
    let store = open(config);
    let vacuums = || {
        let counted = server.psql(&format!(
            "SELECT vacuum_count FROM pg_stat_user_tables WHERE schemaname = '{schema}' AND relname = 'process'"
        ));
        counted.parse::<u32>().expect("a number")
    };
    let before = vacuums();
    // Who holds this has a vacuum wait, and nobody else.
    let lock = format!("LOCK {schema}.process IN SHARE UPDATE EXCLUSIVE MODE");
    while_another(server, &lock, 1, || {
        std::thread::scope(|scope| {
            let wipes = [(); 8].map(|()| scope.spawn(|| store.wipe(WipeLevel::Files)));
            for wipe in wipes {
                let wipe = wipe.join().expect("no panic").expect("a wipe");
                assert!(matches!(wipe, Wipe::Pending { .. }), "{wipe:?}");
            }
        });
    });
    // Once that one is at its end, another begins for who asks now.
    let done = (0..200).any(|_| matches!(store.wipe(WipeLevel::Files), Ok(Wipe::Limited { .. })));
    assert!(done, "it is never done");
    let counted = format!(
        "SELECT vacuum_count - {before} = 2 FROM pg_stat_user_tables
         WHERE schemaname = '{schema}' AND relname = 'process'"
    );
    assert!(
        comes_true(server, &counted),
        "{} vacuums",
        vacuums() - before
    );
}
