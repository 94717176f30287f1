//! Writing: what a group of batches has to do with is read at once, decided by the core, and written at once where it is
//! still what was read. So a group takes two round trips, whatever its size.

use std::sync::Arc;
use std::time::{Duration, Instant};

use deadpool_postgres::Client;
use hashbrown::HashMap;
use milepost_core::{Batch, Op, Process, RequestId, StoreError, StoreErrorKind, Verdict, Version};
use tokio_postgres::Row;
use tokio_postgres::types::Type;
use uuid::Uuid;

use crate::PostgresStore;
use crate::columns::{self, code, directory, micros, signed};
use crate::connections::{Connections, Parameter, borrowed, give_up, parameter};
use crate::error::{
    busy, commit_error, is_broken, is_in_the_way, is_overtaken, silent, store_error,
};
use crate::sql;

type Answer = Result<Vec<Verdict>, StoreError>;

/// How often a group is decided without holding anything: after that, what it has to do with is locked first. Else one that
/// touches many processes could be overtaken for as long as others are at work.
const UNLOCKED_TRIES: u32 = 3;

/// The longest pause after being overtaken.
const LONGEST_PAUSE: Duration = Duration::from_millis(20);

impl PostgresStore {
    /// Writes batches, one answer for each.
    pub(crate) fn write_batches(&self, batches: &[Batch<'_>]) -> Vec<Answer> {
        let deadline = Batch::latest_deadline(batches);
        self.try_to_write(batches, deadline)
            .unwrap_or_else(|error| batches.iter().map(|_| Err(error.clone())).collect())
    }

    fn try_to_write(
        &self,
        batches: &[Batch<'_>],
        deadline: Option<Instant>,
    ) -> Result<Vec<Answer>, StoreError> {
        let mut ids = batches
            .iter()
            .flat_map(|batch| batch.ops)
            .map(|op| op.id.into())
            .collect::<Vec<Uuid>>();
        ids.sort_unstable();
        ids.dedup();
        for tries in 1.. {
            let time_left = time_left(deadline, self.config().busy_timeout)?;
            let (rows, held) = self.load(&ids, tries > UNLOCKED_TRIES, time_left)?;
            let mut group = Group::new(rows);
            let answers = batches.iter().map(|batch| group.apply(batch.ops)).collect();
            let changes = group.changes();
            if changes.is_empty() {
                // What was locked is let go with its connection, if it was.
                return Ok(answers);
            }
            let connections = self.connections().clone();
            let written = self
                .home()
                .wait(async move { changes.write(&connections, held, time_left).await })?;
            match written {
                Written::Kept => return Ok(answers),
                Written::Overtaken => pause(tries),
            }
        }
        unreachable!("tries are counted without end")
    }

    /// Reads what is stored of these processes; locks it first, if that is needed, and holds on to it.
    fn load(
        &self,
        ids: &[Uuid],
        lock: bool,
        time_left: Duration,
    ) -> Result<(Vec<Row>, Option<Held>), StoreError> {
        let connections = self.connections().clone();
        let ids = ids.to_vec();
        self.home().wait(async move {
            if lock {
                let (rows, held) = Held::lock(&connections, ids, time_left).await?;
                return Ok((rows, Some(held)));
            }
            let read = &connections.statements().read;
            let ids = vec![parameter(ids, Type::UUID_ARRAY)];
            Ok((connections.query(read, ids).await?, None))
        })
    }
}

fn time_left(deadline: Option<Instant>, usual: Duration) -> Result<Duration, StoreError> {
    let Some(deadline) = deadline else {
        return Ok(usual);
    };
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() {
        return Err(busy(
            "others wrote to the same processes until the deadline",
        ));
    }
    Ok(left)
}

/// Lets others get done, a while that differs from theirs.
fn pause(tries: u32) {
    let longest = LONGEST_PAUSE.min(Duration::from_millis(1) * tries);
    std::thread::sleep(longest.mul_f64(fastrand::f64()));
}

/// A transaction that has locked what it is about to change. Dropped, its connection is closed, and it undone.
struct Held {
    client: Option<Client>,
}

impl Held {
    async fn lock(
        connections: &Connections,
        ids: Vec<Uuid>,
        time_left: Duration,
    ) -> Result<(Vec<Row>, Self), StoreError> {
        let statements = connections.statements();
        let held = Held {
            client: Some(connections.get().await?),
        };
        let opening = begin(connections, time_left);
        let ids = [parameter(ids, Type::UUID_ARRAY)];
        let ids = borrowed(&ids);
        let asked = async {
            let client = held.client();
            tokio::join!(
                biased;
                client.batch_execute(&opening),
                client.execute_typed(&statements.lock, &ids),
                client.query_typed(&statements.read, &ids),
            )
        };
        let (transaction, locked, read) = connections.answer(asked).await?;
        transaction.map_err(store_error)?;
        locked.map_err(store_error)?;
        Ok((read.map_err(store_error)?, held))
    }

    fn client(&self) -> &Client {
        self.client
            .as_ref()
            .expect("it is taken out only when it goes")
    }

    /// The connection, whose transaction has ended.
    fn release(mut self) -> Option<Client> {
        self.client.take()
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Some(client) = self.client.take() {
            give_up(client);
        }
    }
}

/// The statement that begins a transaction.
fn begin(connections: &Connections, time_left: Duration) -> String {
    sql::begin(
        time_left.as_millis().max(1),
        connections.answer_timeout().as_millis().max(1),
    )
}

/// The processes that a group of batches has to do with.
struct Group {
    slots: HashMap<RequestId, Slot>,
}

struct Slot {
    stored: Result<Option<Stored>, StoreError>,
    now: Option<Arc<Process>>,
}

/// What a write is decided on.
struct Stored {
    process: Arc<Process>,
    body: Vec<u8>,
}

impl Group {
    fn new(rows: Vec<Row>) -> Self {
        let mut slots = HashMap::with_capacity(rows.len());
        for row in rows {
            // Of a row without an id nothing can be said, nor was it asked for.
            let Ok(id) = columns::id(&row) else { continue };
            let stored = columns::process(&row).and_then(|process| {
                let body = columns::body(&row)?.to_vec();
                Ok(Some(Stored { process, body }))
            });
            let now = match &stored {
                Ok(Some(stored)) => Some(Arc::clone(&stored.process)),
                Ok(None) | Err(_) => None,
            };
            slots.insert(id, Slot { stored, now });
        }
        Group { slots }
    }

    /// Applies a batch, unless one of its processes cannot be read: then nothing of it.
    fn apply(&mut self, ops: &[Op]) -> Answer {
        for op in ops {
            if let Some(Err(error)) = self.slots.get(&op.id).map(|slot| &slot.stored) {
                return Err(error.clone());
            }
        }
        let verdict = |op: &Op| {
            let slot = self.slots.entry(op.id).or_insert_with(|| Slot {
                stored: Ok(None),
                now: None,
            });
            op.apply(&mut slot.now)
        };
        Ok(ops.iter().map(verdict).collect())
    }

    /// What has become of the processes, in the order of their ids.
    fn changes(self) -> Changes {
        let mut slots = self.slots.into_iter().collect::<Vec<_>>();
        slots.sort_unstable_by_key(|(id, _)| *id);
        let mut changes = Changes::default();
        for (id, slot) in slots {
            // Where it cannot be read, nothing was applied.
            let Ok(stored) = slot.stored else { continue };
            match (stored, slot.now) {
                (None, None) => {}
                (None, Some(now)) => changes.begun.push(&now),
                (Some(was), None) => changes.erased.push(id, was),
                // What was not touched is the very same.
                (Some(was), Some(now)) if Arc::ptr_eq(&was.process, &now) => {}
                (Some(was), Some(now)) if has_equal_columns(&was.process, &now) => {
                    changes.advanced.push(id, was, &now);
                }
                (Some(was), Some(now)) => changes.replaced.push(id, was, &now),
            }
        }
        changes
    }
}

/// Whether two states of a process differ in nothing that is in an index.
fn has_equal_columns(was: &Process, now: &Process) -> bool {
    was.version().born == now.version().born
        && was.created_at() == now.created_at()
        && was.status() == now.status()
        && was.settled_at() == now.settled_at()
        && was.expires_at() == now.expires_at()
        && was.file().id() == now.file().id()
        && was.pipeline() == now.pipeline()
        && directory(was.file()) == directory(now.file())
}

/// What is to be written, column by column.
#[derive(Default)]
struct Changes {
    begun: Columns,
    advanced: Advanced,
    replaced: Replaced,
    erased: Was,
}

/// Whole processes.
#[derive(Default)]
struct Columns {
    ids: Vec<Uuid>,
    created_at: Vec<i64>,
    statuses: Vec<i16>,
    settled_at: Vec<Option<i64>>,
    expires_at: Vec<Option<i64>>,
    leased_until: Vec<Option<i64>>,
    file_ids: Vec<Uuid>,
    pipelines: Vec<String>,
    directories: Vec<Option<String>>,
    bodies: Vec<Vec<u8>>,
    born: Vec<i64>,
    revisions: Vec<i64>,
}

/// The states that writes were decided on.
#[derive(Default)]
struct Was {
    ids: Vec<Uuid>,
    born: Vec<i64>,
    revisions: Vec<i64>,
    bodies: Vec<Vec<u8>>,
}

#[derive(Default)]
struct Advanced {
    was: Was,
    leased_until: Vec<Option<i64>>,
    bodies: Vec<Vec<u8>>,
    revisions: Vec<i64>,
}

#[derive(Default)]
struct Replaced {
    was: Was,
    now: Columns,
}

fn body(process: &Process) -> Vec<u8> {
    let mut body = Vec::new();
    process.to_body(&mut body);
    body
}

fn count(of: usize) -> Parameter {
    let count = i64::try_from(of).expect("a batch has a limit");
    parameter(count, Type::INT8)
}

impl Columns {
    fn push(&mut self, process: &Process) {
        let file = process.file();
        let Version { born, revision } = process.version();
        self.ids.push(process.request_id().into());
        self.created_at.push(micros(process.created_at()));
        self.statuses.push(code(process.status()));
        self.settled_at.push(process.settled_at().map(micros));
        self.expires_at.push(process.expires_at().map(micros));
        self.leased_until.push(process.leased_until().map(micros));
        self.file_ids.push(file.id().into());
        self.pipelines.push(process.pipeline().to_owned());
        self.directories.push(directory(file).map(str::to_owned));
        self.bodies.push(body(process));
        self.born.push(signed(born));
        self.revisions.push(signed(revision));
    }

    /// All but the ids, in the order of the statements.
    fn parameters(self) -> [Parameter; 11] {
        [
            parameter(self.created_at, Type::INT8_ARRAY),
            parameter(self.statuses, Type::INT2_ARRAY),
            parameter(self.settled_at, Type::INT8_ARRAY),
            parameter(self.expires_at, Type::INT8_ARRAY),
            parameter(self.leased_until, Type::INT8_ARRAY),
            parameter(self.file_ids, Type::UUID_ARRAY),
            parameter(self.pipelines, Type::TEXT_ARRAY),
            parameter(self.directories, Type::TEXT_ARRAY),
            parameter(self.bodies, Type::BYTEA_ARRAY),
            parameter(self.born, Type::INT8_ARRAY),
            parameter(self.revisions, Type::INT8_ARRAY),
        ]
    }
}

impl Was {
    fn push(&mut self, id: RequestId, was: Stored) {
        let Version { born, revision } = was.process.version();
        self.ids.push(id.into());
        self.born.push(signed(born));
        self.revisions.push(signed(revision));
        self.bodies.push(was.body);
    }

    fn parameters(self) -> [Parameter; 4] {
        [
            parameter(self.ids, Type::UUID_ARRAY),
            parameter(self.born, Type::INT8_ARRAY),
            parameter(self.revisions, Type::INT8_ARRAY),
            parameter(self.bodies, Type::BYTEA_ARRAY),
        ]
    }
}

impl Advanced {
    fn push(&mut self, id: RequestId, was: Stored, now: &Process) {
        self.was.push(id, was);
        self.leased_until.push(now.leased_until().map(micros));
        self.bodies.push(body(now));
        self.revisions.push(signed(now.revision()));
    }
}

impl Replaced {
    fn push(&mut self, id: RequestId, was: Stored, now: &Process) {
        self.was.push(id, was);
        self.now.push(now);
    }
}

/// What became of a transaction that nobody objects to.
enum Written {
    Kept,
    /// Others have changed what it was decided on, and nothing of it was kept.
    Overtaken,
}

impl Changes {
    fn is_empty(&self) -> bool {
        self.begun.ids.is_empty()
            && self.advanced.was.ids.is_empty()
            && self.replaced.was.ids.is_empty()
            && self.erased.ids.is_empty()
    }

    /// The statements that it takes, each with its parameters.
    fn statements(self, statements: &sql::Statements) -> Vec<(&str, Vec<Parameter>)> {
        let mut work = Vec::new();
        let mut add = |statement, some: usize, mut parameters: Vec<Parameter>| {
            if some > 0 {
                parameters.push(count(some));
                work.push((statement, parameters));
            }
        };
        let erased = self.erased.ids.len();
        add(&*statements.delete, erased, self.erased.parameters().into());

        let replaced = self.replaced.was.ids.len();
        let was = self.replaced.was.parameters().into_iter();
        let parameters = was.chain(self.replaced.now.parameters()).collect();
        add(&statements.replace, replaced, parameters);

        let Advanced {
            was,
            leased_until,
            bodies,
            revisions,
        } = self.advanced;
        let advanced = was.ids.len();
        let now = [
            parameter(leased_until, Type::INT8_ARRAY),
            parameter(bodies, Type::BYTEA_ARRAY),
            parameter(revisions, Type::INT8_ARRAY),
        ];
        let parameters = was.parameters().into_iter().chain(now).collect();
        add(&statements.advance, advanced, parameters);

        let begun = self.begun.ids.len();
        let ids = parameter(self.begun.ids.clone(), Type::UUID_ARRAY);
        let parameters = std::iter::once(ids)
            .chain(self.begun.parameters())
            .collect();
        add(&statements.insert, begun, parameters);
        work
    }

    /// Writes all of it or nothing, in one transaction: that which holds what is to be changed, or a new one.
    async fn write(
        self,
        connections: &Connections,
        held: Option<Held>,
        time_left: Duration,
    ) -> Result<Written, StoreError> {
        let is_open = held.is_some();
        let held = match held {
            Some(held) => held,
            None => Held {
                client: Some(connections.get().await?),
            },
        };
        let work = self.statements(connections.statements());
        let client = held.client();
        let opening = begin(connections, time_left);
        // All is sent at once, the commit too: if anything before it fails, it undoes.
        let sent = async {
            let open = async {
                if is_open {
                    Ok(())
                } else {
                    client.batch_execute(&opening).await
                }
            };
            let work = work.iter().map(|(statement, parameters)| {
                let parameters = borrowed(parameters);
                async move { client.query_typed(statement, &parameters).await.map(drop) }
            });
            tokio::join!(
                biased;
                open,
                futures_util::future::join_all(work),
                client.batch_execute(sql::COMMIT),
            )
        };
        let outcome = tokio::time::timeout(connections.answer_timeout(), sent).await;
        let Ok((opened, worked, committed)) = outcome else {
            let after = connections.answer_timeout();
            return Err(silent(StoreErrorKind::OutcomeUnknown, after));
        };
        let failed = std::iter::once(opened).chain(worked).find_map(Result::err);
        let written = match (failed, committed) {
            (None, Ok(())) => Ok(Written::Kept),
            (None, Err(error)) => return Err(commit_error(error)),
            (Some(error), _) if error.as_db_error().is_none() => return Err(commit_error(error)),
            // The server has said that a statement failed, so that nothing was there to commit.
            (Some(error), _) if is_overtaken(&error) || is_in_the_way(&error) => {
                Ok(Written::Overtaken)
            }
            (Some(error), _) if is_broken(&error) => return Err(store_error(error)),
            (Some(error), _) => Err(store_error(error)),
        };
        // Its transaction has ended, one way or the other.
        drop(held.release());
        written
    }
}
