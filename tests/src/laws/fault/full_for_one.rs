//! A batch for which there is no room, among others that come with it.

use std::path::Path;
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::Duration;

use milepost::{Durability, SqliteConfig, SqliteStore, StatusStore, StoreErrorKind};
use milepost_faults::Faults;

use super::files::{NAME, is_whole};
use super::ground::Wrap;
use super::ledger::{Act, Ledger, World};
use super::scenes::Author;
use crate::law::{Broken, Done, Law, Shard, ensure};

/// One of ten batches finds no room.
pub static FULL_FOR_ONE: Law = Law {
    name: "full-for-one",
    says: "a batch for which there is no room spoils none of the nine that come with it",
    unit: "groups",
    shard: 50,
    asked: 300,
    run: |shard| full_for_one(shard, |store| Arc::new(store)),
};

/// How many come at once.
const TOGETHER: usize = 10;

/// When SQLite comes upon it that there is no room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum When {
    /// While the batch is applied, which is larger than its cache: nothing was committed.
    Early,
    /// While all ten are committed: none of them knows what was kept.
    AtCommit,
}

impl When {
    /// How many processes of 160 KiB come in the large batch. SQLite's cache has 2 MiB.
    fn count(self) -> usize {
        match self {
            When::Early => 24,
            When::AtCommit => 9,
        }
    }
}

/// How large the files may become, in bytes: less than what does not fit into the cache of the one, and than all of the
/// other.
const ROOM: u64 = 1_000_000;

/// Leaves room for all but one, in stores that were wrapped into something.
pub fn full_for_one(shard: &Shard<'_>, wrap: Wrap) -> Result<Done, Broken> {
    let mut done = 0;
    while shard.goes_on(done) {
        let mut random = shard.random(done);
        let when = [When::Early, When::AtCommit][random.usize(..2)];
        let durability = [Durability::Full, Durability::Normal][random.usize(..2)];
        let large = random.usize(..TOGETHER);
        let directory = shard.scratch.join(done.to_string());
        std::fs::create_dir(&directory)?;
        let author = Author::new(random)?;
        let one = try_one(&directory, wrap, author, when, durability, large);
        one.map_err(|how| {
            Broken::new(format!(
                "{when:?}, {durability:?}, the large one is {large}: {how}"
            ))
        })?;
        std::fs::remove_dir_all(&directory)?;
        done += 1;
    }
    Ok(Done::Tried(done))
}

fn try_one(
    directory: &Path,
    wrap: Wrap,
    mut author: Author,
    when: When,
    durability: Durability,
    large: usize,
) -> Result<(), Broken> {
    let faults = Faults::below(directory)?;
    let path = directory.join(NAME);
    let store = wrap(SqliteStore::open_with(SqliteConfig {
        durability,
        ..SqliteConfig::new(&path)
    })?);
    let mut acts = Vec::new();
    for number in 0..TOGETHER {
        let mut ops = author.begin_many(1 + number % 3, "small.pdf")?;
        if number == large {
            ops = (0..when.count())
                .map(|_| author.begin_large())
                .collect::<Result<_, _>>()?;
        }
        acts.push(Act::Write(ops));
    }
    faults.let_files_grow_to(ROOM);
    let answers = send_at_once(&path, &*store, &acts)?;
    let mut ledgers = Vec::new();
    for (number, (act, answer)) in acts.iter().zip(&answers).enumerate() {
        let mut ledger = Ledger::of(World::new());
        ledger.note(act, answer)?;
        let kind = answer.as_ref().err().map(milepost::StoreError::kind);
        let is_right = match (when, number == large) {
            (When::Early, true) => kind == Some(StoreErrorKind::Full),
            (When::Early, false) => kind.is_none(),
            (When::AtCommit, true) => kind == Some(StoreErrorKind::OutcomeUnknown),
            // It may have come before or after the others.
            (When::AtCommit, false) => {
                kind.is_none_or(|kind| kind == StoreErrorKind::OutcomeUnknown)
            }
        };
        ensure(is_right, || {
            format!("batch {number} was answered {answer:?}")
        })?;
        ledger.compare(&*store)??;
        ledgers.push(ledger);
    }
    // Those that there is room for go through, and the large one once there is.
    let (large_ledger, others): (Vec<_>, Vec<_>) = ledgers
        .iter_mut()
        .enumerate()
        .partition(|(number, _)| *number == large);
    for (number, ledger) in others.into_iter().chain(large_ledger) {
        if number == large {
            faults.disarm();
        }
        for act in std::mem::take(&mut ledger.unsettled) {
            ledger.note(&act, &Ok(act.send(&*store)?))?;
        }
        ledger.compare(&*store)??;
    }
    drop(store);
    is_whole(&path)?;
    let store = SqliteStore::open(&path)?;
    ledgers
        .iter_mut()
        .try_for_each(|ledger| Ok(ledger.compare(&store)??))
}

type Answer = Result<super::ledger::Answer, milepost::StoreError>;

/// Sends acts from as many threads, all of which come while somebody else holds the write lock.
fn send_at_once(path: &Path, store: &dyn StatusStore, acts: &[Act]) -> Result<Vec<Answer>, Broken> {
    let other = rusqlite::Connection::open(path)?;
    other.execute_batch("BEGIN IMMEDIATE")?;
    let set_out = Barrier::new(acts.len() + 1);
    let send = |act: &Act| {
        set_out.wait();
        act.send(store)
    };
    let send = &send;
    thread::scope(|scope| {
        let threads = acts
            .iter()
            .map(|act| scope.spawn(move || send(act)))
            .collect::<Vec<_>>();
        set_out.wait();
        // The first waits for the lock, and the others behind it. One that is late makes a group of its own.
        thread::sleep(Duration::from_millis(50));
        let freed = other.execute_batch("COMMIT");
        let answers = threads.into_iter().map(|thread| {
            let answer = thread.join();
            answer.map_err(|_| Broken::new("a call panicked"))
        });
        let answers = answers.collect::<Result<Vec<_>, _>>()?;
        freed?;
        Ok(answers)
    })
}
