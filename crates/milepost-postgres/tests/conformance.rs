//! The PostgreSQL store keeps the whole contract: reopened between steps, and opened twice at once.

use milepost_conformance::Subject;
use milepost_postgres::{PostgresConfig, PostgresStore};
use milepost_server::Server;

fn subject() -> Subject {
    Subject::durable(|| {
        let server = Server::shared();
        let schema = server.name();
        move || {
            let config = PostgresConfig {
                schema: schema.clone(),
                ..PostgresConfig::new(server.url())
            };
            PostgresStore::connect_with(config).expect("it connects")
        }
    })
}

milepost_conformance::laws!(subject());
