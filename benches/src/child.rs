//! The bench runs itself again where a figure needs an OS process of its own: memory, wake-ups, two writers.

use std::env;
use std::process::{Command, Stdio};

use crate::rounds::Outcome;

/// Marks what follows as a task for a child.
const CHILD: &str = "--child";

/// A child that runs.
#[derive(Debug)]
pub struct Child(std::process::Child);

/// Starts a child with a task.
pub fn start(task: &[&str]) -> Outcome<Child> {
    let child = Command::new(env::current_exe()?)
        .arg(CHILD)
        .args(task)
        .stdout(Stdio::piped())
        .spawn()?;
    Ok(Child(child))
}

/// Starts a child, and waits for its figures.
pub fn ask(task: &[&str]) -> Outcome<Vec<f64>> {
    start(task)?.figures()
}

/// What a child is to do, if this is one.
#[must_use]
pub fn task() -> Option<Vec<String>> {
    let mut arguments = env::args().skip(1);
    (arguments.next()? == CHILD).then(|| arguments.collect())
}

/// Tells the parent.
pub fn answer(figures: &[f64]) {
    let figures = figures.iter().map(f64::to_string).collect::<Vec<_>>();
    println!("{}", figures.join(" "));
}

impl Child {
    /// Waits for its figures.
    pub fn figures(self) -> Outcome<Vec<f64>> {
        let output = self.0.wait_with_output()?;
        if !output.status.success() {
            return Err(format!("a child ended with {}", output.status).into());
        }
        let text = String::from_utf8(output.stdout)?;
        let figures = text
            .split_whitespace()
            .map(str::parse)
            .collect::<Result<_, _>>()?;
        Ok(figures)
    }
}

/// The `index`th figure of a child.
pub fn figure(figures: &[f64], index: usize) -> Outcome<f64> {
    Ok(*figures.get(index).ok_or("a child gave too few figures")?)
}
