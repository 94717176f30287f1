//! apalis-sqlite at the work that milepost is measured at.

use std::future::Future;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use apalis::prelude::*;
use apalis_sqlite::{Config, SqlitePool, SqliteStorage};
use futures::stream;
use measure::{ASKED, BATCH, Figure, JOBS, Meter, Outcome, PAYLOAD, Work};
use sqlx::Row;
use ulid::Ulid;

type Storage = SqliteStorage<String>;

#[tokio::main]
async fn main() -> Outcome<()> {
    let task = measure::Task::from_arguments()?;
    let file = task.directory.join("apalis.db");
    let figure = match task.work {
        Work::Durability => {
            println!("{}", durability(&file).await?);
            return Ok(());
        }
        Work::Create => create(&task, &file).await?,
        Work::CreateMany => create_many(&task, &file).await?,
        Work::Advance => return Err("apalis-sqlite has no call for it".into()),
        Work::CreateWaiting => return Err("only measured with headgate, which counts them".into()),
        Work::Status => status(&task, &file).await?,
        Work::Run => run(&task).await?,
        Work::RunTogether => return Err("only measured with effectum, which can be told so".into()),
    };
    println!("{figure}");
    Ok(())
}

/// Opens a file as the documentation does: a pool with its defaults, and the library's own set-up.
async fn open(file: &Path) -> Outcome<(SqlitePool, Storage)> {
    let pool = SqlitePool::connect(&format!("sqlite://{}?mode=rwc", file.display())).await?;
    SqliteStorage::setup(&pool).await?;
    let storage = Storage::new(&pool).with_config(Config::default().queue("job").batch_size(BATCH));
    Ok((pool, storage))
}

/// What each connection says that would serve eight clients.
async fn durability(file: &Path) -> Outcome<String> {
    let (pool, _) = open(file).await?;
    let mut connections = Vec::new();
    for _ in 0..8 {
        connections.push(pool.acquire().await?);
    }
    let mut said = Vec::new();
    for connection in &mut connections {
        let row = sqlx::query("PRAGMA synchronous")
            .fetch_one(&mut **connection)
            .await?;
        said.push(match row.try_get::<i64, _>(0)? {
            0 => "OFF",
            1 => "NORMAL",
            2 => "FULL",
            _ => "EXTRA",
        });
    }
    Ok(format!("{}, {}", measure::journal(file)?, said.join(" ")))
}

/// Submits `count` jobs, many at a time.
async fn fill(storage: &Storage, count: usize) -> Outcome<Vec<TaskId>> {
    let mut storage = storage.clone();
    let mut ids = Vec::with_capacity(count);
    while ids.len() < count {
        let new = (0..BATCH)
            .map(|_| TaskId::from_ulid(Ulid::generate()))
            .collect::<Vec<_>>();
        let jobs = new
            .iter()
            .map(|id| {
                TaskBuilder::new(PAYLOAD.to_owned())
                    .task_id(id.clone())
                    .build()
            })
            .collect::<Vec<_>>();
        storage.push_all(stream::iter(jobs)).await?;
        ids.extend(new);
    }
    Ok(ids)
}

/// Lets every client do the same until the time is over.
async fn clients<W, F>(task: &measure::Task, work: W) -> Outcome<Figure>
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

async fn create(task: &measure::Task, file: &Path) -> Outcome<Figure> {
    let (_pool, storage) = open(file).await?;
    clients(task, |_, meter| {
        let mut storage = storage.clone();
        async move {
            while meter.is_open() {
                storage.push(PAYLOAD.to_owned()).await?;
                meter.add(1);
            }
            Ok(())
        }
    })
    .await
}

async fn create_many(task: &measure::Task, file: &Path) -> Outcome<Figure> {
    let (_pool, storage) = open(file).await?;
    clients(task, |_, meter| {
        let mut storage = storage.clone();
        async move {
            while meter.is_open() {
                storage.push_bulk(vec![PAYLOAD.to_owned(); BATCH]).await?;
                meter.add(BATCH as u64);
            }
            Ok(())
        }
    })
    .await
}

async fn status(task: &measure::Task, file: &Path) -> Outcome<Figure> {
    let (_pool, storage) = open(file).await?;
    let ids = Arc::new(fill(&storage, ASKED).await?);
    clients(task, |client, meter| {
        let (mut storage, ids) = (storage.clone(), Arc::clone(&ids));
        async move {
            let mut asked = measure::scattered(client, ids.len());
            while meter.is_open() {
                let found = storage.fetch_by_id(&ids[asked.next_index()]).await?;
                assert_eq!(found.ok_or("it is there")?.status(), Status::Pending);
                meter.add(1);
            }
            Ok(())
        }
    })
    .await
}

/// Jobs that wait are run to their end by one worker that runs as many at once as there are clients.
async fn run(task: &measure::Task) -> Outcome<Figure> {
    async fn nothing(_: String) -> Result<(), BoxDynError> {
        Ok(())
    }

    let mut figure = Figure::default();
    while figure.took < task.length {
        let file = task.directory.join(format!("{}.db", figure.done));
        let (pool, storage) = open(&file).await?;
        fill(&storage, JOBS).await?;
        let began = Instant::now();
        // The interval only matters when there is nothing left to take.
        let worker = WorkerBuilder::new("worker")
            .backend(storage.poll_with_interval(Duration::from_millis(5)))
            .concurrency(task.clients)
            .parallelize(tokio::spawn)
            .build(nothing);
        let worker = tokio::spawn(worker.run());
        while done(&pool).await? < JOBS {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        figure = figure.and(Figure {
            done: JOBS as u64,
            took: began.elapsed(),
        });
        worker.abort();
        pool.close().await;
    }
    Ok(figure)
}

async fn done(pool: &SqlitePool) -> Outcome<usize> {
    let row = sqlx::query("SELECT count(*) FROM Jobs WHERE status = 'Done'")
        .fetch_one(pool)
        .await?;
    Ok(usize::try_from(row.try_get::<i64, _>(0)?)?)
}
