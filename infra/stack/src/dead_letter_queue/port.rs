//! The calls on the dead-letter queue, on its queue and on the table that judging and moving dead letters needs.

use std::time::Duration;

use aws_sdk_sqs::types::Message;

use crate::{dead_letter::StoredContent, error::StackError, queue::QueueDepth};

/// The most messages of one `ReceiveMessage` and of one `ChangeMessageVisibilityBatch` (SQS quotas).
pub const BATCH: usize = 10;
/// How long a receive waits for messages. A long poll also asks the servers that a short poll leaves out (SQS developer guide,
/// "Amazon SQS short and long polling").
pub const LONG_POLL: Duration = Duration::from_secs(1);
/// The most messages of a queue that can be in flight. At this limit, a long poll returns no message and no error (SQS
/// developer guide, "Amazon SQS standard queue quotas" and "Amazon SQS FIFO queue quotas").
pub const MAX_IN_FLIGHT: usize = 120_000;
/// The longest visibility timeout, counted from the receive (SQS developer guide, "Amazon SQS visibility timeout").
pub const MAX_HIDDEN: Duration = Duration::from_secs(12 * 3_600);

/// A dead-letter queue, the queue that its messages come from, and the table that decides about them.
pub trait DeadLetterQueue: Send + Sync {
    /// Whether the queues are FIFO queues.
    fn is_fifo(&self) -> bool;

    /// Receives up to [`BATCH`] dead letters with all attributes and hides them for `hide`. An empty response does not
    /// prove that the queue is empty: see [`MAX_IN_FLIGHT`], and a FIFO queue hides the messages behind those of their
    /// group that are in flight.
    ///
    /// # Errors
    /// [`StackError`]: the call failed.
    fn receive(
        &self,
        hide: Duration,
    ) -> impl Future<Output = Result<Vec<Message>, StackError>> + Send;

    /// Makes up to [`BATCH`] received dead letters visible again, after this time, in seconds. Outdated receipt handles are ignored.
    ///
    /// # Errors
    /// [`StackError`]: the call failed.
    fn make_visible(
        &self,
        receipt_handles: &[String],
        after: Duration,
    ) -> impl Future<Output = Result<(), StackError>> + Send;

    /// Sends a dead letter to the queue, unchanged except for its message id, which is returned.
    ///
    /// # Errors
    /// [`StackError`]: the call failed. The message may have been sent.
    fn send_back(
        &self,
        message: &Message,
    ) -> impl Future<Output = Result<String, StackError>> + Send;

    /// Deletes a received dead letter.
    ///
    /// # Errors
    /// [`StackError`]: the call failed.
    fn delete(&self, receipt_handle: &str) -> impl Future<Output = Result<(), StackError>> + Send;

    /// The approximate number of dead letters.
    ///
    /// # Errors
    /// [`StackError`]: the call failed.
    fn depth(&self) -> impl Future<Output = Result<QueueDepth, StackError>> + Send;

    /// What the table stores under this id.
    ///
    /// # Errors
    /// [`StackError`]: the call failed.
    fn fetch_stored(
        &self,
        id: &str,
    ) -> impl Future<Output = Result<StoredContent, StackError>> + Send;
}
