//! Child processes that write to a file, and what they say until they are killed.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use fastrand::Rng;
use milepost::Durability;

use super::pipe::{Line, Task};
use crate::law::{Broken, ensure, program};

/// How long the next write of whoever is left may take: what is promised.
pub(super) const PROMPT: Duration = Duration::from_secs(5);
/// After how long of silence something has hung.
const SILENCE: Duration = Duration::from_secs(20);

/// How the writers of a child process go about it.
#[derive(Debug, Clone, Copy)]
#[expect(clippy::exhaustive_structs, reason = "laws and their tests build it")]
pub struct Manner {
    /// How they open the file.
    pub durability: Durability,
    /// They close the file and open it again all the time, each for itself; else they share one store.
    pub reopens: bool,
    /// They say that a step is done before they take it: wrong, and the law must notice.
    pub boasts: bool,
    /// They are told that what they sync is synced, and it is not: the law must notice that too. Takes strace.
    pub is_lied_to: bool,
}

/// When it is to end for them.
#[derive(Debug, Clone, Copy)]
pub(super) enum Moment {
    /// So long after one said that it opens the file.
    Opening(Duration),
    /// So long after so many steps were done.
    Writing(usize, Duration),
    /// So long after they were told to end by themselves, after so many steps.
    Closing(usize, Duration),
}

impl Moment {
    /// Any; not many steps where each takes a sync.
    pub(super) fn random(random: &mut Rng, durability: Durability) -> Self {
        let most = if durability == Durability::Normal {
            1_200
        } else {
            80
        };
        // Now and then so many that checkpoints come up.
        let most = if random.u8(..6) == 0 { 5 * most } else { most };
        let steps = random.usize(1..most);
        let delay = |random: &mut Rng, most| Duration::from_micros(random.u64(..most));
        match random.u8(..10) {
            0..2 => Moment::Opening(delay(random, 25_000)),
            2 => Moment::Closing(steps, delay(random, 8_000)),
            _ => Moment::Writing(steps, delay(random, 5_000)),
        }
    }
}

/// The children, on one pipe.
#[derive(Debug)]
pub(super) struct Crew {
    children: Vec<Child>,
    lines: Receiver<(Instant, Line)>,
    /// What they said, in order.
    pub(super) said: Vec<Line>,
    /// Whether the disk was taken from them: then they may complain.
    bereft: bool,
}

impl Crew {
    /// Starts a child for each of the `shifts`.
    pub(super) fn start(file: &Path, shifts: &[(Manner, &[Task])]) -> Result<Self, Broken> {
        let (reader, writer) = std::io::pipe()?;
        let mut crew = Crew {
            children: Vec::new(),
            lines: listen(reader),
            said: Vec::new(),
            bereft: false,
        };
        for (manner, tasks) in shifts {
            let mut child = manner
                .program()
                .arg("write")
                .arg(file)
                .args(manner.words())
                .stdin(Stdio::piped())
                .stdout(writer.try_clone()?)
                .spawn()?;
            let orders = tasks.iter().map(|task| format!("{task}\n"));
            let orders = orders.collect::<String>() + "go\n";
            let stdin = child.stdin.as_mut().expect("it is piped");
            stdin.write_all(orders.as_bytes())?;
            crew.children.push(child);
        }
        Ok(crew)
    }

    /// Waits for that moment.
    pub(super) fn wait_for(&mut self, moment: Moment) -> Result<(), Broken> {
        let delay = match moment {
            Moment::Opening(delay) => {
                while *self.hear()? != Line::Opening {}
                delay
            }
            Moment::Writing(steps, delay) | Moment::Closing(steps, delay) => {
                for _ in 0..steps {
                    while !matches!(self.hear()?, Line::Done(..)) {}
                }
                delay
            }
        };
        if let Moment::Closing(..) = moment {
            // Their input ends.
            self.children
                .iter_mut()
                .for_each(|child| drop(child.stdin.take()));
        }
        thread::sleep(delay);
        Ok(())
    }

    /// Waits until a writer of `tasks` has done a step that it began from now on, which must be soon.
    pub(super) fn wait_for_next(&mut self, tasks: &[Task]) -> Result<(), Broken> {
        let since = Instant::now();
        let is_theirs = |writer: usize| tasks.iter().any(|task| task.writer == writer);
        let mut begun = None;
        loop {
            let Some((at, line)) = self.hear_until(since + PROMPT)? else {
                return Err(Broken::new(
                    "whoever is left makes no next write within 5 s",
                ));
            };
            match line {
                Line::Try(writer, step) if begun.is_none() && at > since && is_theirs(*writer) => {
                    begun = Some((*writer, *step));
                }
                Line::Done(writer, step) if begun == Some((*writer, *step)) => return Ok(()),
                _ => {}
            }
        }
    }

    /// Whether they were told to end by themselves.
    pub(super) fn is_closing(&self) -> bool {
        self.children.iter().any(|child| child.stdin.is_none())
    }

    /// Has all of them stand still, so that what they have said is all that they have done.
    pub(super) fn freeze(&mut self) -> Result<(), Broken> {
        for child in &self.children {
            let id = child.id().to_string();
            Command::new("kill").args(["-STOP", &id]).status()?;
            let began = Instant::now();
            while !is_still(&id) && began.elapsed() < Duration::from_secs(1) {
                thread::sleep(Duration::from_millis(1));
            }
        }
        // What is still in the pipe.
        while let Ok((_, line)) = self.lines.recv_timeout(Duration::from_millis(5)) {
            self.note(line)?;
        }
        Ok(())
    }

    /// From now on they may complain: their disk is about to go. And nothing is acknowledged any more: a sync that
    /// is under way when a file system is shut down may be said to be done, and is not.
    pub(super) fn bereave(&mut self) -> Result<(), Broken> {
        // What they have said until now counts.
        while let Ok((_, line)) = self.lines.try_recv() {
            self.note(line)?;
        }
        self.bereft = true;
        Ok(())
    }

    /// Kills the child with this number.
    pub(super) fn kill(&mut self, number: usize) -> Result<(), Broken> {
        let child = &mut self.children[number];
        let was_told_to = child.stdin.is_none();
        if let (Some(status), false) = (child.try_wait()?, was_told_to || self.bereft) {
            return Err(Broken::new(format!("a writer ended by itself: {status}")));
        }
        child.kill()?;
        // What runs under another program outlives it, until its input ends.
        drop(child.stdin.take());
        child.wait()?;
        Ok(())
    }

    /// Kills all, and hears what they said to the last.
    pub(super) fn end(mut self) -> Result<Vec<Line>, Broken> {
        for number in 0..self.children.len() {
            self.kill(number)?;
        }
        while let Ok((_, line)) = self.lines.recv() {
            if !(self.bereft && matches!(line, Line::Done(..))) {
                self.note(line)?;
            }
        }
        Ok(std::mem::take(&mut self.said))
    }

    fn hear(&mut self) -> Result<&Line, Broken> {
        match self.hear_until(Instant::now() + SILENCE)? {
            Some((_, line)) => Ok(line),
            None => Err(Broken::new("the writers say nothing any more")),
        }
    }

    /// The next line and when it came; none if none comes by then.
    fn hear_until(&mut self, until: Instant) -> Result<Option<(Instant, &Line)>, Broken> {
        let left = until.saturating_duration_since(Instant::now());
        match self.lines.recv_timeout(left) {
            Ok((at, line)) => Ok(Some((at, self.note(line)?))),
            Err(RecvTimeoutError::Timeout) => Ok(None),
            Err(RecvTimeoutError::Disconnected) => Err(Broken::new("the writers ended")),
        }
    }

    fn note(&mut self, line: Line) -> Result<&Line, Broken> {
        if let Line::Wrong(what) = &line {
            ensure(self.bereft, || what.clone())?;
        }
        self.said.push(line);
        Ok(self.said.last().expect("it was just put there"))
    }
}

impl Drop for Crew {
    fn drop(&mut self) {
        for child in &mut self.children {
            // Those that are killed already are.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Manner {
    /// The program that the writers run in.
    fn program(self) -> Command {
        if !self.is_lied_to {
            return program("crash");
        }
        let mut strace = Command::new("strace");
        strace
            .args(["--follow-forks", "--quiet=all", "--output=/dev/null"])
            .args(["--seccomp-bpf", "--trace=fsync,fdatasync"])
            .arg("--inject=fsync,fdatasync:retval=0")
            .arg(program("crash").get_program());
        strace
    }

    /// Its words on the command line.
    fn words(self) -> [&'static str; 3] {
        let full = self.durability == Durability::Full;
        [
            if full { "full" } else { "normal" },
            if self.reopens { "reopens" } else { "stays" },
            if self.boasts { "boasts" } else { "is-honest" },
        ]
    }

    /// The manner of these words.
    #[must_use]
    pub fn of_words(words: &[String]) -> Option<Self> {
        let words = words.iter().map(String::as_str).collect::<Vec<_>>();
        let [
            "full" | "normal",
            "reopens" | "stays",
            "boasts" | "is-honest",
        ] = words[..]
        else {
            return None;
        };
        Some(Manner {
            durability: if words[0] == "full" {
                Durability::Full
            } else {
                Durability::Normal
            },
            reopens: words[1] == "reopens",
            boasts: words[2] == "boasts",
            is_lied_to: false,
        })
    }
}

/// Whether each thread of an OS process stands still, or is no more.
fn is_still(process: &str) -> bool {
    let threads = fs::read_dir(Path::new("/proc").join(process).join("task"));
    threads.into_iter().flatten().flatten().all(|thread| {
        let stat = fs::read_to_string(thread.path().join("stat")).unwrap_or_default();
        // Its name, in brackets, may hold anything.
        let state = stat.rsplit_once(") ").map_or("", |(_, rest)| rest);
        state.is_empty() || state.starts_with(['T', 'Z', 'X'])
    })
}

/// Notes when each line came, until nobody can say more.
fn listen(reader: std::io::PipeReader) -> Receiver<(Instant, Line)> {
    let (sender, lines) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(reader).lines() {
            let line = line.unwrap_or_else(|error| format!("wrong {error}"));
            let line = line.parse().unwrap_or_else(Line::Wrong);
            if sender.send((Instant::now(), line)).is_err() {
                break;
            }
        }
    });
    lines
}
