//! Progress bars, with `indicatif`.

use std::fmt;
use std::io::{self, Write};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use milepost_core::{
    Estimate, Estimator, Module, Process, Progress, Rejection, RequestId, TrackError, Tracker,
};

/// How many steps a bar has.
const STEPS: u64 = 1_000;
/// How often to estimate at most: it reads records.
const ESTIMATE_EVERY: Duration = Duration::from_millis(500);

/// How long to wait before a process is looked for again that could not be read.
const PATIENCE: Duration = Duration::from_millis(100);

/// Progress bars of one process: one for the whole with the time that may be left, and one for each module.
///
/// They are drawn on stderr if that is a terminal. If not, as in a pipe or a log file, a line is written there for each
/// change, like those of [`Watch::describe`](milepost_core::Watch::describe), and no byte that steers a terminal.
///
/// The bar of the whole never goes back: see [`Tracker::estimator`].
///
/// # Examples
///
/// ```no_run
/// use milepost::{Bars, RequestId, TrackError, Tracker};
///
/// fn show(tracker: &Tracker, id: RequestId) -> Result<(), TrackError> {
///     let process = Bars::new(tracker, id).follow()?;
///     println!("{}", process.status());
///     Ok(())
/// }
/// ```
pub struct Bars {
    tracker: Tracker,
    estimator: Estimator,
    id: RequestId,
    display: MultiProgress,
    lines: Box<dyn Write + Send>,
    /// What was shown last.
    shown: Option<Arc<Process>>,
    /// Where a terminal is.
    drawn: Option<Drawn>,
}

/// What is drawn on a terminal.
struct Drawn {
    whole: ProgressBar,
    modules: Vec<ProgressBar>,
    estimated: Option<Instant>,
}

impl Bars {
    /// Bars of the process `id`, on stderr. Draws nothing yet, and asks nobody.
    #[must_use]
    pub fn new(tracker: &Tracker, id: RequestId) -> Self {
        Bars {
            tracker: tracker.clone(),
            estimator: tracker.estimator(id),
            id,
            display: MultiProgress::new(),
            lines: Box::new(io::stderr()),
            shown: None,
            drawn: None,
        }
    }

    /// Draws there instead. Hidden, it is taken for no terminal.
    #[must_use]
    pub fn drawn_on(self, target: ProgressDrawTarget) -> Self {
        self.display.set_draw_target(target);
        self
    }

    /// Where no terminal is, writes lines there instead.
    #[must_use]
    pub fn lines_to(self, writer: impl Write + Send + 'static) -> Self {
        let lines = Box::new(writer);
        Bars { lines, ..self }
    }

    /// Follows the process until it has settled, and answers it. Trouble of the store that may pass is waited out.
    ///
    /// Blocks, as [`show`](Bars::show) does for a moment: async hosts give it a thread (`spawn_blocking`).
    ///
    /// # Errors
    ///
    /// [`NotFound`](Rejection::NotFound) if it is not there, or is erased or expires meanwhile.
    pub fn follow(&mut self) -> Result<Arc<Process>, TrackError> {
        let mut watch = loop {
            match self.tracker.watch(self.id) {
                Err(error) if error.is_retryable() => thread::sleep(PATIENCE),
                begun => break begun?,
            }
        };
        let (ring, rung) = mpsc::sync_channel(1);
        // One that has rung and was not heard yet does for all.
        watch.on_news(move || {
            let _ = ring.try_send(());
        });
        while !watch.has_ended() {
            match watch.try_next() {
                Some(Ok(process)) => self.show(&process),
                Some(Err(error)) if error.is_retryable() => {}
                Some(Err(error)) => return Err(error),
                None => self.estimate_again(),
            }
            if !watch.has_news() {
                let again = watch.read_again_at();
                let again = again.map(|at| at.saturating_duration_since(Instant::now()));
                let _ = rung.recv_timeout(again.unwrap_or(ESTIMATE_EVERY).min(ESTIMATE_EVERY));
            }
        }
        self.shown.clone().ok_or(Rejection::NotFound.into())
    }

    /// Shows where the process stands: for those who watch it themselves. What cannot be written is not shown. Where a
    /// terminal is, it may read from the store, to estimate.
    pub fn show(&mut self, process: &Arc<Process>) {
        let before = self.shown.replace(Arc::clone(process));
        if self.display.is_hidden() {
            for line in process.describe_since(before.as_deref()) {
                let _ = writeln!(self.lines, "{line}");
            }
        } else {
            let display = &self.display;
            let drawn = self
                .drawn
                .get_or_insert_with(|| Drawn::new(display, process));
            drawn.draw(before.as_deref(), process, &mut self.estimator);
        }
    }

    /// The time goes on, and with it what is left of it.
    fn estimate_again(&mut self) {
        if let Some(drawn) = &mut self.drawn {
            drawn.estimate_now_and_then(&mut self.estimator);
        }
    }

    /// Writes to the terminal beside the bars: does this while they are out of the way.
    pub fn suspend<T>(&self, write: impl FnOnce() -> T) -> T {
        self.display.suspend(write)
    }
}

impl Drawn {
    fn new(display: &MultiProgress, process: &Process) -> Self {
        let style = |template| {
            let style =
                ProgressStyle::with_template(template).expect("the template is well formed");
            style.progress_chars("=> ")
        };
        let bar = |template| {
            let bar = display.add(ProgressBar::new(STEPS));
            bar.set_style(style(template));
            bar
        };
        // First: of more bars than a terminal has lines, the last are not drawn.
        let whole = bar("[{bar:24}] {msg}");
        let of_module = |_: &Module| bar("[{bar:24}] {wide_msg}");
        Drawn {
            whole,
            modules: process.modules().iter().map(of_module).collect(),
            estimated: None,
        }
    }

    fn draw(&mut self, before: Option<&Process>, process: &Process, estimator: &mut Estimator) {
        for (bar, module) in self.modules.iter().zip(process.modules()) {
            bar.set_position(steps(part(module)));
            if let Some(line) = process.describe_module(module.position()) {
                bar.set_message(line);
            }
        }
        if before.map(settled) != Some(settled(process)) {
            self.estimated = None;
        }
        self.estimate_now_and_then(estimator);
        if process.is_settled() {
            self.leave();
        }
    }

    fn estimate_now_and_then(&mut self, estimator: &mut Estimator) {
        let is_recent = |last: Instant| last.elapsed() < ESTIMATE_EVERY;
        if self.estimated.is_some_and(is_recent) {
            return;
        }
        // Without one, what was said last stands.
        if let Ok(estimate) = estimator.estimate() {
            self.tell(&estimate);
        }
        self.estimated = Some(Instant::now());
    }

    fn tell(&self, estimate: &Estimate) {
        let steps = steps(estimate.fraction);
        self.whole.set_position(steps);
        let left = estimate.left.map(|left| format!(", {left}"));
        // Rounded down: it is 100 once it is complete.
        let percent = 100 * steps / STEPS;
        let message = format!("{percent:>3} % of the whole{}", left.unwrap_or_default());
        self.whole.set_message(message);
    }

    /// What stands there stays.
    fn leave(&self) {
        for bar in self.modules.iter().chain([&self.whole]) {
            bar.abandon();
        }
    }
}

/// How much of a module is done, as far as it says.
fn part(module: &Module) -> f64 {
    if module.state().is_done() {
        return 1.0;
    }
    let reported = module.progress().and_then(Progress::fraction);
    reported.unwrap_or(0.0)
}

/// How many of its modules have settled.
fn settled(process: &Process) -> usize {
    let has_settled = |module: &&Module| module.state().is_settled();
    process.modules().iter().filter(has_settled).count()
}

#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "0 to 1,000"
)]
fn steps(fraction: f64) -> u64 {
    (fraction.clamp(0.0, 1.0) * STEPS as f64) as u64
}

impl fmt::Debug for Bars {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bars")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}
