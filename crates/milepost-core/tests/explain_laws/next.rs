//! What is ready, awaited and next, against what the machine does when it is asked.

use std::time::Duration;

use chrono::{DateTime, Utc};
use milepost_core::{
    Change, Claim, ClaimEnd, Explanation, HolderState, NextStep, Op, OverallStatus, ReapPolicy,
    Rejection, WaitingFor,
};

use crate::common::{Slot, id};

/// What is said to come next is what the machine lets happen, asked at that very moment.
pub(crate) fn foretells(explained: &Explanation, slot: &Slot, now: DateTime<Utc>) {
    let ask = |change: Change| {
        let mut copy = slot.0.clone();
        let verdict = Op::new(id(), now, change).apply(&mut copy);
        (verdict, copy)
    };
    let changes = |change: Change| matches!(ask(change).0, Ok(applied) if applied.changed);
    let (next, waiting_for) = (explained.next, explained.waiting_for);

    let startable = (1..=explained.modules).filter(|module| changes(Change::start(*module)));
    let ready = explained.ready.iter().map(|module| module.position);
    assert!(ready.eq(startable), "{explained:?}");

    let missing = matches!(ask(Change::start(1)).0, Err(Rejection::NotFound));
    assert_eq!(next == NextStep::Purge, missing);
    assert_eq!(next == NextStep::Rerun, changes(Change::rerun()));

    let claimed = ask(Change::claim("another", Duration::from_secs(1), u64::MAX)).0;
    let free = matches!(&claimed, Ok(applied) if applied.changed);
    let held = matches!(&claimed, Err(Rejection::Held { .. }));
    assert_eq!(waiting_for == WaitingFor::Nothing, !free && !held);
    let live = explained
        .held
        .as_ref()
        .is_some_and(|holder| holder.state == HolderState::Live);
    assert_eq!(live, held);

    let token = explained.held.as_ref().map_or(1, |holder| holder.token);
    let (reaped, after) = ask(Change::reap(token, ReapPolicy::retry(u32::MAX)));
    let reaped = matches!(reaped, Ok(applied) if applied.changed);
    assert_eq!(waiting_for == WaitingFor::Lease, reaped);
    let cancelled = after.is_some_and(|after| after.status() == OverallStatus::Cancelled);
    assert_eq!(next == NextStep::Cancel, reaped && cancelled);
    assert_eq!(next == NextStep::Reap, reaped && !cancelled);

    let wished = held && explained.cancel_requested.is_some();
    assert_eq!(waiting_for == WaitingFor::Cancellation, wished);
    assert_eq!(next == NextStep::Agree, wished);
    let left = slot.process().claim().and_then(Claim::end);
    let left = match left {
        Some(ClaimEnd::Released { .. }) => free,
        Some(ClaimEnd::Reaped { .. }) => free && explained.running.is_empty(),
        _ => false,
    };
    assert_eq!(waiting_for == WaitingFor::Claim, left);
    assert_eq!(next == NextStep::Claim, left);

    let goes_on = (held || free) && !wished && !left && !reaped;
    let runs = !explained.running.is_empty();
    assert_eq!(waiting_for == WaitingFor::Modules, goes_on && runs);
    assert_eq!(next == NextStep::Report, goes_on && runs);
    assert_eq!(waiting_for == WaitingFor::Start, goes_on && !runs);
    assert_eq!(next == NextStep::Start, goes_on && !runs);
    assert!(
        !goes_on || runs || !explained.ready.is_empty(),
        "something can go on"
    );
}
