//! headgate, over SQLite, at the work that milepost is measured at.

use std::future::Future;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use headgate::{
    BackoffConfig, Client, CodecError, Envelope, Event, JobCtx, Registry, Telemetry, Worker,
    WorkerConfig,
};
use headgate_core::Inspect;
use headgate_sqlite::SqliteStore;
use measure::{ASKED, BATCH, Figure, JOBS, Meter, Outcome, PAYLOAD, Task, WAITING, Work};
use tokio::sync::{Barrier, Semaphore};
use uuid::Uuid;

#[tokio::main]
async fn main() -> Outcome<()> {
    let task = Task::from_arguments()?;
    let file = task.directory.join("headgate.db");
    let figure = match task.work {
        Work::Durability => {
            let _store = SqliteStore::open(&file).await?;
            // It leaves `synchronous` alone, so that its connection is at what SQLite was compiled with: so is
            // this one, of the same library.
            let own = tokio_rusqlite::rusqlite::Connection::open(&file)?;
            let level = own.query_row("PRAGMA synchronous", [], |row| row.get::<_, i64>(0))?;
            let level = ["OFF", "NORMAL", "FULL", "EXTRA"].get(usize::try_from(level)?);
            println!("{}, {}", measure::journal(&file)?, level.unwrap_or(&"?"));
            return Ok(());
        }
        Work::Create => create(&task, &file, 0).await?,
        Work::CreateWaiting => create(&task, &file, WAITING).await?,
        Work::CreateMany => create_many(&task, &file).await?,
        Work::Advance => advance(&task, &file).await?,
        Work::Status => status(&task, &file).await?,
        Work::Run => run(&task).await?,
        Work::RunTogether => return Err("only measured with effectum, which can be told so".into()),
    };
    println!("{figure}");
    Ok(())
}

/// What a job carries, as it is.
struct Job(String);

impl headgate::Task for Job {
    const TYPE: &'static str = "bench:job";

    fn encode(&self) -> Result<Vec<u8>, CodecError> {
        Ok(self.0.as_bytes().to_vec())
    }

    fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        Ok(Job(String::from_utf8_lossy(bytes).into_owned()))
    }
}

/// A new job, by an id that sorts by time, kept for a day after its end as a tracker would.
fn envelope() -> Outcome<Envelope> {
    headgate::prepare_envelope(Envelope {
        id: Uuid::now_v7().to_string(),
        kind: <Job as headgate::Task>::TYPE.to_owned(),
        queue: "default".to_owned(),
        payload: PAYLOAD.into(),
        retention_ms: 86_400_000,
        ..Envelope::default()
    })
}

fn envelopes() -> Outcome<Vec<Envelope>> {
    (0..BATCH).map(|_| envelope()).collect()
}

async fn open(file: &Path) -> Outcome<(Arc<SqliteStore>, Client)> {
    let store = Arc::new(SqliteStore::open(file).await?);
    let client = Client::new(Arc::<SqliteStore>::clone(&store));
    Ok((store, client))
}

/// Submits `count` jobs, many at a time.
async fn fill(client: &Client, count: usize) -> Outcome<Vec<String>> {
    let mut ids = Vec::with_capacity(count);
    while ids.len() < count {
        let jobs = envelopes()?;
        client.enqueue(&jobs).await?;
        ids.extend(jobs.into_iter().map(|job| job.id));
    }
    Ok(ids)
}

/// Lets every client do the same until the time is over.
async fn clients<W, F>(task: &Task, work: W) -> Outcome<Figure>
where
    W: Fn(usize, Arc<Meter>) -> F,
    F: Future<Output = Outcome<()>> + Send + 'static,
{
    let meter = Arc::new(Meter::open(task.length));
    let clients = (0..task.clients)
        .map(|client| tokio::spawn(work(client, Arc::clone(&meter))))
        .collect::<Vec<_>>();
    for client in clients {
        client.await??;
    }
    Ok(meter.close())
}

async fn create(task: &Task, file: &Path, waiting: usize) -> Outcome<Figure> {
    let (_store, client) = open(file).await?;
    fill(&client, waiting).await?;
    clients(task, |_, meter| {
        let client = client.clone();
        async move {
            while meter.is_open() {
                client.enqueue(&[envelope()?]).await?;
                meter.add(1);
            }
            Ok(())
        }
    })
    .await
}

async fn create_many(task: &Task, file: &Path) -> Outcome<Figure> {
    let (_store, client) = open(file).await?;
    clients(task, |_, meter| {
        let client = client.clone();
        async move {
            while meter.is_open() {
                client.enqueue(&envelopes()?).await?;
                meter.add(BATCH as u64);
            }
            Ok(())
        }
    })
    .await
}

async fn status(task: &Task, file: &Path) -> Outcome<Figure> {
    let (store, client) = open(file).await?;
    let ids = Arc::new(fill(&client, ASKED).await?);
    clients(task, |client, meter| {
        let (store, ids) = (Arc::clone(&store), Arc::clone(&ids));
        async move {
            let mut asked = measure::scattered(client, ids.len());
            while meter.is_open() {
                let found = store.get_job(&ids[asked.next_index()], false).await?;
                assert_eq!(found.ok_or("it is there")?.state, "available");
                meter.add(1);
            }
            Ok(())
        }
    })
    .await
}

/// A worker with as much room as there are clients, which looks for jobs as often as it can be told to.
fn settings(task: &Task) -> Outcome<WorkerConfig> {
    Ok(WorkerConfig {
        capacity: u32::try_from(task.clients)?,
        poll: BackoffConfig {
            floor: Duration::from_millis(1),
            ceiling: Duration::from_millis(20),
            ..BackoffConfig::default()
        },
        ..WorkerConfig::default()
    })
}

/// What the handlers that report share.
struct Stage {
    length: Duration,
    all_run: Barrier,
    meter: OnceLock<Meter>,
    ended: Semaphore,
}

/// Each client is a running job that reports how far it is.
async fn advance(task: &Task, file: &Path) -> Outcome<Figure> {
    async fn report(job: JobCtx, stage: Arc<Stage>) -> Outcome<()> {
        stage.all_run.wait().await;
        let meter = stage.meter.get_or_init(|| Meter::open(stage.length));
        let mut done = 0;
        while meter.is_open() {
            done += 1;
            job.report_progress(done, 1_000_000, None).await?;
            meter.add(1);
        }
        stage.ended.add_permits(1);
        Ok(())
    }

    let stage = Arc::new(Stage {
        length: task.length,
        all_run: Barrier::new(task.clients),
        meter: OnceLock::new(),
        ended: Semaphore::new(0),
    });
    let (store, client) = open(file).await?;
    for _ in 0..task.clients {
        client.enqueue(&[envelope()?]).await?;
    }
    let mut registry = Registry::new();
    let shared = Arc::clone(&stage);
    registry.register::<Job, _, _>(move |job, _| report(job, Arc::clone(&shared)))?;
    let (worker, handle) = Worker::new(store, registry, settings(task)?);
    let worker = tokio::spawn(worker.run());
    let _ended = stage
        .ended
        .acquire_many(u32::try_from(task.clients)?)
        .await?;
    let figure = stage.meter.get().ok_or("no job has run")?.close();
    handle.shutdown();
    worker.await??;
    Ok(figure)
}

/// Counts the jobs whose end is written.
#[derive(Default)]
struct Ends(AtomicU64);

impl Telemetry for Ends {
    fn on_event(&self, event: Event<'_>) {
        if let Event::Completed { .. } = event {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Jobs that wait are run to their end by one worker that runs as many at once as there are clients.
async fn run(task: &Task) -> Outcome<Figure> {
    let mut figure = Figure::default();
    while figure.took < task.length {
        let (store, client) = open(&task.directory.join(format!("{}.db", figure.done))).await?;
        fill(&client, JOBS).await?;
        let mut registry = Registry::new();
        registry.register::<Job, _, _>(|_, _| async { Ok(()) })?;
        let ends = Arc::new(Ends::default());
        let began = Instant::now();
        let settings = WorkerConfig {
            telemetry: Arc::<Ends>::clone(&ends),
            ..settings(task)?
        };
        let (worker, handle) = Worker::new(store, registry, settings);
        let worker = tokio::spawn(worker.run());
        while ends.0.load(Ordering::Relaxed) < JOBS as u64 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        figure = figure.and(Figure {
            done: JOBS as u64,
            took: began.elapsed(),
        });
        handle.shutdown();
        worker.await??;
    }
    Ok(figure)
}
