//! Runs scripts that read JSON and print a result.

use std::{
    io::{Error, Result, Write as _},
    process::{Command, Stdio},
};

use onewrite_local::{
    error::LocalError,
    progress::Progress,
    python::{self, Environment, Interpreter},
    workspace::Workspace,
};
use serde_json::Value;

/// The emulator's Python, which has boto3 and jsonschema. It is installed once.
///
/// # Errors
/// As [`python::environment`].
pub async fn python(interpreter: &Interpreter) -> std::result::Result<Environment, LocalError> {
    let (workspace, silent) = (Workspace::here(), Progress::Silent);
    python::environment(&workspace, interpreter, python::EMULATOR, silent).await
}

/// Runs a program with this input and returns what it prints. It blocks the thread.
///
/// # Errors
/// The program cannot be started, or it failed. The error has what it wrote to standard error.
pub fn run(mut command: Command, input: &Value) -> Result<Vec<u8>> {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let (stdin, input) = (child.stdin.take(), input.to_string());
    // If the program ends early, its status says so.
    std::thread::spawn(move || stdin.map(|mut stdin| stdin.write_all(input.as_bytes())));
    let output = child.wait_with_output()?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    let stderr = String::from_utf8_lossy(&output.stderr);
    Err(Error::other(format!("{command:?}: {stderr}")))
}
