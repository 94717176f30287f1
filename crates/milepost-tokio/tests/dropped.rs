//! What becomes of calls whose futures are dropped: an op lands whole or not at all, and sent again it ends right.

mod common;

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use common::{Gate, begin, begun, id, pipeline, watch};
use futures_util::StreamExt;
use milepost_core::{
    Failure, NewProcess, OverallStatus, Progress, RequestId, StatusStore, TrackError, Tracker,
};
use milepost_memory::MemoryStore;
use milepost_sqlite::SqliteStore;
use milepost_tokio::AsyncTracker;

/// Polls a future at most so often, and drops it then: none if it had not ended.
async fn dropped_after<T>(polls: usize, future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    let mut left = polls;
    std::future::poll_fn(|context| {
        if left == 0 {
            return Poll::Ready(None);
        }
        left -= 1;
        match future.as_mut().poll(context) {
            Poll::Ready(done) => Poll::Ready(Some(done)),
            Poll::Pending if left == 0 => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

/// Drops a call at one await point after the other until it comes to its end, and answers what it came to then.
async fn dropped_everywhere<T, F>(mut call: impl FnMut() -> F) -> T
where
    F: Future<Output = Result<T, TrackError>>,
{
    for polls in 0..100 {
        if let Some(done) = dropped_after(polls, call()).await {
            return done.expect("sent again it is right");
        }
        tokio::task::yield_now().await;
    }
    panic!("it never comes to an end");
}

async fn lifecycle(tracker: &AsyncTracker, id: RequestId) {
    let new = || NewProcess::new(&pipeline()).request_id(id);
    let process = dropped_everywhere(|| tracker.begin(new())).await;
    let [first, second, third] =
        [1, 2, 3].map(|position| process.module(position).expect("a module"));
    dropped_everywhere(|| first.start()).await;
    dropped_everywhere(|| first.progress(Progress::of(1, 2))).await;
    dropped_everywhere(|| first.retry(Failure::new("Again", ""))).await;
    dropped_everywhere(|| first.complete()).await;
    dropped_everywhere(|| second.skip("not asked for")).await;
    dropped_everywhere(|| third.fail(Failure::new("Bad", ""))).await;
    let run = || async {
        // It reads first, so that a second rerun has nothing to do.
        match tracker.rerun(id).await {
            Err(TrackError::Rejected(_)) => Ok(()),
            rerun => rerun.map(drop),
        }
    };
    dropped_everywhere(run).await;
    let minute = Duration::from_mins(1);
    // A claim that nobody got holds until it runs out.
    let lease = tracker
        .claim(id, "worker", minute)
        .await
        .expect("it is free");
    dropped_everywhere(|| lease.renew()).await;
    dropped_everywhere(|| lease.cancel("no more")).await;

    let found = dropped_everywhere(|| tracker.get(id)).await;
    assert_eq!(found.status(), OverallStatus::Cancelled);
    assert_eq!(found.run(), 2);
    assert_eq!(found.modules()[0].attempt(), 2, "one retry");
    assert_eq!(found.modules()[2].attempt(), 2, "one rerun");
    let attempts = found.modules().iter().map(|module| module.attempts().len());
    assert_eq!(attempts.collect::<Vec<_>>(), [1, 0, 1]);
    dropped_everywhere(|| tracker.process_status(id)).await;
    dropped_everywhere(|| tracker.erase(id)).await;
    assert!(
        tracker
            .get(id)
            .await
            .is_err_and(|error| error.is_not_found())
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_call_may_be_dropped_at_every_await_point_and_made_again() {
    let directory = tempfile::tempdir().expect("a directory");
    let sqlite = SqliteStore::open(directory.path().join("status.db")).expect("it opens");
    for tracker in [Tracker::new(MemoryStore::new()), Tracker::new(sqlite)] {
        let tracker = AsyncTracker::from(tracker);
        for n in 0..20 {
            lifecycle(&tracker, id(n)).await;
        }
        tracker.close().await;
    }
}

/// Whoever goes away before the batch is taken up wants nothing written.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn what_is_dropped_before_it_is_taken_up_is_not_written_and_later_all_of_it_is() {
    let gate = Gate::new(MemoryStore::new());
    let tracker = AsyncTracker::new(Arc::clone(&gate));
    gate.close();
    let taken_up = begin(&tracker, 1);
    gate.reached(1);
    let waiting = begin(&tracker, 2);
    tokio::time::sleep(Duration::from_millis(20)).await;
    for task in [&taken_up, &waiting] {
        task.abort();
    }
    tokio::time::sleep(Duration::from_millis(20)).await;
    gate.open();
    begin(&tracker, 3)
        .await
        .expect("no panic")
        .expect("it begins");
    let is_there = |n: u128| {
        let found = gate.read(id(n));
        found.expect("it can be read").is_some()
    };
    assert_eq!([1, 2, 3].map(is_there), [true, false, true]);
}

/// No news is lost with the future of the next item.
#[tokio::test]
async fn a_watch_goes_on_when_the_future_of_its_next_item_is_dropped() {
    let tracker = AsyncTracker::new(MemoryStore::new());
    let process = begun(&tracker).await;
    let mut watch = watch(&tracker, &process).await;
    let mut seen = Vec::new();
    for module in process.modules() {
        module.complete().await.expect("it completes");
        for polls in 0..10 {
            // Where no news comes it is not polled so often: it is dropped all the same.
            let next = dropped_after(polls, watch.next());
            let next = tokio::time::timeout(Duration::from_millis(5), next).await;
            if let Ok(Some(news)) = next {
                seen.extend(news.map(|process| process.expect("no trouble")));
            }
        }
    }
    let revisions = seen
        .iter()
        .map(|process| process.revision())
        .collect::<Vec<_>>();
    assert!(
        revisions.is_sorted_by(|one, next| one < next),
        "{revisions:?}"
    );
    assert_eq!(
        seen.last().expect("the last").status(),
        OverallStatus::Complete
    );
    assert!(watch.next().await.is_none());
}

/// A runtime that ends with calls under way takes nothing along: the tracker goes on under another.
#[test]
fn a_tracker_outlives_its_runtime() {
    let gate = Gate::new(MemoryStore::new());
    let tracker = AsyncTracker::new(Arc::clone(&gate));
    let runtime = || {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        builder.worker_threads(1).enable_time();
        builder.build().expect("a runtime")
    };
    let first = runtime();
    let process = first
        .block_on(tracker.begin(NewProcess::new(&pipeline())))
        .expect("it begins");
    for _ in 0..100 {
        let (tracker, id) = (tracker.clone(), process.request_id());
        first.spawn(async move { tracker.get(id).await });
        let module = process.module(1).expect("a module");
        first.spawn(async move { module.start().await });
    }
    first.shutdown_background();
    let second = runtime();
    for _ in 0..100 {
        let found = second.block_on(tracker.get(process.request_id()));
        assert_eq!(found.expect("it is there").modules().len(), 3);
    }
    let done = second.block_on(process.module(1).expect("a module").complete());
    done.expect("it completes");
}
