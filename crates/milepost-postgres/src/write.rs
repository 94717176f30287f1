//! Writing: what a group of batches has to do with is read at once, decided by the core, and written at once where it is
//! still what was read. So a group takes two round trips, whatever its size.

use std::sync::Arc;
use std::time::Duration;

use hashbrown::HashMap;
use milepost_core::{Batch, Op, Process, RequestId, StoreError, StoreErrorKind, Verdict, Version};
use tokio_postgres::Row;
use tokio_postgres::types::Type;
use uuid::Uuid;

use crate::PostgresStore;
use crate::columns::{self, code, directory, micros, signed};
use crate::connections::{Parameter, parameter};
use crate::error::busy;
use crate::sql;
use crate::transaction::{self, Open, Work, Written};

type Answer = Result<Vec<Verdict>, StoreError>;

/// How often a group is decided without holding anything: after that, what it has to do with is locked first. Else one that
/// touches many processes could be overtaken for as long as others are at work.
const UNLOCKED_TRIES: u32 = 3;

/// The longest pause after being overtaken.
const LONGEST_PAUSE: Duration = Duration::from_millis(20);

/// How long batches wait together for what somebody else holds, before each waits for itself.
const TOGETHER: Duration = Duration::from_millis(250);

impl PostgresStore {
    /// Writes batches, one answer for each.
    pub(crate) fn write_batches(&self, batches: &[Batch<'_>]) -> Vec<Answer> {
        let alone = |batch: &Batch<'_>, longest| {
            let answers = self.try_to_write(std::slice::from_ref(batch), longest);
            answers.and_then(|answers| answers.into_iter().next().expect("there is one"))
        };
        if let [batch] = batches {
            return vec![alone(batch, Duration::MAX)];
        }
        match self.try_to_write(batches, TOGETHER) {
            Ok(answers) => answers,
            // It may be the fault of one of them: that one is not to keep the others back.
            Err(error) if may_concern_one(&error) => {
                let first = batches.iter().map(|batch| alone(batch, TOGETHER));
                let first = first.collect::<Vec<_>>();
                let again = batches
                    .iter()
                    .zip(first)
                    .map(|(batch, answer)| match answer {
                        Err(error) if error.kind() == StoreErrorKind::Busy => {
                            alone(batch, Duration::MAX)
                        }
                        answer => answer,
                    });
                again.collect()
            }
            Err(error) => batches.iter().map(|_| Err(error.clone())).collect(),
        }
    }

    /// Waits for nobody who holds one of the processes for longer than this.
    fn try_to_write(
        &self,
        batches: &[Batch<'_>],
        longest: Duration,
    ) -> Result<Vec<Answer>, StoreError> {
        let deadline = Batch::latest_deadline(batches);
        let mut ids = batches
            .iter()
            .flat_map(|batch| batch.ops)
            .map(|op| op.id.into())
            .collect::<Vec<Uuid>>();
        ids.sort_unstable();
        ids.dedup();
        let mut tries = 0;
        loop {
            let time_left = self.time_left(deadline).min(longest);
            if tries > 0 && time_left.is_zero() {
                return Err(busy(
                    "others wrote to the same processes until the deadline",
                ));
            }
            tries += 1;
            if let Some(answers) =
                self.try_once(batches, &ids, tries > UNLOCKED_TRIES, time_left)?
            {
                return Ok(answers);
            }
            pause(tries);
        }
    }

    /// None if others were in the way.
    fn try_once(
        &self,
        batches: &[Batch<'_>],
        ids: &[Uuid],
        lock: bool,
        time_left: Duration,
    ) -> Result<Option<Vec<Answer>>, StoreError> {
        let Some((rows, open)) = self.load(ids, lock, time_left)? else {
            return Ok(None);
        };
        let mut group = Group::new(rows);
        let answers = batches.iter().map(|batch| group.apply(batch.ops)).collect();
        let changes = group.changes();
        if changes.is_empty() {
            // What was locked is let go with its connection, if it was.
            return Ok(Some(answers));
        }
        let connections = self.connections().clone();
        let written = self.home().commit(async move {
            let work = changes.statements(connections.statements());
            transaction::write(&connections, open, time_left, work).await
        })?;
        Ok(match written {
            Written::Kept(_) => Some(answers),
            Written::Overtaken => None,
        })
    }

    /// Reads what is stored of these processes; locks it first, if that is needed, and holds on to it. None if others were in
    /// the way.
    fn load(
        &self,
        ids: &[Uuid],
        lock: bool,
        time_left: Duration,
    ) -> Result<Option<Loaded>, StoreError> {
        let connections = self.connections().clone();
        let ids = ids.to_vec();
        self.home().wait(async move {
            if lock {
                let locked = Open::locking(&connections, ids, time_left).await?;
                return Ok(match locked {
                    Written::Kept((rows, open)) => Some((rows, Some(open))),
                    Written::Overtaken => None,
                });
            }
            let read = &connections.statements().read;
            let ids = vec![parameter(ids, Type::UUID_ARRAY)];
            let rows = connections.query_within(time_left, read, ids).await?;
            Ok(Some((rows, None)))
        })
    }
}

/// What is stored, and the transaction that holds it, if one does.
type Loaded = (Vec<Row>, Option<Open>);

fn may_concern_one(error: &StoreError) -> bool {
    error.kind() == StoreErrorKind::Busy || error.kind().may_concern_one()
}

/// Lets others get done, a while that differs from theirs.
fn pause(tries: u32) {
    let longest = LONGEST_PAUSE.min(Duration::from_millis(1) * tries);
    std::thread::sleep(longest.mul_f64(fastrand::f64()));
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
                (None, Some(now)) => with_room(&mut changes.begun, |some| some.bytes).push(&now),
                (Some(was), None) => {
                    with_room(&mut changes.erased, |some| some.bytes).push(id, was);
                }
                // What was not touched is the very same.
                (Some(was), Some(now)) if Arc::ptr_eq(&was.process, &now) => {}
                (Some(was), Some(now)) => {
                    changes.moves_in_indexes |= !has_equal_columns(&was.process, &now);
                    let bytes = |some: &Updated| some.was.bytes.max(some.now.bytes);
                    with_room(&mut changes.updated, bytes).push(id, was, &now);
                }
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

/// What is to be written, column by column, each statement's worth apart.
#[derive(Default)]
struct Changes {
    begun: Vec<Columns>,
    updated: Vec<Updated>,
    erased: Vec<Was>,
    /// Whether any that is updated changes what is in an index.
    moves_in_indexes: bool,
}

/// How many bytes of bodies go with one statement: PostgreSQL takes no more than 1 GiB in one parameter.
const BYTES_AT_ONCE: usize = 64 * 1024 * 1024;

/// The last of some, or a new one once that holds so many bytes.
fn with_room<T: Default>(some: &mut Vec<T>, bytes: impl Fn(&T) -> usize) -> &mut T {
    if some.last().is_none_or(|last| bytes(last) > BYTES_AT_ONCE) {
        some.push(T::default());
    }
    some.last_mut().expect("one was just pushed")
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
    /// Of all bodies together.
    bytes: usize,
}

/// The states that writes were decided on.
#[derive(Default)]
struct Was {
    ids: Vec<Uuid>,
    created_at: Vec<i64>,
    born: Vec<i64>,
    revisions: Vec<i64>,
    bodies: Vec<Vec<u8>>,
    /// Of all bodies together.
    bytes: usize,
}

#[derive(Default)]
struct Updated {
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
        let body = body(process);
        self.bytes += body.len();
        self.bodies.push(body);
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
        self.created_at.push(micros(was.process.created_at()));
        self.born.push(signed(born));
        self.revisions.push(signed(revision));
        self.bytes += was.body.len();
        self.bodies.push(was.body);
    }

    fn parameters(self) -> [Parameter; 5] {
        [
            parameter(self.ids, Type::UUID_ARRAY),
            parameter(self.created_at, Type::INT8_ARRAY),
            parameter(self.born, Type::INT8_ARRAY),
            parameter(self.revisions, Type::INT8_ARRAY),
            parameter(self.bodies, Type::BYTEA_ARRAY),
        ]
    }
}

impl Updated {
    fn push(&mut self, id: RequestId, was: Stored, now: &Process) {
        self.was.push(id, was);
        self.now.push(now);
    }

    /// Where nothing has changed that is in an index.
    fn advance(self, statements: &sql::Statements) -> Work<'_> {
        let now = self.now;
        let count = count(now.ids.len());
        let now = [
            parameter(now.leased_until, Type::INT8_ARRAY),
            parameter(now.bodies, Type::BYTEA_ARRAY),
            parameter(now.revisions, Type::INT8_ARRAY),
        ];
        let parameters = self.was.parameters().into_iter().chain(now).chain([count]);
        (&statements.advance, parameters.collect())
    }

    fn replace(self, statements: &sql::Statements) -> Work<'_> {
        let count = count(self.now.ids.len());
        let now = self.now.parameters();
        let parameters = self.was.parameters().into_iter().chain(now).chain([count]);
        (&statements.replace, parameters.collect())
    }
}

impl Changes {
    fn is_empty(&self) -> bool {
        self.begun.is_empty() && self.updated.is_empty() && self.erased.is_empty()
    }

    /// The statements that it takes, each with its parameters.
    fn statements(self, statements: &sql::Statements) -> Vec<Work<'_>> {
        let mut work = Vec::new();
        if !self.updated.is_empty() && !self.erased.is_empty() {
            // Each statement takes its locks in the order of the ids, and so must both together.
            let erased = self.erased.iter().flat_map(|some| &some.ids);
            let updated = self.updated.iter().flat_map(|some| &some.was.ids);
            let mut ids = erased.chain(updated).copied().collect::<Vec<_>>();
            ids.sort_unstable();
            work.push((&*statements.lock, vec![parameter(ids, Type::UUID_ARRAY)]));
        }
        for some in self.erased {
            let count = count(some.ids.len());
            let parameters = some.parameters().into_iter().chain([count]);
            work.push((&statements.delete, parameters.collect()));
        }
        let update = if self.moves_in_indexes {
            Updated::replace
        } else {
            Updated::advance
        };
        for some in self.updated {
            work.push(update(some, statements));
        }
        for some in self.begun {
            let count = count(some.ids.len());
            let ids = parameter(some.ids.clone(), Type::UUID_ARRAY);
            let parameters = std::iter::once(ids).chain(some.parameters()).chain([count]);
            work.push((&statements.insert, parameters.collect()));
        }
        work
    }
}
