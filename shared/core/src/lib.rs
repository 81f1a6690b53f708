//! The domain of `onewrite`: what a notification is, what may happen to it, and the ports to the outside.
//!
//! This crate depends neither on the AWS SDK nor on the Lambda runtime. Adapters live in `onewrite-aws`, models for tests
//! in `onewrite-testing`.
//!
//! - [`notification`]: id, type, payload, fingerprint and status, parsed once from a message
//! - [`item`]: the notification as a DynamoDB item, and its size
//! - [`compression`]: how an item stores large texts
//! - [`event`]: the CloudEvents document that reports a change to the downstream
//! - [`table`], [`stream`], [`queue`]: the ports to DynamoDB, Kinesis and SQS, with the contract of an adapter
//! - [`deferral`]: how long a message waits after a transient failure
//! - [`completion`]: INIT -> DONE or REFUSED around the effect of a downstream
//! - [`redrive`]: which items an operator's tool publishes again
//! - [`error`]: what a failed call to a service allows to conclude
//! - [`limits`]: every limit in one place
#![deny(missing_docs)]

pub mod completion;
pub mod compression;
pub mod deferral;
pub mod error;
pub mod event;
pub mod item;
pub mod limits;
pub mod notification;
pub mod queue;
pub mod redrive;
pub mod stream;
pub mod table;
