#![doc = include_str!("../README.md")]

mod fixture;
mod law;
mod laws;
mod list;
mod model;
mod subject;
mod trial;

pub use law::{Broken, Law, Sentence};
pub use subject::Subject;

use std::fmt::Write;

/// Every law of the contract, by sentence.
#[must_use]
pub fn laws() -> &'static [Law] {
    list::LAWS
}

/// Tries every law on this kind of store.
///
/// # Panics
///
/// If a law is broken: with every one that is, its sentence, and why. A law's own panic is printed as
/// it happens, with the line of the kit that noticed.
pub fn check(subject: &Subject) {
    let broken = laws()
        .iter()
        .filter_map(|law| law.check(subject).err())
        .collect::<Vec<_>>();
    let mut report = String::new();
    for broken in &broken {
        write!(report, "\n\n{broken}").expect("a String takes all that is written to it");
    }
    assert!(
        broken.is_empty(),
        "{} of {} laws are broken{report}",
        broken.len(),
        laws().len()
    );
}

/// Tries the law of this name on this kind of store: what each test that [`laws!`] names does.
///
/// # Panics
///
/// If the law is broken, with its sentence and why; or if there is no law of this name.
pub fn check_law(name: &str, subject: &Subject) {
    let law = laws().iter().find(|law| law.name == name);
    let law = law.unwrap_or_else(|| panic!("there is no law of the name {name}"));
    if let Err(broken) = law.check(subject) {
        panic!("{broken}");
    }
}
