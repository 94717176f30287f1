//! The figures: each file measures some, and says what is done on both sides.

mod bare;
mod ids;
mod lifecycle;
mod memory;
mod pages;
mod purge;
mod reads;
mod rivals;
mod size;
mod tasks;
mod threads;
mod watchers;

use crate::rounds::Outcome;
use crate::run::Run;

/// Measures all figures that are wanted. The first on the large file are those that want it as it was filled.
pub fn measure(run: &mut Run) -> Outcome<()> {
    lifecycle::measure(run)?;
    threads::measure(run)?;
    tasks::measure(run)?;
    rivals::measure(run)?;
    reads::measure(run)?;
    pages::measure(run)?;
    bare::measure(run)?;
    size::measure(run)?;
    ids::measure(run)?;
    purge::measure(run)?;
    memory::measure(run)?;
    watchers::measure(run)
}

/// Does what a child is asked for.
pub fn serve(task: &[String]) -> Outcome<()> {
    let task = task.iter().map(String::as_str).collect::<Vec<_>>();
    match task.as_slice() {
        ["memory", rest @ ..] => memory::serve(rest),
        ["size", rest @ ..] => size::serve(rest),
        ["watch", rest @ ..] => watchers::serve(rest),
        ["rival", rest @ ..] => rivals::serve(rest),
        _ => Err(format!("a child cannot {task:?}").into()),
    }
}
