//! A PostgreSQL server of a test's own: made from the binaries that are installed, in a directory of its own, and gone with
//! whoever started it.

mod pooler;
mod proxy;

use std::ffi::OsStr;
use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{LazyLock, Mutex, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, Instant};

pub use pooler::Pooler;
pub use proxy::{Fault, Proxy};
use tempfile::TempDir;

/// How long a server may take to come up or go down.
const PATIENCE: Duration = Duration::from_mins(1);

/// Who runs the server where root would: PostgreSQL refuses to.
const USER: &str = "postgres";

/// What is run of PostgreSQL's programs.
const PROGRAMS: [&str; 4] = ["initdb", "postgres", "pg_isready", "psql"];

/// What a test's server is set to. It loses what it has in a power cut, which no test of these makes: nothing waits for a disk.
const SETTINGS: &[&str] = &[
    "fsync=off",
    "full_page_writes=off",
    "max_connections=300",
    "shared_buffers=64MB",
    "log_min_messages=warning",
];

/// A running server, or one that was stopped and can be started again.
#[derive(Debug)]
pub struct Server {
    directory: TempDir,
    binaries: PathBuf,
    port: u16,
    settings: Vec<String>,
    running: Mutex<Option<Child>>,
    names: AtomicUsize,
}

impl Server {
    /// Starts a new one.
    ///
    /// # Panics
    ///
    /// If no PostgreSQL is installed, or it does not come up.
    #[must_use]
    pub fn start() -> Self {
        Server::start_with(&[])
    }

    /// Starts a new one, with settings such as `default_transaction_isolation=serializable`.
    ///
    /// # Panics
    ///
    /// As [`start`](Server::start).
    #[must_use]
    pub fn start_with(settings: &[&str]) -> Self {
        Server::start_in(
            tempfile::tempdir().expect("there is room for a server"),
            settings,
        )
    }

    /// Starts a new one in a directory: on the disk that this is on.
    ///
    /// # Panics
    ///
    /// As [`start`](Server::start).
    #[must_use]
    pub fn start_at(directory: &Path, settings: &[&str]) -> Self {
        let own = tempfile::tempdir_in(directory).expect("there is room for a server");
        Server::start_in(own, settings)
    }

    /// Starts a new one that encrypts, with a certificate and its key in PEM.
    ///
    /// # Panics
    ///
    /// As [`start`](Server::start).
    #[must_use]
    pub fn start_encrypted(certificate: &str, key: &str) -> Self {
        let directory = tempfile::tempdir().expect("there is room for a server");
        let write = |name: &str, text: &str| {
            let path = directory.path().join(name);
            fs::write(&path, text).expect("it can be written");
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("it is ours");
            own(&path);
            path.display().to_string()
        };
        let certificate = format!("ssl_cert_file={}", write("certificate", certificate));
        let key = format!("ssl_key_file={}", write("key", key));
        Server::start_in(directory, &["ssl=on", &certificate, &key])
    }

    fn start_in(directory: TempDir, settings: &[&str]) -> Self {
        own(directory.path());
        // Others are to look through its files, and to reach its socket.
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755))
            .expect("the directory is ours");
        let server = Server {
            directory,
            binaries: binaries(),
            port: free_port(),
            settings: SETTINGS
                .iter()
                .chain(settings)
                .map(|setting| (*setting).to_owned())
                .collect(),
            running: Mutex::new(None),
            names: AtomicUsize::new(0),
        };
        let data = server.data_directory();
        let made = server
            .command("initdb")
            .args([
                "--no-sync",
                "--auth=trust",
                "--username=postgres",
                "--encoding=UTF8",
            ])
            .args(["--locale=C", "--no-instructions", "--pgdata"])
            .arg(&data)
            .stdout(Stdio::null())
            .output()
            .expect("initdb runs");
        assert!(
            made.status.success(),
            "initdb: {}",
            String::from_utf8_lossy(&made.stderr)
        );
        server.resume();
        server
    }

    /// One for all tests of this OS process.
    #[must_use]
    pub fn shared() -> &'static Server {
        static SHARED: LazyLock<Server> = LazyLock::new(Server::start);
        &SHARED
    }

    /// Starts it again, once it was stopped.
    ///
    /// # Panics
    ///
    /// If it does not come up.
    pub fn resume(&self) {
        let mut postgres = self.command("postgres");
        postgres
            .arg("-D")
            .arg(self.data_directory())
            .args(["-p", &self.port.to_string(), "-k"])
            .arg(self.directory.path())
            .args(["-h", "127.0.0.1"]);
        for setting in &self.settings {
            postgres.args(["-c", setting]);
        }
        let log = fs::File::options()
            .create(true)
            .append(true)
            .open(self.log())
            .expect("a log can be written");
        postgres.stdout(Stdio::null()).stderr(log);
        let child = spawn_until_exit(postgres);
        *self.running() = Some(child);
        let began = Instant::now();
        while !self.answers() {
            assert!(
                began.elapsed() < PATIENCE,
                "the server does not come up: {}",
                fs::read_to_string(self.log()).unwrap_or_default()
            );
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Stops it at once, as a crash would: `SIGQUIT`, after which it recovers from its log.
    pub fn crash(&self) {
        self.end("QUIT");
    }

    /// Stops it as an operator would: whoever is connected is cut off, and what they were about is undone.
    pub fn stop(&self) {
        self.end("INT");
    }

    fn end(&self, signal: &str) {
        let Some(mut child) = self.running().take() else {
            return;
        };
        let told = Command::new("kill")
            .args(["-s", signal, &child.id().to_string()])
            .status();
        if told.is_ok_and(|status| status.success()) {
            // It is gone once its parent has looked.
            let _ = child.wait();
        }
    }

    /// Where it keeps its files.
    #[must_use]
    pub fn data_directory(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    /// What it has said.
    #[must_use]
    pub fn log(&self) -> PathBuf {
        self.directory.path().join("log")
    }

    /// The port of 127.0.0.1 that it listens at.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// How to reach it through its socket.
    #[must_use]
    pub fn url(&self) -> String {
        format!(
            "host={} port={} user=postgres dbname=postgres",
            self.directory.path().display(),
            self.port
        )
    }

    /// How to reach it over the network.
    #[must_use]
    pub fn tcp_url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/postgres", self.port)
    }

    /// A name that nobody has been given before.
    #[must_use]
    pub fn name(&self) -> String {
        format!("name_{}", self.names.fetch_add(1, Ordering::Relaxed))
    }

    /// What psql prints for some statements: rows without headings, columns between bars.
    ///
    /// # Panics
    ///
    /// If one of them fails.
    pub fn psql(&self, statements: &str) -> String {
        let asked = Command::new(self.binaries.join("psql"))
            .args(["--no-psqlrc", "--quiet", "--tuples-only", "--no-align"])
            .args(["--set", "ON_ERROR_STOP=1", "--dbname", &self.url()])
            .args(["--command", statements])
            .output()
            .expect("psql runs");
        assert!(
            asked.status.success(),
            "{statements}: {}",
            String::from_utf8_lossy(&asked.stderr)
        );
        let said = String::from_utf8_lossy(&asked.stdout);
        said.trim_end().to_owned()
    }

    fn answers(&self) -> bool {
        let asked = Command::new(self.binaries.join("pg_isready"))
            .args(["--quiet", "--dbname", &self.url()])
            .status();
        asked.is_ok_and(|status| status.success())
    }

    fn running(&self) -> std::sync::MutexGuard<'_, Option<Child>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One of its programs, run by whom it may be run by.
    fn command(&self, program: &str) -> Command {
        let program = self.binaries.join(program);
        let mut command = as_server_user();
        command
            .arg(program)
            .current_dir(self.directory.path())
            .stdin(Stdio::null());
        command
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.crash();
    }
}

/// Starts a program from a thread that lives as long as this OS process: the program ends with that thread.
fn spawn_until_exit(command: Command) -> Child {
    type Ask = (Command, mpsc::Sender<Child>);
    static SPAWNER: LazyLock<Mutex<mpsc::Sender<Ask>>> = LazyLock::new(|| {
        let (ask, asked) = mpsc::channel::<Ask>();
        thread::spawn(move || {
            for (mut command, answer) in asked {
                let child = command.spawn().expect("the server starts");
                let _ = answer.send(child);
            }
        });
        Mutex::new(ask)
    });
    let (answer, child) = mpsc::channel();
    let spawner = SPAWNER.lock().unwrap_or_else(PoisonError::into_inner);
    spawner.send((command, answer)).expect("it waits for us");
    drop(spawner);
    child.recv().expect("the server starts")
}

/// Runs a program, as whom the server may be run by. Whatever becomes of this OS process, it goes with it.
fn as_server_user() -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "QUIT"]);
    if is_root() {
        command.args(["--reuid", USER, "--regid", USER, "--clear-groups"]);
    }
    command.arg("--");
    command
}

/// Gives a file or directory, with all that is in it, to whom the server is run by.
fn own(path: &Path) {
    if is_root() {
        let owned = Command::new("chown").args(["-R", USER]).arg(path).status();
        assert!(owned.is_ok_and(|status| status.success()), "no user {USER}");
    }
}

fn is_root() -> bool {
    let id = Command::new("id").arg("-u").output();
    id.is_ok_and(|id| id.stdout == b"0\n")
}

/// Where PostgreSQL's programs are: on the path, or where Debian has them, the newest.
fn binaries() -> PathBuf {
    let on_path = std::env::var_os("PATH")
        .into_iter()
        .flat_map(|path| std::env::split_paths(&path).collect::<Vec<_>>());
    let mut debian = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten()
        .map(|version| version.path())
        .collect::<Vec<_>>();
    debian.sort_by_key(|path| version(path.file_name()));
    let debian = debian.iter().rev().map(|path| path.join("bin"));
    on_path
        .chain(debian)
        .find(|directory| {
            PROGRAMS
                .iter()
                .all(|program| directory.join(program).exists())
        })
        .expect("PostgreSQL is installed: apt-get install postgresql")
}

fn version(name: Option<&OsStr>) -> u32 {
    name.and_then(OsStr::to_str)
        .and_then(|name| name.parse().ok())
        .unwrap_or(0)
}

fn free_port() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port is free");
    listener.local_addr().expect("it has one").port()
}

/// Whether these bytes stand in any file below a directory.
#[must_use]
pub fn stands_below(directory: &Path, bytes: &[u8]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let Ok(entries) = fs::read_dir(directory) else {
        return found;
    };
    for entry in entries.flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(stands_below(&path, bytes));
        } else if fs::read(&path)
            .is_ok_and(|content| content.windows(bytes.len()).any(|window| window == bytes))
        {
            found.push(path);
        }
    }
    found
}
