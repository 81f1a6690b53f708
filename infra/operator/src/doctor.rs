//! Checks the configuration of a deployed stack, as it runs and not as the template describes it.
//!
//! - [`snapshot`]: the configuration as plain data; `read`: reads it from AWS
//! - `check`: the form of a check; `checks`: the tables of checks, pure; `fixes`: the commands that fix a configuration
//! - [`finding`]: what a check reports; [`report`]: findings as text and as exit code

pub mod finding;
pub mod report;
pub mod snapshot;

mod check;
mod checks;
mod downstream;
mod fixes;
mod read;
#[cfg(test)]
mod tests;

pub use checks::examine;
pub use report::{exit_code, text};
pub use snapshot::StackSnapshot;
