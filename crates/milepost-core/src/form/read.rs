//! From a form to a process: `time` turns one of the form's times into a real one, or into nothing if it is
//! out of range.

use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::{
    AttemptForm, ClaimEndForm, ClaimForm, EndForm, FileForm, Form, ModuleForm, OutcomeForm,
    ProgressForm, StateForm, TagForm, WishForm,
};
use crate::body::chain;
use crate::claim::{CancelRequest, Claim, ClaimEnd};
use crate::file::{File, FileText, Tag};
use crate::module::{Attempt, AttemptEnd, Module, ModuleState, Standing};
use crate::pipeline::Pipeline;
use crate::process::{Outcome, Process, Version};
use crate::work::Progress;
use crate::{laws, time};

impl<T> Form<'_, T> {
    pub(crate) fn into_process(
        self,
        time: impl Fn(T) -> Option<DateTime<Utc>>,
    ) -> Result<Process, laws::Broken> {
        let time = |at: T| {
            time(at)
                .map(time::to_micros)
                .ok_or("a time is out of range")
        };
        let names = self.modules.iter().map(|module| &*module.name);
        let lengths = names
            .clone()
            .map(|name| u8::try_from(name.len()))
            .collect::<Result<Vec<_>, _>>()
            .map_err(|_| "the pipeline cannot be built")?;
        let names = names.collect::<String>();
        let pipeline = chain(&self.pipeline, &lengths, &names, self.parallel)?;
        let modules = self
            .modules
            .into_iter()
            .enumerate()
            .map(|(index, module)| module.into_module(&pipeline, index, &time))
            .collect::<Result<_, _>>()?;
        let process = Process {
            request_id: self.request_id,
            version: Version {
                born: self.born,
                revision: self.revision,
            },
            run: self.run,
            file: self.file.into_file()?,
            created_at: time(self.created_at)?,
            updated_at: time(self.updated_at)?,
            expires_at: self.expires_at.map(&time).transpose()?,
            outcome: match self.outcome {
                OutcomeForm::Ongoing => Outcome::Ongoing,
                OutcomeForm::Complete { at } => Outcome::Complete { at: time(at)? },
                OutcomeForm::Failed { at, index } => Outcome::Failed {
                    at: time(at)?,
                    index: index.into(),
                },
                OutcomeForm::Cancelled { at, reason } => Outcome::Cancelled {
                    at: time(at)?,
                    reason: Box::new(reason.into()),
                },
            },
            modules,
            pipeline,
            claim: self
                .claim
                .map(|claim| claim.into_claim(&time))
                .transpose()?,
            cancel_request: self
                .cancel_request
                .map(|wish| wish.into_request(&time))
                .transpose()?,
        };
        laws::check(&process)?;
        Ok(process)
    }
}

impl FileForm<'_> {
    fn into_file(self) -> Result<File, laws::Broken> {
        let text = FileText {
            id: self.id,
            generated: self.generated,
            name: &self.name,
            directory: &self.directory,
            description: self.description.as_ref().map(|text| &*text.0),
        };
        let tags = self.tags.iter().map(TagForm::to_tag).collect();
        File::new(text, tags).map_err(|_| BAD_FILE)
    }
}

/// What is said of a file whose texts are too long, or hold what they may not.
pub(crate) const BAD_FILE: laws::Broken = "a file's texts must be within their limits";

impl TagForm<'_> {
    pub(crate) fn to_tag(&self) -> Tag {
        Tag::new(&self.name, &self.value)
    }
}

impl<T> ProgressForm<'_, T> {
    pub(crate) fn into_standing(
        self,
        time: impl Fn(T) -> Result<DateTime<Utc>, laws::Broken>,
    ) -> Result<Standing, laws::Broken> {
        let progress = Progress {
            done: self.done,
            total: self.total,
            unit: self.unit.map(|text| text.0.into()),
            message: self.message.map(|text| text.0.into()),
        };
        Ok(Standing {
            progress,
            at: time(self.at)?,
        })
    }
}

impl<T> ModuleForm<'_, T> {
    fn into_module(
        self,
        pipeline: &Pipeline,
        index: usize,
        time: &impl Fn(T) -> Result<DateTime<Utc>, laws::Broken>,
    ) -> Result<Module, laws::Broken> {
        let state = match self.state {
            StateForm::Pending => ModuleState::Pending,
            StateForm::Running { since } => ModuleState::Running {
                since: time(since)?,
            },
            StateForm::Complete { started, ended } => ModuleState::Complete {
                started: time(started)?,
                ended: time(ended)?,
            },
            StateForm::Failed {
                started,
                ended,
                failure,
            } => ModuleState::Failed {
                started: time(started)?,
                ended: time(ended)?,
                failure: failure.into_failure(),
            },
            StateForm::Skipped { at, reason } => ModuleState::Skipped {
                at: time(at)?,
                reason: Arc::from(&*reason),
            },
            StateForm::Cancelled { started, at } => ModuleState::Cancelled {
                started: started.map(time).transpose()?,
                at: time(at)?,
            },
        };
        let progress = self.progress.map(|form| form.into_standing(time));
        let attempts = self
            .attempts
            .into_iter()
            .map(|attempt| attempt.into_attempt(time));
        let module = Module {
            state,
            ..Module::pending(pipeline, index)
        };
        let (progress, attempts) = (progress.transpose()?, attempts.collect::<Result<_, _>>()?);
        Ok(module.telling(self.attempt, progress, attempts))
    }
}

impl<T> AttemptForm<'_, T> {
    pub(crate) fn into_attempt(
        self,
        time: &impl Fn(T) -> Result<DateTime<Utc>, laws::Broken>,
    ) -> Result<Attempt, laws::Broken> {
        Ok(Attempt {
            number: self.number,
            run: self.run,
            revision: self.revision,
            started: self.started.map(time).transpose()?,
            ended: time(self.ended)?,
            end: match self.end {
                EndForm::Failed(failure) => AttemptEnd::Failed(failure.into_failure()),
                EndForm::Retried(failure) => AttemptEnd::Retried(failure.into_failure()),
                EndForm::Cancelled(reason) => AttemptEnd::Cancelled(Arc::from(&*reason)),
                EndForm::Interrupted => AttemptEnd::Interrupted,
            },
        })
    }
}

impl<T> ClaimForm<'_, T> {
    pub(crate) fn into_claim(
        self,
        time: &impl Fn(T) -> Result<DateTime<Utc>, laws::Broken>,
    ) -> Result<Box<Claim>, laws::Broken> {
        let end = match self.end {
            None => None,
            Some(ClaimEndForm::Released { at }) => Some(ClaimEnd::Released { at: time(at)? }),
            Some(ClaimEndForm::Reaped { at }) => Some(ClaimEnd::Reaped { at: time(at)? }),
        };
        Ok(Box::new(Claim {
            token: self.token,
            mark: self.mark,
            worker: self.worker.into(),
            claimed_at: time(self.claimed_at)?,
            heard_at: time(self.heard_at)?,
            until: time(self.until)?,
            end,
        }))
    }
}

impl<T> WishForm<'_, T> {
    pub(crate) fn into_request(
        self,
        time: &impl Fn(T) -> Result<DateTime<Utc>, laws::Broken>,
    ) -> Result<Box<CancelRequest>, laws::Broken> {
        Ok(Box::new(CancelRequest {
            reason: self.reason.into(),
            at: time(self.at)?,
        }))
    }
}
