//! `ingest`: SQS messages in, ONE conditional write for each, nothing else.
//!
//! - [`aggregate`]: the place for a team's own logic; pure
//! - [`message`]: what of an SQS message is used, and which messages must wait for each other
//! - [`handler`]: a batch from the event to the answer
//! - [`config`]: the settings
//!
//! There is no second side effect here, and there must not be one: a message that fails is returned to its queue, and
//! the queue alone moves it to the dead-letter queue.

pub mod aggregate;
pub mod config;
pub mod handler;
pub mod message;
