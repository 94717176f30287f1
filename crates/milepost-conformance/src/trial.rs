//! One law at work on one store: asks it, and holds every answer against what was to be expected.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::error::Error;
use std::fs;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use milepost_core::{
    Applied, Counts, Filter, Listing, NewProcess, Op, Order, Pipeline, Place, Process, RequestId,
    StatusStore, StoreError, StoreErrorKind, Verdict, limits,
};

use crate::fixture::{Beginner, at};
use crate::subject::{Home, Subject};

/// A store on trial, and what must be in it.
pub(crate) struct Trial<'a> {
    subject: &'a Subject,
    /// Dropped before its home.
    store: RefCell<Option<Arc<dyn StatusStore>>>,
    home: Home,
    /// What `Op::apply` made of every op that was sent, one by one.
    expected: RefCell<BTreeMap<RequestId, Arc<Process>>>,
    beginner: Beginner,
    steps: Cell<u32>,
    reopens: Reopens,
}

/// When a durable store is closed and opened again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reopens {
    /// Between the first steps of a law, and ever more rarely after them: opening is slow.
    BetweenSteps,
    /// Only where the law says so.
    OnDemand,
}

impl<'a> Trial<'a> {
    pub(crate) fn new(subject: &'a Subject) -> Self {
        let home = subject.home();
        Trial {
            subject,
            store: RefCell::new(Some(home.open())),
            home,
            expected: RefCell::new(BTreeMap::new()),
            beginner: Beginner::new(1),
            steps: Cell::new(0),
            reopens: Reopens::BetweenSteps,
        }
    }

    /// A new store of the same kind, which is reopened on demand only.
    pub(crate) fn fresh(&self, seed: u64) -> Self {
        Trial {
            beginner: Beginner::new(seed),
            reopens: Reopens::OnDemand,
            ..Trial::new(self.subject)
        }
    }

    /// The store as it is open now. Let it go before [`reopen`](Trial::reopen).
    pub(crate) fn store(&self) -> Arc<dyn StatusStore> {
        let store = self.store.borrow();
        Arc::clone(store.as_ref().expect("it is open but while it is reopened"))
    }

    /// Another store value on the same records, where this kind of store allows it.
    pub(crate) fn another(&self) -> Arc<dyn StatusStore> {
        self.home.open_beside(&self.store())
    }

    /// Closes and opens a durable store; any other stays as it is.
    pub(crate) fn reopen(&self) {
        if self.home.outlives_its_stores() {
            *self.store.borrow_mut() = None;
            *self.store.borrow_mut() = Some(self.home.open());
        }
    }

    /// Every byte in the store's files, while it is closed; nothing where the kit does not know of any.
    ///
    /// Closed, since a store may hold locks that reading its files would drop.
    pub(crate) fn bytes_at_rest(&self) -> Vec<u8> {
        let Some(directory) = self.home.directory() else {
            return Vec::new();
        };
        *self.store.borrow_mut() = None;
        let mut bytes = Vec::new();
        let mut directories = vec![directory.to_owned()];
        while let Some(directory) = directories.pop() {
            let entries = fs::read_dir(&directory).expect("the store's directory can be read");
            for entry in entries {
                let path = entry.expect("the store's directory can be read").path();
                if path.is_dir() {
                    directories.push(path);
                } else {
                    bytes.extend(fs::read(&path).expect("the store's files can be read"));
                }
            }
        }
        *self.store.borrow_mut() = Some(self.home.open());
        bytes
    }

    fn step(&self) {
        let step = self.steps.get() + 1;
        self.steps.set(step);
        if self.reopens == Reopens::BetweenSteps && (step <= 16 || step.is_multiple_of(32)) {
            self.reopen();
        }
    }

    /// The op that begins a process at this time.
    pub(crate) fn begin_at(&self, new: NewProcess, time: DateTime<Utc>) -> Op {
        self.beginner.begin(new, time)
    }

    /// The op that begins a process on `pipeline`, so many seconds after noon.
    pub(crate) fn begin(&self, pipeline: &Pipeline, id: RequestId, seconds: i64) -> Op {
        let new = NewProcess::new(pipeline).request_id(id);
        self.begin_at(new.file_name("invoice.pdf"), at(seconds))
    }

    /// Sends a batch, and sees that every verdict and every record is what `Op::apply` makes of it.
    #[track_caller]
    pub(crate) fn send(&self, ops: &[Op]) -> Vec<Verdict> {
        let verdicts = ok("write", self.store().write(ops));
        let expected = self.expect(ops);
        assert_eq!(verdicts.len(), ops.len(), "write: one verdict for each op");
        for ((op, got), want) in ops.iter().zip(&verdicts).zip(&expected) {
            assert_eq!(
                got, want,
                "verdict: left is the store's, right Op::apply's, on {op:#?}"
            );
        }
        self.step();
        for op in ops.iter().take(100) {
            self.must_be_as_expected(op.id);
        }
        verdicts
    }

    /// Sends one op, see [`send`](Trial::send).
    #[track_caller]
    pub(crate) fn one(&self, op: &Op) -> Verdict {
        self.send(std::slice::from_ref(op)).remove(0)
    }

    /// Sends one op that must stand.
    #[track_caller]
    pub(crate) fn must(&self, op: &Op) -> Applied {
        let verdict = self.one(op);
        verdict.unwrap_or_else(|rejection| panic!("write: {rejection:?} came for {op:#?}"))
    }

    /// Applies ops to what is expected only: somebody else has sent them.
    pub(crate) fn expect(&self, ops: &[Op]) -> Vec<Verdict> {
        let mut expected = self.expected.borrow_mut();
        let apply = |op: &Op| {
            let mut slot = expected.remove(&op.id);
            let verdict = op.apply(&mut slot);
            if let Some(process) = slot {
                expected.insert(op.id, process);
            }
            verdict
        };
        ops.iter().map(apply).collect()
    }

    /// What must be stored under `id`.
    pub(crate) fn expected(&self, id: RequestId) -> Option<Arc<Process>> {
        self.expected.borrow().get(&id).cloned()
    }

    /// Takes note that a purge has taken what had expired by `time`.
    pub(crate) fn expect_purged(&self, time: DateTime<Utc>) -> usize {
        let mut expected = self.expected.borrow_mut();
        let before = expected.len();
        expected.retain(|_, process| !process.is_expired(time));
        before - expected.len()
    }

    /// Takes note that this process is gone.
    pub(crate) fn expect_gone(&self, id: RequestId) {
        self.expected.borrow_mut().remove(&id);
    }

    /// Sees that the store has exactly the process that it must have under `id`.
    #[track_caller]
    pub(crate) fn must_be_as_expected(&self, id: RequestId) {
        let read = self.read(id);
        assert_eq!(
            read,
            self.expected(id),
            "read: left is stored, right is what must be"
        );
    }

    /// Sees that `read`, `read_many`, `versions`, `list` and `count` have exactly what they must have.
    #[track_caller]
    pub(crate) fn must_hold_exactly_what_is_expected(&self) {
        let expected = self.expected.borrow().clone();
        for id in expected.keys() {
            self.must_be_as_expected(*id);
        }
        self.must_list_as_expected(&Filter::new());
    }

    /// Sees that a walk in either order shows exactly the processes that match, as they are stored, and
    /// that they are counted so.
    #[track_caller]
    pub(crate) fn must_list_as_expected(&self, filter: &Filter) {
        let expected = self.expected.borrow().clone();
        let mut matching = expected
            .into_values()
            .filter(|process| filter.matches(process))
            .collect::<Vec<_>>();
        matching.sort_by_key(|process| Place::of(process));
        let mut counts = Counts::new();
        for process in &matching {
            counts.tally(process, filter);
        }
        let counted = ok("count", self.store().count(filter));
        assert_eq!(
            counted, counts,
            "count: left is counted, right is what matches {filter:?}"
        );
        let listed = self.walk(filter, Order::OldestFirst, limits::PAGE);
        must_be_the_same(&listed, &matching, filter);
        matching.reverse();
        let listed = self.walk(filter, Order::NewestFirst, limits::PAGE);
        must_be_the_same(&listed, &matching, filter);
    }

    /// What is stored under `id`.
    #[track_caller]
    pub(crate) fn read(&self, id: RequestId) -> Option<Arc<Process>> {
        ok("read", self.store().read(id))
    }

    /// What is stored under `id`, which must be something.
    #[track_caller]
    pub(crate) fn stored(&self, id: RequestId) -> Arc<Process> {
        self.read(id)
            .unwrap_or_else(|| panic!("read: nothing is stored under {id}"))
    }

    /// All that a whole walk shows, in pages of this size.
    #[track_caller]
    pub(crate) fn walk(&self, filter: &Filter, order: Order, limit: usize) -> Vec<Arc<Process>> {
        let mut listing = Listing {
            filter: filter.clone(),
            order,
            after: None,
            limit,
        };
        let mut shown = Vec::new();
        loop {
            let next = self.page(&listing, &mut shown);
            if next.is_none() {
                return shown;
            }
            listing.after = next;
        }
    }

    /// Adds one page to what was shown, and answers where to go on.
    ///
    /// A page is never too long, and the place to go on with lies behind the one before it: a walk that
    /// does not move on would never end.
    #[track_caller]
    pub(crate) fn page(&self, listing: &Listing, shown: &mut Vec<Arc<Process>>) -> Option<Place> {
        let found = ok("list", self.store().list(listing));
        let (got, limit) = (found.items.len(), listing.limit);
        assert!(
            got <= limit,
            "list: a page of {got} came where at most {limit} were asked for"
        );
        if let (Some(next), Some(after)) = (found.next, listing.after) {
            assert!(
                next.is_behind(after, listing.order),
                "list: the walk does not move on: after {after:?} it is to go on at {next:?}"
            );
        }
        shown.extend(found.items);
        found.next
    }
}

#[track_caller]
fn must_be_the_same(listed: &[Arc<Process>], matching: &[Arc<Process>], filter: &Filter) {
    assert_eq!(
        ids(listed),
        ids(matching),
        "list: left is listed, right is what matches {filter:?}"
    );
    for (listed, stored) in listed.iter().zip(matching) {
        assert_eq!(
            listed, stored,
            "list: left is listed, right is what must be stored"
        );
    }
}

pub(crate) fn ids(processes: &[Arc<Process>]) -> Vec<RequestId> {
    processes
        .iter()
        .map(|process| process.request_id())
        .collect()
}

/// The answer of a store that has no reason to fail.
#[track_caller]
pub(crate) fn ok<T>(call: &str, answer: Result<T, StoreError>) -> T {
    answer.unwrap_or_else(|error| {
        let source = error.source().map_or_else(String::new, ToString::to_string);
        panic!(
            "{call}: the store failed with {:?}: {error} ({source})",
            error.kind()
        )
    })
}

/// Sees that a call was refused for crossing a limit.
#[track_caller]
pub(crate) fn must_be_over_the_limit<T>(call: &str, answer: Result<T, StoreError>) {
    match answer {
        Ok(_) => panic!("{call}: got Ok, expected an error of kind Limit"),
        Err(error) => assert_eq!(
            error.kind(),
            StoreErrorKind::Limit,
            "{call}: the error's kind"
        ),
    }
}
