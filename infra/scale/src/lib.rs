//! How the pipeline grows past one machine: its flow in steps of time, under the documented limits of its services. Pure
//! arithmetic, without seed, network or clock: the same input gives the same output.
//!
//! - [`limits`]: what AWS documents, each figure with its page; what is a reading or an assumption says so
//! - [`settings`]: what comes, how the pipeline is set up, how fast its services are; [`preset`]: what `SCALING.md` advises
//! - [`flow`]: one stack, step by step, from the parts below
//!   - [`backlog`]: what waits, and since when; [`growth`]: on-demand capacity; [`pollers`]: who reads the queue;
//!     [`lambda`]: how long an invocation takes, and how fast a function may grow; [`ledger`]: how near each limit was
//! - [`cost`]: what an hour of it costs; [`report`]: what came of a run, as text, JSON and HTML; [`plot`]: its plots
//! - [`cli`]: the command line
//!
//! It is a model of quantities, not of messages: no failures but throttling, no partition but the hottest that is hotter
//! than another. What the real handlers do is not here.
#![deny(missing_docs)]

pub mod backlog;
pub mod cli;
pub mod cost;
pub mod flow;
pub mod growth;
pub mod lambda;
pub mod ledger;
pub mod limits;
pub mod plot;
pub mod pollers;
pub mod preset;
pub mod report;
pub mod settings;
