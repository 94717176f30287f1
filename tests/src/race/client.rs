//! One who calls: makes up calls on processes that others call too, and writes down what it was answered, and when.

use std::sync::Arc;
use std::time::{Duration, Instant};

use milepost::{
    Applied, Change, Guard, NewProcess, Op, Pipeline, Process, Progress, Rejection, RequestId,
    StoreErrorKind, TrackError, Tracker, Update, Verdict,
};
use uuid::Uuid;

use super::history::Entry;
use super::linear::Event;
use super::register::{Answer, Call, Record};
use crate::law::Broken;

/// What a client works on.
#[derive(Debug, Clone, Copy)]
#[expect(clippy::exhaustive_structs, reason = "the program `race` builds it")]
pub struct Task {
    /// From this the ids follow, and with the client's number what it does.
    pub seed: u64,
    /// Which client it is: no two have the same number.
    pub client: u64,
    /// How many calls are to be answered.
    pub calls: u64,
    /// How many processes there are. All clients pass from one to the next, as fast as each is.
    pub processes: u64,
    /// How long its store may wait.
    pub patience: Duration,
}

/// The id of one of the processes.
#[must_use]
pub fn id(seed: u64, process: u64) -> RequestId {
    Uuid::from_u64_pair(seed, process).into()
}

/// What a process is, as far as the register knows.
#[must_use]
pub fn record(process: &Process) -> Record {
    let note = process.file().description();
    Record {
        born: process.version().born,
        revision: process.revision(),
        done: process.modules()[0].progress().map_or(0, Progress::done),
        // Clients write numbers. Anything else is none that one wrote.
        note: note.map_or(0, |note| note.parse().unwrap_or(u64::MAX)),
    }
}

/// Does all of the task.
///
/// # Errors
///
/// If a call fails, other than by being busy at its deadline: then it is called again.
pub fn work(tracker: &Tracker, task: &Task) -> Result<Vec<Entry>, Broken> {
    let mut client = Client {
        tracker,
        task,
        random: fastrand::Rng::with_seed(
            task.seed ^ task.client.wrapping_mul(0x9e37_79b9_7f4a_7c15),
        ),
        seen: vec![None; usize::try_from(task.processes)?],
    };
    let mut history = Vec::new();
    let mut number = 0;
    let mut answered = 0;
    while answered < task.calls {
        number += 1;
        let place = answered * task.processes / task.calls + client.random.u64(..2);
        let process = place.min(task.processes - 1);
        let call = client.make_up(process, number);
        let began = now();
        let waited = Instant::now();
        let answer = client.call(process, call);
        let waited = waited.elapsed();
        let ended = now();
        match answer {
            Ok(answer) => {
                let what = (call, answer);
                let event = Event { began, ended, what };
                history.push(Entry { process, event });
                answered += 1;
            }
            Err(error) if is_busy(&error) && waited >= task.patience => {}
            Err(error) => {
                let source = std::error::Error::source(&error).map(ToString::to_string);
                return Err(Broken::new(format!(
                    "after {waited:?} of {:?} {call:?} failed: {error}: {source:?}",
                    task.patience
                )));
            }
        }
    }
    Ok(history)
}

fn is_busy(error: &TrackError) -> bool {
    matches!(error, TrackError::Store(error) if error.kind() == StoreErrorKind::Busy)
}

/// Nanoseconds on a clock that all OS processes of the machine share.
fn now() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    let seconds = u64::try_from(now.tv_sec).expect("it counts from when the machine started");
    seconds * 1_000_000_000 + u64::try_from(now.tv_nsec).expect("it is a part of a second")
}

struct Client<'t> {
    tracker: &'t Tracker,
    task: &'t Task,
    random: fastrand::Rng,
    /// What it knows of each process.
    seen: Vec<Option<Record>>,
}

impl Client<'_> {
    fn seen(&mut self, process: u64) -> &mut Option<Record> {
        &mut self.seen[usize::try_from(process).expect("they are few")]
    }

    fn make_up(&mut self, process: u64, number: u64) -> Call {
        let dice = self.random.u8(..100);
        let client = self.task.client;
        let Some(seen) = *self.seen(process) else {
            return if dice < 60 { Call::Begin } else { Call::Read };
        };
        // No other client brings the same, and no other call.
        let note = (client << 32) | number;
        match dice {
            0..35 => Call::Read,
            35..62 => Call::Advance((seen.done / 64 + 1) * 64 + client),
            62..78 => Call::Note(note),
            // Now and then one that has not come yet.
            78..92 => Call::Swap(seen.revision + u64::from(dice == 78), note),
            92..97 => Call::Begin,
            _ => Call::Erase,
        }
    }

    fn call(&mut self, process: u64, call: Call) -> Result<Answer, TrackError> {
        let id = id(self.task.seed, process);
        if call == Call::Read {
            let seen = self.read(id)?.as_deref().map(record);
            *self.seen(process) = seen;
            return Ok(Answer::Seen(seen));
        }
        let op = self.op(id, call)?;
        let verdict = self.tracker.apply(&[op])?.remove(0);
        let answer = answer(&verdict)?;
        self.learn(process, call, answer);
        Ok(answer)
    }

    /// There are two ways.
    fn read(&mut self, id: RequestId) -> Result<Option<Arc<Process>>, TrackError> {
        if self.random.bool() {
            return Ok(self.tracker.get_many(&[id])?.remove(0));
        }
        match self.tracker.get(id) {
            Ok(process) => Ok(Some(process)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn op(&self, id: RequestId, call: Call) -> Result<Op, TrackError> {
        let change = match call {
            Call::Read | Call::Begin => {
                let pipeline = Pipeline::new("race", ["only"])?;
                return self
                    .tracker
                    .prepare(NewProcess::new(&pipeline).request_id(id));
            }
            Call::Advance(done) => Change::progress(1, Progress::unbounded(done)),
            Call::Note(note) | Call::Swap(_, note) => {
                Change::update(Update::new().file_description(&note.to_string()))
            }
            Call::Erase => Change::erase(),
        };
        let op = self.tracker.op(id, change);
        Ok(match call {
            Call::Swap(revision, _) => op.guarded(Guard::new().revision(revision)),
            _ => op,
        })
    }

    /// Takes in what an answer tells of the process.
    fn learn(&mut self, process: u64, call: Call, answer: Answer) {
        let seen = self.seen(process);
        match answer {
            Answer::NotFound => *seen = None,
            Answer::Changed(..) if call == Call::Erase => *seen = None,
            Answer::Changed(born, revision) | Answer::Same(born, revision) => {
                let before = seen.filter(|seen| seen.born == born);
                let (done, note) = before.map_or((0, 0), |before| (before.done, before.note));
                let done = if let Call::Advance(done) = call {
                    done
                } else {
                    done
                };
                *seen = Some(Record {
                    born,
                    revision,
                    done,
                    note,
                });
            }
            Answer::Seen(_) | Answer::Backwards | Answer::Stale | Answer::Illegal => {}
        }
    }
}

fn answer(verdict: &Verdict) -> Result<Answer, TrackError> {
    Ok(match verdict {
        Ok(Applied {
            version,
            changed: true,
            ..
        }) => Answer::Changed(version.born, version.revision),
        Ok(Applied { version, .. }) => Answer::Same(version.born, version.revision),
        Err(Rejection::NotFound) => Answer::NotFound,
        Err(Rejection::Backwards { .. }) => Answer::Backwards,
        Err(Rejection::Stale { .. }) => Answer::Stale,
        Err(Rejection::Illegal { .. }) => Answer::Illegal,
        Err(other) => return Err(other.clone().into()),
    })
}
