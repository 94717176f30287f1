//! Runs what may panic or never end.

use std::panic::AssertUnwindSafe;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use crate::law::Broken;

/// How long no call may take, as promised.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);

/// What `work` comes to; a panic, or 5 seconds, break the law. What hangs is left behind.
pub(super) fn watched<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Broken> + Send + 'static,
) -> Result<T, Broken> {
    let (sender, receiver) = mpsc::channel();
    let thread = thread::spawn(move || {
        // Whoever waited may have given up.
        let _ = sender.send(work());
    });
    match receiver.recv_timeout(PATIENCE) {
        Ok(outcome) => {
            // What it still has to drop is dropped before anybody looks at its files.
            thread.join().map_err(|_| Broken::new("a panic on drop"))?;
            outcome
        }
        Err(RecvTimeoutError::Timeout) => Err(Broken::new("it hangs: over 5 seconds and no end")),
        Err(RecvTimeoutError::Disconnected) => {
            let panic = thread.join().expect_err("it ended without an answer");
            Err(Broken::new(format!("a panic: {}", said(panic.as_ref()))))
        }
    }
}

/// The same without a time limit, on this thread.
pub(super) fn caught<T>(work: impl FnOnce() -> Result<T, Broken>) -> Result<T, Broken> {
    std::panic::catch_unwind(AssertUnwindSafe(work))
        .unwrap_or_else(|panic| Err(Broken::new(format!("a panic: {}", said(panic.as_ref())))))
}

fn said(panic: &(dyn std::any::Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("without a word")
}
