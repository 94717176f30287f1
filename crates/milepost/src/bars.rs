//! Progress bars, with `indicatif`.

use std::fmt;
use std::io::{self, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use milepost_core::{
    Estimate, Estimator, Module, Process, Progress, Rejection, RequestId, TrackError, Tracker,
};

/// How many steps a bar has.
const STEPS: u64 = 1_000;
/// How often to estimate at most: it reads records.
const ESTIMATE_EVERY: Duration = Duration::from_millis(500);

/// Progress bars of one process: one for each module, and one for the whole with the time that may be left.
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
    modules: Vec<ProgressBar>,
    whole: ProgressBar,
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
    /// # Errors
    ///
    /// [`NotFound`](Rejection::NotFound) if it is not there, or is erased or expires meanwhile.
    pub fn follow(&mut self) -> Result<Arc<Process>, TrackError> {
        for news in self.tracker.watch(self.id)? {
            match news {
                Ok(process) => self.show(&process),
                Err(error) if error.is_retryable() => {}
                Err(error) => return Err(error),
            }
        }
        self.shown.clone().ok_or(Rejection::NotFound.into())
    }

    /// Shows where the process stands: for those who watch it themselves. What cannot be written is not shown.
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
        let of_module = |_: &Module| bar("[{bar:24}] {wide_msg}");
        Drawn {
            modules: process.modules().iter().map(of_module).collect(),
            whole: bar("[{bar:24}] {percent:>3} % of the whole{msg}"),
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
        let is_recent = self
            .estimated
            .is_some_and(|last| last.elapsed() < ESTIMATE_EVERY);
        if !is_recent || before.map(settled) != Some(settled(process)) {
            // Without one, what was said last stands.
            if let Ok(estimate) = estimator.estimate() {
                self.tell(&estimate);
            }
            self.estimated = Some(Instant::now());
        }
        if process.is_settled() {
            self.leave();
        }
    }

    fn tell(&self, estimate: &Estimate) {
        self.whole.set_position(steps(estimate.fraction));
        let left = estimate.left.map(|left| format!(", {left}"));
        self.whole.set_message(left.unwrap_or_default());
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
