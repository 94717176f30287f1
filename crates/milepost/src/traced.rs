//! Spans and events, for `tracing`.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use milepost_core::{
    ChangeKind, Counts, Filter, Found, Listing, Op, OverallStatus, Process, RequestId, StatusStore,
    StoreError, Verdict, Version, Wipe, WipeLevel,
};
use tracing::field::{Empty, display};
use tracing::{Level, Span, debug, debug_span, error, event, trace, trace_span, warn};

/// A store that tells [`tracing`] what a tracker asks of it, and what came of that; otherwise it is the store that it is
/// made over.
///
/// All that a tracker does, through handles, leases and futures too, comes down to what it asks of its store: a change is
/// one `write`, a question one `read`; erasing a file is a `list`, a `write` and a `wipe`.
///
/// # Spans
///
/// | span | level | fields |
/// |---|---|---|
/// | `milepost.write` | debug | `ops`: how many |
/// | `milepost.read` | debug | |
/// | `milepost.read_many` | debug | `ids`: how many |
/// | `milepost.versions` | trace | `ids`: how many. What waits and watches ask now and then |
/// | `milepost.list` | debug | `found`: how many |
/// | `milepost.count` | debug | |
/// | `milepost.purge` | debug | `erased`: how many |
/// | `milepost.wipe` | debug | `level`, `outcome` |
///
/// # Events
///
/// | event | level | fields |
/// |---|---|---|
/// | `changed`: a process began, settled, was run again or erased | info | `change`, `status`, `run`, `module` by position, `attempt` |
/// | `changed`, else | debug; progress and renewals trace | the same |
/// | `nothing to change` | trace | the same |
/// | `rejected` | debug | `change`, `rejection` |
/// | `the store is in trouble`: the same call may succeed later | warn | `kind` |
/// | `the store failed` | error | `kind` |
///
/// The target of all is `milepost::traced`: a filter on `milepost` takes them.
///
/// # What is never told
///
/// No text that a host gives: no name of a file, a pipeline or a module, no path, tag, description, message or reason,
/// and no worker; nor what a store's error is caused by, which may name files. Request ids only
/// [where asked for](Traced::with_request_ids).
///
/// # Examples
///
/// ```
/// use milepost::{MemoryStore, Traced, Tracker};
///
/// let tracker = Tracker::new(Traced::new(MemoryStore::new())); // was: MemoryStore::new()
/// ```
#[derive(Debug)]
pub struct Traced<S> {
    store: S,
    request_ids: bool,
}

impl<S: StatusStore> Traced<S> {
    /// Tells what is asked of `store`.
    pub fn new(store: S) -> Self {
        Traced {
            store,
            request_ids: false,
        }
    }

    /// Tells request ids too, in a field `request_id` of reads and of events on changes.
    ///
    /// Whoever has an id may ask for the process: log files need then be kept as safe, and be gone as soon, as the
    /// processes are.
    #[must_use]
    pub fn with_request_ids(mut self) -> Self {
        self.request_ids = true;
        self
    }

    fn tell(&self, op: &Op, verdict: &Verdict) {
        let request_id = self.request_ids.then(|| display(op.id));
        let kind = op.change.kind();
        let change = kind.name();
        let applied = match verdict {
            Ok(applied) => applied,
            Err(rejection) => {
                let rejection = rejection.name();
                return debug!(request_id, change, rejection, "rejected");
            }
        };
        let status = applied.status.name();
        let run = applied.run;
        let module = op.change.module();
        let attempt = module.map(|_| applied.attempt);
        if !applied.changed {
            return trace!(
                request_id,
                change, status, run, module, attempt, "nothing to change"
            );
        }
        macro_rules! changed {
            ($level:expr) => {
                event!(
                    $level, request_id, change, status, run, module, attempt, "changed"
                )
            };
        }
        match kind {
            ChangeKind::Progress | ChangeKind::Renew => changed!(Level::TRACE),
            ChangeKind::Create | ChangeKind::Rerun | ChangeKind::Erase => changed!(Level::INFO),
            ChangeKind::Update
            | ChangeKind::Claim
            | ChangeKind::Release
            // Nothing has happened to it now, and there may be many.
            | ChangeKind::Import => changed!(Level::DEBUG),
            _ if applied.status == OverallStatus::Ongoing => changed!(Level::DEBUG),
            _ => changed!(Level::INFO),
        }
    }
}

/// Makes a call within its span, and tells how it failed if it did.
fn within<T>(span: Span, call: impl FnOnce() -> Result<T, StoreError>) -> Result<T, StoreError> {
    let _entered = span.entered();
    call().inspect_err(|error| {
        let kind = error.kind().name();
        if error.is_retryable() {
            warn!(kind, "the store is in trouble");
        } else {
            error!(kind, "the store failed");
        }
    })
}

impl<S: StatusStore> StatusStore for Traced<S> {
    fn write(&self, ops: &[Op]) -> Result<Vec<Verdict>, StoreError> {
        within(debug_span!("milepost.write", ops = ops.len()), || {
            let verdicts = self.store.write(ops)?;
            for (op, verdict) in ops.iter().zip(&verdicts) {
                self.tell(op, verdict);
            }
            Ok(verdicts)
        })
    }

    fn read(&self, id: RequestId) -> Result<Option<Arc<Process>>, StoreError> {
        let request_id = self.request_ids.then(|| display(id));
        within(debug_span!("milepost.read", request_id), || {
            self.store.read(id)
        })
    }

    fn read_many(&self, ids: &[RequestId]) -> Result<Vec<Option<Arc<Process>>>, StoreError> {
        within(debug_span!("milepost.read_many", ids = ids.len()), || {
            self.store.read_many(ids)
        })
    }

    fn versions(&self, ids: &[RequestId]) -> Result<Vec<Option<Version>>, StoreError> {
        within(trace_span!("milepost.versions", ids = ids.len()), || {
            self.store.versions(ids)
        })
    }

    fn list(&self, listing: &Listing) -> Result<Found, StoreError> {
        let span = debug_span!("milepost.list", found = Empty);
        within(span.clone(), || {
            let found = self.store.list(listing)?;
            span.record("found", found.items.len());
            Ok(found)
        })
    }

    fn count(&self, filter: &Filter) -> Result<Counts, StoreError> {
        within(debug_span!("milepost.count"), || self.store.count(filter))
    }

    fn purge(&self, expired_by: DateTime<Utc>, limit: usize) -> Result<usize, StoreError> {
        let span = debug_span!("milepost.purge", erased = Empty);
        within(span.clone(), || {
            let erased = self.store.purge(expired_by, limit)?;
            span.record("erased", erased);
            Ok(erased)
        })
    }

    fn wipe(&self, level: WipeLevel) -> Result<Wipe, StoreError> {
        let name = match level {
            WipeLevel::Media => "media",
            _ => "files",
        };
        let span = debug_span!("milepost.wipe", level = name, outcome = Empty);
        within(span.clone(), || {
            let wipe = self.store.wipe(level)?;
            let outcome = match wipe {
                Wipe::Done => "done",
                Wipe::Pending { .. } => "pending",
                _ => "limited",
            };
            span.record("outcome", outcome);
            Ok(wipe)
        })
    }
}
