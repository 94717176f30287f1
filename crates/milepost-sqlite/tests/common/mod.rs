//! What the tests of the SQLite store share.

#![allow(dead_code, reason = "each test program uses a part of it")]

use std::error::Error;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use milepost_core::{
    Change, Failure, NewProcess, Pipeline, ProcessHandle, Progress, RequestId, StoreError,
    StoreErrorKind, TrackError, Tracker, Update, Wipe,
};
use milepost_sqlite::{SqliteConfig, SqliteStore};
use uuid::Uuid;

/// A directory of the test's own, and the path of a database in it.
pub(crate) struct Place {
    directory: tempfile::TempDir,
}

impl Place {
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().expect("there is room for a directory");
        Place { directory }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.directory.path().join("status.db")
    }

    /// The names and contents of all files there.
    ///
    /// Read by another OS process: opening and closing them in this one would drop the locks that SQLite
    /// holds here.
    pub(crate) fn files(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let entries = std::fs::read_dir(self.directory.path()).expect("the directory is there");
        let mut files = entries
            .map(|entry| {
                let path = entry.expect("an entry").path();
                let cat = Command::new("cat").arg(&path).output().expect("cat runs");
                assert!(cat.status.success(), "{} cannot be read", path.display());
                (path, cat.stdout)
            })
            .collect::<Vec<_>>();
        files.sort();
        files
    }

    /// Those that keep anything: the shared memory beside a WAL is made anew from it, and says who reads.
    pub(crate) fn kept_files(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let mut files = self.files();
        files.retain(|(path, _)| !path.ends_with("status.db-shm"));
        files
    }
}

/// Makes a store's file, closed and complete, with some processes in it.
pub(crate) fn some_file(place: &Place) {
    let tracker = Tracker::new(SqliteStore::open(place.path()).expect("it opens"));
    for n in 0..50 {
        begin(&tracker, &format!("file-{n}.txt"));
    }
}

/// What kind of error it is of the store's.
#[track_caller]
pub(crate) fn store_error_kind(error: &TrackError) -> StoreErrorKind {
    match error {
        TrackError::Store(error) => error.kind(),
        other => panic!("no error of the store: {other:?}"),
    }
}

pub(crate) fn pipeline() -> Pipeline {
    Pipeline::new("invoice-ocr", ["ocr", "parser", "keyword-db"]).expect("a good pipeline")
}

pub(crate) fn begin(tracker: &Tracker, file_name: &str) -> ProcessHandle {
    let new = NewProcess::new(&pipeline()).file_name(file_name);
    tracker.begin(new).expect("it begins")
}

/// As many, each with a file of its own.
pub(crate) fn begin_many(tracker: &Tracker, count: usize) -> Vec<RequestId> {
    let ids = (0..count).map(|n| begin(tracker, &format!("n{n}")).request_id());
    ids.collect()
}

/// A tracker of which each wipe makes one step, and no more.
pub(crate) fn one_step_a_wipe(place: &Place) -> Tracker {
    let store = SqliteStore::open_with(SqliteConfig {
        wipe_budget: Duration::ZERO,
        ..SqliteConfig::new(place.path())
    });
    Tracker::new(store.expect("it opens"))
}

/// Begins a process with the mark in every field that has one, and lets its record grow step by step.
pub(crate) fn busy_process(tracker: &Tracker, mark: &str) -> RequestId {
    let new = NewProcess::new(&pipeline())
        .file_name(&format!("{mark}.txt"))
        .symbolic_directory_path(&format!("/in/{mark}"))
        .tag("mark", mark)
        .file_description(mark);
    let process = tracker.begin(new).expect("it begins");
    let module = process.module(1).expect("a module");
    module.start().expect("it starts");
    for step in 0..4_u64 {
        let message = format!(
            "{mark} {}",
            "x".repeat(usize::try_from(step).expect("small") * 40)
        );
        module
            .progress(Progress::unbounded(step + 1).message(&message))
            .expect("progress");
    }
    module.retry(Failure::new("Again", mark)).expect("a retry");
    tracker
        .update(
            process.request_id(),
            Update::new().file_description(&format!("{mark} {mark}")),
        )
        .expect("an update");
    process.request_id()
}

/// The files as they stand, for a store that comes upon them as after a kill: what was written is there, and whether it
/// was synced nobody knows.
pub(crate) fn as_after_a_kill(place: &Place) -> Place {
    let copy = Place::new();
    for (path, bytes) in place.files() {
        let name = path.file_name().expect("a file");
        if !name.to_string_lossy().ends_with("-shm") {
            std::fs::write(copy.path().with_file_name(name), bytes).expect("there is room");
        }
    }
    copy
}

/// Has calls of the operating system fail there.
#[cfg(unix)]
pub(crate) fn faults_at(place: &Place) -> milepost_faults::Faults {
    milepost_faults::Faults::below(place.directory.path()).expect("SQLite has a file system")
}

/// A connection as another program would open it.
pub(crate) fn foreign_connection(path: &Path) -> rusqlite::Connection {
    rusqlite::Connection::open(path).expect("SQLite opens it")
}

/// The number of the page at which the table of new processes begins.
pub(crate) fn root_page(place: &Place) -> u32 {
    let root = "SELECT rootpage FROM sqlite_schema WHERE name = 'process_a'";
    foreign_connection(&place.path())
        .query_row(root, [], |row| row.get(0))
        .expect("a root page")
}

/// A disk of a given size, until it is dropped.
pub(crate) struct SmallDisk {
    place: Place,
}

impl SmallDisk {
    /// None where nothing may be mounted, which is said. `size` is as `mount` takes it: `8m` for 8 MiB.
    pub(crate) fn mount(size: &str) -> Option<Self> {
        let place = Place::new();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"])
            .arg(place.directory.path())
            .output();
        if !mounted.is_ok_and(|mounted| mounted.status.success()) {
            not_checked("nothing can be mounted here");
            return None;
        }
        Some(SmallDisk { place })
    }

    pub(crate) fn directory(&self) -> &Path {
        self.place.directory.path()
    }

    /// That of a database on it.
    pub(crate) fn path(&self) -> PathBuf {
        self.place.path()
    }

    /// Lets nobody write to it from now on, not even root.
    pub(crate) fn make_read_only(&self) {
        let mut mount = Command::new("mount");
        let output = mount
            .args(["-o", "remount,ro"])
            .arg(self.directory())
            .output();
        assert!(output.expect("mount runs").status.success());
    }
}

/// Says that the test that runs could not be made, where `./test` shows it: what a passing test prints nobody sees.
pub(crate) fn not_checked(why: &str) {
    let thread = std::thread::current();
    let line = format!("SKIPPED {}: {why}\n", thread.name().unwrap_or("a test"));
    print!("{line}");
    if let Some(path) = std::env::var_os("MILEPOST_SKIPPED") {
        let file = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(path);
        file.and_then(|mut file| file.write_all(line.as_bytes()))
            .expect("there is room for a line");
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.directory()).status();
    }
}

/// Two connections of which always one is reading, each for so long, until it is over.
pub(crate) fn overlap(path: &Path, each: Duration, over: &AtomicBool) -> rusqlite::Result<()> {
    let readers = [foreign_connection(path), foreign_connection(path)];
    for turn in 0.. {
        // The other one ends only when this one has begun.
        let [this, other] = [&readers[turn % 2], &readers[(turn + 1) % 2]];
        this.execute_batch("BEGIN; SELECT * FROM sqlite_schema")?;
        if !other.is_autocommit() {
            other.execute_batch("COMMIT")?;
        }
        if over.load(Ordering::Relaxed) {
            break;
        }
        std::thread::sleep(each / 2);
    }
    Ok(())
}

/// Erases by ops, which does not wipe.
pub(crate) fn erase(tracker: &Tracker, ids: &[RequestId]) {
    let ops = ids.iter().map(|id| tracker.op(*id, Change::erase()));
    let verdicts = tracker.apply(&ops.collect::<Vec<_>>()).expect("a batch");
    assert!(verdicts.iter().all(Result::is_ok));
}

/// What must not be found of a process: its id as bytes and as text, and a mark in each of its texts.
pub(crate) fn marks(id: RequestId, mark: &str) -> Vec<Vec<u8>> {
    let uuid = Uuid::from(id);
    vec![
        uuid.as_bytes().to_vec(),
        uuid.to_string().into_bytes(),
        uuid.simple().to_string().into_bytes(),
        mark.as_bytes().to_vec(),
    ]
}

pub(crate) fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    memchr::memmem::find(haystack, needle).is_some()
}

/// The files in which one of the marks is found.
pub(crate) fn found_in(place: &Place, marks: &[Vec<u8>]) -> Vec<String> {
    let mut found = Vec::new();
    for (path, content) in place.files() {
        let count = marks.iter().filter(|mark| contains(&content, mark)).count();
        if count > 0 {
            found.push(format!("{count} marks in {}", path.display()));
        }
    }
    found
}

/// Wipes until it is done, as the contract says: call again.
pub(crate) fn wipe_until_done(tracker: &Tracker) {
    let deadline = Instant::now() + Duration::from_mins(1);
    loop {
        match tracker.wipe().expect("a wipe answers") {
            Wipe::Done => return,
            wipe => assert!(
                Instant::now() < deadline,
                "the wipe does not come to an end: {wipe:?}"
            ),
        }
    }
}

/// What the store says of an error beside its kind.
pub(crate) fn source(error: &StoreError) -> String {
    error
        .source()
        .expect("every store error has a source")
        .to_string()
}
