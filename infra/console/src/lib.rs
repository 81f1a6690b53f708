//! The console: one page on 127.0.0.1 that shows a pipeline, of a local stack or on AWS.
//!
//! - [`view`]: what the page shows, as JSON types
//! - [`pipeline`]: the port to a pipeline. `onewrite console` implements it
//! - [`lab`]: the port to the switches of a local stack. `cargo local up` implements it behind a loopback API
//! - [`sentence`]: the sentence of a local stack
//!
//! This crate knows no AWS.

pub mod lab;
pub mod pipeline;
pub mod sentence;
pub mod view;
