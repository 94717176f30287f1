//! Sending again: whatever was accepted once changes nothing the second time.

use milepost_core::{Op, Rejection};
use proptest::prelude::*;

use crate::common::random::{cases, live, pipeline, steps, stood};

proptest! {
    #![proptest_config(cases(120))]

    /// A batch of which each op stood, sent again, leaves the record as it was.
    #[test]
    fn a_guarded_batch_sent_again_leaves_the_same_record(chain in pipeline(), steps in steps()) {
        let life = live(&chain, &steps);
        let batch = life.log.iter().filter(|entry| stood(entry)).map(|(op, _)| op);
        let batch = batch.collect::<Vec<&Op>>();
        let mut once = life.start.clone();
        for op in &batch {
            once.apply(op).expect("it stood before");
        }
        prop_assert_eq!(&once.0, &life.end.0, "what was refused had changed nothing");
        let mut twice = once.clone();
        for op in &batch {
            let verdict = twice.apply(op);
            prop_assert!(!matches!(&verdict, Ok(applied) if applied.changed), "{op:?}: {verdict:?}");
        }
        prop_assert_eq!(twice.0, once.0);
    }

    /// However late an accepted op comes again, it changes nothing.
    #[test]
    fn an_op_that_comes_again_at_any_later_time_changes_nothing(chain in pipeline(), steps in steps()) {
        let life = live(&chain, &steps);
        let mut slot = life.start.clone();
        for (now, (op, verdict)) in life.log.iter().enumerate() {
            prop_assert_eq!(&slot.apply(op), verdict, "the machine is a pure function");
            for (late, _) in life.log[..=now].iter().filter(|entry| stood(entry)) {
                let again = slot.apply(late);
                prop_assert!(!matches!(&again, Ok(applied) if applied.changed), "{late:?}: {again:?}");
            }
        }
    }

    /// One op sent twice in a row: the second changes nothing, whatever became of the first.
    #[test]
    fn an_op_sent_twice_in_a_row_changes_nothing_the_second_time(chain in pipeline(), steps in steps()) {
        let life = live(&chain, &steps);
        let mut slot = life.start.clone();
        for (op, first) in &life.log {
            slot.apply(op).ok();
            match (first, slot.apply(op)) {
                (Ok(_), Ok(second)) => prop_assert!(!second.changed, "{op:?}"),
                (Ok(_), Err(Rejection::Backwards { .. } | Rejection::TooLarge { .. })) => {
                    prop_assert!(false, "{op:?} stands");
                }
                (Ok(_), Err(_)) => {}
                (Err(first), second) => prop_assert_eq!(&Err(first.clone()), &second),
            }
        }
    }

    #[test]
    fn every_state_on_the_way_counts_one_revision_more(chain in pipeline(), steps in steps()) {
        let life = live(&chain, &steps);
        let changes = life.log.iter().filter(|(_, verdict)| matches!(verdict, Ok(a) if a.changed));
        prop_assert_eq!(life.end.process().revision(), 1 + changes.count() as u64);
        prop_assert_eq!(life.end.process().version().born, life.start.process().version().born);
    }
}
