//! The heart of `onewrite`: what a notification is, what may happen to it, and through which doors.
//!
//! - [`notification`]: id, type, payload, fingerprint, status; parsed once at the door, unchecked past it
//! - [`item`]: the notification as it stands in the table, and its size there
//! - [`event`]: the CloudEvents document that tells the downstream of a change
//! - [`table`], [`stream`]: the ports to DynamoDB and Kinesis, with the contract an adapter must keep
//! - [`completion`]: INIT -> DONE around a downstream's own effect
//! - [`adapters`]: the ports on the AWS SDK; nothing else names an SDK type
//! - [`invocation`]: between the Lambda runtime and a handler, so that no error quotes an event
//! - [`limits`]: every bound in one place; [`config`], [`budget`], [`telemetry`], [`spans`]: what the functions share
//! - `testing` (feature): reference models of the ports and the faults they can have
#![deny(missing_docs)]

pub mod adapters;
pub mod budget;
pub mod completion;
pub mod config;
pub mod event;
pub mod invocation;
pub mod item;
pub mod limits;
pub mod notification;
pub mod spans;
pub mod stream;
pub mod table;
pub mod telemetry;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
