//! What the documents say that each change does.

use chrono::{DateTime, Utc};
use milepost_core::{AttemptEnd, Failure, ModuleState, OverallStatus, Progress};

use super::card::{Past, Step};
use super::{Act, Answer, Deed, Entry};

impl Entry {
    /// Does what is neither creating nor erasing.
    pub(super) fn apply(&mut self, act: &Act) -> Answer {
        let at = act.at;
        match &act.deed {
            Deed::Start(module) => self.start(module - 1, at),
            Deed::Progress(module, progress) => self.progress(module - 1, progress, at),
            Deed::Complete(module) => self.complete(module - 1, at),
            Deed::Fail(module, failure) => self.fail(module - 1, failure, at),
            Deed::Skip(module, reason) => self.skip(module - 1, reason, at),
            Deed::Retry(module, failure) => self.retry(module - 1, failure, at),
            Deed::Cancel(reason) => self.cancel(reason, at),
            Deed::Rerun => self.rerun(at),
            Deed::Update(renewal) => {
                let card = self.card.renewed(renewal, at);
                if card == self.card {
                    return Answer::NoChange;
                }
                self.card = card;
                Answer::Changed
            }
            Deed::Claim(claiming) => self.claim(claiming, at),
            Deed::Renew(ttl) => self.renew(*ttl, at),
            Deed::Release => self.release(at),
            Deed::Reap(token, policy) => self.reap(*token, *policy, at),
            Deed::Wish(reason) => self.wish(reason, at),
            Deed::Create(_) | Deed::Import(_) | Deed::Erase => {
                unreachable!("they are done before this")
            }
        }
    }

    /// Why a module may not leave pending, if it may not.
    fn held_back(&self, index: usize) -> Option<Answer> {
        if self.card.status != OverallStatus::Ongoing {
            return Some(Answer::Settled(self.card.status));
        }
        let done = |step: &Step| {
            matches!(
                step.state,
                ModuleState::Complete { .. } | ModuleState::Skipped { .. }
            )
        };
        let first = self.card.modules[..index]
            .iter()
            .position(|step| !done(step))?;
        (!self.card.parallel).then_some(Answer::OutOfOrder {
            module: index + 1,
            waits_for: first + 1,
        })
    }

    /// When a module that is to be at work started: now, if it is still pending.
    fn at_work(&self, index: usize, at: DateTime<Utc>) -> Result<DateTime<Utc>, Answer> {
        match &self.card.modules[index].state {
            ModuleState::Pending => self.held_back(index).map_or(Ok(at), Err),
            ModuleState::Running { since } => Ok(*since),
            _ => Err(Answer::Illegal),
        }
    }

    fn start(&mut self, index: usize, at: DateTime<Utc>) -> Answer {
        if matches!(self.card.modules[index].state, ModuleState::Running { .. }) {
            return Answer::NoChange;
        }
        match self.at_work(index, at) {
            Ok(since) => self.comes_to(index, ModuleState::Running { since }, at),
            Err(answer) => answer,
        }
    }

    fn progress(&mut self, index: usize, progress: &Progress, at: DateTime<Utc>) -> Answer {
        let since = match self.at_work(index, at) {
            Ok(since) => since,
            Err(answer) => return answer,
        };
        if let Some((standing, said)) = &self.card.modules[index].progress {
            let (done, given) = (standing.done, progress.done);
            if given < done {
                return Answer::Backwards { done, given };
            }
            if given == done && (standing == progress || at <= *said) {
                return Answer::NoChange;
            }
        }
        self.card.modules[index].progress = Some((progress.clone(), at));
        self.comes_to(index, ModuleState::Running { since }, at)
    }

    fn complete(&mut self, index: usize, at: DateTime<Utc>) -> Answer {
        if matches!(self.card.modules[index].state, ModuleState::Complete { .. }) {
            return Answer::NoChange;
        }
        match self.at_work(index, at) {
            Ok(started) => self.comes_to(index, ModuleState::Complete { started, ended: at }, at),
            Err(answer) => answer,
        }
    }

    fn fail(&mut self, index: usize, failure: &Failure, at: DateTime<Utc>) -> Answer {
        if let ModuleState::Failed {
            failure: standing, ..
        } = &self.card.modules[index].state
        {
            return if standing == failure {
                Answer::NoChange
            } else {
                Answer::Illegal
            };
        }
        let failure = failure.clone();
        match self.at_work(index, at) {
            Ok(started) => self.comes_to(
                index,
                ModuleState::Failed {
                    started,
                    ended: at,
                    failure,
                },
                at,
            ),
            Err(answer) => answer,
        }
    }

    fn skip(&mut self, index: usize, reason: &str, at: DateTime<Utc>) -> Answer {
        match &self.card.modules[index].state {
            ModuleState::Skipped { .. } => return Answer::NoChange,
            ModuleState::Pending => {}
            _ => return Answer::Illegal,
        }
        let reason = reason.into();
        self.held_back(index)
            .unwrap_or_else(|| self.comes_to(index, ModuleState::Skipped { at, reason }, at))
    }

    fn retry(&mut self, index: usize, failure: &Failure, at: DateTime<Utc>) -> Answer {
        if !matches!(self.card.modules[index].state, ModuleState::Running { .. }) {
            return Answer::Illegal;
        }
        if self.card.status != OverallStatus::Ongoing {
            return Answer::Settled(self.card.status);
        }
        self.tries_again(index, at, AttemptEnd::Retried(failure.clone()));
        Answer::Changed
    }

    pub(super) fn cancel(&mut self, reason: &str, at: DateTime<Utc>) -> Answer {
        match self.card.status {
            OverallStatus::Ongoing => {}
            OverallStatus::Cancelled => return Answer::NoChange,
            settled => return Answer::Settled(settled),
        }
        let mut running = Vec::new();
        for (index, step) in self.card.modules.iter_mut().enumerate() {
            let started = match &step.state {
                ModuleState::Pending => None,
                ModuleState::Running { since } => {
                    running.push(index + 1);
                    Some(*since)
                }
                _ => continue,
            };
            step.state = ModuleState::Cancelled { started, at };
        }
        let fault = if let [only] = running[..] {
            Some(only)
        } else {
            None
        };
        self.card.wish = None;
        self.card.blame = Some((fault, "Cancelled".into(), reason.into()));
        self.card.status = OverallStatus::Cancelled;
        self.card.settled_at = Some(at);
        Answer::Changed
    }

    fn rerun(&mut self, at: DateTime<Utc>) -> Answer {
        if !matches!(
            self.card.status,
            OverallStatus::Failed | OverallStatus::Cancelled
        ) {
            return Answer::Illegal;
        }
        let reason = self
            .card
            .blame
            .as_ref()
            .map_or("", |(_, _, message)| message)
            .to_owned();
        for index in 0..self.card.modules.len() {
            let end = match &self.card.modules[index].state {
                ModuleState::Failed { failure, .. } => AttemptEnd::Failed(failure.clone()),
                ModuleState::Cancelled { .. } => AttemptEnd::Cancelled(reason.as_str().into()),
                ModuleState::Running { .. } => AttemptEnd::Interrupted,
                _ => continue,
            };
            self.tries_again(index, at, end);
        }
        self.card.run += 1;
        self.card.status = OverallStatus::Ongoing;
        self.card.settled_at = None;
        self.card.blame = None;
        self.card.hold = None;
        self.card.wish = None;
        Answer::Changed
    }

    /// Back to pending, in another attempt, with the one that ended kept.
    pub(super) fn tries_again(&mut self, index: usize, at: DateTime<Utc>, end: AttemptEnd) {
        let run = self.card.run;
        let step = &mut self.card.modules[index];
        let past = Past {
            number: step.attempt,
            run,
            started: step.state.started(),
            ended: step.state.ended().unwrap_or(at),
            end,
        };
        step.attempt += 1;
        step.state = ModuleState::Pending;
        step.progress = None;
        self.keep(index, past);
    }

    /// A module comes to a state, and the process is folded anew unless it has settled.
    fn comes_to(&mut self, index: usize, state: ModuleState, at: DateTime<Utc>) -> Answer {
        self.card.modules[index].state = state;
        if self.card.status != OverallStatus::Ongoing {
            return Answer::Changed;
        }
        if let ModuleState::Failed { failure, .. } = &self.card.modules[index].state {
            let (reason, message) = (failure.reason().to_owned(), failure.message().to_owned());
            self.card.blame = Some((Some(index + 1), reason, message));
            self.card.status = OverallStatus::Failed;
            self.card.settled_at = Some(at);
        } else if self.card.modules.iter().all(|step| step.state.is_done()) {
            self.card.status = OverallStatus::Complete;
            self.card.settled_at = Some(at);
        }
        Answer::Changed
    }
}
