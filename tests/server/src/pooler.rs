//! A pooler between a store and a server: each transaction goes to whichever connection is free.

use std::fs;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Instant;

use tempfile::TempDir;

use crate::{PATIENCE, Proxy, Server, as_server_user, free_port, own, spawn_until_exit};

/// A running pgbouncer, in transaction mode.
#[derive(Debug)]
pub struct Pooler {
    directory: TempDir,
    port: u16,
    running: Child,
}

impl Pooler {
    /// Starts one with two connections to a server, whoever comes.
    ///
    /// # Panics
    ///
    /// If none is installed, or it does not come up.
    #[must_use]
    pub fn to(server: &Server) -> Self {
        Pooler::to_port(server.port())
    }

    /// Starts one whose server is behind a network that fails when it is told to.
    ///
    /// # Panics
    ///
    /// As [`to`](Pooler::to).
    #[must_use]
    pub fn between(proxy: &Proxy) -> Self {
        Pooler::to_port(proxy.port())
    }

    fn to_port(server: u16) -> Self {
        let directory = tempfile::tempdir().expect("there is room for a pooler");
        let port = free_port();
        let settings = directory.path().join("pgbouncer.ini");
        let text = format!(
            "[databases]
             postgres = host=127.0.0.1 port={} dbname=postgres user=postgres
             [pgbouncer]
             listen_addr = 127.0.0.1
             listen_port = {port}
             unix_socket_dir =
             auth_type = any
             pool_mode = transaction
             default_pool_size = 2
             max_client_conn = 200
             server_login_retry = 0
             logfile = {}
             ",
            server,
            directory.path().join("log").display(),
        );
        // The file is one of lines without anything before them.
        let text = text.lines().map(str::trim).collect::<Vec<_>>().join("\n");
        fs::write(&settings, text).expect("it can be written");
        own(directory.path());
        let program = ["/usr/sbin/pgbouncer", "/usr/bin/pgbouncer"]
            .into_iter()
            .find(|program| fs::exists(program).is_ok_and(|exists| exists))
            .expect("a pooler is installed: apt-get install pgbouncer");
        let mut pgbouncer = as_server_user();
        pgbouncer
            .arg(program)
            .arg("--quiet")
            .arg(&settings)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let pooler = Pooler {
            running: spawn_until_exit(pgbouncer),
            directory,
            port,
        };
        let began = Instant::now();
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(
                began.elapsed() < PATIENCE,
                "the pooler does not come up: {}",
                pooler.log()
            );
            thread::sleep(std::time::Duration::from_millis(20));
        }
        pooler
    }

    /// How to reach the server through it.
    #[must_use]
    pub fn url(&self) -> String {
        format!(
            "postgres://postgres@127.0.0.1:{}/postgres?sslmode=disable",
            self.port
        )
    }

    /// What it has said.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(self.directory.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Pooler {
    fn drop(&mut self) {
        let told = Command::new("kill")
            .arg(self.running.id().to_string())
            .status();
        if told.is_ok_and(|status| status.success()) {
            // It is gone once its parent has looked.
            let _ = self.running.wait();
        }
    }
}
