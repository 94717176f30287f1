//! Random lives of a process: generated steps, turned into ops by the state that they meet.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use milepost_core::{
    Change, Failure, Guard, Op, Pipeline, Process, Progress, ReapPolicy, Rejection, Update, Verdict,
};
use proptest::prelude::*;

use super::{Slot, id, new, noon};

/// What a step does, and to which module; `None`: the first that is not done.
#[derive(Debug, Clone)]
pub(crate) enum Deed {
    Start,
    Progress(u64, Option<u64>, String),
    Complete,
    Fail(String),
    Skip(String),
    Retry(String),
    Cancel(String),
    Rerun,
    Rename(String),
    Tags(Vec<(String, String)>),
    Expire(u64),
    Erase,
    /// By whom, and for how many milliseconds.
    Claim(String, u64),
    Renew(u64),
    Release,
    Reap(ReapPolicy),
    Wish(String),
}

#[derive(Debug, Clone)]
pub(crate) struct Step {
    pub(crate) deed: Deed,
    pub(crate) module: Option<usize>,
    /// How many milliseconds later than the step before; the clock may run backwards.
    pub(crate) later: i64,
    /// Whether the op carries the lease of the claim made last.
    pub(crate) as_holder: bool,
}

pub(crate) fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        Just(String::new()),
        "[a-z]{1,8}",
        "[äöü✓\n\t\"\\\\ ]{0,12}",
        Just("x".repeat(255)),
    ]
}

fn deed() -> impl Strategy<Value = Deed> {
    let progress = (0..20_u64, prop::option::of(20..30_u64), text())
        .prop_map(|(done, total, text)| Deed::Progress(done, total, text));
    let tags = prop::collection::vec(("[a-z]{1,5}", text()), 0..4).prop_map(Deed::Tags);
    prop_oneof![
        4 => Just(Deed::Start),
        4 => progress,
        4 => Just(Deed::Complete),
        2 => text().prop_map(Deed::Fail),
        1 => text().prop_map(Deed::Skip),
        3 => text().prop_map(Deed::Retry),
        1 => text().prop_map(Deed::Cancel),
        3 => Just(Deed::Rerun),
        1 => "[a-z]{1,9}".prop_map(Deed::Rename),
        1 => tags,
        1 => (1..1_000_u64).prop_map(Deed::Expire),
        3 => ("[a-z]{1,8}", 500..6_000_u64).prop_map(|(worker, ttl)| Deed::Claim(worker, ttl)),
        1 => (500..9_000_u64).prop_map(Deed::Renew),
        1 => Just(Deed::Release),
        2 => policy().prop_map(Deed::Reap),
        1 => text().prop_map(Deed::Wish),
    ]
}

fn policy() -> impl Strategy<Value = ReapPolicy> {
    prop_oneof![
        Just(ReapPolicy::fail()),
        (0..4_u32).prop_map(ReapPolicy::retry),
    ]
}

pub(crate) fn step() -> impl Strategy<Value = Step> {
    let module = prop::option::weighted(0.4, 1..6_usize);
    (deed(), module, -500..3_000_i64, any::<bool>()).prop_map(|(deed, module, later, as_holder)| {
        Step {
            deed,
            module,
            later,
            as_holder,
        }
    })
}

pub(crate) fn steps() -> impl Strategy<Value = Vec<Step>> {
    prop::collection::vec(step(), 0..60)
}

pub(crate) fn pipeline() -> impl Strategy<Value = Pipeline> {
    (
        any::<bool>(),
        prop::collection::vec("[a-z]{1,6}", 1..6_usize),
    )
        .prop_map(|(parallel, names)| {
            let chain = Pipeline::new("random", names).expect("the names are short");
            if parallel { chain.parallel() } else { chain }
        })
}

/// A life: the process as it came out, and every op with what became of it.
#[derive(Debug)]
pub(crate) struct Life {
    pub(crate) start: Slot,
    pub(crate) end: Slot,
    pub(crate) log: Vec<(Op, Verdict)>,
}

/// Lives a life; every op carries the guard that makes sending it again safe.
pub(crate) fn live(pipeline: &Pipeline, steps: &[Step]) -> Life {
    let start = Slot::of(new(pipeline).file_name("a.txt").tag("author", "melville"));
    let mut end = start.clone();
    let mut log = Vec::new();
    let mut now = noon();
    for step in steps {
        now += TimeDelta::milliseconds(step.later);
        let Some(process) = end.0.as_deref() else {
            break;
        };
        let op = op(process, step, now);
        let verdict = end.apply(&op);
        log.push((op, verdict));
    }
    Life { start, end, log }
}

pub(crate) fn op(process: &Process, step: &Step, now: DateTime<Utc>) -> Op {
    let first_undone = || {
        let mut modules = process.modules().iter();
        modules
            .position(|module| !module.state().is_done())
            .map_or(1, |index| index + 1)
    };
    let module = step.module.unwrap_or_else(first_undone);
    let failure = |text: &String| Failure::new("Generated", text);
    let change = match &step.deed {
        Deed::Start => Change::start(module),
        Deed::Progress(done, total, text) => {
            let progress = match total {
                Some(total) => Progress::of(*done, *total),
                None => Progress::unbounded(*done),
            };
            Change::progress(module, progress.message(text))
        }
        Deed::Complete => Change::complete(module),
        Deed::Fail(text) => Change::fail(module, failure(text)),
        Deed::Skip(text) => Change::skip(module, text),
        Deed::Retry(text) => Change::retry(module, failure(text)),
        Deed::Cancel(text) => Change::cancel(text),
        Deed::Rerun => Change::rerun(),
        Deed::Rename(name) => Change::update(Update::new().file_name(name)),
        Deed::Tags(tags) => Change::update(Update::new().tags(tags.iter().map(|(n, v)| (n, v)))),
        Deed::Expire(hours) => {
            Change::update(Update::new().expires_in(Duration::from_secs(hours * 3600)))
        }
        Deed::Erase => Change::erase(),
        // No other claim that is applied was made at this revision.
        Deed::Claim(worker, ttl) => {
            Change::claim(worker, Duration::from_millis(*ttl), process.revision())
        }
        Deed::Renew(ttl) => Change::renew(Duration::from_millis(*ttl)),
        Deed::Release => Change::release(),
        Deed::Reap(policy) => Change::reap(token(process).unwrap_or(1), *policy),
        Deed::Wish(text) => Change::request_cancel(text),
    };
    Op::new(id(), now, change).guarded(guard(process, step, module))
}

fn token(process: &Process) -> Option<u64> {
    process.claim().map(milepost_core::Claim::token)
}

fn guard(process: &Process, step: &Step, module: usize) -> Guard {
    let born = Guard::new().born(process.version().born);
    let holder = |guard: Guard| match token(process) {
        Some(token) => guard.lease(token),
        None => guard,
    };
    let guard = match &step.deed {
        Deed::Cancel(_) | Deed::Rerun | Deed::Wish(_) => born.run(process.run()),
        Deed::Rename(_) | Deed::Tags(_) | Deed::Expire(_) | Deed::Claim(..) => {
            born.revision(process.revision())
        }
        // These name their claim themselves, or only its holder may.
        Deed::Erase | Deed::Reap(_) => return born,
        Deed::Renew(_) | Deed::Release => return holder(born),
        Deed::Start
        | Deed::Progress(..)
        | Deed::Complete
        | Deed::Fail(_)
        | Deed::Skip(_)
        | Deed::Retry(_) => process
            .modules()
            .get(module - 1)
            .map_or(born, |module| born.attempt(module.attempt())),
    };
    if step.as_holder { holder(guard) } else { guard }
}

/// So many cases, unless `PROPTEST_CASES` asks for another number.
pub(crate) fn cases(cases: u32) -> ProptestConfig {
    if std::env::var_os("PROPTEST_CASES").is_some() {
        ProptestConfig::default()
    } else {
        ProptestConfig::with_cases(cases)
    }
}

/// Whether an op was accepted.
pub(crate) fn stood((_, verdict): &(Op, Result<milepost_core::Applied, Rejection>)) -> bool {
    verdict.is_ok()
}
