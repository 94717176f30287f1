//! Holders and what outlives them: leases through erasure, expiry, reopening and repeats.

use std::sync::Arc;

use milepost_core::{
    Change, Filter, Guard, NewProcess, Op, Process, Progress, ReapPolicy, Rejection, Update, limits,
};

use super::claims::{begin_claimed, claim_of, is_fenced, is_rejected};
use super::durable::HOSTILE;
use super::fencing::of_a_holder;
use crate::fixture::{
    at, chain, claim, id, lease_guard, micros_after, module_guard, op, renew, run_guard, time,
};
use crate::trial::{Trial, ok};

pub(crate) fn erased_while_leased_nothing_is_left(trial: &Trial<'_>) {
    let guard = lease_guard(&begin_claimed(trial, 1));
    trial.must(&op(id(1), 11, Change::request_cancel("called off")));
    assert!(trial.must(&op(id(1), 20, Change::erase())).changed);
    assert_eq!(trial.read(id(1)), None);
    trial.must_list_as_expected(&Filter::new().visible_at(at(500)));
    let reap = op(id(1), 500, Change::reap(2, ReapPolicy::fail()));
    let mut late = of_a_holder(1, 30, guard);
    late.extend([reap, claim(id(1), 30, "bert", 60, 2)]);
    for op in &late {
        is_rejected(trial, op, Rejection::NotFound);
    }
    // Begun anew and held anew, under a token of the same number.
    trial.must(&trial.begin(&chain(), id(1), 31));
    assert_eq!(
        trial.stored(id(1)).claim(),
        None,
        "nobody holds what began anew"
    );
    trial.must(&claim(id(1), 32, "bert", 60, 2));
    assert_eq!(claim_of(trial, 1).token(), 2);
    let anew = trial.stored(id(1));
    assert_eq!(
        anew.cancel_requested(),
        None,
        "nobody wishes anything of it"
    );
    let born = Guard::new().born(guard.born.unwrap_or_default());
    let reap = op(id(1), 500, Change::reap(2, ReapPolicy::fail())).guarded(born);
    let mut late = of_a_holder(1, 33, guard);
    late.extend([reap, claim(id(1), 500, "anna", 60, 1).guarded(born)]);
    for op in &late {
        is_rejected(trial, op, Rejection::NotFound);
    }
}

pub(crate) fn what_expires_while_leased_is_nobody_s(trial: &Trial<'_>) {
    let new = |n| NewProcess::new(&chain()).request_id(id(n));
    trial.must(&trial.begin_at(new(1).expires_at(at(50)), at(0)));
    trial.must(&claim(id(1), 10, "anna", 60, 1));
    let guard = lease_guard(&trial.stored(id(1)));
    for seconds in [50, 69, 70, 500] {
        let mut late = of_a_holder(1, seconds, guard);
        late.retain(|op| op.change != Change::Erase);
        late.push(claim(id(1), seconds, "bert", 60, 2));
        late.push(op(id(1), seconds, Change::reap(2, ReapPolicy::fail())));
        for op in &late {
            is_rejected(trial, op, Rejection::NotFound);
        }
    }
    // Its lease lasts until then, and no longer than it does.
    let mut last = op(id(1), 0, Change::start(1)).guarded(guard);
    last.at = micros_after(at(50), -1);
    assert!(trial.must(&last).changed, "it has not expired yet");
    assert!(trial.must(&trial.begin_at(new(1), at(50))).changed);
    assert_eq!(
        trial.stored(id(1)).claim(),
        None,
        "nobody holds what began anew"
    );
    assert!(trial.must(&claim(id(1), 51, "bert", 60, 2)).changed);
    for op in of_a_holder(1, 52, guard) {
        is_rejected(trial, &op, Rejection::NotFound);
    }
    // What is kept for longer while it is held goes on.
    trial.must(&trial.begin_at(new(2).expires_at(at(50)), at(0)));
    trial.must(&claim(id(2), 10, "anna", 60, 1));
    let guard = lease_guard(&trial.stored(id(2)));
    let extend = Change::update(Update::new().expires_at(at(900)));
    assert!(trial.must(&op(id(2), 49, extend).guarded(guard)).changed);
    assert!(
        trial
            .must(&op(id(2), 60, Change::start(1)).guarded(guard))
            .changed
    );
}

pub(crate) fn claims_and_wishes_are_kept_whole(trial: &Trial<'_>) {
    let longest = "\u{20ac}".repeat(limits::NAME_BYTES / 3);
    let reason = "\u{20ac}".repeat(limits::REASON_BYTES / 3);
    let workers = HOSTILE.iter().copied().chain([longest.as_str()]);
    for (n, worker) in (0..).zip(workers) {
        trial.must(&trial.begin(&chain(), id(n), 0));
        let mark = u64::MAX - u64::from(n % 3);
        let mut claimed = claim(id(n), 0, worker, 60, mark);
        claimed.at = micros_after(at(10), 7);
        trial.must(&claimed);
        trial.must(&op(id(n), 11, Change::request_cancel(&reason)));
        // Compared whole after every step; here with what was asked for.
        let process = trial.stored(id(n));
        let kept = process.claim().expect("it was claimed");
        assert_eq!(
            (kept.worker(), kept.mark()),
            (worker, mark),
            "left is stored"
        );
        assert_eq!(
            (kept.claimed_at(), kept.until()),
            (micros_after(at(10), 7), micros_after(at(70), 7)),
            "left is stored"
        );
        let wish = process.cancel_requested().expect("it is asked for");
        assert_eq!(
            (wish.reason(), wish.at()),
            (reason.as_str(), at(11)),
            "left is stored"
        );
        let guard = lease_guard(&process);
        match n % 3 {
            0 => drop(trial.must(&op(id(n), 20, Change::release()).guarded(guard))),
            1 => drop(trial.must(&op(id(n), 71, Change::reap(2, ReapPolicy::fail())))),
            _ => drop(trial.must(&renew(id(n), 30, 900).guarded(guard))),
        }
    }
    // At both ends of the range, and for as long as can be asked.
    for (n, text) in (50..).zip(["0001-01-01T00:00:00Z", "9998-12-30T23:59:59.999999Z"]) {
        trial.must(&trial.begin_at(NewProcess::new(&chain()).request_id(id(n)), time(text)));
        let year = limits::LONGEST_LEASE;
        let mut claimed = op(id(n), 0, Change::claim("anna", year, 1));
        claimed.at = time(text);
        trial.must(&claimed);
        assert_eq!(
            claim_of(trial, n).until(),
            time(text) + year,
            "left is stored"
        );
    }
    trial.must_hold_exactly_what_is_expected();
}

pub(crate) fn a_lease_goes_on_after_reopening(trial: &Trial<'_>) {
    begin_claimed(trial, 1);
    trial.must(&op(id(1), 11, Change::request_cancel("called off")));
    begin_claimed(trial, 2);
    for n in [1, 2] {
        let guard = lease_guard(&trial.stored(id(n)));
        trial.reopen();
        trial.must_be_as_expected(id(n));
        let send = |op: Op| {
            let ops = [op];
            let verdicts = ok("write", trial.store().write(&ops));
            assert_eq!(
                verdicts,
                trial.expect(&ops),
                "left is the verdict on {ops:?}"
            );
            trial.reopen();
            trial.must_be_as_expected(id(n));
        };
        send(claim(id(n), 20, "bert", 60, 2));
        send(op(id(n), 20, Change::start(1)).guarded(guard));
        send(renew(id(n), 30, 60).guarded(guard));
        send(claim(id(n), 89, "bert", 60, 2));
        send(op(id(n), 90, Change::complete(1)).guarded(guard));
        send(op(id(n), 90, Change::reap(2, ReapPolicy::retry(2))));
        send(op(id(n), 40, Change::complete(1)).guarded(guard));
        send(claim(id(n), 91, "bert", 60, 3));
    }
    trial.must_hold_exactly_what_is_expected();
    trial.must_list_as_expected(&Filter::new().visible_at(at(500)));
}

/// Two runs of one process under leases, each op guarded with what whoever sent it would have seen.
fn history(trial: &Trial<'_>, n: u32) -> Vec<Op> {
    let claim = |worker, mark| Change::claim(worker, std::time::Duration::from_secs(20), mark);
    let renew = || Change::renew(std::time::Duration::from_secs(20));
    let report = |done| Change::progress(1, Progress::unbounded(done));
    let steps = [
        (10, claim("anna", 1)),
        (11, Change::start(1)),
        (12, report(1)),
        (20, renew()),
        (40, Change::reap(2, ReapPolicy::retry(2))),
        (41, claim("bert", 2)),
        (42, Change::start(1)),
        (43, Change::request_cancel("called off")),
        (44, report(2)),
        (45, Change::complete(1)),
        (50, Change::release()),
        (51, Change::rerun()),
        (52, claim("anna", 3)),
        (53, Change::start(2)),
        (54, Change::update(Update::new().file_name("second.pdf"))),
        (73, Change::reap(14, ReapPolicy::fail())),
        (74, Change::rerun()),
        (75, claim("carl", 4)),
        (76, renew()),
        (77, Change::complete(2)),
        (78, Change::release()),
        (79, claim("carl", 5)),
        (80, Change::complete(3)),
    ];
    let mut slot: Option<Arc<Process>> = None;
    let mut ops = vec![trial.begin(&chain(), id(n), 0)];
    ops[0].apply(&mut slot).expect("nothing is there yet");
    for (seconds, change) in steps {
        let process = slot.as_ref().expect("it was begun");
        let guard = guard_of(process, &change, seconds);
        let op = op(id(n), seconds, change).guarded(guard);
        let applied = op.apply(&mut slot);
        assert!(
            applied.as_ref().is_ok_and(|applied| applied.changed),
            "each step is a change after the one before: {applied:?} came of {op:?}"
        );
        ops.push(op);
    }
    ops
}

/// The guard that makes sending a change again safe.
fn guard_of(process: &Process, change: &Change, seconds: i64) -> Guard {
    let version = process.version();
    let born = Guard::new().born(version.born);
    let mut guard = match change {
        Change::Reap { .. } => return born,
        Change::Claim { .. } => return born.revision(version.revision),
        Change::Renew { .. } | Change::Release => born,
        Change::Update(_) => born.revision(version.revision),
        Change::RequestCancel { .. } | Change::Rerun => return run_guard(process),
        Change::Start { module }
        | Change::Progress { module, .. }
        | Change::Complete { module } => module_guard(process, *module),
        _ => run_guard(process),
    };
    assert!(process.is_leased(at(seconds)), "somebody holds it");
    guard.lease = lease_guard(process).lease;
    guard
}

pub(crate) fn a_batch_under_leases_sent_twice_leaves_what_sending_it_once_does(trial: &Trial<'_>) {
    let (first, second) = (history(trial, 1), history(trial, 2));
    let both = first.into_iter().zip(second).flat_map(|(a, b)| [a, b]);
    let batch = both.collect::<Vec<_>>();
    for part in [
        &batch[..9],
        &batch[9..16],
        &batch[16..30],
        &batch[30..],
        &batch[..],
    ] {
        trial.send(part);
        let after_one = [trial.read(id(1)), trial.read(id(2))];
        trial.send(part);
        let twice = [trial.read(id(1)), trial.read(id(2))];
        assert_eq!(
            twice, after_one,
            "left is stored after the batch came again, right before it"
        );
    }
    assert!(trial.stored(id(1)).is_settled(), "it came to its end");
}

pub(crate) fn late_repeats_between_leases_change_nothing(trial: &Trial<'_>) {
    let ops = history(trial, 1);
    for sent in 0..ops.len() {
        let verdict = trial.one(&ops[sent]);
        assert!(
            verdict.as_ref().is_ok_and(|applied| applied.changed),
            "got {verdict:?} on {:?}",
            ops[sent]
        );
        let before = trial.stored(id(1));
        // At once it stands; and all that was ever sent comes again, newest and then oldest first.
        let again = trial.one(&ops[sent]);
        assert!(
            again.is_ok(),
            "got {again:?} on the repeat of {:?}",
            ops[sent]
        );
        for late in ops[..=sent].iter().rev().chain(&ops[..=sent]) {
            let changed = trial.one(late).is_ok_and(|applied| applied.changed);
            assert!(
                !changed,
                "a repeat changed something after op {sent}: {late:?}"
            );
        }
        assert_eq!(
            trial.stored(id(1)),
            before,
            "left is stored after repeats, right before them"
        );
    }
    // The holders of the past are fenced, also from what has settled.
    let guard = lease_guard(&trial.stored(id(1)));
    for given in [2, 7, 14, 20] {
        let late = op(id(1), 81, Change::complete(3)).guarded(Guard::new().lease(given));
        is_fenced(trial, &late, given, guard.lease);
    }
}
