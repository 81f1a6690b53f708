//! What the Lambda functions of `onewrite` share, and what a function of your own can use too.
//!
//! - [`config`]: settings from environment variables
//! - [`budget`]: how long an invocation may work
//! - [`invocation`]: runs a handler so that no error quotes an event; [`event`]: decodes the records of an event
//! - [`observer`]: clock, metrics and spans of a handler; [`telemetry`]: logs and metrics; [`spans`]: X-Ray traces
#![deny(missing_docs)]

pub mod budget;
pub mod config;
pub mod event;
pub mod invocation;
pub mod observer;
pub mod spans;
pub mod telemetry;
