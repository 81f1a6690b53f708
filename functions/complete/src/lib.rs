//! `complete`: the reference downstream. Kinesis records in, for each notification the downstream's work and DONE.
//!
//! - [`downstream`]: the place for a team's own work
//! - [`record`]: what of a Kinesis record is used, and which record is reported where some fail
//! - [`handler`]: a batch from the event to the answer
//! - [`config`]: the settings
//!
//! What is promised of the effect stands in [`onewrite::completion`], which a consumer of one's own calls just as this
//! function does.

pub mod config;
pub mod downstream;
pub mod handler;
pub mod record;
