//! Counters, gauges and histograms, for `metrics`.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use metrics::{SharedString, Unit, counter, gauge, histogram};
use milepost_core::{
    ChangeKind, Counts, Filter, Found, Listing, Module, Op, OverallStatus, Process, RequestId,
    StatusStore, StoreError, Verdict, Version, Wipe, WipeLevel,
};

/// How many pairs of pipeline and module have labels of their own; the durations of others are told together, of the
/// pipeline `other` and the module `other`.
pub const METERED_MODULES: usize = 256;

/// A store that tells [`metrics`] what a tracker asks of it, and what came of that; otherwise it is the store that it is
/// made over.
///
/// Tells whatever recorder the host has installed by then. Where there is none it costs nearly as much: a program without
/// one leaves it out.
///
/// | metric | what | unit | labels |
/// |---|---|---|---|
/// | `milepost_calls_total` | counter: calls of the store | calls | `call`, `outcome` |
/// | `milepost_call_duration_seconds` | histogram: how long they took | seconds | `call` |
/// | `milepost_ops_total` | counter: ops of writes that were answered | ops | `change`, `outcome` |
/// | `milepost_batch_ops` | histogram: how many ops came in a write | ops | |
/// | `milepost_module_duration_seconds` | histogram: from a module's start to its end | seconds | `pipeline`, `module`, `outcome` |
/// | `milepost_processes` | gauge: by overall status, as counted last | processes | `status` |
/// | `milepost_stalled_processes` | gauge: ongoing under a lease that has run out, as counted last | processes | |
/// | `milepost_purged_total` | counter: expired and erased by purges | processes | |
/// | `milepost_pending_wipes` | gauge: 1 from an erasure until a wipe comes to its end, else 0 | wipes | |
///
/// # Labels
///
/// All are bounded. `call` is a name of [`StatusStore`]'s; the `outcome` of a call is `ok` or a kind of
/// [error](milepost_core::StoreErrorKind::name), that of an op `changed`, `unchanged` or a
/// [rejection](milepost_core::Rejection::name); `change` is a [kind of change](milepost_core::ChangeKind::name), and the `outcome` of a module
/// `complete` or `failed`. `pipeline` and `module` are the host's own names, for the first [`METERED_MODULES`] pairs: a host
/// that names pipelines after people should not.
///
/// No other text that a host gives is told, and no id.
///
/// # Gauges of processes
///
/// Counting costs a query, so nobody counts behind the host's back: a thread that asks for
/// `tracker.count(&Query::new())` every 15 seconds or so sets them. What another program does, the next count tells.
///
/// # Durations of modules
///
/// Each end of a module is followed by one read of its process. They are by the times that hosts report, and survive
/// nobody: an export tells how many there were, and no process.
///
/// # Examples
///
/// ```
/// use milepost::{MemoryStore, Metered, Query, Tracker};
///
/// let tracker = Tracker::new(Metered::new(MemoryStore::new())); // was: MemoryStore::new()
/// tracker.count(&Query::new())?; // sets the gauges
/// # Ok::<(), milepost::TrackError>(())
/// ```
#[derive(Debug)]
pub struct Metered<S> {
    store: S,
    /// The pairs that have labels of their own.
    modules: Mutex<HashSet<(SharedString, SharedString)>>,
}

impl<S: StatusStore> Metered<S> {
    /// Tells what is asked of `store`. Describes the metrics to the recorder that is installed by now.
    pub fn new(store: S) -> Self {
        describe();
        Metered {
            store,
            modules: Mutex::default(),
        }
    }

    /// Makes a call, and tells how it went.
    fn call<T>(
        &self,
        call: &'static str,
        ask: impl FnOnce(&S) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let began = Instant::now();
        let answer = ask(&self.store);
        histogram!("milepost_call_duration_seconds", "call" => call).record(began.elapsed());
        let outcome = match &answer {
            Ok(_) => "ok",
            Err(error) => error.kind().name(),
        };
        counter!("milepost_calls_total", "call" => call, "outcome" => outcome).increment(1);
        answer
    }

    /// Tells how long the modules took that have ended with these ops.
    fn ended(&self, ops: &[Op], verdicts: &[Verdict]) {
        let ends = ops.iter().zip(verdicts).filter_map(|(op, verdict)| {
            let ends = matches!(op.change.kind(), ChangeKind::Complete | ChangeKind::Fail);
            let position = op
                .change
                .module()
                .filter(|_| ends && has_changed(verdict))?;
            Some((op.id, position))
        });
        let (ids, positions): (Vec<_>, Vec<_>) = ends.unzip();
        if ids.is_empty() {
            return;
        }
        // What cannot be read is told by nobody.
        let Ok(processes) = self.store.read_many(&ids) else {
            return;
        };
        for (process, position) in processes.iter().zip(positions) {
            if let Some(process) = process
                && let Some(module) = process.module(position)
            {
                self.took(process, module);
            }
        }
    }

    fn took(&self, process: &Process, module: &Module) {
        let state = module.state();
        // It may have been taken up again since.
        if let (true, Some(started), Some(ended)) =
            (state.is_settled(), state.started(), state.ended())
        {
            let (pipeline, name) = self.labels(process.pipeline(), module.name());
            let duration = (ended - started).to_std().unwrap_or(Duration::ZERO);
            histogram!(
                "milepost_module_duration_seconds",
                "pipeline" => pipeline, "module" => name, "outcome" => state.kind().name()
            )
            .record(duration);
        }
    }

    fn labels(&self, pipeline: &str, module: &str) -> (SharedString, SharedString) {
        let pair = (
            SharedString::from(pipeline.to_owned()),
            SharedString::from(module.to_owned()),
        );
        let mut known = self.modules.lock().unwrap_or_else(PoisonError::into_inner);
        if known.contains(&pair) {
            return pair;
        }
        if known.len() < METERED_MODULES {
            known.insert(pair.clone());
            return pair;
        }
        let other = SharedString::const_str("other");
        (other.clone(), other)
    }
}

fn judged(op: &Op, verdict: &Verdict) {
    let kind = op.change.kind();
    let outcome = match verdict {
        Ok(applied) if applied.changed => "changed",
        Ok(_) => "unchanged",
        Err(rejection) => rejection.name(),
    };
    counter!("milepost_ops_total", "change" => kind.name(), "outcome" => outcome).increment(1);
    if kind == ChangeKind::Erase && has_changed(verdict) {
        wipe_is_pending(true);
    }
}

fn has_changed(verdict: &Verdict) -> bool {
    verdict.as_ref().is_ok_and(|applied| applied.changed)
}

/// Whether something was erased since the last wipe that came to its end.
fn wipe_is_pending(is_pending: bool) {
    gauge!("milepost_pending_wipes").set(u32::from(is_pending));
}

#[expect(clippy::cast_precision_loss, reason = "no store holds 2^53 processes")]
fn as_gauge(processes: u64) -> f64 {
    processes as f64
}

fn describe() {
    use metrics::{describe_counter, describe_gauge, describe_histogram};

    describe_counter!("milepost_calls_total", "Calls of the store");
    describe_histogram!(
        "milepost_call_duration_seconds",
        Unit::Seconds,
        "How long calls of the store took"
    );
    describe_counter!("milepost_ops_total", "Ops of writes that were answered");
    describe_histogram!("milepost_batch_ops", "How many ops came in a write");
    describe_histogram!(
        "milepost_module_duration_seconds",
        Unit::Seconds,
        "From a module's start to its end"
    );
    describe_gauge!(
        "milepost_processes",
        "Processes by overall status, as counted last"
    );
    describe_gauge!(
        "milepost_stalled_processes",
        "Processes under a lease that has run out, as counted last"
    );
    describe_counter!("milepost_purged_total", "Processes that purges erased");
    describe_gauge!(
        "milepost_pending_wipes",
        "1 from an erasure until a wipe comes to its end"
    );
}

impl<S: StatusStore> StatusStore for Metered<S> {
    fn write(&self, ops: &[Op]) -> Result<Vec<Verdict>, StoreError> {
        let verdicts = self.call("write", |store| store.write(ops))?;
        #[expect(clippy::cast_precision_loss, reason = "10,000 at most")]
        histogram!("milepost_batch_ops").record(ops.len() as f64);
        for (op, verdict) in ops.iter().zip(&verdicts) {
            judged(op, verdict);
        }
        self.ended(ops, &verdicts);
        Ok(verdicts)
    }

    fn read(&self, id: RequestId) -> Result<Option<Arc<Process>>, StoreError> {
        self.call("read", |store| store.read(id))
    }

    fn read_many(&self, ids: &[RequestId]) -> Result<Vec<Option<Arc<Process>>>, StoreError> {
        self.call("read_many", |store| store.read_many(ids))
    }

    fn versions(&self, ids: &[RequestId]) -> Result<Vec<Option<Version>>, StoreError> {
        self.call("versions", |store| store.versions(ids))
    }

    fn list(&self, listing: &Listing) -> Result<Found, StoreError> {
        self.call("list", |store| store.list(listing))
    }

    fn count(&self, filter: &Filter) -> Result<Counts, StoreError> {
        let counts = self.call("count", |store| store.count(filter))?;
        let is_of_all = filter.terms.is_empty() && filter.visible_at.is_some();
        if is_of_all && !counts.partial {
            for (status, processes) in [
                (OverallStatus::Ongoing, counts.ongoing),
                (OverallStatus::Complete, counts.complete),
                (OverallStatus::Failed, counts.failed),
                (OverallStatus::Cancelled, counts.cancelled),
            ] {
                gauge!("milepost_processes", "status" => status.name()).set(as_gauge(processes));
            }
            gauge!("milepost_stalled_processes").set(as_gauge(counts.stalled));
        }
        Ok(counts)
    }

    fn purge(&self, expired_by: DateTime<Utc>, limit: usize) -> Result<usize, StoreError> {
        let purged = self.call("purge", |store| store.purge(expired_by, limit))?;
        counter!("milepost_purged_total").increment(purged as u64);
        if purged > 0 {
            wipe_is_pending(true);
        }
        Ok(purged)
    }

    fn wipe(&self, level: WipeLevel) -> Result<Wipe, StoreError> {
        let wipe = self.call("wipe", |store| store.wipe(level))?;
        wipe_is_pending(matches!(wipe, Wipe::Pending { .. }));
        Ok(wipe)
    }
}
