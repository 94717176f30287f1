//! A process that is worked on, and a store that can be held up while it is written to.

use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use milepost_core::{
    Applied, Change, Invalid, ManualClock, ModuleHandle, NewProcess, Op, Process, ProcessHandle,
    Progress, TrackError, Tracker, Watch,
};

use super::store::{Call, MapStore};
use super::{chain, noon};

pub(crate) const NEVER: Duration = Duration::from_hours(1);
pub(crate) const SOON: Duration = Duration::from_millis(1);
/// A test that takes longer than this has failed.
pub(crate) const BOUND: Duration = Duration::from_mins(1);

pub(crate) type Answer = Result<Applied, TrackError>;

/// A process of a parallel chain, over a store that notes what is written to it.
///
/// Its tracker asks for no changes by others, and leaves what is reported pending once it has written.
pub(crate) struct Work {
    pub(crate) store: Arc<MapStore>,
    pub(crate) clock: ManualClock,
    pub(crate) tracker: Tracker,
    pub(crate) process: ProcessHandle,
}

pub(crate) fn work(modules: usize) -> Work {
    let (store, clock) = (Arc::new(MapStore::noting()), ManualClock::new(noon()));
    let tracker = Tracker::with_clock(store.clone(), clock.clone())
        .poll_interval(NEVER)
        .report_interval(NEVER);
    let new = NewProcess::new(&chain(modules).parallel());
    let process = tracker.begin(new).expect("it begins");
    Work {
        store,
        clock,
        tracker,
        process,
    }
}

impl Work {
    pub(crate) fn module(&self, position: usize) -> ModuleHandle {
        self.process.module(position).expect("it is in the chain")
    }

    pub(crate) fn watch(&self) -> Watch {
        let mut watch = self
            .tracker
            .watch(self.process.request_id())
            .expect("it is there");
        shown(&mut watch);
        watch
    }

    /// Has a first report of nothing done written, so that what follows is pending.
    pub(crate) fn rest(&self) {
        let mut watch = self.watch();
        self.module(1).reporter().set(Progress::unbounded(0));
        assert_eq!(done(&shown(&mut watch), 1), Some(0));
    }

    pub(crate) fn stored(&self) -> Arc<Process> {
        self.tracker
            .get(self.process.request_id())
            .expect("it is there")
    }

    /// What is stored of a module's progress.
    pub(crate) fn done(&self, position: usize) -> Option<u64> {
        done(&self.stored(), position)
    }

    /// What was written of a process that rested, in short: see [`short`].
    pub(crate) fn written(&self) -> Vec<String> {
        let tried = self.store.tried();
        tried.iter().skip(2).map(|ops| short(ops)).collect()
    }
}

pub(crate) fn done(process: &Process, position: usize) -> Option<u64> {
    process.modules()[position - 1]
        .progress()
        .map(Progress::done)
}

pub(crate) fn shown(watch: &mut Watch) -> Arc<Process> {
    let news = watch.next().expect("it goes on");
    news.expect("there is no trouble")
}

/// The ops of one write: `1=7` is progress of 7 in module 1.
pub(crate) fn short(ops: &[Op]) -> String {
    let ops = ops.iter().map(|op| match &op.change {
        Change::Progress { module, progress } => format!("{module}={}", progress.done()),
        change => change.kind().to_string(),
    });
    ops.collect::<Vec<_>>().join(" ")
}

/// What no store ever sees.
pub(crate) fn wrong() -> Progress {
    Progress::of(2, 1)
}

#[track_caller]
pub(crate) fn is_wrong(answer: Answer) {
    match answer {
        Err(TrackError::Invalid(Invalid::PastTotal { done: 2, total: 1 })) => {}
        other => panic!("{other:?}"),
    }
}

/// Runs `work` beside the test, which can wait for it with a bound.
pub(crate) fn beside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Receiver<T> {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || sender.send(work()).ok());
    receiver
}

/// Waits until something has come about; real time serves as a generous bound only.
#[track_caller]
pub(crate) fn until(is_so: impl Fn() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < BOUND, "it does not come about");
        std::thread::yield_now();
    }
}

/// Holds up writes from its making on until it is opened.
pub(crate) struct Gate {
    reached: Receiver<()>,
    /// Opened by dropping it.
    bar: Sender<()>,
}

impl Gate {
    pub(crate) fn before(store: &MapStore) -> Self {
        Gate::before_some(store, |_| true)
    }

    /// Holds up the writes of such ops only.
    pub(crate) fn before_some(
        store: &MapStore,
        is_held_up: impl Fn(&[Op]) -> bool + Send + Sync + 'static,
    ) -> Self {
        let (reach, reached) = mpsc::channel();
        let (bar, barred) = mpsc::channel::<()>();
        let (reach, barred) = (Mutex::new(reach), Mutex::new(barred));
        store.script(move |call, store| {
            if call == Call::Write && store.tried().last().is_some_and(|ops| is_held_up(ops)) {
                reach.lock().expect("no panic").send(()).ok();
                barred.lock().expect("no panic").recv().ok();
            }
            Ok(())
        });
        Gate { reached, bar }
    }

    /// Waits until a write stands before it.
    pub(crate) fn is_reached(&self) {
        self.reached.recv_timeout(BOUND).expect("somebody writes");
    }

    pub(crate) fn open(self) {
        drop(self.bar);
    }
}
