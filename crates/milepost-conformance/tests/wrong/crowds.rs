//! Faults of a store that commits the batches of many callers together: alone, nobody meets them.

use std::mem;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::thread;
use std::time::Duration;

use milepost_conformance::Subject;
use milepost_core::{Op, StatusStore, StoreError, StoreErrorKind, Verdict, limits};

use crate::Case;
use crate::honest::Honest;
use crate::store::Wrong;

type Answer = Result<Vec<Verdict>, StoreError>;

/// Who is writing, and what they have left for each other.
#[derive(Default)]
struct Crowd {
    inside: AtomicU32,
    /// Batches that are applied later.
    left: Mutex<Vec<Vec<Op>>>,
    /// The answer to the caller before.
    answer: Mutex<Option<Answer>>,
    /// Whether one of those who write now is over a limit.
    over: Mutex<bool>,
}

impl Crowd {
    /// Comes in, and stays until others have come; says how many were there already.
    fn enter(&self) -> u32 {
        let others = self.inside.fetch_add(1, Ordering::SeqCst);
        thread::sleep(Duration::from_millis(1));
        others
    }

    /// Goes out.
    fn leave(&self) {
        self.inside.fetch_sub(1, Ordering::SeqCst);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("no law panics in here")
}

/// A store that, in a crowd, answers in its own way whoever comes after so many others.
fn in_a_crowd(
    write: impl Fn(&Crowd, &Honest, &[Op], u32) -> Answer + Clone + Send + Sync + 'static,
) -> Subject {
    Subject::new(move || {
        let (crowd, write) = (Crowd::default(), write.clone());
        Wrong::new().write(move |honest, ops| {
            let others = crowd.enter();
            let answer = write(&crowd, honest, ops, others);
            crowd.leave();
            answer
        })
    })
}

/// A store of the same content, into which nobody looks.
fn copy(honest: &Honest) -> Honest {
    let copy = Honest::new();
    copy.records().clone_from(&honest.records());
    copy
}

fn apply_what_was_left(crowd: &Crowd, honest: &Honest) -> Result<(), StoreError> {
    let left = mem::take(&mut *lock(&crowd.left));
    left.iter().try_for_each(|ops| honest.write(ops).map(drop))
}

/// Of two batches that come together one is answered, and not kept.
fn loses_one_of_two() -> Subject {
    in_a_crowd(|_, honest, ops, others| {
        if others % 2 == 1 {
            return copy(honest).write(ops);
        }
        honest.write(ops)
    })
}

/// Everybody's batch is kept, and whoever comes after another gets the answer to that one.
fn mixes_up_callers() -> Subject {
    in_a_crowd(|crowd, honest, ops, others| {
        let own = honest.write(ops);
        let before = lock(&crowd.answer).replace(own.clone());
        before.filter(|_| others > 0).unwrap_or(own)
    })
}

/// Answers before it has applied, which the next caller who is alone does.
fn answers_ahead() -> Subject {
    in_a_crowd(|crowd, honest, ops, others| {
        if others == 0 {
            apply_what_was_left(crowd, honest)?;
            return honest.write(ops);
        }
        lock(&crowd.left).push(ops.to_vec());
        copy(honest).write(ops)
    })
}

/// Turns some away, and applies later what they wanted.
fn applies_what_was_withdrawn() -> Subject {
    in_a_crowd(|crowd, honest, ops, others| {
        apply_what_was_left(crowd, honest)?;
        limits::check_batch(ops)?;
        if others % 7 == 6 {
            lock(&crowd.left).push(ops.to_vec());
            let why = "too many are writing";
            return Err(StoreError::new(StoreErrorKind::Busy, why));
        }
        honest.write(ops)
    })
}

/// Turns whoever comes second away, having kept what it wanted.
fn keeps_what_was_busy() -> Subject {
    in_a_crowd(|_, honest, ops, others| {
        let answer = honest.write(ops)?;
        if others > 0 {
            let why = "somebody is writing";
            return Err(StoreError::new(StoreErrorKind::Busy, why));
        }
        Ok(answer)
    })
}

/// One batch that is refused has all refused that came together with it.
fn refuses_all_together() -> Subject {
    in_a_crowd(|crowd, honest, ops, others| {
        let within = limits::check_batch(ops);
        *lock(&crowd.over) |= within.is_err();
        thread::sleep(Duration::from_millis(1));
        within?;
        if others > 0 && *lock(&crowd.over) {
            let why = "together they are too many";
            return Err(StoreError::new(StoreErrorKind::Limit, why));
        }
        honest.write(ops)
    })
}

/// Keeps what goes into a group of a batch that does not.
fn keeps_a_part_of_what_is_too_large() -> Subject {
    in_a_crowd(|_, honest, ops, others| {
        if others > 0 && limits::check_batch(ops).is_err() {
            honest.write(&ops[..2])?;
        }
        honest.write(ops)
    })
}

pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case::new(
            "loses one of two batches that come together",
            loses_one_of_two,
            &[
                "of_a_thousand_writers_none_is_lost",
                "each_of_a_crowd_is_told_of_its_own_ops",
                "a_refused_batch_in_a_crowd_spoils_no_other",
            ],
        ),
        Case::new(
            "hands the verdicts of one caller to another",
            mixes_up_callers,
            &["each_of_a_crowd_is_told_of_its_own_ops"],
        ),
        Case::new(
            "answers before it has applied",
            answers_ahead,
            &["what_begins_after_anothers_ok_follows_it"],
        ),
        Case::new(
            "applies what it has turned away",
            applies_what_was_withdrawn,
            &["of_a_thousand_writers_none_is_lost"],
        ),
        Case::new(
            "is busy with what it has kept",
            keeps_what_was_busy,
            &["of_a_thousand_writers_none_is_lost"],
        ),
        Case::new(
            "refuses all that come together with one that is too large",
            refuses_all_together,
            &["a_refused_batch_in_a_crowd_spoils_no_other"],
        ),
        Case::new(
            "keeps a part of what is too large, in a crowd",
            keeps_a_part_of_what_is_too_large,
            &["a_refused_batch_in_a_crowd_spoils_no_other"],
        ),
    ]
}
