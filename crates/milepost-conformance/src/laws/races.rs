//! Races for a lease: many threads at one process, of which one wins.

use milepost_core::{Change, OverallStatus, ReapPolicy, Rejection, StatusStore, Verdict};

use super::threads::{THREADS, at_once, wins};
use crate::fixture::{at, chain, claim, id, lease_guard, op, renew};
use crate::trial::{Trial, ok};

const ROUNDS: u32 = 10;

/// Begins process `n` and claims it for anna, from second 10 until 70, as token 2.
fn begin_claimed(trial: &Trial<'_>, n: u32) {
    let ops = [
        trial.begin(&chain(), id(n), 0),
        claim(id(n), 10, "anna", 60, 1),
        op(id(n), 11, Change::start(1)),
    ];
    let verdicts = ok("write", trial.store().write(&ops));
    assert!(verdicts.iter().all(Verdict::is_ok), "got {verdicts:?}");
}

fn one(store: &dyn StatusStore, op: &milepost_core::Op) -> Verdict {
    ok("write", store.write(std::slice::from_ref(op))).remove(0)
}

pub(crate) fn of_many_claims_at_once_one_wins(trial: &Trial<'_>) {
    for round in 0..ROUNDS {
        let begin = [trial.begin(&chain(), id(round), 0)];
        ok("write", trial.store().write(&begin));
        let verdicts = at_once(trial, |n, store| {
            one(store, &claim(id(round), 10, &n.to_string(), 60, n.into()))
        });
        let winners = verdicts.iter().filter(|verdict| verdict.is_ok()).count();
        assert_eq!(
            winners, 1,
            "of {THREADS} claims so many were made: {verdicts:?}"
        );
        let winner = verdicts.iter().position(Verdict::is_ok).unwrap_or_default();
        let stored = trial.stored(id(round));
        let held = stored.claim().expect("it was claimed");
        assert_eq!(
            (held.worker(), held.token()),
            (winner.to_string().as_str(), 2),
            "left is stored, right has won"
        );
        for verdict in verdicts.iter().filter(|verdict| verdict.is_err()) {
            let (worker, until) = (held.worker().into(), at(70));
            assert_eq!(verdict, &Err(Rejection::Held { worker, until }));
        }
    }
}

pub(crate) fn of_many_that_claim_what_stalls_one_wins(trial: &Trial<'_>) {
    for round in 0..ROUNDS {
        begin_claimed(trial, round);
        let won = at_once(trial, |n, store| {
            wins(
                store,
                &claim(id(round), 70, &n.to_string(), 60, 9 + u64::from(n)),
            )
        });
        let winners = won.iter().filter(|won| **won).count();
        assert_eq!(winners, 1, "of {THREADS} claims so many were made");
        assert_eq!(trial.stored(id(round)).revision(), 4);
    }
}

pub(crate) fn a_claim_and_a_cancel_at_once_come_one_after_the_other(trial: &Trial<'_>) {
    for round in 0..ROUNDS {
        let begin = [trial.begin(&chain(), id(round), 0)];
        ok("write", trial.store().write(&begin));
        let won = at_once(trial, |n, store| {
            let op = if n % 2 == 0 {
                op(id(round), 10, Change::cancel("called off"))
            } else {
                claim(id(round), 10, &n.to_string(), 60, n.into())
            };
            (n % 2, wins(store, &op))
        });
        let of = |kind| won.iter().filter(|won| **won == (kind, true)).count();
        let (cancelled, claimed) = (of(0), of(1));
        assert_eq!(cancelled, 1, "so many have cancelled it: {won:?}");
        assert!(claimed <= 1, "so many have claimed it: {won:?}");
        let stored = trial.stored(id(round));
        assert_eq!(stored.status(), OverallStatus::Cancelled, "left is stored");
        assert_eq!(
            (usize::from(stored.claim().is_some()), stored.revision()),
            (claimed, 2 + claimed as u64),
            "left is stored, right is what was answered"
        );
    }
}

pub(crate) fn a_reap_and_a_renewal_at_once_do_not_both_hold(trial: &Trial<'_>) {
    for round in 0..ROUNDS {
        begin_claimed(trial, round);
        let guard = lease_guard(&trial.stored(id(round)));
        let verdicts = at_once(trial, |n, store| {
            if n % 2 == 0 {
                let policy = ReapPolicy::retry(2);
                (
                    n % 2,
                    one(store, &op(id(round), 70, Change::reap(2, policy))),
                )
            } else {
                (n % 2, one(store, &renew(id(round), 69, 60).guarded(guard)))
            }
        });
        let of = |kind, changed: bool| {
            let counts = |verdict: &Verdict| {
                let applied = verdict.as_ref();
                applied.is_ok_and(|applied| applied.changed || !changed)
            };
            let verdicts = verdicts.iter();
            verdicts
                .filter(|(n, verdict)| *n == kind && counts(verdict))
                .count()
        };
        let (reaped, renewed) = (of(0, true), of(1, false));
        let one_of_them = (reaped == 1 && renewed == 0) || (reaped == 0 && renewed > 0);
        assert!(one_of_them, "reaped and renewed it was: {verdicts:?}");
        let stored = trial.stored(id(round));
        let held = stored.claim().expect("it was claimed");
        if reaped == 1 {
            assert!(
                held.end().is_some(),
                "it was reaped, and stored is {held:?}"
            );
            assert_eq!((held.until(), stored.modules()[0].attempt()), (at(70), 2));
        } else {
            assert_eq!(
                (held.end(), held.until()),
                (None, at(129)),
                "left is stored"
            );
            assert_eq!(stored.modules()[0].attempt(), 1, "nobody has reaped it");
        }
        assert_eq!(stored.revision(), 4, "one change came of it");
    }
}

pub(crate) fn what_stalls_is_reaped_once_by_many(trial: &Trial<'_>) {
    const COUNT: u32 = 8;
    for n in 0..COUNT {
        begin_claimed(trial, n);
    }
    let reaps = |n| op(id(n), 70, Change::reap(2, ReapPolicy::retry(9)));
    let reaps = (0..COUNT).map(reaps).collect::<Vec<_>>();
    let won = at_once(trial, |_, store| {
        let one_by_one = reaps.iter().map(|reap| wins(store, reap));
        one_by_one.filter(|won| *won).count()
    });
    let reaped = won.iter().sum::<usize>();
    assert_eq!(reaped, COUNT as usize, "so many of {COUNT} were reaped");
    for n in 0..COUNT {
        let stored = trial.stored(id(n));
        let module = &stored.modules()[0];
        assert_eq!(
            (stored.revision(), module.attempt(), module.attempts().len()),
            (4, 2, 1),
            "left is stored of process {n}"
        );
    }
}

pub(crate) fn no_wish_is_lost_to_a_release(trial: &Trial<'_>) {
    for round in 0..ROUNDS {
        begin_claimed(trial, round);
        let guard = lease_guard(&trial.stored(id(round)));
        let verdicts = at_once(trial, |n, store| {
            let op = if n % 2 == 0 {
                op(id(round), 20, Change::request_cancel("called off"))
            } else {
                op(id(round), 20, Change::release()).guarded(guard)
            };
            one(store, &op)
        });
        let answered = verdicts.iter().all(Verdict::is_ok);
        assert!(answered, "each of them stands in any order: {verdicts:?}");
        let stored = trial.stored(id(round));
        assert_eq!(
            (stored.status(), stored.cancel_requested()),
            (OverallStatus::Cancelled, None),
            "left is stored after a wish and a release at once"
        );
    }
}
