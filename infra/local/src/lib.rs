//! The pipeline on this machine: an emulator, the very template deployed to it, and event sources that keep AWS's
//! documented rules.
//!
//! - [`stack`]: a whole pipeline of one's own, for the commands and for the end-to-end tests; [`deployed`]: one that is
//!   there already; [`pipeline`]: what a run needs of either
//! - [`python`], [`emulator`], [`deploy`], [`watch`]: its parts, each a program of others; [`process`] sees to it that
//!   none outlives this one
//! - `stores`: what the emulator leaves out of table and stream
//! - [`event_sources`]: the mappings of the stack, run by the state machines of `onewrite-event-sources`
//! - [`sample`], [`messages`]: what is sent; [`quiet`], [`survey`]: what became of it; [`oracle`]: whether that is right
//! - [`alarms`]: the template's alarms, judged over what the parts tell ([`metrics`])
//! - [`cli`], [`demo`], [`up`], [`check`], [`binaries`], [`proof`], [`fuzz`]: the commands; [`tools`]: what they install;
//!   [`template`]: template.yaml as they read it
#![deny(missing_docs)]

pub mod alarms;
pub mod binaries;
pub mod check;
pub mod cli;
pub mod clients;
pub mod demo;
pub mod deploy;
pub mod deployed;
pub mod emulator;
pub mod error;
pub mod event_sources;
pub mod fuzz;
pub mod messages;
pub mod metrics;
pub mod oracle;
pub mod pipeline;
pub mod process;
pub mod progress;
pub mod proof;
pub mod python;
pub mod quiet;
pub mod sample;
pub mod stack;
mod stores;
pub mod survey;
pub mod template;
pub mod tools;
pub mod up;
pub mod watch;
pub mod workspace;
