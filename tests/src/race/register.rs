//! What one process answers to one call after the other, written down a second time and far simpler than the state
//! machine: of a process it knows a mark, a revision, how far its one module is, and a number in its description.

/// What is asked of the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Call {
    /// What it is.
    Read,
    /// That it begins.
    Begin,
    /// That its module is so far.
    Advance(u64),
    /// That this is its note.
    Note(u64),
    /// That this is its note, if this is its revision.
    Swap(u64, u64),
    /// That it ceases to exist.
    Erase,
}

/// What is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// To a read.
    Seen(State),
    /// The change was made, and this is what it made: which process, and its revision.
    Changed(u64, u64),
    /// Nothing was to change: which process, and its revision.
    Same(u64, u64),
    /// There is no such process.
    NotFound,
    /// It is further than that.
    Backwards,
    /// The revision has passed.
    Stale,
    /// The revision has not come yet.
    Illegal,
}

/// What is known of a process that there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Record {
    /// Tells it from others that went by its id.
    pub born: u64,
    /// How many changes made it what it is.
    pub revision: u64,
    /// How far it is; 0 before it says so.
    pub done: u64,
    /// 0 before there is one.
    pub note: u64,
}

/// The process, or none if there is none.
pub type State = Option<Record>;

/// The state after `call`, if `answer` is what it must be answered in `state`.
#[must_use]
pub fn step(state: State, call: Call, answer: Answer) -> Option<State> {
    if call == Call::Read {
        return (answer == Answer::Seen(state)).then_some(state);
    }
    let (expected, after) = match (state, call) {
        // Its mark is its own: which, the answer says.
        (None, Call::Begin) => match answer {
            Answer::Changed(born, _) => (Answer::Changed(born, 1), Some(begun(born))),
            _ => return None,
        },
        (None, _) => (Answer::NotFound, None),
        (Some(record), Call::Erase) => (Answer::Changed(record.born, record.revision), None),
        (Some(record), _) => match change(record, call) {
            Ok(after) => {
                let made = if after == record {
                    Answer::Same
                } else {
                    Answer::Changed
                };
                (made(after.born, after.revision), Some(after))
            }
            Err(refused) => (refused, state),
        },
    };
    (answer == expected).then_some(after)
}

fn begun(born: u64) -> Record {
    Record {
        born,
        revision: 1,
        done: 0,
        note: 0,
    }
}

fn change(record: Record, call: Call) -> Result<Record, Answer> {
    let changed = Record {
        revision: record.revision + 1,
        ..record
    };
    match call {
        Call::Advance(done) if done < record.done => Err(Answer::Backwards),
        Call::Advance(done) if done > record.done => Ok(Record { done, ..changed }),
        Call::Swap(revision, _) if revision < record.revision => Err(Answer::Stale),
        Call::Swap(revision, _) if revision > record.revision => Err(Answer::Illegal),
        // No two calls bring the same note.
        Call::Note(note) | Call::Swap(_, note) => Ok(Record { note, ..changed }),
        Call::Read | Call::Begin | Call::Advance(_) | Call::Erase => Ok(record),
    }
}
