//! Where one watcher waits for one process.

use std::fmt;
use std::sync::{Arc, Condvar, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};

use crate::background::lock;
use crate::process::{Process, Version};
use crate::store::StoreError;
use crate::verdict::Rejection;

/// How a watched process ended, which the watcher must not miss.
pub(crate) type Ending = Result<Arc<Process>, Rejection>;

/// Where one watcher waits for one process.
#[derive(Debug, Default)]
pub(crate) struct Seat {
    news: Mutex<News>,
    rung: Condvar,
    /// Rung as well: for watchers that have no thread to wait on.
    bell: OnceLock<Bell>,
}

/// What a watcher wants called when there may be news.
struct Bell(Box<dyn Fn() + Send + Sync>);

impl fmt::Debug for Bell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Bell")
    }
}

#[derive(Debug, Default)]
pub(crate) struct News {
    /// Something may have changed: read.
    pub(crate) dirty: bool,
    pub(crate) ending: Option<Ending>,
    pub(crate) trouble: Option<StoreError>,
    /// What the watcher read last.
    known: Option<(Version, Option<DateTime<Utc>>)>,
}

/// Why a watcher was woken.
pub(crate) enum Rung {
    Ended(Ending),
    Changed,
    Trouble(StoreError),
    TimeUp,
}

impl Seat {
    /// Waits for news, until `until` at the latest.
    pub(crate) fn wait(&self, until: Option<Instant>) -> Rung {
        let mut news = lock(&self.news);
        loop {
            if let Some(ending) = news.ending.take() {
                return Rung::Ended(ending);
            }
            if std::mem::take(&mut news.dirty) {
                return Rung::Changed;
            }
            if let Some(trouble) = news.trouble.take() {
                return Rung::Trouble(trouble);
            }
            news = match until.map(|until| until.saturating_duration_since(Instant::now())) {
                None => self.rung.wait(news).unwrap_or_else(PoisonError::into_inner),
                Some(Duration::ZERO) => return Rung::TimeUp,
                Some(left) => {
                    self.rung
                        .wait_timeout(news, left)
                        .unwrap_or_else(PoisonError::into_inner)
                        .0
                }
            };
        }
    }

    /// Whether there are news to wait for no longer.
    pub(crate) fn is_rung(&self) -> bool {
        let news = lock(&self.news);
        news.dirty || news.ending.is_some() || news.trouble.is_some()
    }

    /// What the watcher has read: the poller compares with it.
    pub(crate) fn saw(&self, process: &Process) {
        lock(&self.news).known = Some((process.version(), process.expires_at()));
    }

    pub(crate) fn ring(&self, tell: impl FnOnce(&mut News)) {
        tell(&mut lock(&self.news));
        self.wake();
    }

    /// Has `bell` called at each ring from now on, and once now: there may have been one. A second bell is left out.
    pub(crate) fn hang(&self, bell: Box<dyn Fn() + Send + Sync>) {
        self.bell.get_or_init(|| Bell(bell)).0();
    }

    fn wake(&self) {
        self.rung.notify_one();
        if let Some(bell) = self.bell.get() {
            bell.0();
        }
    }

    pub(crate) fn compare(&self, version: Option<Version>, now: DateTime<Utc>) {
        let mut news = lock(&self.news);
        let Some((known, expires_at)) = news.known else {
            return;
        };
        let expired = expires_at.is_some_and(|expiry| expiry <= now);
        if version != Some(known) || expired {
            news.dirty = true;
            drop(news);
            self.wake();
        }
    }
}
