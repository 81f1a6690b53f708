//! The interface to a running pipeline, on the emulator or deployed to AWS.

use std::time::Duration;

use crate::clients::Clients;
use crate::error::{LocalError, Result};
use crate::oracle::Settlement;
use onewrite_stack::outputs::StackOutputs;

/// A running pipeline that can receive messages and be inspected.
pub trait Pipeline {
    /// Clients that may send messages and read the stack's resources.
    fn clients(&self) -> &Clients;

    fn outputs(&self) -> &StackOutputs;

    /// The reason the pipeline stopped working, if it can be detected.
    fn failure(&mut self) -> Option<LocalError>;

    /// Whether nothing is in flight between the pipeline's parts, as far as can be detected.
    fn is_idle(&self) -> bool;

    /// Whether this notification existed before the run and is not part of it.
    fn is_preexisting(&self, id: &str) -> bool;

    /// Whether the pipeline moves notifications to DONE or REFUSED.
    fn has_downstream(&self) -> bool;

    /// What moves notifications to DONE or REFUSED, and what it has booked.
    fn settlement(&self) -> impl Future<Output = Result<Settlement>>;

    fn wait_settings(&self) -> WaitSettings;
}

/// How to wait until a pipeline has processed everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WaitSettings {
    /// The time between two checks.
    pub poll_interval: Duration,
    /// The pipeline must look settled for this long, because one check can miss a record that is between two parts.
    pub settle_time: Duration,
    /// The pipeline is stuck if nothing changes for this long. Must exceed the visibility timeout, during which nothing
    /// changes in a healthy pipeline.
    pub stall_limit: Duration,
}
