//! Programs that this tool starts, and the promise that none of them outlives it.
//!
//! Each runs below a small supervisor that holds the reading end of a pipe. The pipe closes when the tool ends, in
//! whatever way (a kill -9 included), and the supervisor then ends everything below it. Nothing here knows what the
//! programs do.

use std::ffi::{OsStr, OsString};
use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use tokio::process::{Child, ChildStdin, Command};

use crate::error::{LocalError, Result};

const SUPERVISOR: &str = include_str!("../python/supervise.py");

/// How long a program has to end by itself after a SIGTERM.
const GRACE_SECONDS: &str = "1";

/// How long the supervisor has before it is given up; far above its grace period.
const END_LIMIT: Duration = Duration::from_secs(20);

/// Lines of a log that an error quotes.
const QUOTED_LINES: usize = 3;

/// A program to be run: what, where, with which environment, and where its output goes.
#[derive(Debug)]
pub struct Program {
    python: PathBuf,
    command: Vec<OsString>,
    environment: Vec<(OsString, Option<OsString>)>,
    directory: Option<PathBuf>,
    log: PathBuf,
}

impl Program {
    /// `python` runs the supervisor; standard output and error are appended to `log`.
    pub fn new(
        python: impl Into<PathBuf>,
        program: impl AsRef<OsStr>,
        log: impl Into<PathBuf>,
    ) -> Self {
        Self {
            python: python.into(),
            command: vec![program.as_ref().to_owned()],
            environment: Vec::new(),
            directory: None,
            log: log.into(),
        }
    }

    /// One more argument.
    #[must_use]
    pub fn arg(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.command.push(argument.as_ref().to_owned());
        self
    }

    /// More arguments.
    #[must_use]
    pub fn args<S: AsRef<OsStr>>(mut self, arguments: impl IntoIterator<Item = S>) -> Self {
        self.command.extend(
            arguments
                .into_iter()
                .map(|argument| argument.as_ref().to_owned()),
        );
        self
    }

    /// Sets an environment variable.
    #[must_use]
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.environment
            .push((name.as_ref().to_owned(), Some(value.as_ref().to_owned())));
        self
    }

    /// Takes an inherited environment variable away.
    #[must_use]
    pub fn env_remove(mut self, name: impl AsRef<OsStr>) -> Self {
        self.environment.push((name.as_ref().to_owned(), None));
        self
    }

    /// The working directory.
    #[must_use]
    pub fn current_dir(mut self, directory: impl Into<PathBuf>) -> Self {
        self.directory = Some(directory.into());
        self
    }

    /// Starts it.
    ///
    /// # Errors
    /// [`LocalError::Spawn`] when the supervisor cannot start, [`LocalError::File`] when the log cannot be opened. A
    /// program that cannot be executed exits with 127 and says so in its log.
    pub fn spawn(self) -> Result<Running> {
        let log = open_log(&self.log)?;
        let errors = log
            .try_clone()
            .map_err(|source| LocalError::file(&self.log, source))?;
        let mut command = Command::new(&self.python);
        // -I and -S: no user site, no environment, no packages; a broken Python set-up must not break the supervisor.
        command
            .args(["-I", "-S", "-c", SUPERVISOR, GRACE_SECONDS])
            .args(&self.command);
        command
            .stdin(Stdio::piped())
            .stdout(log)
            .stderr(errors)
            .process_group(0);
        for (name, value) in &self.environment {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        if let Some(directory) = &self.directory {
            command.current_dir(directory);
        }
        let mut child = command.spawn().map_err(|source| LocalError::Spawn {
            program: self.python.display().to_string(),
            source,
        })?;
        let lifeline = child.stdin.take();
        Ok(Running {
            child,
            lifeline,
            log: self.log,
        })
    }

    /// Runs it to its end; `step` names it in an error.
    ///
    /// # Errors
    /// As [`Program::spawn`], and [`LocalError::Step`] when it exits with anything but 0.
    pub async fn run(self, step: &str) -> Result<()> {
        let mut running = self.spawn()?;
        let status = running.exited().await?;
        if status.success() {
            Ok(())
        } else {
            Err(running.failure(step))
        }
    }
}

fn supervisor_lost(source: std::io::Error) -> LocalError {
    LocalError::Spawn {
        program: "the supervisor".into(),
        source,
    }
}

fn open_log(path: &Path) -> Result<File> {
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent).map_err(|source| LocalError::file(parent, source))?;
    }
    OpenOptions::new()
        .create(true)
        .append(true)
        .open(path)
        .map_err(|source| LocalError::file(path, source))
}

/// A program under way. Dropping it ends the program and all it started, a moment later.
#[derive(Debug)]
pub struct Running {
    child: Child,
    lifeline: Option<ChildStdin>,
    log: PathBuf,
}

impl Running {
    /// Waits until it ends by itself.
    ///
    /// # Errors
    /// [`LocalError::Spawn`] when the operating system cannot tell.
    pub async fn exited(&mut self) -> Result<ExitStatus> {
        // The lifeline was taken out of the child, for `wait` closes a standard input that it finds there.
        self.child.wait().await.map_err(supervisor_lost)
    }

    /// Whether it has ended.
    ///
    /// # Errors
    /// [`LocalError::Spawn`] when the operating system cannot tell.
    pub fn try_exited(&mut self) -> Result<Option<ExitStatus>> {
        self.child.try_wait().map_err(supervisor_lost)
    }

    /// Ends it with everything it started; returns once nothing of it is left.
    pub async fn end(mut self) {
        drop(self.lifeline.take());
        if tokio::time::timeout(END_LIMIT, self.child.wait())
            .await
            .is_err()
        {
            tracing::warn!(log = %self.log.display(), "a program did not end in time");
        }
    }

    /// An error that quotes the end of the log.
    #[must_use]
    pub fn failure(&self, step: &str) -> LocalError {
        LocalError::Step {
            step: step.to_owned(),
            reason: last_lines(&self.log),
            log: self.log.clone(),
        }
    }
}

/// The last lines of a log that say something, on one line.
pub(crate) fn last_lines(log: &Path) -> String {
    let text = std::fs::read(log)
        .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
        .unwrap_or_default();
    let lines: Vec<&str> = text
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .collect();
    let quoted = lines[lines.len().saturating_sub(QUOTED_LINES)..].join(" | ");
    if quoted.is_empty() {
        "it wrote nothing".into()
    } else {
        quoted
    }
}
