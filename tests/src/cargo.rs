//! Starts cargo from a test.

use std::{
    path::PathBuf,
    process::{Command, Stdio},
};

use onewrite_local::process;
use serde_json::Value;

use crate::template::repository;

/// cargo in the repository, without the variables that `cargo test` sets for the running test.
///
/// The build script of ring reads some of them. A cargo that inherits them compiles ring again, with everything that
/// depends on it, and so does the next cargo without them.
#[must_use]
pub fn cargo() -> Command {
    let mut command = process::command(env!("CARGO"));
    command.current_dir(repository(""));
    command
}

/// Builds a binary and returns its path. It blocks the thread.
///
/// # Panics
/// The binary cannot be built.
#[must_use]
#[allow(clippy::expect_used)]
pub fn build(package: &str, binary: &str) -> PathBuf {
    let built = cargo()
        .args(["build", "--quiet", "--locked", "--message-format=json"])
        .args(["--package", package, "--bin", binary])
        .stderr(Stdio::inherit())
        .output()
        .expect("cargo starts");
    let messages = String::from_utf8_lossy(&built.stdout);
    let executable = messages.lines().find_map(|line| {
        let message: Value = serde_json::from_str(line).ok()?;
        Some(PathBuf::from(message["executable"].as_str()?))
    });
    executable.expect("cargo reports the binary")
}
