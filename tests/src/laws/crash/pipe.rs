//! What the writers and whoever kills them say to each other.

use std::fmt;
use std::str::FromStr;

use milepost::RequestId;

/// What one writer, a thread, is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "child and parent agree on it")]
pub struct Task {
    /// Its number: no two that run at once have the same.
    pub writer: usize,
    /// What its plan follows from.
    pub seed: u64,
    /// When its plan begins, in microseconds since 1970.
    pub begins: i64,
    /// The processes that it goes on with.
    pub inherits: Vec<RequestId>,
}

impl fmt::Display for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.writer, self.seed, self.begins)?;
        self.inherits.iter().try_for_each(|id| write!(f, " {id}"))
    }
}

impl FromStr for Task {
    type Err = String;

    fn from_str(line: &str) -> Result<Self, String> {
        let mut words = line.split_whitespace();
        let mut next = || words.next().ok_or("the line is too short");
        let (writer, seed, begins) = (next()?, next()?, next()?);
        Ok(Task {
            writer: parsed(writer)?,
            seed: parsed(seed)?,
            begins: parsed(begins)?,
            inherits: words.map(parsed).collect::<Result<_, _>>()?,
        })
    }
}

/// What a child process says, a line each. Each is written at once and is short, so that lines of several
/// OS processes on one pipe do not mix and none is said by half.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "child and parent agree on them")]
pub enum Line {
    /// It is about to open the file.
    Opening,
    /// The writer is about to take the step with this number, from 0.
    Try(usize, u64),
    /// The step was acknowledged.
    Done(usize, u64),
    /// Something was not as it should be.
    Wrong(String),
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Line::Opening => f.write_str("opening"),
            Line::Try(writer, step) => write!(f, "try {writer} {step}"),
            Line::Done(writer, step) => write!(f, "done {writer} {step}"),
            Line::Wrong(what) => write!(f, "wrong {}", what.replace('\n', " ")),
        }
    }
}

impl FromStr for Line {
    type Err = String;

    fn from_str(line: &str) -> Result<Self, String> {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        let numbers = || {
            let (writer, step) = rest.split_once(' ').ok_or("a number is missing")?;
            Ok::<_, String>((parsed(writer)?, parsed(step)?))
        };
        match word {
            "opening" => Ok(Line::Opening),
            "try" => numbers().map(|(writer, step)| Line::Try(writer, step)),
            "done" => numbers().map(|(writer, step)| Line::Done(writer, step)),
            "wrong" => Ok(Line::Wrong(rest.to_owned())),
            _ => Err(format!("nobody says {line}")),
        }
    }
}

fn parsed<T: FromStr<Err: fmt::Display>>(word: &str) -> Result<T, String> {
    word.parse().map_err(|error| format!("{word}: {error}"))
}
