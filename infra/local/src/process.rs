//! Child processes. None of them outlives this tool.
//!
//! Each child runs below a small supervisor (`python/supervise.py`) that holds the reading end of a pipe. The pipe closes
//! when this tool ends, even by `kill -9`. The supervisor then ends everything below it.

use std::ffi::{OsStr, OsString};
use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

use tokio::process::{Child, ChildStdin};

use crate::error::{LocalError, Result};

const SUPERVISOR: &str = include_str!("../python/supervise.py");

/// Time between SIGTERM and SIGKILL. The emulator has nothing to save, and Ctrl-C must end everything within a second.
const GRACE_SECONDS: &str = "0.5";

/// How long to wait for the supervisor to end. Far above its grace period.
const END_LIMIT: Duration = Duration::from_secs(20);

/// Lines of a log that an error quotes.
const QUOTED_LINES: usize = 3;

/// Prefixes of the variables that cargo sets for a crate: `cargo run` passes them on to what it starts.
const CRATE_PREFIXES: [&str; 3] = ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_"];

/// The other variables that cargo sets for a crate.
const CRATE_VARIABLES: [&str; 4] = [
    "CARGO_CRATE_NAME",
    "CARGO_PRIMARY_PACKAGE",
    "CARGO_TARGET_TMPDIR",
    "OUT_DIR",
];

/// A command without the variables that `cargo run` sets for this crate. Every child process starts from here.
///
/// Some build scripts (such as ring's) read these variables. If a child cargo inherited them, it would rebuild crates that
/// a cargo started from a shell has built, and the other way round.
#[must_use]
pub fn command(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    for (name, _) in std::env::vars_os() {
        if is_set_for_crate(&name) {
            command.env_remove(name);
        }
    }
    command
}

fn is_set_for_crate(name: &OsStr) -> bool {
    let name = name.to_string_lossy();
    CRATE_VARIABLES.contains(&name.as_ref())
        || CRATE_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

/// A program to run under the supervisor.
#[derive(Debug)]
pub struct Program {
    python: PathBuf,
    command: Vec<OsString>,
    environment: Vec<(OsString, Option<OsString>)>,
    directory: Option<PathBuf>,
    log: PathBuf,
    output: Option<PathBuf>,
}

impl Program {
    /// `python` runs the supervisor. Standard output and standard error are appended to `log`.
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
            output: None,
        }
    }

    /// Adds an argument.
    #[must_use]
    pub fn arg(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.command.push(argument.as_ref().to_owned());
        self
    }

    /// Adds arguments.
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

    /// Removes an inherited environment variable.
    #[must_use]
    pub fn env_remove(mut self, name: impl AsRef<OsStr>) -> Self {
        self.environment.push((name.as_ref().to_owned(), None));
        self
    }

    /// Sets the working directory.
    #[must_use]
    pub fn current_dir(mut self, directory: impl Into<PathBuf>) -> Self {
        self.directory = Some(directory.into());
        self
    }

    /// Writes standard output to a separate file, which is emptied first, instead of the log.
    #[must_use]
    pub fn output(mut self, output: impl Into<PathBuf>) -> Self {
        self.output = Some(output.into());
        self
    }

    /// Starts the program.
    ///
    /// # Errors
    /// [`LocalError::Spawn`] if the supervisor cannot start, [`LocalError::File`] if the log cannot be opened. A program
    /// that cannot be executed exits with 127 and its log says why.
    pub fn spawn(self) -> Result<Running> {
        let errors = open_log(&self.log)?;
        let output = match &self.output {
            Some(path) => File::create(path).map_err(|source| LocalError::file(path, source))?,
            None => errors
                .try_clone()
                .map_err(|source| LocalError::file(&self.log, source))?,
        };
        let mut command = tokio::process::Command::from(command(&self.python));
        // -I and -S: no user site, no environment, no packages. A broken Python setup must not break the supervisor.
        command
            .args(["-I", "-S", "-c", SUPERVISOR, GRACE_SECONDS])
            .args(&self.command);
        command
            .stdin(Stdio::piped())
            .stdout(output)
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

    /// Runs the program until it exits. `step` names it in an error.
    ///
    /// # Errors
    /// As [`Program::spawn`], and [`LocalError::Step`] if its exit code is not 0.
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

/// A running program. Dropping it ends the program, and everything the program started, a moment later.
#[derive(Debug)]
pub struct Running {
    child: Child,
    lifeline: Option<ChildStdin>,
    log: PathBuf,
}

impl Running {
    /// Waits until the program exits.
    ///
    /// # Errors
    /// [`LocalError::Spawn`] if the operating system does not report the exit status.
    pub async fn exited(&mut self) -> Result<ExitStatus> {
        // The lifeline is not in the child, because `wait` would close a standard input that it finds there.
        self.child.wait().await.map_err(supervisor_lost)
    }

    /// Returns the exit status if the program has exited.
    ///
    /// # Errors
    /// [`LocalError::Spawn`] if the operating system does not report the exit status.
    pub fn try_exited(&mut self) -> Result<Option<ExitStatus>> {
        self.child.try_wait().map_err(supervisor_lost)
    }

    /// Ends the program and everything it started. Returns when none of these processes is left.
    pub async fn end(mut self) {
        drop(self.lifeline.take());
        if tokio::time::timeout(END_LIMIT, self.child.wait())
            .await
            .is_err()
        {
            tracing::warn!(log = %self.log.display(), "a program did not end in time");
        }
    }

    /// Returns an error that quotes the end of the log.
    #[must_use]
    pub fn failure(&self, step: &str) -> LocalError {
        LocalError::Step {
            step: step.to_owned(),
            reason: last_lines(&self.log),
            log: self.log.clone(),
        }
    }
}

/// Returns the last lines of a log that are not empty, joined to one line.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recognizes_variables_that_cargo_sets_for_a_crate() {
        for name in [
            "CARGO_PKG_NAME",
            "CARGO_PKG_VERSION_MAJOR",
            "CARGO_MANIFEST_DIR",
            "CARGO_MANIFEST_PATH",
            "CARGO_BIN_NAME",
            "CARGO_BIN_EXE_onewrite",
            "CARGO_CRATE_NAME",
            "CARGO_PRIMARY_PACKAGE",
            "OUT_DIR",
        ] {
            assert!(is_set_for_crate(OsStr::new(name)), "{name}");
        }
        for name in [
            "CARGO",
            "CARGO_HOME",
            "CARGO_TARGET_DIR",
            "CARGO_TERM_COLOR",
            "CARGO_INCREMENTAL",
            "CARGO_BUILD_JOBS",
            "CARGO_NET_OFFLINE",
            "PATH",
        ] {
            assert!(!is_set_for_crate(OsStr::new(name)), "{name}");
        }
    }

    /// cargo sets these variables for this very test, too.
    #[tokio::test]
    async fn children_do_not_inherit_variables_of_this_crate() {
        assert!(std::env::var_os("CARGO_MANIFEST_DIR").is_some());
        let directory = tempfile::tempdir().unwrap();
        let (log, output) = (directory.path().join("log"), directory.path().join("out"));
        Program::new("python3", "env", log)
            .env("CARGO_TARGET_DIR", "/elsewhere")
            .output(&output)
            .run("env")
            .await
            .unwrap();
        let variables = std::fs::read_to_string(output).unwrap();
        let names = variables.lines().filter_map(|line| line.split_once('='));
        let names: Vec<&str> = names.map(|(name, _)| name).collect();
        assert!(names.contains(&"CARGO_TARGET_DIR"), "{names:?}");
        let inherited = names.iter().find(|name| is_set_for_crate(OsStr::new(name)));
        assert_eq!(inherited, None);
    }
}
