//! How sequences are drawn: on few ids, workers, texts and times, so that they meet.

use std::time::Duration;

use milepost_core::{Failure, ModuleStateKind, Order, OverallStatus, Progress, ReapPolicy};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

use super::drafts::{Begin, Draft, GuardDraft, Known, Move, Search, TokenDraft};
use crate::fixture::{at, file};
use crate::model::{Card, Claiming, Deed, Renewal, Term, Until};

/// Ids in play.
pub(super) const IDS: u32 = 3;
/// Names and directories that are prefixes and neighbours of one another.
const NAMES: [&str; 6] = ["a", "ab", "aB", "a_", "a%b", "\u{e4}b"];
const PATHS: [&str; 5] = ["/a", "/a/b", "/ab", "/A", "/"];

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
    let import = option::weighted(0.1, 0..40_usize);
    (0..IDS, seconds(), guard(), begin, import, deed(), token()).prop_map(
        |(id, at, mut guard, begin, import, deed, reaps)| {
            if matches!(deed, Deed::Renew(_) | Deed::Release) && at % 8 != 0 {
                guard.lease.get_or_insert(TokenDraft::Held(0));
            }
            Draft {
                id,
                at,
                guard,
                begin,
                import,
                deed,
                reaps,
            }
        },
    )
}

/// Mostly the right one; sometimes that of a claim that was before it, or none that there can be.
fn token() -> impl Strategy<Value = TokenDraft> {
    prop_oneof![
        12 => Just(TokenDraft::Held(0)),
        3 => Just(TokenDraft::Held(-1)),
        1 => Just(TokenDraft::Held(1)),
        1 => (0..3_u8).prop_map(TokenDraft::Future),
    ]
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
        option::weighted(0.4, token()),
    );
    let drafted = some.prop_map(|(born, run, attempt, revision, lease)| GuardDraft {
        born,
        run,
        attempt,
        revision,
        lease,
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
        8 => claiming().prop_map(Deed::Claim),
        4 => ttl().prop_map(Deed::Renew),
        2 => Just(Deed::Release),
        4 => policy().prop_map(|policy| Deed::Reap(0, policy)),
        2 => name().prop_map(Deed::Wish),
    ]
}

/// Few workers and few marks, so that claims are sent again and clash.
fn claiming() -> impl Strategy<Value = Claiming> {
    let worker = prop_oneof![
        16 => select(vec!["anna", "bert"]),
        1 => select(vec!["", "a\nb"]),
    ];
    (worker, ttl(), 0..4_u64).prop_map(|(worker, ttl, mark)| Claiming {
        worker: worker.into(),
        ttl,
        mark,
    })
}

/// Mostly what runs out while times jump; sometimes what lasts throughout, or what nobody can ask for.
fn ttl() -> impl Strategy<Value = Duration> {
    prop_oneof![
        8 => (1..40_u64).prop_map(Duration::from_secs),
        3 => Just(Duration::from_secs(10)),
        1 => Just(Duration::from_millis(1)),
        1 => Just(Duration::from_hours(366 * 24)),
        1 => select(vec![
            Duration::ZERO,
            Duration::from_micros(999),
            Duration::from_hours(366 * 24 + 1),
        ]),
    ]
}

fn policy() -> impl Strategy<Value = ReapPolicy> {
    prop_oneof![
        Just(ReapPolicy::Fail),
        (0..5_u32).prop_map(|attempts| ReapPolicy::Retry { attempts }),
    ]
}

/// One of the deeds that a process is ready for.
pub(super) fn likely(card: &Card, choice: usize) -> Deed {
    let failure = |reason| Failure::new(reason, "");
    let mut deeds = match card.status {
        OverallStatus::Ongoing => {
            let mut deeds = likely_leases(card, choice);
            deeds.push(Deed::Cancel("likely".into()));
            deeds
        }
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

/// What workers and those who look after them do.
fn likely_leases(card: &Card, choice: usize) -> Vec<Deed> {
    let seconds = |seconds| Duration::from_secs(seconds);
    let claim = Deed::Claim(Claiming {
        worker: "likely".into(),
        ttl: seconds(20),
        mark: (choice / 2 % 9) as u64,
    });
    let Some(hold) = card.hold.as_ref().filter(|hold| hold.end.is_none()) else {
        return vec![claim.clone(), claim];
    };
    let reap = |attempts| Deed::Reap(hold.token, ReapPolicy::Retry { attempts });
    vec![
        claim,
        Deed::Renew(seconds(15)),
        Deed::Release,
        reap(1),
        reap(2),
        reap(4),
        Deed::Wish("likely".into()),
    ]
}

/// Whether a deed is sent for the revision that was seen, so that it has passed when it comes again.
pub(super) fn names_revision(deed: &Deed, choice: usize) -> bool {
    let of_a_lease = matches!(
        deed,
        Deed::Claim(_) | Deed::Renew(_) | Deed::Reap(..) | Deed::Wish(_)
    );
    of_a_lease && choice.is_multiple_of(4)
}

/// Whether a deed is one that the holder does: some are done by others, who ask for no lease.
pub(super) fn works_under_lease(card: &Card, deed: &Deed, choice: usize) -> bool {
    let own = matches!(deed, Deed::Renew(_) | Deed::Release);
    let others = matches!(deed, Deed::Claim(_) | Deed::Reap(..));
    card.hold.is_some() && (own || (!others && !choice.is_multiple_of(3)))
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
        seconds().prop_map(|seconds| Term::Stalled(at(seconds))),
    ]
    .prop_map(Known::of)
}
