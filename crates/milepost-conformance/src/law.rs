//! What a law is, and what it says when it is broken.

use std::any::Any;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::subject::Subject;
use crate::trial::Trial;

/// One sentence that holds of every store, and how to find out whether it holds of one.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Law {
    /// The law, as a sentence in snake case: also the name of its test.
    pub name: &'static str,
    /// The sentence of the contract that it is a part of.
    pub sentence: Sentence,
    run: fn(&Trial<'_>),
}

impl Law {
    pub(crate) const fn new(name: &'static str, sentence: Sentence, run: fn(&Trial<'_>)) -> Self {
        Law {
            name,
            sentence,
            run,
        }
    }

    /// Tries the law on a new store of this kind.
    ///
    /// # Errors
    ///
    /// What was expected and what came instead. A store that panics breaks the law too.
    pub fn check(&self, subject: &Subject) -> Result<(), Broken> {
        let run = || (self.run)(&Trial::new(subject));
        // The store on trial may be left in any state by a panic: it is not used again.
        catch_unwind(AssertUnwindSafe(run)).map_err(|panic| Broken {
            law: *self,
            why: said(&*panic),
        })
    }
}

fn said(panic: &(dyn Any + Send)) -> String {
    if let Some(text) = panic.downcast_ref::<String>() {
        text.clone()
    } else if let Some(text) = panic.downcast_ref::<&str>() {
        (*text).to_owned()
    } else {
        String::from("it panicked, and did not say why")
    }
}

/// A law that a store breaks.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Broken {
    /// The law.
    pub law: Law,
    /// What was expected and what came instead.
    pub why: String,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Law { name, sentence, .. } = self.law;
        write!(f, "{name} is broken\n  {sentence}\n  why: {}", self.why)
    }
}

impl std::error::Error for Broken {}

/// What laws are about: the twelve sentences of the contract on
/// [`StatusStore`](milepost_core::StatusStore), and what its methods and ops are documented to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Sentence {
    /// Sentence 1.
    InOrder,
    /// Sentence 2.
    Apart,
    /// Sentence 3.
    Durable,
    /// Sentence 4.
    AllOrNone,
    /// Sentence 5.
    SentAgain,
    /// Sentence 6.
    NoGhosts,
    /// Sentence 7.
    OneByOne,
    /// Sentence 8.
    NoClock,
    /// Sentence 9.
    Bounded,
    /// Sentence 10.
    Gone,
    /// Sentence 11.
    ExpiredOnly,
    /// Sentence 12.
    Wiped,
    /// What `Op::apply` decides, as it shows through a store.
    Machine,
    /// What `read_many` and `versions` answer.
    Reads,
    /// What `list` and `count` answer.
    Lists,
    /// When a process is absent, and for whom.
    Expiry,
}

impl fmt::Display for Sentence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Sentence::InOrder => "contract 1, in order: a batch equals its ops applied one by one",
            Sentence::Apart => {
                "contract 2, apart: a rejected op changes nothing and spoils nothing else"
            }
            Sentence::Durable => {
                "contract 3, durable: what is acknowledged is kept, and seen by every later read"
            }
            Sentence::AllOrNone => "contract 4, all or none: of a batch that failed nothing is kept",
            Sentence::SentAgain => {
                "contract 5, sent again: a guarded batch sent twice leaves what sending it once would"
            }
            Sentence::NoGhosts => {
                "contract 6, no ghosts: a creation or import never overwrites, and nothing else makes a process"
            }
            Sentence::OneByOne => {
                "contract 7, one by one: concurrent writes to a process serialise, and none is lost"
            }
            Sentence::NoClock => {
                "contract 8, no clock: all that is stored or decided arrives in arguments"
            }
            Sentence::Bounded => {
                "contract 9, bounded: what crosses a limit is refused before anything happens"
            }
            Sentence::Gone => "contract 10, gone: what is erased is nowhere from that moment on",
            Sentence::ExpiredOnly => {
                "contract 11, expired only: purge erases what has expired, and at most its limit"
            }
            Sentence::Wiped => "contract 12, wiped: a wipe says what it came to, and gets there",
            Sentence::Machine => "the state machine: what an op does is decided by Op::apply alone",
            Sentence::Reads => "reads: read_many and versions answer each id, in order",
            Sentence::Lists => {
                "lists: ordered by created_at and id, every term judged byte by byte, counts agree"
            }
            Sentence::Expiry => {
                "expiry: judged by the time in the op; reads answer what is stored, expired or not"
            }
        })
    }
}
