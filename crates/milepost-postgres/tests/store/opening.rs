//! Opening: which servers, tables and roles are taken, and what is said of those that are not.

use milepost_core::{StoreErrorKind, Tracker};
use milepost_postgres::{PostgresConfig, PostgresStore};
use milepost_server::Server;

use super::{begin, config, in_full, on, open, refused};

#[test]
fn a_second_store_finds_what_the_first_has_kept() {
    let config = config();
    let id = begin(&Tracker::new(open(config.clone()))).request_id();
    let again = Tracker::new(open(config));
    assert_eq!(
        again.get(id).expect("it is there").file().name(),
        "invoice.pdf"
    );
}

#[test]
fn many_who_open_at_once_make_the_tables_once() {
    let config = config();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| begin(&Tracker::new(open(config.clone()))));
        }
    });
    let tracker = Tracker::new(open(config));
    let count = tracker.count(&milepost_core::Query::new());
    assert_eq!(count.expect("a count").total(), 8);
}

#[test]
fn no_tables_are_made_where_none_are_to_be() {
    let config = PostgresConfig {
        create_if_missing: false,
        ..config()
    };
    let error = refused(config.clone());
    assert_eq!(error.kind(), StoreErrorKind::Incompatible);
    assert!(
        in_full(&error).contains("schema_sql"),
        "{}",
        in_full(&error)
    );
    // What it says to do is what helps.
    Server::shared().psql(&config.schema_sql().expect("a name"));
    begin(&Tracker::new(open(config)));
}

#[test]
fn a_role_that_may_only_use_the_tables_is_enough() {
    let server = Server::shared();
    let owner = on(server);
    let schema = owner.schema.clone();
    let role = server.name();
    server.psql(&owner.schema_sql().expect("a name"));
    server.psql(&format!(
        "CREATE ROLE {role} LOGIN;
         GRANT USAGE ON SCHEMA {schema} TO {role};
         GRANT SELECT ON {schema}.milepost_migration TO {role};
         GRANT SELECT, INSERT, UPDATE, DELETE ON {schema}.process TO {role};"
    ));
    let config = PostgresConfig {
        url: server
            .url()
            .replace("user=postgres", &format!("user={role}")),
        ..owner
    };
    let tracker = Tracker::new(open(config));
    let id = begin(&tracker).request_id();
    tracker.erase(id).expect("it is erased");
    // Nor is more than that asked of it when it wipes.
    let wiped = format!("{:?}", tracker.wipe().expect("a wipe"));
    assert!(wiped.contains("does not own"), "{wiped}");
}

#[test]
fn a_role_that_may_not_make_tables_is_told_so() {
    let server = Server::shared();
    let role = server.name();
    server.psql(&format!("CREATE ROLE {role} LOGIN"));
    let config = PostgresConfig {
        url: server
            .url()
            .replace("user=postgres", &format!("user={role}")),
        ..on(server)
    };
    let error = refused(config);
    assert_eq!(error.kind(), StoreErrorKind::Unavailable);
    assert!(
        in_full(&error).contains("permission denied"),
        "{}",
        in_full(&error)
    );
}

#[test]
fn tables_of_a_newer_version_are_refused_and_left_alone() {
    let config = config();
    drop(open(config.clone()));
    let server = Server::shared();
    server.psql(&format!(
        "INSERT INTO {}.milepost_migration VALUES (1000)",
        config.schema
    ));
    let error = refused(config.clone());
    assert_eq!(error.kind(), StoreErrorKind::Incompatible);
    assert!(
        in_full(&error).contains("version 1000"),
        "{}",
        in_full(&error)
    );
    let versions = server.psql(&format!(
        "SELECT count(*) FROM {}.milepost_migration",
        config.schema
    ));
    assert_eq!(versions, "2");
}

#[test]
fn tables_of_others_under_the_same_names_are_refused_and_left_alone() {
    let server = Server::shared();
    for tables in [
        "CREATE TABLE {}.process (n integer)",
        "CREATE TABLE {}.milepost_migration (version bigint); INSERT INTO {}.milepost_migration VALUES (1)",
    ] {
        let config = on(server);
        let schema = &config.schema;
        server.psql(&format!(
            "CREATE SCHEMA {schema}; {}",
            tables.replace("{}", schema)
        ));
        let error = refused(config.clone());
        assert_eq!(
            error.kind(),
            StoreErrorKind::Incompatible,
            "{}",
            in_full(&error)
        );
        let left = server.psql(&format!(
            "SELECT count(*) FROM pg_class WHERE relnamespace = '{schema}'::regnamespace"
        ));
        assert_eq!(left, "1", "{tables}");
    }
}

/// As the crate's README shows it.
#[test]
fn tables_that_their_owner_has_partitioned_are_as_good() {
    let server = Server::shared();
    let config = on(server);
    drop(open(config.clone()));
    let readme = include_str!("../../README.md");
    let sql = readme
        .split_once("-- Partitions on one server")
        .expect("it is shown")
        .1;
    let sql = sql.split_once('\n').expect("a line").1;
    let sql = sql.split_once("```").expect("it ends").0;
    server.psql(&sql.replace("milepost.", &format!("{}.", config.schema)));
    let tracker = Tracker::new(open(config));
    let ids = (0..20)
        .map(|_| begin(&tracker).request_id())
        .collect::<Vec<_>>();
    let page = tracker
        .list(&milepost_core::Query::new().limit(15))
        .expect("a list");
    assert_eq!(page.items.len(), 15);
    for id in &ids {
        tracker
            .cancel(*id, "no longer wanted")
            .expect("it is cancelled");
        tracker.erase(*id).expect("it is erased");
    }
    assert_eq!(
        tracker
            .count(&milepost_core::Query::new())
            .expect("a count")
            .total(),
        0
    );
}

#[test]
fn a_schema_is_named_by_what_needs_no_quoting() {
    for name in ["", "1st", "a-b", "a\"b", "a'b", "naïve", &"x".repeat(64)] {
        let error = refused(PostgresConfig {
            schema: name.to_owned(),
            ..config()
        });
        assert_eq!(error.kind(), StoreErrorKind::Unsupported, "{name}");
    }
    // Capitals and words of SQL's own are names like others.
    for name in ["Status", "select", &"x".repeat(63)] {
        let config = PostgresConfig {
            schema: name.to_owned(),
            ..config()
        };
        begin(&Tracker::new(open(config)));
    }
}

#[test]
fn what_cannot_be_reached_is_unavailable_and_never_shows_its_password() {
    let secret = "correct-horse-battery";
    let server = Server::shared();
    for url in [
        // Nobody listens there.
        format!("postgres://postgres:{secret}@127.0.0.1:1/postgres"),
        format!("host=/nowhere user=postgres password={secret}"),
        format!("host=/nowhere user=postgres password='{secret} it''s'"),
        // The server is there, the database is not.
        format!(
            "postgres://postgres:{secret}@127.0.0.1:{}/nowhere",
            server.port()
        ),
        // Nor can these be read.
        format!("postgres://postgres:{secret}@127.0.0.1:port/postgres"),
        format!("postgres://postgres:p?{secret}=x@127.0.0.1/postgres"),
        secret.to_owned(),
        format!("host=127.0.0.1 {secret}=1"),
        format!("postgres://postgres:{secret}@127.0.0.1/postgres?sslmode={secret}"),
        format!(
            "postgres://postgres:{secret}@127.0.0.1/postgres?sslrootcert={secret}&sslmode=verify-full"
        ),
    ] {
        let config = PostgresConfig::new(url.clone());
        assert!(!format!("{config:?}").contains(secret), "{config:?}");
        let error = match PostgresStore::connect_with(config) {
            Ok(store) => panic!("{store:?} was opened"),
            Err(error) => error,
        };
        assert!(
            matches!(
                error.kind(),
                StoreErrorKind::Unavailable | StoreErrorKind::Unsupported
            ),
            "{error:?}"
        );
        // A path is not a password, and has to be named.
        if !url.contains("sslrootcert") {
            assert!(!in_full(&error).contains(secret), "{}", in_full(&error));
        }
    }
}

#[test]
fn a_wrong_password_is_said_without_it() {
    let server = Server::start_with(&["password_encryption=scram-sha-256"]);
    let secret = "correct-horse-battery";
    server.psql("CREATE ROLE app LOGIN SUPERUSER PASSWORD 'another'");
    let rules = server.data_directory().join("pg_hba.conf");
    std::fs::write(
        rules,
        "local all postgres trust\nhost all all 127.0.0.1/32 scram-sha-256\n",
    )
    .expect("it can be written");
    server.psql("SELECT pg_reload_conf()");
    let url = |password| {
        format!(
            "postgres://app:{password}@127.0.0.1:{}/postgres",
            server.port()
        )
    };
    let error = refused(PostgresConfig::new(url(secret)));
    assert_eq!(error.kind(), StoreErrorKind::Unavailable);
    assert!(
        in_full(&error).contains("authentication"),
        "{}",
        in_full(&error)
    );
    assert!(!in_full(&error).contains(secret), "{}", in_full(&error));
    let store = open(PostgresConfig::new(url("another")));
    assert!(!format!("{store:?}").contains("another"), "{store:?}");
    let log = std::fs::read_to_string(server.log()).expect("it has a log");
    assert!(!log.contains(secret), "{log}");
}

#[test]
fn nothing_stays_connected_once_the_last_handle_is_dropped() {
    let server = Server::shared();
    let name = server.name();
    let config = PostgresConfig {
        url: format!("{} application_name={name}", server.url()),
        ..on(server)
    };
    let tracker = Tracker::new(open(config));
    begin(&tracker);
    let count = || {
        server.psql(&format!(
            "SELECT count(*) FROM pg_stat_activity WHERE application_name = '{name}'"
        ))
    };
    assert_ne!(count(), "0");
    drop(tracker);
    // The server sees it a moment later.
    for _ in 0..100 {
        if count() == "0" {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    panic!("{} connections are left", count());
}
