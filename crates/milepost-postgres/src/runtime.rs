//! Waiting for what is asynchronous, from any thread.

use std::future::Future;
use std::sync::mpsc;
use std::time::Duration;

use milepost_core::{StoreError, StoreErrorKind};
use tokio::runtime::{Builder, Runtime};

use crate::connections::Connections;

/// A runtime of the store's own, and the connections, which live there: callers need none.
pub(crate) struct Home {
    /// Both are there until it is dropped.
    parts: Option<(Runtime, Connections)>,
    /// The OS process that started it: its threads do not follow into a child.
    started_by: u32,
}

/// How long the drop waits for what cannot be broken off, such as the look-up of a name.
const PATIENCE: Duration = Duration::from_secs(1);

impl Home {
    /// Threads that serve all connections; what takes long, decoding for instance, callers mostly do themselves.
    const THREADS: usize = 2;

    /// Starts the runtime, and the connections in it.
    pub(crate) fn start(
        connections: impl FnOnce(&Runtime) -> Result<Connections, StoreError>,
    ) -> Result<Self, StoreError> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(Home::THREADS)
            .thread_name("milepost-postgres")
            .enable_all()
            .build();
        let runtime =
            runtime.map_err(|error| StoreError::new(StoreErrorKind::Unavailable, error))?;
        let connections = connections(&runtime)?;
        Ok(Home {
            parts: Some((runtime, connections)),
            started_by: std::process::id(),
        })
    }

    pub(crate) fn connections(&self) -> &Connections {
        &self.parts().1
    }

    /// Runs a future there that commits nothing, and waits for it, by no means of any other runtime: so whoever calls may be
    /// within one.
    pub(crate) fn wait<T: Send + 'static>(
        &self,
        future: impl Future<Output = Result<T, StoreError>> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.wait_or(StoreErrorKind::Other, future)
    }

    /// The same of one that commits.
    pub(crate) fn commit<T: Send + 'static>(
        &self,
        future: impl Future<Output = Result<T, StoreError>> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.wait_or(StoreErrorKind::OutcomeUnknown, future)
    }

    fn wait_or<T: Send + 'static>(
        &self,
        if_lost: StoreErrorKind,
        future: impl Future<Output = Result<T, StoreError>> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.check()?;
        let (send, receive) = mpsc::sync_channel(1);
        self.parts().0.spawn(async move {
            // Whoever asked waits for it.
            let _ = send.send(future.await);
        });
        let lost = |_| StoreError::new(if_lost, "the store panicked");
        receive.recv().map_err(lost)?
    }

    /// Runs a future there, whoever may wait for what it does.
    pub(crate) fn spawn(
        &self,
        future: impl Future<Output = ()> + Send + 'static,
    ) -> Result<(), StoreError> {
        self.check()?;
        self.parts().0.spawn(future);
        Ok(())
    }

    /// Refuses to serve a forked child.
    pub(crate) fn check(&self) -> Result<(), StoreError> {
        if self.started_by == std::process::id() {
            return Ok(());
        }
        let why = "the store was opened before a fork, and serves the parent only";
        Err(StoreError::new(StoreErrorKind::Unavailable, why))
    }

    fn parts(&self) -> &(Runtime, Connections) {
        self.parts
            .as_ref()
            .expect("they are there until it is dropped")
    }
}

impl Drop for Home {
    /// Closes every connection before it returns.
    fn drop(&mut self) {
        let Some((runtime, connections)) = self.parts.take() else {
            return;
        };
        if self.started_by != std::process::id() {
            // Its threads are the parent's, and what they share with the connections may be locked for ever.
            std::mem::forget((runtime, connections));
            return;
        }
        drop(connections);
        // Within another runtime one must not wait for this one to end; a thread of its own may.
        let (hand_over, take) = mpsc::sync_channel::<Runtime>(1);
        let ends = std::thread::Builder::new()
            .name("milepost-postgres".to_owned())
            .spawn(move || {
                take.recv()
                    .map(|runtime| runtime.shutdown_timeout(PATIENCE))
            });
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
