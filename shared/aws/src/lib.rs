//! The ports of `onewrite` on the AWS SDK: the notification table on DynamoDB, the notification stream on Kinesis
//! and the notification queue on SQS.
//!
//! Only this crate names an SDK client. No SDK error leaves its adapters, because an SDK error can quote a response and with
//! it a payload.
//!
//! - [`clients`]: SDK configuration, including the timeouts that the SDK leaves unset
//! - [`http`]: the HTTP client below the SDK
//! - [`dynamodb`], [`kinesis`], [`sqs`]: the adapters
//! - [`signed_service`], [`json_service`]: calls of a service without its SDK crate
//! - [`failure_bucket`]: keeps the events that a function gives up
//! - [`warm_up`]: opens connections before the first call
//! - [`targets`]: where `complete` delivers notifications to
#![deny(missing_docs)]

pub mod clients;
pub mod dynamodb;
mod failure;
pub mod failure_bucket;
pub mod http;
pub mod json_service;
pub mod kinesis;
#[cfg(test)]
mod replay;
pub mod signed_service;
pub mod sqs;
pub mod targets;
pub mod warm_up;
