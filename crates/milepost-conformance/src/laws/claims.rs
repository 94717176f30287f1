//! Claims: who gets a process, until when, and what a claim does that comes again.

use std::sync::Arc;
use std::time::Duration;

use milepost_core::{
    Change, ChangeKind, Claim, ClaimEnd, Failure, Guard, GuardKind, Illegality, NewProcess, Op,
    OverallStatus, Process, Progress, ReapPolicy, Rejection, Update, limits,
};

use super::guards::changes_nothing;
use crate::fixture::{
    at, chain, claim, failure, id, lease_guard, micros_after, op, renew, side_by_side, time,
};
use crate::trial::Trial;

/// Begins process `n` and claims it for anna, from second 10 until 70. Her token is 2.
#[track_caller]
pub(super) fn begin_claimed(trial: &Trial<'_>, n: u32) -> Arc<Process> {
    trial.must(&trial.begin(&chain(), id(n), 0));
    let claimed = trial.must(&claim(id(n), 10, "anna", 60, 1));
    assert_eq!((claimed.changed, claimed.revision), (true, 2));
    trial.stored(id(n))
}

/// Sees that the op is rejected so, and that nothing has changed.
#[track_caller]
pub(super) fn is_rejected(trial: &Trial<'_>, op: &Op, rejection: Rejection) {
    let before = trial.read(op.id);
    assert_eq!(
        trial.one(op),
        Err(rejection),
        "left is the verdict on {op:?}"
    );
    assert_eq!(
        trial.read(op.id),
        before,
        "left is stored after a rejection, right before it"
    );
}

/// Sees that an op of the holder of `given` finds another token, or none.
#[track_caller]
pub(super) fn is_fenced(trial: &Trial<'_>, op: &Op, given: u64, current: Option<u64>) {
    is_rejected(trial, op, Rejection::Fenced { given, current });
}

/// Sees that the process is held by this worker until that second.
#[track_caller]
pub(super) fn is_held(trial: &Trial<'_>, op: &Op, worker: &str, until: i64) {
    let (worker, until) = (worker.into(), at(until));
    is_rejected(trial, op, Rejection::Held { worker, until });
}

/// Sees that the process has settled so, and is not reopened.
#[track_caller]
pub(super) fn is_settled(trial: &Trial<'_>, op: &Op, status: OverallStatus) {
    is_rejected(trial, op, Rejection::Settled { status });
}

/// The claim that is stored.
#[track_caller]
pub(super) fn claim_of(trial: &Trial<'_>, n: u32) -> Claim {
    let process = trial.stored(id(n));
    process.claim().cloned().expect("it was claimed")
}

pub(crate) fn what_is_claimed_is_held_for_as_long_as_was_asked(trial: &Trial<'_>) {
    begin_claimed(trial, 1);
    let held = claim_of(trial, 1);
    assert_eq!(
        (held.token(), held.mark(), held.worker(), held.end()),
        (2, 1, "anna", None),
        "left is the claim that is stored"
    );
    assert_eq!(
        (held.claimed_at(), held.heard_at(), held.until()),
        (at(10), at(10), at(70)),
        "left are the claim's times"
    );
    // Two workers of one name are two: it is the mark that tells them apart.
    for (worker, mark) in [("bert", 2), ("anna", 3)] {
        for seconds in [-500, 0, 10, 69] {
            is_held(trial, &claim(id(1), seconds, worker, 60, mark), "anna", 70);
        }
    }
    let mut early = claim(id(1), 0, "bert", 60, 2);
    early.at = micros_after(at(70), -1);
    is_held(trial, &early, "anna", 70);
    // At its end it can be had, and not a moment sooner.
    assert!(trial.must(&claim(id(1), 70, "bert", 60, 2)).changed);
    let held = claim_of(trial, 1);
    assert_eq!(
        (held.worker(), held.claimed_at(), held.until()),
        ("bert", at(70), at(130)),
        "left is the claim that is stored"
    );
}

pub(crate) fn a_token_is_the_revision_of_its_claim_and_later_ones_are_larger(trial: &Trial<'_>) {
    trial.must(&trial.begin(&chain(), id(1), 0));
    trial.must(&op(id(1), 1, Change::start(1)));
    let mut last = 0;
    for (turn, seconds) in (0..).zip([10, 30, 500, 520, 9_000]) {
        let claimed = trial.must(&claim(id(1), seconds, "anna", 10, turn));
        let token = claim_of(trial, 1).token();
        assert_eq!(token, claimed.revision, "left is the token of claim {turn}");
        assert!(token > last, "token {token} came after {last}");
        last = token;
        // What comes under a lease leaves its token as it is.
        let guard = lease_guard(&trial.stored(id(1)));
        for change in [
            Change::progress(1, Progress::unbounded(turn)),
            Change::renew(Duration::from_secs(11)),
        ] {
            trial.must(&op(id(1), seconds, change).guarded(guard));
            assert_eq!(claim_of(trial, 1).token(), token);
        }
        if turn == 1 {
            trial.must(&op(id(1), 31, Change::release()).guarded(guard));
        }
        if turn == 2 {
            let reap = Change::reap(token, ReapPolicy::retry(9));
            trial.must(&op(id(1), 511, reap));
            trial.must(&op(id(1), 511, Change::start(1)));
        }
    }
}

pub(crate) fn a_claim_sent_again_is_made_once(trial: &Trial<'_>) {
    begin_claimed(trial, 1);
    // The same one, and one that differs in all but its mark; in time, and long after it has run out.
    for seconds in [10, 0, 69, 70, 5_000] {
        changes_nothing(trial, &claim(id(1), seconds, "anna", 60, 1));
        changes_nothing(trial, &claim(id(1), seconds, "bert", 900, 1));
    }
    assert_eq!(
        claim_of(trial, 1).until(),
        at(70),
        "a repeat renews nothing"
    );
    // It has run out all the same.
    let late = op(id(1), 70, Change::start(1)).guarded(lease_guard(&trial.stored(id(1))));
    is_fenced(trial, &late, 2, Some(2));

    // What was given back or reaped is not had again by a repeat.
    let guard = lease_guard(&begin_claimed(trial, 2));
    trial.must(&op(id(2), 20, Change::release()).guarded(guard));
    begin_claimed(trial, 3);
    trial.must(&op(id(3), 70, Change::reap(2, ReapPolicy::retry(2))));
    for n in [2, 3] {
        for seconds in [10, 69, 70, 5_000] {
            is_fenced(trial, &claim(id(n), seconds, "anna", 60, 1), 2, Some(2));
        }
        assert!(trial.must(&claim(id(n), 80, "anna", 60, 2)).changed);
    }
    // Guarded by the revision that it was made for, it does nothing after another claim either.
    let guard = Guard::new().revision(1);
    changes_nothing(trial, &claim(id(1), 10, "anna", 60, 1).guarded(guard));
    trial.must(&claim(id(1), 70, "bert", 60, 2));
    let stale = Rejection::Stale {
        guard: GuardKind::Revision,
        given: 1,
        current: 3,
    };
    for seconds in [10, 5_000] {
        let again = claim(id(1), seconds, "anna", 60, 1).guarded(guard);
        is_rejected(trial, &again, stale.clone());
    }
    // Nor after its own end.
    begin_claimed(trial, 4);
    let released = lease_guard(&trial.stored(id(4)));
    trial.must(&op(id(4), 20, Change::release()).guarded(released));
    is_rejected(
        trial,
        &claim(id(4), 10, "anna", 60, 1).guarded(guard),
        stale,
    );
}

pub(crate) fn what_has_settled_is_not_claimed(trial: &Trial<'_>) {
    let ends = [
        (Change::fail(1, failure()), OverallStatus::Failed),
        (Change::cancel(""), OverallStatus::Cancelled),
    ];
    for (n, (end, status)) in (1..).zip(ends) {
        trial.must(&trial.begin(&chain(), id(n), 0));
        trial.must(&op(id(n), 1, end));
        is_settled(trial, &claim(id(n), 2, "anna", 60, 1), status);
        trial.must(&op(id(n), 3, Change::rerun()));
        assert!(trial.must(&claim(id(n), 4, "anna", 60, 1)).changed);
    }
    begin_claimed(trial, 3);
    for module in 1..=3 {
        trial.must(&op(id(3), 20, Change::complete(module)));
    }
    for seconds in [20, 70, 5_000] {
        let other = claim(id(3), seconds, "bert", 60, 2);
        is_settled(trial, &other, OverallStatus::Complete);
        // The claim that stands is the one that comes again.
        changes_nothing(trial, &claim(id(3), seconds, "anna", 60, 1));
    }
}

pub(crate) fn what_is_wrong_in_a_claim_is_illegal(trial: &Trial<'_>) {
    trial.must(&trial.begin(&chain(), id(1), 0));
    begin_claimed(trial, 2);
    let guard = lease_guard(&trial.stored(id(2)));
    let is_invalid = |op: &Op| {
        let before = trial.stored(op.id);
        let verdict = trial.one(op);
        let cause = match &verdict {
            Err(Rejection::Illegal { cause }) => Some(cause),
            _ => None,
        };
        let invalid = matches!(cause, Some(Illegality::Invalid(_)));
        assert!(invalid, "{op:?}: got {verdict:?}, expected it to be wrong");
        assert_eq!(trial.stored(op.id), before);
    };
    let long = "x".repeat(limits::NAME_BYTES + 1);
    for worker in ["", &long, "two\nlines", "nul\0", "\u{7f}"] {
        is_invalid(&claim(id(1), 1, worker, 60, 1));
    }
    let day = Duration::from_hours(24);
    let least = Duration::from_millis(1);
    let wrong = [
        Duration::ZERO,
        least
            .checked_sub(Duration::from_nanos(1))
            .unwrap_or_default(),
        366 * day + Duration::from_nanos(1),
        Duration::MAX,
    ];
    for ttl in wrong {
        is_invalid(&op(id(1), 1, Change::claim("anna", ttl, 1)));
        is_invalid(&op(id(2), 11, Change::renew(ttl)).guarded(guard));
    }
    // What would run out after the last moment that can be kept.
    let mut late = claim(id(1), 0, "anna", 60, 1);
    late.at = time("9999-12-31T23:59:00Z");
    is_invalid(&late);
    late.at = time("9999-12-31T23:58:59.999999Z");
    assert!(trial.must(&late).changed, "it runs out in the last moment");
    let new = NewProcess::new(&chain()).request_id(id(3));
    trial.must(&trial.begin_at(new, at(0)));
    let longest = "x".repeat(limits::NAME_BYTES);
    assert!(
        trial
            .must(&op(id(3), 1, Change::claim(&longest, least, 1)))
            .changed
    );
    let longest = op(id(2), 11, Change::renew(366 * day)).guarded(guard);
    assert!(trial.must(&longest).changed);
}

pub(crate) fn a_renewal_keeps_the_token_and_never_shortens(trial: &Trial<'_>) {
    let guard = lease_guard(&begin_claimed(trial, 1));
    let renewed = |seconds, ttl| renew(id(1), seconds, ttl).guarded(guard);
    assert!(trial.must(&renewed(30, 60)).changed);
    let held = claim_of(trial, 1);
    assert_eq!(
        (held.token(), held.mark(), held.worker(), held.claimed_at()),
        (2, 1, "anna", at(10)),
        "left is the claim after it was renewed"
    );
    assert_eq!((held.heard_at(), held.until()), (at(30), at(90)));
    // Of a revision that has passed it stands if the lease lasts for as long.
    let seen = guard.revision(2);
    for ttl in [5, 60] {
        changes_nothing(trial, &renew(id(1), 30, ttl).guarded(seen));
    }
    let stale = Rejection::Stale {
        guard: GuardKind::Revision,
        given: 2,
        current: 3,
    };
    is_rejected(trial, &renew(id(1), 30, 61).guarded(seen), stale);
    // Again; one that would end sooner; one by a clock that was set back.
    for (seconds, ttl) in [(30, 60), (40, 5), (40, 50), (-900, 60)] {
        changes_nothing(trial, &renewed(seconds, ttl));
    }
    let mut longer = renewed(30, 60);
    longer.at = micros_after(at(30), 1);
    assert!(trial.must(&longer).changed, "it is a microsecond longer");
    assert_eq!(claim_of(trial, 1).until(), micros_after(at(90), 1));
    let mut last = renewed(0, 60);
    last.at = at(90);
    assert!(trial.must(&last).changed, "it lasts for a moment yet");
    is_held(trial, &claim(id(1), 149, "bert", 60, 2), "anna", 150);
    assert!(trial.must(&claim(id(1), 150, "bert", 60, 2)).changed);
}

pub(crate) fn only_under_a_lease_is_one_renewed_or_given_back(trial: &Trial<'_>) {
    begin_claimed(trial, 1);
    trial.must(&trial.begin(&chain(), id(2), 0));
    for n in [1, 2] {
        let process = trial.stored(id(n));
        let guards = [
            Guard::new(),
            Guard::new().born(process.version().born).run(1),
            Guard::new().revision(process.revision()),
        ];
        for guard in guards {
            for change in [Change::renew(Duration::from_mins(1)), Change::release()] {
                let change_kind = change.kind();
                let cause = Illegality::LeaseGuard {
                    change: change_kind,
                };
                let op = op(id(n), 20, change).guarded(guard);
                is_rejected(trial, &op, Rejection::Illegal { cause });
            }
        }
    }
    assert_eq!(
        ChangeKind::Release.to_string(),
        "release",
        "what the rejection names"
    );
}

pub(crate) fn a_lease_that_has_not_come_is_illegal(trial: &Trial<'_>) {
    begin_claimed(trial, 1);
    for given in [3, 4, u64::MAX] {
        let cause = Illegality::FutureGuard {
            guard: GuardKind::Lease,
            given,
            current: 2,
        };
        let illegal = Rejection::Illegal { cause };
        let lease = Guard::new().lease(given);
        let ops = [
            op(id(1), 20, Change::start(1)).guarded(lease),
            op(id(1), 20, Change::release()).guarded(lease),
            renew(id(1), 20, 60).guarded(lease),
            // Of two guards that do not hold, the lease is judged first.
            op(id(1), 20, Change::start(1)).guarded(lease.run(9).revision(1)),
            op(id(1), 500, Change::reap(given, ReapPolicy::fail())),
        ];
        for op in &ops {
            is_rejected(trial, op, illegal.clone());
        }
    }
}

pub(crate) fn ops_that_ask_for_no_lease_pass_under_anybody_s(trial: &Trial<'_>) {
    let changes = [
        Change::start(1),
        Change::progress(1, Progress::of(1, 2)),
        Change::retry(1, failure()),
        Change::complete(1),
        Change::skip(2, "not needed"),
        Change::update(Update::new().file_name("new.pdf")),
        Change::fail(3, Failure::new("BadInput", "")),
        Change::update(Update::new().tags([("state", "failed")])),
    ];
    for (n, pipeline) in [(1, chain()), (2, side_by_side())] {
        trial.must(&trial.begin(&pipeline, id(n), 0));
        trial.must(&claim(id(n), 10, "anna", 60, 1));
        let claimed = claim_of(trial, n);
        // Before, while and after the lease lasts.
        for (seconds, change) in [5, 20, 30, 69, 70, 71, 500, 501].iter().zip(&changes) {
            let op = op(id(n), *seconds, change.clone());
            assert!(trial.must(&op).changed, "no change came of {op:?}");
            assert_eq!(
                claim_of(trial, n),
                claimed,
                "left is the claim after {op:?}"
            );
        }
        let end: Option<ClaimEnd> = claimed.end();
        assert_eq!(
            (trial.stored(id(n)).status(), end),
            (OverallStatus::Failed, None)
        );
    }
    begin_claimed(trial, 3);
    assert!(
        trial
            .must(&op(id(3), 20, Change::cancel("called off")))
            .changed
    );
    assert_eq!(trial.stored(id(3)).status(), OverallStatus::Cancelled);
    assert!(trial.must(&op(id(3), 20, Change::erase())).changed);
    assert_eq!(trial.read(id(3)), None);
}
