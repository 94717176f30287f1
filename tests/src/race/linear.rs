//! Whether a history is linearizable: whether each call could have happened at one moment between its beginning and
//! its end, so that in the order of these moments every answer is right.
//!
//! The search is Wing and Gong's, which remembers where it has been, as Lowe added: at each place it tries the calls that
//! had begun before the first of those left had ended. Without the memory one thread that the system leaves standing
//! for a while makes the places to try innumerable, so a tester that has none, as that of `stateright`, does not do
//! for dozens of threads on two cores.

use std::collections::HashSet;
use std::fmt::Debug;
use std::hash::Hash;

/// A call that was answered.
#[derive(Debug, Clone)]
pub struct Event<W> {
    /// When it began, on a clock that all who call share.
    pub began: u64,
    /// When it had its answer.
    pub ended: u64,
    /// What was called, and what was answered.
    pub what: W,
}

/// A place in the search.
struct Place<S> {
    state: S,
    /// What may come next, and was not tried yet.
    untried: Vec<usize>,
    /// What led here.
    took: usize,
}

/// Finds an order in which `step` goes from `initial` through all events: it gives the state after an event, and
/// none if the answer is wrong in that state.
///
/// # Errors
///
/// If there is no such order: how far one goes, and what cannot come after that.
pub fn linearize<S: Clone + Eq + Hash + Debug, W: Debug>(
    initial: S,
    events: &[Event<W>],
    step: impl Fn(&S, &W) -> Option<S>,
) -> Result<(), String> {
    let mut events = events.iter().collect::<Vec<_>>();
    events.sort_by_key(|event| event.began);
    let mut left = Left::new(&events);
    let mut been = HashSet::new();
    let mut furthest = Furthest::default();
    let mut path = Vec::new();
    let mut here = Place {
        untried: left.next(),
        state: initial,
        took: usize::MAX,
    };
    while left.count > 0 {
        let Some(event) = here.untried.pop() else {
            let Some(before) = path.pop() else {
                return Err(furthest.describe(&events));
            };
            left.put_back(here.took);
            here = before;
            continue;
        };
        let Some(state) = step(&here.state, &events[event].what) else {
            furthest.note(&left, &here.state, event);
            continue;
        };
        left.take(event);
        if been.insert((left.key(), state.clone())) {
            let next = Place {
                untried: left.next(),
                state,
                took: event,
            };
            path.push(std::mem::replace(&mut here, next));
        } else {
            left.put_back(event);
        }
    }
    Ok(())
}

/// The events that are not in the order yet, by their numbers in the order in which they began.
struct Left {
    times: Vec<(u64, u64)>,
    waits: Vec<bool>,
    count: usize,
    /// Before it, none is left.
    first: usize,
}

impl Left {
    fn new<W>(events: &[&Event<W>]) -> Self {
        Left {
            times: events
                .iter()
                .map(|event| (event.began, event.ended))
                .collect(),
            waits: vec![true; events.len()],
            count: events.len(),
            first: 0,
        }
    }

    /// Those that began before another of those left had ended.
    fn next(&self) -> Vec<usize> {
        let mut first_end = u64::MAX;
        let mut next = Vec::new();
        for event in self.first..self.times.len() {
            let (began, ended) = self.times[event];
            if began > first_end {
                break;
            }
            if self.waits[event] {
                first_end = first_end.min(ended);
                next.push(event);
            }
        }
        next.retain(|event| self.times[*event].0 <= first_end);
        // The earliest is tried first.
        next.reverse();
        next
    }

    fn take(&mut self, event: usize) {
        self.waits[event] = false;
        self.count -= 1;
        while self.waits.get(self.first) == Some(&false) {
            self.first += 1;
        }
    }

    fn put_back(&mut self, event: usize) {
        self.waits[event] = true;
        self.count += 1;
        self.first = self.first.min(event);
    }

    /// What tells one set of those left from another: how many it has, the first, and which behind it are missing.
    fn key(&self) -> (usize, Vec<usize>) {
        let behind = self.first..self.times.len();
        let mut missing = self.times.len() - self.count - self.first;
        let taken = behind.filter(|event| !self.waits[*event]);
        let mut key = Vec::with_capacity(missing);
        for event in taken {
            key.push(event);
            missing -= 1;
            if missing == 0 {
                break;
            }
        }
        (self.first, key)
    }
}

/// The longest order that was found, and what was wrong in it.
#[derive(Default)]
struct Furthest {
    left: usize,
    state: Option<String>,
    wrong: Vec<usize>,
}

impl Furthest {
    fn note<S: Debug>(&mut self, left: &Left, state: &S, wrong: usize) {
        if self.state.is_none() || left.count < self.left {
            *self = Furthest {
                left: left.count,
                state: Some(format!("{state:?}")),
                wrong: Vec::new(),
            };
        }
        if left.count == self.left && self.wrong.len() < 8 {
            self.wrong.push(wrong);
        }
    }

    fn describe<W: Debug>(&self, events: &[&Event<W>]) -> String {
        let wrong = self
            .wrong
            .iter()
            .map(|event| format!("{:?}", events[*event]));
        format!(
            "no order explains the history: after {} of {} calls, in {}, none of these can come next: {}",
            events.len() - self.left,
            events.len(),
            self.state.as_deref().unwrap_or("the first state"),
            wrong.collect::<Vec<_>>().join(", "),
        )
    }
}
