//! Simulates the message flow of the pipeline under the documented limits of AWS services: one stack, in fixed time steps.
//! Pure arithmetic without a seed, network or clock, so the same input gives the same output.
//!
//! - [`limits`]: the limits that AWS documents, each with its page. Interpretations and assumptions are marked
//! - [`settings`]: load, configuration and speed; [`preset`]: the configurations that `docs/scaling.md` recommends
//! - [`flow`]: one stack, step by step; [`sample`]: its state after a step
//!   - [`backlog`]: waiting messages and their age; [`growth`]: on-demand capacity; [`pollers`]: the queue's pollers;
//!     [`lambda`]: duration of an invocation and growth of a function; [`limit_usage`]: how close each limit was
//! - [`cost`]: the cost per hour; [`report`]: results as text, JSON and HTML; [`plot`]: plots; [`format`](mod@format): numbers
//! - [`cli`]: the command line
//!
//! The model calculates with quantities instead of individual messages. Throttling is its only kind of failure, and at most
//! one id is hotter than the others.

pub mod backlog;
pub mod cli;
pub mod cost;
pub mod flow;
pub mod format;
pub mod growth;
pub mod lambda;
pub mod limit_usage;
pub mod limits;
pub mod plot;
pub mod pollers;
pub mod preset;
pub mod report;
pub mod sample;
pub mod settings;
