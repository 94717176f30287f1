//! What sequences are made of: drafts of ops, on few ids, texts and times, so that they meet.

use milepost_core::{Failure, ModuleStateKind, Order, OverallStatus, Progress};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

use crate::fixture::{at, file};
use crate::model::{Card, Deed, Renewal, Term, Until};

/// Ids in play.
pub(super) const IDS: u32 = 3;
/// Names and directories that are prefixes and neighbours of one another.
const NAMES: [&str; 6] = ["a", "ab", "aB", "a_", "a%b", "\u{e4}b"];
const PATHS: [&str; 5] = ["/a", "/a/b", "/ab", "/A", "/"];

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
    pub(super) deed: Deed,
}

/// Which parts a guard has, each with how far off it is.
#[derive(Debug, Clone, Default)]
pub(super) struct GuardDraft {
    pub(super) born: Option<i8>,
    pub(super) run: Option<i8>,
    pub(super) attempt: Option<i8>,
    pub(super) revision: Option<i8>,
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
    pub(super) fn term(&self) -> Term {
        self.0.clone()
    }
}

pub(super) fn moves() -> impl Strategy<Value = Move> {
    prop_oneof![
        24 => vec(draft(), 1..6).prop_map(Move::Send),
        4 => vec(draft(), 1..4).prop_map(Move::SendTwice),
        30 => (0..IDS, vec(any::<usize>(), 1..6), 0..60_i64)
            .prop_map(|(id, choices, at)| Move::Work { id, choices, at }),
        10 => (0..30_usize).prop_map(|back| Move::Again { back }),
        2 => (seconds(), 0..4_usize).prop_map(|(seconds, limit)| Move::Purge { seconds, limit }),
        2 => Just(Move::Reopen),
        6 => search().prop_map(Move::Search),
    ]
}

/// Times that jump in both directions and often meet.
fn seconds() -> impl Strategy<Value = i64> {
    prop_oneof![
        8 => 0..60_i64,
        1 => -100_000_000..100_000_000_i64,
    ]
}

fn draft() -> impl Strategy<Value = Draft> {
    let begin = prop_oneof![2 => Just(None), 1 => begin().prop_map(Some)];
    (0..IDS, seconds(), guard(), begin, deed()).prop_map(|(id, at, guard, begin, deed)| Draft {
        id,
        at,
        guard,
        begin,
        deed,
    })
}

fn begin() -> impl Strategy<Value = Begin> {
    let expiry = option::weighted(0.5, 1..60_i64);
    (
        any::<bool>(),
        option::weighted(0.5, 0..2_u32),
        name(),
        path(),
        expiry,
    )
        .prop_map(|(parallel, file, name, directory, expires_in)| Begin {
            parallel,
            file,
            name,
            directory,
            expires_in,
        })
}

/// Mostly none or one that holds; sometimes one that has passed or has not come.
fn guard() -> impl Strategy<Value = GuardDraft> {
    let by = || prop_oneof![6 => Just(0_i8), 3 => Just(-1), 1 => Just(1)];
    let part = || option::weighted(0.3, by());
    let some = (
        option::weighted(0.4, prop_oneof![9 => Just(0_i8), 1 => Just(1)]),
        part(),
        part(),
        option::weighted(0.15, by()),
    );
    let drafted = some.prop_map(|(born, run, attempt, revision)| GuardDraft {
        born,
        run,
        attempt,
        revision,
    });
    prop_oneof![1 => Just(GuardDraft::default()), 1 => drafted]
}

fn deed() -> impl Strategy<Value = Deed> {
    let module = || prop_oneof![12 => 1..=2_usize, 4 => Just(3), 1 => select(vec![0, 4, 99])];
    prop_oneof![
        6 => module().prop_map(Deed::Start),
        6 => (module(), progress()).prop_map(|(module, progress)| Deed::Progress(module, progress)),
        6 => module().prop_map(Deed::Complete),
        3 => (module(), failure()).prop_map(|(module, failure)| Deed::Fail(module, failure)),
        3 => (module(), name()).prop_map(|(module, reason)| Deed::Skip(module, reason)),
        4 => (module(), failure()).prop_map(|(module, failure)| Deed::Retry(module, failure)),
        2 => name().prop_map(Deed::Cancel),
        4 => Just(Deed::Rerun),
        3 => renewal().prop_map(Deed::Update),
        1 => Just(Deed::Erase),
    ]
}

/// One of the deeds that a process is ready for.
pub(super) fn likely(card: &Card, choice: usize) -> Deed {
    let failure = |reason| Failure::new(reason, "");
    let mut deeds = match card.status {
        OverallStatus::Ongoing => vec![Deed::Cancel("likely".into())],
        OverallStatus::Complete => vec![Deed::Update(Renewal::default())],
        _ => vec![Deed::Rerun, Deed::Rerun],
    };
    for (module, step) in (1..).zip(&card.modules) {
        match step.state.kind() {
            ModuleStateKind::Pending => {
                deeds.extend([Deed::Start(module), Deed::Start(module)]);
                deeds.push(Deed::Skip(module, "likely".into()));
            }
            ModuleStateKind::Running => {
                let done = step
                    .progress
                    .as_ref()
                    .map_or(0, |(progress, _)| progress.done);
                let news = Progress::of(done, 9).message(if choice.is_multiple_of(2) {
                    "even"
                } else {
                    "odd"
                });
                deeds.extend([
                    Deed::Retry(module, failure("A")),
                    Deed::Retry(module, failure("B")),
                    Deed::Retry(module, failure("A")),
                    Deed::Progress(module, news.clone()),
                    Deed::Progress(module, Progress::of(done + 1, 9)),
                    Deed::Complete(module),
                    Deed::Fail(module, failure("A")),
                ]);
            }
            _ => {}
        }
    }
    let choice = choice / 2 % deeds.len();
    deeds.swap_remove(choice)
}

fn name() -> impl Strategy<Value = String> {
    select(&NAMES[..]).prop_map(str::to_owned)
}

fn path() -> impl Strategy<Value = String> {
    select(&PATHS[..]).prop_map(str::to_owned)
}

fn failure() -> impl Strategy<Value = Failure> {
    (select(vec!["A", "B"]), select(vec!["", "x"]))
        .prop_map(|(reason, message)| Failure::new(reason, message))
}

fn progress() -> impl Strategy<Value = Progress> {
    let total = option::weighted(0.7, 2..5_u64);
    (0..4_u64, total, option::weighted(0.3, name())).prop_map(|(done, total, message)| {
        let progress = total.map_or(Progress::unbounded(done), |total| Progress::of(done, total));
        match message {
            Some(message) => progress.message(&message),
            None => progress,
        }
    })
}

fn tags() -> impl Strategy<Value = Vec<(String, String)>> {
    vec((name(), name()), 0..3)
}

fn renewal() -> impl Strategy<Value = Renewal> {
    let expiry = prop_oneof![
        seconds().prop_map(|seconds| Until::At(at(seconds))),
        (0..90_i64).prop_map(Until::Seconds),
        Just(Until::Never),
    ];
    let description = option::weighted(0.2, prop_oneof![name(), Just(String::new())]);
    let part = 0.3;
    (
        option::weighted(part, name()),
        option::weighted(part, path()),
        option::weighted(part, tags()),
        description,
        option::weighted(part, expiry),
    )
        .prop_map(
            |(file_name, directory, tags, description, expiry)| Renewal {
                file_name,
                directory,
                tags,
                description,
                expiry,
            },
        )
}

fn search() -> impl Strategy<Value = Search> {
    let order = select(vec![Order::NewestFirst, Order::OldestFirst]);
    (vec(term(), 0..3), option::of(seconds()), order, 1..4_usize).prop_map(
        |(terms, visible_at, order, page)| Search {
            terms,
            visible_at,
            order,
            page,
        },
    )
}

fn term() -> impl Strategy<Value = Known> {
    let range = || (seconds(), 0..40_i64).prop_map(|(from, span)| (at(from), at(from + span)));
    prop_oneof![
        select(vec!["sequence", "thumbnails"]).prop_map(|name| Term::Pipeline(name.into())),
        vec(select(&OverallStatus::ALL[..]), 0..3).prop_map(Term::Status),
        (0..2_u32).prop_map(|n| Term::FileId(file(n))),
        name().prop_map(Term::FileName),
        prop_oneof![name(), Just(String::new())].prop_map(Term::Prefix),
        path().prop_map(Term::Directory),
        select(vec!["/a", "/a/b", "/A"]).prop_map(|path| Term::Under(path.into())),
        (name(), name()).prop_map(|(name, value)| Term::Tag(name, value)),
        range().prop_map(|(from, before)| Term::Created(from, before)),
        range().prop_map(|(from, before)| Term::Updated(from, before)),
        range().prop_map(|(from, before)| Term::Settled(from, before)),
    ]
    .prop_map(Known)
}
