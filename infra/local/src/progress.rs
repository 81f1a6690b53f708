//! Progress for a person: a spinner on a terminal, plain lines elsewhere, nothing at all inside a test.

use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// Where progress goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// A spinner or bar that rewrites its line.
    Terminal,
    /// One line when a step starts and one when it is done.
    Lines,
    /// Nowhere.
    Silent,
}

impl Progress {
    /// What suits standard error.
    #[must_use]
    pub fn detect() -> Self {
        if std::io::stderr().is_terminal() {
            Self::Terminal
        } else {
            Self::Lines
        }
    }

    /// Announces a step that may take a while.
    #[must_use]
    pub fn step(self, what: impl Into<String>) -> Step {
        let what = what.into();
        let bar = match self {
            Self::Terminal => {
                let bar =
                    ProgressBar::new_spinner().with_style(style("{spinner} {msg} {elapsed:.dim}"));
                bar.enable_steady_tick(Duration::from_millis(120));
                bar.set_message(what.clone());
                Some(bar)
            }
            Self::Lines => {
                eprintln!("{what} ...");
                None
            }
            Self::Silent => None,
        };
        Step {
            progress: self,
            what,
            started: std::time::Instant::now(),
            bar,
        }
    }

    /// A bar towards `total` things.
    #[must_use]
    pub fn bar(self, total: u64) -> Bar {
        let bar = (self == Self::Terminal).then(|| {
            ProgressBar::new(total).with_style(style("[{bar:30}] {pos}/{len} {msg} {elapsed:.dim}"))
        });
        Bar {
            progress: self,
            total,
            bar,
            told: std::time::Instant::now(),
        }
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_spinner())
}

/// A step under way. Dropped without [`Step::done`], it vanishes: the error that follows says why.
#[derive(Debug)]
pub struct Step {
    progress: Progress,
    what: String,
    started: std::time::Instant,
    bar: Option<ProgressBar>,
}

impl Step {
    /// The step came to a good end.
    pub fn done(self) {
        let line = format!(
            "{} ({:.1} s)",
            self.what,
            self.started.elapsed().as_secs_f64()
        );
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        if self.progress != Progress::Silent {
            eprintln!("{line}");
        }
    }
}

impl Drop for Step {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// How far the pipeline has come.
#[derive(Debug)]
pub struct Bar {
    progress: Progress,
    total: u64,
    bar: Option<ProgressBar>,
    told: std::time::Instant,
}

/// Off a terminal, one line this often is enough.
const LINE_EVERY: Duration = Duration::from_secs(5);

impl Bar {
    /// Moves the bar.
    pub fn at(&mut self, position: u64, message: impl Into<String>) {
        let message = message.into();
        if let Some(bar) = &self.bar {
            bar.set_position(position);
            bar.set_message(message);
        } else if self.progress == Progress::Lines && self.told.elapsed() >= LINE_EVERY {
            self.told = std::time::Instant::now();
            eprintln!("{position}/{} {message}", self.total);
        }
    }

    /// Takes the bar away.
    pub fn finish(self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
