//! Compares the functions with alternatives. Each runs as a process with Lambda's environment, against services that respond
//! immediately.
//!
//! - [`peer`]: the programs that are measured, how to build and start them
//! - [`process`], [`cpu_share`], [`runtime_api`], [`stub`], [`events`]: a function as the platform runs it
//! - [`payloads`], `refund`: what the notifications contain
//! - [`measure`]: the measurements; [`figures`]: their results
//! - [`cost`], [`sizes`]: the cost of each design
//! - [`goals`]: the goals, and the thresholds of the gate
//! - [`format`](mod@format): numbers; [`report`], [`plot`]: tables, JSON and an HTML page
//!
//! Compare ratios of one run, not absolute times: times depend on the machine.

pub mod cost;
pub mod cpu_share;
pub mod events;
pub mod figures;
pub mod format;
pub mod goals;
pub mod measure;
pub mod payloads;
pub mod peer;
pub mod plot;
pub mod process;
mod refund;
pub mod report;
pub mod runtime_api;
pub mod sizes;
pub mod stub;
