//! The bench runs itself again where a figure needs an OS process of its own: memory, wake-ups, two writers.

use std::env;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::process::{Command, Stdio};

use crate::rounds::Outcome;

/// Marks what follows as a task for a child.
const CHILD: &str = "--child";

const READY: &str = "ready";

/// A child that runs.
#[derive(Debug)]
pub struct Child(std::process::Child);

/// Starts a child with a task.
pub fn start(task: &[&str]) -> Outcome<Child> {
    let child = Command::new(env::current_exe()?)
        .arg(CHILD)
        .args(task)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    Ok(Child(child))
}

/// Has children begin at the same moment, and waits for the figures of each: else who comes first would be done before
/// the other has had a turn. Each says that it is [ready](say_ready).
pub fn together(mut children: Vec<Child>) -> Outcome<Vec<Vec<f64>>> {
    for child in &mut children {
        child.wait_until_ready()?;
    }
    for child in &mut children {
        child.0.stdin.take();
    }
    children.into_iter().map(Child::figures).collect()
}

/// Tells the parent that all is prepared, and waits until it says go.
pub fn say_ready() -> Outcome<()> {
    println!("{READY}");
    io::stdout().flush()?;
    io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
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
    fn wait_until_ready(&mut self) -> Outcome<()> {
        let output = self.0.stdout.as_mut().ok_or("a child has no output")?;
        // What it prints after this it prints when it is told to go, so nothing is lost in this buffer.
        let mut line = String::new();
        BufReader::new(output).read_line(&mut line)?;
        if line.trim() == READY {
            return Ok(());
        }
        Err("a child ended before it was ready".into())
    }

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
