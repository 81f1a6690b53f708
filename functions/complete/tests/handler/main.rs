//! Tests the guarantees of `complete` against an in-memory table with injected failures.
#![allow(clippy::unwrap_used)]

mod checks;
mod failures;
mod faults;
mod given_up;
mod outcomes;
mod support;
mod targets;
