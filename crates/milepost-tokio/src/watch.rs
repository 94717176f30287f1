//! Watching as a stream, and waiting: ten thousand watchers, and no thread for any.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use futures_util::stream::{Stream, StreamExt, unfold};
use milepost_core::{Process, Rejection, RequestId, TrackError, Watch};
use tokio::sync::Notify;
use tokio::time::{sleep, timeout_at};

use crate::desk::Desk;
use crate::tracker::AsyncTracker;

type News = Result<Arc<Process>, TrackError>;

/// How long to wait before a process is read again that could not be read at first.
const PATIENCE: Duration = Duration::from_millis(100);

/// The newest states of one process, as they come: a [`Stream`] of what [`Watch`] iterates over, under the same
/// contract.
///
/// Cancel-safe: dropping a future of its next item loses none. It holds the tracker as long as it lives.
///
/// # Examples
///
/// ```
/// # use milepost_core::{RequestId, TrackError};
/// # use milepost_tokio::AsyncTracker;
/// use futures_util::StreamExt;
///
/// async fn follow(tracker: &AsyncTracker, id: RequestId) -> Result<(), TrackError> {
///     let mut watch = tracker.watch(id).await?;
///     while let Some(process) = watch.next().await {
///         let process = process?;
///         println!("{} after {} changes", process.status(), process.revision());
///     }
///     Ok(())
/// }
/// ```
#[must_use = "streams do nothing unless polled"]
pub struct AsyncWatch {
    news: Pin<Box<dyn Stream<Item = News> + Send>>,
    /// Goes last: whoever watches keeps the store open.
    _tracker: AsyncTracker,
}

/// A watch between two looks at it.
struct Waiting {
    watch: Watch,
    rung: Arc<Notify>,
    desk: Desk,
    /// Come, and not yet shown.
    next: Option<News>,
}

impl AsyncTracker {
    /// Watches a process: a stream of its newest state at each change, until it has settled.
    ///
    /// No thread waits for it. Cancel-safe.
    ///
    /// # Errors
    ///
    /// [`NotFound`](Rejection::NotFound) if it is not there.
    pub async fn watch(&self, id: RequestId) -> Result<AsyncWatch, TrackError> {
        let begun = self.run(move |tracker| {
            let mut watch = tracker.watch(id)?;
            let next = watch.try_next();
            Ok((watch, next))
        });
        let (watch, next) = begun.await?;
        let rung = Arc::new(Notify::new());
        let bell = Arc::clone(&rung);
        watch.on_news(move || bell.notify_one());
        let desk = self.desk().clone();
        let waiting = Waiting {
            watch,
            rung,
            desk,
            next,
        };
        Ok(AsyncWatch {
            news: Box::pin(unfold(Some(waiting), Waiting::next).fuse()),
            _tracker: self.clone(),
        })
    }

    /// Waits until a process has settled, and answers it: complete, failed or cancelled.
    ///
    /// The timeout runs in real time, whatever the tracker's clock says. Trouble of the store that may pass
    /// is waited out. Cancel-safe.
    ///
    /// # Errors
    ///
    /// [`Timeout`](TrackError::Timeout) if it has not settled by then;
    /// [`NotFound`](Rejection::NotFound) if it is not there, or is erased or expires meanwhile.
    pub async fn wait(&self, id: RequestId, timeout: Duration) -> Result<Arc<Process>, TrackError> {
        let began = Instant::now();
        let left = || timeout.saturating_sub(began.elapsed());
        let mut watch = loop {
            match self.watch(id).await {
                Ok(watch) => break watch,
                Err(error) if error.is_retryable() && !left().is_zero() => {
                    sleep(PATIENCE.min(left())).await;
                }
                Err(error) => return Err(error),
            }
        };
        let mut in_trouble = false;
        loop {
            match tokio::time::timeout(left(), watch.next()).await {
                Ok(None) => return Err(Rejection::NotFound.into()),
                Ok(Some(Ok(process))) if process.is_settled() => return Ok(process),
                // Whoever reports without a pause must not hold the wait beyond its time.
                Ok(Some(Ok(_))) if left().is_zero() => return Err(TrackError::Timeout),
                Ok(Some(Ok(_))) => in_trouble = false,
                Ok(Some(Err(error))) if error.is_retryable() => in_trouble = true,
                Ok(Some(Err(error))) => return Err(error),
                // The trouble may be over, or be what kept the end from being seen.
                Err(_) if in_trouble => {
                    let settled = Some(self.get(id).await?).filter(|process| process.is_settled());
                    return settled.ok_or(TrackError::Timeout);
                }
                Err(_) => return Err(TrackError::Timeout),
            }
        }
    }
}

impl Waiting {
    /// The next news, and what to ask then; none after the end.
    async fn next(waiting: Option<Self>) -> Option<(News, Option<Self>)> {
        let mut this = waiting?;
        loop {
            if let Some(news) = this.next.take() {
                return Some((news, Some(this)));
            }
            if this.watch.has_ended() {
                return None;
            }
            if !this.watch.has_news() {
                this.until_news().await;
            }
            // It may read from the store.
            let desk = this.desk.clone();
            let looked = desk.run(move || {
                this.next = this.watch.try_next();
                this
            });
            this = match looked.await {
                Ok(this) => this,
                Err(error) => return Some((Err(error), None)),
            };
        }
    }

    async fn until_news(&self) {
        match self.watch.read_again_at() {
            None => self.rung.notified().await,
            // Whether the bell rang or the time has come is all the same.
            Some(at) => drop(timeout_at(at.into(), self.rung.notified()).await),
        }
    }
}

impl Stream for AsyncWatch {
    type Item = News;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<News>> {
        self.news.as_mut().poll_next(context)
    }
}

impl fmt::Debug for AsyncWatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AsyncWatch").finish_non_exhaustive()
    }
}
