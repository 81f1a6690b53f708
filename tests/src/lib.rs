//! What the tests share.
//!
//! - [`fault_proxy`]: stands between a function and DynamoDB or Kinesis and lets calls and records fail on the wire
//! - [`template`]: `template.yaml` as it is written, for the tests that hold it to the code
//! - [`recorder`]: keeps what every function was given and what it answered
//! - [`settings`]: changes a deployed function's settings
//! - [`trouble`]: random faults on the wire, killed processes and stopped event sources

pub mod fault_proxy;
pub mod recorder;
pub mod settings;
pub mod template;
pub mod trouble;
