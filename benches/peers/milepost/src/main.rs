//! milepost, through its public calls and with its defaults, at the work that the others are measured at.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

use measure::{ASKED, BATCH, Figure, JOBS, Meter, Outcome, PAYLOAD, Task, WAITING, Work};
use milepost::{
    NewProcess, OverallStatus, Pipeline, Progress, RequestId, SqliteConfig, SqliteStore, Tracker,
};

fn main() -> Outcome<()> {
    let task = Task::from_arguments()?;
    let file = task.directory.join("milepost.db");
    let figure = match task.work {
        Work::Durability => {
            drop(Host::open(&file)?);
            let synchronous = SqliteConfig::new(&file).durability;
            println!("{}, {synchronous:?}", measure::journal(&file)?);
            return Ok(());
        }
        Work::Create => create(&task, &file, 0)?,
        Work::CreateWaiting => create(&task, &file, WAITING)?,
        Work::CreateMany => create_many(&task, &file)?,
        Work::Advance => advance(&task, &file)?,
        Work::Status => status(&task, &file)?,
        Work::Run | Work::RunTogether => run(&task)?,
    };
    println!("{figure}");
    Ok(())
}

/// A tracker, and the one-step pipeline that a job of a queue is.
struct Host {
    tracker: Tracker,
    pipeline: Pipeline,
}

impl Host {
    fn open(file: &Path) -> Outcome<Self> {
        Ok(Host {
            tracker: Tracker::new(SqliteStore::open(file)?),
            pipeline: Pipeline::new("job", ["work"])?,
        })
    }

    fn new_process(&self) -> NewProcess {
        NewProcess::new(&self.pipeline).file_name(PAYLOAD)
    }

    /// Begins as many as one call may create here.
    fn begin_many(&self) -> Outcome<Vec<RequestId>> {
        let ops = (0..BATCH)
            .map(|_| self.tracker.prepare(self.new_process()))
            .collect::<Result<Vec<_>, _>>()?;
        for verdict in self.tracker.apply(&ops)? {
            assert!(verdict?.changed, "each id is new");
        }
        Ok(ops.iter().map(|op| op.id).collect())
    }

    fn fill(&self, count: usize) -> Outcome<Vec<RequestId>> {
        let mut ids = Vec::with_capacity(count);
        while ids.len() < count {
            ids.extend(self.begin_many()?);
        }
        Ok(ids)
    }
}

/// Lets every client do the same, each on a thread of its own.
fn clients(count: usize, work: impl Fn(usize) -> Outcome<()> + Sync) -> Outcome<()> {
    thread::scope(|scope| {
        let clients = (0..count)
            .map(|client| {
                let work = &work;
                scope.spawn(move || work(client))
            })
            .collect::<Vec<_>>();
        clients
            .into_iter()
            .try_for_each(|client| client.join().map_err(|_| "a client panicked")?)
    })
}

fn create(task: &Task, file: &Path, waiting: usize) -> Outcome<Figure> {
    let host = Host::open(file)?;
    host.fill(waiting)?;
    let meter = Meter::open(task.length);
    clients(task.clients, |_| {
        while meter.is_open() {
            host.tracker.begin(host.new_process())?;
            meter.add(1);
        }
        Ok(())
    })?;
    Ok(meter.close())
}

fn create_many(task: &Task, file: &Path) -> Outcome<Figure> {
    let host = Host::open(file)?;
    let meter = Meter::open(task.length);
    clients(task.clients, |_| {
        while meter.is_open() {
            meter.add(host.begin_many()?.len() as u64);
        }
        Ok(())
    })?;
    Ok(meter.close())
}

/// Each client has a running process, and writes how far it is; durable at once.
fn advance(task: &Task, file: &Path) -> Outcome<Figure> {
    let host = Host::open(file)?;
    let modules = (0..task.clients)
        .map(|_| {
            let module = host.tracker.begin(host.new_process())?.module(1)?;
            module.start()?;
            Ok(module)
        })
        .collect::<Outcome<Vec<_>>>()?;
    let meter = Meter::open(task.length);
    clients(task.clients, |client| {
        let mut done = 0;
        while meter.is_open() {
            done += 1;
            modules[client].progress(Progress::of(done, 1_000_000))?;
            meter.add(1);
        }
        Ok(())
    })?;
    Ok(meter.close())
}

fn status(task: &Task, file: &Path) -> Outcome<Figure> {
    let host = Host::open(file)?;
    let ids = host.fill(ASKED)?;
    let meter = Meter::open(task.length);
    clients(task.clients, |client| {
        let mut asked = measure::scattered(client, ids.len());
        while meter.is_open() {
            let report = host.tracker.process_status(ids[asked.next_index()])?;
            assert_eq!(report.overall_status, OverallStatus::Ongoing);
            meter.add(1);
        }
        Ok(())
    })?;
    Ok(meter.close())
}

/// Processes that have begun are taken up by their ids, one after the other, by as many threads as there are
/// clients; each is started and completed, which are two durable changes.
fn run(task: &Task) -> Outcome<Figure> {
    let mut figure = Figure::default();
    while figure.took < task.length {
        let host = Host::open(&task.directory.join(format!("{}.db", figure.done)))?;
        let ids = host.fill(JOBS)?;
        let next = AtomicUsize::new(0);
        let began = Instant::now();
        clients(task.clients, |_| {
            while let Some(id) = ids.get(next.fetch_add(1, Ordering::Relaxed)) {
                let module = host.tracker.process(*id)?.module(1)?;
                module.start()?;
                module.complete()?;
            }
            Ok(())
        })?;
        figure = figure.and(Figure {
            done: JOBS as u64,
            took: began.elapsed(),
        });
    }
    Ok(figure)
}
