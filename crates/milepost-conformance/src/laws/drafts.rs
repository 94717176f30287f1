//! What sequences are made of: steps, and drafts of ops that do not know yet what they will meet.

use milepost_core::Order;

use crate::model::{Deed, Term};

/// One step of a sequence.
#[derive(Debug, Clone)]
pub(super) enum Move {
    Send(Vec<Draft>),
    SendTwice(Vec<Draft>),
    /// Ops that each process is ready for, guarded as a handle would: what takes it through runs and
    /// attempts.
    Work {
        id: u32,
        choices: Vec<usize>,
        at: i64,
    },
    /// A batch that was sent so many batches ago.
    Again {
        back: usize,
    },
    Purge {
        seconds: i64,
        limit: usize,
    },
    Reopen,
    Search(Search),
}

/// An op whose guard and mark of birth are not yet known.
#[derive(Debug, Clone)]
pub(super) struct Draft {
    pub(super) id: u32,
    pub(super) at: i64,
    pub(super) guard: GuardDraft,
    /// If it begins a process; the deed is nothing then.
    pub(super) begin: Option<Begin>,
    /// If it imports what was there so many states ago, and anything was; the deed is nothing then.
    pub(super) import: Option<usize>,
    pub(super) deed: Deed,
    /// Which claim it reaps, if it reaps.
    pub(super) reaps: TokenDraft,
}

/// A token, as far off as this from what there is.
#[derive(Debug, Clone, Copy)]
pub(super) enum TokenDraft {
    /// From the one of the claim that was made last.
    Held(i8),
    /// From the revision, which no claim has passed.
    Future(u8),
}

/// Which parts a guard has, each with how far off it is.
#[derive(Debug, Clone, Default)]
pub(super) struct GuardDraft {
    pub(super) born: Option<i8>,
    pub(super) run: Option<i8>,
    pub(super) attempt: Option<i8>,
    pub(super) revision: Option<i8>,
    pub(super) lease: Option<TokenDraft>,
}

#[derive(Debug, Clone)]
pub(super) struct Begin {
    pub(super) parallel: bool,
    pub(super) file: Option<u32>,
    pub(super) name: String,
    pub(super) directory: String,
    pub(super) expires_in: Option<i64>,
}

/// A filter, and how to walk through what it takes.
#[derive(Debug, Clone)]
pub(super) struct Search {
    pub(super) terms: Vec<Known>,
    pub(super) visible_at: Option<i64>,
    pub(super) order: Order,
    pub(super) page: usize,
}

impl Default for Search {
    fn default() -> Self {
        Search {
            terms: Vec::new(),
            visible_at: None,
            order: Order::OldestFirst,
            page: 2,
        }
    }
}

/// A term of the model.
#[derive(Debug, Clone)]
pub(super) struct Known(Term);

impl Known {
    pub(super) fn of(term: Term) -> Self {
        Known(term)
    }

    pub(super) fn term(&self) -> Term {
        self.0.clone()
    }
}
