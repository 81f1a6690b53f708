//! What the resources of a stack hold of one notification.

use jiff::Timestamp;
use onewrite::item::{NotificationItem, UnreadableItem};
use onewrite_stack::{dead_letter::DeadLetter, failure_bucket::FailedBatch, stream::StreamRecord};

/// Everything that was found of a notification.
#[derive(Clone, Debug)]
pub(super) struct Evidence {
    pub id: String,
    pub collected_at: Timestamp,
    pub item: Option<Result<NotificationItem, UnreadableItem>>,
    pub records: Vec<StreamRecord>,
    /// The dead letters of the notification, and rejected ones that contain its id.
    pub dead_letters: Vec<DeadLetter>,
    /// The failed batches that contain the notification.
    pub failures: Vec<FailedBatch>,
    /// The approximate number of messages in the queue. None of them can be inspected.
    pub waiting: usize,
}
