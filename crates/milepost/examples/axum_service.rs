//! A web service: what is submitted over HTTP is worked off by tasks of the same program, and anybody who has the id asks
//! how far it is.
//!
//! ```text
//! cargo run --example axum_service --features tokio -- status.db 127.0.0.1:3000
//!
//! curl -i -d '{"file_name": "notes.pdf"}' -H 'content-type: application/json' 127.0.0.1:3000/processes
//! curl 127.0.0.1:3000/processes/$id                            # how far is it?
//! curl '127.0.0.1:3000/processes/$id/wait?seconds=60'          # answers once it has settled
//! curl -N 127.0.0.1:3000/processes/$id/events                  # each state as it comes, as server-sent events
//! curl -X POST '127.0.0.1:3000/processes/$id/cancel?reason=..' # whoever works on it stops at the next page
//! curl -X DELETE 127.0.0.1:3000/processes/$id                  # erases it
//! ```
//!
//! An `idempotency-key` header makes submitting twice the same as submitting once. On SIGTERM or Ctrl-C the service
//! gives back what it works on and ends; another that runs on the same file, or the next one, goes on with it.

use std::convert::Infallible;
use std::error::Error;
use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::{Path, Query as Parameters, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use futures_util::{Stream, StreamExt};
use milepost::{
    AsyncLease, AsyncTracker, CancelRequest, Clock, Failure, ModuleStateKind, NewProcess,
    NotFoundReport, OverallStatus, Pipeline, Process, Progress, Query, Receipt, RequestId,
    SqliteStore, StatusReport, SystemClock, TrackError, Wipe,
};
use serde::Deserialize;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::signal;
use tokio::sync::{Notify, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How many processes are worked on at once.
const AT_ONCE: usize = 16;
/// For how long a process is a worker's own without a renewal, and how often it renews.
const LEASE: Duration = Duration::from_secs(30);
const RENEWAL: Duration = Duration::from_secs(10);
/// How often to look for what others have left, if nothing is submitted.
const LOOK_AGAIN: Duration = Duration::from_secs(2);
/// Each module's work.
const PAGES: u64 = 10;
const PAGE: Duration = Duration::from_millis(50);

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(file), Some(address), None) = (arguments.next(), arguments.next(), arguments.next())
    else {
        return Err("usage: axum_service <file.db> <address:port>".into());
    };
    let service = Service {
        tracker: AsyncTracker::new(SqliteStore::open(file)?),
        pipeline: Pipeline::new("render", ["parse", "render", "publish"])?,
        submitted: Arc::new(Notify::new()),
        ending: CancellationToken::new(),
    };
    let listener = TcpListener::bind(address).await?;
    println!("listening on http://{}", listener.local_addr()?);

    let told = tokio::spawn(told_to_end(service.ending.clone()));
    let workers = tokio::spawn(service.clone().work_off());
    axum::serve(listener, service.routes())
        .with_graceful_shutdown(service.ending.clone().cancelled_owned())
        .await?;
    workers.await?;
    told.await??;
    // Nobody else holds a clone by now: what was sent is written, and the store is closed.
    service.tracker.close().await;
    println!("ended");
    Ok(())
}

/// Lets everything end when the system or whoever started the service says so.
async fn told_to_end(ending: CancellationToken) -> io::Result<()> {
    let mut terminated = signal::unix::signal(signal::unix::SignalKind::terminate())?;
    tokio::select! {
        pressed = signal::ctrl_c() => pressed?,
        _ = terminated.recv() => {}
    }
    ending.cancel();
    Ok(())
}

/// What every request and every worker has.
#[derive(Clone)]
struct Service {
    tracker: AsyncTracker,
    pipeline: Pipeline,
    submitted: Arc<Notify>,
    ending: CancellationToken,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Submission {
    file_name: Option<String>,
    symbolic_directory_path: Option<String>,
    expires_in_seconds: Option<u64>,
}

#[derive(Deserialize)]
struct Wait {
    seconds: u64,
}

#[derive(Deserialize)]
struct Cancel {
    reason: String,
}

/// The requests.
impl Service {
    fn routes(&self) -> Router {
        Router::new()
            .route("/processes", post(submit))
            .route("/processes/{id}", get(poll).delete(erase))
            .route("/processes/{id}/wait", get(wait))
            .route("/processes/{id}/events", get(events))
            .route("/processes/{id}/cancel", post(cancel))
            .with_state(self.clone())
    }

    async fn report(&self, id: RequestId) -> Result<Json<StatusReport>, Refused> {
        let report = self.tracker.process_status(id).await;
        Ok(Json(report.map_err(self.refused(id))?))
    }

    /// What to answer where a call about a process went wrong.
    fn refused(&self, id: RequestId) -> impl Fn(TrackError) -> Refused + use<> {
        let report = self.tracker.not_found_report(id);
        move |error| match error {
            error if error.is_not_found() => Refused::NotFound(report.clone()),
            error => Refused::Error(error),
        }
    }
}

async fn submit(
    State(service): State<Service>,
    headers: HeaderMap,
    Json(submission): Json<Submission>,
) -> Result<(StatusCode, Json<Receipt>), Refused> {
    let mut new = NewProcess::new(&service.pipeline);
    if let Some(name) = &submission.file_name {
        new = new.file_name(name);
    }
    if let Some(path) = &submission.symbolic_directory_path {
        new = new.symbolic_directory_path(path);
    }
    if let Some(seconds) = submission.expires_in_seconds {
        new = new.expires_in(Duration::from_secs(seconds));
    }
    if let Some(key) = headers.get("idempotency-key") {
        let key = key.to_str().map_err(|_| Refused::Key)?;
        new = new.idempotency_key(key);
    }
    let process = service.tracker.begin(new).await?;
    service.submitted.notify_one();
    Ok((StatusCode::ACCEPTED, Json(process.receipt())))
}

async fn poll(
    State(service): State<Service>,
    Path(id): Path<String>,
) -> Result<Json<StatusReport>, Refused> {
    let id = id.parse().map_err(TrackError::from)?;
    service.report(id).await
}

async fn wait(
    State(service): State<Service>,
    Path(id): Path<String>,
    Parameters(Wait { seconds }): Parameters<Wait>,
) -> Result<Json<StatusReport>, Refused> {
    let id = id.parse().map_err(TrackError::from)?;
    let waited = service.tracker.wait(id, Duration::from_secs(seconds));
    let settled = tokio::select! {
        settled = waited => settled,
        () = service.ending.cancelled() => return Err(Refused::Ending),
    };
    settled.map_err(service.refused(id))?;
    service.report(id).await
}

async fn events(
    State(service): State<Service>,
    Path(id): Path<String>,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Refused> {
    let id = id.parse().map_err(TrackError::from)?;
    let refused = service.refused(id);
    let watch = service.tracker.watch(id).await.map_err(&refused)?;
    let events = watch
        .map(move |news| Ok(news.map_or_else(|error| refused(error).event(), |now| state(&now))));
    // A stream that is never closed would hold up the service's end.
    let events = events.take_until(service.ending.cancelled_owned());
    Ok(Sse::new(events).keep_alive(KeepAlive::default()))
}

/// One state of a process, as an event: its whole record.
fn state(process: &Process) -> Event {
    Event::default()
        .event(process.status().to_string())
        .id(process.revision().to_string())
        .json_data(process)
        .expect("a record has a JSON form")
}

async fn cancel(
    State(service): State<Service>,
    Path(id): Path<String>,
    Parameters(Cancel { reason }): Parameters<Cancel>,
) -> Result<StatusCode, Refused> {
    let id = id.parse().map_err(TrackError::from)?;
    let asked = service.tracker.request_cancel(id, &reason).await;
    asked.map_err(service.refused(id))?;
    Ok(StatusCode::ACCEPTED)
}

async fn erase(
    State(service): State<Service>,
    Path(id): Path<String>,
) -> Result<(StatusCode, Json<serde_json::Value>), Refused> {
    let id = id.parse().map_err(TrackError::from)?;
    let erased = service.tracker.erase(id).await?;
    let (code, wipe) = match erased.wipe {
        Wipe::Done => (StatusCode::OK, "done".to_owned()),
        // Nobody finds it any more; its bytes go with the next wipe.
        Wipe::Pending { reason } => (StatusCode::ACCEPTED, format!("pending: {reason}")),
        Wipe::Limited { remains } => (StatusCode::OK, format!("limited: {remains}")),
        _ => (StatusCode::OK, "unknown".to_owned()),
    };
    let body = json!({ "processes": erased.processes, "wipe": wipe });
    Ok((code, Json(body)))
}

/// Why a request was not granted.
enum Refused {
    NotFound(NotFoundReport),
    Error(TrackError),
    Key,
    Ending,
}

impl From<TrackError> for Refused {
    fn from(error: TrackError) -> Self {
        Refused::Error(error)
    }
}

impl Refused {
    /// What is the client's to know: nothing of the store's insides.
    fn answer(&self) -> (StatusCode, serde_json::Value) {
        let said = |error: &dyn Error| json!({ "error": error.to_string() });
        match self {
            Refused::NotFound(report) => (StatusCode::NOT_FOUND, json!(report)),
            Refused::Key => {
                let wrong = "the idempotency-key is not printable ASCII";
                (StatusCode::UNPROCESSABLE_ENTITY, json!({ "error": wrong }))
            }
            Refused::Ending => {
                let again = "the service ends: ask again";
                (StatusCode::SERVICE_UNAVAILABLE, json!({ "error": again }))
            }
            Refused::Error(error) => match error {
                TrackError::Invalid(_) => (StatusCode::UNPROCESSABLE_ENTITY, said(error)),
                TrackError::Rejected(_) => (StatusCode::CONFLICT, said(error)),
                TrackError::Timeout => (StatusCode::GATEWAY_TIMEOUT, said(error)),
                error if error.is_retryable() => {
                    let again = "the store is busy: try again";
                    (StatusCode::SERVICE_UNAVAILABLE, json!({ "error": again }))
                }
                _ => {
                    let wrong = "the store failed: see the service's log";
                    (StatusCode::INTERNAL_SERVER_ERROR, json!({ "error": wrong }))
                }
            },
        }
    }

    /// Whoever runs the service is told the whole of it.
    fn log(&self) {
        if let Refused::Error(error @ TrackError::Store(_)) = self {
            log(error);
        }
    }

    fn event(&self) -> Event {
        self.log();
        let (code, body) = self.answer();
        let name = match code {
            StatusCode::NOT_FOUND => "not-found",
            _ => "error",
        };
        Event::default().event(name).data(body.to_string())
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        self.log();
        let (code, body) = self.answer();
        let mut response = (code, Json(body)).into_response();
        if code == StatusCode::SERVICE_UNAVAILABLE {
            let second = header::HeaderValue::from_static("1");
            response.headers_mut().insert(header::RETRY_AFTER, second);
        }
        response
    }
}

fn log(error: &dyn Error) {
    let mut cause = Some(error);
    while let Some(error) = cause {
        eprintln!("error: {error}");
        cause = error.source();
    }
}

/// The workers.
impl Service {
    /// Takes up what nobody works on, oldest first, until the service ends.
    async fn work_off(self) {
        let workers = TaskTracker::new();
        let seats = Arc::new(Semaphore::new(AT_ONCE));
        while let Some(seat) = self.or_end(Arc::clone(&seats).acquire_owned()).await {
            let claimed = self.claim_next().await.unwrap_or_else(|error| {
                log(&error);
                None
            });
            if let Some(lease) = claimed {
                let service = self.clone();
                workers.spawn(async move {
                    if let Err(error) = service.work(&lease).await {
                        log(&error);
                    }
                    drop(seat);
                });
            } else {
                let look_again = tokio::time::timeout(LOOK_AGAIN, self.submitted.notified());
                let _ = self.or_end(look_again).await;
            }
        }
        workers.close();
        workers.wait().await;
    }

    /// What `future` comes to, unless the service ends before.
    async fn or_end<T>(&self, future: impl Future<Output = T>) -> Option<T> {
        self.ending.run_until_cancelled(future).await
    }

    /// A lease on the oldest process that nobody works on; none if there is none.
    async fn claim_next(&self) -> Result<Option<AsyncLease>, TrackError> {
        let unfinished = Query::new()
            .pipeline(self.pipeline.name())
            .status(OverallStatus::Ongoing)
            .oldest_first();
        let mut next = None;
        loop {
            let query = unfinished.clone();
            let page = match next {
                Some(next) => self.tracker.list(&query.after(next)).await?,
                None => self.tracker.list(&query).await?,
            };
            let now = SystemClock.now();
            for process in page.items {
                if process.leased_until().is_some_and(|until| until > now) {
                    continue;
                }
                let id = process.request_id();
                match self.tracker.claim(id, "axum_service", LEASE).await {
                    Ok(lease) => return Ok(Some(lease)),
                    // Another was sooner, or it has settled or is gone since.
                    Err(TrackError::Rejected(_)) => {}
                    Err(error) => return Err(error),
                }
            }
            next = page.next;
            if next.is_none() {
                return Ok(None);
            }
        }
    }

    /// Works on a process until it is complete, or somebody asks to cancel it, or the service ends.
    async fn work(&self, lease: &AsyncLease) -> Result<(), TrackError> {
        let mut renewed = Instant::now();
        for module in lease.unfinished() {
            if module.state_seen() == ModuleStateKind::Running {
                let left = Failure::new("TakenOver", "whoever worked on it is gone");
                module.retry(left).await?;
            }
            module.start().await?;
            let reporter = module.reporter();
            for page in 1..=PAGES {
                if self.or_end(tokio::time::sleep(PAGE)).await.is_none() {
                    lease.release().await?;
                    return Ok(());
                }
                reporter.set(Progress::of(page, PAGES).unit("pages"));
                if lease.cancel_requested() {
                    let process = self.tracker.get(lease.request_id()).await?;
                    let wish = process.cancel_requested().map(CancelRequest::reason);
                    lease.cancel(wish.unwrap_or_default()).await?;
                    return Ok(());
                }
                if renewed.elapsed() >= RENEWAL {
                    lease.renew().await?;
                    renewed = Instant::now();
                }
            }
            module.complete().await?;
        }
        Ok(())
    }
}
