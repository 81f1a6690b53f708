//! Plays faults against a consumer, and judges which promises it keeps.
//!
//! - [`scenario`]: which notifications there are, and which batches and faults the consumer gets; pure
//! - [`judge`]: the verdicts about what happened; pure
//! - [`stage`]: the tables, and one invocation after the other
//! - [`program`], [`function`]: invoke the consumer
//! - [`proxy`]: observes its writes and injects the faults

pub mod function;
pub mod judge;
pub mod program;
pub mod proxy;
pub mod scenario;
pub mod stage;
