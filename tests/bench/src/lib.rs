//! The functions beside what people would use instead of them, each as a process with Lambda's environment, on services
//! that answer at once.
//!
//! - [`contender`]: who is measured, how each is built and started
//! - [`process`], [`share`], [`runtime_api`], [`stub`], [`events`]: a function as the platform runs it
//! - [`measure`]: the measurements; [`figures`]: what came of them
//! - [`cost`]: what each design costs by them
//! - [`goals`]: what is wanted, and what the gate allows
//! - [`report`], [`plot`]: tables, JSON and a page
//!
//! Figures are ratios of what was measured side by side in one run: the times themselves are this machine's.

#![deny(missing_docs)]

pub mod contender;
pub mod cost;
pub mod events;
pub mod figures;
pub mod goals;
pub mod measure;
pub mod plot;
pub mod process;
pub mod report;
pub mod runtime_api;
pub mod share;
pub mod stub;
