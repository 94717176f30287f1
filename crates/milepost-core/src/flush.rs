//! Writing what reporters have pending: in the background, before transitions, and when the tracker goes.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use crate::error::TrackError;
use crate::lane::{Lane, Need, Source, Ticket};
use crate::lanes::Turn;
use crate::limits::{BATCH_BYTES, BATCH_OPS, NAME_BYTES, PROGRESS_MESSAGE_BYTES};
use crate::op::{Change, Op};
use crate::store::{StoreError, StoreErrorKind};
use crate::tracker::{Shared, Tracker};
use crate::verdict::{Applied, Verdict};

// A batch of reports that has not too many ops has not too many bytes either.
const _: () = assert!(BATCH_OPS * (128 + NAME_BYTES + PROGRESS_MESSAGE_BYTES) <= BATCH_BYTES);

impl Tracker {
    /// Writes an op of a handle in its turn: what reporters have pending goes first.
    ///
    /// A transition of a module is not made if something pending was refused, now or earlier: it answers why,
    /// once. A cancel, its request and a release are made all the same. Progress takes the place of what is
    /// pending.
    pub(crate) fn write_in_turn(&self, op: &Op) -> Result<Applied, TrackError> {
        let Some(lane) = self.lanes().of(op) else {
            return self.write_one(op);
        };
        let _turn = self.lanes().turn(&lane);
        match (&op.change, Source::of(op)) {
            (Change::Progress { .. }, Some(source)) => self.write_over(&lane, source, op),
            (_, Some(source)) => self.write_after(&lane, source, op),
            (Change::Cancel { .. } | Change::RequestCancel { .. } | Change::Release, None) => {
                self.write_with(&lane, op)
            }
            (_, None) => self.write_one(op),
        }
    }

    fn write_over(&self, lane: &Lane, source: Source, op: &Op) -> Result<Applied, TrackError> {
        let older = lane.ticket(source);
        let answer = self.write_one(op);
        let may_be_kept = match &answer {
            Ok(_) => true,
            Err(TrackError::Store(error)) => error.kind() == StoreErrorKind::OutcomeUnknown,
            Err(_) => false,
        };
        if may_be_kept {
            lane.overtaken(older);
        }
        answer
    }

    fn write_after(&self, lane: &Lane, source: Source, op: &Op) -> Result<Applied, TrackError> {
        let (ops, tickets): (Vec<_>, Vec<_>) = lane.pending(Some(source)).into_iter().unzip();
        if !ops.is_empty() {
            for (ticket, verdict) in tickets.into_iter().zip(self.apply(&ops)?) {
                lane.judged(ticket, verdict);
            }
        }
        if let Some(rejection) = lane.take_rejection(source) {
            return Err(rejection);
        }
        let applied = self.write_one(op)?;
        if let Change::Retry { .. } = op.change {
            lane.forget(source);
        }
        Ok(applied)
    }

    /// What may end the work is made in the same write, whatever becomes of the reports.
    fn write_with(&self, lane: &Lane, op: &Op) -> Result<Applied, TrackError> {
        let (mut ops, tickets): (Vec<_>, Vec<_>) = lane.pending(None).into_iter().unzip();
        ops.push(op.clone());
        let mut verdicts = self.apply(&ops)?;
        let cancelled = verdicts.pop().expect("there is one for each op");
        for (ticket, verdict) in tickets.into_iter().zip(verdicts) {
            lane.judged(ticket, verdict);
        }
        Ok(cancelled?)
    }
}

/// A report that is being written, and the turn that it is written in.
struct Sent<'a> {
    lane: &'a Arc<Lane>,
    turn: Turn<'a>,
    ticket: Ticket,
}

impl Shared {
    /// What the thread for reports does, until the tracker goes.
    pub(crate) fn report(&self) {
        while let Some(due) = self.lanes.next_due() {
            self.write_due(&due);
        }
        self.write_rest();
    }

    /// Writes one report of each lane that is due, and puts the lanes back on the agenda.
    fn write_due(&self, due: &[Arc<Lane>]) {
        let (mut together, mut apart) = (Vec::new(), Vec::new());
        for lane in due {
            let Some(turn) = self.lanes.turn_at_once(lane) else {
                continue;
            };
            match lane.need(self.lanes.interval()) {
                Need::Write {
                    op,
                    ticket,
                    apart: is_apart,
                } => {
                    let sent = Sent { lane, turn, ticket };
                    let batch = if is_apart { &mut apart } else { &mut together };
                    batch.push((*op, sent));
                }
                Need::Rest(written) => self.lanes.enter(lane, Some(written)),
                Need::Nothing => self.lanes.left(lane),
            }
        }
        self.write_batch(together);
        for one in apart {
            self.write_batch(vec![one]);
        }
    }

    fn write_batch(&self, batch: Vec<(Op, Sent<'_>)>) {
        if batch.is_empty() {
            return;
        }
        let (ops, sent): (Vec<_>, Vec<_>) = batch.into_iter().unzip();
        match self.apply_unwinding(&ops) {
            Ok(verdicts) => {
                for (sent, verdict) in sent.iter().zip(verdicts) {
                    sent.lane.judged(sent.ticket, verdict);
                }
            }
            Err(error) if error.kind().may_concern_one() => {
                // What the store cannot write of one process must not keep all others back for good, nor
                // be tried for good when nobody is left to be told.
                let is_alone = sent.len() == 1;
                for Sent { lane, .. } in &sent {
                    if is_alone {
                        self.lanes.give_up_unheld(lane);
                    }
                    lane.failed(!is_alone);
                }
            }
            Err(_) => sent.iter().for_each(|sent| sent.lane.failed(false)),
        }
        for Sent { lane, turn, .. } in sent {
            drop(turn);
            self.lanes.enter(lane, lane.written());
        }
    }

    /// Writes all that is pending, once: nobody is left who could write it later.
    pub(crate) fn write_rest(&self) {
        let lanes = self.lanes.take_all();
        let pending = lanes.iter().flat_map(|lane| lane.pending(None));
        let ops = pending.map(|(op, _)| op).collect::<Vec<_>>();
        let concerns_all = |error: &StoreError| !error.kind().may_concern_one();
        for some in ops.chunks(BATCH_OPS) {
            match self.apply_unwinding(some) {
                Ok(_) => {}
                Err(error) if concerns_all(&error) => return,
                Err(_) => {
                    for one in some.chunks(1) {
                        let answer = self.apply_unwinding(one);
                        if answer.is_err_and(|error| concerns_all(&error)) {
                            return;
                        }
                    }
                }
            }
        }
    }

    /// A panic in a store must not end the thread, nor leave reports unwritten that others wait for.
    fn apply_unwinding(&self, ops: &[Op]) -> Result<Vec<Verdict>, StoreError> {
        let applied = std::panic::catch_unwind(AssertUnwindSafe(|| self.apply(ops)));
        applied.unwrap_or_else(|_| {
            let error = "the store panicked while it was written to";
            Err(StoreError::new(StoreErrorKind::Other, error))
        })
    }
}
