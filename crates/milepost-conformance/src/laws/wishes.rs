//! Wishes: what comes of a request to cancel.

use milepost_core::{
    Change, ClaimEnd, Failure, Guard, ModuleStateKind, OverallStatus, Process, Progress, ReapPolicy,
};

use super::claims::{begin_claimed, claim_of, is_fenced, is_settled};
use super::guards::changes_nothing;
use crate::fixture::{at, chain, claim, failure, id, lease_guard, op, renew, run_guard};
use crate::trial::Trial;

fn wish(n: u32, seconds: i64, reason: &str) -> milepost_core::Op {
    op(id(n), seconds, Change::request_cancel(reason))
}

/// Sees that it was cancelled at that second for this reason, and that no wish is left.
#[track_caller]
fn is_cancelled(process: &Process, seconds: i64, reason: &str) {
    assert_eq!(
        (process.status(), process.settled_at()),
        (OverallStatus::Cancelled, Some(at(seconds))),
        "left is stored"
    );
    let blame = process.blame().map(|blame| blame.message);
    assert_eq!(blame, Some(reason), "left is why it was cancelled");
    assert_eq!(process.cancel_requested(), None, "the wish was granted");
}

/// Reason and second of the wish that stands.
#[track_caller]
fn stands(trial: &Trial<'_>, n: u32, reason: &str, seconds: i64) {
    let process = trial.stored(id(n));
    let wish = process.cancel_requested().expect("a wish stands");
    assert_eq!(
        (wish.reason(), wish.at()),
        (reason, at(seconds)),
        "left is the wish"
    );
}

pub(crate) fn where_no_lease_lasts_a_wish_is_granted_at_once(trial: &Trial<'_>) {
    // Stalled, at the very end of the lease and later; given back; reaped.
    for (n, seconds) in (1..).zip([70, 500, 20, 90]) {
        let guard = lease_guard(&begin_claimed(trial, n));
        trial.must(&op(id(n), 11, Change::start(1)));
        match n {
            3 => drop(trial.must(&op(id(n), 20, Change::release()).guarded(guard))),
            4 => drop(trial.must(&op(id(n), 80, Change::reap(2, ReapPolicy::retry(2))))),
            _ => {}
        }
        let applied = trial.must(&wish(n, seconds, "called off"));
        assert_eq!(
            (applied.changed, applied.status, applied.cancel_requested),
            (true, OverallStatus::Cancelled, false)
        );
        is_cancelled(&trial.stored(id(n)), seconds, "called off");
    }
    // Never claimed; as a cancel would, it cancels what is unfinished.
    trial.must(&trial.begin(&chain(), id(5), 0));
    trial.must(&op(id(5), 1, Change::complete(1)));
    trial.must(&op(id(5), 2, Change::start(2)));
    trial.must(&wish(5, 3, "called off"));
    let process = trial.stored(id(5));
    is_cancelled(&process, 3, "called off");
    let kinds = process.modules().iter().map(|module| module.state().kind());
    let expected = [
        ModuleStateKind::Complete,
        ModuleStateKind::Cancelled,
        ModuleStateKind::Cancelled,
    ];
    assert_eq!(kinds.collect::<Vec<_>>(), expected);
}

pub(crate) fn under_a_lease_a_wish_stands_until_it_is_granted(trial: &Trial<'_>) {
    let guard = lease_guard(&begin_claimed(trial, 1));
    let started = trial.must(&op(id(1), 11, Change::start(1)).guarded(guard));
    assert!(!started.cancel_requested, "nobody wishes that");
    let applied = trial.must(&wish(1, 20, "called off"));
    assert_eq!(
        (applied.changed, applied.status, applied.cancel_requested),
        (true, OverallStatus::Ongoing, true)
    );
    stands(trial, 1, "called off", 20);
    // The first wish is the one that stands.
    for (seconds, reason) in [(20, "called off"), (30, "for another reason"), (-500, "")] {
        changes_nothing(trial, &wish(1, seconds, reason));
    }
    stands(trial, 1, "called off", 20);
    // The holder hears of it in every answer, and may go on.
    let report = Change::progress(1, Progress::of(1, 2));
    for op in [
        op(id(1), 31, report).guarded(guard),
        renew(id(1), 32, 60).guarded(guard),
        op(id(1), 33, Change::start(1)).guarded(guard),
        claim(id(1), 33, "anna", 60, 1),
    ] {
        assert!(trial.must(&op).cancel_requested, "not told by {op:?}");
    }
    // It agrees: the reason is its own.
    let agreed = op(id(1), 40, Change::cancel("so be it")).guarded(guard);
    assert!(trial.must(&agreed).changed);
    let process = trial.stored(id(1));
    assert_eq!(process.status(), OverallStatus::Cancelled);
    let blame = process.blame().map(|blame| blame.message);
    assert_eq!(blame, Some("so be it"), "left is why it was cancelled");
    assert_eq!(claim_of(trial, 1).end(), None, "the claim stays as it was");
}

pub(crate) fn a_wish_outlives_the_lease_that_it_met(trial: &Trial<'_>) {
    begin_claimed(trial, 1);
    trial.must(&wish(1, 20, "called off"));
    // Another takes over, and is asked too.
    let taken = trial.must(&claim(id(1), 70, "bert", 60, 2));
    assert!(taken.changed && taken.cancel_requested, "the wish stays");
    stands(trial, 1, "called off", 20);
    // Nobody does: whoever wishes it next has it at once, for the reason of the first.
    begin_claimed(trial, 2);
    trial.must(&wish(2, 20, "called off"));
    let applied = trial.must(&wish(2, 70, "again"));
    assert_eq!(
        (applied.changed, applied.status),
        (true, OverallStatus::Cancelled)
    );
    let process = trial.stored(id(2));
    let blame = process.blame().map(|blame| blame.message);
    assert_eq!(blame, Some("called off"), "left is why it was cancelled");
    assert_eq!(
        process.cancel_requested(),
        None,
        "what is granted is wished no more"
    );
}

pub(crate) fn what_is_completed_despite_a_wish_stays_complete(trial: &Trial<'_>) {
    let guard = lease_guard(&begin_claimed(trial, 1));
    trial.must(&wish(1, 20, "called off"));
    for module in 1..=3 {
        let complete = op(id(1), 30, Change::complete(module)).guarded(guard);
        assert!(trial.must(&complete).cancel_requested);
    }
    let complete = OverallStatus::Complete;
    assert_eq!(trial.stored(id(1)).status(), complete);
    changes_nothing(trial, &op(id(1), 40, Change::release()).guarded(guard));
    is_settled(
        trial,
        &op(id(1), 500, Change::reap(2, ReapPolicy::fail())),
        complete,
    );
    is_settled(trial, &wish(1, 500, "again"), complete);
    stands(trial, 1, "called off", 20);
    assert_eq!(trial.stored(id(1)).status(), complete);
    // So does what fails, in its own way.
    let guard = lease_guard(&begin_claimed(trial, 2));
    trial.must(&wish(2, 20, "called off"));
    let own = Failure::new("BadInput", "page 4 is blank");
    trial.must(&op(id(2), 30, Change::fail(1, own)).guarded(guard));
    is_settled(trial, &wish(2, 500, "again"), OverallStatus::Failed);
    let process = trial.stored(id(2));
    let blame = process.blame().map(|blame| blame.reason);
    assert_eq!(
        (process.status(), blame),
        (OverallStatus::Failed, Some("BadInput"))
    );
    stands(trial, 2, "called off", 20);
}

pub(crate) fn a_release_grants_the_wish(trial: &Trial<'_>) {
    let guard = lease_guard(&begin_claimed(trial, 1));
    trial.must(&op(id(1), 11, Change::start(1)).guarded(guard));
    trial.must(&wish(1, 20, "called off"));
    let release = op(id(1), 30, Change::release()).guarded(guard);
    let applied = trial.must(&release);
    assert_eq!(
        (applied.changed, applied.status, applied.cancel_requested),
        (true, OverallStatus::Cancelled, false)
    );
    is_cancelled(&trial.stored(id(1)), 30, "called off");
    let end = claim_of(trial, 1).end();
    assert_eq!(end, Some(ClaimEnd::Released { at: at(30) }));
    changes_nothing(trial, &release);
    changes_nothing(trial, &wish(1, 40, "again"));
    // Too late to give it back: the wish waits for whoever reaps.
    let guard = lease_guard(&begin_claimed(trial, 2));
    trial.must(&wish(2, 20, "called off"));
    is_fenced(
        trial,
        &op(id(2), 70, Change::release()).guarded(guard),
        2,
        Some(2),
    );
    stands(trial, 2, "called off", 20);
}

pub(crate) fn a_reap_grants_the_wish_whatever_its_policy(trial: &Trial<'_>) {
    let policies = [
        ReapPolicy::fail(),
        ReapPolicy::retry(0),
        ReapPolicy::retry(9),
    ];
    for (n, policy) in (1..).zip(policies) {
        let guard = lease_guard(&begin_claimed(trial, n));
        trial.must(&op(id(n), 11, Change::start(1)).guarded(guard));
        trial.must(&wish(n, 20, "called off"));
        let applied = trial.must(&op(id(n), 70, Change::reap(2, policy)));
        assert_eq!(
            (applied.changed, applied.status, applied.cancel_requested),
            (true, OverallStatus::Cancelled, false)
        );
        let process = trial.stored(id(n));
        is_cancelled(&process, 70, "called off");
        assert_eq!(process.modules()[0].attempts(), [], "no attempt has failed");
        let end = claim_of(trial, n).end();
        assert_eq!(end, Some(ClaimEnd::Reaped { at: at(70) }));
    }
}

pub(crate) fn a_wish_for_what_has_settled_changes_nothing(trial: &Trial<'_>) {
    let ends = [
        Change::cancel("called off"),
        Change::fail(1, failure()),
        Change::complete(3),
    ];
    for (n, end) in (1..).zip(ends) {
        trial.must(&trial.begin(&chain(), id(n), 0));
        if n == 3 {
            trial.must(&op(id(n), 1, Change::complete(1)));
            trial.must(&op(id(n), 1, Change::skip(2, "")));
        }
        trial.must(&op(id(n), 2, end));
        let status = trial.stored(id(n)).status();
        match status {
            OverallStatus::Cancelled => changes_nothing(trial, &wish(n, 3, "again")),
            _ => is_settled(trial, &wish(n, 3, "again"), status),
        }
    }
    // A wish of a revision that has passed: it stands, it was granted, or it is stale.
    let seen = Guard::new().revision(1);
    changes_nothing(trial, &wish(1, 3, "again").guarded(seen));
    begin_claimed(trial, 4);
    let stale = trial.one(&wish(4, 20, "called off").guarded(seen));
    assert!(stale.is_err(), "nobody wishes that: got {stale:?}");
    trial.must(&wish(4, 20, "called off"));
    changes_nothing(trial, &wish(4, 500, "again").guarded(seen));
}

pub(crate) fn a_cancel_needs_no_wish_and_no_lease(trial: &Trial<'_>) {
    // The claim comes first: whoever holds it is told by the next answer.
    let begun = begin_claimed(trial, 1);
    let guard = lease_guard(&begun);
    let cancel = op(id(1), 20, Change::cancel("called off")).guarded(run_guard(&begun));
    assert!(trial.must(&cancel).changed);
    is_cancelled(&trial.stored(id(1)), 20, "called off");
    let cancelled = OverallStatus::Cancelled;
    is_settled(trial, &renew(id(1), 21, 60).guarded(guard), cancelled);
    for seconds in [21, 500] {
        let again = op(id(1), seconds, Change::cancel("by the holder")).guarded(guard);
        changes_nothing(trial, &again);
        changes_nothing(trial, &op(id(1), seconds, Change::release()).guarded(guard));
        is_settled(trial, &claim(id(1), seconds, "bert", 60, 2), cancelled);
    }
    assert_eq!(claim_of(trial, 1).end(), None, "the claim stays as it was");
    // The cancel comes first.
    trial.must(&trial.begin(&chain(), id(2), 0));
    trial.must(&op(id(2), 9, Change::cancel("called off")));
    is_settled(trial, &claim(id(2), 10, "anna", 60, 1), cancelled);
    assert_eq!(trial.stored(id(2)).claim(), None);
}
