//! Fencing: what comes from whoever lost a lease changes nothing.

use std::time::Duration;

use milepost_core::{
    Change, ClaimEnd, Failure, Guard, ModuleStateKind, Op, OverallStatus, Progress, ReapPolicy,
    Rejection, Update,
};

use super::claims::{begin_claimed, claim_of, is_fenced, is_held, is_rejected, is_settled};
use super::guards::changes_nothing;
use crate::fixture::{
    at, chain, claim, failure, id, lease_guard, micros_after, op, renew, run_guard, side_by_side,
};
use crate::trial::Trial;

/// One op of each change that a holder may send, at this second.
pub(super) fn of_a_holder(n: u32, seconds: i64, guard: Guard) -> Vec<Op> {
    let changes = [
        Change::start(1),
        Change::progress(1, Progress::of(2, 3)),
        Change::complete(1),
        Change::fail(1, failure()),
        Change::skip(2, "not needed"),
        Change::retry(1, failure()),
        Change::cancel("called off"),
        Change::request_cancel("called off"),
        Change::rerun(),
        Change::update(Update::new().file_name("late.pdf")),
        Change::renew(Duration::from_mins(15)),
        Change::release(),
        Change::claim("bert", Duration::from_mins(15), 9),
        Change::reap(guard.lease.unwrap_or(0), ReapPolicy::fail()),
        Change::erase(),
    ];
    let op = |change| op(id(n), seconds, change).guarded(guard);
    changes.into_iter().map(op).collect()
}

/// Sees that nothing that the holder sends passes, whenever it says that it happened.
fn all_is_fenced(trial: &Trial<'_>, n: u32, guard: Guard, current: Option<u64>, times: &[i64]) {
    let given = guard.lease.expect("it asks for a lease");
    for seconds in times {
        for op in of_a_holder(n, *seconds, guard) {
            is_fenced(trial, &op, given, current);
        }
    }
}

pub(crate) fn what_comes_after_a_lease_ran_out_is_fenced(trial: &Trial<'_>) {
    let guard = lease_guard(&begin_claimed(trial, 1));
    let mut start = op(id(1), 0, Change::start(1)).guarded(guard);
    start.at = micros_after(at(70), -1);
    assert!(trial.must(&start).changed, "it lasts for a moment yet");
    all_is_fenced(trial, 1, guard, Some(2), &[70, 71, 5_000]);
    // It is judged by when the op happened, not by when it comes.
    assert!(
        trial
            .must(&op(id(1), 69, Change::complete(1)).guarded(guard))
            .changed
    );
    // No lease was ever there; and one that there is, of another process.
    trial.must(&trial.begin(&chain(), id(2), 0));
    all_is_fenced(trial, 2, Guard::new().lease(1), None, &[0, 20]);
    trial.must(&op(id(2), 1, Change::start(1)));
    trial.must(&claim(id(2), 10, "bert", 60, 2));
    all_is_fenced(trial, 2, Guard::new().lease(2), Some(3), &[0, 20]);
}

pub(crate) fn what_comes_after_another_claimed_is_fenced(trial: &Trial<'_>) {
    let guard = lease_guard(&begin_claimed(trial, 1));
    trial.must(&op(id(1), 11, Change::start(1)).guarded(guard));
    assert!(trial.must(&claim(id(1), 70, "bert", 60, 2)).changed);
    all_is_fenced(trial, 1, guard, Some(4), &[-500, 11, 69, 70, 5_000]);
    // The other one goes on with what it found.
    let other = lease_guard(&trial.stored(id(1)));
    assert!(
        trial
            .must(&op(id(1), 71, Change::complete(1)).guarded(other))
            .changed
    );
    // Not even in a process that has settled.
    trial.must(&op(id(1), 72, Change::cancel("")).guarded(other));
    all_is_fenced(trial, 1, guard, Some(4), &[11, 5_000]);
}

pub(crate) fn what_comes_after_a_release_is_fenced(trial: &Trial<'_>) {
    let guard = lease_guard(&begin_claimed(trial, 1));
    let release = |seconds| op(id(1), seconds, Change::release()).guarded(guard);
    assert!(trial.must(&release(20)).changed);
    let given_back = claim_of(trial, 1);
    assert_eq!(
        (given_back.token(), given_back.end()),
        (2, Some(ClaimEnd::Released { at: at(20) })),
        "left is the claim after its release"
    );
    for seconds in [11, 20, 69, 70, 5_000] {
        let is_release = |op: &Op| op.change == Change::Release;
        for op in of_a_holder(1, seconds, guard) {
            if is_release(&op) {
                // It was given back: sent again, that stands.
                changes_nothing(trial, &op);
            } else {
                is_fenced(trial, &op, 2, Some(2));
            }
        }
    }
    // Free at once, and the release of one lease is not that of another.
    assert!(trial.must(&claim(id(1), 20, "bert", 60, 2)).changed);
    all_is_fenced(trial, 1, guard, Some(4), &[11, 20, 5_000]);
}

pub(crate) fn what_comes_after_a_reap_is_fenced(trial: &Trial<'_>) {
    for (n, policy) in [(1, ReapPolicy::fail()), (2, ReapPolicy::retry(9))] {
        let guard = lease_guard(&begin_claimed(trial, n));
        trial.must(&op(id(n), 11, Change::start(1)).guarded(guard));
        assert!(trial.must(&op(id(n), 70, Change::reap(2, policy))).changed);
        all_is_fenced(trial, n, guard, Some(2), &[11, 69, 70, 5_000]);
        assert_eq!(
            claim_of(trial, n).end(),
            Some(ClaimEnd::Reaped { at: at(70) }),
            "left is how the claim ended"
        );
    }
    // A failure too: what was freed is as if nobody had held it.
    let verdict = trial.must(&claim(id(2), 30, "bert", 60, 2));
    assert!(verdict.changed, "what was reaped can be had");
}

pub(crate) fn a_late_renewal_revives_nothing(trial: &Trial<'_>) {
    let guard = lease_guard(&begin_claimed(trial, 1));
    for seconds in [70, 71, 5_000] {
        is_fenced(
            trial,
            &renew(id(1), seconds, 900).guarded(guard),
            2,
            Some(2),
        );
    }
    assert_eq!(claim_of(trial, 1).until(), at(70), "left is its end");
    assert!(trial.stored(id(1)).is_stalled(at(70)), "it has run out");
    assert!(trial.must(&claim(id(1), 70, "bert", 60, 2)).changed);
    for seconds in [30, 69, 70, 100] {
        is_fenced(
            trial,
            &renew(id(1), seconds, 900).guarded(guard),
            2,
            Some(3),
        );
    }
    assert_eq!(claim_of(trial, 1).until(), at(130), "left is another's end");
}

pub(crate) fn the_lease_is_judged_before_the_rest_of_the_guard(trial: &Trial<'_>) {
    let guard = lease_guard(&begin_claimed(trial, 1));
    let process = trial.stored(id(1));
    let other_born = guard.born(process.version().born.wrapping_add(1));
    let late = |guard| op(id(1), 70, Change::complete(1)).guarded(guard);
    is_rejected(trial, &late(other_born), Rejection::NotFound);
    // A run or revision that has passed, and one that has not come.
    for guard in [
        guard.revision(1),
        guard.run(9),
        guard.attempt(9),
        guard.revision(u64::MAX),
    ] {
        is_fenced(trial, &late(guard), 2, Some(2));
        is_fenced(
            trial,
            &op(id(1), 70, Change::cancel("")).guarded(guard),
            2,
            Some(2),
        );
    }
    // While it lasts the rest is judged as ever.
    let stale = op(id(1), 20, Change::complete(1)).guarded(guard.revision(1));
    let verdict = trial.one(&stale);
    assert!(
        matches!(verdict, Err(Rejection::Stale { .. })),
        "of a revision that has passed: got {verdict:?}, expected Stale"
    );
    let process = trial.stored(id(1));
    let guard = run_guard(&process).lease(2).revision(2).attempt(1);
    assert!(
        trial
            .must(&op(id(1), 20, Change::start(1)).guarded(guard))
            .changed
    );
}

/// Process 1, claimed from 10 to 70, with two modules running side by side; the guard of its holder.
fn two_running_under_a_lease(trial: &Trial<'_>) -> Guard {
    trial.must(&trial.begin(&side_by_side(), id(1), 0));
    trial.must(&claim(id(1), 10, "anna", 60, 1));
    let guard = lease_guard(&trial.stored(id(1)));
    for module in [1, 2] {
        trial.must(&op(id(1), 20, Change::start(module)).guarded(guard));
    }
    guard
}

pub(crate) fn in_a_settled_process_no_lease_runs_out(trial: &Trial<'_>) {
    let guard = two_running_under_a_lease(trial);
    let held = |seconds, change| op(id(1), seconds, change).guarded(guard);
    let failed = held(30, Change::fail(1, failure()));
    trial.must(&failed);
    // What got no answer is sent again, however late; and what went on beside it comes to its end.
    let mut late = failed;
    late.at = at(5_000);
    changes_nothing(trial, &late);
    assert!(trial.must(&held(5_000, Change::complete(2))).changed);
    let status = OverallStatus::Failed;
    for seconds in [31, 70, 5_000] {
        is_settled(trial, &renew(id(1), seconds, 900).guarded(guard), status);
        changes_nothing(trial, &held(seconds, Change::release()));
        is_settled(
            trial,
            &op(id(1), seconds, Change::reap(2, ReapPolicy::fail())),
            status,
        );
    }
    let stored = trial.stored(id(1));
    assert!(
        !stored.is_stalled(at(5_000)),
        "what has settled does not stall"
    );
    assert_eq!(
        stored.modules()[1].state().kind(),
        ModuleStateKind::Complete
    );
    let claim = claim_of(trial, 1);
    assert_eq!((claim.end(), claim.until()), (None, at(70)));
}

pub(crate) fn what_ran_out_before_it_settled_stays_fenced(trial: &Trial<'_>) {
    let guard = two_running_under_a_lease(trial);
    let held = |seconds, change| op(id(1), seconds, change).guarded(guard);
    // Fails without the holder, at the very end of its lease.
    trial.must(&op(id(1), 70, Change::fail(1, failure())));
    for seconds in [30, 70, 5_000] {
        is_fenced(trial, &held(seconds, Change::complete(2)), 2, Some(2));
        is_fenced(
            trial,
            &held(seconds, Change::fail(1, failure())),
            2,
            Some(2),
        );
        is_fenced(trial, &held(seconds, Change::rerun()), 2, Some(2));
    }
}

pub(crate) fn whoever_works_under_a_lease_is_heard(trial: &Trial<'_>) {
    let guard = lease_guard(&begin_claimed(trial, 1));
    let heard = |op: &Op, seconds| {
        trial.must(op);
        assert_eq!(
            claim_of(trial, 1).heard_at(),
            at(seconds),
            "left is heard_at after {op:?}"
        );
    };
    heard(&op(id(1), 20, Change::start(1)).guarded(guard), 20);
    heard(
        &op(id(1), 30, Change::progress(1, Progress::of(1, 2))).guarded(guard),
        30,
    );
    // By a clock that was set back; without a change; from somebody else.
    heard(
        &op(id(1), 25, Change::progress(1, Progress::of(2, 2))).guarded(guard),
        30,
    );
    heard(&op(id(1), 40, Change::start(1)).guarded(guard), 30);
    heard(
        &op(id(1), 40, Change::update(Update::new().file_name("a.pdf"))),
        30,
    );
    heard(&renew(id(1), 45, 60).guarded(guard), 45);
    heard(&claim(id(1), 46, "anna", 60, 1), 45);
    heard(&op(id(1), 50, Change::request_cancel("")), 45);
    heard(&op(id(1), 60, Change::complete(1)).guarded(guard), 60);
    heard(&op(id(1), 65, Change::release()).guarded(guard), 65);
}

pub(crate) fn a_rerun_clears_the_lease(trial: &Trial<'_>) {
    let guard = lease_guard(&begin_claimed(trial, 1));
    trial.must(&op(id(1), 20, Change::start(1)).guarded(guard));
    trial.must(&op(id(1), 21, Change::request_cancel("called off")));
    trial.must(&op(id(1), 30, Change::fail(1, failure())).guarded(guard));
    assert!(
        trial.stored(id(1)).claim().is_some(),
        "it stays in what failed"
    );
    assert!(trial.must(&op(id(1), 31, Change::rerun())).changed);
    let rerun = trial.stored(id(1));
    assert_eq!((rerun.claim(), rerun.cancel_requested()), (None, None));
    all_is_fenced(trial, 1, guard, None, &[25, 32, 5_000]);
    let reap = op(id(1), 5_000, Change::reap(2, ReapPolicy::fail()));
    is_fenced(trial, &reap, 2, None);
    // Free for all at once, also while the old lease would have lasted.
    assert!(trial.must(&claim(id(1), 32, "bert", 60, 1)).changed);
    assert!(claim_of(trial, 1).token() > 2, "a later token is larger");
    all_is_fenced(trial, 1, guard, Some(claim_of(trial, 1).token()), &[25, 33]);
}

pub(crate) fn of_two_holders_whose_clocks_differ_the_later_claim_counts(trial: &Trial<'_>) {
    let anna = lease_guard(&begin_claimed(trial, 1));
    trial.must(&op(id(1), 11, Change::start(1)).guarded(anna));
    // Bert's clock is ahead by a thousand seconds: by it, anna's lease ran out long ago.
    assert!(trial.must(&claim(id(1), 1_012, "bert", 60, 2)).changed);
    let bert = lease_guard(&trial.stored(id(1)));
    for seconds in [0, 12, 69, 1_013, 1_500] {
        let report = op(id(1), seconds, Change::progress(1, Progress::unbounded(1)));
        is_fenced(trial, &report.guarded(anna), 2, Some(4));
        is_fenced(trial, &renew(id(1), seconds, 900).guarded(anna), 2, Some(4));
    }
    // By anna's clock bert holds it for long.
    is_held(trial, &claim(id(1), 14, "anna", 60, 3), "bert", 1_072);
    let report = |seconds, n| op(id(1), seconds, Change::progress(1, Progress::unbounded(n)));
    assert!(trial.must(&report(1_014, 1).guarded(bert)).changed);
    // His clock is set right: nothing is lost, and nothing is cut short.
    assert!(trial.must(&report(15, 2).guarded(bert)).changed);
    changes_nothing(trial, &renew(id(1), 15, 60).guarded(bert));
    assert_eq!(claim_of(trial, 1).until(), at(1_072));
    // One whose clock is behind can neither claim nor reap what has run out by others.
    is_held(trial, &claim(id(1), -9_000, "carl", 60, 4), "bert", 1_072);
    let reap = op(id(1), -9_000, Change::reap(4, ReapPolicy::fail()));
    is_held(trial, &reap, "bert", 1_072);
    let expired = Failure::new("LeaseExpired", "bert let its lease run out");
    trial.must(&op(id(1), 1_072, Change::reap(4, ReapPolicy::retry(2))));
    let module = &trial.stored(id(1)).modules()[0].clone();
    let ended = module.attempts().last().map(milepost_core::Attempt::end);
    assert_eq!(ended, Some(&milepost_core::AttemptEnd::Retried(expired)));
}
