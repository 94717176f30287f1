//! Histories as rivals tell them through a pipe, a line for each call.

use std::fmt;
use std::str::FromStr;

use super::linear::Event;
use super::register::{Answer, Call, Record};

/// A call on one of several processes, and its answer.
#[derive(Debug, Clone)]
#[expect(
    clippy::exhaustive_structs,
    reason = "whoever records a history builds it"
)]
pub struct Entry {
    /// Which of them.
    pub process: u64,
    /// The call.
    pub event: Event<(Call, Answer)>,
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Event { began, ended, what } = &self.event;
        let (call, answer) = (numbers_of_call(what.0), numbers_of_answer(what.1));
        write!(f, "{} {began} {ended}", self.process)?;
        call.iter()
            .chain(&answer)
            .try_for_each(|number| write!(f, " {number}"))
    }
}

impl FromStr for Entry {
    type Err = String;

    fn from_str(line: &str) -> Result<Self, String> {
        let numbers = line
            .split(' ')
            .map(str::parse)
            .collect::<Result<Vec<u64>, _>>();
        let entry = numbers.ok().and_then(|numbers| match *numbers.as_slice() {
            [process, began, ended, kind, a, b, ref answer @ ..] => {
                let what = (call([kind, a, b])?, answer_of(answer.try_into().ok()?)?);
                let event = Event { began, ended, what };
                Some(Entry { process, event })
            }
            _ => None,
        });
        entry.ok_or_else(|| format!("this is no call: {line}"))
    }
}

fn numbers_of_call(call: Call) -> [u64; 3] {
    match call {
        Call::Read => [0, 0, 0],
        Call::Begin => [1, 0, 0],
        Call::Advance(done) => [2, done, 0],
        Call::Note(note) => [3, note, 0],
        Call::Swap(revision, note) => [4, revision, note],
        Call::Erase => [5, 0, 0],
    }
}

fn call(numbers: [u64; 3]) -> Option<Call> {
    Some(match numbers {
        [0, _, _] => Call::Read,
        [1, _, _] => Call::Begin,
        [2, done, _] => Call::Advance(done),
        [3, note, _] => Call::Note(note),
        [4, revision, note] => Call::Swap(revision, note),
        [5, _, _] => Call::Erase,
        _ => return None,
    })
}

fn numbers_of_answer(answer: Answer) -> [u64; 5] {
    match answer {
        Answer::Seen(None) => [0; 5],
        Answer::Seen(Some(seen)) => [1, seen.born, seen.revision, seen.done, seen.note],
        Answer::Changed(born, revision) => [2, born, revision, 0, 0],
        Answer::Same(born, revision) => [3, born, revision, 0, 0],
        Answer::NotFound => [4, 0, 0, 0, 0],
        Answer::Backwards => [5, 0, 0, 0, 0],
        Answer::Stale => [6, 0, 0, 0, 0],
        Answer::Illegal => [7, 0, 0, 0, 0],
    }
}

fn answer_of(numbers: [u64; 5]) -> Option<Answer> {
    let [kind, born, revision, done, note] = numbers;
    Some(match kind {
        0 => Answer::Seen(None),
        1 => Answer::Seen(Some(Record {
            born,
            revision,
            done,
            note,
        })),
        2 => Answer::Changed(born, revision),
        3 => Answer::Same(born, revision),
        4 => Answer::NotFound,
        5 => Answer::Backwards,
        6 => Answer::Stale,
        7 => Answer::Illegal,
        _ => return None,
    })
}
