//! AWS Lambda's event source mappings as pure state machines: SQS (standard and FIFO), DynamoDB Streams and Kinesis.
//!
//! This crate does no I/O, reads no clock and draws no random numbers. A driver passes in what happened and when, and
//! carries out the actions that the state machine returns. The same code therefore runs the local stack and the
//! simulation.
//!
//! - [`mapping`]: the settings of a mapping, validated as AWS validates them, and its lifecycle
//! - [`filter`]: filter criteria
//! - [`report`]: partial batch responses
//! - [`sqs`]: the poller of a queue; [`queue`]: a reference model of the queue; [`message`]: what both share
//! - [`stream`]: the poller of a stream's shards; [`shards`]: a reference model of the stream
//! - [`invocation`]: the outcome of an invocation, and its event
//! - [`failure_record`]: the document that is sent to a failure destination
//! - [`choices`]: the questions that the AWS documentation leaves open, each with both answers
//!
//! Numbers such as S1, F1, D1, K1 and X1 refer to `docs/event-source-rules.md`. Each rule has a test of its name.

pub mod choices;
pub mod failure_record;
pub mod filter;
pub mod invocation;
pub mod mapping;
pub mod message;
pub mod queue;
pub mod report;
pub mod shards;
pub mod sqs;
pub mod stream;

// Tests that the crate shares with its integration tests use its public name.
#[cfg(test)]
extern crate self as onewrite_event_sources;

/// A time in milliseconds since the Unix epoch. The driver's clock provides it; in a simulation it is virtual.
pub type Millis = u64;
