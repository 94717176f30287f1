//! A server that goes, connections that break: what was sent is kept once or not at all, and one can know which.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, ScopedJoinHandle};
use std::time::{Duration, Instant};

use milepost::{
    Change, Guard, NewProcess, Op, Pipeline, PostgresConfig, PostgresStore, Process, Progress,
    StatusStore, StoreErrorKind, Tracker,
};
use milepost_server::{Fault, Proxy, Server};

use crate::law::{Broken, Done, Law, Shard, ensure};

/// Half of them while a commit is on its way, the rest at any moment: the network, a session that an operator ends, and now
/// and then the whole server.
pub const SERVER_CUTS: Law = Law {
    name: "server-cuts",
    says: "each op is applied exactly once after a connection or a server was cut and it was sent again, and work goes on \
           within 5 s of its return",
    unit: "cuts",
    shard: 100,
    asked: 500,
    run: |shard| cuts(shard, |store| store),
};

/// How many send at a time, each to processes of its own.
const SENDERS: usize = 4;

/// How soon after a cut everybody must have got something done.
const RECOVERY: Duration = Duration::from_secs(5);

/// What commits, on the wire.
const COMMIT: &[u8] = b"COMMIT\0";

/// Cuts while `bend` of the store is written to.
///
/// # Errors
///
/// How the law is broken.
pub fn cuts(
    shard: &Shard<'_>,
    bend: impl FnOnce(Arc<dyn StatusStore>) -> Arc<dyn StatusStore>,
) -> Result<Done, Broken> {
    let server = Server::start();
    let proxy = Proxy::to(server.port());
    let open = |url: String| PostgresStore::connect_with(PostgresConfig::new(url)).map(Arc::new);
    let store = bend(open(proxy.url())?);
    let beside = open(server.url())?;
    let ended = AtomicBool::new(false);
    let acknowledged = [const { AtomicU64::new(0) }; SENDERS];
    thread::scope(|scope| {
        let senders = (0..)
            .zip(&acknowledged)
            .map(|(number, acknowledged)| {
                let sender = Sender {
                    store: &*store,
                    beside: &*beside,
                    tracker: Tracker::new(Arc::clone(&store)),
                    random: shard.random(u64::MAX - number),
                    acknowledged,
                };
                let ended = &ended;
                scope.spawn(move || sender.send_until(ended))
            })
            .collect::<Vec<_>>();
        let cut = cut(shard, &server, &proxy, &acknowledged, || {
            senders.iter().any(ScopedJoinHandle::is_finished)
        });
        ended.store(true, Ordering::Relaxed);
        for sender in senders {
            sender
                .join()
                .map_err(|_| Broken::new("a sender panicked"))??;
        }
        cut.map(Done::Tried)
    })
}

/// Cuts again and again, each time once everybody has got something done.
fn cut(
    shard: &Shard<'_>,
    server: &Server,
    proxy: &Proxy,
    acknowledged: &[AtomicU64],
    has_failed: impl Fn() -> bool,
) -> Result<u64, Broken> {
    let mut cuts = 0;
    while shard.goes_on(cuts) {
        let mut random = shard.random(cuts);
        let kind = random.u32(..100);
        match kind {
            0..25 => proxy.fail(Fault::Before(COMMIT)),
            25..50 => proxy.fail(Fault::Answered(COMMIT, COMMIT)),
            50..70 => proxy.cut(),
            70..90 => {
                server.psql(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                     WHERE application_name = 'milepost' AND pid <> pg_backend_pid()",
                );
            }
            90..94 => {
                proxy.refuse();
                thread::sleep(Duration::from_millis(100));
                proxy.mend();
            }
            94..97 => {
                server.crash();
                server.resume();
            }
            _ => {
                server.stop();
                server.resume();
            }
        }
        let back = Instant::now();
        let before = acknowledged.iter().map(load).collect::<Vec<_>>();
        // Two of each: the first may have been on its way.
        while acknowledged
            .iter()
            .zip(&before)
            .any(|(now, before)| load(now) < before + 2)
        {
            if has_failed() {
                return Ok(cuts);
            }
            ensure(back.elapsed() < RECOVERY, || {
                format!("cut {cuts}, of kind {kind}: it does not recover")
            })?;
            thread::sleep(Duration::from_millis(1));
        }
        cuts += 1;
        thread::sleep(Duration::from_micros(random.u64(..10_000)));
    }
    Ok(cuts)
}

fn load(count: &AtomicU64) -> u64 {
    count.load(Ordering::Relaxed)
}

/// Sends batches, and knows what they must come to.
struct Sender<'s> {
    store: &'s dyn StatusStore,
    /// Not cut off, but where the server itself is.
    beside: &'s dyn StatusStore,
    tracker: Tracker,
    random: fastrand::Rng,
    acknowledged: &'s AtomicU64,
}

impl Sender<'_> {
    fn send_until(mut self, ended: &AtomicBool) -> Result<(), Broken> {
        let pipeline = Pipeline::new("cut", ["only"])?;
        let mut slots = Vec::<Option<Arc<Process>>>::new();
        let mut batch = Vec::new();
        while !ended.load(Ordering::Relaxed) {
            batch.clear();
            // Two that go on, and one that begins or goes.
            slots.retain(Option::is_some);
            let creation = self.tracker.prepare(NewProcess::new(&pipeline))?;
            batch.push(creation);
            for slot in slots.iter().flatten().take(3) {
                batch.push(self.next(slot));
            }
            let mut expected = slots.clone();
            expected.push(None);
            for op in &batch {
                let place = slots.iter().position(|slot| {
                    slot.as_ref()
                        .is_some_and(|process| process.request_id() == op.id)
                });
                let slot = &mut expected[place.unwrap_or(slots.len())];
                op.apply(slot)
                    .map_err(|why| Broken::new(format!("the model refuses: {why}")))?;
            }
            self.send(&batch, &slots)?;
            for (op, slot) in batch.iter().zip(batch.iter().map(|op| {
                expected
                    .iter()
                    .flatten()
                    .find(|process| process.request_id() == op.id)
            })) {
                let stored = self.read(op)?;
                ensure(stored.as_ref() == slot, || {
                    format!("{:?} came to {stored:?} and not to {slot:?}", op.change)
                })?;
            }
            slots = expected;
            self.random.shuffle(&mut slots);
            self.acknowledged.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    }

    /// The next step of a process, guarded: so that whoever sends it again cannot do it twice.
    fn next(&mut self, process: &Process) -> Op {
        let guard = Guard::new().born(process.version().born).attempt(1);
        let done = process.modules()[0].progress().map_or(0, Progress::done);
        let change = match self.random.u32(..10) {
            0 => Change::erase(),
            1 if process.is_settled() => Change::erase(),
            1 => Change::complete(1),
            _ if process.is_settled() => Change::erase(),
            _ => Change::progress(1, Progress::unbounded(done + 1)),
        };
        let guard = match change {
            Change::Erase => Guard::new().born(process.version().born),
            _ => guard,
        };
        self.tracker.op(process.request_id(), change).guarded(guard)
    }

    /// Sends until it is known to be kept.
    fn send(&self, batch: &[Op], before: &[Option<Arc<Process>>]) -> Result<(), Broken> {
        let began = Instant::now();
        let mut may_be_kept = false;
        loop {
            match self.store.write(batch) {
                Ok(verdicts) => {
                    for (op, verdict) in batch.iter().zip(verdicts) {
                        // What was erased the first time is not there the second.
                        let is_gone = matches!(op.change, Change::Erase);
                        ensure(verdict.is_ok() || is_gone, || {
                            format!("{:?} was refused: {verdict:?}", op.change)
                        })?;
                    }
                    return Ok(());
                }
                Err(error) if error.kind() == StoreErrorKind::OutcomeUnknown => may_be_kept = true,
                Err(error) if error.is_retryable() && may_be_kept => {}
                Err(error) if error.is_retryable() => {
                    // It says that nothing was kept.
                    for op in batch {
                        let was = before
                            .iter()
                            .flatten()
                            .find(|process| process.request_id() == op.id);
                        let stored = self.read(op)?;
                        ensure(stored.as_ref() == was, || {
                            format!(
                                "{error} ({error:?}), and {:?} came to {stored:?}",
                                op.change
                            )
                        })?;
                    }
                }
                Err(error) => return Err(error.into()),
            }
            ensure(began.elapsed() < Duration::from_secs(30), || {
                "a batch was not kept for 30 s".to_owned()
            })?;
            thread::sleep(Duration::from_millis(1));
        }
    }

    /// What is stored, as soon as anybody can say.
    fn read(&self, op: &Op) -> Result<Option<Arc<Process>>, Broken> {
        loop {
            match self.beside.read(op.id) {
                Err(error) if error.is_retryable() => thread::sleep(Duration::from_millis(5)),
                read => return Ok(read?),
            }
        }
    }
}
