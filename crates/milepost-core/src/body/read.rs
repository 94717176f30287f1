//! From a body, and what stands in columns beside it, to a process.

use chrono::{DateTime, NaiveDate, NaiveTime, Utc};
use serde::Deserialize;

use super::{
    Beginning, CANCELLED, CLAIMED, COMPLETE, DESCRIBED, DETAILED, FAILED, GENERATED, PARALLEL,
    PENDING, PLAIN, RUNNING, SKIPPED, TAGGED, WISHED, chains, reserve, split,
};
use crate::file::{File, FileText};
use crate::filter::Indexed;
use crate::form::{AttemptForm, BAD_FILE, ClaimForm, FailureForm, ProgressForm, TagForm, WishForm};
use crate::id::RequestId;
use crate::laws::{self, Broken};
use crate::limits::RECORD_BYTES;
use crate::module::{Module, ModuleState};
use crate::pipeline::Pipeline;
use crate::process::{Outcome, OverallStatus, Process, Version};
use crate::record::{RecordError, corrupt};

impl Process {
    /// Reads what [`to_body`](Process::to_body) wrote, together with what stands beside it, and checks it
    /// against the laws of the machine.
    ///
    /// # Errors
    ///
    /// [`RecordError::Incompatible`] for a newer version, [`RecordError::Corrupt`] for whatever else no
    /// process has written so.
    pub fn from_body(
        request_id: RequestId,
        indexed: &Indexed<'_>,
        body: &[u8],
    ) -> Result<Self, RecordError> {
        if body.len() >= RECORD_BYTES {
            return Err(corrupt("it is over 256 KiB"));
        }
        let beginning = split(request_id, body)?;
        let reader = Reader {
            rest: beginning.rest,
            last: indexed.created_at.timestamp_micros(),
            day: Day::of(indexed.created_at),
            unused: 0,
        };
        reader
            .process(request_id, &beginning, indexed)
            .map_err(corrupt)
    }
}

struct Reader<'b> {
    rest: &'b [u8],
    /// The time that was read last, in microseconds.
    last: i64,
    /// The day on which the process was created. Most times lie on it, and then need no calendar.
    day: Day,
    /// How much of what is reserved is not used.
    unused: usize,
}

/// So many bytes of a number fit into 64 bits whatever is in them: a thousand years of microseconds.
const SHORT: usize = 8;

const CUT_SHORT: Broken = "its form cannot be read";

impl<'b> Reader<'b> {
    fn process(
        mut self,
        request_id: RequestId,
        beginning: &Beginning<'_>,
        indexed: &Indexed<'_>,
    ) -> Result<Process, Broken> {
        let Beginning {
            states,
            flags,
            born,
            ..
        } = *beginning;
        let revision = self.reserved(reserve::REVISION, Reader::next)?;
        let run = self.next()?;
        let pipeline = self.pipeline(indexed.pipeline, states.len(), flags & PARALLEL != 0)?;
        let file = self.file(indexed, flags)?;
        let mut modules = Vec::with_capacity(states.len());
        for (index, state) in states.iter().enumerate() {
            modules.push(self.module(&pipeline, index, *state)?);
        }
        let updated_at = self.time()?;
        let outcome = self.outcome(indexed)?;
        let claim = match flags & CLAIMED {
            0 => None,
            _ => Some(self.next::<ClaimForm<'_, i64>>()?.into_claim(&time)?),
        };
        let cancel_request = match flags & WISHED {
            0 => None,
            _ => Some(self.next::<WishForm<'_, i64>>()?.into_request(&time)?),
        };
        let any = self.rest.iter().fold(0, |any, byte| any | byte);
        if self.rest.len() != self.unused || any != 0 {
            return Err("it does not end where it should");
        }
        let process = Process {
            request_id,
            version: Version { born, revision },
            run,
            pipeline,
            file,
            created_at: indexed.created_at,
            updated_at,
            expires_at: indexed.expires_at,
            outcome,
            modules: modules.into(),
            claim,
            cancel_request,
        };
        laws::check(&process)?;
        if process.leased_until() != indexed.leased_until {
            return Err("its lease is not the one beside it");
        }
        Ok(process)
    }

    fn pipeline(
        &mut self,
        name: &str,
        modules: usize,
        is_parallel: bool,
    ) -> Result<Pipeline, Broken> {
        let lengths = self.bytes(modules)?;
        let names = self.bytes(lengths.iter().map(|length| usize::from(*length)).sum())?;
        let names = std::str::from_utf8(names).map_err(|_| CUT_SHORT)?;
        chains::chain(name, lengths, names, is_parallel)
    }

    fn file(&mut self, indexed: &Indexed<'_>, flags: u8) -> Result<File, Broken> {
        let text = FileText {
            id: indexed.file_id,
            generated: flags & GENERATED != 0,
            name: self.next()?,
            directory: indexed.directory,
            description: match flags & DESCRIBED {
                0 => None,
                _ => Some(self.next()?),
            },
        };
        let tags = match flags & TAGGED {
            0 => Vec::new(),
            _ => self
                .next::<Vec<TagForm<'_>>>()?
                .iter()
                .map(TagForm::to_tag)
                .collect(),
        };
        File::new(text, tags).map_err(|_| BAD_FILE)
    }

    fn module(&mut self, pipeline: &Pipeline, index: usize, state: u8) -> Result<Module, Broken> {
        let (kind, has_details) = match state {
            DETAILED.. => (state - DETAILED, true),
            PLAIN.. => (state - PLAIN, false),
            _ => return Err("a module is in no known state"),
        };
        let state = self.state(kind)?;
        let module = Module {
            state,
            ..Module::pending(pipeline, index)
        };
        if has_details {
            let attempt = self.next()?;
            let progress = self.next::<Option<ProgressForm<'_, i64>>>()?;
            let progress = progress.map(|progress| progress.into_standing(time));
            let attempts = self.next::<Vec<AttemptForm<'_, i64>>>()?.into_iter();
            let attempts = attempts.map(|attempt| attempt.into_attempt(&time));
            let attempts = attempts.collect::<Result<_, _>>()?;
            return Ok(module.telling(attempt, progress.transpose()?, attempts));
        }
        Ok(module)
    }

    fn state(&mut self, kind: u8) -> Result<ModuleState, Broken> {
        let times = self.reserved(reserve::MODULE, |reader| reader.times(kind))?;
        Ok(match (kind, times) {
            (PENDING, _) => ModuleState::Pending,
            (RUNNING, (Some(since), _)) => ModuleState::Running { since },
            (COMPLETE, (Some(started), Some(ended))) => ModuleState::Complete { started, ended },
            (FAILED, (Some(started), Some(ended))) => ModuleState::Failed {
                started,
                ended,
                failure: self.next::<FailureForm<'_>>()?.into_failure(),
            },
            (SKIPPED, (_, Some(at))) => ModuleState::Skipped {
                at,
                reason: self.next::<&str>()?.into(),
            },
            (CANCELLED, (started, Some(at))) => ModuleState::Cancelled { started, at },
            _ => return Err("a module is in no known state"),
        })
    }

    /// When a module in this state started, and when it ended.
    #[expect(
        clippy::type_complexity,
        reason = "two times, either of which may be missing"
    )]
    fn times(
        &mut self,
        kind: u8,
    ) -> Result<(Option<DateTime<Utc>>, Option<DateTime<Utc>>), Broken> {
        let has_started = match kind {
            RUNNING | COMPLETE | FAILED => true,
            CANCELLED => self.next()?,
            _ => false,
        };
        let has_ended = matches!(kind, COMPLETE | FAILED | SKIPPED | CANCELLED);
        let mut time = |is_there: bool| is_there.then(|| self.time()).transpose();
        Ok((time(has_started)?, time(has_ended)?))
    }

    fn outcome(&mut self, indexed: &Indexed<'_>) -> Result<Outcome, Broken> {
        Ok(match (indexed.status, indexed.settled_at) {
            (OverallStatus::Ongoing, None) => {
                self.unused += reserve::SETTLED_AT;
                Outcome::Ongoing
            }
            (OverallStatus::Complete, Some(at)) => Outcome::Complete { at },
            (OverallStatus::Failed, Some(at)) => Outcome::Failed {
                at,
                index: self.next::<u16>()?.into(),
            },
            (OverallStatus::Cancelled, Some(at)) => Outcome::Cancelled {
                at,
                reason: Box::new(self.next::<&str>()?.into()),
            },
            _ => return Err("what is settled has a time at which it did, and nothing else has"),
        })
    }

    fn time(&mut self) -> Result<DateTime<Utc>, Broken> {
        let delta = self.delta()?;
        self.last = self.last.checked_add(delta).ok_or(OUT_OF_RANGE)?;
        match self.day.time(self.last) {
            Some(time) => Ok(time),
            None => time(self.last),
        }
    }

    /// The time since the one before. Most numbers in a body are these, so they are read without going through
    /// what reads them all: postcard's form of an `i64` is seven bits a byte, the lowest first, and the sign in the
    /// lowest bit.
    fn delta(&mut self) -> Result<i64, Broken> {
        let mut bits = 0_u64;
        for (index, byte) in self.rest.iter().take(SHORT).enumerate() {
            bits |= u64::from(byte & 0x7f) << (7 * index);
            if byte & 0x80 == 0 {
                self.rest = &self.rest[index + 1..];
                return Ok((bits >> 1).cast_signed() ^ -(bits & 1).cast_signed());
            }
        }
        self.next::<i64>()
    }

    /// Reads something that may take `bytes`, and notes how many it leaves.
    fn reserved<T>(
        &mut self,
        bytes: usize,
        read: impl FnOnce(&mut Self) -> Result<T, Broken>,
    ) -> Result<T, Broken> {
        let before = self.rest.len();
        let value = read(self)?;
        self.unused += bytes.saturating_sub(before - self.rest.len());
        Ok(value)
    }

    fn next<T: Deserialize<'b>>(&mut self) -> Result<T, Broken> {
        let (value, rest) = postcard::take_from_bytes(self.rest).map_err(|_| CUT_SHORT)?;
        self.rest = rest;
        Ok(value)
    }

    fn bytes(&mut self, count: usize) -> Result<&'b [u8], Broken> {
        let (bytes, rest) = self.rest.split_at_checked(count).ok_or(CUT_SHORT)?;
        self.rest = rest;
        Ok(bytes)
    }
}

/// A day, and when it begins, in microseconds.
struct Day {
    date: NaiveDate,
    begins: i64,
}

impl Day {
    fn of(time: DateTime<Utc>) -> Self {
        let date = time.date_naive();
        Day {
            date,
            begins: date.and_time(NaiveTime::MIN).and_utc().timestamp_micros(),
        }
    }

    /// The time, if it lies on this day.
    fn time(&self, micros: i64) -> Option<DateTime<Utc>> {
        let since = u64::try_from(micros.checked_sub(self.begins)?).ok()?;
        let seconds = u32::try_from(since / 1_000_000).ok()?;
        let nanos = u32::try_from(since % 1_000_000).ok()? * 1_000;
        let time = NaiveTime::from_num_seconds_from_midnight_opt(seconds, nanos)?;
        Some(self.date.and_time(time).and_utc())
    }
}

const OUT_OF_RANGE: Broken = "a time is out of range";

fn time(micros: i64) -> Result<DateTime<Utc>, Broken> {
    DateTime::from_timestamp_micros(micros).ok_or(OUT_OF_RANGE)
}
