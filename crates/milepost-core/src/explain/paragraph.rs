//! An explanation as one paragraph of plain sentences.

use std::fmt::{self, Write as _};

use chrono::{DateTime, Utc};

use super::{
    Explanation, Fault, Holder, HolderState, ModuleAttempt, NextStep, PastAttempt, PastEnd,
    RunningModule, WaitingFor,
};
use crate::process::OverallStatus;
use crate::prose::{cut, moment, one_line, span};

/// How many running modules, and modules that may start, are named; the rest are counted.
const MODULES_NAMED: usize = 2;
/// How many past attempts, the newest, are told; the rest are counted.
const ATTEMPTS_TOLD: usize = 3;
/// Bytes of a failure or of a wish's reason that are told.
const WORDS: usize = 200;
/// Bytes of a module's progress that are told.
const PROGRESS: usize = 120;

// Together with names and workers of 128 bytes each these keep to the 4 KiB that are promised; a test holds
// them to that.

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut sentences = vec![self.where_it_stands(), self.when()];
        sentences.extend(self.modules_at_work());
        sentences.extend(self.held.as_ref().map(|holder| self.held_by(holder)));
        sentences.extend(self.wish());
        sentences.extend(self.failed.as_ref().map(|fault| self.fault(fault)));
        sentences.extend(self.attempts());
        sentences.extend(self.expiry());
        sentences.push(format!("Next: {}", self.what_next()));
        let ended = sentences.iter().map(|sentence| full_stop(sentence));
        f.write_str(&one_line(&ended.collect::<Vec<_>>().join(" ")))
    }
}

impl Explanation {
    fn where_it_stands(&self) -> String {
        let Explanation {
            pipeline,
            modules,
            done,
            ..
        } = self;
        let status = match self.status {
            OverallStatus::Ongoing => "is ongoing",
            OverallStatus::Complete => "is complete",
            OverallStatus::Failed => "has failed",
            OverallStatus::Cancelled => "was cancelled",
        };
        let run = match self.run {
            1 => String::new(),
            run => format!(", in run {run}"),
        };
        let noun = if *modules == 1 { "module" } else { "modules" };
        let verb = if *done == 1 || *modules == 1 {
            "is"
        } else {
            "are"
        };
        let waits = self
            .waits_for()
            .map_or(String::new(), |what| format!(", and it waits for {what}"));
        let as_of = moment(self.at);
        format!(
            "{pipeline} {status} as of {as_of}{run}: {done} of {modules} {noun} {verb} done{waits}"
        )
    }

    fn waits_for(&self) -> Option<String> {
        let worker = self.worker();
        Some(match self.waiting_for {
            WaitingFor::Nothing => return None,
            WaitingFor::Modules => positions(self.running.iter().map(|running| &running.module)),
            WaitingFor::Start => match self.ready.as_slice() {
                [module] => format!("module {} to start", module.position),
                any => format!("one of {} modules to start", any.len()),
            },
            WaitingFor::Cancellation => format!("{worker} to cancel it"),
            WaitingFor::Lease => format!("somebody to take over from {worker}"),
            WaitingFor::Claim => "a worker to claim it".to_owned(),
        })
    }

    fn when(&self) -> String {
        let complete = self
            .settled_at
            .filter(|_| self.status == OverallStatus::Complete)
            .map_or(String::new(), |at| {
                format!(", was complete at {}", moment(at))
            });
        let began = moment(self.created_at);
        let heard = self.ago(self.last_heard);
        format!("It began at {began}{complete} and last changed at {heard}")
    }

    fn modules_at_work(&self) -> Vec<String> {
        if self.settled_at.is_some() {
            let still = match self.running.len() {
                0 => return Vec::new(),
                1 => "1 module still runs".to_owned(),
                many => format!("{many} modules still run"),
            };
            return vec![format!("{still}, but that changes nothing of the failure")];
        }
        let named = self.running.iter().take(MODULES_NAMED);
        let mut sentences = named
            .map(|running| self.at_work(running))
            .collect::<Vec<_>>();
        match self.running.len() - sentences.len() {
            0 => {}
            1 => sentences.push("1 more module is running".to_owned()),
            more => sentences.push(format!("{more} more modules are running")),
        }
        match (self.ready.as_slice(), self.running.len()) {
            ([], _) => {}
            ([module], 0) => {
                let (module, attempt) = (self.named(module), attempt_of(module));
                sentences.push(format!("Module {module}, is to start next{attempt}"));
            }
            (modules, 0) => {
                sentences.push(format!("Any of {} may start", positions(modules)));
            }
            ([_], _) => sentences.push("1 more module may start".to_owned()),
            (modules, _) => sentences.push(format!("{} more modules may start", modules.len())),
        }
        sentences
    }

    fn at_work(&self, running: &RunningModule) -> String {
        let module = self.named(&running.module);
        let attempt = attempt_of(&running.module);
        let since = span(running.since, self.at);
        let mut sentence = format!("Module {module}, has been running for {since}{attempt}");
        if let Some(progress) = &running.progress {
            let said = match progress.message.as_deref().map(|text| cut(text, PROGRESS)) {
                Some(message) if !message.is_empty() => format!(": {message}"),
                _ => String::new(),
            };
            let far = cut(&progress.to_string(), PROGRESS / 2);
            let ago = span(running.progress_at.unwrap_or(running.since), self.at);
            let _ = write!(sentence, "; {ago} ago it was at {far}{said}");
        }
        sentence
    }

    fn held_by(&self, holder: &Holder) -> String {
        let worker = &holder.worker;
        let until = moment(holder.until);
        let heard = format!("was last heard of at {}", self.ago(holder.heard_at));
        let nobody = match self.waiting_for {
            WaitingFor::Claim => "Nobody holds it: ",
            _ => "",
        };
        match holder.state {
            HolderState::Live => {
                let left = span(self.at, holder.until);
                format!("{worker} holds it until {until}, for another {left}, and {heard}")
            }
            HolderState::RunOut => {
                let over = span(holder.until, self.at);
                format!("{worker} held it until {until}, which ran out {over} ago, and {heard}")
            }
            HolderState::Released { at } => {
                format!("{nobody}{worker} gave it back at {}", self.ago(at))
            }
            HolderState::Reaped { at } => {
                let reaped = self.ago(at);
                format!(
                    "{nobody}{worker} held it until {until}, {heard}, and was reaped at {reaped}"
                )
            }
            HolderState::Over => format!("{worker} held it last, until {until}, and {heard}"),
        }
    }

    fn wish(&self) -> Option<String> {
        let wish = self.cancel_requested.as_ref()?;
        let why = colon(&cut(&wish.reason, WORDS));
        let asked = self.ago(wish.at);
        Some(format!(
            "Somebody asked at {asked}, that it be cancelled{why}"
        ))
    }

    fn fault(&self, fault: &Fault) -> String {
        let at = self.ago(fault.at);
        let module = fault.module.as_ref();
        let mut sentence = if self.status == OverallStatus::Cancelled {
            let at_work = module.map_or(String::new(), |module| {
                format!(", with module {}, at work", self.named(module))
            });
            let why = colon(&cut(&fault.message, WORDS));
            format!("It was cancelled at {at}{at_work}{why}")
        } else {
            let what = module.map_or("It".to_owned(), |module| {
                format!("Module {},", self.named(module))
            });
            let attempt = module.map(attempt_of).unwrap_or_default();
            let why = words(&fault.reason, &fault.message);
            format!("{what} failed at {at}{attempt}{why}")
        };
        match fault.others.len() {
            0 => {}
            1 => sentence = format!("{} 1 other module failed too", full_stop(&sentence)),
            many => sentence = format!("{} {many} other modules failed too", full_stop(&sentence)),
        }
        sentence
    }

    fn attempts(&self) -> Vec<String> {
        let untold = self.tried.len().saturating_sub(ATTEMPTS_TOLD);
        let told = self.tried[untold..].iter();
        let mut sentences = told.map(|past| self.attempt(past)).collect::<Vec<_>>();
        let before = (untold as u64).saturating_add(self.no_longer_kept);
        if before > 0 {
            let (were, noun) = match before {
                1 => ("was", "attempt"),
                _ => ("were", "attempts"),
            };
            let kept = match self.no_longer_kept {
                0 => String::new(),
                1 => ", 1 of which is no longer kept".to_owned(),
                lost => format!(", {lost} of which are no longer kept"),
            };
            sentences.insert(0, format!("There {were} {before} earlier {noun}{kept}"));
        }
        sentences
    }

    fn attempt(&self, past: &PastAttempt) -> String {
        let number = past.module.attempt;
        let (position, name) = (past.module.position, &past.module.name);
        let run = match self.run {
            1 => String::new(),
            _ => format!(" (run {})", past.run),
        };
        let ended = moment(past.ended);
        let lasted = match past.started {
            Some(started) => format!("after {}", span(started, past.ended)),
            None => "before it started".to_owned(),
        };
        let (how, why) = match &past.end {
            PastEnd::Failed { reason, message } => ("failed", words(reason, message)),
            PastEnd::Retried { reason, message } => ("was retried", words(reason, message)),
            PastEnd::Cancelled { reason } => ("was cancelled", colon(&cut(reason, WORDS))),
            PastEnd::Interrupted => ("was interrupted by a rerun", String::new()),
        };
        format!(
            "Attempt {number}{run} of module {position}, {name}, {how} at {ended} {lasted}{why}"
        )
    }

    fn expiry(&self) -> Option<String> {
        let at = self.expires_at?;
        Some(if self.next == NextStep::Purge {
            format!("It expired at {}, and is not found any more", self.ago(at))
        } else {
            format!("It expires at {}, in {}", moment(at), span(self.at, at))
        })
    }

    fn what_next(&self) -> String {
        let worker = self.worker();
        let lease = self.held.as_ref().map(|holder| holder.state);
        let is_held = lease == Some(HolderState::Live);
        let runs = positions(self.running.iter().map(|running| &running.module));
        let starts = match self.ready.as_slice() {
            [module] => format!("starts module {}", module.position),
            _ => "starts one of them".to_owned(),
        };
        let silent = "if it does not renew its lease, others take over once that has run out";
        match self.next {
            NextStep::Nothing if self.status == OverallStatus::Complete => {
                "nothing, for all is done".to_owned()
            }
            NextStep::Nothing => "nothing; its runs or attempts are used up".to_owned(),
            NextStep::Report if is_held => format!("{worker} goes on with {runs}; {silent}"),
            NextStep::Report => {
                format!("work on {runs} goes on; if whoever did it is gone, cancel and rerun it")
            }
            NextStep::Start if is_held => format!("{worker} {starts}; {silent}"),
            NextStep::Start => format!("whoever works on it {starts}"),
            NextStep::Agree => format!(
                "{worker} cancels it, or ends its work all the same; once its lease has run out, a reap cancels it"
            ),
            NextStep::Reap => "a reap fails or frees it, or a worker claims it".to_owned(),
            NextStep::Cancel => {
                "a reap cancels it, or a worker claims it and is asked to cancel it".to_owned()
            }
            NextStep::Claim if self.running.is_empty() => {
                format!("a worker claims it and {starts}")
            }
            NextStep::Claim => {
                format!("a worker claims it and takes up {runs}, on record as running")
            }
            NextStep::Rerun => "nothing by itself; a rerun takes it up where it stopped".to_owned(),
            NextStep::Purge => "a purge erases it".to_owned(),
        }
    }

    fn worker(&self) -> &str {
        self.held.as_ref().map_or("", |holder| &holder.worker)
    }

    /// `2 of 3, parser`.
    fn named(&self, module: &ModuleAttempt) -> String {
        let (position, name, of) = (module.position, &module.name, self.modules);
        format!("{position} of {of}, {name}")
    }

    /// A time, and how long ago that was.
    fn ago(&self, time: DateTime<Utc>) -> String {
        format!("{}, {} ago", moment(time), span(time, self.at))
    }
}

fn attempt_of(module: &ModuleAttempt) -> String {
    match module.attempt {
        1 => String::new(),
        attempt => format!(" (attempt {attempt})"),
    }
}

/// `module 2`, `modules 1 and 3`, or `modules 1, 2 and 7 more`.
fn positions<'a>(modules: impl IntoIterator<Item = &'a ModuleAttempt>) -> String {
    let all = modules
        .into_iter()
        .map(|module| module.position.to_string())
        .collect::<Vec<_>>();
    match all.as_slice() {
        [one] => format!("module {one}"),
        [one, two] => format!("modules {one} and {two}"),
        [named @ .., last] if all.len() == 3 => format!("modules {} and {last}", named.join(", ")),
        many => {
            let named = many[..many.len().min(MODULES_NAMED)].join(", ");
            let more = many.len().saturating_sub(MODULES_NAMED);
            format!("modules {named} and {more} more")
        }
    }
}

/// A failure, after what failed.
fn words(reason: &str, message: &str) -> String {
    let both = if reason.is_empty() || message.is_empty() {
        format!("{reason}{message}")
    } else {
        format!("{reason}: {message}")
    };
    colon(&cut(&both, WORDS))
}

fn colon(why: &str) -> String {
    if why.is_empty() {
        ", for no given reason".to_owned()
    } else {
        format!(": {why}")
    }
}

/// A sentence ends once, also where a host's own words end it.
fn full_stop(sentence: &str) -> String {
    if sentence.ends_with(['.', '!', '?']) {
        sentence.to_owned()
    } else {
        format!("{sentence}.")
    }
}
