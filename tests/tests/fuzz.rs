//! A fuzz target for each decoder, and one for whole database files. Each reads its corpus, in `__fuzz__`, and some
//! random inputs.
//!
//! `cargo bolero test --sanitizer NONE --test fuzz record` goes on from there, led by what the code does, on a stable
//! toolchain. What it finds is kept as a file of the corpus.

use std::collections::BTreeMap;

use bolero::check;
use milepost_tests::laws::hostile::decoders::{TARGETS, Target};
use milepost_tests::laws::hostile::{corpus, mutants};

/// Has a decoder read this input.
fn read(name: &str, input: &[u8]) {
    let target = TARGETS.iter().find(|target| target.name == name);
    let Target { read, .. } = target.expect("it is named as it is");
    if let Err(how) = read(input) {
        panic!("{how}");
    }
}

macro_rules! targets {
    ($($name:ident),*) => {$(
        #[test]
        fn $name() {
            check!(name = stringify!($name))
                .with_iterations(2_000)
                .for_each(|input: &[u8]| read(stringify!($name), input));
        }
    )*};
}

targets!(
    record,
    body,
    process_json,
    cursor,
    report,
    not_found,
    receipt
);

#[test]
fn database() {
    check!(name = "database")
        .with_iterations(50)
        .for_each(|input: &[u8]| {
            let directory = tempfile::tempdir().expect("there is room for a directory");
            if let Err(how) = mutants::try_bytes(directory.path(), input) {
                panic!("{how}");
            }
        });
}

/// The corpus is to stay small, and each target has one.
#[test]
fn the_corpus_is_small_and_whole() {
    let names = TARGETS.iter().map(|target| target.name).chain(["database"]);
    let bytes = names
        .map(|name| (name, corpus::read(name).iter().map(Vec::len).sum()))
        .collect::<BTreeMap<_, usize>>();
    assert!(bytes.values().all(|bytes| *bytes > 0), "{bytes:?}");
    assert!(bytes.values().sum::<usize>() < 200 * 1024, "{bytes:?}");
}
