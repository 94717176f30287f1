//! A clock may be ten years off, run backwards or stand at the ends of time: it is taken at its word, and nothing
//! expires, stalls or is let go but by it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Datelike as _, TimeDelta, Utc};
use fastrand::Rng;
use milepost::{
    Keep, Lease, MemoryStore, NewProcess, OverallStatus, Pipeline, Process, Progress, Query,
    ReapPolicy, Rejection, RequestId, RetentionPolicy, SqliteStore, StatusStore, TrackError,
    Tracker, Update,
};

use super::lives::{SeededClock, morning};
use super::watched::watched;
use crate::law::{Broken, Done, Law, Shard, ensure};

/// The law of clocks.
pub static CLOCKS: Law = Law {
    name: "clocks",
    says: "expiry, leases, order and retention go by the clock that asks, however it jumps, on every store alike",
    unit: "steps under jumping clocks",
    shard: 50_000,
    asked: 1_000_000,
    run: |shard| try_all(shard, || Ok(Arc::new(SqliteStore::in_memory()?))),
};

/// Makes the store that is held against the one in memory.
pub type Maker = fn() -> Result<Arc<dyn StatusStore>, Broken>;

/// As many steps are taken on one pair of stores.
const STEPS: u64 = 50;
/// What has settled longer ago may go.
const AGE: TimeDelta = TimeDelta::days(30);

/// Takes steps while the clock jumps.
pub fn try_all(shard: &Shard<'_>, make: Maker) -> Result<Done, Broken> {
    let mut done = 0;
    while shard.goes_on(done) {
        let world = World::new(shard.random(done), make)?;
        let steps = STEPS.min(shard.count - done);
        watched(move || world.walk(steps))
            .map_err(|how| Broken::new(format!("from step {done}: {how}")))?;
        done += steps;
    }
    Ok(Done::Tried(done))
}

/// A store, and a tracker over it.
struct Side {
    store: Arc<dyn StatusStore>,
    tracker: Tracker,
    /// All that were granted.
    leases: Vec<Lease>,
}

impl Side {
    fn new(store: Arc<dyn StatusStore>, clock: &SeededClock) -> Self {
        let policy = RetentionPolicy::new()
            .all(Keep::new().settled_within(AGE.to_std().expect("it is long")));
        let tracker = Tracker::with_clock(Arc::clone(&store), clock.clone());
        Side {
            store,
            tracker: tracker.retention(policy),
            leases: Vec::new(),
        }
    }
}

struct World {
    random: Rng,
    clocks: [SeededClock; 2],
    sides: [Side; 2],
    ids: Vec<RequestId>,
}

/// What is done, with the numbers that go into it.
#[derive(Debug, Clone)]
enum Step {
    Begin(Option<DateTime<Utc>>),
    Claim(RequestId, Duration),
    /// A lease, by when it was granted.
    Renew(usize, Duration),
    Release(usize),
    Work(RequestId),
    Fail(RequestId),
    Cancel(RequestId),
    Rerun(RequestId),
    Expire(RequestId, Option<DateTime<Utc>>),
    Erase(RequestId),
    Reap,
    Purge,
    Tend,
}

impl World {
    fn new(random: Rng, make: Maker) -> Result<Self, Broken> {
        let seed = random.clone().u64(..);
        let clocks = [(); 2].map(|()| SeededClock::new(morning(), seed));
        let memory: Arc<dyn StatusStore> = Arc::new(MemoryStore::new());
        Ok(World {
            random,
            sides: [
                Side::new(memory, &clocks[0]),
                Side::new(make()?, &clocks[1]),
            ],
            clocks,
            ids: Vec::new(),
        })
    }

    fn walk(mut self, steps: u64) -> Result<(), Broken> {
        for _ in 0..steps {
            let now = self.jump()?;
            let step = self.step();
            let before = self.stored()?;
            let [memory, other] = &mut self.sides;
            let outcomes = [memory, other].map(|side| take(side, &step));
            let same = format!("{:?}", outcomes[0]) == format!("{:?}", outcomes[1]);
            ensure(same, || {
                format!(
                    "{step:?} at {now}: {:?} in memory, {:?} elsewhere",
                    outcomes[0], outcomes[1]
                )
            })?;
            if let Ok(Some(id)) = &outcomes[0]
                && !self.ids.contains(id)
            {
                self.ids.push(*id);
            }
            let judged = self.judge_step(now, &step, outcomes[0].as_ref().err(), &before);
            judged
                .and_then(|()| self.judge_reads(now))
                .map_err(|how| Broken::new(format!("{step:?} at {now}: {how}")))?;
        }
        Ok(())
    }

    /// Sets the clock to some time: ten years off, the ends of what is kept and behind them, the very moment at
    /// which something ends.
    fn jump(&mut self) -> Result<DateTime<Utc>, Broken> {
        let now = milepost::Clock::now(&self.clocks[0]);
        let years = TimeDelta::days(3_653);
        let any = self.ids.get(self.random.usize(..=self.ids.len())).copied();
        let ends = match any {
            Some(id) => self.sides[0].store.read(id)?.map(|process| {
                [
                    process.expires_at(),
                    process.leased_until(),
                    process
                        .settled_at()
                        .and_then(|at| at.checked_add_signed(AGE)),
                ]
            }),
            None => None,
        };
        let end = ends.and_then(|ends| ends[self.random.usize(..3)]);
        let time = |text: &str| text.parse::<DateTime<Utc>>().expect("a time");
        let micro = TimeDelta::microseconds(-1);
        let moved = |time: DateTime<Utc>, by| time.checked_add_signed(by).unwrap_or_else(morning);
        let to = match (self.random.u8(..14), end) {
            (0..3, Some(end)) => end,
            (3..5, Some(end)) => moved(end, micro),
            (5, _) => moved(now, years),
            (6, _) => moved(now, -years),
            (7, _) => time("0001-01-01T00:00:00Z"),
            (8, _) => time("9999-12-31T23:59:59.999999Z"),
            (9, _) if self.random.u8(..4) == 0 => [
                DateTime::<Utc>::MIN_UTC,
                DateTime::<Utc>::MAX_UTC,
                time("+10000-01-01T00:00:00Z"),
            ][self.random.usize(..3)],
            (10, _) => morning(),
            _ => moved(
                now,
                TimeDelta::milliseconds(self.random.i64(-40_000..60_000)),
            ),
        };
        for clock in &self.clocks {
            clock.set(to);
        }
        Ok(to)
    }

    fn step(&mut self) -> Step {
        let random = &mut self.random;
        let span = TimeDelta::seconds([0, 1, 60, 86_400, 400_000_000][random.usize(..5)]);
        let now = milepost::Clock::now(&self.clocks[0]);
        let end = now.checked_add_signed(span).filter(|_| random.bool());
        let Some(id) = random.choice(&self.ids).copied() else {
            return Step::Begin(end);
        };
        let ttl = span.to_std().expect("it is not negative");
        let leases = self.sides[0].leases.len();
        match random.u8(..18) {
            0..4 => Step::Begin(end),
            4 | 5 => Step::Claim(id, ttl),
            16 if leases > 0 => Step::Renew(random.usize(..leases), ttl),
            17 if leases > 0 => Step::Release(random.usize(..leases)),
            6..8 => Step::Work(id),
            8 => Step::Fail(id),
            9 => Step::Cancel(id),
            10 => Step::Rerun(id),
            11 => Step::Expire(id, end),
            12 => Step::Erase(id),
            13 => Step::Reap,
            14 => Step::Purge,
            _ => Step::Tend,
        }
    }

    /// What is stored, whatever a clock says.
    fn stored(&self) -> Result<Vec<Option<Arc<Process>>>, Broken> {
        let stored = |side: &Side| {
            let reads = self.ids.iter().map(|id| side.store.read(*id));
            reads.collect::<Result<Vec<_>, _>>()
        };
        let (memory, other) = (stored(&self.sides[0])?, stored(&self.sides[1])?);
        ensure(memory == other, || {
            format!("{memory:?} in memory, {other:?} elsewhere")
        })?;
        Ok(memory)
    }

    /// What a step may do, and what it must not.
    fn judge_step(
        &self,
        now: DateTime<Utc>,
        step: &Step,
        error: Option<&TrackError>,
        before: &[Option<Arc<Process>>],
    ) -> Result<(), Broken> {
        let after = self.stored()?;
        for ((id, before), after) in self.ids.iter().zip(before).zip(&after) {
            let Some(before) = before else {
                continue;
            };
            let expired = before.expires_at().is_some_and(|end| end <= now);
            let since = now.checked_sub_signed(AGE);
            let aged = before
                .settled_at()
                .zip(since)
                .is_some_and(|(at, since)| at < since);
            let Some(after) = after else {
                let may_go = match step {
                    Step::Erase(gone) => gone == id,
                    Step::Purge => expired,
                    Step::Tend => expired || aged,
                    _ => false,
                };
                ensure(may_go, || format!("{before:?} is gone"))?;
                continue;
            };
            let must_go = match step {
                Step::Purge => expired,
                // At a time that cannot be kept nothing can be written, so retention lets nothing go.
                Step::Tend => expired || (aged && (1..=9999).contains(&now.year())),
                _ => false,
            };
            ensure(!must_go, || format!("{before:?} stays"))?;
            ensure(before.updated_at() <= after.updated_at(), || {
                format!("{before:?} changed before itself: {after:?}")
            })?;
            let rerun = matches!(step, Step::Rerun(other) if other == id);
            let settled_stays = !before.is_settled() || after.status() == before.status() || rerun;
            ensure(settled_stays, || {
                format!("{before:?} had settled: {after:?}")
            })?;
            if let Step::Claim(claimed, ttl) = step
                && claimed == id
            {
                judge_claim(now, *ttl, error, before, expired)?;
            }
        }
        Ok(())
    }

    /// What is found is what has not expired by the clock that asks.
    fn judge_reads(&self, now: DateTime<Utc>) -> Result<(), Broken> {
        let stored = self.stored()?;
        let visible = stored
            .iter()
            .flatten()
            .filter(|process| process.expires_at().is_none_or(|end| now < end));
        let visible = visible.cloned().collect::<Vec<_>>();
        let stalled =
            |process: &&Arc<Process>| process.leased_until().is_some_and(|until| until <= now);
        let ids = |processes: &mut dyn Iterator<Item = &Arc<Process>>| {
            processes
                .map(|process| process.request_id())
                .collect::<BTreeSet<_>>()
        };
        let all = ids(&mut visible.iter());
        let still = ids(&mut visible.iter().filter(stalled));
        for side in &self.sides {
            for id in &self.ids {
                let found = match side.tracker.get(*id) {
                    Ok(_) => true,
                    Err(error) if error.is_not_found() => false,
                    Err(error) => return Err(error.into()),
                };
                ensure(found == all.contains(id), || {
                    format!("{id} is found: {found}, of {stored:?}")
                })?;
            }
            let listed = walk(&side.tracker, &Query::new())?;
            ensure(listed == all, || {
                format!("{listed:?} are listed of {all:?}")
            })?;
            let found = walk(&side.tracker, &Query::new().stalled())?;
            ensure(found == still, || {
                format!("{found:?} stand still of {still:?}")
            })?;
            let counts = side.tracker.count(&Query::new())?;
            ensure(counts.total() == all.len() as u64, || {
                format!("{counts:?} of {all:?}")
            })?;
        }
        Ok(())
    }
}

/// Whether a claim was granted if, and only if, no lease lasts by the clock that asks.
fn judge_claim(
    now: DateTime<Utc>,
    ttl: Duration,
    error: Option<&TrackError>,
    before: &Process,
    expired: bool,
) -> Result<(), Broken> {
    let held = before.leased_until().is_some_and(|until| now < until);
    let fits = match error {
        Some(TrackError::Invalid(_)) => true,
        _ if ttl.is_zero() => false,
        Some(error) if error.is_not_found() => expired,
        Some(TrackError::Rejected(Rejection::Settled { .. })) => before.is_settled(),
        Some(TrackError::Rejected(Rejection::Held { .. })) => held,
        Some(_) => false,
        None => !expired && !held && before.status() == OverallStatus::Ongoing,
    };
    ensure(fits, || format!("claimed, with {error:?}, from {before:?}"))
}

/// All pages of a list, which must be in order.
fn walk(tracker: &Tracker, query: &Query) -> Result<BTreeSet<RequestId>, Broken> {
    let mut found = BTreeSet::new();
    let mut last = None;
    let mut page = query.clone().limit(3);
    loop {
        let answer = tracker.list(&page)?;
        for process in &answer.items {
            let place = (process.created_at(), process.request_id());
            ensure(last.is_none_or(|last| place < last), || {
                format!("{place:?} comes after {last:?}")
            })?;
            last = Some(place);
            found.insert(process.request_id());
        }
        match answer.next {
            Some(next) => page = query.clone().limit(3).after(next),
            None => return Ok(found),
        }
    }
}

/// Takes a step; answers what began.
fn take(side: &mut Side, step: &Step) -> Result<Option<RequestId>, TrackError> {
    let tracker = &side.tracker;
    match step {
        Step::Begin(end) => {
            let new = NewProcess::new(&Pipeline::new("p", ["first", "second"])?);
            let new = match end {
                Some(end) => new.expires_at(*end),
                None => new,
            };
            return tracker.begin(new).map(|process| Some(process.request_id()));
        }
        Step::Claim(id, ttl) => side.leases.push(tracker.claim(*id, "worker", *ttl)?),
        Step::Renew(lease, ttl) => drop(side.leases[*lease].renew_for(*ttl)?),
        Step::Release(lease) => drop(side.leases[*lease].release()?),
        Step::Work(id) => {
            for module in tracker.process(*id)?.unfinished().take(1) {
                module.progress(Progress::of(1, 2))?;
                module.complete()?;
            }
        }
        Step::Fail(id) => {
            let module = tracker.process(*id)?.module(1)?;
            module.fail(milepost::Failure::new("Bad", "input"))?;
        }
        Step::Cancel(id) => drop(tracker.request_cancel(*id, "enough")?),
        Step::Rerun(id) => drop(tracker.rerun(*id)?),
        Step::Expire(id, end) => {
            let update = Update::new();
            let update = end.map_or(update.clone().never_expires(), |end| update.expires_at(end));
            tracker.update(*id, update)?;
        }
        Step::Erase(id) => drop(tracker.erase(*id)?),
        Step::Reap => drop(tracker.reap(ReapPolicy::retry(2))?),
        Step::Purge => drop(tracker.purge()?),
        Step::Tend => drop(tracker.tend()?),
    }
    Ok(None)
}
