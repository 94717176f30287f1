//! Any sequence of ops, on few ids and at times that jump: the store, `Op::apply` and the model agree.

use std::env;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use milepost_core::{Change, Counts, Filter, Guard, NewProcess, Op, Order, Pipeline, Process};
use proptest::collection::vec;
use proptest::test_runner::{Config, RngSeed, TestCaseError, TestError, TestRunner};

use super::drafts::{Begin, Draft, GuardDraft, Known, Move, Search, TokenDraft};
use super::spelled::{asked, change};
use super::strategy;
use crate::fixture::{at, file, id, micros_after, side_by_side};
use crate::model::{Act, Card, Deed, Entry, Fresh, Model, Step, Term};
use crate::trial::{Trial, ids, ok};

/// How many sequences are tried, unless `MILEPOST_CASES` says otherwise.
const CASES: u32 = 96;
/// What the sequences follow from, unless `MILEPOST_SEED` says otherwise.
const SEED: u64 = 20_260_518;

fn given<T: std::str::FromStr>(variable: &str, otherwise: T) -> T {
    match env::var(variable) {
        Ok(text) => text
            .parse()
            .unwrap_or_else(|_| panic!("{variable} is no number: {text}")),
        Err(_) => otherwise,
    }
}

pub(crate) fn any_sequence_of_ops_does_what_the_documents_say(trial: &Trial<'_>) {
    let seed = given("MILEPOST_SEED", SEED);
    let config = Config {
        cases: given("MILEPOST_CASES", CASES),
        failure_persistence: None,
        rng_seed: RngSeed::Fixed(seed),
        max_shrink_iters: 512,
        ..Config::default()
    };
    let outcome = TestRunner::new(config).run(&vec(strategy::moves(), 1..60), |moves| {
        Run::new(trial.fresh(seed))
            .play(&moves)
            .map_err(TestCaseError::fail)
    });
    match outcome {
        Ok(()) => {}
        Err(TestError::Fail(why, moves)) => {
            panic!("{why}\n  seed {seed}, the shortest sequence found: {moves:#?}")
        }
        Err(TestError::Abort(why)) => panic!("no sequences could be made: {why}"),
    }
}

/// One sequence on one new store.
struct Run<'a> {
    trial: Trial<'a>,
    model: Model,
    /// Every batch that was sent.
    sent: Vec<(Vec<Op>, Vec<Act>)>,
    /// The states that were there after each of them, as they were stored and as the model had them.
    seen: Vec<(Arc<Process>, Entry)>,
}

impl<'a> Run<'a> {
    fn new(trial: Trial<'a>) -> Self {
        Run {
            trial,
            model: Model::default(),
            sent: Vec::new(),
            seen: Vec::new(),
        }
    }

    fn play(mut self, moves: &[Move]) -> Result<(), String> {
        for (turn, a_move) in moves.iter().enumerate() {
            let played = match a_move {
                Move::Send(drafts) => self.send(drafts),
                Move::SendTwice(drafts) => self.send_twice(drafts),
                Move::Work { id, choices, at } => choices
                    .iter()
                    .try_for_each(|choice| self.work(*id, *choice, *at)),
                Move::Again { back } => self.again(*back),
                Move::Purge { seconds, limit } => self.purge(at(*seconds), *limit),
                Move::Reopen => {
                    self.trial.reopen();
                    Ok(())
                }
                Move::Search(search) => self.search(search),
            };
            played.map_err(|why| format!("move {turn}: {why}"))?;
        }
        for n in 0..strategy::IDS {
            self.compare(n)?;
        }
        self.search(&Search::default())?;
        self.search_around_ends()
    }

    /// What has stalled at the very end of each lease, and just before it.
    fn search_around_ends(&self) -> Result<(), String> {
        let cards = (0..strategy::IDS).filter_map(|n| self.model.card(id(n)));
        let holds = cards.filter_map(|card| card.hold.as_ref());
        let ends = holds.flat_map(|hold| [hold.until, micros_after(hold.until, -1)]);
        for end in ends {
            self.search_for(&[Term::Stalled(end)], Some(end), Order::NewestFirst, 2)?;
        }
        Ok(())
    }

    fn send(&mut self, drafts: &[Draft]) -> Result<(), String> {
        let (ops, acts) = self.resolve(drafts);
        self.send_resolved(&ops, &acts)?;
        self.sent.push((ops, acts));
        for draft in drafts {
            self.compare(draft.id)?;
            let entry = self.model.entry(id(draft.id)).cloned();
            self.seen.extend(self.trial.read(id(draft.id)).zip(entry));
        }
        Ok(())
    }

    /// One op that the process is ready for.
    fn work(&mut self, n: u32, choice: usize, seconds: i64) -> Result<(), String> {
        let Some(card) = self.model.card(id(n)) else {
            return Ok(());
        };
        let deed = strategy::likely(card, choice);
        let guard = GuardDraft {
            born: Some(0),
            run: Some(0),
            attempt: deed.module().map(|_| 0),
            revision: strategy::names_revision(&deed, choice).then_some(0),
            lease: strategy::works_under_lease(card, &deed, choice).then_some(TokenDraft::Held(0)),
        };
        let draft = Draft {
            id: n,
            at: seconds,
            guard,
            begin: None,
            import: None,
            deed,
            reaps: TokenDraft::Held(0),
        };
        self.send(&[draft])
    }

    /// A batch that was sent before, as it was: nothing new is to come of what is fully guarded.
    fn again(&mut self, back: usize) -> Result<(), String> {
        let Some(index) = self
            .sent
            .len()
            .checked_sub(back % self.sent.len().max(1) + 1)
        else {
            return Ok(());
        };
        let (ops, acts) = self.sent[index].clone();
        self.send_resolved(&ops, &acts)?;
        (0..strategy::IDS).try_for_each(|n| self.compare(n))
    }

    /// The same batch again. That it leaves what sending it once would is a law for guarded ops; here it
    /// may change more, and the model knows what.
    fn send_twice(&mut self, drafts: &[Draft]) -> Result<(), String> {
        let (ops, acts) = self.resolve(drafts);
        self.send_resolved(&ops, &acts)?;
        self.send_resolved(&ops, &acts)?;
        for draft in drafts {
            self.compare(draft.id)?;
        }
        Ok(())
    }

    fn send_resolved(&mut self, ops: &[Op], acts: &[Act]) -> Result<(), String> {
        let verdicts = self.trial.send(ops);
        for (act, verdict) in acts.iter().zip(&verdicts) {
            let opinion = self.model.act(act);
            if !opinion.agrees(verdict) {
                return Err(format!(
                    "the store says {verdict:?}, the model {opinion:?} of {act:#?}"
                ));
            }
        }
        Ok(())
    }

    /// Holds what is stored against the model's card.
    fn compare(&self, n: u32) -> Result<(), String> {
        let stored = self.trial.read(id(n)).map(|process| Card::of(&process));
        let card = self.model.card(id(n)).cloned();
        if stored == card {
            Ok(())
        } else {
            Err(format!(
                "stored is {stored:#?}\n  and the model has {card:#?}"
            ))
        }
    }

    fn purge(&mut self, time: DateTime<Utc>, limit: usize) -> Result<(), String> {
        let expired = self.model.expired(time);
        let purged = ok("purge", self.trial.store().purge(time, limit));
        // Which of them go first is the store's to choose.
        let gone = expired.iter().filter(|id| self.trial.read(**id).is_none());
        let gone = gone.copied().collect::<Vec<_>>();
        let wanted = limit.min(expired.len());
        if (purged, gone.len()) != (wanted, wanted) {
            let gone = gone.len();
            return Err(format!(
                "purge says {purged}, {gone} are gone, {wanted} were to go"
            ));
        }
        for id in gone {
            self.model.forget(id);
            self.trial.expect_gone(id);
        }
        (0..strategy::IDS).try_for_each(|n| self.compare(n))
    }

    fn search(&self, search: &Search) -> Result<(), String> {
        let terms = search.terms.iter().map(Known::term).collect::<Vec<_>>();
        let visible_at = search.visible_at.map(at);
        self.search_for(&terms, visible_at, search.order, search.page)
    }

    fn search_for(
        &self,
        terms: &[Term],
        visible_at: Option<DateTime<Utc>>,
        order: Order,
        page: usize,
    ) -> Result<(), String> {
        let mut filter = terms
            .iter()
            .fold(Filter::new(), |filter, term| filter.with(asked(term)));
        filter.visible_at = visible_at;
        let mut found = self.model.list(terms, visible_at);
        let mut counts = Counts::new();
        for (_, card) in &found {
            counts.add(card.status, 1);
            let stalled = visible_at.is_some_and(|time| card.is_stalled(time));
            counts.add_stalled(u64::from(stalled));
        }
        let counted = ok("count", self.trial.store().count(&filter));
        if counted != counts {
            return Err(format!(
                "counted is {counted:?}, the model has {counts:?} of {filter:?}"
            ));
        }
        if order == Order::NewestFirst {
            found.reverse();
        }
        let found = found.into_iter().map(|(id, _)| id).collect::<Vec<_>>();
        let listed = ids(&self.trial.walk(&filter, order, page));
        if listed != found {
            return Err(format!(
                "listed is {listed:?}, the model has {found:?} of {filter:?}"
            ));
        }
        Ok(())
    }

    /// Makes ops of drafts, and the same for the model. Guards are taken from what the model has now.
    fn resolve(&self, drafts: &[Draft]) -> (Vec<Op>, Vec<Act>) {
        let resolve = |draft: &Draft| {
            let (mut op, deed) = if let Some(import) = self.import(draft) {
                import
            } else if let Some(begin) = &draft.begin {
                self.begin(draft, begin)
            } else {
                let mut deed = draft.deed.clone();
                if let Deed::Reap(token, _) = &mut deed {
                    *token = self.token(draft.id, draft.reaps);
                }
                (Op::new(id(draft.id), at(draft.at), change(&deed)), deed)
            };
            op.guard = self.guard(draft.id, &draft.guard, deed.module());
            let act = Act {
                id: op.id,
                at: op.at,
                guard: op.guard,
                deed,
            };
            (op, act)
        };
        drafts.iter().map(resolve).unzip()
    }

    fn guard(&self, n: u32, draft: &GuardDraft, module: Option<usize>) -> Guard {
        let card = self.model.card(id(n));
        let near = |current: u64, by: i8| current.saturating_add_signed(i64::from(by));
        let small = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
        let version = card.map(|card| card.version);
        let run = card.map_or(1, |card| card.run);
        let step = card
            .zip(module)
            .and_then(|(card, module)| card.modules.get(module.wrapping_sub(1)));
        let attempt = step.map_or(1, |step| step.attempt);
        let mut guard = Guard::new();
        guard.born = draft
            .born
            .map(|by| near(version.map_or(7, |version| version.born), by));
        guard.run = draft.run.map(|by| small(near(run.into(), by)));
        guard.attempt = draft.attempt.map(|by| small(near(attempt.into(), by)));
        guard.revision = draft
            .revision
            .map(|by| near(version.map_or(1, |version| version.revision), by));
        guard.lease = draft.lease.map(|token| self.token(n, token));
        guard
    }

    fn token(&self, n: u32, draft: TokenDraft) -> u64 {
        let card = self.model.card(id(n));
        let hold = card.and_then(|card| card.hold.as_ref());
        match draft {
            // Where nobody has claimed, a token that could be somebody's.
            TokenDraft::Held(by) => hold
                .map_or(2, |hold| hold.token)
                .saturating_add_signed(by.into()),
            TokenDraft::Future(by) => card.map_or(1, |card| card.version.revision) + u64::from(by),
        }
    }

    /// The import of a state that was there, of the process that the draft names, if it is one.
    fn import(&self, draft: &Draft) -> Option<(Op, Deed)> {
        let back = draft.import?;
        let of_it = |(process, _): &&(Arc<Process>, Entry)| process.request_id() == id(draft.id);
        let seen = self.seen.iter().rev().filter(of_it).collect::<Vec<_>>();
        let (process, entry) = seen.get(back % seen.len().max(1))?;
        let change = Change::import(Arc::clone(process));
        let op = Op::new(id(draft.id), at(draft.at), change);
        Some((op, Deed::Import(Box::new(entry.clone()))))
    }

    fn begin(&self, draft: &Draft, begin: &Begin) -> (Op, Deed) {
        let pipeline = if begin.parallel {
            side_by_side()
        } else {
            Pipeline::new("sequence", ["one", "two"]).expect("the names are fine")
        };
        let mut new = NewProcess::new(&pipeline)
            .request_id(id(draft.id))
            .file_name(&begin.name)
            .symbolic_directory_path(&begin.directory);
        if let Some(given) = begin.file {
            new = new.file_id(file(given));
        }
        if let Some(seconds) = begin.expires_in {
            new = new.expires_at(at(draft.at + seconds));
        }
        let op = self.trial.begin_at(new, at(draft.at));
        let Change::Create(creation) = &op.change else {
            unreachable!("a new process is prepared")
        };
        let modules = pipeline.modules().map(|name| Step {
            name: name.to_owned(),
            attempt: 1,
            state: milepost_core::ModuleState::Pending,
            progress: None,
            past: Vec::new(),
        });
        let card = Card {
            version: milepost_core::Version {
                born: creation.born(),
                revision: 1,
            },
            run: 1,
            pipeline: pipeline.name().to_owned(),
            parallel: begin.parallel,
            modules: modules.collect(),
            file_id: creation.file().id(),
            file_name: begin.name.clone(),
            directory: begin.directory.clone(),
            tags: Vec::new(),
            description: None,
            created_at: at(draft.at),
            updated_at: at(draft.at),
            expires_at: begin.expires_in.map(|seconds| at(draft.at + seconds)),
            status: milepost_core::OverallStatus::Ongoing,
            settled_at: None,
            blame: None,
            hold: None,
            wish: None,
        };
        let file_is_given = begin.file.is_some();
        (
            op,
            Deed::Create(Box::new(Fresh {
                card,
                file_is_given,
            })),
        )
    }
}
