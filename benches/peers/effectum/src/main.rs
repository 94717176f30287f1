//! effectum at the work that milepost is measured at.

use std::future::Future;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use effectum::{Error, Job, JobRunner, Queue, RunningJob, Worker};
use measure::{ASKED, BATCH, Figure, JOBS, Meter, Outcome, PAYLOAD, Task, Work};
use tokio::sync::{Barrier, Semaphore};
use uuid::Uuid;

#[tokio::main]
async fn main() -> Outcome<()> {
    let task = Task::from_arguments()?;
    let file = task.directory.join("effectum.db");
    let figure = match task.work {
        Work::Durability => {
            let queue = Queue::new(&file).await?;
            // It has written to its file by now; how its connections sync cannot be asked from outside.
            println!("{}", measure::journal(&file)?);
            close(&queue).await?;
            return Ok(());
        }
        Work::Create => create(&task, &file).await?,
        Work::CreateWaiting => return Err("only measured with headgate, which counts them".into()),
        Work::CreateMany => create_many(&task, &file).await?,
        Work::Advance => advance(&task, &file).await?,
        Work::Status => status(&task, &file).await?,
        // Whenever there is room, which is so unless it is told something else.
        Work::Run => run(&task, task.clients).await?,
        Work::RunTogether => run(&task, 1).await?,
    };
    println!("{figure}");
    Ok(())
}

fn job() -> effectum::JobBuilder {
    Job::builder("job").payload(PAYLOAD.into())
}

/// Submits `count` jobs, many at a time.
async fn fill(queue: &Queue, count: usize) -> Outcome<Vec<Uuid>> {
    let mut ids = Vec::with_capacity(count);
    while ids.len() < count {
        let jobs = (0..BATCH).map(|_| job().build()).collect();
        ids.extend(queue.add_jobs(jobs).await?);
    }
    Ok(ids)
}

/// Ends the queue's own thread; it needs the runtime for that, so it has to be over before `main` is.
async fn close(queue: &Queue) -> Result<(), Error> {
    queue.close(Duration::from_secs(5)).await
}

/// Lets every client do the same until the time is over.
async fn clients<W, F>(task: &Task, work: W) -> Outcome<Figure>
where
    W: Fn(usize, Arc<Meter>) -> F,
    F: Future<Output = Result<(), Error>> + Send + 'static,
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

async fn create(task: &Task, file: &Path) -> Outcome<Figure> {
    let queue = Arc::new(Queue::new(file).await?);
    let figure = clients(task, |_, meter| {
        let queue = Arc::clone(&queue);
        async move {
            while meter.is_open() {
                job().add_to(&queue).await?;
                meter.add(1);
            }
            Ok(())
        }
    })
    .await?;
    close(&queue).await?;
    Ok(figure)
}

async fn create_many(task: &Task, file: &Path) -> Outcome<Figure> {
    let queue = Arc::new(Queue::new(file).await?);
    let figure = clients(task, |_, meter| {
        let queue = Arc::clone(&queue);
        async move {
            while meter.is_open() {
                let jobs = (0..BATCH).map(|_| job().build()).collect();
                meter.add(queue.add_jobs(jobs).await?.len() as u64);
            }
            Ok(())
        }
    })
    .await?;
    close(&queue).await?;
    Ok(figure)
}

async fn status(task: &Task, file: &Path) -> Outcome<Figure> {
    let queue = Arc::new(Queue::new(file).await?);
    let ids = Arc::new(fill(&queue, ASKED).await?);
    let figure = clients(task, |client, meter| {
        let (queue, ids) = (Arc::clone(&queue), Arc::clone(&ids));
        async move {
            let mut asked = measure::scattered(client, ids.len());
            while meter.is_open() {
                let id = ids[asked.next_index()];
                assert_eq!(queue.get_job_status(id).await?.id, id);
                meter.add(1);
            }
            Ok(())
        }
    })
    .await?;
    close(&queue).await?;
    Ok(figure)
}

/// What the handlers that report share.
#[derive(Debug)]
struct Stage {
    length: Duration,
    all_run: Barrier,
    meter: OnceLock<Meter>,
    ended: Semaphore,
}

/// Each client is a running job that reports how far it is, with its checkpoints.
async fn advance(task: &Task, file: &Path) -> Outcome<Figure> {
    async fn report(job: RunningJob, stage: Arc<Stage>) -> Result<(), Error> {
        stage.all_run.wait().await;
        let meter = stage.meter.get_or_init(|| Meter::open(stage.length));
        let mut done = 0_u64;
        while meter.is_open() {
            done += 1;
            job.checkpoint_json(serde_json::json!({ "done": done, "total": 1_000_000 }))
                .await?;
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
    let queue = Queue::new(file).await?;
    let worker = Worker::builder(&queue, Arc::clone(&stage))
        .max_concurrency(u16::try_from(task.clients)?)
        .jobs([JobRunner::builder("job", report).build()])
        .build()
        .await?;
    for _ in 0..task.clients {
        job().add_to(&queue).await?;
    }
    let _ended = stage
        .ended
        .acquire_many(u32::try_from(task.clients)?)
        .await?;
    let figure = stage.meter.get().ok_or("no job has run")?.close();
    worker.unregister(None).await?;
    close(&queue).await?;
    Ok(figure)
}

/// Jobs that wait are run to their end by one worker that runs as many at once as there are clients, and that
/// asks for more when fewer than `refill` are running.
async fn run(task: &Task, refill: usize) -> Outcome<Figure> {
    async fn nothing(_: RunningJob, (): ()) -> Result<(), Error> {
        Ok(())
    }

    let mut figure = Figure::default();
    while figure.took < task.length {
        let file = task.directory.join(format!("{}.db", figure.done));
        let queue = Queue::new(&file).await?;
        fill(&queue, JOBS).await?;
        let began = Instant::now();
        let worker = Worker::builder(&queue, ())
            .max_concurrency(u16::try_from(task.clients)?)
            .min_concurrency(u16::try_from(refill)?)
            .jobs([JobRunner::builder("job", nothing).build()])
            .build()
            .await?;
        // It counts a job once its end is written.
        while worker.counts().finished < JOBS as u64 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        figure = figure.and(Figure {
            done: JOBS as u64,
            took: began.elapsed(),
        });
        worker.unregister(None).await?;
        close(&queue).await?;
    }
    Ok(figure)
}
