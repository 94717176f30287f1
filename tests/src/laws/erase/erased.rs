//! Nothing is left among neighbours that stay, while others work.

use std::path::Path;
use std::process::Command;

use milepost::verify_erased;

use super::{Marked, Needles, read_list};
use crate::law::{Broken, Done, Law, Shard, ensure, program};

/// Nothing is left of every second process.
pub static ERASED: Law = Law {
    name: "erased",
    says: "after `Done` no byte of what was erased is in any file of the store, nor in what was printed, among \
           neighbours that stay, while others work, after ANALYZE and after a program without secure_delete",
    unit: "processes",
    shard: 1_000,
    asked: 4_000,
    run: |shard| {
        if shard.until.is_none() {
            return erased(shard, "wipe");
        }
        // Briefly each pair.
        for seed in shard.seed..shard.seed + PAIRS {
            let scratch = &shard.scratch.join(seed.to_string());
            std::fs::create_dir(scratch)?;
            let count = shard.count / PAIRS;
            let part = Shard {
                seed,
                count,
                scratch,
                ..*shard
            };
            erased(&part, "wipe")?;
        }
        Ok(Done::Tried(shard.count))
    },
};

/// As many seeds in a row try each level with each durability.
const PAIRS: u64 = 4;

/// With a child that ends in this way: see the program `erase`.
pub fn erased(shard: &Shard<'_>, how: &str) -> Result<Done, Broken> {
    let mut random = shard.random(0);
    let file = shard.scratch.join("store/status.db");
    let list = shard.scratch.join("list");
    std::fs::create_dir(shard.scratch.join("store"))?;
    let level = ["files", "media"][usize::from(shard.seed & 1 == 0)];
    let durability = ["full", "normal"][usize::from(shard.seed & 2 == 0)];
    let child = program("erase")
        .arg("work")
        .args([&file, &list])
        .args([
            &random.u64(..).to_string(),
            &shard.count.to_string(),
            level,
            durability,
            how,
        ])
        .output()?;
    let printed = [child.stdout, child.stderr].concat();
    let words = String::from_utf8_lossy(&printed).into_owned();
    ensure(child.status.success(), || {
        format!("the child failed: {words}")
    })?;
    let all = read_list(&list)?;
    nothing_is_left(&file, &all)?;
    let needles = Needles::of(all.iter().filter(|marked| marked.goes));
    ensure(needles.find(&printed).is_none(), || {
        format!("a mark was printed: {words}")
    })?;
    ensure(words.contains("NotFound"), || {
        format!("no late op was refused: {words}")
    })?;
    what_stays_is_found(&file, &all)?;
    Ok(Done::Tried(shard.count))
}

/// By either way of looking.
pub(super) fn nothing_is_left(file: &Path, all: &[Marked]) -> Result<(), Broken> {
    let gone = || all.iter().filter(|marked| marked.goes);
    let marks = gone().flat_map(Marked::marks).collect::<Vec<_>>();
    let traces = verify_erased(file, &marks)?;
    ensure(traces.is_clean(), || format!("bytes are left: {traces}"))?;
    let directory = file.parent().expect("a file is in a directory");
    let found = Needles::of(gone()).find_in_directory(directory)?;
    ensure(found.is_none(), || {
        format!("bytes are left: {}", found.unwrap_or_default())
    })
}

/// Otherwise looking would prove nothing.
fn what_stays_is_found(file: &Path, all: &[Marked]) -> Result<(), Broken> {
    for marked in all.iter().filter(|marked| !marked.goes).take(20) {
        let found = verify_erased(file, &marked.marks())?.found;
        for mark in 0..marked.marks().len() {
            let is_found = found
                .iter()
                .any(|trace| trace.mark == mark && trace.is_whole);
            ensure(is_found, || {
                format!("mark {mark} of what stays is not found: {found:?}")
            })?;
        }
        let cat = Command::new("cat").arg(file).output()?.stdout;
        let is_found = Needles::of([marked]).find(&cat).is_some();
        ensure(is_found, || {
            "a mark of what stays is not found in another way".to_owned()
        })?;
    }
    Ok(())
}
