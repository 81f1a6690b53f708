//! Starts cargo from a test.

use std::process::Command;

use onewrite_local::process;

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
