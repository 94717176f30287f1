//! The calls of the tracker as futures: what they answer, what becomes of those that are dropped, and that no thread of
//! the runtime waits for the store.

mod common;

use std::sync::Arc;
use std::time::{Duration, Instant};

use common::{Gate, begin, begun, id, pipeline, watch};
use futures_util::StreamExt;
use milepost_core::{
    Estimate, Failure, NewProcess, OverallStatus, Progress, Query, Rejection, RequestId,
    StatusStore, StoreErrorKind, TrackError, Tracker,
};
use milepost_memory::MemoryStore;
use milepost_sqlite::SqliteStore;
use milepost_tokio::AsyncTracker;

fn nobody() -> RequestId {
    id(0)
}

#[tokio::test]
async fn estimates_are_the_trackers_and_never_go_back() {
    let tracker = AsyncTracker::new(MemoryStore::new());
    let process = begun(&tracker).await;
    let id = process.request_id();
    let estimator = tracker.estimator(id);
    let module = process.module(1).expect("a module");
    module.progress(Progress::of(1, 2)).await.expect("progress");
    let half = estimator.estimate().await.expect("it is there");
    assert_eq!(half, tracker.estimate(id).await.expect("it is there"));
    module
        .retry(Failure::new("Again", ""))
        .await
        .expect("a retry");
    let fraction = |estimate: Result<Estimate, TrackError>| estimate.expect("it is there").fraction;
    assert!(fraction(tracker.estimate(id).await) < half.fraction);
    assert!(fraction(estimator.clone().estimate().await) >= half.fraction);
    let gone = tracker.estimate(nobody()).await.expect_err("nobody");
    assert!(gone.is_not_found());
}

#[tokio::test]
async fn every_call_means_what_it_means_on_the_tracker() {
    let tracker = AsyncTracker::new(MemoryStore::new());
    let new = NewProcess::new(&pipeline()).file_name("a.pdf");
    let process = tracker.begin(new).await.expect("it begins");
    let id = process.request_id();
    assert!(process.is_new());
    let module = process.module(1).expect("a module");
    assert!(module.start().await.expect("it starts").changed);
    assert!(!module.start().await.expect("it has started").changed);
    module.progress(Progress::of(1, 2)).await.expect("progress");
    let again = module.retry(Failure::new("Again", "")).await;
    assert!(again.expect("a retry").changed);
    module.complete().await.expect("the new attempt is known");
    let skipped = process.module(2).expect("a module");
    skipped.skip("not asked for").await.expect("a skip");
    let failed = process.module(3).expect("a module");
    failed
        .fail(Failure::new("Bad", ""))
        .await
        .expect("a failure");

    let found = tracker.get(id).await.expect("it is there");
    assert_eq!(found.status(), OverallStatus::Failed);
    assert_eq!(found.modules()[0].attempt(), 2);
    let report = tracker.process_status(id).await.expect("it is there");
    assert_eq!(report.process_status.get(1), Some(true));
    let many = tracker.get_many(&[id, nobody()]).await;
    assert_eq!(many.expect("both are asked for"), [Some(found), None]);
    let failed = Query::new().status(OverallStatus::Failed);
    assert_eq!(tracker.list(&failed).await.expect("a page").items.len(), 1);
    assert_eq!(tracker.count(&failed).await.expect("a count").failed, 1);

    assert!(tracker.rerun(id).await.expect("a rerun").changed);
    let stale = module.start().await;
    assert!(
        matches!(stale, Err(TrackError::Rejected(Rejection::Stale { .. }))),
        "{stale:?}"
    );
    let process = tracker.process(id).await.expect("it is there");
    assert!(process.cancel("no more").await.expect("a cancel").changed);
    assert_eq!(tracker.erase(id).await.expect("an erase").processes, 1);
    let gone = tracker.process_status(id).await.expect_err("it is erased");
    assert!(gone.is_not_found());
    assert_eq!(tracker.not_found_report(id).status_code, 404);
}

#[tokio::test]
async fn what_is_wrong_is_said_before_anything_is_sent() {
    let tracker = AsyncTracker::new(MemoryStore::new());
    let bad = tracker.begin(NewProcess::new(&pipeline()).file_name("\0"));
    assert!(matches!(bad.await, Err(TrackError::Invalid(_))));
    let process = begun(&tracker).await;
    let module = process.module(1).expect("a module");
    let over = module.progress(Progress::of(3, 2)).await;
    assert!(matches!(over, Err(TrackError::Invalid(_))), "{over:?}");
    let ops = vec![tracker.op(process.request_id(), milepost_core::Change::start(1)); 10_001];
    let too_many = tracker.apply(&ops).await.expect_err("it is over the limit");
    assert!(
        matches!(&too_many, TrackError::Store(error) if error.kind() == StoreErrorKind::Limit),
        "{too_many:?}"
    );
    assert_eq!(tracker.apply(&[]).await.expect("nothing to do"), []);
}

#[tokio::test]
async fn beginning_twice_is_beginning_once() {
    let tracker = AsyncTracker::new(MemoryStore::new());
    let id = id(7);
    let new = || NewProcess::new(&pipeline()).request_id(id);
    assert!(tracker.begin(new()).await.expect("it begins").is_new());
    assert!(!tracker.begin(new()).await.expect("it is there").is_new());
}

/// Writes of tasks that come while one is committed are one batch.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn writes_of_many_tasks_are_joined() {
    let gate = Gate::new(MemoryStore::new());
    let tracker = AsyncTracker::new(Arc::clone(&gate));
    gate.close();
    let first = begin(&tracker, 1);
    gate.reached(1);
    let others = (2..=1_000).map(|n| begin(&tracker, n)).collect::<Vec<_>>();
    tokio::time::sleep(Duration::from_millis(50)).await;
    gate.open();
    first.await.expect("no panic").expect("it begins");
    for other in others {
        other.await.expect("no panic").expect("it begins");
    }
    assert_eq!(gate.writes(), [1, 999]);
}

/// A store that cannot write of one process fails the batch that has an op of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn what_cannot_be_written_of_one_process_spoils_nothing_of_others() {
    let gate = Gate::new(MemoryStore::new());
    let tracker = AsyncTracker::new(Arc::clone(&gate));
    let bad = id(5);
    gate.fail_for(bad, StoreErrorKind::Corrupt);
    gate.close();
    let tasks = (1..=10).map(|n| begin(&tracker, n)).collect::<Vec<_>>();
    tokio::time::sleep(Duration::from_millis(50)).await;
    gate.open();
    for (n, task) in (1..).zip(tasks) {
        let answer = task.await.expect("no panic");
        assert_eq!(answer.is_err(), n == 5, "{n}: {answer:?}");
    }
}

#[tokio::test]
async fn a_store_that_panics_leaves_nobody_waiting() {
    let gate = Gate::new(MemoryStore::new());
    let tracker = AsyncTracker::new(Arc::clone(&gate));
    let process = begun(&tracker).await;
    gate.panic_next();
    let unknown = process.module(1).expect("a module").start().await;
    assert!(
        matches!(&unknown, Err(TrackError::Store(error))
            if error.kind() == StoreErrorKind::OutcomeUnknown),
        "{unknown:?}"
    );
    process
        .module(1)
        .expect("a module")
        .start()
        .await
        .expect("it goes on");
}

/// What was reported before a transition is written before it, as on the tracker.
#[tokio::test]
async fn reports_are_written_before_the_next_transition() {
    let tracker = AsyncTracker::new(MemoryStore::new()).report_interval(Duration::from_mins(1));
    let process = begun(&tracker).await;
    let module = process.module(1).expect("a module");
    let reporter = module.reporter();
    for done in 1..=100 {
        reporter.set(Progress::of(done, 100));
    }
    module.complete().await.expect("it completes");
    let found = tracker
        .get(process.request_id())
        .await
        .expect("it is there");
    let progress = found.modules()[0].progress().expect("it has some");
    assert_eq!(progress.done(), 100);
}

#[tokio::test]
async fn a_lease_is_renewed_and_given_back() {
    let tracker = AsyncTracker::new(MemoryStore::new());
    let process = begun(&tracker).await;
    let id = process.request_id();
    let minute = Duration::from_mins(1);
    let lease = tracker
        .claim(id, "worker 7", minute)
        .await
        .expect("it is free");
    let held = tracker.claim(id, "worker 8", minute).await;
    assert!(
        matches!(held, Err(TrackError::Rejected(Rejection::Held { .. }))),
        "{held:?}"
    );
    let until = lease.until();
    lease.renew_for(2 * minute).await.expect("it lasts");
    assert!(lease.until() > until);
    lease
        .module(1)
        .expect("a module")
        .complete()
        .await
        .expect("under the lease");
    lease.release().await.expect("it is given back");
    let late = lease.module(2).expect("a module").complete().await;
    assert!(
        matches!(late, Err(TrackError::Rejected(Rejection::Fenced { .. }))),
        "{late:?}"
    );
    tracker
        .claim(id, "worker 8", minute)
        .await
        .expect("it is free");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn closing_writes_what_was_sent_and_closes_the_store() {
    let gate = Gate::new(MemoryStore::new());
    let store = Arc::downgrade(&gate);
    let tracker = AsyncTracker::new(Arc::clone(&gate));
    gate.close();
    let task = begin(&tracker, 7);
    gate.reached(1);
    let closing = tokio::spawn(tracker.close());
    gate.open();
    task.await.expect("no panic").expect("it begins");
    closing.await.expect("no panic");
    let kept = gate.read(id(7)).expect("it can be read");
    assert!(kept.is_some());
    drop(gate);
    // The task above may let its clone go a moment after it has answered.
    let began = Instant::now();
    while store.strong_count() > 0 {
        assert!(
            began.elapsed() < Duration::from_secs(5),
            "the store is still open"
        );
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// Both flavours of the runtime, and several stores, by the same code.
#[test]
fn it_runs_on_either_flavour_and_over_any_store() {
    async fn work(tracker: AsyncTracker) -> usize {
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..200 {
            let tracker = tracker.clone();
            tasks.spawn(async move {
                let process = tracker.begin(NewProcess::new(&pipeline())).await?;
                for module in process.modules() {
                    module.progress(Progress::of(1, 2)).await?;
                    module.complete().await?;
                }
                let id = process.request_id();
                let ended = tracker.wait(id, Duration::from_secs(10)).await?;
                assert_eq!(ended.status(), OverallStatus::Complete);
                Ok::<_, TrackError>(())
            });
        }
        let done = tasks.join_all().await;
        done.into_iter().flatten().count()
    }
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("status.db");
    let current = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build();
    let several = tokio::runtime::Builder::new_multi_thread()
        .enable_time()
        .build();
    for runtime in [current, several] {
        let runtime = runtime.expect("a runtime");
        let memory = AsyncTracker::new(MemoryStore::new());
        assert_eq!(runtime.block_on(work(memory)), 200);
        let sqlite = AsyncTracker::from(Tracker::new(SqliteStore::open(&path).expect("it opens")));
        assert_eq!(runtime.block_on(work(sqlite)), 200);
    }
}

#[tokio::test]
async fn a_watch_is_a_stream_of_the_newest_states() {
    let tracker = AsyncTracker::new(MemoryStore::new());
    let process = begun(&tracker).await;
    let watch = watch(&tracker, &process).await;
    let seen = tokio::spawn(
        watch
            .map(|process| process.expect("no trouble"))
            .collect::<Vec<_>>(),
    );
    for module in process.modules() {
        module.complete().await.expect("it completes");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let seen = seen.await.expect("no panic");
    let revisions = seen
        .iter()
        .map(|process| process.revision())
        .collect::<Vec<_>>();
    assert_eq!(revisions.first(), Some(&1));
    assert!(
        revisions.is_sorted_by(|one, next| one < next),
        "{revisions:?}"
    );
    assert_eq!(
        seen.last().expect("the last").status(),
        OverallStatus::Complete
    );
}

#[tokio::test]
async fn a_watch_ends_when_its_process_is_erased() {
    let tracker = AsyncTracker::new(MemoryStore::new());
    let unknown = tracker.watch(nobody()).await.expect_err("nobody is there");
    assert!(unknown.is_not_found());
    let process = begun(&tracker).await;
    let mut watch = watch(&tracker, &process).await;
    watch.next().await.expect("the first").expect("no trouble");
    tracker.erase(process.request_id()).await.expect("an erase");
    let gone = watch
        .next()
        .await
        .expect("the last")
        .expect_err("it is gone");
    assert!(gone.is_not_found());
    assert!(watch.next().await.is_none());
}

/// Another tracker's changes are seen by polling, and trouble of the store is yielded and passes.
#[tokio::test]
async fn a_watch_sees_what_others_change_and_outlasts_trouble() {
    let gate = Gate::new(MemoryStore::new());
    let tracker = AsyncTracker::new(Arc::clone(&gate)).poll_interval(Duration::from_millis(5));
    let other = AsyncTracker::new(Arc::clone(&gate));
    let process = begun(&other).await;
    let mut watch = watch(&tracker, &process).await;
    watch.next().await.expect("the first").expect("no trouble");
    gate.trouble_reading(true);
    let trouble = watch
        .next()
        .await
        .expect("it says so")
        .expect_err("trouble");
    assert!(trouble.is_retryable(), "{trouble:?}");
    gate.trouble_reading(false);
    process
        .module(1)
        .expect("a module")
        .start()
        .await
        .expect("it starts");
    while let Some(news) = watch.next().await {
        if news.is_ok_and(|process| process.revision() == 2) {
            return;
        }
    }
    panic!("the watch ended");
}

#[tokio::test]
async fn waiting_ends_in_time() {
    let tracker = AsyncTracker::new(MemoryStore::new());
    let unknown = tracker.wait(nobody(), Duration::MAX).await;
    assert!(unknown.expect_err("nobody is there").is_not_found());
    let process = begun(&tracker).await;
    let id = process.request_id();
    for timeout in [Duration::ZERO, Duration::from_millis(20)] {
        let late = tracker.wait(id, timeout).await;
        assert!(matches!(late, Err(TrackError::Timeout)), "{late:?}");
    }
    let waiting = tokio::spawn({
        let tracker = tracker.clone();
        async move { tracker.wait(id, Duration::MAX).await }
    });
    process.cancel("no more").await.expect("a cancel");
    let ended = waiting.await.expect("no panic").expect("it has settled");
    assert_eq!(ended.status(), OverallStatus::Cancelled);
    let at_once = tracker
        .wait(id, Duration::ZERO)
        .await
        .expect("it has settled");
    assert_eq!(at_once.status(), OverallStatus::Cancelled);
}

#[tokio::test]
async fn ten_thousand_watchers_need_no_thread_each() {
    let tracker = AsyncTracker::new(MemoryStore::new());
    let process = begun(&tracker).await;
    let id = process.request_id();
    let mut watches = Vec::new();
    for _ in 0..10_000 {
        watches.push(tracker.watch(id).await.expect("it is there"));
    }
    let ended = futures_util::future::join_all(watches.into_iter().map(StreamExt::count));
    let threads = || std::fs::read_dir("/proc/self/task").map_or(0, Iterator::count);
    let before = threads();
    process.cancel("no more").await.expect("a cancel");
    assert_eq!(
        ended.await.into_iter().filter(|seen| *seen >= 2).count(),
        10_000
    );
    // Those that make the calls, and those that have just made the last.
    assert!(threads() < before + 100, "{before}, then {}", threads());
}
