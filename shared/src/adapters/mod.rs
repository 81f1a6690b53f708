//! The ports on the AWS SDK. Nothing outside names an SDK client, and no SDK error leaves this room: one may quote the
//! response, and with it a payload.
//!
//! - [`clients`]: how the SDK is set up, with every timeout it leaves unset
//! - [`dynamodb`], [`kinesis`]: the ports to table and stream
//! - [`batched`]: the port to the table that `ingest` has, by batches of PartiQL

pub mod batched;
pub mod clients;
pub mod dynamodb;
mod failure;
pub mod kinesis;
#[cfg(test)]
mod replay;
