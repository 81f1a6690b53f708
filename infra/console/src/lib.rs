//! The console: one page on 127.0.0.1 that shows a pipeline, of a local stack or on AWS.
//!
//! - [`view`]: what the page shows, as JSON types
//! - [`pipeline`]: the port to a pipeline. `onewrite console` implements it
//! - [`lab`]: the port to the switches of a local stack. `cargo local up` implements it behind a loopback API
//! - [`sentence`]: the sentence of a local stack
//! - [`auth`]: the token of the page, and of the lab
//!
//! With the feature `server`:
//!
//! - `server`: the server of the page, on the loopback interface
//! - `change_log`: its log of changes
//! - `memory`: a pipeline and a lab in memory, for tests of the page
//!
//! This crate knows no AWS.

pub mod auth;
pub mod lab;
pub mod pipeline;
pub mod sentence;
pub mod view;

#[cfg(feature = "server")]
mod answer;
#[cfg(feature = "server")]
mod assets;
#[cfg(feature = "server")]
pub mod change_log;
#[cfg(feature = "server")]
mod events;
#[cfg(feature = "server")]
mod guard;
#[cfg(feature = "server")]
pub mod memory;
#[cfg(feature = "server")]
mod routes;
#[cfg(feature = "server")]
pub mod server;
