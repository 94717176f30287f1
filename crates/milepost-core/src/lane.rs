//! One lane: what the reporters of one process have pending, and what was refused of it.
//!
//! A report stays pending until the store has taken or refused it: trouble of the store loses nothing.

use std::collections::HashMap;
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::background::lock;
use crate::error::TrackError;
use crate::guard::Guard;
use crate::id::RequestId;
use crate::limits::BATCH_OPS;
use crate::op::Op;
use crate::verdict::{Rejection, Verdict};

/// Which process: its id, and the mark that it was born with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct LaneKey {
    id: RequestId,
    born: u64,
}

impl LaneKey {
    pub(crate) fn new(id: RequestId, born: u64) -> Self {
        LaneKey { id, born }
    }

    /// The process that an op is guarded for; none without that guard.
    pub(crate) fn of(op: &Op) -> Option<Self> {
        op.guard.born.map(|born| LaneKey::new(op.id, born))
    }
}

/// Whose reports: a module's, under the guard of the handle that they come from.
///
/// The guard is a part of it, so that a worker that was given up does not push out what its successor
/// reports, nor have its own rejections shown to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Source {
    position: usize,
    guard: Guard,
}

impl Source {
    pub(crate) fn new(position: usize, guard: Guard) -> Self {
        Source { position, guard }
    }

    /// The module that an op changes; none if it changes the whole process.
    pub(crate) fn of(op: &Op) -> Option<Self> {
        let position = op.change.position()?;
        Some(Source::new(position, op.guard))
    }
}

/// Which of the reports of a lane: asked for when the store has judged it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ticket {
    source: Source,
    stamp: u64,
}

/// All that is reported on one process, and not yet written or shown.
#[derive(Debug)]
pub(crate) struct Lane {
    key: LaneKey,
    /// Never held across a call of the store.
    state: Mutex<State>,
    /// Rung when the turn is given back.
    free: Condvar,
}

#[derive(Debug, Default)]
struct State {
    slots: HashMap<Source, Slot>,
    turn: TurnState,
    /// How many reports were taken.
    stamps: u64,
    /// On the agenda while anything is pending, and for an interval after each write.
    on_agenda: bool,
    written: Option<Instant>,
    /// The last batch failed, perhaps for this process's sake.
    apart: bool,
}

/// Who has the turn: writes what is pending here, or what must not overtake it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum TurnState {
    #[default]
    Free,
    Taken,
    /// By somebody who is to put the lane on the agenda again.
    TakenAndAskedFor,
}

/// Either is there; without both there is no slot.
#[derive(Debug, Default)]
struct Slot {
    pending: Option<Pending>,
    /// The first since the last that was shown: what comes after is often its consequence.
    rejection: Option<TrackError>,
    /// Its lease, attempt or process has ended: nothing of it can be written any more.
    over: bool,
}

#[derive(Debug)]
struct Pending {
    op: Op,
    stamp: u64,
    /// The stamp of the oldest report that this one stands for.
    since: u64,
}

/// What a lane is in need of.
#[derive(Debug)]
pub(crate) enum Need {
    /// This report is to be written; in a batch of its own, if the last batch failed and may have done
    /// so for this process's sake.
    Write {
        op: Box<Op>,
        ticket: Ticket,
        apart: bool,
    },
    /// A rest: it was written at this moment.
    Rest(Instant),
    /// Nothing. It has left the agenda.
    Nothing,
}

impl Lane {
    pub(crate) fn new(key: LaneKey) -> Self {
        Lane {
            key,
            state: Mutex::default(),
            free: Condvar::new(),
        }
    }

    pub(crate) fn key(&self) -> LaneKey {
        self.key
    }

    /// Waits for the turn.
    pub(crate) fn take_turn(&self) {
        let mut state = lock(&self.state);
        while state.turn != TurnState::Free {
            let waited = self.free.wait(state);
            state = waited.unwrap_or_else(PoisonError::into_inner);
        }
        state.turn = TurnState::Taken;
    }

    /// Takes the turn if that can be had at once, and else asks for it.
    pub(crate) fn try_take_turn(&self) -> bool {
        let mut state = lock(&self.state);
        let is_free = state.turn == TurnState::Free;
        state.turn = if is_free {
            TurnState::Taken
        } else {
            TurnState::TakenAndAskedFor
        };
        is_free
    }

    /// Gives the turn back. Says whether it was asked for.
    pub(crate) fn give_turn(&self) -> bool {
        let turn = std::mem::take(&mut lock(&self.state).turn);
        self.free.notify_one();
        turn == TurnState::TakenAndAskedFor
    }

    /// Takes a report, in place of the one before it. Says whether the lane must be put on the agenda.
    pub(crate) fn put(&self, source: Source, op: Op) -> bool {
        let mut state = lock(&self.state);
        state.stamps += 1;
        let stamp = state.stamps;
        let slot = state.slots.entry(source).or_default();
        if slot.over {
            return false;
        }
        let pending = &mut slot.pending;
        let since = pending.as_ref().map_or(stamp, |older| older.since);
        *pending = Some(Pending { op, stamp, since });
        !std::mem::replace(&mut state.on_agenda, true)
    }

    /// Keeps what a report was refused for, until a transition shows it.
    pub(crate) fn refuse(&self, source: Source, error: TrackError) {
        let mut state = lock(&self.state);
        let slot = state.slots.entry(source).or_default();
        slot.rejection.get_or_insert(error);
    }

    /// What it needs now, under one report an `interval`: of several the one that has waited longest.
    pub(crate) fn need(&self, interval: Duration) -> Need {
        let mut state = lock(&self.state);
        if let Some(written) = state.written
            && written.elapsed() < interval
        {
            return Need::Rest(written);
        }
        let longest = state
            .slots
            .iter()
            .filter_map(|(source, slot)| Some((*source, slot.pending.as_ref()?)))
            .min_by_key(|(_, pending)| pending.since);
        if let Some((source, pending)) = longest {
            let stamp = pending.stamp;
            return Need::Write {
                op: Box::new(pending.op.clone()),
                ticket: Ticket { source, stamp },
                apart: state.apart,
            };
        }
        state.on_agenda = false;
        Need::Nothing
    }

    /// When it was written last.
    pub(crate) fn written(&self) -> Option<Instant> {
        lock(&self.state).written
    }

    pub(crate) fn is_on_agenda(&self) -> bool {
        lock(&self.state).on_agenda
    }

    /// All that is pending, of one module or of every one, in the order of the reports: as many as leave
    /// room in a batch for what comes after them.
    pub(crate) fn pending(&self, module: Option<Source>) -> Vec<(Op, Ticket)> {
        let state = lock(&self.state);
        let mut pending = state
            .slots
            .iter()
            .filter(|(source, _)| module.is_none_or(|module| module.position == source.position))
            .filter_map(|(source, slot)| Some((*source, slot.pending.as_ref()?)))
            .map(|(source, pending)| {
                let stamp = pending.stamp;
                (pending.op.clone(), Ticket { source, stamp })
            })
            .collect::<Vec<_>>();
        pending.sort_unstable_by_key(|(_, ticket)| ticket.stamp);
        pending.truncate(BATCH_OPS - 1);
        pending
    }

    /// The store has judged a report: it is pending no more.
    pub(crate) fn judged(&self, ticket: Ticket, verdict: Verdict) {
        let mut state = lock(&self.state);
        state.apart = false;
        state.take_up_to(ticket);
        let over = matches!(
            verdict,
            Err(Rejection::Fenced { .. } | Rejection::Stale { .. } | Rejection::NotFound)
        );
        if over {
            // It takes none of the time of those that are still at work.
            state.slots.entry(ticket.source).or_default().end();
        } else {
            state.written = Some(Instant::now());
        }
        drop(state);
        if let Err(rejection) = verdict {
            self.refuse(ticket.source, rejection.into());
        }
    }

    /// The store was in trouble: what was to be written is pending still, and has its rest first.
    pub(crate) fn failed(&self, apart: bool) {
        let mut state = lock(&self.state);
        state.written = Some(Instant::now());
        state.apart |= apart;
    }

    /// What `source` reports as of now.
    pub(crate) fn ticket(&self, source: Source) -> Ticket {
        let stamp = lock(&self.state).stamps;
        Ticket { source, stamp }
    }

    /// Drops what was reported up to then, in favour of something newer.
    pub(crate) fn overtaken(&self, ticket: Ticket) {
        lock(&self.state).take_up_to(ticket);
    }

    /// What reports were refused for since this was last asked.
    pub(crate) fn take_rejection(&self, source: Source) -> Option<TrackError> {
        let mut state = lock(&self.state);
        let rejection = state.slots.get_mut(&source)?.rejection.take();
        state.tidy(source);
        rejection
    }

    /// Drops all that is pending, and was refused.
    pub(crate) fn give_up(&self) {
        lock(&self.state).slots.clear();
    }

    /// Drops all that is known of an attempt that is over.
    pub(crate) fn forget(&self, source: Source) {
        lock(&self.state).slots.remove(&source);
    }
}

impl Slot {
    fn end(&mut self) {
        self.pending = None;
        self.over = true;
    }
}

impl State {
    fn take_up_to(&mut self, ticket: Ticket) {
        let Some(slot) = self.slots.get_mut(&ticket.source) else {
            return;
        };
        match &mut slot.pending {
            Some(newer) if newer.stamp > ticket.stamp => newer.since = newer.stamp,
            pending => *pending = None,
        }
        self.tidy(ticket.source);
    }

    fn tidy(&mut self, source: Source) {
        let is_empty =
            |slot: &Slot| slot.pending.is_none() && slot.rejection.is_none() && !slot.over;
        if self.slots.get(&source).is_some_and(is_empty) {
            self.slots.remove(&source);
        }
    }
}
