//! Progress on standard error: one line that is updated in place on a terminal, plain lines elsewhere, nothing in tests.

use std::io::{IsTerminal, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

/// All bars of this process, so that a line that is printed above them does not damage them.
static BARS: LazyLock<MultiProgress> = LazyLock::new(MultiProgress::new);

/// Where progress goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// A spinner or bar that rewrites its line.
    Terminal,
    /// A line when a step starts, every [`LINE_INTERVAL`] while it runs, and when it is done.
    Lines,
    /// Nowhere.
    Silent,
}

/// Without a terminal, a step that takes longer writes a line this often.
const LINE_INTERVAL: Duration = Duration::from_secs(30);

/// Without a terminal, a bar writes a line at most this often.
const BAR_INTERVAL: Duration = Duration::from_secs(5);

/// Without a terminal, a live screen writes a line at most this often.
const LIVE_INTERVAL: Duration = Duration::from_secs(10);

/// How often a terminal shows the newest line of a step's log.
const LOG_INTERVAL: Duration = Duration::from_millis(500);

/// Bytes at the end of a log in which its newest line is looked for.
const LOG_TAIL_BYTES: u64 = 1024;

/// Characters of a log line that are shown.
const SHOWN_CHARACTERS: usize = 50;

impl Progress {
    /// Chooses by whether standard error is a terminal.
    #[must_use]
    pub fn detect() -> Self {
        if std::io::stderr().is_terminal() {
            Self::Terminal
        } else {
            Self::Lines
        }
    }

    /// Starts a step.
    #[must_use]
    pub fn step(self, name: impl Into<String>) -> Step {
        self.start(name.into(), None, None)
    }

    /// Starts a step that takes long. `usually` says how long, for example "1 minute the first time". The newest line of
    /// `log` is shown on a terminal.
    #[must_use]
    pub fn long_step(self, name: impl Into<String>, usually: &str, log: Option<&Path>) -> Step {
        self.start(name.into(), Some(usually), log.map(Path::to_path_buf))
    }

    fn start(self, name: String, usually: Option<&str>, log: Option<PathBuf>) -> Step {
        let message = match usually {
            Some(usually) => format!("{name} (usually {usually})"),
            None => name.clone(),
        };
        let bar = (self == Self::Terminal).then(|| {
            let bar = BARS.add(ProgressBar::new_spinner());
            bar.set_style(style("{spinner} {wide_msg} {elapsed:>4.dim}"));
            bar.enable_steady_tick(Duration::from_millis(120));
            bar.set_message(message.clone());
            bar
        });
        if self == Self::Lines {
            eprintln!("{message} ...");
        }
        let (running, ended) = mpsc::channel();
        let update = Update {
            name: name.clone(),
            message,
            log,
            bar: bar.clone(),
        };
        if self != Self::Silent {
            std::thread::spawn(move || update.until_ended(&ended));
        }
        Step {
            progress: self,
            name,
            started: Instant::now(),
            bar,
            _running: running,
        }
    }

    /// Prints a line above everything that is updated in place.
    pub fn print(self, text: &str) {
        match self {
            Self::Terminal if BARS.println(text).is_ok() => {}
            Self::Terminal | Self::Lines => eprintln!("{text}"),
            Self::Silent => {}
        }
    }

    /// Starts a screen of a few lines that are updated in place.
    #[must_use]
    pub fn live(self) -> Live {
        Live {
            progress: self,
            bars: Vec::new(),
            shown: Vec::new(),
            last_line: None,
        }
    }

    /// Starts a bar that counts up to `total`.
    #[must_use]
    pub fn bar(self, total: u64) -> Bar {
        let bar = (self == Self::Terminal).then(|| {
            let bar = BARS.add(ProgressBar::new(total));
            bar.with_style(style("[{bar:30}] {pos}/{len} {msg} {elapsed:.dim}"))
        });
        Bar {
            progress: self,
            total,
            bar,
            last_line: Instant::now(),
        }
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_spinner())
}

/// Shows that a step is still running, until its sender is dropped.
struct Update {
    name: String,
    message: String,
    log: Option<PathBuf>,
    bar: Option<ProgressBar>,
}

impl Update {
    fn until_ended(&self, ended: &mpsc::Receiver<()>) {
        let started = Instant::now();
        let interval = if self.bar.is_some() {
            LOG_INTERVAL
        } else {
            LINE_INTERVAL
        };
        while ended.recv_timeout(interval) == Err(RecvTimeoutError::Timeout) {
            match (&self.bar, self.log.as_deref().and_then(newest_line)) {
                (Some(bar), Some(line)) => bar.set_message(format!("{}: {line}", self.message)),
                (Some(_), None) => {}
                (None, line) => {
                    let line = line.map(|line| format!(": {line}")).unwrap_or_default();
                    let seconds = started.elapsed().as_secs();
                    eprintln!("{} ... {seconds} s{line}", self.name);
                }
            }
        }
    }
}

/// Returns the newest line of a log that is not empty.
fn newest_line(log: &Path) -> Option<String> {
    let mut file = std::fs::File::open(log).ok()?;
    let length = file.metadata().ok()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(LOG_TAIL_BYTES)))
        .ok()?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).ok()?;
    let text = String::from_utf8_lossy(&bytes);
    let line = text.lines().map(str::trim).rfind(|line| !line.is_empty())?;
    Some(line.chars().take(SHOWN_CHARACTERS).collect())
}

/// A running step. If it is dropped without [`Step::done`], its line disappears: the error that follows says why.
#[derive(Debug)]
pub struct Step {
    progress: Progress,
    name: String,
    started: Instant,
    bar: Option<ProgressBar>,
    _running: mpsc::Sender<()>,
}

impl Step {
    /// Prints that the step succeeded and how long it took.
    pub fn done(self) {
        let seconds = self.started.elapsed().as_secs_f64();
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        self.progress
            .print(&format!("{} ({seconds:.1} s)", self.name));
    }
}

impl Drop for Step {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// A few lines that live as long as the program: updated in place on a terminal. Elsewhere, new lines are printed, at most
/// every [`LIVE_INTERVAL`].
#[derive(Debug)]
pub struct Live {
    progress: Progress,
    bars: Vec<ProgressBar>,
    shown: Vec<String>,
    last_line: Option<Instant>,
}

impl Live {
    /// Shows these lines instead of the ones before.
    pub fn show(&mut self, lines: Vec<String>) {
        if self.shown == lines {
            return;
        }
        match self.progress {
            Progress::Terminal => self.draw(&lines),
            Progress::Lines => {
                if self
                    .last_line
                    .is_some_and(|at| at.elapsed() < LIVE_INTERVAL)
                {
                    // What is shown stays, so that the change is printed later.
                    return;
                }
                self.last_line = Some(Instant::now());
                let new = lines.iter().filter(|line| !self.shown.contains(line));
                new.for_each(|line| eprintln!("{line}"));
            }
            Progress::Silent => {}
        }
        self.shown = lines;
    }

    fn draw(&mut self, lines: &[String]) {
        while self.bars.len() < lines.len() {
            let bar = BARS.add(ProgressBar::new_spinner());
            self.bars.push(bar.with_style(style("{wide_msg}")));
        }
        for bar in self.bars.drain(lines.len()..) {
            bar.finish_and_clear();
            BARS.remove(&bar);
        }
        for (bar, line) in self.bars.iter().zip(lines) {
            // A bar without a tick draws a new message at once.
            bar.set_message(line.clone());
        }
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.draw(&[]);
    }
}

/// A bar that counts things.
#[derive(Debug)]
pub struct Bar {
    progress: Progress,
    total: u64,
    bar: Option<ProgressBar>,
    last_line: Instant,
}

impl Bar {
    /// Shows how many things are done.
    pub fn at(&mut self, position: u64, message: impl Into<String>) {
        let message = message.into();
        if let Some(bar) = &self.bar {
            bar.set_position(position);
            bar.set_message(message);
        } else if self.progress == Progress::Lines && self.last_line.elapsed() >= BAR_INTERVAL {
            self.last_line = Instant::now();
            eprintln!("{position}/{} {message}", self.total);
        }
    }

    /// Removes the bar.
    pub fn finish(self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_the_newest_line_of_a_log() {
        let directory = tempfile::tempdir().unwrap();
        let log = directory.path().join("build.log");
        assert_eq!(newest_line(&log), None);
        let long = "x".repeat(usize::try_from(LOG_TAIL_BYTES).unwrap());
        std::fs::write(&log, format!("{long}\n   Compiling onewrite v0.1.0\n\n")).unwrap();
        assert_eq!(newest_line(&log).unwrap(), "Compiling onewrite v0.1.0");
        std::fs::write(&log, &long).unwrap();
        assert_eq!(newest_line(&log).unwrap().len(), SHOWN_CHARACTERS);
    }
}
