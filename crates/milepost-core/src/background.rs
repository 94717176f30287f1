//! What the tracker's own threads share: how they start, how they end, and how long they pause.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::store::{StoreError, StoreErrorKind};
use crate::tracker::Shared;

/// A lock that a panicking holder leaves usable: what these locks guard is never half-changed.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A thread that ends when it is told to. It runs in the OS process that started it: a child of `fork` that waited for
/// it would wait for ever, or panic.
#[derive(Debug)]
pub(crate) struct Running {
    thread: JoinHandle<()>,
    started_by: u32,
}

impl Running {
    pub(crate) fn new(thread: JoinHandle<()>) -> Self {
        Running {
            thread,
            started_by: std::process::id(),
        }
    }

    /// Whether it runs in this OS process.
    pub(crate) fn is_here(&self) -> bool {
        self.started_by == std::process::id()
    }

    /// Waits until it has ended, unless it is the one that waits, or does not run here.
    pub(crate) fn join(self) {
        if !self.is_here() {
            // Letting it go would already touch what is not here.
            std::mem::forget(self.thread);
        } else if self.thread.thread().id() != std::thread::current().id() {
            // It ends in a panic only if a store's drop does, which is then that store's to report.
            let _ = self.thread.join();
        }
    }
}

/// A thread that a tracker runs from the first time that it is needed until the tracker goes.
#[derive(Debug, Default)]
pub(crate) struct Background {
    thread: Mutex<Option<Running>>,
}

impl Background {
    /// Starts the thread, unless it runs.
    pub(crate) fn start(
        &self,
        name: &str,
        shared: &Arc<Shared>,
        run: fn(&Shared),
    ) -> Result<(), StoreError> {
        let mut thread = lock(&self.thread);
        if thread.is_none() {
            let shared = Arc::clone(shared);
            let builder = std::thread::Builder::new().name(name.to_owned());
            let spawned = builder.spawn(move || run(&shared));
            let spawned =
                spawned.map_err(|error| StoreError::new(StoreErrorKind::Unavailable, error))?;
            *thread = Some(Running::new(spawned));
        }
        Ok(())
    }

    /// Whether the thread runs in another OS process, of which this one is a child.
    pub(crate) fn is_elsewhere(&mut self) -> bool {
        self.get_mut()
            .as_ref()
            .is_some_and(|thread| !thread.is_here())
    }

    /// Waits until the thread, which was told to end, has let the store go. Says whether there was one.
    pub(crate) fn join(&mut self) -> bool {
        // It may be the one that lets the last tracker go.
        self.get_mut().take().map(Running::join).is_some()
    }

    /// Leaves the thread alone, wherever it runs.
    pub(crate) fn forget(&mut self) {
        std::mem::forget(self.get_mut().take());
    }

    fn get_mut(&mut self) -> &mut Option<Running> {
        self.thread
            .get_mut()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// How long a thread pauses: at least 1 ms. It may be set while the thread runs.
#[derive(Debug)]
pub(crate) struct Interval {
    micros: AtomicU64,
}

impl Interval {
    const SHORTEST: Duration = Duration::from_millis(1);

    pub(crate) fn new(interval: Duration) -> Self {
        let new = Interval {
            micros: AtomicU64::new(0),
        };
        new.set(interval);
        new
    }

    pub(crate) fn set(&self, interval: Duration) {
        let micros = interval.max(Interval::SHORTEST).as_micros();
        let micros = u64::try_from(micros).unwrap_or(u64::MAX);
        self.micros.store(micros, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> Duration {
        Duration::from_micros(self.micros.load(Ordering::Relaxed))
    }
}
