//! The port to the queue: when it delivers a message again that could not be stored.

use std::time::Duration;

use crate::error::ServiceError;

/// The queue as `ingest` sees it: it can postpone the next delivery of a received message, and nothing else.
pub trait DelayedDelivery: Send + Sync {
    /// Hides messages until their waits end, counted from the call: 1 to [`crate::limits::MAX_VISIBILITY_ENTRIES`] of them.
    ///
    /// An adapter MUST return one result per deferral, in their order. It MUST NOT delete a message. It MUST return in
    /// bounded time. If it returns an error, or if the future is dropped, each message returns after its wait or after
    /// the visibility timeout of the queue.
    ///
    /// # Errors
    /// [`ServiceError`]: the call failed as a whole.
    fn defer(
        &self,
        deferrals: &[Deferral],
    ) -> impl Future<Output = Result<Vec<DeferralResult>, ServiceError>> + Send;
}

/// A request to hide one received message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deferral {
    /// The handle of the receive (`receiptHandle` of the event).
    pub receipt_handle: String,
    /// How long the message stays hidden. SQS accepts whole seconds.
    pub wait: Duration,
}

/// The result for one message of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeferralResult {
    /// The message stays hidden for its wait.
    Deferred,
    /// The message keeps the visibility timeout that it had.
    Failed {
        /// SQS' error code.
        code: String,
    },
}

/// No queue: nothing can be deferred.
#[derive(Debug, Clone, Copy)]
pub enum NoQueue {}

impl DelayedDelivery for NoQueue {
    async fn defer(&self, _: &[Deferral]) -> Result<Vec<DeferralResult>, ServiceError> {
        match *self {}
    }
}
