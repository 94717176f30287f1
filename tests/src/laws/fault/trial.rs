//! One scene, played while one call fails or some do, and what has to hold of it.

use std::fs;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use milepost::{
    Durability, Filter, SqliteConfig, SqliteStore, StatusStore, StoreError, StoreErrorKind, Wipe,
    WipeLevel,
};
use milepost_faults::{Call, Fault, Lasts};

use super::files::{compare_after_crash, everything, is_whole, nothing_is_left};
use super::ground::{Ground, OLD};
use super::ledger::{Act, Ledger, World};
use super::scenes::{Begins, Scene, Step};
use crate::law::{Broken, ensure};

/// How often a wipe is asked for until it must be done.
const WIPES: usize = 200;

/// What a scene has come to so far.
pub(super) struct Trial<'g> {
    pub(super) ground: &'g Ground,
    pub(super) durability: Durability,
    pub(super) wipe_level: WipeLevel,
    pub(super) fault: Option<Fault>,
    /// None: it is closed, or could not be opened.
    pub(super) store: Option<Arc<dyn StatusStore>>,
    pub(super) main: Ledger,
    /// One for each thread.
    pub(super) crowd: Vec<Ledger>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Doing {
    /// What changes nothing.
    Asks,
    /// What syncs nothing before its commit.
    Changes,
    /// What may fail before its commit or at it.
    ChangesMuch,
}

impl Trial<'_> {
    pub(super) fn set_up(&mut self, begins: &Begins) -> Result<(), Broken> {
        match begins {
            Begins::Nothing => {}
            Begins::Old(version) => {
                fs::write(self.ground.path(), OLD[version - 1])?;
                self.main = Ledger::of(self.ground.old[version - 1].clone());
            }
            Begins::Opened(acts) => {
                let store = self.open()?;
                for act in acts {
                    self.main.note(act, &act.send(&*store))?;
                }
                self.store = Some(store);
            }
        }
        Ok(())
    }

    fn open(&self) -> Result<Arc<dyn StatusStore>, StoreError> {
        let config = SqliteConfig {
            durability: self.durability,
            wipe_level: self.wipe_level,
            busy_timeout: Duration::from_secs(2),
            ..SqliteConfig::new(self.ground.path())
        };
        SqliteStore::open_with(config).map(self.ground.wrap)
    }

    pub(super) fn step(&mut self, step: &Step) -> Result<(), Broken> {
        match step {
            Step::Open => self.open_anew(),
            Step::Close => {
                self.store = None;
                Ok(())
            }
            Step::Do(act) => {
                let Some(store) = self.store.clone() else {
                    self.main.unsettled.push(act.clone());
                    return Ok(());
                };
                let mut ledger = self.main.clone();
                self.act(&*store, &mut ledger, act, Company::Alone)?;
                self.main = ledger;
                Ok(())
            }
            Step::Together(threads) => self.act_together(threads),
            Step::Ask => self.ask(),
            Step::Wipe => self.wipe(),
        }
    }

    fn open_anew(&mut self) -> Result<(), Broken> {
        let opened = match self.open() {
            Err(error) => {
                self.check(&error, Doing::Asks)?;
                self.after_crash(&[&self.main])?;
                if self.goes_on_failing() {
                    return Ok(());
                }
                self.open()?
            }
            Ok(store) => store,
        };
        self.store = Some(opened);
        self.main.reopened();
        Ok(())
    }

    /// Sends an act. If it fails once, sends it again, as a host should.
    fn act(
        &self,
        store: &dyn StatusStore,
        ledger: &mut Ledger,
        act: &Act,
        company: Company,
    ) -> Result<(), Broken> {
        let before = ledger.clone();
        let outcome = act.send(store);
        ledger.note(act, &outcome)?;
        if self.ground.faults.failed() == 0 {
            return outcome.map(drop).map_err(Broken::from);
        }
        if company == Company::Alone {
            self.after_crash(&[ledger])?;
        }
        let Err(error) = outcome else {
            return self.compare(store, ledger).map(drop);
        };
        let doing = if act.is_large() {
            Doing::ChangesMuch
        } else {
            Doing::Changes
        };
        self.check(&error, doing)?;
        let is_known = self.compare(store, ledger)?;
        let is_unknown = error.kind() == StoreErrorKind::OutcomeUnknown;
        if matches!(act, Act::WriteOnce(_))
            && is_unknown
            && !(is_known && ledger.is_lost(act, &before))
        {
            ledger.unsettled.pop();
            return Ok(());
        }
        if self.goes_on_failing() {
            return Ok(());
        }
        ledger.unsettled.pop();
        let again = act.send(store);
        ensure(again.is_ok(), || {
            format!("sent again after {error:?}: {again:?}")
        })?;
        ledger.note(act, &again)?;
        self.compare(store, ledger).map(drop)
    }

    fn act_together(&mut self, threads: &[Vec<Act>]) -> Result<(), Broken> {
        self.crowd = threads.iter().map(|_| Ledger::of(World::new())).collect();
        let Some(store) = self.store.clone() else {
            return Err(Broken::new("a scene is wrong: no store"));
        };
        let mut ledgers = std::mem::take(&mut self.crowd);
        let (this, store) = (&*self, &*store);
        let ended = thread::scope(|scope| {
            let tasks = threads.iter().zip(&mut ledgers);
            let threads = tasks
                .map(|(acts, ledger)| {
                    scope.spawn(move || this.act_beside_others(store, ledger, acts))
                })
                .collect::<Vec<_>>();
            let ended = threads.into_iter().map(|thread| {
                let ended = thread.join();
                ended.unwrap_or_else(|_| Err(Broken::new("a call panicked")))
            });
            ended.collect::<Result<Vec<_>, _>>()
        });
        ended?;
        self.crowd = ledgers;
        if self.ground.faults.failed() > 0 {
            let all = self.crowd.iter().collect::<Vec<_>>();
            self.after_crash(&all)?;
        }
        Ok(())
    }

    fn act_beside_others(
        &self,
        store: &dyn StatusStore,
        ledger: &mut Ledger,
        acts: &[Act],
    ) -> Result<(), Broken> {
        let mut acts = acts.iter();
        acts.try_for_each(|act| self.act(store, ledger, act, Company::Others))
    }

    /// Compares what is stored with what was answered; whether that could be read.
    fn compare(&self, store: &dyn StatusStore, ledger: &mut Ledger) -> Result<bool, Broken> {
        let Err(error) = ledger.compare(store)? else {
            return Ok(true);
        };
        self.check(&error, Doing::Asks)?;
        if self.goes_on_failing() {
            return Ok(false);
        }
        ledger.compare(store)??;
        Ok(true)
    }

    fn ask(&self) -> Result<(), Broken> {
        let Some(store) = &self.store else {
            return Ok(());
        };
        let asked = [&|| store.list(&everything()).map(drop), &|| {
            store.count(&Filter::new()).map(drop)
        }] as [&dyn Fn() -> Result<(), StoreError>; 2];
        for ask in asked {
            if let Err(error) = ask() {
                self.check(&error, Doing::Asks)?;
                if !self.goes_on_failing() {
                    ask()?;
                }
            }
        }
        Ok(())
    }

    fn wipe(&self) -> Result<(), Broken> {
        let Some(store) = &self.store else {
            return Ok(());
        };
        let mut last = String::new();
        for _ in 0..WIPES {
            let failed = self.ground.faults.failed();
            match store.wipe(WipeLevel::Files) {
                Ok(Wipe::Done) => {
                    // Whatever failed, no sync of it went well.
                    let was_synced = self.ground.faults.failed() == failed || !self.syncs_nothing();
                    ensure(was_synced, || "done, and nothing was synced".to_owned())?;
                    return nothing_is_left(&self.ground.directory, &self.main);
                }
                Ok(Wipe::Pending { reason }) => last = reason,
                Ok(limited) => return Err(Broken::new(format!("a wipe came to {limited:?}"))),
                Err(error) => {
                    self.check(&error, Doing::ChangesMuch)?;
                    self.after_crash(&[&self.main])?;
                    if self.goes_on_failing() {
                        return Ok(());
                    }
                    last = format!("{error:?}");
                }
            }
        }
        Err(Broken::new(format!(
            "a wipe does not come to an end: {last}"
        )))
    }

    /// Whether what fails does so until it is disarmed, and has begun to.
    fn goes_on_failing(&self) -> bool {
        let lasts = self.fault.map(|fault| fault.lasts);
        self.ground.faults.failed() > 0 && lasts.is_some_and(|lasts| lasts != Lasts::Once)
    }

    /// Whether no sync goes well any more.
    fn syncs_nothing(&self) -> bool {
        let syncs = self.fault.is_some_and(|fault| fault.call == Call::Sync);
        syncs && self.goes_on_failing()
    }

    /// Whether an error is of the right kind.
    fn check(&self, error: &StoreError, doing: Doing) -> Result<(), Broken> {
        let fault = self.fault.filter(|_| self.ground.faults.failed() > 0);
        let Some(fault) = fault else {
            return Err(Broken::new(format!(
                "an error though nothing failed: {error:?}"
            )));
        };
        let known = if fault.error.is_space() {
            StoreErrorKind::Full
        } else {
            StoreErrorKind::Unavailable
        };
        let kind = error.kind();
        let is_right = match doing {
            Doing::Asks => kind == known,
            Doing::Changes
                if fault.call == Call::Sync && fault.lasts != Lasts::WithAllThatWrite =>
            {
                kind == StoreErrorKind::OutcomeUnknown
            }
            // What no commit asks for.
            Doing::Changes
                if matches!(
                    fault.call,
                    Call::Open | Call::Access | Call::Read | Call::Lock
                ) =>
            {
                kind == known
            }
            Doing::Changes | Doing::ChangesMuch => {
                kind == known || kind == StoreErrorKind::OutcomeUnknown
            }
        };
        ensure(is_right, || {
            format!("an error of the wrong kind, while it {doing:?}: {error:?}")
        })
    }

    fn after_crash(&self, ledgers: &[&Ledger]) -> Result<(), Broken> {
        compare_after_crash(&self.ground.directory, &self.ground.crashed, ledgers)
    }

    /// Once nothing fails any more, the same store works, holds what it answered, and takes what got no answer.
    pub(super) fn ends_right(mut self, scene: &Scene) -> Result<(), Broken> {
        let store = if let Some(store) = self.store.take() {
            store
        } else {
            self.main.reopened();
            self.open()?
        };
        let mut ledgers = std::mem::take(&mut self.crowd);
        ledgers.push(self.main.clone());
        for ledger in &mut ledgers {
            ledger.compare(&*store)??;
            for act in std::mem::take(&mut ledger.unsettled) {
                ledger.note(&act, &Ok(act.send(&*store)?))?;
            }
            ledger.compare(&*store)??;
        }
        if self.fault.is_some_and(|fault| fault.lasts == Lasts::Once) {
            self.ends_as_if_nothing_had_failed(scene, &ledgers)?;
        }
        let mut main = ledgers.pop().expect("it was pushed last");
        let act = &scene.service;
        main.note(act, &Ok(act.send(&*store)?))?;
        main.compare(&*store)??;
        self.main = main;
        self.store = Some(store);
        self.fault = None;
        self.ask()?;
        self.wipe()?;
        self.store = None;
        is_whole(&self.ground.path())?;
        let store = self.open()?;
        ledgers.push(self.main);
        ledgers
            .iter_mut()
            .try_for_each(|ledger| Ok(ledger.compare(&*store)??))
    }

    /// Everything that failed was sent again at once.
    fn ends_as_if_nothing_had_failed(
        &self,
        scene: &Scene,
        ledgers: &[Ledger],
    ) -> Result<(), Broken> {
        let (main, crowd) = ledgers.split_last().expect("there is the main one");
        let (mut world, mut setup) = (World::new(), &[][..]);
        match &scene.begins {
            Begins::Nothing => {}
            Begins::Old(version) => world.clone_from(&self.ground.old[version - 1]),
            Begins::Opened(acts) => setup = acts,
        }
        for act in setup {
            act.apply(&mut world);
        }
        let mut crowded = Vec::new();
        for step in &scene.steps {
            match step {
                Step::Do(act) => drop(act.apply(&mut world)),
                Step::Together(threads) => crowded.extend(threads),
                Step::Open | Step::Close | Step::Ask | Step::Wipe => {}
            }
        }
        ensure(*main.world()? == world, || {
            "what was sent again did not end right".to_owned()
        })?;
        for (ledger, acts) in crowd.iter().zip(crowded) {
            let mut world = World::new();
            for act in acts {
                act.apply(&mut world);
            }
            ensure(*ledger.world()? == world, || {
                "what was sent again by one of several did not end right".to_owned()
            })?;
        }
        Ok(())
    }
}

/// Whether others send at the same time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Company {
    Alone,
    Others,
}
