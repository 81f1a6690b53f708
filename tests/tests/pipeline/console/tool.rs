//! A tool as a child process whose output the test reads.

use std::{
    process::{Command, ExitStatus, Stdio},
    sync::{Arc, Mutex},
    time::Duration,
};

use nix::{
    sys::signal::{self, Signal},
    unistd::Pid,
};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncRead, BufReader},
    process::Child,
};

use super::wait::wait_for;

/// The lines that a tool has written so far.
type Lines = Arc<Mutex<Vec<String>>>;

/// A running tool. Dropping it kills it.
pub(super) struct Tool {
    child: Child,
    lines: Lines,
}

impl Tool {
    pub(super) fn start(mut command: Command) -> Self {
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut command = tokio::process::Command::from(command);
        let mut child = command.kill_on_drop(true).spawn().unwrap();
        let lines = Lines::default();
        collect(child.stdout.take().unwrap(), Arc::clone(&lines));
        collect(child.stderr.take().unwrap(), Arc::clone(&lines));
        Self { child, lines }
    }

    /// Everything that the tool has written.
    pub(super) fn output(&self) -> String {
        self.lines.lock().unwrap().join("\n")
    }

    /// Waits for a line that contains this text.
    pub(super) async fn line_with(&mut self, text: &str, limit: Duration) -> String {
        let lines = Arc::clone(&self.lines);
        let what = format!("the tool writes {text:?}");
        wait_for(&what, limit, async || {
            let found = find(&lines, text);
            if found.is_none() && self.child.try_wait().unwrap().is_some() {
                // The last lines may still be on their way.
                tokio::time::sleep(Duration::from_millis(100)).await;
                let late = find(&lines, text);
                assert!(late.is_some(), "the tool ended:\n{}", self.output());
                return late;
            }
            found
        })
        .await
    }

    pub(super) fn id(&self) -> u32 {
        self.child.id().expect("the tool runs")
    }

    pub(super) fn interrupt(&self) {
        let id = Pid::from_raw(self.id().try_into().unwrap());
        signal::kill(id, Signal::SIGINT).unwrap();
    }

    /// Waits until the process ends.
    pub(super) async fn ended(&mut self, limit: Duration) -> ExitStatus {
        let ended = tokio::time::timeout(limit, self.child.wait()).await;
        match ended {
            Ok(status) => status.unwrap(),
            Err(_) => panic!("the tool still runs after {limit:?}:\n{}", self.output()),
        }
    }
}

fn find(lines: &Lines, text: &str) -> Option<String> {
    let lines = lines.lock().unwrap();
    lines.iter().find(|line| line.contains(text)).cloned()
}

/// Reads a stream to its end, so that the tool never waits for its reader.
fn collect(stream: impl AsyncRead + Send + Unpin + 'static, lines: Lines) {
    tokio::spawn(async move {
        let mut reader = BufReader::new(stream).lines();
        while let Ok(Some(line)) = reader.next_line().await {
            lines.lock().unwrap().push(line);
        }
    });
}
