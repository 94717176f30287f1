//! The work, the same for both sides.
//!
//! *Lifecycle*: 1 create to 8 advances (each of 4 modules starts, then completes) over processes that live side by side,
//! an op a call, round robin; whoever completes is replaced by a new one. Each side makes ids and takes the time for
//! each op, as a host does.

use std::sync::Barrier;
use std::time::{Duration, Instant};

use uuid::Uuid;

use crate::baseline::MODULES;
use crate::rounds::Outcome;
use crate::waits::Waits;

/// How many processes live side by side, over all threads.
pub const LIVE: usize = 1024;
/// A process is advanced as often as this.
pub const STEPS: usize = 2 * MODULES;
/// What all processes are runs of.
pub const PIPELINE: &str = "bench";
/// The modules.
pub const CHAIN: [&str; MODULES] = ["ocr", "parser", "summary", "keyword"];
/// What each works on: text of about 90 bytes.
pub const FILE: &str =
    "a-file-of-about-ninety-bytes-of-text-as-hosts-have-them-in-their-trackers-0123456789.pdf";

/// Which ids processes get.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ids {
    /// Sorted by time, from the library itself.
    Own,
    /// Random ones, which the host brings.
    Random,
}

/// A side that is measured: milepost, or hand-written code.
pub trait Subject: Sync {
    /// What a worker holds of a process that it works on.
    type Live: Send;

    /// Begins a process.
    fn begin(&self, ids: Ids) -> Outcome<Self::Live>;

    /// Takes the `step`th step of a process: an even one starts a module, an odd one completes it.
    fn advance(&self, live: &mut Self::Live, step: usize) -> Outcome<()>;

    /// Takes each of these processes one op further, in one transaction.
    fn batch(&self, slots: &mut [Slot<Self::Live>], ids: Ids) -> Outcome<()>;

    /// Begins as many processes and completes their modules, in one transaction; they expire after a while, if one is
    /// given. Answers their ids.
    fn settled(&self, processes: usize, ids: Ids, expiry: Option<Duration>) -> Outcome<Vec<Uuid>>;
}

/// One of the processes that live side by side.
#[derive(Debug)]
pub struct Slot<L> {
    /// None before the first.
    pub live: Option<L>,
    /// How many steps it has taken.
    pub step: usize,
}

impl<L> Slot<L> {
    /// The process and its next step; none if a new one is to begin.
    pub fn take_step(&mut self) -> Option<(&mut L, usize)> {
        match &mut self.live {
            Some(live) if self.step < STEPS => {
                self.step += 1;
                Some((live, self.step - 1))
            }
            _ => None,
        }
    }

    /// Puts a new process here.
    pub fn put(&mut self, live: L) {
        self.live = Some(live);
        self.step = 0;
    }
}

/// The processes that one thread keeps alive.
#[derive(Debug)]
pub struct Lives<L> {
    slots: Vec<Slot<L>>,
    next: usize,
    ids: Ids,
}

impl<L: Send> Lives<L> {
    /// As many, each at another step, so that creations and advances mix from the first op on.
    pub fn start<S: Subject<Live = L>>(subject: &S, count: usize, ids: Ids) -> Outcome<Self> {
        let mut slots = (0..count.max(1))
            .map(|_| Slot {
                live: None,
                step: 0,
            })
            .collect::<Vec<_>>();
        for behind in 0..=STEPS {
            let mut some = slots.split_off(slots.len() * behind / (STEPS + 1));
            subject.batch(&mut some, ids)?;
            slots.append(&mut some);
        }
        Ok(Lives {
            slots,
            next: 0,
            ids,
        })
    }

    /// One op, in a call of its own.
    pub fn turn<S: Subject<Live = L>>(&mut self, subject: &S) -> Outcome<()> {
        let place = self.next;
        self.next = (place + 1) % self.slots.len();
        let slot = &mut self.slots[place];
        if let Some((live, step)) = slot.take_step() {
            return subject.advance(live, step);
        }
        slot.put(subject.begin(self.ids)?);
        Ok(())
    }

    /// As many ops, each of another process, in one call.
    pub fn batch<S: Subject<Live = L>>(&mut self, subject: &S, ops: usize) -> Outcome<()> {
        if self.next + ops > self.slots.len() {
            self.next = 0;
        }
        let end = (self.next + ops).min(self.slots.len());
        subject.batch(&mut self.slots[self.next..end], self.ids)?;
        self.next = end;
        Ok(())
    }
}

/// The live processes divided over `threads`.
pub fn crews<S: Subject>(subject: &S, threads: usize) -> Outcome<Vec<Lives<S::Live>>> {
    (0..threads)
        .map(|_| Lives::start(subject, LIVE / threads, Ids::Own))
        .collect()
}

/// Lifecycle work by a thread for each crew, for a while: ops a second, and how long each op took.
pub fn side_by_side<S: Subject>(
    subject: &S,
    crews: &mut [Lives<S::Live>],
    lasting: Duration,
) -> Outcome<(f64, Waits)> {
    let start = Barrier::new(crews.len() + 1);
    std::thread::scope(|scope| {
        let threads = crews
            .iter_mut()
            .map(|lives| {
                let start = &start;
                scope.spawn(move || {
                    start.wait();
                    work(subject, lives, lasting)
                })
            })
            .collect::<Vec<_>>();
        start.wait();
        let began = Instant::now();
        let (mut ops, mut waits) = (0, Waits::default());
        for thread in threads {
            let (done, waited) = thread.join().map_err(|_| "a thread panicked")??;
            ops += done;
            waits.join(&waited);
        }
        Ok((f64::from(ops) / began.elapsed().as_secs_f64(), waits))
    })
}

fn work<S: Subject>(
    subject: &S,
    lives: &mut Lives<S::Live>,
    lasting: Duration,
) -> Outcome<(u32, Waits)> {
    let (mut done, mut waits) = (0, Waits::default());
    let began = Instant::now();
    let mut before = began;
    while before - began < lasting {
        lives.turn(subject)?;
        done += 1;
        let after = Instant::now();
        waits.add(after - before);
        before = after;
    }
    Ok((done, waits))
}

/// Fills with settled processes, 1,000 a transaction; answers their ids.
pub fn fill<S: Subject>(subject: &S, processes: usize, ids: Ids) -> Outcome<Vec<Uuid>> {
    let mut filled = Vec::with_capacity(processes);
    while filled.len() < processes {
        let some = (processes - filled.len()).min(1000);
        filled.append(&mut subject.settled(some, ids, None)?);
    }
    Ok(filled)
}
