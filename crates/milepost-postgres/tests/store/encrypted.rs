//! Encrypted connections: whom each `sslmode` trusts.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use milepost_core::{StoreErrorKind, Tracker};
use milepost_postgres::{PostgresConfig, PostgresStore};
use milepost_server::Server;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};

use super::{begin, in_full};

/// An authority, and its certificate in a file.
struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    directory: tempfile::TempDir,
}

impl Authority {
    fn new() -> Self {
        let mut parameters = CertificateParams::new(Vec::new()).expect("no names are valid names");
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let issuer = CertifiedIssuer::self_signed(parameters, key).expect("a certificate");
        let directory = tempfile::tempdir().expect("there is room");
        fs::write(directory.path().join("root.pem"), issuer.pem()).expect("it is written");
        Authority { issuer, directory }
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("root.pem")
    }

    /// A server that this authority speaks for under a name.
    fn server(&self, name: &str) -> Server {
        let parameters = CertificateParams::new([name.to_owned()]).expect("a name");
        let key = KeyPair::generate().expect("a key");
        let certificate = parameters
            .signed_by(&key, &self.issuer)
            .expect("a certificate");
        Server::start_encrypted(&certificate.pem(), &key.serialize_pem())
    }
}

/// Whether a store connects, and whether it is encrypted then.
fn connects(server: &Server, host: &str, options: &str) -> Result<bool, String> {
    let url = format!(
        "postgres://postgres@{host}:{}/postgres?{options}",
        server.port()
    );
    let name = server.name();
    let config = PostgresConfig {
        schema: name.clone(),
        ..PostgresConfig::new(format!("{url}&application_name={name}"))
    };
    let store = PostgresStore::connect_with(config)
        .map(Arc::new)
        .map_err(|error| {
            assert_eq!(
                error.kind(),
                StoreErrorKind::Unavailable,
                "{}",
                in_full(&error)
            );
            in_full(&error)
        })?;
    begin(&Tracker::new(store.clone()));
    let encrypted = server.psql(&format!(
        "SELECT bool_and(ssl) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE application_name = '{name}'"
    ));
    Ok(encrypted == "t")
}

#[test]
fn who_is_trusted_is_what_sslmode_says() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let server = authority.server("localhost");
    let trusted = format!("sslrootcert={}", authority.path().display());
    let other = format!("sslrootcert={}", stranger.path().display());
    // Host, what is asked, and whether the connection is encrypted if the server is taken.
    for (host, options, taken) in [
        ("localhost", "sslmode=disable".to_owned(), Some(false)),
        ("localhost", "sslmode=prefer".to_owned(), Some(true)),
        (
            "localhost",
            format!("sslmode=verify-full&{trusted}"),
            Some(true),
        ),
        (
            "localhost",
            format!("sslmode=require&{trusted}"),
            Some(true),
        ),
        (
            "localhost",
            format!("sslmode=verify-ca&{trusted}"),
            Some(true),
        ),
        // Another name than that in the certificate.
        ("127.0.0.1", format!("sslmode=verify-full&{trusted}"), None),
        ("127.0.0.1", format!("sslmode=require&{trusted}"), None),
        (
            "127.0.0.1",
            format!("sslmode=verify-ca&{trusted}"),
            Some(true),
        ),
        // Another authority; the system's are others, too.
        ("localhost", format!("sslmode=verify-full&{other}"), None),
        ("localhost", format!("sslmode=verify-ca&{other}"), None),
        ("localhost", "sslmode=require".to_owned(), None),
    ] {
        let outcome = connects(&server, host, &options);
        assert_eq!(outcome.clone().ok(), taken, "{host} {options}: {outcome:?}");
    }
}

#[test]
fn who_asks_for_encryption_is_not_served_without_it() {
    let server = Server::shared();
    let authority = Authority::new();
    let trusted = format!("sslrootcert={}", authority.path().display());
    for mode in ["require", "verify-ca", "verify-full"] {
        let outcome = connects(server, "127.0.0.1", &format!("sslmode={mode}&{trusted}"));
        assert!(outcome.is_err(), "{mode}");
    }
    assert_eq!(connects(server, "127.0.0.1", "sslmode=prefer"), Ok(false));
}
