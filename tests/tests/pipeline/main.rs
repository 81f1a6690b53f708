//! The whole pipeline, end to end: the repository's template on the emulator with IAM enforced, the release binaries, and
//! the event sources of this project. Each test has its own stack.
//!
//! All tests that start an emulator or a build are in this one binary. They mostly wait, and cargo runs one binary after the
//! other, but the tests of one binary in parallel, in the order of their names. The longest ones wait most of the time, so their
//! names come first: `across_versions`, `alarms`, `backoff` and `console::all`.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod across_versions;
mod alarms;
mod backoff;
mod console;
mod contract;
mod deployed_stack;
mod doctor;
mod downstream;
mod envelopes;
mod faults;
mod items;
mod least_privilege;
mod local;
mod messages;
mod oldest;
mod operator;
mod package;
mod recovery;
mod streams;
mod support;
