//! A watched process in words, for people.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::sync::Arc;

use crate::claim::{Claim, ClaimEnd};
use crate::error::TrackError;
use crate::module::{Module, ModuleState};
use crate::process::{OverallStatus, Process};
use crate::prose::{one_line, span};
use crate::watch::Watch;

/// One line of text per change of a watched process: see [`Watch::describe`].
///
/// A line names the module, what happened, the time that took and the progress; others say who claims the process and
/// lets go of it, and that somebody asks to cancel it:
///
/// ```text
/// invoice-ocr: ongoing, 3 modules, file invoice.pdf
/// module 2 of 3, parser: running for 1.2 s, 30/100 pages (30 %), page 30 has a table
/// module 2 of 3, parser: failed after 2.0 s, BadInput: page 31 is blank, 30/100 pages (30 %), page 30 has a table
/// invoice-ocr: failed after 3.1 s
/// ```
///
/// Several changes within one wake-up are several lines. The wording may change; programs compare the
/// states that [`Watch`] yields.
#[derive(Debug)]
pub struct Describe {
    watch: Watch,
    before: Option<Arc<Process>>,
    lines: VecDeque<String>,
}

impl Describe {
    pub(crate) fn new(watch: Watch) -> Self {
        Describe {
            watch,
            before: None,
            lines: VecDeque::new(),
        }
    }
}

impl Iterator for Describe {
    type Item = Result<String, TrackError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(line) = self.lines.pop_front() {
                return Some(Ok(line));
            }
            match self.watch.next()? {
                Ok(now) => {
                    self.lines.extend(changes(self.before.as_deref(), &now));
                    self.before = Some(now);
                }
                Err(error) => return Some(Err(error)),
            }
        }
    }
}

impl Process {
    /// What is new since an earlier state, in words for people, a line each: all that there is to say if none is
    /// given, or one of another process.
    ///
    /// The lines of [`Describe`], for those who follow a process in a way of their own. They hold no control characters,
    /// whatever workers report.
    ///
    /// ```
    /// # use milepost_core::{RequestId, TrackError, Tracker};
    /// fn follow(tracker: &Tracker, id: RequestId) -> Result<(), TrackError> {
    ///     let mut before = None;
    ///     for now in tracker.watch(id)? {
    ///         let now = now?;
    ///         for line in now.describe_since(before.as_deref()) {
    ///             println!("{line}");
    ///         }
    ///         before = Some(now);
    ///     }
    ///     Ok(())
    /// }
    /// ```
    #[must_use]
    pub fn describe_since(&self, before: Option<&Process>) -> Vec<String> {
        let same = |before: &&Process| before.version.born == self.version.born;
        changes(before.filter(same), self)
    }

    /// Where the module at `position`, counted from 1, stands, in a line for people; none outside the chain.
    #[must_use]
    pub fn describe_module(&self, position: usize) -> Option<String> {
        Some(module_line(self.module(position)?, self))
    }
}

/// What changed from one state to the next, a line each.
fn changes(before: Option<&Process>, now: &Process) -> Vec<String> {
    let mut lines = Vec::new();
    if before.is_none() {
        let (name, modules) = (now.pipeline(), now.modules().len());
        let plural = if modules == 1 { "" } else { "s" };
        let file = now.file().name();
        lines.push(format!(
            "{name}: {}, {modules} module{plural}, file {file}",
            now.status()
        ));
    }
    lines.extend(claim_line(before, now));
    lines.extend(wish_line(before, now));
    for (index, module) in now.modules().iter().enumerate() {
        let earlier = before.map(|before| &before.modules()[index]);
        let fresh = module.state() == &ModuleState::Pending && module.attempt() == 1;
        let is_news = earlier.map_or(!fresh, |earlier| earlier != module);
        if is_news {
            lines.push(module_line(module, now));
        }
    }
    let settled = now
        .settled_at()
        .filter(|_| before.is_none_or(|before| before.status() != now.status()));
    if let Some(settled) = settled {
        let after = span(now.created_at(), settled);
        let mut line = format!("{}: {} after {after}", now.pipeline(), now.status());
        if now.status() == OverallStatus::Cancelled
            && let Some(blame) = now.blame()
        {
            let _ = write!(line, ", {}", blame.message);
        }
        lines.push(one_line(&line));
    }
    lines
}

/// Who has come to hold the process, or ceased to; renewals are no news.
fn claim_line(before: Option<&Process>, now: &Process) -> Option<String> {
    let claim = now.claim()?;
    let standing = |claim: &Claim| (claim.token(), claim.end());
    if before.and_then(Process::claim).map(standing) == Some(standing(claim)) {
        return None;
    }
    let (pipeline, worker) = (now.pipeline(), claim.worker());
    let line = match claim.end() {
        None => format!("{pipeline}: claimed by {worker}"),
        Some(ClaimEnd::Released { .. }) => format!("{pipeline}: given back by {worker}"),
        Some(ClaimEnd::Reaped { .. }) => {
            format!("{pipeline}: reaped, {worker} let its lease run out")
        }
    };
    Some(one_line(&line))
}

fn wish_line(before: Option<&Process>, now: &Process) -> Option<String> {
    let wish = now.cancel_requested()?;
    if before.and_then(Process::cancel_requested) == Some(wish) {
        return None;
    }
    let (pipeline, reason) = (now.pipeline(), wish.reason());
    Some(one_line(&format!("{pipeline}: asked to cancel, {reason}")))
}

fn module_line(module: &Module, process: &Process) -> String {
    let (position, of, name) = (module.position(), process.modules().len(), module.name());
    let mut line = format!(
        "module {position} of {of}, {name}: {}",
        module.state().kind()
    );
    match module.state() {
        ModuleState::Pending => {
            if let Some(failure) = module
                .attempts()
                .last()
                .and_then(|attempt| attempt.failure())
            {
                let _ = write!(line, " again after {failure}");
            }
        }
        ModuleState::Running { since } => {
            let _ = write!(line, " for {}", span(*since, process.updated_at()));
        }
        ModuleState::Complete { started, ended } => {
            let _ = write!(line, " after {}", span(*started, *ended));
        }
        ModuleState::Failed {
            started,
            ended,
            failure,
        } => {
            let _ = write!(line, " after {}, {failure}", span(*started, *ended));
        }
        ModuleState::Skipped { reason, .. } => {
            let _ = write!(line, ", {reason}");
        }
        ModuleState::Cancelled {
            started: Some(started),
            at,
        } => {
            let _ = write!(line, " after {}", span(*started, *at));
        }
        ModuleState::Cancelled { started: None, .. } => {}
    }
    if module.attempt() > 1 {
        let _ = write!(line, ", attempt {}", module.attempt());
    }
    if let Some(progress) = module.progress() {
        let _ = write!(line, ", {progress}");
        if let Some(fraction) = progress.fraction() {
            let _ = write!(line, " ({:.0} %)", fraction * 100.0);
        }
        if let Some(message) = &progress.message {
            let _ = write!(line, ", {message}");
        }
    }
    one_line(&line)
}
