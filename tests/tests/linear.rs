//! The search for an order that explains a history finds one where there is one, and only there.

use milepost_tests::race::linear::{Event, linearize};

/// A register: `Ok` sets it, `Err` is a read.
type What = Result<u8, u8>;

fn register(state: u8, what: What) -> Option<u8> {
    match what {
        Ok(set) => Some(set),
        Err(seen) => (seen == state).then_some(state),
    }
}

fn event(began: u64, ended: u64, what: What) -> Event<What> {
    Event { began, ended, what }
}

#[test]
fn calls_that_overlap_may_come_in_any_order_and_others_may_not() {
    let history = |read_began, seen| [event(1, 4, Ok(7)), event(read_began, 9, Err(seen))];
    for (read_began, seen, is_right) in [(3, 0, true), (3, 7, true), (5, 7, true), (5, 0, false)] {
        let found = linearize(0, &history(read_began, seen), |state, what| {
            register(*state, *what)
        });
        assert_eq!(found.is_ok(), is_right, "{found:?}");
    }
}

/// Tries every order of the events, one by one.
fn try_all(state: u8, left: &[Event<What>]) -> bool {
    left.is_empty()
        || (0..left.len()).any(|first| {
            let mut rest = left.to_vec();
            let event = rest.remove(first);
            rest.iter().all(|other| event.began <= other.ended)
                && register(state, event.what).is_some_and(|state| try_all(state, &rest))
        })
}

#[test]
fn it_agrees_with_trying_every_order() {
    let mut random = fastrand::Rng::with_seed(1);
    let mut right = 0;
    for case in 0..20_000 {
        let events = (0..6).map(|_| {
            let began = random.u64(..20);
            let what = if random.bool() {
                Ok(random.u8(..3))
            } else {
                Err(random.u8(..3))
            };
            event(began, began + random.u64(..8), what)
        });
        let events = events.collect::<Vec<_>>();
        let expected = try_all(0, &events);
        right += u32::from(expected);
        let found = linearize(0, &events, |state, what| register(*state, *what));
        assert_eq!(
            found.is_ok(),
            expected,
            "case {case}: {events:?}: {found:?}"
        );
    }
    assert!(
        (2_000..18_000).contains(&right),
        "{right} of them are right"
    );
}
