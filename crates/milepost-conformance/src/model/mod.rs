//! A second opinion: what the documents say that ops do, written apart from `Op::apply` and on structures
//! of its own. The generated law holds both against the store.

mod card;
mod guards;
mod leases;
mod rules;

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use milepost_core::{Conflict, GuardKind, OverallStatus, Rejection, RequestId, Verdict, Version};

use card::Past;
pub(crate) use card::{Card, Claiming, Deed, Fresh, Renewal, Step, Term, Until};

/// One deed on one process, at its time: what an op is to the model.
#[derive(Debug, Clone)]
pub(crate) struct Act {
    pub(crate) id: RequestId,
    pub(crate) at: DateTime<Utc>,
    pub(crate) guard: milepost_core::Guard,
    pub(crate) deed: Deed,
}

/// All processes, as the documents have it.
#[derive(Debug, Default)]
pub(crate) struct Model {
    entries: BTreeMap<RequestId, Entry>,
}

/// A process, and in which order its past attempts were kept, by module.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    card: Card,
    kept: Vec<usize>,
}

/// What an op may come to. Where the documents leave a choice there is more than one.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Answer {
    Changed,
    NoChange,
    NotFound,
    Exists(Conflict),
    Illegal,
    OutOfOrder {
        module: usize,
        waits_for: usize,
    },
    Backwards {
        done: u64,
        given: u64,
    },
    Stale(GuardKind, u64, u64),
    Settled(OverallStatus),
    /// Under which token, and which one there is.
    Fenced(u64, Option<u64>),
    /// By whom, and until when.
    Held(String, DateTime<Utc>),
    /// Wrong in itself: any rejection will do.
    Wrong,
}

/// What the model says of one op: any of these answers, about this state.
#[derive(Debug)]
pub(crate) struct Opinion {
    pub(crate) answers: Vec<Answer>,
    pub(crate) about: Option<About>,
}

/// The state that an `Ok` reports.
#[derive(Debug, PartialEq)]
pub(crate) struct About {
    version: Version,
    status: OverallStatus,
    run: u32,
    attempt: u32,
    is_wished: bool,
}

impl Opinion {
    /// Whether a verdict is one of the answers, and an `Ok` reports the right state.
    pub(crate) fn agrees(&self, verdict: &Verdict) -> bool {
        let answer = match verdict {
            Ok(applied) => {
                let reported = About {
                    version: applied.version,
                    status: applied.status,
                    run: applied.run,
                    attempt: applied.attempt,
                    is_wished: applied.cancel_requested,
                };
                if self.about.as_ref() != Some(&reported)
                    || applied.revision != applied.version.revision
                {
                    return false;
                }
                if applied.changed {
                    Answer::Changed
                } else {
                    Answer::NoChange
                }
            }
            Err(Rejection::NotFound) => Answer::NotFound,
            Err(Rejection::AlreadyExists { conflict }) => Answer::Exists(*conflict),
            Err(Rejection::Illegal { .. }) => Answer::Illegal,
            Err(Rejection::OutOfOrder { module, waits_for }) => Answer::OutOfOrder {
                module: *module,
                waits_for: *waits_for,
            },
            Err(Rejection::Backwards { done, given }) => Answer::Backwards {
                done: *done,
                given: *given,
            },
            Err(Rejection::Stale {
                guard,
                given,
                current,
            }) => Answer::Stale(*guard, *given, *current),
            Err(Rejection::Settled { status }) => Answer::Settled(*status),
            Err(Rejection::Fenced { given, current }) => Answer::Fenced(*given, *current),
            Err(Rejection::Held { worker, until }) => Answer::Held((**worker).into(), *until),
            Err(_) => return false,
        };
        self.answers.contains(&answer)
            || (verdict.is_err() && self.answers.contains(&Answer::Wrong))
    }
}

impl Model {
    /// Does a deed, and says what a store may answer.
    pub(crate) fn act(&mut self, act: &Act) -> Opinion {
        let before = self.entries.get(&act.id).cloned();
        let expired = before
            .as_ref()
            .is_some_and(|entry| entry.card.is_expired(act.at));
        if let Deed::Create(fresh) = &act.deed {
            let old = before.filter(|_| !expired);
            return if let Some(entry) = old {
                Opinion {
                    answers: entry.card.begun_again(fresh),
                    about: Some(entry.about(0)),
                }
            } else {
                let entry = Entry {
                    card: fresh.card.clone(),
                    kept: Vec::new(),
                };
                self.changed(act, entry, 0)
            };
        }
        if let Deed::Import(imported) = &act.deed {
            let old = before.filter(|_| !expired);
            return self.import(act, imported, old.as_ref());
        }
        let Some(mut entry) = before else {
            return Opinion::rejected(vec![act.wrong_or(Answer::NotFound)]);
        };
        let module = act.deed.module();
        let is_another = act
            .guard
            .born
            .is_some_and(|born| born != entry.card.version.born);
        if is_another || (expired && !matches!(act.deed, Deed::Erase)) {
            return Opinion::rejected(vec![act.wrong_or(Answer::NotFound)]);
        }
        if act.deed.is_wrong(entry.card.modules.len()) {
            return Opinion::rejected(vec![Answer::Wrong]);
        }
        let attempt = module.map_or(0, |module| entry.card.modules[module - 1].attempt);
        let about = entry.about(attempt);
        let mut answers = match leases::guard_answer(act, &entry.card) {
            Some(answer) => vec![answer],
            None => guards::answers(act, &entry.card),
        };
        if act.is_wrong_lease() {
            answers.push(Answer::Wrong);
        }
        if !answers.is_empty() {
            return Opinion {
                answers,
                about: Some(about),
            };
        }
        if matches!(act.deed, Deed::Erase) {
            self.entries.remove(&act.id);
            return Opinion {
                answers: vec![Answer::Changed],
                about: Some(about),
            };
        }
        match entry.apply(act) {
            Answer::Changed => {
                if act.guard.lease.is_some() {
                    entry.card.hear(act.at);
                }
                entry.card.version.revision += 1;
                entry.card.updated_at = entry.card.updated_at.max(act.at);
                self.changed(act, entry, module.unwrap_or(0))
            }
            answer => Opinion {
                answers: vec![answer],
                about: Some(about),
            },
        }
    }

    fn import(&mut self, act: &Act, imported: &Entry, old: Option<&Entry>) -> Opinion {
        let card = &imported.card;
        if card.is_expired(act.at) {
            return Opinion::rejected(vec![Answer::Wrong]);
        }
        let Some(old) = old else {
            return self.changed(act, imported.clone(), 0);
        };
        let answer = if old.card.version.born != card.version.born {
            Answer::Exists(Conflict::Process)
        } else if old.card == *card || old.card.version.revision > card.version.revision {
            Answer::NoChange
        } else {
            Answer::Exists(Conflict::State)
        };
        Opinion {
            answers: vec![answer],
            about: Some(old.about(0)),
        }
    }

    /// Keeps what an op made.
    fn changed(&mut self, act: &Act, entry: Entry, module: usize) -> Opinion {
        let attempt = match module {
            0 => 0,
            module => entry.card.modules[module - 1].attempt,
        };
        let about = Some(entry.about(attempt));
        self.entries.insert(act.id, entry);
        Opinion {
            answers: vec![Answer::Changed],
            about,
        }
    }

    pub(crate) fn card(&self, id: RequestId) -> Option<&Card> {
        self.entries.get(&id).map(|entry| &entry.card)
    }

    pub(crate) fn entry(&self, id: RequestId) -> Option<&Entry> {
        self.entries.get(&id)
    }

    pub(crate) fn forget(&mut self, id: RequestId) {
        self.entries.remove(&id);
    }

    /// Which have expired by this time.
    pub(crate) fn expired(&self, time: DateTime<Utc>) -> Vec<RequestId> {
        let expired = self
            .entries
            .iter()
            .filter(|(_, entry)| entry.card.is_expired(time));
        expired.map(|(id, _)| *id).collect()
    }

    /// Which match, oldest first.
    pub(crate) fn list(
        &self,
        terms: &[Term],
        visible_at: Option<DateTime<Utc>>,
    ) -> Vec<(RequestId, &Card)> {
        let mut found = self
            .entries
            .iter()
            .filter(|(_, entry)| {
                let hidden = visible_at.is_some_and(|time| entry.card.is_expired(time));
                !hidden && terms.iter().all(|term| term.takes(&entry.card))
            })
            .collect::<Vec<_>>();
        found
            .sort_by_key(|(id, entry)| (entry.card.created_at, *uuid::Uuid::from(**id).as_bytes()));
        found
            .into_iter()
            .map(|(id, entry)| (*id, &entry.card))
            .collect()
    }
}

impl Opinion {
    fn rejected(answers: Vec<Answer>) -> Self {
        Opinion {
            answers,
            about: None,
        }
    }
}

impl Act {
    /// What is wrong in itself may be found wrong before or after the process is looked for.
    fn wrong_or(&self, answer: Answer) -> Answer {
        if self.deed.is_wrong(usize::MAX) || self.is_wrong_lease() {
            Answer::Wrong
        } else {
            answer
        }
    }
}

impl Entry {
    fn about(&self, attempt: u32) -> About {
        About {
            version: self.card.version,
            status: self.card.status,
            run: self.card.run,
            attempt,
            is_wished: self.card.wish.is_some(),
        }
    }

    /// Keeps a past attempt: the newest 16 of a module and 64 of a process.
    fn keep(&mut self, index: usize, past: Past) {
        self.card.modules[index].past.push(past);
        self.kept.push(index);
        if self.card.modules[index].past.len() > 16 {
            self.drop_oldest_of(index);
        }
        if self.kept.len() > 64 {
            self.drop_oldest_of(self.kept[0]);
        }
    }

    fn drop_oldest_of(&mut self, index: usize) {
        self.card.modules[index].past.remove(0);
        if let Some(first) = self.kept.iter().position(|kept| *kept == index) {
            self.kept.remove(first);
        }
    }
}
