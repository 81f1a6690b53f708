//! The server of the page over HTTP, with a pipeline in memory.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod changes;
mod client;
mod events;
mod gated;
mod refusals;
