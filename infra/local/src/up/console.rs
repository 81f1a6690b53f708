//! The console of `cargo local up`: the operator's tool as a child process, with the lab of this process.
//!
//! The child ends with this process: it has a pipe as standard input, which closes even if this process is killed. The pipeline
//! does not end with the child.

use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use onewrite_console::lab::Lab;
use serde::Deserialize;
use tokio::io::{AsyncBufReadExt as _, AsyncRead, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use crate::error::{LocalError, Result};
use crate::lab::LabApi;
use crate::process::{self, Program};
use crate::progress::Progress;
use crate::python::Interpreter;
use crate::workspace::Workspace;

/// Tells the console where its lab is.
const URL_VARIABLE: &str = "ONEWRITE_LAB_URL";

/// Tells the console the token of its lab.
const TOKEN_VARIABLE: &str = "ONEWRITE_LAB_TOKEN";

/// Names the stack of the operator's tool.
const STACK_VARIABLE: &str = "ONEWRITE_STACK";

/// How the console begins the line with its address.
const ADDRESS: &str = "Console: ";

/// How long the console may take to end: it makes the dead letters visible that it received.
const END_LIMIT: Duration = Duration::from_secs(2);

/// How long the last lines of a console that has ended may take.
const LAST_LINES: Duration = Duration::from_secs(1);

/// Runs the console until the future is dropped. A console that was not built, ends or fails is reported once.
pub(super) async fn run(
    program: Result<PathBuf>,
    root: &Path,
    directory: PathBuf,
    lab: Arc<dyn Lab>,
    progress: Progress,
) -> Infallible {
    let log = directory.join("console.log");
    let ended = match program {
        Ok(program) => serve(&program, root, &log, lab, progress).await,
        Err(error) => Err(error),
    };
    progress.print(&without_console(&ended, &log));
    std::future::pending().await
}

/// Says why the console does not run, and what remains.
fn without_console(ended: &Result<ExitStatus>, log: &Path) -> String {
    let reason = match ended {
        Ok(status) => match last_error(log) {
            Some(error) => format!("it ended with {status}: {error}"),
            None => format!("it ended with {status}"),
        },
        Err(error) => match error.help() {
            Some(help) => format!("{error}; {help}"),
            None => error.to_string(),
        },
    };
    format!(
        "The console does not run: {reason}. The pipeline runs on. Use `cargo onewrite console` for a page without the switches."
    )
}

/// The error at the end of the log of the console.
fn last_error(log: &Path) -> Option<String> {
    let text = std::fs::read_to_string(log).ok()?;
    let line = text.lines().rfind(|line| line.starts_with("error"));
    line.map(str::to_owned)
}

/// Builds the operator's tool as `cargo onewrite` does. The functions are built before, without it, because it needs features of
/// the SDKs that they do not have.
pub(super) async fn build(
    workspace: &Workspace,
    directory: &Path,
    progress: Progress,
) -> Result<PathBuf> {
    let interpreter = Interpreter::find().await?;
    let (log, messages) = (
        directory.join("console-build.log"),
        directory.join("console-build.json"),
    );
    let step = progress.long_step(
        "Building the console",
        "2 minutes the first time",
        Some(&log),
    );
    Program::new(interpreter.path(), "cargo", &log)
        .args([
            "build",
            "--locked",
            "--package=onewrite-operator",
            "--bin=onewrite",
        ])
        .arg("--message-format=json-render-diagnostics")
        .current_dir(workspace.root())
        .output(&messages)
        .run("building the console")
        .await?;
    let text = std::fs::read_to_string(&messages);
    let text = text.map_err(|source| LocalError::file(&messages, source))?;
    let program = executable(&text);
    let program =
        program.ok_or_else(|| LocalError::UnexpectedStack("cargo built no console".to_owned()))?;
    // The next build would overwrite the running program.
    let copy = directory.join("console");
    std::fs::copy(&program, &copy).map_err(|source| LocalError::file(&program, source))?;
    step.done();
    Ok(copy)
}

/// The program that cargo's messages name.
fn executable(messages: &str) -> Option<PathBuf> {
    #[derive(Deserialize)]
    struct Artifact {
        executable: PathBuf,
    }
    let artifacts = messages.lines();
    let mut artifacts = artifacts.filter_map(|line| serde_json::from_str::<Artifact>(line).ok());
    artifacts.next_back().map(|artifact| artifact.executable)
}

/// Starts the API of the lab and the console, and waits until the console ends.
async fn serve(
    program: &Path,
    root: &Path,
    log: &Path,
    lab: Arc<dyn Lab>,
    progress: Progress,
) -> Result<ExitStatus> {
    let api = LabApi::start(lab).await?;
    let child = spawn(program, root, &api)?;
    // If this future is dropped, so is the guard.
    let (_guard, dropped) = oneshot::channel();
    let attended = tokio::spawn(attend(child, dropped, log.to_path_buf(), progress));
    let status = attended.await.unwrap_or_else(|error| Err(error.into()));
    status.map_err(|source| spawn_failed(program, source))
}

/// Waits until the console ends. When the guard of `dropped` is dropped, the console ends in order, or is killed after
/// [`END_LIMIT`] or with this process.
async fn attend(
    mut child: Child,
    dropped: oneshot::Receiver<Infallible>,
    log: PathBuf,
    progress: Progress,
) -> std::io::Result<ExitStatus> {
    // The console ends when it closes. `wait` would close it at once.
    let lifeline = child.stdin.take();
    let mut copying = JoinSet::new();
    if let Some(output) = child.stderr.take() {
        copying.spawn(copy(output, log, progress));
    }
    let status = tokio::select! {
        status = child.wait() => status,
        _ = dropped => {
            drop(lifeline);
            tokio::time::timeout(END_LIMIT, child.wait()).await?
        }
    };
    // Its last lines say why it ended. A process that it started may keep its output open.
    let _ = tokio::time::timeout(LAST_LINES, copying.join_all()).await;
    status
}

fn spawn(program: &Path, root: &Path, api: &LabApi) -> Result<Child> {
    command(program, root, api)
        .spawn()
        .map_err(|source| spawn_failed(program, source))
}

fn command(program: &Path, root: &Path, api: &LabApi) -> Command {
    let mut command = Command::from(process::command(program));
    // It finds the stack in this workspace, and not another one that the environment selects.
    command.env_remove(STACK_VARIABLE);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("AWS_") {
            command.env_remove(name);
        }
    }
    command
        .arg("console")
        .env(URL_VARIABLE, api.url())
        .env(TOKEN_VARIABLE, api.token().as_str())
        .current_dir(root)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        // Ctrl-C reaches this process alone, which then ends the child in order.
        .process_group(0)
        .kill_on_drop(true);
    command
}

fn spawn_failed(program: &Path, source: std::io::Error) -> LocalError {
    LocalError::Spawn {
        program: program.display().to_string(),
        source,
    }
}

/// Prints the address of the console, and appends its other lines to a log.
async fn copy(output: impl AsyncRead + Unpin, log: PathBuf, progress: Progress) {
    let mut lines = BufReader::new(output).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        if line.starts_with(ADDRESS) {
            progress.print(&line);
        } else {
            append(&log, &line);
        }
    }
}

/// Best effort: the console works without its log.
fn append(log: &Path, line: &str) {
    let file = std::fs::File::options().create(true).append(true).open(log);
    if let Ok(mut file) = file {
        let _ = std::io::Write::write_all(&mut file, format!("{line}\n").as_bytes());
    }
}

#[cfg(test)]
mod tests;
