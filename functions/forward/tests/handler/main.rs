//! Tests the guarantees of `forward` against an in-memory stream with injected failures.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod calls;
mod failures;
mod property;
mod records;
mod redelivery;
mod slow;
mod support;
