//! Runs the pipeline on this machine: an emulator, the deployed `template.yaml`, and event sources that follow AWS's
//! documented rules.
//!
//! - [`stack`] starts a pipeline on the emulator; [`deployed_stack`] connects to one that is already deployed. Both
//!   implement [`pipeline::Pipeline`].
//! - [`python`], [`emulator`], [`deploy`], [`functions`], [`profile`] and [`watch`] build, start and deploy its parts.
//!   [`process`] ends every child process with this one.
//! - `package` finds the files of a release package, which is deployed without a build.
//! - [`downstream`] creates what a pipeline delivers to, by default a [`ledger_receiver`].
//! - `emulator_fixes` and `emulator_template` compensate for differences between the emulator and AWS.
//! - [`event_sources`] runs the stack's event source mappings with the state machines of `onewrite-event-sources`.
//! - [`lab`] counts what the event sources see, for `up` and the console.
//! - [`sample`] and [`messages`] send messages, [`settled`] waits, [`inspect`] reads the result, [`oracle`] checks it.
//! - [`metrics`] records the metrics that Lambda publishes, for the runbook drills.
//! - [`clients`] has the clients, among them [`lambda`] and [`buckets`], which do without an SDK crate.
//! - [`hex`] writes bytes as digits.
//! - [`cli`], [`demo`], [`up`], `redeploy`, [`check`], [`binaries`] and [`fuzz`] are the commands. [`tools`] installs
//!   the programs they need, and [`template`] parses `template.yaml`.

pub mod binaries;
pub mod buckets;
pub mod check;
pub mod cli;
pub mod clients;
pub mod demo;
pub mod deploy;
pub mod deployed_stack;
pub mod downstream;
pub mod emulator;
mod emulator_fixes;
mod emulator_template;
pub mod error;
pub mod event_sources;
pub mod functions;
pub mod fuzz;
pub mod hex;
pub mod inspect;
pub mod lab;
pub mod lambda;
pub mod ledger_receiver;
pub mod messages;
pub mod metrics;
pub mod oracle;
mod package;
pub mod parameters;
pub mod pipeline;
pub mod process;
pub mod profile;
pub mod progress;
pub mod python;
mod redeploy;
pub mod sample;
#[cfg(test)]
mod scripted;
pub mod settled;
pub mod stack;
pub mod template;
pub mod tools;
pub mod up;
pub mod watch;
pub mod workspace;
