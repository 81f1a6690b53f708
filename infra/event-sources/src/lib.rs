//! AWS Lambda's event source mappings as pure state machines: SQS (standard and FIFO), DynamoDB Streams and Kinesis.
//!
//! Nothing here does I/O, reads a clock or draws a random number: a driver hands in what happened and the time it
//! happened, and carries out the actions that come back. So the same code runs the local stack and a simulation.
//!
//! - [`mapping`]: the settings of a mapping, validated as AWS validates them, and its life cycle
//! - [`filter`]: filter criteria
//! - [`report`]: how a function's answer is read (partial batch responses)
//! - [`sqs`]: the poller of a queue; [`queue`]: a reference model of the queue itself
//! - [`stream`]: the poller of a stream's shards; [`shards`]: a reference model of the stream itself
//! - [`notice`]: what is sent to a failure destination
//! - [`choices`]: the questions that AWS's documentation leaves open, each with both of its outcomes
//!
//! Rules carry the numbers of the list they were collected in (S1, F1, D1, K1, X1); each has a test of its name.
#![deny(missing_docs)]

pub mod choices;
pub mod filter;
pub mod mapping;
pub mod notice;
pub mod outcome;
pub mod queue;
pub mod report;
pub mod shards;
pub mod sqs;
pub mod stream;

/// A moment in milliseconds since the Unix epoch, as the driver's clock tells it; virtual in a simulation.
pub type Millis = u64;
