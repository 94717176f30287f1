//! What is asked while nothing is answered takes no more than its room, and no longer than it may.

mod common;

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use common::{Gate, begun, watch};
use futures_util::StreamExt;
use milepost_core::{Change, Progress, TrackError};
use milepost_memory::MemoryStore;
use milepost_tokio::AsyncTracker;

/// More than there are threads for calls that block.
const MANY: usize = 64;

/// Fails the test rather than hang it.
async fn soon<T>(future: impl Future<Output = T>) -> T {
    let answered = tokio::time::timeout(Duration::from_secs(20), future).await;
    answered.expect("it comes to an end")
}

#[tokio::test]
async fn a_wait_ends_in_time_whatever_calls_are_before_it() {
    let gate = Gate::new(MemoryStore::new());
    let tracker = AsyncTracker::new(Arc::clone(&gate));
    let id = begun(&tracker).await.request_id();
    gate.hold_reads(true);
    let held = (0..MANY).map(|_| {
        let tracker = tracker.clone();
        tokio::spawn(async move { tracker.get(id).await })
    });
    let held = held.collect::<Vec<_>>();
    tokio::task::yield_now().await;
    for timeout in [Duration::ZERO, Duration::from_millis(50)] {
        let began = Instant::now();
        let late = soon(tracker.wait(id, timeout)).await;
        assert!(matches!(late, Err(TrackError::Timeout)), "{late:?}");
        assert!(began.elapsed() >= timeout);
    }
    gate.hold_reads(false);
    for call in held {
        let found = soon(call).await.expect("no panic");
        assert_eq!(found.expect("it is there").request_id(), id);
    }
}

#[tokio::test]
async fn calls_that_take_long_leave_threads_to_those_that_do_not() {
    let gate = Gate::new(MemoryStore::new());
    let tracker = AsyncTracker::new(Arc::clone(&gate));
    let process = begun(&tracker).await;
    gate.hold_purges(true);
    let held = (0..MANY).map(|_| {
        let tracker = tracker.clone();
        tokio::spawn(async move { tracker.purge().await })
    });
    let held = held.collect::<Vec<_>>();
    tokio::task::yield_now().await;
    let found = soon(tracker.get(process.request_id())).await;
    assert_eq!(found.expect("it is there").revision(), 1);
    gate.hold_purges(false);
    for call in held {
        let purged = soon(call).await.expect("no panic");
        assert_eq!(purged.expect("a purge"), 0);
    }
}

/// However much happens meanwhile, one state is all that is kept for whoever does not look.
#[tokio::test]
async fn who_looks_seldom_sees_the_newest_state_and_nothing_before_it() {
    let tracker = AsyncTracker::new(MemoryStore::new());
    let process = begun(&tracker).await;
    let mut watch = watch(&tracker, &process).await;
    let first = soon(watch.next()).await.expect("the first");
    assert_eq!(first.expect("no trouble").revision(), 1);
    let id = process.request_id();
    let news = |done| tracker.op(id, Change::progress(1, Progress::unbounded(done)));
    let ops = (1..=10_000).map(news).collect::<Vec<_>>();
    tracker.apply(&ops).await.expect("a batch");
    let next = soon(watch.next()).await.expect("the next");
    assert_eq!(next.expect("no trouble").revision(), 10_001);
    process.cancel("no more").await.expect("a cancel");
    let last = soon(watch.next()).await.expect("the last");
    assert!(last.expect("no trouble").is_settled());
    assert!(soon(watch.next()).await.is_none());
}
