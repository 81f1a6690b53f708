//! `forward`: changes of the table in, events in Kinesis out, in order for each notification.
//!
//! - [`select`]: which change becomes an event
//! - [`publish`]: events into the stream, none before an earlier one of its notification is confirmed
//! - [`handler`]: a batch from the event to the answer
//! - [`config`]: the settings

pub mod config;
pub mod handler;
pub mod publish;
pub mod select;
