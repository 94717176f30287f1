//! Waiting for what is asynchronous, from any thread.

use std::future::Future;
use std::sync::mpsc;

use milepost_core::{StoreError, StoreErrorKind};
use tokio::runtime::{Builder, Runtime};

/// A runtime of the store's own: its connections live there, and callers need none.
#[derive(Debug)]
pub(crate) struct Home {
    /// There until it is dropped.
    runtime: Option<Runtime>,
    /// The OS process that started it: its threads do not follow into a child.
    started_by: u32,
}

impl Home {
    /// Threads that serve all connections; what takes long, decoding for instance, callers do themselves.
    const THREADS: usize = 2;

    pub(crate) fn start() -> Result<Self, StoreError> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(Home::THREADS)
            .thread_name("milepost-postgres")
            .enable_all()
            .build();
        let runtime =
            runtime.map_err(|error| StoreError::new(StoreErrorKind::Unavailable, error))?;
        Ok(Home {
            runtime: Some(runtime),
            started_by: std::process::id(),
        })
    }

    /// Runs a future there and waits for it, by no means of any other runtime: so whoever calls may be within one.
    pub(crate) fn wait<T: Send + 'static>(
        &self,
        future: impl Future<Output = Result<T, StoreError>> + Send + 'static,
    ) -> Result<T, StoreError> {
        let runtime = self.runtime()?;
        let (send, receive) = mpsc::sync_channel(1);
        runtime.spawn(async move {
            // Whoever asked waits for it.
            let _ = send.send(future.await);
        });
        let lost = |_| StoreError::new(StoreErrorKind::OutcomeUnknown, "the store panicked");
        receive.recv().map_err(lost)?
    }

    /// Runs a future there, for whoever asks for its outcome later.
    pub(crate) fn spawn<T: Send + 'static>(
        &self,
        future: impl Future<Output = T> + Send + 'static,
    ) -> Result<mpsc::Receiver<T>, StoreError> {
        let runtime = self.runtime()?;
        let (send, receive) = mpsc::sync_channel(1);
        runtime.spawn(async move {
            // Nobody may want to know any more.
            let _ = send.send(future.await);
        });
        Ok(receive)
    }

    /// Refuses to serve a forked child.
    pub(crate) fn check(&self) -> Result<(), StoreError> {
        self.runtime().map(drop)
    }

    fn runtime(&self) -> Result<&Runtime, StoreError> {
        match &self.runtime {
            Some(runtime) if self.started_by == std::process::id() => Ok(runtime),
            _ => {
                let why = "the store was opened before a fork, and serves the parent only";
                Err(StoreError::new(StoreErrorKind::Unavailable, why))
            }
        }
    }
}

impl Drop for Home {
    /// Closes every connection before it returns.
    fn drop(&mut self) {
        let Some(runtime) = self.runtime.take() else {
            return;
        };
        if self.started_by != std::process::id() {
            // Its threads are the parent's.
            std::mem::forget(runtime);
            return;
        }
        // Within another runtime one must not wait for this one to end; a thread of its own may.
        let (hand_over, take) = mpsc::sync_channel(1);
        let ends = std::thread::Builder::new()
            .name("milepost-postgres".to_owned())
            .spawn(move || drop(take.recv()));
        match ends {
            Ok(ends) => {
                let _ = hand_over.send(runtime);
                // A panic would be one of its tasks', which their callers have been told of.
                let _ = ends.join();
            }
            Err(_) => runtime.shutdown_background(),
        }
    }
}
