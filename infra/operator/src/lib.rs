//! `onewrite`, the operator's tool: shows where a notification is and redrives the ones that failed.
//!
//! Dependencies point downward:
//!
//! - [`cli`]: parses the arguments and runs a command
//! - [`commands`]: one module for each command
//! - [`doctor`]: the checks of a deployed stack
//! - [`conform`]: plays faults against a consumer
//! - [`context`], [`confirmation`], [`arguments`], [`progress`], [`interrupt`]: what commands share
//! - [`terminal`], [`format`], [`error`]: output, texts and exit codes
//!
//! The access to a stack is the crate `onewrite-stack`, below all of them.

pub mod arguments;
pub mod cli;
pub mod commands;
pub mod confirmation;
pub mod conform;
pub mod context;
pub mod doctor;
pub mod error;
pub mod find;
pub mod format;
pub mod interrupt;
pub mod progress;
pub mod terminal;
