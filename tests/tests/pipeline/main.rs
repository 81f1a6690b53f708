//! The whole pipeline, end to end: the repository's template on the emulator with IAM enforced, the release binaries, and
//! the event sources of this project. Each test has its own stack.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod deferral;
mod deployed_stack;
mod doctor;
mod drills;
mod faults;
mod least_privilege;
mod messages;
mod operator;
mod recovery;
mod streams;
mod support;
