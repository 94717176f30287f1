//! What the documents say of leases: who holds a process, and what becomes of it when the holder is silent.

use std::time::Duration;

use chrono::{DateTime, Datelike, TimeDelta, Utc};
use milepost_core::{ClaimEnd, Failure, ModuleState, OverallStatus, ReapPolicy};

use super::card::Hold;
use super::{Act, Answer, Card, Claiming, Deed, Entry};

/// What is answered to an op that asks for a lease which there is not, or asks for none where it must;
/// none, if it may go on.
pub(super) fn guard_answer(act: &Act, card: &Card) -> Option<Answer> {
    let Some(given) = act.guard.lease else {
        let needs_one = matches!(act.deed, Deed::Renew(_) | Deed::Release);
        return needs_one.then_some(Answer::Illegal);
    };
    if given > card.version.revision {
        return Some(Answer::Illegal);
    }
    let Some(hold) = &card.hold else {
        return Some(Answer::Fenced(given, None));
    };
    let fenced = Some(Answer::Fenced(given, Some(hold.token)));
    if hold.token != given {
        return fenced;
    }
    match (&act.deed, hold.end) {
        (Deed::Release, Some(ClaimEnd::Released { .. })) => Some(Answer::NoChange),
        (_, Some(_)) => fenced,
        // Nothing runs out any more once the process has settled.
        (_, None) if hold.until <= card.settled_at.unwrap_or(act.at) => fenced,
        (_, None) => None,
    }
}

/// Whether what was asked of a lease at a revision that has passed is as it was asked for; none where the
/// documents leave it open.
pub(super) fn stands(act: &Act, card: &Card) -> Option<bool> {
    let hold = card.hold.as_ref();
    Some(match &act.deed {
        Deed::Claim(claiming) => {
            hold.is_some_and(|hold| hold.mark == claiming.mark && hold.end.is_none())
        }
        // What has settled needs no lease, however long that would last.
        Deed::Renew(_) if card.status != OverallStatus::Ongoing => return None,
        Deed::Renew(ttl) => hold.is_some_and(|hold| hold.until >= after(act.at, *ttl)),
        Deed::Reap(token, _) => hold.is_some_and(|hold| {
            hold.token == *token && matches!(hold.end, Some(ClaimEnd::Reaped { .. }))
        }),
        Deed::Wish(_) => card.wish.is_some() || card.status == OverallStatus::Cancelled,
        _ => unreachable!("only changes of a lease are asked about"),
    })
}

/// So long after a time.
fn after(time: DateTime<Utc>, ttl: Duration) -> DateTime<Utc> {
    let ttl = TimeDelta::from_std(ttl).unwrap_or(TimeDelta::MAX);
    time.checked_add_signed(ttl)
        .unwrap_or(DateTime::<Utc>::MAX_UTC)
}

impl Act {
    /// Whether it asks for a lease that nobody can have.
    pub(super) fn is_wrong_lease(&self) -> bool {
        let (worker, ttl) = match &self.deed {
            Deed::Claim(claiming) => (claiming.worker.as_str(), claiming.ttl),
            Deed::Renew(ttl) => ("anybody", *ttl),
            _ => return false,
        };
        let day = Duration::from_hours(24);
        let nameless = worker.is_empty() || worker.len() > 128 || worker.contains(char::is_control);
        let too_short = ttl < Duration::from_millis(1);
        let too_long = ttl > 366 * day;
        nameless || too_short || too_long || !(1..=9999).contains(&after(self.at, ttl).year())
    }
}

impl Card {
    /// Until when somebody holds it, or held it and never said that this was over.
    fn held_until(&self) -> Option<DateTime<Utc>> {
        let hold = self.hold.as_ref()?;
        let counts = self.status == OverallStatus::Ongoing && hold.end.is_none();
        counts.then_some(hold.until)
    }

    pub(super) fn is_leased(&self, time: DateTime<Utc>) -> bool {
        self.held_until().is_some_and(|until| time < until)
    }

    pub(crate) fn is_stalled(&self, time: DateTime<Utc>) -> bool {
        self.held_until().is_some_and(|until| time >= until)
    }

    /// Its holder gave a sign of life.
    pub(super) fn hear(&mut self, time: DateTime<Utc>) {
        if let Some(hold) = &mut self.hold {
            hold.heard = hold.heard.max(time);
        }
    }

    /// Whoever holds it.
    fn held(&self) -> Answer {
        let hold = self.hold.as_ref().expect("somebody holds it");
        Answer::Held(hold.worker.clone(), hold.until)
    }

    fn ends(&mut self, end: ClaimEnd) {
        self.hold.as_mut().expect("it was claimed").end = Some(end);
    }
}

impl Entry {
    pub(super) fn claim(&mut self, claiming: &Claiming, at: DateTime<Utc>) -> Answer {
        if let Some(hold) = self
            .card
            .hold
            .as_ref()
            .filter(|hold| hold.mark == claiming.mark)
        {
            return match hold.end {
                None => Answer::NoChange,
                Some(_) => Answer::Fenced(hold.token, Some(hold.token)),
            };
        }
        if self.card.status != OverallStatus::Ongoing {
            return Answer::Settled(self.card.status);
        }
        if self.card.is_leased(at) {
            return self.card.held();
        }
        self.card.hold = Some(Hold {
            token: self.card.version.revision + 1,
            mark: claiming.mark,
            worker: claiming.worker.clone(),
            since: at,
            heard: at,
            until: after(at, claiming.ttl),
            end: None,
        });
        Answer::Changed
    }

    /// Only whoever holds it comes this far, as with a release.
    pub(super) fn renew(&mut self, ttl: Duration, at: DateTime<Utc>) -> Answer {
        if self.card.status != OverallStatus::Ongoing {
            return Answer::Settled(self.card.status);
        }
        let until = after(at, ttl);
        let hold = self.card.hold.as_mut().expect("its holder renews it");
        if until <= hold.until {
            return Answer::NoChange;
        }
        hold.until = until;
        Answer::Changed
    }

    pub(super) fn release(&mut self, at: DateTime<Utc>) -> Answer {
        if self.card.status != OverallStatus::Ongoing {
            return Answer::NoChange;
        }
        self.card.ends(ClaimEnd::Released { at });
        self.grant(at);
        Answer::Changed
    }

    pub(super) fn wish(&mut self, reason: &str, at: DateTime<Utc>) -> Answer {
        let first = self.card.wish.clone();
        // Cancelling knows what has settled.
        if !self.card.is_leased(at) {
            let reason = first.map_or(reason.to_owned(), |(reason, _)| reason);
            return self.cancel(&reason, at);
        }
        if first.is_some() {
            return Answer::NoChange;
        }
        self.card.wish = Some((reason.to_owned(), at));
        Answer::Changed
    }

    pub(super) fn reap(&mut self, token: u64, policy: ReapPolicy, at: DateTime<Utc>) -> Answer {
        if token > self.card.version.revision {
            return Answer::Illegal;
        }
        let current = self.card.hold.as_ref().map(|hold| hold.token);
        let end = self.card.hold.as_ref().and_then(|hold| hold.end);
        match end {
            _ if current != Some(token) => return Answer::Fenced(token, current),
            Some(ClaimEnd::Reaped { .. }) => return Answer::NoChange,
            Some(_) => return Answer::Fenced(token, current),
            None => {}
        }
        if self.card.status != OverallStatus::Ongoing {
            return Answer::Settled(self.card.status);
        }
        if self.card.is_leased(at) {
            return self.card.held();
        }
        self.card.ends(ClaimEnd::Reaped { at });
        if !self.grant(at) {
            self.fail_or_free(policy, at);
        }
        Answer::Changed
    }

    /// Cancels it if somebody wishes that; whether somebody did.
    fn grant(&mut self, at: DateTime<Utc>) -> bool {
        let Some((reason, _)) = self.card.wish.take() else {
            return false;
        };
        self.cancel(&reason, at);
        true
    }

    fn fail_or_free(&mut self, policy: ReapPolicy, at: DateTime<Utc>) {
        let steps = &self.card.modules;
        let having = |state: fn(&ModuleState) -> bool| {
            let indexes = (0..steps.len()).filter(|index| state(&steps[*index].state));
            indexes.collect::<Vec<_>>()
        };
        let running = having(|state| matches!(state, ModuleState::Running { .. }));
        let pending = having(|state| matches!(state, ModuleState::Pending));
        let worker = self.card.hold.as_ref().map_or("", |hold| &hold.worker);
        let message = format!("{worker} let its lease run out");
        let failure = Failure::new("LeaseExpired", &message);
        let fails = match policy {
            ReapPolicy::Retry { attempts } => running
                .iter()
                .any(|index| steps[*index].attempt >= attempts),
            _ => true,
        };
        if !fails {
            for index in running {
                self.tries_again(
                    index,
                    at,
                    milepost_core::AttemptEnd::Retried(failure.clone()),
                );
            }
            return;
        }
        let failing = if running.is_empty() {
            &pending[..1]
        } else {
            &running[..]
        };
        for index in failing {
            let state = &mut self.card.modules[*index].state;
            *state = ModuleState::Failed {
                started: state.started().unwrap_or(at),
                ended: at,
                failure: failure.clone(),
            };
        }
        self.card.blame = Some((Some(failing[0] + 1), "LeaseExpired".into(), message));
        self.card.status = OverallStatus::Failed;
        self.card.settled_at = Some(at);
    }
}
