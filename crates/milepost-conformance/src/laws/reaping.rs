//! Reaping: what becomes of a process whose worker has gone silent.

use milepost_core::{
    AttemptEnd, Change, ClaimEnd, Failure, Guard, GuardKind, ModuleState, ModuleStateKind, Op,
    OverallStatus, Process, Progress, ReapPolicy, Rejection, Update, limits,
};

use super::claims::{begin_claimed, claim_of, is_fenced, is_held, is_rejected, is_settled};
use super::guards::changes_nothing;
use crate::fixture::{
    at, chain, claim, failure, id, lease_guard, micros_after, op, renew, run_guard, side_by_side,
};
use crate::trial::Trial;

fn reap(n: u32, seconds: i64, token: u64, policy: ReapPolicy) -> Op {
    op(id(n), seconds, Change::reap(token, policy))
}

/// What is said of a lease that anna let run out.
fn expired() -> Failure {
    Failure::new("LeaseExpired", "anna let its lease run out")
}

/// Sees that reaping has failed the process at second 70, for this module.
#[track_caller]
fn has_failed(process: &Process, module: usize) {
    assert_eq!(
        (process.status(), process.settled_at()),
        (OverallStatus::Failed, Some(at(70))),
        "left is stored after it was reaped"
    );
    let blame = process.blame().expect("it has failed");
    assert_eq!(
        (
            blame.module.map(milepost_core::Module::position),
            blame.reason,
            blame.message
        ),
        (Some(module), "LeaseExpired", "anna let its lease run out"),
        "left is blamed"
    );
    let end = process.claim().and_then(milepost_core::Claim::end);
    assert_eq!(
        end,
        Some(ClaimEnd::Reaped { at: at(70) }),
        "left is how the claim ended"
    );
}

#[track_caller]
fn is_failed(process: &Process, module: usize, started: i64) {
    let failed = ModuleState::Failed {
        started: at(started),
        ended: at(70),
        failure: expired(),
    };
    assert_eq!(
        process.modules()[module - 1].state(),
        &failed,
        "left is module {module}"
    );
}

#[track_caller]
fn kinds(process: &Process) -> Vec<ModuleStateKind> {
    let modules = process.modules().iter();
    modules.map(|module| module.state().kind()).collect()
}

pub(crate) fn what_stalls_is_reaped_from_the_end_of_its_lease_on(trial: &Trial<'_>) {
    let policies = [ReapPolicy::fail(), ReapPolicy::retry(2)];
    for (n, policy) in (1..).zip(policies) {
        begin_claimed(trial, n);
        trial.must(&op(id(n), 11, Change::start(1)));
        for seconds in [-500, 10, 69] {
            is_held(trial, &reap(n, seconds, 2, policy), "anna", 70);
        }
        let mut early = reap(n, 0, 2, policy);
        early.at = micros_after(at(70), -1);
        is_held(trial, &early, "anna", 70);
        let stalled = trial.stored(id(n));
        assert!(stalled.is_stalled(at(70)) && !stalled.is_stalled(early.at));
        assert!(trial.must(&reap(n, 70, 2, policy)).changed);
        assert!(!trial.stored(id(n)).is_stalled(at(5_000)), "it was reaped");
    }
}

pub(crate) fn a_reap_fails_what_runs_or_else_what_is_next(trial: &Trial<'_>) {
    begin_claimed(trial, 1);
    trial.must(&op(id(1), 11, Change::progress(1, Progress::of(1, 2))));
    assert!(trial.must(&reap(1, 70, 2, ReapPolicy::fail())).changed);
    let process = trial.stored(id(1));
    has_failed(&process, 1);
    is_failed(&process, 1, 11);
    assert_eq!(process.modules()[0].progress(), Some(&Progress::of(1, 2)));

    // Nothing runs: the first that waits.
    begin_claimed(trial, 2);
    trial.must(&op(id(2), 11, Change::complete(1)));
    trial.must(&reap(2, 70, 2, ReapPolicy::fail()));
    let process = trial.stored(id(2));
    has_failed(&process, 2);
    is_failed(&process, 2, 70);

    // Side by side all that run fail, and no other.
    trial.must(&trial.begin(&side_by_side(), id(3), 0));
    trial.must(&claim(id(3), 10, "anna", 60, 1));
    trial.must(&op(id(3), 11, Change::start(3)));
    trial.must(&op(id(3), 12, Change::start(2)));
    let applied = trial.must(&reap(3, 70, 2, ReapPolicy::fail()));
    assert_eq!(
        (applied.status, applied.revision),
        (OverallStatus::Failed, 5)
    );
    let process = trial.stored(id(3));
    has_failed(&process, 2);
    is_failed(&process, 2, 12);
    is_failed(&process, 3, 11);
    assert_eq!(kinds(&process)[0], ModuleStateKind::Pending);
}

pub(crate) fn a_reap_frees_what_runs_until_its_attempts_are_used_up(trial: &Trial<'_>) {
    begin_claimed(trial, 1);
    trial.must(&op(id(1), 11, Change::progress(1, Progress::of(1, 2))));
    let applied = trial.must(&reap(1, 70, 2, ReapPolicy::retry(2)));
    assert_eq!(
        (applied.changed, applied.status),
        (true, OverallStatus::Ongoing)
    );
    let freed = trial.stored(id(1));
    let module = &freed.modules()[0];
    assert_eq!(
        (module.state(), module.attempt(), module.progress()),
        (&ModuleState::Pending, 2, None),
        "left is the module after it was freed"
    );
    let [past] = module.attempts() else {
        panic!(
            "one past attempt is to be kept, got {:?}",
            module.attempts()
        )
    };
    assert_eq!(
        (past.number(), past.started(), past.ended()),
        (1, Some(at(11)), at(70))
    );
    assert_eq!(past.end(), &AttemptEnd::Retried(expired()));
    assert!(freed.blame().is_none() && freed.settled_at().is_none());
    let end = claim_of(trial, 1).end();
    assert_eq!(end, Some(ClaimEnd::Reaped { at: at(70) }));

    // The next one lets it run out in its last attempt.
    trial.must(&claim(id(1), 70, "bert", 60, 2));
    trial.must(&op(id(1), 71, Change::start(1)));
    trial.must(&reap(1, 130, 5, ReapPolicy::retry(2)));
    let process = trial.stored(id(1));
    assert_eq!(process.status(), OverallStatus::Failed);
    let blame = process.blame().map(|blame| blame.message);
    assert_eq!(blame, Some("bert let its lease run out"));
    assert_eq!(process.modules()[0].attempt(), 2, "it got no third attempt");

    for (n, attempts) in [(2, 0), (3, 1)] {
        begin_claimed(trial, n);
        trial.must(&op(id(n), 11, Change::start(1)));
        trial.must(&reap(n, 70, 2, ReapPolicy::retry(attempts)));
        has_failed(&trial.stored(id(n)), 1);
    }
    // Nothing runs: no attempt is used up, however few there are to be.
    begin_claimed(trial, 4);
    trial.must(&op(id(4), 11, Change::complete(1)));
    trial.must(&reap(4, 70, 2, ReapPolicy::retry(0)));
    let process = trial.stored(id(4));
    assert_eq!(
        (process.status(), process.blame()),
        (OverallStatus::Ongoing, None)
    );
    assert_eq!(
        (kinds(&process)[1], process.modules()[1].attempt()),
        (ModuleStateKind::Pending, 1)
    );
}

pub(crate) fn what_runs_side_by_side_is_freed_or_fails_together(trial: &Trial<'_>) {
    for (n, attempts) in [(1, 3), (2, 2)] {
        trial.must(&trial.begin(&side_by_side(), id(n), 0));
        trial.must(&claim(id(n), 10, "anna", 60, 1));
        let changes = [
            Change::start(1),
            Change::start(3),
            Change::retry(3, failure()),
            Change::start(3),
        ];
        for change in changes {
            trial.must(&op(id(n), 11, change));
        }
        trial.must(&reap(n, 70, 2, ReapPolicy::retry(attempts)));
        let process = trial.stored(id(n));
        let attempts = process.modules().iter().map(milepost_core::Module::attempt);
        let attempts = attempts.collect::<Vec<_>>();
        if n == 1 {
            assert_eq!(process.status(), OverallStatus::Ongoing);
            assert_eq!(
                (kinds(&process), attempts),
                (vec![ModuleStateKind::Pending; 3], vec![2, 1, 3])
            );
        } else {
            // The third is in its last attempt, and the first cannot go on without it.
            has_failed(&process, 1);
            is_failed(&process, 1, 11);
            is_failed(&process, 3, 11);
            assert_eq!(attempts, [1, 1, 2]);
        }
    }
}

pub(crate) fn a_reap_is_meant_for_one_claim(trial: &Trial<'_>) {
    let policy = ReapPolicy::fail();
    trial.must(&trial.begin(&chain(), id(1), 0));
    is_fenced(trial, &reap(1, 70, 1, policy), 1, None);
    is_fenced(trial, &reap(1, 70, 0, policy), 0, None);
    // Of the claim before, of none, and of one that there is not.
    begin_claimed(trial, 2);
    trial.must(&claim(id(2), 70, "bert", 60, 2));
    for seconds in [70, 500] {
        for other in [0, 1, 2] {
            is_fenced(trial, &reap(2, seconds, other, policy), other, Some(3));
        }
    }
    // Reaped once: again it is no change, whatever the policy, until another claims.
    trial.must(&reap(2, 130, 3, ReapPolicy::retry(2)));
    for seconds in [0, 130, 500] {
        changes_nothing(trial, &reap(2, seconds, 3, policy));
    }
    trial.must(&claim(id(2), 140, "carl", 60, 3));
    is_fenced(trial, &reap(2, 500, 3, policy), 3, Some(5));
    // What was given back does not stall.
    let guard = lease_guard(&begin_claimed(trial, 3));
    trial.must(&op(id(3), 20, Change::release()).guarded(guard));
    for seconds in [20, 70, 500] {
        is_fenced(trial, &reap(3, seconds, 2, policy), 2, Some(2));
    }
    // Nor does what has settled.
    begin_claimed(trial, 4);
    trial.must(&op(id(4), 20, Change::fail(1, failure())));
    is_settled(trial, &reap(4, 500, 2, policy), OverallStatus::Failed);
}

pub(crate) fn a_reap_and_a_renewal_exclude_each_other(trial: &Trial<'_>) {
    // The renewal comes first, though it happened when the lease was nearly out.
    let guard = lease_guard(&begin_claimed(trial, 1));
    assert!(trial.must(&renew(id(1), 69, 60).guarded(guard)).changed);
    is_held(trial, &reap(1, 70, 2, ReapPolicy::fail()), "anna", 129);
    is_held(trial, &reap(1, 128, 2, ReapPolicy::retry(2)), "anna", 129);
    // The reap comes first: a renewal that happened before it, and comes late, revives nothing.
    let guard = lease_guard(&begin_claimed(trial, 2));
    assert!(trial.must(&reap(2, 70, 2, ReapPolicy::retry(2))).changed);
    for seconds in [11, 69, 70, 500] {
        is_fenced(trial, &renew(id(2), seconds, 60).guarded(guard), 2, Some(2));
    }
    assert_eq!(
        claim_of(trial, 2).until(),
        at(70),
        "left is when it ran out"
    );
}

pub(crate) fn a_reap_of_a_passed_run_or_revision_is_stale(trial: &Trial<'_>) {
    let begun = begin_claimed(trial, 1);
    trial.must(&op(id(1), 11, Change::start(1)));
    let stale = |guard, given, current| Rejection::Stale {
        guard,
        given,
        current,
    };
    let policy = ReapPolicy::fail();
    let seen = Guard::new().born(begun.version().born).revision(2);
    let overtaken = reap(1, 70, 2, policy).guarded(seen);
    is_rejected(trial, &overtaken, stale(GuardKind::Revision, 2, 3));
    trial.must(&reap(1, 70, 2, policy));
    changes_nothing(trial, &overtaken);
    let first = run_guard(&trial.stored(id(1)));
    trial.must(&op(id(1), 80, Change::rerun()));
    trial.must(&claim(id(1), 81, "bert", 60, 2));
    let of_the_first = [
        reap(1, 500, 6, policy),
        claim(id(1), 500, "carl", 60, 3),
        claim(id(1), 82, "bert", 60, 2),
        op(id(1), 82, Change::request_cancel("called off")),
        renew(id(1), 82, 900).guarded(Guard::new().lease(6)),
        op(id(1), 82, Change::release()).guarded(Guard::new().lease(6)),
    ];
    for op in of_the_first {
        let mut guard = first;
        guard.lease = op.guard.lease;
        let op = op.guarded(guard);
        is_rejected(trial, &op, stale(GuardKind::Run, 1, 2));
    }
}

pub(crate) fn a_full_record_has_room_for_a_reap(trial: &Trial<'_>) {
    let value = "x".repeat(limits::TAG_VALUE_BYTES);
    for (n, policy) in [(1, ReapPolicy::fail()), (2, ReapPolicy::retry(9))] {
        let mut new = milepost_core::NewProcess::new(&side_by_side()).request_id(id(n));
        for tag in 0..63 {
            new = new.tag(&format!("tag {tag}"), &value);
        }
        trial.must(&trial.begin_at(new, at(0)));
        trial.must(&claim(id(n), 10, "anna", 60, 1));
        for module in 1..=3 {
            trial.must(&op(id(n), 11, Change::start(module)));
        }
        fill(trial, n);
        let guard = lease_guard(&trial.stored(id(n)));
        assert!(trial.must(&renew(id(n), 20, 60).guarded(guard)).changed);
        assert!(trial.must(&reap(n, 80, 2, policy)).changed);
        let mut record = Vec::new();
        trial.stored(id(n)).to_record(&mut record);
        let read = Process::from_record(&record);
        assert!(
            read.is_ok(),
            "what was reaped cannot be read back: {read:?}"
        );
    }
}

/// Describes the file at as great a length as there is room for.
fn fill(trial: &Trial<'_>, n: u32) {
    let mut length = 0;
    for bit in (0..12).rev() {
        let longer = length + (1 << bit);
        let update = Update::new().file_description(&"y".repeat(longer));
        if trial.one(&op(id(n), 12, Change::update(update))).is_ok() {
            length = longer;
        }
    }
    assert!(
        length + 1 < 1 << 12,
        "there is room for more than a description"
    );
}
