//! No law holds by itself: for each there is a store with one fault that breaks it.

#[path = "../stores/honest.rs"]
mod honest;

mod batches;
mod crowds;
mod fences;
mod filters;
mod ghosts;
mod imports;
mod leases;
mod lists;
mod races;
mod ranges;
mod reaps;
mod rules;
mod shared;
mod stalled;
mod store;
mod times;
mod wishes;

use std::collections::BTreeSet;

use milepost_conformance::{Subject, check_law, laws};

/// A wrong store, and the laws that must notice.
pub(crate) struct Case {
    /// What it does wrong.
    fault: &'static str,
    subject: fn() -> Subject,
    breaks: &'static [&'static str],
}

impl Case {
    pub(crate) fn new(
        fault: &'static str,
        subject: fn() -> Subject,
        breaks: &'static [&'static str],
    ) -> Self {
        Case {
            fault,
            subject,
            breaks,
        }
    }
}

fn cases() -> Vec<Case> {
    [
        batches::cases(),
        rules::cases(),
        shared::cases(),
        times::cases(),
        lists::cases(),
        filters::cases(),
        ghosts::cases(),
        imports::cases(),
        ranges::cases(),
        leases::cases(),
        fences::cases(),
        reaps::cases(),
        wishes::cases(),
        races::cases(),
        stalled::cases(),
        crowds::cases(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Sees that each wrong store breaks each law that it is to break, and says which it does not.
fn must_all_break(cases: Vec<Case>) {
    let mut passed = Vec::new();
    for case in cases {
        for name in case.breaks {
            let law = laws().iter().find(|law| law.name == *name);
            let law = law.unwrap_or_else(|| panic!("there is no law {name}"));
            match law.check(&(case.subject)()) {
                Ok(()) => passed.push(format!("a store that {} keeps {name}", case.fault)),
                Err(broken) => {
                    assert_eq!(broken.law.name, *name);
                    assert!(!broken.why.is_empty(), "{name} does not say why");
                }
            }
        }
    }
    assert!(passed.is_empty(), "{}", passed.join("\n"));
}

#[test]
fn laws_on_batches_notice_their_faults() {
    must_all_break(batches::cases());
}

#[test]
fn laws_on_what_ops_do_notice_their_faults() {
    must_all_break(rules::cases());
}

#[test]
fn laws_on_what_is_shared_notice_their_faults() {
    must_all_break(shared::cases());
}

#[test]
fn laws_on_time_notice_their_faults() {
    must_all_break(times::cases());
}

#[test]
fn laws_on_lists_notice_their_faults() {
    must_all_break(lists::cases());
}

#[test]
fn laws_on_filters_notice_their_faults() {
    must_all_break(filters::cases());
}

#[test]
fn laws_on_ranges_notice_their_faults() {
    must_all_break(ranges::cases());
}

#[test]
fn laws_on_ghosts_notice_their_faults() {
    must_all_break(ghosts::cases());
}

#[test]
fn laws_on_imports_notice_their_faults() {
    must_all_break(imports::cases());
}

#[test]
fn laws_on_leases_notice_their_faults() {
    must_all_break(leases::cases());
}

#[test]
fn laws_on_fencing_notice_their_faults() {
    must_all_break(fences::cases());
}

#[test]
fn laws_on_reaping_notice_their_faults() {
    must_all_break(reaps::cases());
}

#[test]
fn laws_on_wishes_notice_their_faults() {
    must_all_break(wishes::cases());
}

#[test]
fn laws_on_races_notice_their_faults() {
    must_all_break(races::cases());
}

#[test]
fn laws_on_what_has_stalled_notice_their_faults() {
    must_all_break(stalled::cases());
}

#[test]
fn laws_on_crowds_notice_their_faults() {
    must_all_break(crowds::cases());
}

#[test]
fn every_law_is_broken_by_some_wrong_store() {
    let all = laws().iter().map(|law| law.name).collect::<BTreeSet<_>>();
    let broken = cases()
        .iter()
        .flat_map(|case| case.breaks)
        .copied()
        .collect::<BTreeSet<_>>();
    let never = all.difference(&broken).collect::<Vec<_>>();
    assert!(never.is_empty(), "no wrong store breaks {never:#?}");
}

#[test]
fn no_two_laws_go_by_one_name() {
    let names = laws().iter().map(|law| law.name).collect::<BTreeSet<_>>();
    assert_eq!(names.len(), laws().len());
}

#[test]
#[should_panic(
    expected = "an_empty_batch_is_answered_by_no_verdicts is broken\n  contract 1, in order"
)]
fn a_broken_law_says_which_it_is() {
    check_law(
        "an_empty_batch_is_answered_by_no_verdicts",
        &batches::refuses_empty_batches(),
    );
}

#[test]
#[should_panic(expected = "there is no law of the name")]
fn an_unknown_law_is_no_law() {
    check_law("anything_goes", &batches::refuses_empty_batches());
}

#[test]
fn a_check_names_every_broken_law() {
    let check = || milepost_conformance::check(&batches::refuses_empty_batches());
    let panic = std::panic::catch_unwind(check).expect_err("a law is broken");
    let report = panic.downcast_ref::<String>().expect("it says why");
    assert!(report.starts_with("1 of "), "{report}");
    assert!(
        report.contains("an_empty_batch_is_answered_by_no_verdicts is broken"),
        "{report}"
    );
    assert!(
        report.contains("why: write: the store failed with Other"),
        "{report}"
    );
}
