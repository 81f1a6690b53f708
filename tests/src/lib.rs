//! Shared parts of the end-to-end tests.
//!
//! - [`alarms`]: evaluates the template's alarms on recorded metrics, for the runbook drills
//! - [`cargo`]: starts cargo from a test
//! - [`fault_proxy`]: a proxy between a function and DynamoDB or Kinesis that injects faults
//! - [`random_faults`]: random faults on the wire, killed processes and stopped event sources
//! - [`recorder`]: records the event and the response of every invocation
//! - [`script`]: runs scripts in Python and JavaScript
//! - [`settings`]: changes a deployed function's environment variables
//! - [`template`]: `template.yaml` for the tests that compare it with the code

pub mod alarms;
pub mod cargo;
pub mod fault_proxy;
pub mod random_faults;
pub mod recorder;
pub mod script;
pub mod settings;
pub mod template;
