//! Forks while threads are at work on a store: what the child gets, and what becomes of the parent.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use fork::Fork;
use milepost::{
    Change, Durability, Failure, Filter, Lease, Listing, MemoryStore, ModuleHandle, NewProcess,
    Order, Pipeline, ProcessHandle, Progress, Query, ReapPolicy, Reporter, SqliteConfig,
    SqliteStore, StatusStore, StoreError, StoreErrorKind, Tending, TrackError, Tracker, Update,
    WipeLevel,
};

use crate::law::{Broken, ensure};

/// What is forked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "there is no third")]
pub enum Way {
    /// A store that knows its OS process.
    Guarded,
    /// One that does not, and so lets the child in.
    Bare,
}

/// How long a child may take.
const PATIENCE: Duration = Duration::from_secs(10);
const WRITERS: usize = 2;

/// Forks so often, while two threads write, and answers how many changes of the pipeline `forking` were acknowledged.
///
/// # Errors
///
/// If a child was let in or did not end, or the parent was harmed.
pub fn run(file: &Path, durability: Durability, forks: u64, way: Way) -> Result<u64, Broken> {
    let open = || {
        SqliteStore::open_with(SqliteConfig {
            durability,
            // Who waits for a thread that is not there waits for good.
            busy_timeout: Duration::MAX,
            ..SqliteConfig::new(file)
        })
    };
    let busy = Arc::new(open()?);
    let quiet = match way {
        Way::Guarded => Quiet::new(Tracker::new(open()?))?,
        Way::Bare => Quiet::new(Tracker::new(MemoryStore::new()))?,
    };
    let mut inherited = Some((busy.clone(), quiet, open()?));
    let over = AtomicBool::new(false);
    let writer = Tracker::new(busy);
    let changes = thread::scope(|scope| {
        let threads = (0..WRITERS).map(|_| scope.spawn(|| write(&writer, &over)));
        let threads = threads.collect::<Vec<_>>();
        let forked = (1..=forks).try_for_each(|number| one(number, &mut inherited));
        over.store(true, Ordering::Relaxed);
        let mut written = 0;
        for thread in threads {
            let ended = thread.join();
            written += ended.map_err(|_| Broken::new("a writer panicked"))??;
        }
        forked.map(|()| written)
    })?;
    let quiet = if way == Way::Guarded { forks } else { 0 };
    Ok(changes + quiet)
}

/// Reports on a process until it is over; answers how many changes were acknowledged.
fn write(tracker: &Tracker, over: &AtomicBool) -> Result<u64, TrackError> {
    let module = tracker.begin(NewProcess::new(&pipeline()?))?.module(1)?;
    let mut changes = 0;
    while !over.load(Ordering::Relaxed) {
        changes += 1;
        module.progress(Progress::unbounded(changes))?;
    }
    Ok(changes)
}

fn pipeline() -> Result<Pipeline, TrackError> {
    Ok(Pipeline::new("forking", ["a", "b"])?)
}

/// A tracker on which nobody works while it is forked, though all its threads are there.
struct Quiet {
    tracker: Tracker,
    process: ProcessHandle,
    module: ModuleHandle,
    reporter: Reporter,
    lease: Lease,
    _tending: Tending,
}

impl Quiet {
    fn new(tracker: Tracker) -> Result<Self, Broken> {
        let pipeline = Pipeline::new("quiet", ["a", "b"])?;
        let claimed = tracker.begin(NewProcess::new(&pipeline))?.request_id();
        let lease = tracker.claim(claimed, "parent", Duration::from_hours(1))?;
        let process = tracker.begin(NewProcess::new(&Pipeline::new("forking", ["a", "b"])?))?;
        // This starts the thread that polls.
        let waited = tracker.wait(process.request_id(), Duration::from_millis(1));
        ensure(matches!(waited, Err(TrackError::Timeout)), || {
            format!("{waited:?}")
        })?;
        let reporter = lease.module(1)?.reporter();
        reporter.set(Progress::unbounded(1));
        // What was reported is written before the module starts.
        lease.module(1)?.progress(Progress::unbounded(2))?;
        Ok(Quiet {
            module: process.module(1)?,
            _tending: tracker.tend_every(Duration::from_hours(1))?,
            tracker,
            process,
            reporter,
            lease,
        })
    }
}

type Inherited = (Arc<SqliteStore>, Quiet, SqliteStore);

/// One fork: the child is refused whatever it asks for and drops all of it, and the parent goes on.
fn one(number: u64, inherited: &mut Option<Inherited>) -> Result<(), Broken> {
    match fork::fork()? {
        Fork::Child => {
            let refused = child(inherited);
            if let Err(how) = &refused {
                println!("fork {number}: {how}");
            }
            std::process::exit(i32::from(refused.is_err()));
        }
        Fork::Parent(child) => {
            let began = Instant::now();
            let status = loop {
                if let Some(status) = fork::waitpid_nohang(child)? {
                    break status;
                }
                if began.elapsed() > PATIENCE {
                    let mut kill = std::process::Command::new("kill");
                    kill.args(["-9", &child.to_string()]).status()?;
                    fork::waitpid(child)?;
                    return Err(Broken::new(format!("the child of fork {number} hangs")));
                }
                thread::sleep(Duration::from_millis(1));
            };
            ensure(status == 0, || {
                format!("the child of fork {number} ended with {status}")
            })?;
            let (_, quiet, lone) = inherited.as_ref().expect("only a child takes it");
            quiet.module.progress(Progress::unbounded(number))?;
            let stored = lone.read(quiet.process.request_id())?;
            let done = stored.and_then(|stored| stored.modules()[0].progress().map(Progress::done));
            ensure(done == Some(number), || {
                format!("the parent wrote {number} and reads {done:?}")
            })
        }
    }
}

fn child(inherited: &mut Option<Inherited>) -> Result<(), Broken> {
    let (busy, quiet, lone) = inherited.take().expect("a child takes it once");
    refuses_everything(&busy, quiet.process.request_id())?;
    refuses_everything(&lone, quiet.process.request_id())?;
    quiet.refuses_everything()?;
    drop(lone);
    drop(quiet);
    drop(busy);
    Ok(())
}

fn is_refused(error: &StoreError) -> bool {
    error.kind() == StoreErrorKind::Unavailable
}

fn refused<T>(call: &str, answer: Result<T, TrackError>) -> Result<(), Broken> {
    match answer {
        Err(TrackError::Store(error)) if is_refused(&error) => Ok(()),
        Err(error) => Err(Broken::new(format!("{call} in the child: {error}"))),
        Ok(_) => Err(Broken::new(format!("{call} in the child was let in"))),
    }
}

fn refuses_everything(store: &SqliteStore, id: milepost::RequestId) -> Result<(), Broken> {
    let op = Tracker::new(MemoryStore::new()).op(id, Change::erase());
    let at = op.at;
    let listing = Listing {
        filter: Filter::new(),
        order: Order::OldestFirst,
        after: None,
        limit: 10,
    };
    refused("write", store.write(&[op]).map_err(Into::into))?;
    refused("read", store.read(id).map_err(Into::into))?;
    refused("read_many", store.read_many(&[id]).map_err(Into::into))?;
    refused("versions", store.versions(&[id]).map_err(Into::into))?;
    refused("list", store.list(&listing).map_err(Into::into))?;
    refused("count", store.count(&listing.filter).map_err(Into::into))?;
    refused("purge", store.purge(at, 10).map_err(Into::into))?;
    refused("wipe", store.wipe(WipeLevel::Files).map_err(Into::into))
}

impl Quiet {
    fn refuses_everything(&self) -> Result<(), Broken> {
        let (tracker, id) = (&self.tracker, self.process.request_id());
        let new = || Ok::<_, TrackError>(NewProcess::new(&pipeline()?));
        let update = || Update::new().file_name("b.txt");
        let failure = || Failure::new("f", "f");
        refused("begin", tracker.begin(new()?))?;
        refused("process", tracker.process(id))?;
        refused("process_status", tracker.process_status(id))?;
        refused("explain", tracker.explain(id))?;
        refused("get", tracker.get(id))?;
        refused("get_many", tracker.get_many(&[id]))?;
        refused("list", tracker.list(&Query::new()))?;
        refused("count", tracker.count(&Query::new()))?;
        refused("wait", tracker.wait(id, Duration::ZERO))?;
        refused("watch", tracker.watch(id))?;
        refused("claim", tracker.claim(id, "child", Duration::from_secs(1)))?;
        refused("cancel", tracker.cancel(id, "c"))?;
        refused("request_cancel", tracker.request_cancel(id, "c"))?;
        refused("rerun", tracker.rerun(id))?;
        refused("update", tracker.update(id, update()))?;
        refused(
            "update_file",
            tracker.update_file(self.process.file_id(), update()),
        )?;
        refused("erase", tracker.erase(id))?;
        refused("erase_file", tracker.erase_file(self.process.file_id()))?;
        refused("erase_matching", tracker.erase_matching(&Query::new()))?;
        refused("purge", tracker.purge())?;
        refused("wipe", tracker.wipe())?;
        refused("wipe_at", tracker.wipe_at(WipeLevel::Media))?;
        refused("reap", tracker.reap(ReapPolicy::retry(1)))?;
        refused("tend", tracker.tend())?;
        refused("apply", tracker.apply(&[tracker.op(id, Change::erase())]))?;
        drop(tracker.tend_every(Duration::from_hours(1))?);
        refused("status", self.process.status())?;
        refused("cancel", self.process.cancel("c"))?;
        refused("start", self.module.start())?;
        refused("progress", self.module.progress(Progress::unbounded(9)))?;
        refused("complete", self.module.complete())?;
        refused("fail", self.module.fail(failure()))?;
        refused("skip", self.module.skip("s"))?;
        refused("retry", self.module.retry(failure()))?;
        refused("renew", self.lease.renew())?;
        refused("release", self.lease.release())?;
        self.reporter.set(Progress::unbounded(9));
        refused(
            "complete, of what was reported on",
            self.lease.module(1)?.complete(),
        )
    }
}
