//! Access to a deployed stack, for the tools.
//!
//! - [`location`], [`clients`], [`outputs`], [`stack`]: how to reach a stack, and the names of its resources
//! - [`table`], [`scan`]: the table. [`table`] has the only writes to it
//! - [`stream`], [`failure_bucket`]: the events of a notification, and the batches that Lambda gave up on
//! - [`queue`], [`dead_letter`], [`dead_letter_queue`]: queue depths, and dead letters with the reason for each
//! - [`move_task`]: moves the whole dead-letter queue
//! - [`mappings`], [`mapping_switch`], [`alarms`], [`metrics`]: event source mappings,
//!   how to pause them, firing alarms and recent failures
//! - [`enabled_sources`], [`downstream`]: the parameters that switch event sources and name the downstream
//! - [`function_errors`]: the errors in the logs of the functions
//! - [`call_proxy`]: a proxy in front of a local stack
//! - `wire`: for tests, a stack whose services give recorded responses
//! - [`error`], [`pace`]: failed calls, and a limit on the rate of calls
//!
//! Modules depend on those to their right in `… -> stack -> location, clients, outputs -> error`,
//! never in a circle.
//!
//! The feature `operator` adds the modules and clients that need the SDKs of Lambda, S3 and CloudWatch, and the credentials
//! of people. `cargo local` does without them, because they would slow its first build down.

#[cfg(feature = "operator")]
pub mod alarms;
#[cfg(feature = "call-proxy")]
pub mod call_proxy;
pub mod clients;
pub mod dead_letter;
#[cfg(feature = "operator")]
pub mod dead_letter_queue;
pub mod downstream;
pub mod enabled_sources;
pub mod error;
#[cfg(feature = "operator")]
pub mod failure_bucket;
#[cfg(feature = "operator")]
pub mod function_errors;
pub mod location;
#[cfg(feature = "operator")]
pub mod mapping_switch;
#[cfg(feature = "operator")]
pub mod mappings;
#[cfg(feature = "operator")]
mod message_rules;
#[cfg(feature = "operator")]
pub mod metrics;
pub mod move_task;
pub mod outputs;
pub mod pace;
pub mod queue;
pub mod scan;
pub mod stack;
pub mod stream;
pub mod table;

#[cfg(any(test, feature = "operator"))]
pub mod wire;
